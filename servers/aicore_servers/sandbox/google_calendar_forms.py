"""How Google Calendar shows, patches and searches events; pages of lists."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from aicore_servers.sandbox.google_wire import Call, invalid

__all__ = ["has_property", "mentions", "merged", "page", "seen"]


def seen(event: Mapping[str, Any], account: str) -> dict[str, Any]:
    """Give an event as this account sees it: `self` marks its own entries."""
    copy: dict[str, Any] = json.loads(json.dumps(event))
    for person in (*copy.get("attendees", ()), copy.get("organizer", {}), copy.get("creator", {})):
        if person.get("email") == account:
            person["self"] = True
    return copy


def merged(old: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Patch as Google does: objects are merged, null takes out, lists are replaced."""
    result = dict(old)
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, dict):
            result[name] = merged(result.get(name, {}), value)
        else:
            result[name] = value
    return result


def mentions(event: Mapping[str, Any], query: str) -> bool:
    """Say whether all words of the query stand in an event."""
    people = [each.get("email", "") for each in event.get("attendees", ())]
    texts = [event.get(name, "") for name in ("summary", "description", "location")]
    words = re.findall(r"\w+", " ".join([*texts, *people]).casefold())
    return all(each in words for each in re.findall(r"\w+", query.casefold()))


def has_property(event: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    """Say whether an event has the private properties that are asked for."""
    private = event.get("extendedProperties", {}).get("private", {})
    pairs = [each.partition("=") for each in asked.get("privateExtendedProperty", ())]
    return all(private.get(name) == value for name, _, value in pairs)


def page(call: Call, rows: Sequence[Any]) -> tuple[Sequence[Any], dict[str, str]]:
    """Cut a page; the token is a plain offset, the least a caller may rely on."""
    size = min(call.parameters.get("maxResults", 250), 2500)
    token = call.parameters.get("pageToken", "0")
    if not token.isdigit():
        raise invalid("Invalid page token value.")
    start = int(token)
    rest = {"nextPageToken": str(start + size)} if start + size < len(rows) else {}
    return rows[start : start + size], rest
