"""The backends of the CRM by name. A backend is imported when it is chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from aicore_tools.crm.port import CustomerDirectory
from aicore_tools.errors import BackendConfigError

__all__ = ["BACKENDS", "directory"]


def _local(data_dir: Path, business: str) -> CustomerDirectory:
    from aicore_tools.crm.backends.local import LocalDirectory

    return LocalDirectory(data_dir / "crm.db", business=business)


BACKENDS: Mapping[str, Callable[[Path, str], CustomerDirectory]] = {"local": _local}


def directory(backend: str, *, data_dir: Path, business: str) -> CustomerDirectory:
    """Make the backend of that name; it opens when it is entered.

    Raises:
        BackendConfigError: there is none of that name.
    """
    make = BACKENDS.get(backend)
    if make is None:
        raise BackendConfigError(
            f"There is no CRM backend {backend!r}.", hint=f"Use one of: {', '.join(BACKENDS)}."
        )
    return make(data_dir, business)
