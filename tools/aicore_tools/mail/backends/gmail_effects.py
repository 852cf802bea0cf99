"""What changes a Gmail account, each so that it happens once and can be found again.

A draft carries the key of its claim in the header X-Aicore-Op: by it the draft, and the mail that
it became, are found again. A draft is a one-shot token: sending it a second time is refused.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

import anyio
from anyio import to_thread

from aicore_tools.errors import Conflict, InvalidInput, NotFound, OutcomeUnknown, ToolsError
from aicore_tools.google_client import GoogleClient, Upload, together
from aicore_tools.journal import Claim, EffectJournal, Procedure
from aicore_tools.mail import stored
from aicore_tools.mail.backends.gmail_rows import ROLE_LABELS, at_of, header_of, others_than
from aicore_tools.mail.messages import build, content_of, message_id_for
from aicore_tools.mail.records import (
    Action,
    Draft,
    DraftContent,
    MailId,
    Organized,
    SavedDraft,
    Sent,
    ThreadId,
)
from aicore_tools.mail.unchanged import check_unchanged, digest_of
from aicore_tools.operations import Operation

__all__ = ["GmailEffects"]

_OP = "X-Aicore-Op"
_SHOWN = [_OP, "Message-ID", "Subject", "To", "Cc", "Bcc"]
_UPLOAD_FROM_BYTES = 3_000_000
_MOST_BYTES = 35_000_000
_PAGE = 25
_SLACK = timedelta(minutes=5)  # between this clock and Google's
_FIXED: Mapping[Action, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "archive": ((), ("INBOX",)),
    "trash": (("TRASH",), ("INBOX", "SPAM")),
    "read": ((), ("UNREAD",)),
    "unread": (("UNREAD",), ()),
    "star": (("STARRED",), ()),
    "unstar": ((), ("STARRED",)),
    "spam": (("SPAM",), ("INBOX", "TRASH")),
}
_MOVES: Mapping[str, Action] = {"archive": "archive", "trash": "trash", "spam": "spam"}


class GmailEffects:
    """The three effects of a Gmail account. `journal` must be set before any is done."""

    journal: EffectJournal

    def __init__(self, client: GoogleClient) -> None:
        self._client = client
        self._contents: dict[str, DraftContent] = {}
        self._turns: WeakValueDictionary[str, anyio.Lock] = WeakValueDictionary()

    @property
    def procedures(self) -> Sequence[Procedure]:
        """How each is done and found again."""
        return [
            Procedure(name="save_draft", perform=self._save_draft, reconcile=self._find_draft),
            Procedure(name="send", perform=self._send, reconcile=self._find_sent),
            Procedure(name="organize", perform=self._organize, reconcile=self._find_organized),
            Procedure(name="remember", perform=self._remembered, reconcile=self._remembered),
        ]

    @contextmanager
    def holding(self, content: DraftContent) -> Iterator[str]:
        """Keep a draft's content for the claim that names it: mail does not go into the journal."""
        held = secrets.token_hex(8)
        self._contents[held] = content
        try:
            yield held
        finally:
            del self._contents[held]

    # --- drafts

    async def draft(self, draft_id: str) -> Draft:
        """Give a draft with the content of its attachments; its message is its version.

        Raises:
            NotFound, Conflict: as `open_draft`.
        """
        message = await self.open_draft(draft_id)
        raw = base64.urlsafe_b64decode(message["raw"])
        thread = ThreadId(f"t{message['threadId']}")
        content = await to_thread.run_sync(lambda: content_of(raw, thread=thread))
        return Draft(id=MailId(draft_id), content=content, version=message["id"])

    def _turn(self, draft_id: str) -> anyio.Lock:
        """Let one task of this process at a time change or send a draft."""
        return self._turns.setdefault(draft_id, anyio.Lock())

    async def open_draft(self, draft_id: str, form: str = "raw") -> dict[str, Any]:
        """Give the message of a draft.

        Raises:
            NotFound: there is no such draft.
            Conflict: it was sent by us.
        """
        no_draft = NotFound(f"There is no draft {draft_id}.", hint="Make one with mail_draft.")
        if not draft_id:
            raise no_draft
        try:
            found = await self._client.read(
                "users.drafts", "get", userId="me", id=draft_id, format=form
            )
        except (NotFound, InvalidInput) as error:
            await self._refuse_sent(draft_id)
            raise no_draft from error
        message: dict[str, Any] = found["message"]
        if "TRASH" in message.get("labelIds", ()):
            raise no_draft
        return message

    async def _save_draft(self, claim: Claim) -> dict[str, Any]:
        draft_id = claim.request["draft"]
        if draft_id is None:
            return await self._write_draft(claim, None)
        async with self._turn(draft_id):
            return await self._write_draft(claim, draft_id)

    async def _write_draft(self, claim: Claim, draft_id: str | None) -> dict[str, Any]:
        content = self._contents[claim.request["content"]]
        message_id = message_id_for(claim.key, content.sender)
        if draft_id is not None:
            before = await self.open_draft(draft_id, "metadata")
            message_id = header_of(before, "Message-ID") or message_id
        raw = build(
            content,
            message_id=message_id,
            at=datetime.now(UTC),
            headers=[(_OP, claim.key)],
            is_draft=True,
        )
        thread = content.threading.thread
        where = {"threadId": thread.removeprefix("t")} if thread else {}
        named: dict[str, Any] = {} if draft_id is None else {"id": draft_id}
        method = "create" if draft_id is None else "update"
        written = _written(raw, where)
        saved = await self._client.do("users.drafts", method, userId="me", **named, **written)
        return _saved(saved, content)

    async def _find_draft(self, claim: Claim) -> dict[str, Any] | None:
        """Find a draft by its claim's key; of several that are the same, keep one."""
        draft_id = claim.request["draft"]
        if draft_id is not None:
            try:
                found = [(draft_id, await self.open_draft(draft_id, "metadata"))]
            except (NotFound, Conflict):
                return None
        else:
            found = await self._recent_drafts(_since(claim))
        same = [(key, each) for key, each in found if header_of(each, _OP) == claim.key]
        if not same:
            return None
        for extra, _ in same[1:]:
            await self._client.do("users.drafts", "delete", userId="me", id=extra)
        kept = await self._client.read(
            "users.drafts", "get", userId="me", id=same[0][0], format="raw"
        )
        raw = base64.urlsafe_b64decode(kept["message"]["raw"])
        return _saved(kept, await to_thread.run_sync(content_of, raw))

    async def _recent_drafts(self, since: datetime) -> list[tuple[str, dict[str, Any]]]:
        found: list[tuple[str, dict[str, Any]]] = []
        page: dict[str, Any] = {}
        while True:
            more = {"pageToken": page["nextPageToken"]} if page else {}
            page = await self._client.read(
                "users.drafts", "list", userId="me", maxResults=_PAGE, **more
            )
            drafts = page.get("drafts", ())
            messages = await self._headers([each["message"]["id"] for each in drafts])
            rows = zip((each["id"] for each in drafts), messages, strict=True)
            found += [row for row in rows if at_of(row[1]) >= since]
            is_past = any(at_of(each) < since for each in messages)
            if is_past or "nextPageToken" not in page:
                return found

    # --- sending

    async def sending(self, draft: Draft) -> dict[str, Any]:
        """Look at a draft that is to be sent as planned, and give what finds its mail again.

        Raises:
            NotFound: there is no such draft.
            Conflict: it was sent by us.
            InvalidInput: nobody would receive it.
        """
        message = await self.open_draft(draft.id, "metadata")
        content = draft.content
        if not content.everyone:
            raise InvalidInput(
                f"Draft {draft.id} names nobody to send it to.",
                hint="Add `to` with mail_draft and this draft_id.",
            )
        return {
            "draft": draft.id,
            "digest": digest_of(content),
            "version": draft.version,
            "thread": message["threadId"],
            "op": header_of(message, _OP),
            "message_id": header_of(message, "Message-ID"),
            "to": [str(address) for address in content.everyone],
            "subject": content.subject,
            "look": _look(message),
        }

    async def _send(self, claim: Claim) -> dict[str, Any]:
        draft_id = claim.request["draft"]
        async with self._turn(draft_id):
            # Gmail has no condition for sending: looked at as late as can be.
            now = await self.draft(draft_id)
            check_unchanged(now, claim.request["digest"], claim.request["version"])
            try:
                sent = await self._client.do(
                    "users.drafts", "send", userId="me", body={"id": draft_id}
                )
            except NotFound:  # it was there a moment ago
                await self._refuse_sent(draft_id)
                with _after_the_effect():
                    sent = {"id": await self._sent_message(claim)}
        with _after_the_effect():
            await claim.note(message=sent["id"])
            return await self._sent(claim, sent["id"])

    async def _find_sent(self, claim: Claim) -> dict[str, Any] | None:
        """Find the mail a draft became. While the draft is there, it was not sent."""
        if "message" in claim.notes:
            return await self._sent(claim, claim.notes["message"])
        try:
            await self._client.read(
                "users.drafts", "get", userId="me", id=claim.request["draft"], format="minimal"
            )
        except NotFound:
            message = await self._sent_message(claim)
            await claim.note(message=message)
            return await self._sent(claim, message)
        return None

    async def _sent_message(self, claim: Claim) -> str:
        """Find the mail in its thread or among what was sent since.

        Raises:
            OutcomeUnknown: there is none: somebody may have thrown the draft away.
        """
        for message in await self._candidates(claim):
            if "SENT" in message["labelIds"] and _is_of(message, claim):
                return str(message["id"])
        raise OutcomeUnknown(
            "The draft is gone, and no mail that it became is found.",
            hint="Look into the sent mail of the account before sending it again.",
        )

    async def _candidates(self, claim: Claim) -> list[dict[str, Any]]:
        try:
            thread = await self._client.read(
                "users.threads",
                "get",
                userId="me",
                id=claim.request["thread"],
                format="metadata",
                metadataHeaders=_SHOWN,
            )
            found = list(thread["messages"])
        except NotFound:
            found = []
        since_s = int(_since(claim).timestamp())
        listed = await self._client.read(
            "users.messages",
            "list",
            userId="me",
            q=f"in:sent after:{since_s}",
            maxResults=100,
        )
        others = [each["id"] for each in listed.get("messages", ())]
        known = {each["id"] for each in found}
        return found + await self._headers([each for each in others if each not in known])

    async def _sent(self, claim: Claim, message: str) -> dict[str, Any]:
        """Give the result, and keep for every other key that this draft was sent."""
        (headers,) = await self._headers([message])
        others = others_than(claim.request["to"], headers)
        told = "The draft was changed in the moment it was sent: the mail went to {} too."
        result = Sent(
            id=MailId(message),
            message_id=header_of(headers, "Message-ID"),
            thread=ThreadId(f"t{headers['threadId']}"),
            to=claim.request["to"],
            subject=claim.request["subject"],
            warnings=[told.format(", ".join(others))] if others else [],
        )
        operation = _sending_of(claim.request["draft"])
        await self.journal.effect(operation, "remember", {"message_id": result.message_id})
        return stored.kept(result)

    async def _refuse_sent(self, draft_id: str) -> None:
        sent = await self.journal.earlier(_sending_of(draft_id))
        if sent is not None:
            raise Conflict(
                f"Draft {draft_id} was sent before, as {sent.result['message_id']}.",
                hint="Make a new draft to send another mail.",
                code="already_sent",
            )

    async def _remembered(self, claim: Claim) -> dict[str, Any]:
        return claim.request

    # --- organizing

    async def organizing(
        self, messages: Sequence[str], action: Action, label: str
    ) -> dict[str, Any]:
        """Look at mails that are to be organized, and give what to do to which.

        Raises:
            NotFound: one of them is not there.
            InvalidInput: nothing can be moved there.
        """
        read = partial(self._client.read, "users.messages", "get", userId="me", format="minimal")
        try:
            found = await together([partial(read, id=each) for each in messages])
        except InvalidInput as error:  # what Gmail calls a malformed id
            raise NotFound("One of the mails is not there.") from error
        groups: dict[tuple[tuple[str, ...], tuple[str, ...]], list[str]] = {}
        for each in found:
            change = _change(action, label, each.get("labelIds", ()))
            groups.setdefault(change, []).append(each["id"])
        changes = [
            {"ids": ids, "add": list(add), "remove": list(remove)}
            for (add, remove), ids in groups.items()
        ]
        return {"action": action, "label": label, "changes": changes}

    async def _organize(self, claim: Claim) -> dict[str, Any]:
        request = claim.request
        label = await self._label(request, is_made=request["action"] != "unlabel")
        changes = request["changes"]
        for change in changes[:1]:
            await self._relabel(change, request["action"], label)
        with _after_the_effect():
            for change in changes[1:]:
                await self._relabel(change, request["action"], label)
        return _organized(claim)

    async def _relabel(self, change: Mapping[str, Any], action: str, label: str) -> None:
        added, removed = _with_label(change, action, label)
        if added or removed:
            body = {"ids": change["ids"], "addLabelIds": added, "removeLabelIds": removed}
            await self._client.do("users.messages", "batchModify", userId="me", body=body)

    async def _find_organized(self, claim: Claim) -> dict[str, Any] | None:
        """See whether every mail carries the labels it should; None lets it be done again."""
        request = claim.request
        label = await self._label(request, is_made=False)
        read = partial(self._client.read, "users.messages", "get", userId="me", format="minimal")
        for change in request["changes"]:
            added, removed = _with_label(change, request["action"], label)
            if request["action"] in {"label", "move"} and not label and not added:
                return None
            for each in await together([partial(read, id=key) for key in change["ids"]]):
                carried = set(each.get("labelIds", ()))
                if not set(added) <= carried or set(removed) & carried:
                    return None
        return _organized(claim)

    async def _label(self, request: Mapping[str, Any], *, is_made: bool) -> str:
        """Give the id of the label that is named; "" where none is needed or there is none."""
        name = request["label"]
        if not name or (request["action"] == "move" and name in {*_MOVES, "inbox"}):
            return ""
        answer = await self._client.read("users.labels", "list", userId="me")
        own = {each["name"].casefold(): each["id"] for each in answer["labels"]}
        found = own.get(name.casefold())
        if found is not None or not is_made:
            return str(found or "")
        shown = {"labelListVisibility": "labelShow", "messageListVisibility": "show"}
        try:
            made = await self._client.do(
                "users.labels", "create", userId="me", body={"name": name, **shown}
            )
        except Conflict:  # somebody was faster
            return await self._label(request, is_made=False)
        return str(made["id"])

    async def _headers(self, messages: Sequence[str]) -> list[dict[str, Any]]:
        read = partial(self._client.read, "users.messages", "get", userId="me", format="metadata")
        return await together([partial(read, id=each, metadataHeaders=_SHOWN) for each in messages])


