"""The Mailbox port: what the mail service needs of a backend."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

from aicore_tools.connections import Probe
from aicore_tools.mail.records import (
    Action,
    Address,
    Draft,
    DraftContent,
    Folder,
    Mail,
    MailId,
    MailPage,
    MailRow,
    MailSearch,
    Organized,
    SavedDraft,
    Sent,
    ThreadId,
)
from aicore_tools.operations import Effect, Operation

__all__ = ["Done", "Mailbox"]

Done = SavedDraft | Sent | Organized
"""What an effect of a mailbox gives."""


class Mailbox(Protocol):
    """The mail of one account of one business.

    An async context manager: it is open inside its `async with`. Every effect happens once per
    operation key; a repeat gets the first result as a replay. Nothing here marks a mail as read,
    but `organize`.

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

    async def probe(self) -> Probe:
        """Prove the connection by a read: whose account it is and what may be done there."""
        ...

    async def folders(self) -> Sequence[Folder]:
        """Give the folders and labels: those with a role first, then by name."""
        ...

    async def search(self, search: MailSearch) -> MailPage:
        """Give one page, newest first. Paging misses and repeats none while mail comes in.

        Raises:
            InvalidInput: the cursor is damaged or of another search, or there is no such folder.
        """
        ...

    async def get(self, mail_id: str) -> Mail:
        """Give a mail or draft by its id or its Message-ID.

        Raises:
            NotFound: there is none.
        """
        ...

    async def rows(self, mail_ids: Sequence[str]) -> Sequence[MailRow]:
        """Give the rows of mails or drafts by id, in that order; a snippet may be empty.

        Raises:
            NotFound: one of them is not there.
        """
        ...

    async def thread(self, thread: ThreadId) -> Sequence[Mail]:
        """Give the mails of a thread, oldest first; empty where there is none.

        Without drafts, trash and spam.
        """
        ...

    async def draft(self, draft_id: str) -> Draft:
        """Give a draft with the content of its attachments.

        Raises:
            NotFound: there is no such draft.
            Conflict: it was sent (`already_sent`).
        """
        ...

    async def earlier(self, operation: Operation) -> Effect[Done] | None:
        """Give what `operation` did before, as a replay; None where it certainly did nothing.

        Raises:
            Conflict: the key was used with other arguments.
            OutcomeUnknown: it cannot be told.
        """
        ...

    async def save_draft(
        self, operation: Operation, content: DraftContent, draft_id: MailId | None = None
    ) -> Effect[SavedDraft]:
        """Make a draft, or put `content` in the place of all that the one named says.

        Raises:
            NotFound: there is no such draft.
            Conflict: it was sent.
        """
        ...

    async def send(self, operation: Operation, draft: Draft) -> Effect[Sent]:
        """Send a draft as it was planned, which is what was shown, checked and confirmed.

        A draft is a one-shot token: never sent twice, with or without a key. `draft` is what
        `self.draft` gave; that it is still so is checked on what is handed over, or as close to it
        as the backend can. A repeat of what was sent is a replay, whatever the draft says now.

        Raises:
            NotFound: there is no such draft.
            Conflict: it was sent before (`already_sent`), or is not what was planned any more
                (`changed_meanwhile`); nothing was sent.
            InvalidInput: nobody would receive it.
        """
        ...

    async def organize(
        self, operation: Operation, mail_ids: Sequence[MailId], action: Action, label: str = ""
    ) -> Effect[Organized]:
        """Do `action` to mails, all or, where the backend cannot, as many as it gets to.

        Doing it again changes nothing more. `label` is the label of `label` and `unlabel`, and
        the folder of `move`; either is made where it is missing. `restore` puts mails from
        archive, trash or spam back: drafts to drafts, our own to sent, others to the inbox.
        A draft may only be trashed.

        Raises:
            NotFound: one of the mails is not there; nothing was done.
        """
        ...
