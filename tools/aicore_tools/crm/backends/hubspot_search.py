"""Searching HubSpot: our conditions as its filter groups, and paging that nothing moves.

Facts of `POST /crm/v3/objects/{type}/search`, read 2026-11: groups are ORed, at most 5 of 6
filters each, 18 in all; one sort; at most 200 rows a page; nothing beyond the 10,000th row of a
query. So a page goes on by value and id, not by offset, and every query starts afresh.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from aicore_tools.crm import cursors
from aicore_tools.crm.backends.hubspot_account import Account
from aicore_tools.crm.backends.hubspot_money import in_currency
from aicore_tools.crm.backends.hubspot_shapes import Bound, Shape
from aicore_tools.crm.backends.hubspot_values import milliseconds, record_of, sought
from aicore_tools.crm.records import Filter, Page, Search
from aicore_tools.errors import InvalidInput
from aicore_tools.progress import progress

__all__ = ["Conditions", "matching", "rows_of", "search"]

MAX_PAGE = 200
MAX_GROUPS = 5
MAX_FILTERS_A_GROUP = 6
MAX_FILTERS = 18
ID = "hs_object_id"
_SIGNS = {
    "eq": "EQ",
    "neq": "NEQ",
    "lt": "LT",
    "lte": "LTE",
    "gt": "GT",
    "gte": "GTE",
    "contains": "CONTAINS_TOKEN",
}

VendorFilter = dict[str, Any]
Conditions = list[list[VendorFilter]]
"""Alternatives, each a list of filters that must all hold."""


@dataclass(slots=True)
class _Walk:
    """Where a search is in its rows.

    `at` says in which stretch: `ties` are the rows whose sort value is `value`, from the id
    `last` on; `beyond` are those after that value; `missing` have none, from `last` on.
    """

    shape: int = 0
    at: str = "beyond"
    value: str | None = None
    last: int = 0

    def place(self) -> list[Any]:
        return [self.shape, self.at, self.value, self.last]


@dataclass(slots=True)
class _Query:
    """What is asked of one object."""

    shape: Shape
    conditions: Conditions
    words: str
    sort: str
    is_descending: bool

    @property
    def ordered(self) -> str:
        """The property to sort by, with a minus where it goes down."""
        return f"-{self.sort}" if self.is_descending else self.sort


async def search(account: Account, search: Search) -> Page:
    """Give one page of a search."""
    if search.query and not any(c.isalnum() for c in search.query):
        return Page(rows=[])
    shapes = _wanted(account.shapes.of(search.type), search.filters)
    walk = _Walk()
    if search.cursor is not None:
        walk = _walk(search, len(shapes))
    rows: list[Any] = []
    while walk.shape < len(shapes):
        shape = shapes[walk.shape]
        query = _query(account, shape, search)
        found = await _stretch(account, query, walk, search.limit + 1 - len(rows))
        room = search.limit - len(rows)
        rows += [record_of(shape, each, account.owners) for each in found[:room]]
        if len(found) > room:
            return Page(rows=rows, next_cursor=_cursor(search, query, walk, found, room))
        walk = _Walk(shape=walk.shape + 1)
    return Page(rows=rows)


async def matching(account: Account, shape: Shape, name: str, values: Sequence[str]) -> list[Any]:
    """Give the SDK's objects of all records whose field has one of these values, oldest first."""
    bound = shape.fields[name]
    wanted = [sought(bound, value, account.owners).lower() for value in values]
    conditions = [[{"propertyName": _searchable(bound), "operator": "IN", "values": wanted}]]
    return await rows_of(account, shape, conditions)


async def rows_of(
    account: Account, shape: Shape, conditions: Conditions, *, limit: int | None = None
) -> list[Any]:
    """Give the SDK's objects of all records that fit, oldest first; at most `limit`."""
    found: list[Any] = []
    last = 0
    while limit is None or len(found) < limit:
        beyond = _and(conditions, {"propertyName": ID, "operator": "GT", "value": str(last)})
        page = await _ask(account, shape, beyond, sort=ID, limit=MAX_PAGE)
        found += page
        await progress(len(found))
        if len(page) < MAX_PAGE:
            break
        last = int(page[-1].id)
    return found[:limit]


def _wanted(shapes: Sequence[Shape], filters: Sequence[Filter]) -> list[Shape]:
    """Leave out the shapes whose kind is not asked for."""
    kinds = {str(shape.kind) for shape in shapes}
    for each in filters:
        if each.field == "kind":
            if each.op not in ("eq", "neq", "in"):
                raise InvalidInput("kind: use eq, neq or in.")
            named = set(each.value) if isinstance(each.value, list) else {each.value}
            kinds = kinds - named if each.op == "neq" else kinds & named
    return [shape for shape in shapes if shape.kind is None or str(shape.kind) in kinds]


