"""What no file of the repository may hold, and how modules may not be called."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

BANNED_WORDS = {"base", "common", "helper", "helpers", "manager", "misc", "util", "utils"}
MACHINE_PATH = re.compile(r"(?<![\w.:/~-])/(?:work|home|root|Users|tmp)/[\w.-]")
REGISTRY_HOST = re.compile(
    r"files\.pythonhosted\.org|pypi\.org/simple|registry\.npmjs\.org|registry\.yarnpkg"
    r"|artifactory|\bnexus\.|--(?:extra-)?index-url|--find-links|_proxy=http",
    re.IGNORECASE,
)
TEXT = {"", ".cfg", ".css", ".html", ".ini", ".js", ".json", ".lock", ".md", ".mjs", ".py"}
TEXT |= {".sh", ".sql", ".toml", ".ts", ".txt", ".yaml", ".yml"}


def lines_with(pattern: re.Pattern[str], root: Path, files: Sequence[Path]) -> list[str]:
    found = []
    for path in files:
        name = path.relative_to(root).as_posix()
        if path.suffix not in TEXT or path == Path(__file__).resolve():
            continue
        text = path.read_text(encoding="utf-8")
        found += [
            f"{name}:{number}: {line.strip()[:120]}"
            for number, line in enumerate(text.splitlines(), 1)
            if pattern.search(line)
        ]
    return found


def test_module_names_say_what_is_inside(modules: Sequence[Any]) -> None:
    vague = [module.file for module in modules if set(module.path.stem.split("_")) & BANNED_WORDS]

    assert vague == []


def test_no_module_is_named_like_the_standard_library(modules: Sequence[Any]) -> None:
    """`python servers/aicore_servers/email.py` would put its folder first on sys.path."""
    names = sys.stdlib_module_names - {"__future__", "__main__"}
    clashes = [
        module.file for module in modules if {module.path.stem, module.path.parent.name} & names
    ]

    assert clashes == []


def test_no_file_names_a_path_of_one_machine(repository: Path, files: Sequence[Path]) -> None:
    assert lines_with(MACHINE_PATH, repository, files) == []


def test_no_file_names_a_registry_host(repository: Path, files: Sequence[Path]) -> None:
    assert lines_with(REGISTRY_HOST, repository, files) == []


def test_lock_names_no_host_and_hashes_everything(repository: Path) -> None:
    lines = (repository / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pinned = [number for number, line in enumerate(lines) if re.match(r"[A-Za-z0-9]", line)]

    assert [line for line in lines if re.search(r"^-|https?://", line)] == []
    assert [lines[n] for n in pinned if "--hash=sha256:" not in lines[n + 1]] == []
    assert len(pinned) > 20


def test_every_package_is_typed(repository: Path, modules: Sequence[Any]) -> None:
    tops = {module.path for module in modules if "." not in module.name}

    assert [path.parent.name for path in tops if not (path.parent / "py.typed").exists()] == []


def test_checks_see_what_they_must() -> None:
    """The patterns themselves."""
    assert MACHINE_PATH.search("open('" + "/home/ann/x.db')")
    assert MACHINE_PATH.search("cd /wo" + "rk/main")
    assert not MACHINE_PATH.search("https://example.com/home/ann")
    assert REGISTRY_HOST.search("pip install --index-url x")
