"""The core knows no business, the tools know no model: .importlinter, run as a test."""

import configparser
import os
import shutil
import subprocess
import sys
from pathlib import Path

PLANTED = {
    "layers": ("src/aicore/errors.py", "import aicore_tools.errors"),
    "servers": ("servers/aicore_servers/__init__.py", "import aicore.errors"),
    "core": ("src/aicore/errors.py", "import aicore.agent"),
    "domain": ("tools/aicore_tools/crm/records.py", "import aicore_tools.crm.service"),
    "domains": ("tools/aicore_tools/crm/records.py", "import aicore_tools.mail.records"),
    "shared": ("tools/aicore_tools/operations.py", "import aicore_tools.crm.records"),
    "sdks": ("tools/aicore_tools/payments/service.py", "import stripe"),
    "vendors": ("src/aicore/errors.py", "import httpx2"),
    "protocol": ("tools/aicore_tools/errors.py", "import mcp"),
}
"""An import per contract that breaks it."""


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


def test_each_contract_breaks_on_an_import_it_forbids(repository: Path, tmp_path: Path) -> None:
    """A contract that cannot break checks nothing."""
    rules = configparser.ConfigParser()
    rules.read(repository / ".importlinter")
    prefix = "importlinter:contract:"
    names = {
        section.removeprefix(prefix): rules[section]["name"]
        for section in rules.sections()
        if section.startswith(prefix)
    }
    for root in ("src", "tools", "servers", "examples"):
        shutil.copytree(
            repository / root, tmp_path / root, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(repository / ".importlinter", tmp_path)
    for file, line in PLANTED.values():
        with (tmp_path / file).open("a", encoding="utf-8") as module:
            module.write(f"\n{line}\n")

    result = lint_imports(tmp_path)

    assert names.keys() == PLANTED.keys()
    assert [key for key, name in names.items() if f"{name} BROKEN" not in result.stdout] == []
