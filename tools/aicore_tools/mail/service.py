"""The rules of mail: who may be written to and from, how replies hang together. Port only."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import anyio
from anyio import to_thread

from aicore_tools.connections import Probe
from aicore_tools.errors import (
    BackendConfigError,
    BackendUnavailable,
    InvalidInput,
    NotAllowed,
    NotFound,
    OutcomeUnknown,
    ToolsError,
)
from aicore_tools.mail import drafting, reading
from aicore_tools.mail.addresses import parse_address
from aicore_tools.mail.drafting import AttachmentInput, DraftInput
from aicore_tools.mail.messages import parse
from aicore_tools.mail.port import Done, Mailbox
from aicore_tools.mail.reading import AttachmentForm, Opened, ReadFormat, Reading
from aicore_tools.mail.recipients import Recipients
from aicore_tools.mail.records import (
    Action,
    Address,
    Draft,
    DraftContent,
    File,
    Folder,
    Mail,
    MailPage,
    MailRow,
    MailSearch,
    Organized,
    SavedDraft,
    Sent,
    ThreadId,
)
from aicore_tools.mail.timer import Due, Scheduled, SendTimer
from aicore_tools.mail.unchanged import check_unchanged
from aicore_tools.operations import Effect, Operation
from aicore_tools.times import read_when

__all__ = ["MailService", "PlannedDraft", "PlannedOrganizing", "PlannedSending"]

_log = logging.getLogger(__name__)

MAX_ROWS = 100
MAX_ORGANIZED = 200
MAX_LABEL_CHARS = 60
_MAX_AHEAD = timedelta(days=366)
_NAMED_ACTIONS = ("label", "unlabel", "move")
_LEAVING_SENT = ("archive", "spam", "move")
_FOR_DRAFTS = ("trash", "restore", "label", "unlabel", "star", "unstar", "read", "unread")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedDraft:
    """A draft as it would be saved, and as it is where it is an edit."""

    content: DraftContent
    before: Draft | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedSending:
    """A draft as it would be sent: at once, or at a time."""

    draft: Draft
    send_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedOrganizing:
    """The mails as they are, and what would be done to them. `is_new`: `label` would be made."""

    action: Action
    mails: Sequence[MailRow]
    label: str = ""
    is_new: bool = False


class MailService:
    """Checks what comes in, threads replies, and asks the mailbox.

    `zone` is that of times without an offset (None: UTC), `recipients` whom mail may go to (None:
    everybody), `files` the folder attachments are put into (None: they are read as text only),
    `timer` what keeps mails that are sent later (None: they are refused).
    """

    def __init__(
        self,
        mailbox: Mailbox,
        *,
        zone: ZoneInfo | None = None,
        recipients: Recipients | None = None,
        files: Path | None = None,
        timer: SendTimer | None = None,
    ) -> None:
        self._mailbox = mailbox
        self._zone = zone or ZoneInfo("UTC")
        self._recipients = recipients or Recipients()
        self._files = files
        self._timer = timer

    async def probe(self) -> Probe:
        """Prove the connection by a read."""
        return await self._mailbox.probe()

    async def earlier(self, operation: Operation) -> Effect[Done] | None:
        """Give what `operation` did before; None if it did nothing yet."""
        if self._timer is not None and (waits := await self._timer.earlier(operation)) is not None:
            done: Done = waits.result
            return Effect(result=done, is_replay=True)
        return await self._mailbox.earlier(operation)

    async def folders(self) -> tuple[Sequence[Address], Sequence[Folder]]:
        """Give the addresses of the business, and the folders and labels."""
        return self._mailbox.addresses, await self._mailbox.folders()

    async def scheduled(self) -> Sequence[Scheduled]:
        """Give the mails that wait for their time, or could not be sent at it."""
        return () if self._timer is None else await self._timer.open_ones()

    async def search(
        self, search: MailSearch, *, after: str | None = None, before: str | None = None
    ) -> MailPage:
        """Find mails. `after` (included) and `before` (not) are dates or RFC 3339 times.

        Raises:
            InvalidInput: a date, the limit, the folder or the cursor is wrong.
        """
        if not 1 <= search.limit <= MAX_ROWS:
            raise InvalidInput(f"limit: give 1 to {MAX_ROWS}, not {search.limit}.")
        start, end = self._moment("after", after), self._moment("before", before)
        if start is not None and end is not None and start >= end:
            raise InvalidInput(
                f"after ({after}) is not before before ({before}).",
                hint="`after` is where the time begins, `before` where it ends.",
            )
        asked = replace(search, query=drafting.clean(search.query), after=start, before=end)
        return await self._mailbox.search(asked)

    async def read(
        self, mail_id: str, *, form: ReadFormat = "text", offset: int = 0, max_chars: int = 8000
    ) -> Reading:
        """Read a mail, a draft, or a whole thread (`t…`); nothing is marked as read.

        Raises:
            NotFound: there is none.
            InvalidInput: offset or max_chars is out of range.
        """
        reading.check_stretch(offset, max_chars)
        mails = await self._mails(mail_id)

        def take() -> Reading:  # large mails take a while to take apart
            parsed = [parse(mail.raw) for mail in mails]
            return reading.read(mails, parsed, form, offset, max_chars)

        return await to_thread.run_sync(take)

    async def attachment(
        self,
        mail_id: str,
        wanted: str,
        *,
        form: AttachmentForm = "text",
        offset: int = 0,
        max_chars: int = 8000,
    ) -> Opened:
        """Open an attachment by its number or name: its text, or a file with its content.

        Raises:
            NotFound: there is no such mail or attachment.
            InvalidInput: it is no text, or the stretch is out of range.
        """
        reading.check_stretch(offset, max_chars)
        file = await self._file(mail_id, wanted)
        if form == "text":
            return await to_thread.run_sync(reading.opened, file, offset, max_chars)
        if self._files is None:
            raise BackendConfigError("There is no folder to put attachments into.")
        return await to_thread.run_sync(reading.keep_file, self._files, file)

    async def plan_draft(self, given: DraftInput) -> PlannedDraft:
        """Check and complete a draft, or the change of the one `draft_id` names.

        Raises:
            InvalidInput: an address, a text, an attachment or a combination is wrong.
            NotAllowed: `sender` is none of the business's own addresses.
            NotFound: the draft, or the mail replied to or forwarded, does not exist.
            Conflict: the draft was sent.
        """
        own = self._mailbox.addresses
        content = drafting.texts(DraftContent(sender=own[0]), given)
        before = None
        if given.reply_to is not None:
            mail = await self._one(given.reply_to)
            content = await to_thread.run_sync(drafting.as_reply, content, given, mail, own)
        elif given.forward is not None:
            mail = await self._one(given.forward)
            content = await to_thread.run_sync(drafting.as_forward, content, given, mail)
        elif given.draft_id is not None:
            before = await self._mailbox.draft(given.draft_id)
            content = drafting.texts(before.content, given)
        if given.sender is not None:
            content = replace(content, sender=self._sender(given.sender))
        if given.attachments is not None:
            kept = content.files if given.forward is not None else ()
            files = [await self._attached(each) for each in given.attachments]
            content = replace(content, files=[*kept, *files])
        drafting.check_size(content)
        return PlannedDraft(content=content, before=before)

    async def draft(self, plan: PlannedDraft, operation: Operation) -> Effect[SavedDraft]:
        """Save a draft. Nothing is sent."""
        draft_id = None if plan.before is None else plan.before.id
        return await self._mailbox.save_draft(operation, plan.content, draft_id)

    async def plan_send(self, draft_id: str, send_at: str | None = None) -> PlannedSending:
        """Look at a draft that is to be sent, at once or at a time.

        Raises:
            NotFound: there is no such draft.
            Conflict: it was sent before.
            InvalidInput: nobody would receive it, or the time is none or past.
            NotAllowed: somebody may not be written to, or its sender is not ours.
        """
        draft = await self._mailbox.draft(draft_id)
        if not draft.content.everyone:
            raise InvalidInput(
                f"Draft {draft_id} names nobody to send it to.",
                hint="Add `to` with mail_draft and this draft_id.",
            )
        drafting.check_size(draft.content)
        self._sender(draft.content.sender.email)
        self._recipients.check(draft.content.everyone)
        return PlannedSending(draft=draft, send_at=self._later(send_at))

    async def send(self, plan: PlannedSending, operation: Operation) -> Effect[Sent]:
        """Send a draft, once only; where the plan has a time, keep it until then.

        Raises:
            Conflict: the draft is not what was planned any more (`changed_meanwhile`).
            NotAllowed: somebody may not be written to.
        """
        self._recipients.check(plan.draft.content.everyone)
        if plan.send_at is not None and self._timer is not None:
            return await self._timer.schedule(operation, plan.draft, plan.send_at)
        effect = await self._mailbox.send(operation, plan.draft)
        if self._timer is not None:
            await self._timer.forget(plan.draft.id)
        return effect

    async def keep_time(self) -> None:
        """Send what is due, until cancelled; what is being sent then is finished first."""
        if self._timer is None:
            return
        is_start = True
        while True:
            try:
                with anyio.CancelScope(shield=True):
                    await self.send_due(with_unknown=is_start)
                is_start = False
            except ToolsError:
                _log.warning("mail_timer_failed", exc_info=True)
            await self._timer.pause()

    async def send_due(self, *, with_unknown: bool = False) -> None:
        """Send every scheduled mail whose time has come; what fails is kept with its reason."""
        if self._timer is not None:
            for due in await self._timer.due(with_unknown=with_unknown):
                await self._send_due(self._timer, due)

    async def _send_due(self, timer: SendTimer, due: Due) -> None:
        try:
            if await self._mailbox.earlier(due.operation) is None:
                plan = await self.plan_send(due.draft)
                check_unchanged(plan.draft, due.digest)
                await self.send(plan, due.operation)
        except BackendUnavailable:
            return  # it stays due
        except OutcomeUnknown as error:
            await timer.settle(due, "unknown", error.message)
        except ToolsError as error:
            await timer.settle(due, "stopped", error.message)
        else:
            await timer.settle(due, "sent")

    async def plan_organize(
        self, ids: Sequence[str], action: Action, label: str = ""
    ) -> PlannedOrganizing:
        """Look at the mails (threads as all their mails) that are to be organized.

        Raises:
            NotFound: one of them is not there.
            InvalidInput: too many, a label is missing or wrong, or a draft would be moved.
        """
        if not 1 <= len(ids) <= MAX_ORGANIZED:
            raise InvalidInput(f"ids: give 1 to {MAX_ORGANIZED}, not {len(ids)}.")
        label = _label(action, label)
        mails = await self._rows(list(dict.fromkeys(ids)), action)
        if len(mails) > MAX_ORGANIZED:
            raise InvalidInput(f"These threads have {len(mails)} mails; {MAX_ORGANIZED} at once.")
        if action not in _FOR_DRAFTS and any(mail.folder == "drafts" for mail in mails):
            raise InvalidInput("A draft can be trashed, but not archived, moved or marked as spam.")
        is_new = False
        if action in ("label", "move"):
            known = {
                each.name.casefold()
                for each in await self._mailbox.folders()
                if each.is_label == (action == "label")
            }
            is_new = label.casefold() not in known
        return PlannedOrganizing(action=action, mails=mails, label=label, is_new=is_new)

    async def organize(self, plan: PlannedOrganizing, operation: Operation) -> Effect[Organized]:
        """Do an action to mails."""
        ids = [mail.id for mail in plan.mails]
        return await self._mailbox.organize(operation, ids, plan.action, plan.label)

    async def _rows(self, ids: Sequence[str], action: Action) -> list[MailRow]:
        """Give the rows of mails and threads; of a thread that is put away, not our own part."""
        singles = [each for each in ids if not each.startswith("t")]
        found = dict(zip(singles, await self._mailbox.rows(singles), strict=True))
        rows: dict[str, MailRow] = {}
        for each in ids:
            mails = [found[each]] if each in found else [m.row for m in await self._mails(each)]
            if each not in found and action in _LEAVING_SENT:
                mails = [mail for mail in mails if mail.folder != "sent"] or mails
            rows |= {row.id: row for row in mails}
        return list(rows.values())

    async def _mails(self, mail_id: str) -> Sequence[Mail]:
        if not mail_id.startswith("t"):
            return [await self._mailbox.get(mail_id)]
        mails = await self._mailbox.thread(ThreadId(mail_id))
        if not mails:
            raise NotFound(f"There is no thread {mail_id}.", hint="Find it with mail_search.")
        return mails

    async def _one(self, mail_id: str) -> Mail:
        """Find the mail to answer: of a thread, its last."""
        mail = (await self._mails(mail_id))[-1]
        if mail.row.folder == "drafts":
            raise InvalidInput(f"{mail_id} is a draft; edit it with draft_id.")
        return mail

    async def _file(self, mail_id: str, wanted: str) -> File:
        mail = await self._mailbox.get(mail_id)
        parsed = await to_thread.run_sync(parse, mail.raw)
        return drafting.pick(parsed, wanted)

    async def _attached(self, given: AttachmentInput) -> File:
        if given.mail is None:
            return await to_thread.run_sync(drafting.file_of, given)
        if given.text is not None or given.base64 is not None:
            raise InvalidInput(f"attachments: give {given.name!r} as one of text, base64 or mail.")
        return await self._file(given.mail, given.name)

    def _sender(self, text: str) -> Address:
        wanted = parse_address(text)
        own = self._mailbox.addresses
        for address in own:
            if address.email.lower() == wanted.email.lower():
                return replace(address, name=wanted.name or address.name)
        raise NotAllowed(
            f"{wanted.email} is no address of this business.",
            hint=f"Send from: {', '.join(address.email for address in own)}.",
        )

    def _later(self, text: str | None) -> datetime | None:
        """Read when a mail is to be sent."""
        if text is None:
            return None
        if self._timer is None:
            raise BackendConfigError("This mailbox keeps no mails for later.")
        when = read_when(text, self._zone, name="send_at", exact=True)
        if when.day is not None:
            raise InvalidInput("send_at: give a time too.", hint="Such as 2026-11-24T15:00.")
        if not timedelta() < when.moment - self._timer.now() <= _MAX_AHEAD:
            raise InvalidInput("send_at: give a time in the coming year.")
        return when.moment

    def _moment(self, name: str, text: str | None) -> datetime | None:
        if text is None:
            return None
        try:
            if len(text) == len("2026-03-01"):
                return datetime.combine(date.fromisoformat(text), time(), self._zone)
            moment = datetime.fromisoformat(text)
            moment = moment if moment.tzinfo else moment.replace(tzinfo=self._zone)
            return moment.astimezone(UTC)
        except (ValueError, OverflowError) as error:
            raise InvalidInput(
                f"{name}: {text!r} is no date, such as 2026-03-01, and no RFC 3339 time."
            ) from error


def _label(action: Action, label: str) -> str:
    """Check the label of an action that has one."""
    label = " ".join(label.split())
    if action not in _NAMED_ACTIONS:
        if label:
            raise InvalidInput(f"{action} takes no label.")
        return ""
    is_plain = label.isprintable() and not any(each in label for each in '"\\%*')
    if not 1 <= len(label) <= MAX_LABEL_CHARS or not is_plain:
        raise InvalidInput(
            f'label: {action} needs a name of 1 to {MAX_LABEL_CHARS} characters without "\\%*.'
        )
    if action == "move" and label in ("drafts", "sent"):
        raise InvalidInput(f"Nothing can be moved to {label}.")
    return label
