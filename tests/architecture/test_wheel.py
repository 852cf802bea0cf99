"""What is published works: built from the sdist, installed alone, every command and module."""

import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from collections.abc import Sequence
from configparser import ConfigParser
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

DATA_SUFFIXES = {".css", ".html", ".js", ".json", ".md", ".png", ".py", ".sql", ".svg", ".toml"}
DATA_SUFFIXES |= {".LICENSE", ".typed", ".yaml", ".yml"}


@dataclass(frozen=True)
class Installed:
    """A wheel and the environment it lies in: its interpreter and its packages' folder."""

    wheel: Path
    python: Path
    site: Path


def run(*command: str | Path, cwd: Path) -> str:
    """Run a program with nothing but a PATH; fail with what it said."""
    result = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "HOME": str(cwd)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, f"{command}:\n{result.stdout}\n{result.stderr}"
    return result.stdout


def build(repository: Path, out: Path) -> Path:
    """Build the sdist from the checkout, and the wheel from nothing but that sdist."""
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", out, cwd=repository)
    (sdist,) = out.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(out, filter="data")
    source = out / sdist.name.removesuffix(".tar.gz")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", out, cwd=source)
    (wheel,) = out.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def installed(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel in an environment of its own, which borrows the libraries of others.

    The borrowed folder is a plain path: its own .pth files, so the editable install, stay unread.
    """
    out = tmp_path_factory.mktemp("wheel")
    wheel = build(repository, out)
    home = out / "env"
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check")
    options = ("install", "-q", "--no-deps", "--no-index")
    run(*pip, "--python", python, *options, wheel, cwd=out)
    site = Path(sysconfig.get_path("purelib", "venv", {"base": str(home)}))
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return Installed(wheel, python, site)


def test_only_our_packages_are_installed(installed: Installed) -> None:
    found = {path.name for path in installed.site.iterdir()} - {"borrowed.pth"}
    packages = {name for name in found if not name.endswith(".dist-info")}

    assert packages == {
        "aicore",
        "aicore_examples",
        "aicore_gateway",
        "aicore_servers",
        "aicore_tools",
    }
    assert len(found - packages) == 1


def test_wheel_holds_every_file_of_the_packages(
    repository: Path, files: Sequence[Path], modules: Sequence[Any], installed: Installed
) -> None:
    """Data as well: an ignored folder vanishes from a wheel without a word."""
    roots = {
        repository / Path(*Path(module.file).parts[:2]): Path(module.file).parts[1]
        for module in modules
    }
    expected = {
        f"{package}/{path.relative_to(root).as_posix()}"
        for root, package in roots.items()
        for path in files
        if path.is_relative_to(root)
    }
    with zipfile.ZipFile(installed.wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}

    assert held == expected
    assert {Path(name).suffix for name in held} <= DATA_SUFFIXES


def test_license_is_in_the_wheel(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as archive:
        assert any(name.endswith(".dist-info/licenses/LICENSE") for name in archive.namelist())


def test_every_command_shows_its_help(installed: Installed, tmp_path: Path) -> None:
    entries = ConfigParser()
    (dist_info,) = installed.site.glob("aicore_mcp-*.dist-info")
    entries.read(dist_info / "entry_points.txt")

    helps = {
        name: run(installed.python.with_name(name), "--help", cwd=tmp_path)
        for name in entries["console_scripts"]
    }

    assert all(name in text for name, text in helps.items())
    assert len(helps) == 7


def test_every_module_imports_from_the_wheel(
    modules: Sequence[Any], installed: Installed, tmp_path: Path
) -> None:
    code = (
        "import importlib, sys; [print(importlib.import_module(n).__file__) for n in sys.argv[1:]]"
    )

    origins = run(installed.python, "-c", code, *[m.name for m in modules], cwd=tmp_path).split()

    assert len(origins) == len(modules)
    assert all(Path(origin).is_relative_to(installed.site) for origin in origins)
