"""Each effect on HubSpot as a procedure of the journal: perform it, and find it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC
from typing import Any, cast

from aicore_tools.crm.backends.hubspot_account import Account
from aicore_tools.crm.backends.hubspot_defaults import OPERATION
from aicore_tools.crm.backends.hubspot_planning import (
    Plan,
    Planner,
    Row,
    Write,
    missing_refs,
)
from aicore_tools.crm.backends.hubspot_reading import associated, label_of, read_batch
from aicore_tools.crm.backends.hubspot_shapes import Shape
from aicore_tools.crm.backends.hubspot_values import encoded, instant, record_of
from aicore_tools.crm.backends.hubspot_writing import REFUSALS, Writer, unknown_once_begun
from aicore_tools.crm.fields import nearest
from aicore_tools.crm.records import Archive, Entry, RecordId, Ref, Upsert
from aicore_tools.errors import InvalidInput, NotFound
from aicore_tools.journal import Claim, Procedure

__all__ = ["Effects", "archive_request", "entry_request", "upsert_request"]

_MERGED = {
    "contacts": "crm.contacts.basic_api.merge",
    "companies": "crm.companies.basic_api.merge",
    "deals": "crm.deals.basic_api.merge",
    "tickets": "crm.tickets.basic_api.merge",
}
_Done = dict[str, Any]


def upsert_request(record_type: str, records: Sequence[Upsert], on_match: str) -> dict[str, Any]:
    """Give an upsert as plain JSON."""
    return {
        "type": record_type,
        "on_match": on_match,
        "records": [
            {
                "fields": dict(item.fields),
                "id": item.id,
                "key": item.key,
                "links": [[ref.type, ref.id] for ref in item.links],
            }
            for item in records
        ],
    }


def entry_request(entry: Entry) -> dict[str, Any]:
    """Give a log entry as plain JSON."""
    return {**asdict(entry), "about": [[ref.type, ref.id] for ref in entry.about]}


def archive_request(archive: Archive) -> dict[str, Any]:
    """Give an archive as plain JSON."""
    return asdict(archive)


@dataclass(frozen=True, slots=True)
class Effects:
    """The procedures over one account."""

    account: Account

    def procedures(self) -> list[Procedure]:
        """Give one procedure for each effect."""
        return [
            Procedure(name="upsert", perform=self._upsert, reconcile=self._find_upsert),
            Procedure(name="log", perform=self._log, reconcile=self._find_log),
            Procedure(name="link", perform=self._link, reconcile=self._find_link),
            Procedure(name="archive", perform=self._archive, reconcile=self._find_archive),
        ]

    async def _upsert(self, claim: Claim) -> _Done:
        asked = claim.request
        items = [
            Upsert(
                fields=each["fields"],
                id=each["id"],
                key=None if each["key"] is None else (each["key"][0], each["key"][1]),
                links=_refs(each["links"]),
            )
            for each in asked["records"]
        ]
        planner = Planner(self.account, asked["type"], asked["on_match"], OPERATION)
        plan = await planner.plan(items)
        return {"results": (await self._carry_out(claim, plan)).rows()}

    async def _find_upsert(self, claim: Claim) -> _Done | None:
        writer = await self._finished(claim)
        return None if writer is None else {"results": writer.rows()}

    async def _log(self, claim: Claim) -> _Done:
        asked = claim.request
        about = _refs(asked["about"])
        for ref in await missing_refs(self.account, about):
            raise NotFound(f"There is no {ref}.", hint="Find its id with crm_search.")
        linked = {shape.type for shape in self.account.shapes.linked()}
        for ref in about:
            if ref.type not in linked:
                raise InvalidInput(f"In HubSpot nothing is logged about a {ref.type}.")
        if asked["task_id"] is not None:
            plan = await self._task_change(asked)
        else:
            plan = self._entry(asked, claim.began_at)
        return self._logged(claim, await self._carry_out(claim, plan))

    async def _find_log(self, claim: Claim) -> _Done | None:
        writer = await self._finished(claim)
        return None if writer is None or writer.refused else self._logged(claim, writer)

    def _logged(self, claim: Claim, writer: Writer) -> _Done:
        if 0 in writer.refused:
            raise InvalidInput(writer.errors[0])
        asked = claim.request
        now = writer.plan["rows"][0]["changes"] or {}
        about = [f"{record_type}:{record_id}" for record_type, record_id in asked["about"]]
        return {
            "id": writer.our_id(0),
            "kind": asked["kind"],
            "status": writer.plan["rows"][0]["status"],
            "about": [ref for ref in about if ref not in writer.unlinked],
            "due": now.get("due", (None, None))[1],
            "is_done": now.get("is_done", (None, None))[1],
        }

    def _entry(self, asked: Mapping[str, Any], began_at: str) -> Plan:
        shape = self.account.shapes.of_kind(asked["kind"])
        fields = {"text": asked["text"], "owner": asked["owner"]}
        at = asked["at"] or instant(began_at).isoformat(timespec="seconds")
        if asked["kind"] == "task":
            fields |= {"due": asked["due"] or at, "is_done": bool(asked["is_done"])}
        else:
            fields["at"] = at
        written = dict(shape.written)
        if asked["kind"] == "meeting":
            written |= {"hs_meeting_start_time": at, "hs_meeting_end_time": at}
        return self._one(asked, shape, None, written, fields)

    async def _task_change(self, asked: Mapping[str, Any]) -> Plan:
        place = self.account.shapes.place("task", asked["task_id"])
        found = [] if place is None else await read_batch(self.account, place[0], [place[1]])
        if place is None or not found:
            raise NotFound(f"There is no task:{asked['task_id']}.")
        shape = place[0]
        record = record_of(shape, found[0], self.account.owners)
        wanted = {name: asked[name] for name in ("text", "owner", "due", "is_done")}
        given = {name: value for name, value in wanted.items() if value is not None}
        changed = {name: value for name, value in given.items() if record.fields.get(name) != value}
        plan = self._one(asked, shape, found[0], {}, changed)
        row = plan["rows"][0]
        row["status"] = "updated" if changed else "unchanged"
        row["changes"] = {
            name: (None, given.get(name, record.fields.get(name))) for name in ("due", "is_done")
        }
        return plan

    def _one(
        self,
        asked: Mapping[str, Any],
        shape: Shape,
        found: Any,
        written: Mapping[str, str],
        fields: Mapping[str, Any],
    ) -> Plan:
        properties = dict(written)
        for name, value in fields.items():
            if value is not None and name in shape.fields:
                properties |= encoded(shape.fields[name], value, self.account.owners)
        write = Write(
            type=shape.type,
            object=shape.object,
            id=None if found is None else str(found.id),
            unique="" if found is not None else OPERATION,
            properties=properties,
            updated=None if found is None else found.updated_at.astimezone(UTC).isoformat(),
            links=[list(ref) for ref in asked["about"]],
        )
        shown = {name: (None, fields.get(name)) for name in ("due", "is_done")}
        row = Row(status="created", id=None, write=0, changed=None, error=None, changes=shown)
        return Plan(writes=[write], rows=[row])

    async def _carry_out(self, claim: Claim, plan: Plan) -> Writer:
        writer = Writer(self.account, plan, claim.key)
        await writer.prepare()
        await claim.note(plan=plan)
        await writer.send()
        return writer

    async def _finished(self, claim: Claim) -> Writer | None:
        """Finish what was begun; None where nothing of it is there."""
        if "plan" not in claim.notes:
            return None
        writer = Writer(self.account, cast("Plan", claim.notes["plan"]), claim.key)
        if not await writer.look_up():
            return None
        await writer.send()
        return writer

    async def _link(self, claim: Claim) -> _Done:
        asked = claim.request
        a, b = _refs([asked["a"], asked["b"]])
        for ref in await missing_refs(self.account, [a, b]):
            raise NotFound(f"There is no {ref}.", hint="Find its id with crm_search.")
        present = await self._label(a, b)
        label = asked["label"]
        if asked["remove"]:
            is_changed = present is not None
        else:
            is_changed = present is None or (bool(label) and not _is_same_label(label, present))
        kind = await self._label_kind(a, b, label) if label else None
        await claim.note(changed=is_changed)
        if is_changed:
            await self._set_link(a, b, kind, remove=asked["remove"])
        return {"changed": is_changed}

    async def _find_link(self, claim: Claim) -> _Done | None:
        if "changed" not in claim.notes:
            return None
        asked = claim.request
        present = await self._label(*_refs([asked["a"], asked["b"]]))
        is_so = present is None if asked["remove"] else present is not None
        if asked["label"] and not asked["remove"]:
            is_so = present is not None and _is_same_label(asked["label"], present)
        return {"changed": claim.notes["changed"]} if is_so else None

    async def _label(self, a: Ref, b: Ref) -> str | None:
        """Give the label of the link of two records, None where they are not linked."""
        (shape, a_id), (other, b_id) = self._places(a, b)
        ends = await associated(self.account, shape, [a_id], other)
        for end in ends.get(a_id, ()):
            if str(end.to_object_id) == b_id:
                return label_of(end)
        return None

    async def _label_kind(self, a: Ref, b: Ref, label: str) -> dict[str, Any]:
        (shape, _), (other, _) = self._places(a, b)
        answer = await self.account.wire.read(
            "crm.associations.v4.schema.definitions_api.get_all", shape.object, other.object
        )
        known = {str(each.label): each for each in answer.results if each.label}
        for name, each in known.items():
            if _is_same_label(label, name):
                return {"associationCategory": each.category, "associationTypeId": each.type_id}
        raise InvalidInput(
            f"HubSpot has no label {label!r} between {a.type} and {b.type}.{nearest(label, known)}",
            hint=f"Labels there: {', '.join(known) or 'none'}; others are made in HubSpot.",
        )

    async def _set_link(self, a: Ref, b: Ref, kind: dict[str, Any] | None, *, remove: bool) -> None:
        (shape, a_id), (other, b_id) = self._places(a, b)
        ends = (shape.object, a_id, other.object, b_id)
        api = "crm.associations.v4.basic_api"
        if remove:
            await self.account.wire.write(f"{api}.archive", *ends, repeats=True)
        elif kind is None:
            await self.account.wire.write(f"{api}.create_default", *ends, repeats=True)
        else:
            await self.account.wire.write(f"{api}.create", *ends, [kind], repeats=True)

    def _places(self, a: Ref, b: Ref) -> tuple[tuple[Shape, str], tuple[Shape, str]]:
        places = [self.account.shapes.place(ref.type, ref.id) for ref in (a, b)]
        if places[0] is None or places[1] is None:
            raise NotFound("There is no such record.")
        return places[0], places[1]

    async def _archive(self, claim: Claim) -> _Done:
        asked = claim.request
        record_type, target = asked["type"], asked["merge_into"]
        places = await self._existing(record_type, asked["ids"])
        if target is None:
            await claim.note(archive=True)
            await self._archive_all(list(places.values()))
            return _archived(asked, None)
        (shape, target_id) = self._merging(record_type, target, places)
        if not await read_batch(self.account, shape, [target_id]):
            raise NotFound(f"There is no {record_type}:{target}.")
        await claim.note(merge=target_id)
        sources = [each for _, ids in places.values() for each in ids]
        return await self._merge(claim, shape, target_id, sources)

    async def _archive_all(self, places: Sequence[tuple[Shape, list[str]]]) -> None:
        gone: list[str] = []
        with unknown_once_begun(gone):
            for shape, vendor_ids in places:
                body = {"inputs": [{"id": each} for each in vendor_ids]}
                await self.account.wire.write(
                    "crm.objects.batch_api.archive", shape.object, body, repeats=True
                )
                gone += vendor_ids

    async def _merge(
        self, claim: Claim, shape: Shape, target_id: str, sources: Sequence[str]
    ) -> _Done:
        """Merge one by one; each is looked up before, since HubSpot merges again if asked to."""
        merged: list[str] = []
        with unknown_once_begun(merged):
            survivor = await self._survivor(shape, target_id)
            for source in sources:
                if survivor is None or await self._survivor(shape, source) != survivor:
                    await self._merge_one(shape, survivor or target_id, source)
                merged.append(source)
                survivor = await self._survivor(shape, target_id)
        return _archived(claim.request, shape.our_id(survivor or target_id))

    async def _merge_one(self, shape: Shape, survivor: str, source: str) -> None:
        """Merge two. A refusal may come from an earlier request that only now was done."""
        body = {"primaryObjectId": survivor, "objectIdToMerge": source}
        try:
            await self.account.wire.write(_MERGED[shape.object], body, repeats=False)
        except REFUSALS:
            with unknown_once_begun([source]):
                now = await self._survivor(shape, survivor)
                is_merged = now is not None and await self._survivor(shape, source) == now
            if not is_merged:
                raise

    async def _survivor(self, shape: Shape, vendor_id: str) -> str | None:
        """Follow a record through merges: HubSpot answers for a merged id with who took it in."""
        try:
            found = await self.account.wire.read(
                "crm.objects.basic_api.get_by_id", shape.object, vendor_id
            )
        except NotFound:
            return None
        return str(found.id)

    async def _find_archive(self, claim: Claim) -> _Done | None:
        asked = claim.request
        if "archive" in claim.notes:
            return await self._find_archived(asked)
        if "merge" not in claim.notes:
            return None
        places = await self._existing(asked["type"], asked["ids"])
        ((shape, sources),) = places.values()
        target_id = claim.notes["merge"]
        survivor = await self._survivor(shape, target_id)
        ends = [await self._survivor(shape, each) for each in sources]
        if survivor is None or survivor not in ends:
            return None
        return await self._merge(claim, shape, target_id, sources)

    async def _find_archived(self, asked: Mapping[str, Any]) -> _Done | None:
        """Archive the rest where some are gone; None where none is."""
        places = await self._existing(asked["type"], asked["ids"])
        live = [
            (shape, [str(each.id) for each in await read_batch(self.account, shape, vendor_ids)])
            for shape, vendor_ids in places.values()
        ]
        rest = [(shape, vendor_ids) for shape, vendor_ids in live if vendor_ids]
        if sum(len(ids) for _, ids in rest) == sum(len(ids) for _, ids in places.values()):
            return None
        await self._archive_all(rest)
        return _archived(asked, None)

    async def _existing(
        self, record_type: str, ids: Sequence[str]
    ) -> Mapping[str, tuple[Shape, list[str]]]:
        """Give where the records are, live or not.

        Raises:
            NotFound: one of them never was.
        """
        places: dict[str, tuple[Shape, list[str]]] = {}
        for each in dict.fromkeys(ids):
            place = self.account.shapes.place(record_type, each)
            if place is None:
                raise NotFound(f"There is no {record_type}:{each}.")
            places.setdefault(place[0].object, (place[0], []))[1].append(place[1])
        for shape, vendor_ids in places.values():
            there: set[str] = set()
            for archived in (False, True):
                found = await read_batch(self.account, shape, vendor_ids, archived=archived)
                there |= {str(each.id) for each in found}
                for each in found:
                    merged = each.properties.get("hs_merged_object_ids") or ""
                    there |= set(merged.split(";"))
                if there >= set(vendor_ids):
                    break
            for vendor_id in vendor_ids:
                if vendor_id not in there and await self._survivor(shape, vendor_id) is None:
                    raise NotFound(f"There is no {record_type}:{shape.our_id(vendor_id)}.")
        return places

    def _merging(
        self, record_type: str, target: str, places: Mapping[str, tuple[Shape, list[str]]]
    ) -> tuple[Shape, str]:
        place = self.account.shapes.place(record_type, target)
        if place is None:
            raise NotFound(f"There is no {record_type}:{target}.")
        if list(places) != [place[0].object] or place[0].object not in _MERGED:
            raise InvalidInput(
                f"HubSpot cannot merge these {record_type} records.",
                hint="It merges contacts, companies, deals and tickets.",
            )
        if place[1] in places[place[0].object][1]:
            raise InvalidInput("A record cannot be merged into itself.")
        return place


def _is_same_label(a: str, b: str) -> bool:
    return a.casefold() == b.casefold()


def _archived(asked: Mapping[str, Any], merged_into: RecordId | None) -> _Done:
    return {"type": asked["type"], "ids": list(asked["ids"]), "merged_into": merged_into}


def _refs(pairs: Sequence[Sequence[str]]) -> list[Ref]:
    return [Ref(pair[0], RecordId(pair[1])) for pair in pairs]
