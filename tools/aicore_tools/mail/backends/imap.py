"""Mail over IMAP, sent over SMTP.

One connection to the IMAP server is kept, and guarded; each mail that is sent gets an SMTP
connection of its own. Effects are written to a journal before anything leaves. A mail's Message-ID
comes from the journal, so what broke off is looked up by it: a draft among the drafts, a sent mail
among the sent and wherever it may have come back to. A mail that cannot be found is not sent again.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, get_args

import anyio

from aicore_tools.connections import Connection, Probe
from aicore_tools.errors import (
    BackendConfigError,
    BackendUnavailable,
    Conflict,
    InvalidInput,
    OutcomeUnknown,
    ToolsError,
)
from aicore_tools.journal import Claim, EffectJournal, Procedure
from aicore_tools.mail import messages, stored
from aicore_tools.mail.addresses import parse_address
from aicore_tools.mail.backends import imap_reading, imap_search, imap_writing
from aicore_tools.mail.backends.imap_link import DEADLINE_S, ImapLink, ImapSession
from aicore_tools.mail.backends.imap_places import DRAFT_HEADER, Place, draft_handle
from aicore_tools.mail.backends.one_shot import OneShots
from aicore_tools.mail.backends.smtp import Submission
from aicore_tools.mail.port import Done
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
    Role,
    SavedDraft,
    Sent,
    ThreadId,
)
from aicore_tools.mail.unchanged import check_unchanged, digest_of
from aicore_tools.operations import Effect, Operation
from aicore_tools.vendor_threads import VendorThreads

__all__ = ["ImapMailbox"]

T = TypeVar("T")

_EFFECT_DEADLINE_S = 180.0
_FAREWELL_S = 5.0


class ImapMailbox:
    """A Mailbox of one account. `path` is the journal's file; one a business and account.

    `addresses` are those to send from; without any, the connection's field `addresses`, else its
    `user`.
    """

    def __init__(
        self, path: Path, *, business: str, connection: Connection, addresses: Sequence[Address]
    ) -> None:
        self._connection = connection
        self._addresses = tuple(addresses) or _own_addresses(connection)
        self._link = ImapLink(connection)
        self._submission = Submission(connection)
        self._threads = VendorThreads(limit=1)
        self._given: dict[str, DraftContent] = {}
        self._shots = OneShots(path.with_suffix(".sent.db"), business=business)
        self._journal = EffectJournal(
            path,
            # With the account in it: the same operation key in two accounts is two Message-IDs.
            business=f"{business} {connection.account}",
            deadline_s=_EFFECT_DEADLINE_S,
            procedures=[
                Procedure(name="draft", perform=self._save, reconcile=self._find_saved),
                Procedure(name="send", perform=self._send, reconcile=self._find_sent),
                Procedure(name="organize", perform=self._organize, reconcile=self._organize),
            ],
        )

    async def __aenter__(self) -> Self:
        await self._journal.__aenter__()
        try:
            await self._shots.__aenter__()
        except BaseException as error:
            await self._journal.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._shots.__aexit__(kind, error, trace)
        await self._journal.__aexit__(kind, error, trace)
        with anyio.CancelScope(shield=True), suppress(TimeoutError):
            await self._threads.run(_FAREWELL_S, self._link.close)

    @property
    def addresses(self) -> Sequence[Address]:
        """The addresses it may send from, the usual one first."""
        return self._addresses

    async def probe(self) -> Probe:
        """Log in at both servers and look into the inbox."""
        folders = await self.folders()
        server = await self._submission.probe()
        inbox = next(folder for folder in folders if folder.role == "inbox")
        missing = [f.name for f in folders if f.role is not None and f.total is None]
        made = f"Folders that are made when needed: {', '.join(missing)}."
        return Probe(
            name=f"{self._connection.need('user')} at {self._link.host} ({inbox.total} in inbox)",
            can=("read, draft and organize mail", f"send over {server}"),
            warnings=(made,) if missing else (),
        )

    async def folders(self) -> Sequence[Folder]:
        """Give the folders and labels with their counts."""

        def run(session: ImapSession) -> list[Folder]:
            folders = session.folders()
            roles: Sequence[Role] = get_args(Role)
            named = {role: folders.named(role) for role in roles}
            own = sorted(name for name in folders.names if name not in named.values())
            labels = imap_search.labels(session)
            return [
                *(_counted(session, name, role) for role, name in named.items()),
                *(_counted(session, name, None) for name in own),
                *(Folder(name=label, is_label=True) for label in labels),
            ]

        return await self._read(run)

    async def search(self, search: MailSearch) -> MailPage:
        """Give one page, newest first by folder, merged by when they arrived."""
        return await self._read(lambda session: imap_search.find(session, search))

    async def get(self, mail_id: str) -> Mail:
        """Give a mail or draft by its id or its Message-ID."""

        def run(session: ImapSession) -> Mail:
            return imap_reading.mail_of(session, imap_reading.locate(session, mail_id))

        return await self._read(run)

    async def rows(self, mail_ids: Sequence[str]) -> Sequence[MailRow]:
        """Give the rows of mails or drafts by id, in that order."""

        def run(session: ImapSession) -> list[MailRow]:
            found = imap_reading.several(session, mail_ids)
            return [imap_reading.row_of(session, place, one) for place, one in found]

        return await self._read(run)

    async def thread(self, thread: ThreadId) -> Sequence[Mail]:
        """Give the mails of a thread without drafts, trash and spam, oldest first."""
        return await self._read(lambda session: imap_reading.thread_mails(session, thread))

    async def draft(self, draft_id: str) -> Draft:
        """Give a draft with the content of its attachments."""
        await self._refuse_sent(draft_id)
        return (await self._read(lambda session: self._draft_mail(session, draft_id)))[1]

    async def earlier(self, operation: Operation) -> Effect[Done] | None:
        """Give what `operation` did before, as a replay; looks up what broke off."""
        effect = await self._journal.earlier(operation)
        return None if effect is None else effect.map(stored.done)

    async def save_draft(
        self, operation: Operation, content: DraftContent, draft_id: MailId | None = None
    ) -> Effect[SavedDraft]:
        """Make a draft, or put `content` in the place of all that the one named says."""
        first = None
        if draft_id is not None and await self._journal.earlier(operation) is None:
            await self._refuse_sent(draft_id)
            place = await self._read(lambda s: imap_reading.locate_draft(s, draft_id))
            first = None if draft_id == draft_handle(draft_id) else place
        token = secrets.token_hex(8)
        request = {
            "given": token,
            "handle": None if draft_id is None else draft_handle(draft_id),
            "first": first,
            "saved": stored.kept(SavedDraft.of(draft_id or "", content)),
        }
        self._given[token] = content
        try:
            effect = await self._journal.effect(operation, "draft", request)
        finally:
            del self._given[token]
        return stored.expect(SavedDraft, effect)

    async def send(self, operation: Operation, draft: Draft) -> Effect[Sent]:
        """Send a draft, never twice; the copy goes to the sent folder, the draft away."""
        if await self._journal.earlier(operation) is None:
            await self._refuse_sent(draft.id)
            await self._read(lambda session: imap_reading.locate_draft(session, draft.id))
        digest = digest_of(draft.content)
        request = {"draft": draft.id, "digest": digest, "version": draft.version}
        effect = await self._journal.effect(operation, "send", request)
        return stored.expect(Sent, effect)

    async def organize(
        self, operation: Operation, mail_ids: Sequence[MailId], action: Action, label: str = ""
    ) -> Effect[Organized]:
        """Do `action` to mails; moving gives them other ids."""
        mails: list[dict[str, Any]] = []
        if await self._journal.earlier(operation) is None:
            mails = await self._read(lambda session: self._described(session, mail_ids))
        request = {"action": action, "label": label, "mails": mails}
        effect = await self._journal.effect(operation, "organize", request)
        return stored.expect(Organized, effect)

    async def _save(self, claim: Claim) -> dict[str, Any]:
        content = self._given[claim.request["given"]]
        message_id, handle = _message_id(claim, content), _handle(claim)
        await claim.note(message_id=message_id)

        def run(session: ImapSession) -> None:
            raw = messages.build(
                content,
                message_id=message_id,
                at=datetime.now(UTC),
                headers=[(DRAFT_HEADER, handle)],
                is_draft=True,
            )
            folder = session.folder_for("drafts")
            imap_writing.append_once(session, folder, raw, message_id, "\\Draft \\Seen")

        await self._change(run)
        try:
            return await self._replaced(claim)
        except ToolsError as error:  # whatever it says of itself: the draft is there
            raise OutcomeUnknown("The draft was saved; an older version may be left.") from error

    async def _find_saved(self, claim: Claim) -> dict[str, Any] | None:
        message_id = claim.notes.get("message_id")
        if message_id is None:
            return None
        found = await self._read(
            lambda s: imap_writing.find_in(s, s.folders().named("drafts"), message_id)
        )
        return None if found is None else await self._replaced(claim)

    async def _replaced(self, claim: Claim) -> dict[str, Any]:
        """Take the older versions of a saved draft away; gives what was saved."""
        first = claim.request["first"]

        def run(session: ImapSession) -> None:
            folder = session.folders().named("drafts")
            kept = imap_writing.find_in(session, folder, claim.notes["message_id"])
            if kept is not None:
                also = None if first is None else Place(*first)
                imap_writing.drop_draft(session, _handle(claim), keep=kept.uid, also=also)

        await self._change(run)
        shown_id = claim.request["saved"]["id"] or _handle(claim)
        return {**claim.request["saved"], "id": shown_id}

    async def _send(self, claim: Claim) -> dict[str, Any]:
        handle = draft_handle(claim.request["draft"])
        await self._shots.take(handle, claim.key)
        try:
            raw = await self._handed_over(claim)
        except OutcomeUnknown:
            raise
        except ToolsError:
            await self._shots.give_back(handle, claim.key)
            raise
        return await self._filed(claim, raw)

    async def _handed_over(self, claim: Claim) -> bytes:
        """Send the mail; gives its bytes. What it raises but OutcomeUnknown means: not sent."""
        draft_id = claim.request["draft"]
        mail, draft = await self._read(lambda session: self._draft_mail(session, draft_id))
        check_unchanged(draft, claim.request["digest"], claim.request["version"])
        content, sender = draft.content, draft.content.sender
        if not content.everyone:
            raise InvalidInput(f"Draft {draft_id} names nobody to send it to.")
        message_id = f"<{claim.key}@{sender.email.rpartition('@')[2]}>"
        raw = messages.finished(mail.raw, message_id=message_id, at=datetime.now(UTC))
        await claim.note(
            message_id=message_id,
            to=[str(address) for address in content.everyone],
            subject=content.subject,
            root=next(iter(content.threading.references), message_id),
        )
        recipients = [address.email for address in content.everyone]

        async def before_data() -> None:
            await claim.note(state="sending")

        async def after_data(refused: dict[str, str]) -> None:
            told = [f"{who}: {code}" for who, code in refused.items()]
            try:
                await claim.note(state="sent", refused=told)
            except ToolsError as error:  # whatever it says of itself: the mail is out
                raise OutcomeUnknown("The mail was sent, and that could not be noted.") from error

        await self._submission.send(
            sender.email,
            recipients,
            raw,
            copies=_copies_to_self(self._connection, sender, recipients),
            before_data=before_data,
            after_data=after_data,
        )
        return raw

    async def _find_sent(self, claim: Claim) -> dict[str, Any] | None:
        state = claim.notes.get("state")
        if state is None:
            await self._shots.give_back(draft_handle(claim.request["draft"]), claim.key)
            return None
        message_id = claim.notes["message_id"]
        if state == "sending":
            place = await self._read(lambda s: imap_writing.find_sent(s, message_id))
            if place is None:
                raise OutcomeUnknown(
                    "The connection broke while the mail was handed over, and it is not to be"
                    " found among the sent.",
                    hint="Ask a recipient, or look at the mail server's log, before sending again.",
                )
            await claim.note(state="sent", refused=[])
        return await self._filed(claim, None)

    async def _filed(self, claim: Claim, raw: bytes | None) -> dict[str, Any]:
        """Keep a copy of what was sent and take its draft away; gives what was sent.

        The mail is out: whatever fails here is only told.
        """
        warnings: list[str] = []
        message_id, draft_id = claim.notes["message_id"], claim.request["draft"]
        place = None
        try:
            content = raw or await self._rebuilt(claim, message_id)
            place = await self._change(lambda s: _file_copy(s, content, message_id))
            await self._change(lambda s: _drop(s, draft_id))
        except ToolsError:
            warnings.append("It was sent, but not everything could be filed: see drafts and sent.")
        root = claim.notes["root"]
        return stored.kept(
            Sent(
                id=MailId(message_id) if place is None else place.id,
                message_id=message_id,
                thread=ThreadId(f"t{root}"),
                to=claim.notes["to"],
                subject=claim.notes["subject"],
                refused=claim.notes["refused"],
                warnings=warnings,
            )
        )

    async def _rebuilt(self, claim: Claim, message_id: str) -> bytes | None:
        """Make the copy again from the draft, where a crash lost it; None: that is gone, or new."""
        draft_id = claim.request["draft"]
        try:
            mail, draft = await self._read(lambda session: self._draft_mail(session, draft_id))
            check_unchanged(draft, claim.request["digest"], claim.request["version"])
        except ToolsError as error:
            if isinstance(error, BackendUnavailable):
                raise
            return None
        return messages.finished(mail.raw, message_id=message_id, at=datetime.now(UTC))

    async def _organize(self, claim: Claim) -> dict[str, Any]:
        """Do it, or do what is left of it: doing it again changes nothing more."""
        action, label = claim.request["action"], claim.request["label"]
        ids = await self._change(
            lambda s: imap_writing.organize_all(s, action, label, claim.request["mails"])
        )
        return stored.kept(Organized(action=action, ids=[MailId(i) for i in ids], label=label))

    def _described(self, session: ImapSession, mail_ids: Sequence[str]) -> list[dict[str, Any]]:
        """Say where mails are and how to find them again, as plain JSON."""
        own = {address.email.lower() for address in self._addresses}
        described = []
        for place, found in imap_reading.several(session, mail_ids):
            parsed = messages.parse(found.raw)
            home = "sent" if parsed.sender.email.lower() in own else "inbox"
            described.append(
                {
                    "place": list(place),
                    "message_id": parsed.message_id,
                    "home": "drafts" if "\\Draft" in found.flags else home,
                }
            )
        return described

    def _draft_mail(self, session: ImapSession, draft_id: str) -> tuple[Mail, Draft]:
        """Give a draft's bytes, and what they say."""
        mail = imap_reading.mail_of(session, imap_reading.locate_draft(session, draft_id))
        content = messages.content_of(mail.raw, thread=mail.row.thread)
        if not content.sender.email:
            content = replace(content, sender=self._addresses[0])
        version = hashlib.sha256(mail.raw).hexdigest()
        return mail, Draft(id=MailId(draft_id), content=content, version=version)

    async def _refuse_sent(self, draft_id: str) -> None:
        if await self._shots.is_taken(draft_handle(draft_id)):
            raise Conflict(
                f"Draft {draft_id} was sent before, or may have been.",
                hint="Look among the sent mails. Make a new draft to send another mail.",
                code="already_sent",
            )

    async def _read(self, work: Callable[[ImapSession], T]) -> T:
        try:
            return await self._threads.run(DEADLINE_S, self._link.read, work)
        except TimeoutError as error:
            raise BackendUnavailable("The mail server is too slow.") from error

    async def _change(self, work: Callable[[ImapSession], T]) -> T:
        try:
            return await self._threads.run(DEADLINE_S, self._link.change, work)
        except TimeoutError as error:
            raise OutcomeUnknown("The mail server did not answer in time.") from error