def _query(account: Account, shape: Shape, search: Search) -> _Query:
    conditions: Conditions = [[]]
    currencies = [str(e.value) for e in search.filters if e.field == "currency" and e.op == "eq"]
    compared = in_currency(shape, next(iter(currencies), None))
    for each in search.filters:
        if each.field == "kind" and shape.type == "note":
            continue
        conditions = _both(conditions, _alternatives(account, compared, each))
    name = search.sort.field
    if name == "created":
        sort = ID
    elif name == "updated":
        sort = shape.updated
    elif name in shape.fields:
        sort = _searchable(shape.fields[name])
    else:
        raise InvalidInput(f"sort: {shape.object} cannot be sorted by {name} here.")
    return _Query(shape, conditions, search.query, sort, search.sort.descending)


def _alternatives(account: Account, shape: Shape, condition: Filter) -> Conditions:
    """Give a condition as HubSpot's filters; `neq` also wants records without the field."""
    if condition.field == "linked_to":
        return _linked(account, condition)
    name, op, value = condition.field, condition.op, condition.value
    bound = shape.fields.get(name)
    if name in ("created", "updated"):
        named = shape.created if name == "created" else shape.updated
    elif bound is None:
        raise InvalidInput(f"{name}: HubSpot's {shape.object} cannot be looked for by it.")
    else:
        named = _searchable(bound)
    lacking = {"propertyName": named, "operator": "NOT_HAS_PROPERTY"}
    if op == "exists":
        return [[{"propertyName": named, "operator": "HAS_PROPERTY"} if value else lacking]]
    items = value if isinstance(value, list) else [value]
    if op == "contains":
        compared = [f"*{value}*"]
    else:
        compared = [_compared(account, bound, item) for item in items]
    made = {"propertyName": named, **_operation(op, compared)}
    return [[made], [lacking]] if op == "neq" else [[made]]


def _compared(account: Account, bound: Bound | None, value: Any) -> str:
    if bound is None or bound.field.source_type in ("date", "datetime"):
        return milliseconds(str(value))
    return sought(bound, value, account.owners)


def _operation(op: str, compared: Sequence[str]) -> VendorFilter:
    if op == "in":
        return {"operator": "IN", "values": [each.lower() for each in compared]}
    if op == "between":
        return {"operator": "BETWEEN", "value": compared[0], "highValue": compared[1]}
    return {"operator": _SIGNS[op], "value": compared[0]}


def _linked(account: Account, condition: Filter) -> Conditions:
    place = account.shapes.place(condition.value.type, condition.value.id)
    other, vendor_id = place if place is not None else (None, "0")
    named = condition.value.type if other is None else singular(other.object)
    return [[{"propertyName": f"associations.{named}", "operator": "EQ", "value": vendor_id}]]


def singular(object_type: str) -> str:
    """Give the name of an object as HubSpot's `associations.` filter takes it."""
    if object_type == "companies":
        return "company"
    return object_type if "-" in object_type else object_type.removesuffix("s")


def _searchable(bound: Bound) -> str:
    if not bound.search:
        raise InvalidInput(f"{bound.name} cannot be looked for or sorted by in this account.")
    return bound.search


def _both(a: Conditions, b: Conditions) -> Conditions:
    return [[*one, *two] for one, two in itertools.product(a, b)]


def _and(conditions: Conditions, *more: VendorFilter) -> Conditions:
    return [[*group, *more] for group in conditions]


async def _stretch(account: Account, query: _Query, walk: _Walk, need: int) -> list[Any]:
    """Give the next `need` rows from where `walk` is, or fewer where there are no more."""
    if query.sort == ID:
        return await _by_id(account, query, walk, need)
    rows: list[Any] = []
    here = replace(walk)
    while len(rows) < need:
        limit = need - len(rows)
        if here.at == "ties":
            tie = {"propertyName": query.sort, "operator": "EQ", "value": _operand(query, here)}
            found = await _from_id(account, query, [tie], here.last, limit)
            rows += found
            if len(found) < limit:
                here = _Walk(here.shape, "beyond", here.value)
        elif here.at == "missing":
            lacking = {"propertyName": query.sort, "operator": "NOT_HAS_PROPERTY"}
            rows += await _from_id(account, query, [lacking], here.last, limit)
            break
        else:
            here, found = await _beyond(account, query, here, limit)
            rows += found
    return rows


