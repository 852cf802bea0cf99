"""Vendors' libraries are extras: who lacks one is told how to get it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from aicore_tools.errors import BackendConfigError

__all__ = ["needing"]


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
        raise BackendConfigError(
            f"This needs the library {error.name}, which is not installed.",
            hint=f"Install the extra: pip install 'aicore-mcp[{extra}]', or '.[{extra}]' in a"
            " clone.",
        ) from error
