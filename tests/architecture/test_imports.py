"""Importing does nothing: no network, no files, no threads, no output, and it is cheap."""

import importlib
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HEAVY = ("dateparser", "httpx2", "jsonschema", "mcp", "phonenumbers", "pydantic", "starlette")
HEAVY += ("uvicorn", "yaml")
MOST_OF_HTTPX2 = 2.5


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the interpreter in an empty environment."""
    return subprocess.run(
        [sys.executable, *arguments], env={}, capture_output=True, text=True, check=False
    )


def test_every_module_imports_alone_and_in_silence(modules: Sequence[Any]) -> None:
    script = Path(__file__).with_name("every_import.py")

    result = run(str(script), *[module.name for module in modules])

    assert result.stderr == ""
    assert result.stdout == ""
    assert result.returncode == 0


def test_import_aicore_loads_nothing_heavy() -> None:
    """Vendors and protocols are imported when first used."""
    result = run(
        "-c", f"import sys; from aicore import *; print(*sorted(set({HEAVY}) & set(sys.modules)))"
    )

    assert result.stdout.split() == [], result.stderr
    assert result.returncode == 0, result.stderr


def test_import_aicore_costs_little() -> None:
    """Not much more CPU than httpx2, measured beside it: machines differ, and are shared."""

    def cpu_s(module: str) -> float:
        code = (
            f"import time; t = time.process_time(); import {module}; print(time.process_time() - t)"
        )
        return float(run("-c", code).stdout)

    pairs = [(cpu_s("aicore"), cpu_s("httpx2")) for _ in range(7)]

    assert min(ours for ours, _ in pairs) <= MOST_OF_HTTPX2 * min(other for _, other in pairs)


def test_every_command_has_its_function(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))
    missing = []
    for command, target in project["project"]["scripts"].items():
        module, _, function = target.partition(":")
        if not callable(getattr(importlib.import_module(module), function, None)):
            missing.append(command)

    assert missing == []
