"""Reading HubSpot's records whole: links, activity and history beside them."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from aicore_tools.crm.backends.hubspot_account import Account
from aicore_tools.crm.backends.hubspot_search import matching
from aicore_tools.crm.backends.hubspot_shapes import Shape
from aicore_tools.crm.backends.hubspot_values import decoded, read_as, record_of, title_of
from aicore_tools.crm.backends.hubspot_wire import together
from aicore_tools.crm.records import (
    Activity,
    Change,
    Link,
    Record,
    RecordId,
    RecordType,
    Ref,
    Related,
)
from aicore_tools.errors import InvalidInput, NotFound

__all__ = ["associated", "find", "get", "label_of", "read_batch"]

MAX_BATCH = 100
MAX_WITH_HISTORY = 50
MAX_LINKS = 50
MAX_ACTIVITY = 20
MAX_CHANGES = 20


async def get(
    account: Account,
    record_type: RecordType,
    ids: Sequence[RecordId],
    include: Collection[Related] = (),
) -> list[Record]:
    """Give the live records with these ids, in this order."""
    wanted: dict[str, tuple[Shape, list[str]]] = {}
    for record_id in ids:
        place = account.shapes.place(record_type, record_id)
        if place is not None:
            shape, vendor_id = place
            wanted.setdefault(shape.object, (shape, []))[1].append(vendor_id)
    records: dict[RecordId, Record] = {}
    for shape, vendor_ids in wanted.values():
        unique = list(dict.fromkeys(vendor_ids))
        found = await read_batch(account, shape, unique, history="history" in include)
        links = await _links(account, shape, found) if "links" in include else {}
        activity = await _activity(account, shape, found) if "activity" in include else {}
        for each in found:
            record = record_of(
                shape,
                each,
                account.owners,
                links=links.get(each.id, []) if "links" in include else None,
                activity=activity.get(each.id, []) if "activity" in include else None,
                history=_history(account, shape, each) if "history" in include else None,
            )
            records[record.id] = record
    return [records[record_id] for record_id in dict.fromkeys(ids) if record_id in records]


async def find(account: Account, record_type: RecordType, field: str, value: str) -> list[RecordId]:
    """Give the ids of live records whose key field has this value, oldest first."""
    (shape, *_) = account.shapes.of(record_type)
    bound = shape.fields.get(field)
    if bound is None:
        return []
    if bound.properties[0] in shape.unique:
        found = await read_batch(account, shape, [value], id_property=bound.properties[0])
    else:
        found = await matching(account, shape, field, [value])
    return [shape.our_id(each.id) for each in found]


async def read_batch(
    account: Account,
    shape: Shape,
    ids: Sequence[str],
    *,
    id_property: str | None = None,
    history: bool = False,
    archived: bool = False,
) -> list[Any]:
    """Give the SDK's objects with these ids or unique values; unknown ones are left out."""
    found: list[Any] = []
    size = MAX_WITH_HISTORY if history else MAX_BATCH
    mapped = [name for bound in shape.fields.values() for name in bound.properties]
    for start in range(0, len(ids), size):
        body: dict[str, Any] = {
            "inputs": [{"id": each} for each in ids[start : start + size]],
            "properties": [*shape.properties(), *([id_property] if id_property else [])],
            "propertiesWithHistory": mapped if history else [],
        }
        if id_property is not None:
            body["idProperty"] = id_property
        answer = await account.wire.read(
            "crm.objects.batch_api.read", shape.object, body, archived=archived
        )
        found += answer.results
    return found


async def associated(
    account: Account, shape: Shape, ids: Sequence[str], other: Shape
) -> Mapping[str, list[Any]]:
    """Give what records are associated with at another object: id → the SDK's ends."""
    ends: dict[str, list[Any]] = {}
    asked: list[dict[str, str]] = [{"id": each} for each in ids]
    while asked:
        body = {"inputs": asked[:MAX_BATCH]}
        asked = asked[MAX_BATCH:]
        try:
            answer = await account.wire.read(
                "crm.associations.v4.batch_api.get_page", shape.object, other.object, body
            )
        except (InvalidInput, NotFound):
            return ends  # these two objects cannot be associated
        for row in answer.results:
            ends.setdefault(row._from.id, []).extend(row.to)
            if row.paging is not None and row.paging.next is not None:
                asked.append({"id": row._from.id, "after": row.paging.next.after})
    return ends


