"""The search language of Gmail, as far as the sandbox knows it.

Words match whole words, in any case and without accents; see "Refine searches in Gmail" in
Google's help, read 2026-11. Where Google does not say how something matches, this is the stricter.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime

from aicore_servers.sandbox.google_wire import invalid

__all__ = ["Searched", "matcher", "mentions_place"]

_TERM = re.compile(
    r'(?P<not>-)?(?:(?P<name>[a-z0-9_]+):)?(?:"(?P<quoted>[^"]*)"|(?P<bare>[^\s"]+))'
)
_WORD = re.compile(r"\w+")
_DAY = re.compile(r"(\d{4})[/-](\d{1,2})[/-](\d{1,2})")
_PLACES = {
    "inbox": "INBOX",
    "sent": "SENT",
    "draft": "DRAFT",
    "drafts": "DRAFT",
    "trash": "TRASH",
    "spam": "SPAM",
    "unread": "UNREAD",
    "starred": "STARRED",
    "important": "IMPORTANT",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """What a search looks at in one message; `label_names` are those of the user's own labels."""

    sender: str
    recipients: str
    subject: str
    text: str
    message_id: str
    at_ms: int
    labels: Collection[str]
    label_names: Collection[str]
    file_names: Collection[str]


Test = Callable[[Searched], bool]


def matcher(query: str) -> Test:
    """Give the test that a message must pass.

    Raises:
        Refusal: a date cannot be read.
    """
    tests = [_term(found) for found in _TERM.finditer(query)]
    return lambda message: all(test(message) for test in tests)


def mentions_place(query: str) -> bool:
    """Say whether the query itself names trash, spam or anywhere, which are left out otherwise."""
    return bool(re.search(r"(?<!-)\b(in|label|is):(trash|spam|anywhere)\b", query.lower()))


def _term(found: re.Match[str]) -> Test:
    value = found["quoted"] if found["quoted"] is not None else found["bare"]
    test = _test((found["name"] or "").lower(), value)
    return (lambda message: not test(message)) if found["not"] else test


def _test(name: str, value: str) -> Test:
    fields: dict[str, Test] = {
        "from": lambda message: _contains(message.sender, value),
        "to": lambda message: _contains(message.recipients, value),
        "subject": lambda message: _contains(message.subject, value),
        "is": lambda message: _is_in(message, value),
        "in": lambda message: _is_in(message, value),
        "label": lambda message: _is_in(message, value),
        "has": lambda message: value == "attachment" and bool(message.file_names),
        "filename": lambda message: any(_contains(each, value) for each in message.file_names),
        "rfc822msgid": lambda message: message.message_id.strip("<>") == value.strip("<>"),
    }
    if name in {"after", "newer", "before", "older"}:
        at_ms = _moment_ms(value)
        is_after = name in {"after", "newer"}
        return lambda message: (message.at_ms >= at_ms) == is_after
    if name in fields:
        return fields[name]
    text = f"{name}:{value}" if name else value
    return lambda message: any(
        _contains(each, text)
        for each in (
            message.subject,
            message.sender,
            message.recipients,
            message.text,
            *message.file_names,
        )
    )


def _is_in(message: Searched, value: str) -> bool:
    place = value.lower()
    if place == "anywhere":
        return True
    if place == "read":
        return "UNREAD" not in message.labels
    if place in _PLACES:
        return _PLACES[place] in message.labels
    names = {re.sub(r"[\s/]", "-", each).lower() for each in message.label_names}
    return re.sub(r"[\s/]", "-", place) in names


def _contains(text: str, wanted: str) -> bool:
    """Say whether the words of `wanted` stand in `text`, whole and one behind the other."""
    words, phrase = _words(text), _words(wanted)
    last = len(words) - len(phrase)
    return bool(phrase) and any(
        words[start : start + len(phrase)] == phrase for start in range(last + 1)
    )


def _words(text: str) -> list[str]:
    plain = unicodedata.normalize("NFKD", text)
    return _WORD.findall("".join(c for c in plain if not unicodedata.combining(c)).casefold())


def _moment_ms(value: str) -> int:
    if value.isdigit():
        return int(value) * 1000
    day = _DAY.fullmatch(value)
    if day is None:
        raise invalid(f"Invalid date in query: {value}")
    year, month, number = (int(part) for part in day.groups())
    return int(datetime(year, month, number, tzinfo=UTC).timestamp() * 1000)