@contextmanager
def _after_the_effect() -> Iterator[None]:
    """Let no failure to read look as if nothing had been done."""
    try:
        yield
    except ToolsError as error:
        raise OutcomeUnknown("It was done, at least in part; the rest failed.") from error


def _written(raw: bytes, where: Mapping[str, str]) -> dict[str, Any]:
    """Give a message for a call: within the JSON, or beside it where it is large.

    Raises:
        InvalidInput: Gmail takes no message so large.
    """
    if len(raw) > _MOST_BYTES:
        raise InvalidInput(f"Gmail takes {_MOST_BYTES} bytes a mail, not {len(raw)}.")
    if len(raw) > _UPLOAD_FROM_BYTES:
        upload = Upload(media_type="message/rfc822", content=raw)
        return {"body": {"message": dict(where)}, "upload": upload}
    return {"body": {"message": {**where, "raw": base64.urlsafe_b64encode(raw).decode()}}}


def _saved(draft: Mapping[str, Any], content: DraftContent) -> dict[str, Any]:
    result = SavedDraft.of(draft["id"], content)
    thread = ThreadId(f"t{draft['message']['threadId']}")
    return {**stored.kept(result), "thread": thread}


def _sending_of(draft_id: str) -> Operation:
    """Name the sending of a draft, whoever asks for it."""
    return Operation.of("gmail draft", {"draft": draft_id}, f"gmail-draft-sent:{draft_id}")