def _own_addresses(connection: Connection) -> tuple[Address, ...]:
    given = connection.get("addresses", connection.need("user"))
    try:
        return tuple(parse_address(part) for part in given.split(",") if part.strip())
    except InvalidInput as error:
        raise BackendConfigError(
            "The connection to imap names no address to send from.",
            hint="Give the field addresses, or --address to the server.",
        ) from error


def _copies_to_self(
    connection: Connection, sender: Address, recipients: Sequence[str]
) -> list[str]:
    """Give whom else to send to, where the business wants a copy of all it sends."""
    wanted = connection.get("self_bcc").lower() == "yes"
    known = {address.lower() for address in recipients}
    return [sender.email] if wanted and sender.email.lower() not in known else []


def _counted(session: ImapSession, name: str | None, role: Role | None) -> Folder:
    if name is None:
        return Folder(name=role or "", role=role)
    status = session.box.folder.status(name, ["MESSAGES", "UNSEEN"])
    return Folder(
        name=role or name, role=role, total=status.get("MESSAGES"), unread=status.get("UNSEEN")
    )


def _message_id(claim: Claim, content: DraftContent) -> str:
    return f"<{claim.key}@{content.sender.email.rpartition('@')[2]}>"


def _handle(claim: Claim) -> str:
    return str(claim.request["handle"] or f"d{claim.key[:24]}")


def _file_copy(session: ImapSession, raw: bytes | None, message_id: str) -> Place | None:
    if raw is None:
        return imap_writing.find_sent(session, message_id)
    folder = session.folder_for("sent")
    return imap_writing.append_once(session, folder, raw, message_id, "\\Seen")


def _drop(session: ImapSession, draft_id: str) -> None:
    handle = draft_handle(draft_id)
    also = None if handle == draft_id else Place.of(draft_id)
    imap_writing.drop_draft(session, handle, keep=None, also=also)
