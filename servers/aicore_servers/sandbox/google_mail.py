"""Gmail in memory: messages, threads, labels, drafts that can be sent once."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from aicore_servers.sandbox.google_mail_parts import (
    Stored,
    attachment,
    base_subject,
    searched,
    shown,
    with_headers,
)
from aicore_servers.sandbox.google_mail_query import matcher, mentions_place
from aicore_servers.sandbox.google_wire import Call, Handler, Refusal, conflict, invalid, missing

__all__ = ["GoogleMail"]

_SYSTEM_LABELS = (
    *("INBOX", "SENT", "DRAFT", "TRASH", "SPAM", "UNREAD", "STARRED", "IMPORTANT"),
    *("CATEGORY_PERSONAL", "CATEGORY_PROMOTIONS", "CATEGORY_UPDATES"),
)
_FIXED_LABELS = {"SENT", "DRAFT"}
_HIDDEN = {"TRASH", "SPAM"}
_ID = re.compile(r"[0-9a-f]{1,16}")
_MAX_LIST = 500
_MAX_BATCH = 1000


@dataclass(slots=True)
class _Box:
    """One account's mail."""

    email: str
    messages: dict[str, Stored] = field(default_factory=dict)
    drafts: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    aliases: list[str] = field(default_factory=list)


class GoogleMail:
    """The mail of all accounts of the sandbox; an account begins when it is first used.

    `rewrites_message_ids`: a mail that is sent gets a new Message-ID, as some ways through Gmail
    give it. `sends` counts what left, over all accounts.
    """

    def __init__(self, now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> None:
        self._now_ms = now_ms
        self._boxes: dict[str, _Box] = {}
        self._numbers = count(0x18C0000000000000)
        self._label_numbers = count(1)
        self._last_ms = 0
        self.rewrites_message_ids = False
        self.sends = 0

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """The methods by their id in the discovery document."""
        users = "gmail.users."
        return {
            users + "getProfile": self._profile,
            users + "settings.sendAs.list": self._send_as,
            users + "messages.list": self._list,
            users + "messages.get": self._get,
            users + "messages.insert": self._insert,
            users + "messages.import": self._insert,
            users + "messages.delete": self._delete,
            users + "messages.modify": self._modify,
            users + "messages.batchModify": self._batch_modify,
            users + "messages.trash": self._trash,
            users + "messages.untrash": self._untrash,
            users + "messages.attachments.get": self._attachment,
            users + "threads.list": self._threads,
            users + "threads.get": self._thread,
            users + "drafts.list": self._list_drafts,
            users + "drafts.get": self._get_draft,
            users + "drafts.create": self._create_draft,
            users + "drafts.update": self._update_draft,
            users + "drafts.delete": self._delete_draft,
            users + "drafts.send": self._send_draft,
            users + "labels.list": self._list_labels,
            users + "labels.get": self._get_label,
            users + "labels.create": self._create_label,
            users + "labels.delete": self._delete_label,
        }

    def add_alias(self, account: str, alias: str) -> None:
        """Let an account send as another address too."""
        self._box(account).aliases.append(alias)

    def state(self) -> dict[str, Any]:
        """Say what there is: per account the messages by label, the drafts, the labels."""
        return {
            "sends": self.sends,
            "accounts": {
                email: {
                    "messages": [
                        {
                            "id": each.id,
                            "threadId": each.thread,
                            "labelIds": sorted(each.labels),
                            "subject": each.header("Subject"),
                            "to": each.people("To", "Cc", "Bcc"),
                            "op": each.header("X-Aicore-Op"),
                            "messageId": each.header("Message-ID"),
                        }
                        for each in box.messages.values()
                    ],
                    "drafts": dict(box.drafts),
                    "labels": dict(box.labels),
                }
                for email, box in self._boxes.items()
            },
        }

    def _box(self, account: str) -> _Box:
        return self._boxes.setdefault(account.lower(), _Box(account.lower()))

    def _own(self, call: Call) -> _Box:
        if call.parameters.get("userId", "me") not in {"me", call.account}:
            raise Refusal(403, "forbidden", f"Delegation denied for {call.account}")
        return self._box(call.account)

    def _message(self, call: Call, name: str = "id") -> Stored:
        _check_id(call.parameters[name])
        found = self._own(call).messages.get(call.parameters[name])
        if found is None:
            raise missing()
        return found

    # --- reading

    def _profile(self, call: Call) -> dict[str, Any]:
        box = self._own(call)
        return {
            "emailAddress": box.email,
            "messagesTotal": len(box.messages),
            "threadsTotal": len({each.thread for each in box.messages.values()}),
            "historyId": str(self._last_ms),
        }

    def _send_as(self, call: Call) -> dict[str, Any]:
        box = self._own(call)
        own = [{"sendAsEmail": box.email, "displayName": "", "isPrimary": True, "isDefault": True}]
        more = [
            {"sendAsEmail": each, "displayName": "", "isDefault": False} for each in box.aliases
        ]
        return {"sendAs": [*own, *more]}

    def _found(self, call: Call) -> list[Stored]:
        """Search, newest first."""
        box, query = self._own(call), call.parameters.get("q", "")
        test = matcher(query)
        all_places = call.parameters.get("includeSpamTrash") or mentions_place(query)
        wanted = set(call.parameters.get("labelIds", ()))
        found = [
            each
            for each in box.messages.values()
            if wanted <= each.labels
            and (all_places or wanted & _HIDDEN or not each.labels & _HIDDEN)
            and test(searched(each, box.labels))
        ]
        return sorted(found, key=lambda each: (each.at_ms, each.id), reverse=True)

    def _list(self, call: Call) -> dict[str, Any]:
        rows, rest = _page(call, [(each.id, each.thread) for each in self._found(call)])
        answer = {"resultSizeEstimate": len(rows), **rest}
        if rows:
            answer["messages"] = [{"id": one, "threadId": thread} for one, thread in rows]
        return answer

    def _threads(self, call: Call) -> dict[str, Any]:
        threads = list(dict.fromkeys(each.thread for each in self._found(call)))
        rows, rest = _page(call, [(each,) for each in threads])
        return {"threads": [{"id": one} for (one,) in rows], "resultSizeEstimate": 1, **rest}

    def _get(self, call: Call) -> dict[str, Any]:
        return _asked(self._message(call), call)

    def _thread(self, call: Call) -> dict[str, Any]:
        thread = call.parameters["id"]
        _check_id(thread)
        found = [each for each in self._own(call).messages.values() if each.thread == thread]
        if not found:
            raise missing()
        found.sort(key=lambda each: (each.at_ms, each.id))
        return {"id": thread, "messages": [_asked(each, call) for each in found]}

    def _attachment(self, call: Call) -> dict[str, Any]:
        return attachment(self._message(call, "messageId"), call.parameters["id"])

    # --- messages

    def _insert(self, call: Call) -> dict[str, Any]:
        box = self._own(call)
        labels = set(call.body.get("labelIds", ()))
        self._check_labels(box, labels - _FIXED_LABELS)
        stored = self._store(box, _raw(call, call.body), labels, call.body.get("threadId"))
        return shown(stored, "minimal")

    def _delete(self, call: Call) -> None:
        del self._own(call).messages[self._message(call).id]

    def _modify(self, call: Call) -> dict[str, Any]:
        stored = self._message(call)
        self._relabel(self._own(call), [stored], call.body)
        return shown(stored, "minimal")

    def _batch_modify(self, call: Call) -> None:
        box, ids = self._own(call), call.body.get("ids", ())
        if not 1 <= len(ids) <= _MAX_BATCH:
            raise invalid("No message ids specified." if not ids else "Too many message ids.")
        # Google: "no guarantees that messages … even existed at all".
        known = [box.messages[each] for each in ids if each in box.messages]
        self._relabel(box, known, call.body)

    def _trash(self, call: Call) -> dict[str, Any]:
        stored = self._message(call)
        stored.labels = (stored.labels - {"INBOX", "SPAM"}) | {"TRASH"}
        return shown(stored, "minimal")

    def _untrash(self, call: Call) -> dict[str, Any]:
        stored = self._message(call)
        stored.labels.discard("TRASH")
        return shown(stored, "minimal")

    def _relabel(self, box: _Box, found: Sequence[Stored], body: Mapping[str, Any]) -> None:
        added, removed = set(body.get("addLabelIds", ())), set(body.get("removeLabelIds", ()))
        self._check_labels(box, added | removed)
        for each in found:
            each.labels = (each.labels - removed) | added

    def _check_labels(self, box: _Box, labels: set[str]) -> None:
        wrong = labels - (set(_SYSTEM_LABELS) | box.labels.keys()) or labels & _FIXED_LABELS
        if wrong:
            raise invalid(f"Invalid label: {min(wrong)}")

    def _store(self, box: _Box, raw: bytes, labels: set[str], thread: str | None = None) -> Stored:
        self._last_ms = max(self._last_ms + 1, self._now_ms())
        number = f"{next(self._numbers):x}"
        stored = Stored(id=number, thread="", raw=raw, at_ms=self._last_ms, labels=labels)
        stored.thread = self._thread_of(box, stored, thread) or number
        box.messages[number] = stored
        return stored

    def _thread_of(self, box: _Box, new: Stored, asked: str | None) -> str | None:
        """Find the thread by Gmail's three conditions: asked for, referred to, same subject."""
        subject = base_subject(new.header("Subject"))
        if asked is not None and all(each.thread != asked for each in box.messages.values()):
            raise missing()
        for each in box.messages.values():
            is_asked = each.thread == asked if asked or "DRAFT" in new.labels else True
            is_referred = each.header("Message-ID") in new.references
            if is_asked and is_referred and base_subject(each.header("Subject")) == subject:
                return each.thread
        return None

    # --- drafts

    def _draft(self, call: Call, draft: str) -> Stored:
        box = self._own(call)
        if draft not in box.drafts:
            raise missing()
        return box.messages[box.drafts[draft]]

    def _list_drafts(self, call: Call) -> dict[str, Any]:
        box = self._own(call)
        names = {message: draft for draft, message in box.drafts.items()}
        found = [(names[each.id], each) for each in self._found(call) if each.id in names]
        rows, rest = _page(call, found)
        drafts = [
            {"id": name, "message": {"id": each.id, "threadId": each.thread}} for name, each in rows
        ]
        return {"resultSizeEstimate": len(drafts), **({"drafts": drafts} if drafts else {}), **rest}

    def _get_draft(self, call: Call) -> dict[str, Any]:
        draft = call.parameters["id"]
        return {"id": draft, "message": _asked(self._draft(call, draft), call)}

    def _create_draft(self, call: Call) -> dict[str, Any]:
        message = call.body.get("message", {})
        box = self._own(call)
        stored = self._store(box, _raw(call, message), {"DRAFT"}, message.get("threadId"))
        draft = f"r-{next(self._numbers)}"
        box.drafts[draft] = stored.id
        return {"id": draft, "message": shown(stored, "minimal")}

    def _update_draft(self, call: Call) -> dict[str, Any]:
        draft, message = call.parameters["id"], call.body.get("message", {})
        box, old = self._own(call), self._draft(call, draft)
        stored = self._store(box, _raw(call, message), {"DRAFT"}, message.get("threadId"))
        del box.messages[old.id]
        if stored.thread == stored.id and message.get("threadId") == old.thread:
            others = [each.thread for each in box.messages.values()]
            stored.thread = stored.id if old.thread in others else old.thread
        box.drafts[draft] = stored.id
        return {"id": draft, "message": shown(stored, "minimal")}

    def _delete_draft(self, call: Call) -> None:
        stored = self._draft(call, call.parameters["id"])
        box = self._own(call)
        del box.drafts[call.parameters["id"]], box.messages[stored.id]

    def _send_draft(self, call: Call) -> dict[str, Any]:
        draft = call.body.get("id", "")
        box, old = self._own(call), self._draft(call, draft)
        people = old.people("To", "Cc", "Bcc")
        if not people:
            raise invalid("Recipient address required")
        changes: dict[str, str | None] = {}
        if self.rewrites_message_ids or not old.header("Message-ID"):
            changes["Message-ID"] = f"<CA{next(self._numbers):x}@mail.gmail.com>"
        if not set(old.people("From")) & {box.email, *box.aliases}:
            changes["From"] = box.email
        raw = with_headers(old.raw, changes)
        del box.drafts[draft], box.messages[old.id]
        sent = self._store(box, raw, {"SENT"})
        sent.thread = old.thread
        self.sends += 1
        self._deliver(box, sent, people)
        return shown(sent, "minimal")

    def _deliver(self, sender: _Box, sent: Stored, people: Sequence[str]) -> None:
        """Bring it to the accounts of the sandbox. To oneself, it is one message in both places."""
        for email in people:
            if email in {sender.email, *sender.aliases}:
                sent.labels |= {"INBOX", "UNREAD"}
            elif email in self._boxes:
                copy = with_headers(sent.raw, {"Bcc": None})
                self._store(self._boxes[email], copy, {"INBOX", "UNREAD"})

    # --- labels

    def _list_labels(self, call: Call) -> dict[str, Any]:
        box = self._own(call)
        system = [{"id": each, "name": each, "type": "system"} for each in _SYSTEM_LABELS]
        return {"labels": [*system, *(_label(key, name) for key, name in box.labels.items())]}

    def _get_label(self, call: Call) -> dict[str, Any]:
        box, key = self._own(call), call.parameters["id"]
        if key not in box.labels and key not in _SYSTEM_LABELS:
            raise missing()
        with_it = [each for each in box.messages.values() if key in each.labels]
        total = {
            "messagesTotal": len(with_it),
            "messagesUnread": sum("UNREAD" in each.labels for each in with_it),
        }
        if key in box.labels:
            return {**_label(key, box.labels[key]), **total}
        return {"id": key, "name": key, "type": "system", **total}

    def _create_label(self, call: Call) -> dict[str, Any]:
        box, name = self._own(call), call.body.get("name", "").strip()
        if not name or name.upper() in _SYSTEM_LABELS:
            raise invalid("Invalid label name")
        if name.lower() in {each.lower() for each in box.labels.values()}:
            raise conflict("Label name exists or conflicts")
        key = f"Label_{next(self._label_numbers)}"
        box.labels[key] = name
        return _label(key, name)

    def _delete_label(self, call: Call) -> None:
        box, key = self._own(call), call.parameters["id"]
        if key not in box.labels:
            raise missing()
        del box.labels[key]
        for each in box.messages.values():
            each.labels.discard(key)


def _check_id(key: str) -> None:
    if not _ID.fullmatch(key):
        raise invalid("Invalid id value")


def _raw(call: Call, message: Mapping[str, Any]) -> bytes:
    raw = call.media if call.media is not None else base64.urlsafe_b64decode(message.get("raw", ""))
    if not raw:
        raise invalid(
            "'raw' RFC822 payload message string or uploading message via /upload/* URL required"
        )
    return raw


def _asked(stored: Stored, call: Call) -> dict[str, Any]:
    headers = call.parameters.get("metadataHeaders", ())
    return shown(stored, call.parameters.get("format", "full"), headers)


def _label(key: str, name: str) -> dict[str, Any]:
    return {
        "id": key,
        "name": name,
        "type": "user",
        "messageListVisibility": "show",
        "labelListVisibility": "labelShow",
    }


def _page(call: Call, rows: Sequence[Any]) -> tuple[Sequence[Any], dict[str, str]]:
    """Cut a page; the token is a plain offset, the least a caller may rely on."""
    size = min(call.parameters.get("maxResults", 100), _MAX_LIST)
    token = call.parameters.get("pageToken", "0")
    if not token.isdigit():
        raise invalid("Invalid pageToken")
    start = int(token)
    rest = {"nextPageToken": str(start + size)} if start + size < len(rows) else {}
    return rows[start : start + size], rest
