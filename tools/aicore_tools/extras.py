"""Vendors' libraries are extras: who lacks one is told how to get it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec

from aicore_tools.errors import BackendConfigError

__all__ = ["needing", "refuse_missing"]


@contextmanager
def needing(extra: str) -> Iterator[None]:
    """Import what belongs to the extra of that name inside its `with`.

    Raises:
        BackendConfigError: a library of it is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0].startswith("aicore"):
            raise
        raise _missing(error.name or extra, extra) from error


def refuse_missing(extra: str, modules: Sequence[str]) -> None:
    """See whether top-level modules of an extra are there, without importing them.

    Raises:
        BackendConfigError: one is not installed.
    """
    for module in modules:
        if find_spec(module) is None:
            raise _missing(module, extra)


def _missing(module: str, extra: str) -> BackendConfigError:
    return BackendConfigError(
        f"This needs the library {module}, which is not installed.",
        hint=f'In a clone of aicore: pip install ".[{extra}]"; without one, the extra'
        f" aicore-mcp[{extra}] from where aicore was installed.",
    )
