"""The backends of the mailbox by name. A backend is imported when it is chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from aicore_tools.errors import BackendConfigError
from aicore_tools.mail.port import Mailbox
from aicore_tools.mail.records import Address

__all__ = ["BACKENDS", "mailbox"]


def _local(data_dir: Path, business: str, addresses: Sequence[Address]) -> Mailbox:
    from aicore_tools.mail.backends.local import LocalMailbox

    return LocalMailbox(data_dir / "mail.db", business=business, addresses=addresses)


BACKENDS: Mapping[str, Callable[[Path, str, Sequence[Address]], Mailbox]] = {"local": _local}


def mailbox(
    backend: str, *, data_dir: Path, business: str, addresses: Sequence[Address]
) -> Mailbox:
    """Make the backend of that name; it opens when it is entered.

    `addresses` are those the business sends from, the usual one first.

    Raises:
        BackendConfigError: there is no such backend, or no address.
    """
    make = BACKENDS.get(backend)
    if make is None:
        raise BackendConfigError(
            f"There is no mail backend {backend!r}.", hint=f"Use one of: {', '.join(BACKENDS)}."
        )
    if not addresses:
        raise BackendConfigError("The business has no address to send mail from. Name one.")
    return make(data_dir, business, addresses)
