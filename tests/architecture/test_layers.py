"""The core knows no business, the tools know no model: .importlinter, run as a test."""

import configparser
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PLANTED = {
    "layers": ("src/aicore/errors.py", "import aicore_tools.errors"),
    "servers": ("servers/aicore_servers/__init__.py", "import aicore.errors"),
    "core": ("src/aicore/errors.py", "import aicore.agent"),
}


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("lint-imports")
    roots = [str(folder / root) for root in ("src", "tools", "servers", "examples")]
    return subprocess.run(
        [program, "--no-cache"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(roots), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_no_import_crosses_a_layer(repository: Path) -> None:
    result = lint_imports(repository)

    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("contract", PLANTED)
def test_planted_import_breaks_its_contract(
    contract: str, repository: Path, tmp_path: Path
) -> None:
    """A contract that cannot break checks nothing."""
    rules = configparser.ConfigParser()
    rules.read(repository / ".importlinter")
    for root in ("src", "tools", "servers", "examples"):
        shutil.copytree(
            repository / root, tmp_path / root, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(repository / ".importlinter", tmp_path)
    file, line = PLANTED[contract]
    planted = tmp_path / file
    planted.write_text(planted.read_text(encoding="utf-8") + f"\n{line}\n", encoding="utf-8")

    result = lint_imports(tmp_path)

    assert result.returncode == 1
    assert f"{rules[f'importlinter:contract:{contract}']['name']} BROKEN" in result.stdout
