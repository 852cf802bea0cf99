"""Gmail: the mailbox of one Google account.

Nothing is ever sent but by sending a draft, which Gmail does once: a draft that was sent is gone.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from anyio import to_thread

from aicore_tools.connections import Connection, Probe
from aicore_tools.errors import InvalidInput, NotFound
from aicore_tools.google_client import Api, GoogleClient, together
from aicore_tools.journal import EffectJournal
from aicore_tools.mail import cursors, stored
from aicore_tools.mail.backends import gmail_rows
from aicore_tools.mail.backends.gmail_effects import GmailEffects
from aicore_tools.mail.messages import parse
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
    SavedDraft,
    Sent,
    ThreadId,
)
from aicore_tools.operations import Effect, Operation

__all__ = ["GMAIL", "GmailMailbox"]

GMAIL = Api(name="gmail", version="v1", path="/", scopes=("gmail.modify",))
_DRAFT_ID = re.compile(r"r-?\d+")
_MESSAGE_ID = re.compile(r"[0-9a-f]{1,16}")
_HIDDEN = {"DRAFT", "TRASH", "SPAM"}
_PAGE = 500
_ARCHIVE_PLACE = 3  # behind inbox, sent and drafts
_ALL = frozenset({"https://mail.google.com/", "gmail.modify"})


class GmailMailbox:
    """The Mailbox of one Google account.

    `addresses` are those the business sends from; empty: those Gmail may send as. The journal of
    its effects is the file `journal`.
    """

    def __init__(
        self,
        journal: Path,
        *,
        business: str,
        connection: Connection,
        addresses: Sequence[Address] = (),
    ) -> None:
        self._client = GoogleClient(connection, GMAIL)
        self._addresses = list(addresses)
        self._label_names: dict[str, str] = {}
        self._effects = GmailEffects(self._client)
        self._journal = EffectJournal(
            journal, business=business, procedures=self._effects.procedures
        )
        self._effects.journal = self._journal

    async def __aenter__(self) -> Self:
        await self._journal.__aenter__()
        try:
            await self._client.__aenter__()
            if not self._addresses:
                self._addresses = await self._own_addresses()
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
        await self._client.__aexit__(kind, error, trace)
        await self._journal.__aexit__(kind, error, trace)

    @property
    def addresses(self) -> Sequence[Address]:
        """The addresses it may send from, the usual one first."""
        return self._addresses

    async def probe(self) -> Probe:
        """Ask whose account it is, and say what the scopes allow."""
        profile = await self._client.read("users", "getProfile", userId="me")
        granted = self._client.granted()
        warnings = []
        if not self._client.is_delegated:
            warnings.append(
                "If the app at Google is in testing, this connection ends after seven days."
            )
        return Probe(
            name=profile["emailAddress"],
            can=_allowed(granted),
            warnings=tuple(warnings),
            is_test=bool(self._client.base_url),
        )

    async def folders(self) -> Sequence[Folder]:
        """Give the folders and labels, with how many mails each holds."""
        names = await self._names(refresh=True)
        labels = [*gmail_rows.ROLE_LABELS.values(), *names]
        read = partial(self._client.read, "users.labels", "get", userId="me")
        counted = await together([partial(read, id=label) for label in labels])
        roles = [
            Folder(name=role, role=role, **_counts(each))
            for role, each in zip(gmail_rows.ROLE_LABELS, counted, strict=False)
        ]
        roles.insert(_ARCHIVE_PLACE, Folder(name="archive", role="archive"))
        own = (
            [
                Folder(name=name, is_label=True, **_counts(each))
                for name, each in zip(names.values(), counted[-len(names) :], strict=True)
            ]
            if names
            else []
        )
        return [*roles, *sorted(own, key=lambda folder: folder.name.casefold())]

    async def search(self, search: MailSearch) -> MailPage:
        """Give one page, newest first: whole words, as Gmail matches them."""
        place = _Place.of(search)
        if gmail_rows.finds_nothing(search):
            return MailPage(rows=[])
        query = gmail_rows.query_of(search, until_s=place.until_s)
        asked = await self._folder_asked(search.folder, query)
        rows: list[MailRow] = []
        page: dict[str, Any] = {}
        while len(rows) <= search.limit:
            size = min(search.limit + len(place.given) + 1, _PAGE)
            page = await self._page(search.folder == "drafts", {**asked, "maxResults": size}, page)
            found = await self._rows(page["found"])
            rows += [row for row in found if place.is_behind(row) and _is_asked(row, search)]
            if "nextPageToken" not in page:
                break
        shown = rows[: search.limit]
        more = len(rows) > search.limit
        return MailPage(
            rows=[_to_the_second(row) for row in shown],
            next_cursor=cursors.encode(search, place.after(shown)) if more else None,
        )

    async def get(self, mail_id: str) -> Mail:
        """Give a mail or draft by its id or its Message-ID."""
        if _DRAFT_ID.fullmatch(mail_id):
            found = await self._found("users.drafts", "get", userId="me", id=mail_id, format="raw")
            return await self._mail(found["message"], mail_id)
        key, _ = await self._named(mail_id)
        message = await self._found("users.messages", "get", userId="me", id=key, format="raw")
        return await self._mail(message, await self._draft_of(message))

    async def rows(self, mail_ids: Sequence[str]) -> Sequence[MailRow]:
        """Give the rows of mails or drafts by id, in that order."""
        return [_to_the_second(row) for row in await self._rows(await self._all_named(mail_ids))]

    async def thread(self, thread: ThreadId) -> Sequence[Mail]:
        """Give the mails of a thread without drafts, trash and spam, oldest first."""
        key = thread.removeprefix("t")
        if not _MESSAGE_ID.fullmatch(key):
            return []
        try:
            found = await self._client.read(
                "users.threads", "get", userId="me", id=key, format="minimal"
            )
        except NotFound:
            return []
        wanted = [each for each in found["messages"] if not _HIDDEN & set(each["labelIds"])]
        wanted.sort(key=gmail_rows.at_of)
        return await together([partial(self.get, each["id"]) for each in wanted])

    async def draft(self, draft_id: str) -> Draft:
        """Give a draft with the content of its attachments."""
        return await self._effects.draft(draft_id)

    async def earlier(self, operation: Operation) -> Effect[Done] | None:
        """Give what `operation` did before; looks it up where that is not known."""
        effect = await self._journal.earlier(operation)
        return None if effect is None else effect.map(stored.done)

    async def save_draft(
        self, operation: Operation, content: DraftContent, draft_id: MailId | None = None
    ) -> Effect[SavedDraft]:
        """Make a draft, or put `content` in the place of all that the one named says."""
        with self._effects.holding(content) as held:
            request = {"content": held, "draft": draft_id}
            effect = await self._journal.effect(operation, "save_draft", request)
        return stored.expect(SavedDraft, effect)

    async def send(self, operation: Operation, draft: Draft) -> Effect[Sent]:
        """Send a draft: Gmail takes it once."""
        effect = await self._journal.earlier(operation)
        if effect is None:
            request = await self._effects.sending(draft)
            effect = await self._journal.effect(operation, "send", request)
        return stored.expect(Sent, effect)

    async def organize(
        self, operation: Operation, mail_ids: Sequence[MailId], action: Action, label: str = ""
    ) -> Effect[Organized]:
        """Do `action` to mails by setting their labels, which may be repeated."""
        effect = await self._journal.earlier(operation)
        if effect is None:
            named = await self._all_named(mail_ids)
            request = await self._effects.organizing([key for key, _ in named], action, label)
            request["ids"] = list(mail_ids)
            effect = await self._journal.effect(operation, "organize", request)
        return stored.expect(Organized, effect)

    # --- reading

    async def _own_addresses(self) -> list[Address]:
        profile = await self._client.read("users", "getProfile", userId="me")
        if not self._client.granted() & {*_ALL, "gmail.readonly", "gmail.settings.basic"}:
            return [Address(profile["emailAddress"])]
        answer = await self._client.read("users.settings.sendAs", "list", userId="me")
        usable = [
            each
            for each in answer["sendAs"]
            if each.get("isPrimary") or each.get("verificationStatus", "accepted") == "accepted"
        ]
        usable.sort(key=lambda each: not each.get("isDefault", False))
        return [Address(each["sendAsEmail"], each.get("displayName", "")) for each in usable]

    async def _names(self, *, refresh: bool = False) -> Mapping[str, str]:
        """Give the business's own labels: id to name."""
        if refresh or not self._label_names:
            answer = await self._client.read("users.labels", "list", userId="me")
            own = [each for each in answer["labels"] if each.get("type") == "user"]
            self._label_names = {each["id"]: each["name"] for each in own}
        return self._label_names

    async def _folder_asked(self, folder: str, query: str) -> dict[str, Any]:
        """Say in Gmail's parameters where to look."""
        if folder in {"", "archive"}:
            places = ["drafts", *(("inbox", "sent") if folder else ())]
            hidden = " ".join(f"-in:{place}" for place in places)
            return {"q": f"{query} {hidden}".strip()}
        if folder == "drafts":
            return {"q": query}
        labels = {str(role): label for role, label in gmail_rows.ROLE_LABELS.items()}
        label = labels.get(folder)
        if label is None:
            names = await self._names(refresh=True)
            known = {name.casefold(): key for key, name in names.items()}
            label = known.get(folder.casefold())
        if label is None:
            raise InvalidInput(
                f"There is no folder or label {folder!r}.", hint="Ask mail_folders for them."
            )
        is_hidden = label in _HIDDEN
        return {"q": query, "labelIds": [label], "includeSpamTrash": is_hidden}

    async def _page(
        self, of_drafts: bool, asked: dict[str, Any], before: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Give the next page as `found`: pairs of message and draft."""
        if "nextPageToken" in before:
            asked = {**asked, "pageToken": before["nextPageToken"]}
        if of_drafts:
            page = await self._client.read("users.drafts", "list", userId="me", **asked)
            found = [(each["message"]["id"], each["id"]) for each in page.get("drafts", ())]
        else:
            page = await self._client.read("users.messages", "list", userId="me", **asked)
            found = [(each["id"], "") for each in page.get("messages", ())]
        return {**page, "found": found}

    async def _rows(self, found: Sequence[tuple[str, str]]) -> list[MailRow]:
        """Give the rows of these messages and drafts in that order, many at a time."""
        fetch = partial(self._found, "users.messages", "get", userId="me")
        fields = gmail_rows.ROW_FIELDS
        messages = await together([partial(fetch, id=key, fields=fields) for key, _ in found])
        names = await self._names()
        labels = {label for each in messages for label in each.get("labelIds", ())}
        if any(label.startswith("Label_") for label in labels - names.keys()):
            names = await self._names(refresh=True)
        return [
            gmail_rows.row_of(message, names, draft or await self._draft_of(message))
            for message, (_, draft) in zip(messages, found, strict=True)
        ]

    async def _mail(self, message: dict[str, Any], draft: str) -> Mail:
        raw = base64.urlsafe_b64decode(message["raw"])
        if "SENT" in message.get("labelIds", ()):
            raw = gmail_rows.without_bcc(raw)  # Gmail keeps in it whom nobody else may see
        parsed = await to_thread.run_sync(parse, raw)
        names = await self._names()
        row = gmail_rows.row_of_raw(message, parsed, names, draft)
        return Mail(row=_to_the_second(row), message_id=parsed.message_id, raw=raw)

    async def _found(self, resource: str, method: str, **parameters: Any) -> dict[str, Any]:
        """Read one thing; what Gmail finds malformed in an id is not there either."""
        try:
            return await self._client.read(resource, method, **parameters)
        except (NotFound, InvalidInput) as error:
            raise _no_mail(parameters["id"]) from error

    async def _all_named(self, mail_ids: Sequence[str]) -> list[tuple[str, str]]:
        return await together([partial(self._named, each) for each in mail_ids])

    async def _named(self, mail_id: str) -> tuple[str, str]:
        """Give message and draft that an id names; whether a message is there is not asked.

        Raises:
            NotFound: it can be none.
        """
        if _DRAFT_ID.fullmatch(mail_id):
            found = await self._found(
                "users.drafts", "get", userId="me", id=mail_id, format="minimal"
            )
            return str(found["message"]["id"]), mail_id
        key = await self._by_message_id(mail_id) if "@" in mail_id else mail_id
        if not _MESSAGE_ID.fullmatch(key):
            raise _no_mail(mail_id)
        return key, ""

    async def _by_message_id(self, message_id: str) -> str:
        wanted = message_id.strip("<>").replace('"', "")
        answer = await self._client.read(
            "users.messages",
            "list",
            userId="me",
            q=f'rfc822msgid:"{wanted}"',
            includeSpamTrash=True,
        )
        found = answer.get("messages")
        if not found:
            raise _no_mail(message_id)
        return str(found[-1]["id"])

    async def _draft_of(self, message: Mapping[str, Any]) -> str:
        """Give the id of the draft whose present text a message is, "" where it is none."""
        if "DRAFT" not in message.get("labelIds", ()):
            return ""
        page: dict[str, Any] = {}
        while True:
            page = await self._page(True, {"maxResults": _PAGE, "includeSpamTrash": True}, page)
            for key, draft in page["found"]:
                if key == message["id"]:
                    return str(draft)
            if "nextPageToken" not in page:
                return ""


class _Place:
    """Where a page of a search ended: the moment of its last row, and the rows of that moment."""

    def __init__(self, last_ms: int | None, given: Sequence[str]) -> None:
        self.last_ms = last_ms
        self.given = set(given)

    @property
    def until_s(self) -> int | None:
        """The second at which the next page begins, counting backwards."""
        return None if self.last_ms is None else self.last_ms // 1000 + 1

    @classmethod
    def of(cls, search: MailSearch) -> _Place:
        """Read the cursor of a search."""
        place = cursors.decode(search)
        match place:
            case None:
                return cls(None, ())
            case [int(last_ms), [*given]] if all(isinstance(each, str) for each in given):
                return cls(last_ms, given)
        raise cursors.damaged()

    def is_behind(self, row: MailRow) -> bool:
        """Say whether a row comes after the page that ended here."""
        if self.last_ms is None:
            return True
        return _ms(row) <= self.last_ms and row.id not in self.given

    def after(self, shown: Sequence[MailRow]) -> list[Any]:
        """Give the place behind these rows."""
        last_ms = _ms(shown[-1])
        given = [str(row.id) for row in shown if _ms(row) == last_ms]
        return [last_ms, [*given, *(self.given if self.last_ms == last_ms else ())]]


def _to_the_second(row: MailRow) -> MailRow:
    return replace(row, at=row.at.replace(microsecond=0))


def _ms(row: MailRow) -> int:
    return round(row.at.timestamp() * 1000)


def _is_asked(row: MailRow, search: MailSearch) -> bool:
    is_after = search.after is None or row.at >= search.after
    return is_after and (search.before is None or row.at < search.before)


def _counts(label: Mapping[str, Any]) -> dict[str, Any]:
    return {"total": label.get("messagesTotal"), "unread": label.get("messagesUnread")}


def _no_mail(mail_id: str) -> NotFound:
    return NotFound(f"There is no mail {mail_id}.", hint="Find its id with mail_search.")


def _allowed(granted: frozenset[str]) -> tuple[str, ...]:
    """Say in plain words what scopes allow."""
    if granted & _ALL:
        return ("read mail", "write drafts", "send", "organize: labels, archive, trash")
    can = ["read mail"] if "gmail.readonly" in granted else []
    if "gmail.compose" in granted:  # Google has no scope for drafts alone
        can += ["write drafts", "send"]
    return tuple(can) or ("nothing that this server does",)
