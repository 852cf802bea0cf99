"""The backends of the mailbox by name. A backend is imported when it is chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from aicore_tools.connections import Connect, not_connected
from aicore_tools.errors import BackendConfigError
from aicore_tools.extras import needing
from aicore_tools.mail.port import Mailbox
from aicore_tools.mail.records import Address

__all__ = ["BACKENDS", "MailboxSettings", "mailbox"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MailboxSettings:
    """What a mailbox is made from.

    `addresses` are those the business sends from, the usual one first; empty: those that the
    account itself has. `account` names the vendor's connection that `connect` gives.
    """

    data_dir: Path
    business: str
    addresses: Sequence[Address] = ()
    connect: Connect = not_connected
    account: str = "default"

    def journal(self, backend: str) -> Path:
        """Give the file of a backend's journal; one an account."""
        return self.data_dir / f"mail-{backend}-{quote(self.account, safe='')}.db"


def _local(settings: MailboxSettings) -> Mailbox:
    from aicore_tools.mail.backends.local import LocalMailbox

    if not settings.addresses:
        raise BackendConfigError("The business has no address to send mail from. Name one.")
    return LocalMailbox(
        settings.data_dir / "mail.db", business=settings.business, addresses=settings.addresses
    )


def _imap(settings: MailboxSettings) -> Mailbox:
    with needing("imap"):
        import aiosmtplib  # noqa: F401 - else it is missed when the first mail is sent

        from aicore_tools.mail.backends.imap import ImapMailbox

    return ImapMailbox(
        settings.journal("imap"),
        business=settings.business,
        connection=settings.connect("imap"),
        addresses=settings.addresses,
    )


def _gmail(settings: MailboxSettings) -> Mailbox:
    with needing("google"):
        from aicore_tools.mail.backends.gmail import GmailMailbox

    return GmailMailbox(
        settings.journal("gmail"),
        business=settings.business,
        connection=settings.connect("google"),
        addresses=settings.addresses,
    )


BACKENDS: Mapping[str, Callable[[MailboxSettings], Mailbox]] = {
    "local": _local,
    "imap": _imap,
    "gmail": _gmail,
}


def mailbox(backend: str, settings: MailboxSettings) -> Mailbox:
    """Make the backend of that name; it opens when it is entered.

    Raises:
        BackendConfigError: there is no such backend, no connection for it, or no address.
    """
    make = BACKENDS.get(backend)
    if make is None:
        raise BackendConfigError(
            f"There is no mail backend {backend!r}.", hint=f"Use one of: {', '.join(BACKENDS)}."
        )
    return make(settings)
