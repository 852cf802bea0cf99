"""The Mailbox port: what the mail service needs of a backend."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

from aicore_tools.mail.records import (
    Address,
    Draft,
    DraftChange,
    Mail,
    MailId,
    MailPage,
    MailSearch,
    Sent,
    ThreadId,
)
from aicore_tools.operations import Effect, Operation

__all__ = ["Mailbox"]


class Mailbox(Protocol):
    """The mail of one business.

    An async context manager: it is open inside its `async with`. Every effect happens once per
    operation key; a repeat gets the first result as a replay. Nothing here marks a mail as read.

    Every method may raise:
        BackendUnavailable: nothing was done, later may work.
        BackendConfigError: the operator must act.
    Every effect may also raise:
        Conflict: the operation key was used with other arguments.
        OutcomeUnknown: it may have happened.
    """

    async def __aenter__(self) -> Self:
        """Open the backend."""
        ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close what was opened."""
        ...

    @property
    def addresses(self) -> Sequence[Address]:
        """The addresses it may send from, the usual one first; never empty."""
        ...

    async def search(self, search: MailSearch) -> MailPage:
        """Give one page, newest first. Paging misses and repeats none while mail comes in.

        Raises:
            InvalidInput: the cursor is damaged or of another search.
        """
        ...

    async def get(self, mail_id: str) -> Mail:
        """Give a mail or draft by its id or its Message-ID.

        Raises:
            NotFound: there is none.
        """
        ...

    async def thread(self, thread: ThreadId) -> Sequence[Mail]:
        """Give the mails of a thread without drafts, oldest first; empty where there is none."""
        ...

    async def save_draft(
        self, operation: Operation, change: DraftChange, draft_id: MailId | None = None
    ) -> Effect[Draft]:
        """Make a draft, or change the one named.

        Raises:
            NotFound: there is no such draft, or no mail to forward.
            Conflict: it was sent.
        """
        ...

    async def send(self, operation: Operation, draft_id: MailId) -> Effect[Sent]:
        """Send a draft, which is a one-shot token: never twice, with or without a key.

        Raises:
            NotFound: there is no such draft.
            Conflict: it was sent before.
            InvalidInput: nobody would receive it.
        """
        ...
