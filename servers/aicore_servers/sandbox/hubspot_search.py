"""Search in the HubSpot sandbox: filter groups, words, one sort, paging by number."""

from __future__ import annotations

import fnmatch
import operator
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from aicore_servers.sandbox.hubspot_schema import SEARCHED
from aicore_servers.sandbox.hubspot_store import Refused, Store, Stored

__all__ = ["found"]

MAX_PAGE = 200
MAX_ROWS = 10_000
MAX_GROUPS = 5
MAX_FILTERS_A_GROUP = 6
MAX_FILTERS = 18
_WORD = re.compile(r"\w+")
_COMPARE = {
    "EQ": operator.eq,
    "NEQ": operator.ne,
    "LT": operator.lt,
    "LTE": operator.le,
    "GT": operator.gt,
    "GTE": operator.ge,
}


def found(store: Store, object_type: str, body: Mapping[str, Any]) -> tuple[list[Stored], int, int]:
    """Give a page of objects, how many there are in all, and the number of the next row or 0."""
    groups = body.get("filterGroups") or []
    _refuse_too_many(groups)
    limit, after = int(body.get("limit") or 10), int(body.get("after") or 0)
    if limit > MAX_PAGE or after + limit > MAX_ROWS:
        raise Refused(400, "VALIDATION_ERROR", "Paging beyond the limits of search.")
    rows = [
        each
        for each in store.live(object_type)
        if _has_words(object_type, each, str(body.get("query") or ""))
        and (
            not groups
            or any(
                all(_holds(store, each, one) for one in group.get("filters") or ())
                for group in groups
            )
        )
    ]
    _sort(store, object_type, rows, body.get("sorts") or [])
    page = rows[after : after + limit]
    return page, len(rows), after + limit if after + limit < len(rows) else 0


def _refuse_too_many(groups: list[Mapping[str, Any]]) -> None:
    sizes = [len(group.get("filters") or ()) for group in groups]
    is_wide = max(sizes, default=0) > MAX_FILTERS_A_GROUP
    if len(groups) > MAX_GROUPS or is_wide or sum(sizes) > MAX_FILTERS:
        raise Refused(400, "VALIDATION_ERROR", "Too many filters or groups of filters.")


def _has_words(object_type: str, stored: Stored, query: str) -> bool:
    text = " ".join(stored.properties.get(name, "") for name in SEARCHED[object_type]).lower()
    words = _WORD.findall(text)
    digits = re.sub(r"\D", "", stored.properties.get("phone", ""))
    for term in query.lower().split():
        bare = re.sub(r"[()/.\s-]", "", term)
        if term in text.split():
            continue
        if bare.lstrip("+").isdigit() and digits.find(bare.lstrip("+0")) >= 0:
            continue
        parts = _WORD.findall(term)
        if not parts or not all(any(word.startswith(part) for word in words) for part in parts):
            return False
    return True


def _sort(store: Store, object_type: str, rows: list[Stored], sorts: list[Any]) -> None:
    if len(sorts) > 1:
        raise Refused(400, "VALIDATION_ERROR", "Only one sort is supported.")
    for each in sorts:
        given = each if isinstance(each, dict) else {"propertyName": each}
        name = str(given.get("propertyName"))
        spec = _spec(store, object_type, name)
        is_descending = given.get("direction") == "DESCENDING"
        having = [stored for stored in rows if _raw(stored, name)]
        lacking = [stored for stored in rows if not _raw(stored, name)]
        having.sort(key=lambda stored: _comparable(spec, _raw(stored, name)), reverse=is_descending)
        rows[:] = [*having, *lacking]


def _raw(stored: Stored, name: str) -> str:
    return stored.properties.get(name, "")


def _spec(store: Store, object_type: str, name: str) -> Mapping[str, Any]:
    spec = store.properties[object_type].get(name)
    if spec is None:
        raise Refused(400, "VALIDATION_ERROR", f"There is no property {name} to search by.")
    return spec


def _comparable(spec: Mapping[str, Any], value: str) -> Any:
    if spec["type"] == "number":
        return float(value)
    if spec["type"] in ("datetime", "date"):
        if value.lstrip("-").isdigit():
            return float(value)
        moment = datetime.fromisoformat(value)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return float(round(moment.timestamp() * 1000))
    return value.lower()


def _holds(store: Store, stored: Stored, one: Mapping[str, Any]) -> bool:
    name, sign = str(one["propertyName"]), str(one["operator"])
    if name.startswith("associations."):
        other = store.object_type(name.removeprefix("associations."))
        ends = store.associations.get((stored.object_type, stored.id), {})
        return (other, str(one["value"])) in ends
    spec = _spec(store, stored.object_type, name)
    raw = _raw(stored, name)
    if sign in ("HAS_PROPERTY", "NOT_HAS_PROPERTY"):
        return bool(raw) == (sign == "HAS_PROPERTY")
    if raw == "":
        return False
    return _matches(spec, raw, sign, one)


def _matches(spec: Mapping[str, Any], raw: str, sign: str, one: Mapping[str, Any]) -> bool:
    here = _comparable(spec, raw)
    if sign in ("IN", "NOT_IN"):
        values = [str(value) for value in one["values"]]
        if spec["type"] == "string" and any(value != value.lower() for value in values):
            return sign == "NOT_IN"  # HubSpot wants texts in small letters here
        is_in = here in [_comparable(spec, value) for value in values]
        return is_in == (sign == "IN")
    value = str(one["value"])
    if sign == "CONTAINS_TOKEN":
        tokens = [raw.lower(), *raw.lower().split()]
        return any(fnmatch.fnmatchcase(token, value.lower()) for token in tokens)
    there = _comparable(spec, value)
    if sign == "BETWEEN":
        return bool(there <= here <= _comparable(spec, str(one["highValue"])))
    compare = _COMPARE.get(sign)
    if compare is None:
        raise Refused(400, "VALIDATION_ERROR", f"There is no operator {sign}.")
    return bool(compare(here, there))
