"""HubSpot itself. Only with `-m live` and a token of an account kept for tests:

AICORE_LIVE_HUBSPOT_TOKEN=pat-… python -m pytest -m live tests/live/test_hubspot_live.py

It makes the property `aicore_op`, two contacts, a deal, a note and a task, and archives them. It
shows what the sandbox cannot: unique properties on activities, how far search lags behind, and
that a merged record is found by its old ids.
"""

import os
import secrets
from pathlib import Path

import anyio
import pytest

from aicore_tools.connections import Connection
from aicore_tools.crm.backends.hubspot import HubSpotDirectory
from aicore_tools.crm.records import Archive, Entry, RecordId, Ref, Search, Sort, Upsert
from aicore_tools.operations import Operation

pytestmark = pytest.mark.live

RUN = secrets.token_hex(6)
LAG_S = 60.0


def op(name: str) -> Operation:
    return Operation.of("live", {"name": name}, f"live-{RUN}-{name}")


def account(folder: Path) -> HubSpotDirectory:
    token = os.environ["AICORE_LIVE_HUBSPOT_TOKEN"]
    connection = Connection(vendor="hubspot", account="live", fields={"access_token": token})
    return HubSpotDirectory(connection, journal=folder / "journal.db", business="live")


def ref(record_type: str, record_id: RecordId | None) -> Ref:
    assert record_id is not None
    return Ref(record_type, record_id)


async def test_each_kind_of_effect_is_taken_by_hubspot_once(tmp_path: Path) -> None:
    people = [
        Upsert(fields={"name": f"Ann Live{RUN}", "email": f"ann-{RUN}@example.com"}),
        Upsert(fields={"name": f"Annie Live{RUN}"}),
    ]
    async with account(tmp_path) as crm:
        assert (await crm.probe()).can
        ann, annie = (await crm.upsert(op("people"), "contact", people)).result
        again = await crm.upsert(op("people"), "contact", people)
        assert again.is_replay
        assert [result.id for result in again.result] == [ann.id, annie.id]
        big = Upsert(fields={"name": f"Live {RUN}", "amount_minor": 1250})
        (deal,) = (await crm.upsert(op("deal"), "deal", [big])).result
        one = ref("contact", ann.id)
        note = (await crm.log(op("note"), Entry(kind="note", text="a < b", about=[one]))).result
        task = (await crm.log(op("task"), Entry(kind="task", text="call", about=[one]))).result
        assert (await crm.link(op("link"), one, ref("deal", deal.id))).result
        (read,) = await crm.get("contact", [one.id], ["links", "activity", "history"])
        assert [link.ref for link in read.links or ()] == [ref("deal", deal.id)]
        assert {each.text for each in read.activity or ()} == {"a < b", "call"}
        merge = Archive(type="contact", ids=[ref("contact", annie.id).id], merge_into=one.id)
        merged = (await crm.archive(op("merge"), merge)).result
    async with account(tmp_path / "anew") as crm:  # another journal: what HubSpot itself knows
        (same,) = (await crm.upsert(op("deal"), "deal", [big])).result
        assert same.id == deal.id
        for record_type, record_id in (
            ("contact", merged.merged_into),
            ("deal", deal.id),
            ("note", note.id),
            ("task", task.id),
        ):
            gone = Archive(type=record_type, ids=[ref(record_type, record_id).id])
            await crm.archive(op(f"away-{record_type}"), gone)


async def test_texts_can_be_sorted_and_paged_by_value(tmp_path: Path) -> None:
    names = [f"{letter} Page{RUN}" for letter in "BACAB"]
    async with account(tmp_path) as crm:
        made = await crm.upsert(
            op("page"), "company", [Upsert(fields={"name": name}) for name in names]
        )
        ids = [ref("company", result.id).id for result in made.result]
        rows: list[str] = []
        with anyio.fail_after(LAG_S):
            while len(rows) < len(names):  # until the index of search has caught up
                rows, cursor = [], None
                while True:
                    page = await crm.search(
                        Search(
                            type="company",
                            query=f"Page{RUN}",
                            sort=Sort("name", descending=False),
                            limit=2,
                            cursor=cursor,
                        )
                    )
                    rows += [row.fields["name"] for row in page.rows]
                    cursor = page.next_cursor
                    if cursor is None:
                        break
        assert rows == sorted(names)
        await crm.archive(op("page-away"), Archive(type="company", ids=ids))
