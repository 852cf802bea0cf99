"""Writing to HubSpot exactly once: a plan is kept before it is sent, and can be taken up again.

Each write of a plan may be sent however often: creations are upserts by a unique property,
changes set values, associations are PUT. So what began and broke off is finished, not begun anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from aicore_tools.crm.backends.hubspot_account import Account
from aicore_tools.crm.backends.hubspot_defaults import OPERATION
from aicore_tools.crm.backends.hubspot_planning import Plan, Write
from aicore_tools.crm.backends.hubspot_reading import read_batch
from aicore_tools.crm.backends.hubspot_shapes import Shape
from aicore_tools.crm.backends.hubspot_values import is_same
from aicore_tools.crm.records import RecordId
from aicore_tools.errors import Conflict, InvalidInput, NotFound, OutcomeUnknown, ToolsError
from aicore_tools.progress import progress

__all__ = ["REFUSALS", "Writer", "unknown_once_begun"]

MAX_BATCH = 100
_EXISTING = re.compile(r"Existing ID: ?(\d+)")
REFUSALS = (InvalidInput, Conflict, NotFound)
"""What HubSpot's refusals of one record become."""


@contextmanager
def unknown_once_begun(done: Sized) -> Iterator[None]:
    """Let no error say that nothing happened once there is something in `done`."""
    try:
        yield
    except OutcomeUnknown:
        raise
    except ToolsError as error:
        if not len(done):
            raise
        raise OutcomeUnknown(
            "Some of it was done, then HubSpot refused to go on.",
            hint="Repeat with the same operation key: the rest is taken up.",
        ) from error