async def _ends(
    account: Account, shape: Shape, found: Sequence[Any], others: Sequence[Shape]
) -> Mapping[str, list[tuple[Shape, Any]]]:
    """Give every association with these objects: id → (other shape, the SDK's end)."""
    ids = [each.id for each in found]
    ends: dict[str, list[tuple[Shape, Any]]] = {}

    async def ask(other: Shape) -> None:
        for vendor_id, there in (await associated(account, shape, ids, other)).items():
            ends.setdefault(vendor_id, []).extend((other, each) for each in there)

    await together([partial(ask, other) for other in others])
    return ends


async def _others(
    account: Account, ends: Mapping[str, list[tuple[Shape, Any]]]
) -> Mapping[tuple[str, str], Any]:
    """Read the objects at the other ends: (object, id) → the SDK's object."""
    ids: dict[str, tuple[Shape, dict[str, None]]] = {}
    for there in ends.values():
        for other, end in there:
            ids.setdefault(other.object, (other, {}))[1][str(end.to_object_id)] = None
    read: dict[tuple[str, str], Any] = {}
    for other, wanted in ids.values():
        for each in await read_batch(account, other, list(wanted)):
            read[(other.object, str(each.id))] = each
    return read


async def _links(account: Account, shape: Shape, found: Sequence[Any]) -> Mapping[str, list[Link]]:
    ends = await _ends(account, shape, found, account.shapes.linked())
    newest = {
        vendor_id: sorted(there, key=lambda pair: int(pair[1].to_object_id), reverse=True)[
            :MAX_LINKS
        ]
        for vendor_id, there in ends.items()
    }
    read = await _others(account, newest)
    return {
        vendor_id: [
            Link(
                ref=Ref(other.type, other.our_id(end.to_object_id)),
                label=label_of(end),
                name=title_of(other, read[(other.object, str(end.to_object_id))].properties),
            )
            for other, end in there
            if (other.object, str(end.to_object_id)) in read
        ]
        for vendor_id, there in newest.items()
    }


def label_of(end: Any) -> str:
    """Give the label of an association, or nothing."""
    return next((str(kind.label) for kind in end.association_types if kind.label), "")


async def _activity(
    account: Account, shape: Shape, found: Sequence[Any]
) -> Mapping[str, list[Activity]]:
    ends = await _ends(account, shape, found, account.shapes.activities())
    read = await _others(account, ends)
    activity: dict[str, list[Activity]] = {}
    for vendor_id, there in ends.items():
        live = [
            (other, read[(other.object, str(end.to_object_id))])
            for other, end in there
            if (other.object, str(end.to_object_id)) in read
        ]
        live.sort(key=lambda pair: pair[1].created_at, reverse=True)
        activity[vendor_id] = [_as_activity(account, *pair) for pair in live[:MAX_ACTIVITY]]
    return activity


def _as_activity(account: Account, shape: Shape, found: Any) -> Activity:
    record = record_of(shape, found, account.owners)
    at = record.fields.get("at") or record.fields.get("due") or record.created.isoformat()
    return Activity(
        id=record.id, kind=shape.kind or "note", at=str(at), text=str(record.fields.get("text", ""))
    )


def _history(account: Account, shape: Shape, found: Any) -> list[Change]:
    """Give the changes of our fields, newest first, from the versions of their properties."""
    versions: Mapping[str, Sequence[Any]] = found.properties_with_history or {}
    moments: dict[datetime, dict[str, tuple[Any, Any]]] = {}
    by: dict[datetime, str] = {}
    for name, bound in read_as(shape, found.properties).fields.items():
        oldest_first = sorted(
            (
                (version.timestamp, source, version)
                for source in bound.properties
                for version in versions.get(source) or ()
            ),
            key=lambda each: each[0],
        )
        state: dict[str, str | None] = {}
        before = None
        for at, changed in itertools.groupby(oldest_first, key=lambda each: each[0]):
            for _, source, version in changed:
                state[source] = version.value
                by[at] = version.source_label or version.source_type
            after = decoded(bound, state, account.owners)
            if after != before:
                moments.setdefault(at, {})[name] = (before, after)
            before = after
    return [
        Change(at=at, fields=moments[at], by=by[at])
        for at in sorted(moments, reverse=True)[:MAX_CHANGES]
    ]