async def _by_id(account: Account, query: _Query, walk: _Walk, need: int) -> list[Any]:
    sign = "LT" if query.is_descending else "GT"
    more = [{"propertyName": ID, "operator": sign, "value": str(walk.last)}] if walk.last else []
    return await _ask(
        account,
        query.shape,
        _and(query.conditions, *more),
        sort=query.ordered,
        limit=need,
        words=query.words,
    )


async def _from_id(
    account: Account, query: _Query, more: list[VendorFilter], last: int, limit: int
) -> list[Any]:
    after = {"propertyName": ID, "operator": "GT", "value": str(last)}
    conditions = _and(query.conditions, *more, after)
    return await _ask(account, query.shape, conditions, sort=ID, limit=limit, words=query.words)


async def _beyond(
    account: Account, query: _Query, here: _Walk, limit: int
) -> tuple[_Walk, list[Any]]:
    """Give whole groups of rows with one value each; the last may be cut, so it is asked anew."""
    if here.value is None:
        more: VendorFilter = {"propertyName": query.sort, "operator": "HAS_PROPERTY"}
    else:
        sign = "LT" if query.is_descending else "GT"
        more = {"propertyName": query.sort, "operator": sign, "value": _operand(query, here)}
    found = await _ask(
        account,
        query.shape,
        _and(query.conditions, more),
        sort=query.ordered,
        limit=limit + 1,
        words=query.words,
    )
    is_all = len(found) <= limit
    last = None if is_all or not found else _value(query, found[-1])
    groups = itertools.groupby(found, key=lambda each: _value(query, each))
    whole = [
        each
        for value, group in groups
        if is_all or value != last
        for each in sorted(group, key=lambda each: int(each.id))
    ]
    if is_all:
        return _Walk(here.shape, "missing"), whole
    return _Walk(here.shape, "ties", last), whole


def _value(query: _Query, found: Any) -> str:
    return str(found.properties.get(query.sort) or "").casefold()


def _operand(query: _Query, walk: _Walk) -> str:
    bounds = [bound for bound in query.shape.fields.values() if bound.search == query.sort]
    is_time = query.sort in (query.shape.created, query.shape.updated) or any(
        bound.field.source_type in ("date", "datetime") for bound in bounds
    )
    value = walk.value or ""
    if not is_time:
        return value
    return milliseconds(value.upper())


async def _ask(
    account: Account,
    shape: Shape,
    conditions: Conditions,
    *,
    sort: str,
    limit: int,
    words: str = "",
) -> list[Any]:
    """Ask for up to `limit` rows, in one request. `sort` is a property, or `-property`."""
    count = sum(len(group) for group in conditions)
    widest = max((len(group) for group in conditions), default=0)
    if len(conditions) > MAX_GROUPS or widest > MAX_FILTERS_A_GROUP or count > MAX_FILTERS:
        raise InvalidInput(
            "These are more conditions than HubSpot takes in one search.",
            hint="Use at most 4 filters; each neq counts twice.",
        )
    name = sort.removeprefix("-")
    body: dict[str, Any] = {
        "limit": min(limit, MAX_PAGE),
        "sorts": [
            {"propertyName": name, "direction": "ASCENDING" if name == sort else "DESCENDING"}
        ],
        "properties": [*shape.properties(), name],
        "filterGroups": [{"filters": group} for group in conditions if group],
    }
    if words:
        body["query"] = words
    answer = await account.wire.read("crm.objects.search_api.do_search", shape.object, body)
    return list(answer.results)


def _cursor(search: Search, query: _Query, walk: _Walk, found: Sequence[Any], room: int) -> str:
    """Name the place after the last row that is shown, or the beginning of a shape."""
    if room == 0:
        place = walk
    elif query.sort == ID:
        place = _Walk(walk.shape, last=int(found[room - 1].id))
    else:
        last = found[room - 1]
        value = _value(query, last)
        at = "ties" if value else "missing"
        place = _Walk(walk.shape, at, value or None, int(last.id))
    return cursors.pack(cursors.of_search(search), place.place())


def _walk(search: Search, shapes: int) -> _Walk:
    match cursors.unpack(cursors.of_search(search), search.cursor or "", length=4):
        case [int(shape), ("ties" | "beyond" | "missing") as at, value, int(last)] if (
            0 <= shape < shapes and (value is None or isinstance(value, str))
        ):
            return _Walk(shape, at, value, last)
    raise InvalidInput("This cursor is damaged.", hint="Give next_cursor as it was.")