def _since(claim: Claim) -> datetime:
    return datetime.fromisoformat(claim.began_at) - _SLACK


def _is_of(message: Mapping[str, Any], claim: Claim) -> bool:
    """Tell whether a sent mail is the one that a draft became.

    A draft that a person made has no mark of ours: its mail is in its thread, and looks the same.
    """
    request = claim.request
    if request["op"]:
        return bool(header_of(message, _OP) == request["op"])
    if request["message_id"] and header_of(message, "Message-ID") == request["message_id"]:
        return True
    is_same = (message["threadId"], _look(message)) == (request["thread"], request["look"])
    return bool(is_same and at_of(message) >= _since(claim))


def _look(message: Mapping[str, Any]) -> str:
    """Give what mails with the same text to the same people have in common, and nobody can read."""
    lines = [header_of(message, name) for name in ("Subject", "To", "Cc")]
    text = "\n".join([*lines, str(message.get("snippet", ""))])
    return hashlib.sha256(text.encode()).hexdigest()


def _change(
    action: Action, label: str, carried: Sequence[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Say which fixed labels a mail gets and loses."""
    if action == "move" and label in _MOVES:
        action = _MOVES[label]
    if action == "restore" or (action == "move" and label == "inbox"):
        is_ours = "SENT" in carried or "DRAFT" in carried
        is_back = action == "restore" and is_ours
        return (() if is_back else ("INBOX",)), ("TRASH", "SPAM")
    if action == "move":
        if label in ROLE_LABELS:
            raise InvalidInput(f"Nothing can be moved to {label}.")
        return (), ("INBOX", "TRASH", "SPAM")
    return _FIXED.get(action, ((), ()))


def _with_label(change: Mapping[str, Any], action: str, label: str) -> tuple[list[str], list[str]]:
    own = [label] if label else []
    if action == "unlabel":
        return change["add"], [*change["remove"], *own]
    return [*change["add"], *own], change["remove"]


def _organized(claim: Claim) -> dict[str, Any]:
    request = claim.request
    return stored.kept(
        Organized(action=request["action"], ids=request["ids"], label=request["label"])
    )