@dataclass(slots=True)
class Writer:
    """Carries out one plan. `key` names the operation to HubSpot.

    `ids` are HubSpot's ids of the writes that are done, `refused` the writes of which nothing was,
    `errors` why, `unlinked` the records that HubSpot would not link to what was written.
    """

    account: Account
    plan: Plan
    key: str
    ids: dict[int, str] = field(default_factory=dict)
    errors: dict[int, str] = field(default_factory=dict)
    refused: set[int] = field(default_factory=set)
    unlinked: list[str] = field(default_factory=list)

    async def prepare(self) -> None:
        """Make sure that each creation can be recognised.

        Raises:
            BackendConfigError: it cannot.
        """
        for write in self.plan["writes"]:
            if write["id"] is None:
                await self.account.need_operation(self._shape(write))

    async def send(self) -> None:
        """Do what is not done yet.

        Raises:
            OutcomeUnknown: some of it may have been done.
            ToolsError: none of it was.
        """
        try:
            for shape, unique, writes in self._creations():
                await self._upsert(shape, unique, writes)
            for shape, writes in self._updates():
                await self._update(shape, writes)
            for index, write in enumerate(self.plan["writes"]):
                await self._associate(index, write)
                await progress(index + 1, len(self.plan["writes"]))
        except OutcomeUnknown:
            raise
        except ToolsError as error:
            if self.ids:
                raise OutcomeUnknown(
                    "Some of it was done, then HubSpot refused to go on.",
                    hint="Repeat with the same operation key: the rest is taken up.",
                ) from error
            raise

    async def look_up(self) -> bool:
        """Find out which writes are done; tells whether any is, or there is none to find."""
        for shape, _, writes in self._creations():
            named = {self._operation(index): index for index in writes}
            for found in await read_batch(self.account, shape, list(named), id_property=OPERATION):
                self.ids[named[found.properties[OPERATION]]] = str(found.id)
        for shape, writes in self._updates():
            await self._look_up_updates(shape, writes)
        with_values = [write for write in self.plan["writes"] if write["properties"]]
        return bool(self.ids) or not with_values

    def rows(self) -> list[dict[str, Any]]:
        """Give the fields of an UpsertResult for each record of the call."""
        rows = []
        for row in self.plan["rows"]:
            index = row["write"]
            error = row["error"] if index is None else self.errors.get(index)
            is_lost = index in self.refused
            rows.append(
                {
                    "status": "error" if is_lost else row["status"],
                    "id": row["id"] if index is None else None if is_lost else self.our_id(index),
                    "changed": None if is_lost else row["changed"],
                    "error": error,
                }
            )
        return rows

    def our_id(self, index: int) -> RecordId | None:
        """Give our id of a write that is done."""
        write = self.plan["writes"][index]
        vendor_id = self.ids.get(index, write["id"])
        return None if vendor_id is None else self._shape(write).our_id(vendor_id)

    def _shape(self, write: Write) -> Shape:
        for shape in self.account.shapes.of(write["type"]):
            if shape.object == write["object"]:
                return shape
        raise OutcomeUnknown("The mapping has changed since this was begun.")

    def _operation(self, index: int) -> str:
        """Name a creation by its record's place in the call.

        A plan made anew under the same key may have other writes; the places stay. So a request
        that comes in late writes what it would have written, never into another's record.
        """
        place = next(place for place, row in enumerate(self.plan["rows"]) if row["write"] == index)
        return f"{self.key}-{place}"

    def _creations(self) -> list[tuple[Shape, str, list[int]]]:
        groups: dict[tuple[str, str], list[int]] = {}
        for index, write in enumerate(self.plan["writes"]):
            if write["id"] is None and index not in self.ids and index not in self.errors:
                groups.setdefault((write["object"], write["unique"]), []).append(index)
        return [
            (self._shape(self.plan["writes"][part[0]]), unique, part)
            for (_, unique), indexes in groups.items()
            for part in _parts(indexes)
        ]

    def _updates(self) -> list[tuple[Shape, list[int]]]:
        groups: dict[str, list[int]] = {}
        for index, write in enumerate(self.plan["writes"]):
            if write["id"] is not None and write["properties"] and index not in self.ids:
                groups.setdefault(write["object"], []).append(index)
        return [
            (self._shape(self.plan["writes"][part[0]]), part)
            for indexes in groups.values()
            for part in _parts(indexes)
        ]

    async def _upsert(self, shape: Shape, unique: str, indexes: Sequence[int]) -> None:
        inputs = []
        for index in indexes:
            properties = self.plan["writes"][index]["properties"] | {
                OPERATION: self._operation(index)
            }
            inputs.append(
                {
                    "id": properties[unique],
                    "idProperty": unique,
                    "objectWriteTraceId": str(index),
                    "properties": properties,
                }
            )
        await self._batch("upsert", shape, inputs)

    async def _update(self, shape: Shape, indexes: Sequence[int]) -> None:
        inputs = [
            {
                "id": self.plan["writes"][index]["id"],
                "objectWriteTraceId": str(index),
                "properties": self.plan["writes"][index]["properties"],
            }
            for index in indexes
        ]
        await self._batch("update", shape, inputs)

    async def _batch(self, method: str, shape: Shape, inputs: list[dict[str, Any]]) -> None:
        """Send a batch. HubSpot may refuse all for one: then each is sent by itself."""
        try:
            answer = await self.account.wire.write(
                f"crm.objects.batch_api.{method}", shape.object, {"inputs": inputs}, repeats=True
            )
        except REFUSALS as error:
            if len(inputs) > 1:
                for each in inputs:
                    await self._batch(method, shape, [each])
            else:
                self._refuse(int(inputs[0]["objectWriteTraceId"]), _worded(shape, error.message))
            return
        for found in answer.results:
            self.ids[_index_of(found, inputs)] = str(found.id)
        refused = getattr(answer, "errors", None) or ()
        for each in inputs:
            index = int(each["objectWriteTraceId"])
            if index not in self.ids:
                self._refuse(index, _worded(shape, _reason(refused, str(index))))

    def _refuse(self, index: int, error: str) -> None:
        self.refused.add(index)
        self.errors[index] = error

    async def _associate(self, index: int, write: Write) -> None:
        vendor_id = self.ids.get(index, write["id"])
        if vendor_id is None or index in self.refused:
            return
        for record_type, record_id in write["links"]:
            place = self.account.shapes.place(record_type, record_id)
            if place is None:
                continue
            other, other_id = place
            body = {"inputs": [{"from": {"id": vendor_id}, "to": {"id": other_id}}]}
            try:
                await self.account.wire.write(
                    "crm.associations.v4.batch_api.create_default",
                    write["object"],
                    other.object,
                    body,
                    repeats=True,
                )
            except REFUSALS as error:
                self.unlinked.append(f"{record_type}:{record_id}")
                self.errors[index] = f"Not linked to {record_type}:{record_id}: {error.message}"
            else:
                self.ids.setdefault(index, vendor_id)
        if index in self.errors and index not in self.ids:
            self.refused.add(index)

    async def _look_up_updates(self, shape: Shape, indexes: Sequence[int]) -> None:
        """Tell by the versions of each property whether a change was made since it was planned."""
        writes = {str(self.plan["writes"][index]["id"]): index for index in indexes}
        found = await read_batch(self.account, shape, list(writes), history=True)
        for each in found:
            write = self.plan["writes"][writes[str(each.id)]]
            versions: Mapping[str, Sequence[Any]] = each.properties_with_history or {}
            if all(
                is_same(shape, name, each.properties.get(name), value)
                or any(
                    is_same(shape, name, version.value, value)
                    and version.timestamp > datetime.fromisoformat(str(write["updated"]))
                    for version in versions.get(name) or ()
                )
                for name, value in write["properties"].items()
            ):
                self.ids[writes[str(each.id)]] = str(each.id)


def _parts(indexes: Sequence[int]) -> list[list[int]]:
    return [list(indexes[start : start + MAX_BATCH]) for start in range(0, len(indexes), MAX_BATCH)]


def _index_of(found: Any, inputs: Sequence[Mapping[str, Any]]) -> int:
    """Tell which input a result is of: by its trace, else by its id or unique value."""
    if found.object_write_trace_id is not None:
        return int(found.object_write_trace_id)
    for each in inputs:
        unique = each.get("idProperty")
        there = found.properties.get(unique) if unique else str(found.id)
        if str(there).casefold() == str(each["id"]).casefold():
            return int(each["objectWriteTraceId"])
    raise OutcomeUnknown("HubSpot's answer names a record that was not sent.")


def _worded(shape: Shape, message: str) -> str:
    """Name who has a value already, where HubSpot says so by its own id."""
    existing = _EXISTING.search(message)
    if existing is None:
        return message
    return f"{shape.type}:{shape.our_id(existing[1])} has one of these values already."


def _reason(refused: Sequence[Any], trace: str) -> str:
    named = [
        each for each in refused if trace in (each.context or {}).get("objectWriteTraceId", ())
    ]
    (error, *_) = [*named, *refused, None]
    return "HubSpot did not take it." if error is None else f"HubSpot: {str(error.message)[:300]}"
