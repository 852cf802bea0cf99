"""What the repository's rules are checked on: its files, and its library modules as trees."""

import ast
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

ROOTS = {
    "src": ("aicore",),
    "tools": ("aicore_tools",),
    "servers": ("aicore_servers", "aicore_gateway"),
    "examples": ("aicore_examples",),
}
UNTRACKED = {"__pycache__", "build", "dist", "node_modules", "out"}


@dataclass(frozen=True)
class Module:
    """A library module: its file, as a path from the root, and its dotted name."""

    path: Path
    name: str
    file: str

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.file)


def files_of(repository: Path) -> list[Path]:
    """Give the files that are, or would be, committed; without git, what lies there."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0:
        found = [repository / name for name in listed.stdout.split("\0") if name]
        return sorted(path for path in found if path.is_file())
    return sorted(
        path
        for path in repository.rglob("*")
        if path.is_file()
        and not UNTRACKED & set(path.relative_to(repository).parts)
        and not any(
            part.startswith(".") and part != ".ci" for part in path.relative_to(repository).parts
        )
    )


@pytest.fixture(scope="session")
def files(repository: Path) -> Sequence[Path]:
    """Every file of the repository."""
    return files_of(repository)


@pytest.fixture(scope="session")
def modules(repository: Path, files: Sequence[Path]) -> Sequence[Module]:
    """Every module of the five packages."""
    found = []
    for folder, packages in ROOTS.items():
        for package in packages:
            base = repository / folder / package
            for path in files:
                if path.suffix == ".py" and path.is_relative_to(base):
                    parts = path.relative_to(repository / folder).with_suffix("").parts
                    name = ".".join(parts).removesuffix(".__init__")
                    found.append(Module(path, name, path.relative_to(repository).as_posix()))
    assert found
    return found
