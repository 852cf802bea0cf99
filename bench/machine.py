"""On what the figures were taken."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

__all__ = ["describe_machine"]

PACKAGES = ("aicore-mcp", "mcp", "httpx2", "anyio", "pydantic-ai-slim", "openai")
_VERSIONS = f"""
from importlib import metadata
for name in {PACKAGES!r}:
    try:
        print(name, metadata.version(name))
    except metadata.PackageNotFoundError:
        pass
"""


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _said_by(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def describe_machine(pythons: dict[str, str]) -> dict[str, str]:
    """Facts about this machine and the versions each contender runs, in words."""
    versions = {
        name: ", ".join(_said_by(python, "-c", _VERSIONS).splitlines())
        for name, python in pythons.items()
    }
    commit = _said_by("git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty")
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "cpu": f"{_cpu_model()}, {os.cpu_count()} cores",
        "load": f"{os.getloadavg()[0]:.2f} at the start",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "commit": commit or "unknown",
    } | {f"versions of {name}": text for name, text in versions.items() if name != "raw"}
