"""HubSpot as a backend: what its refusals become, its limits, and the map of fields."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from tests.contracts.crm_rows import hubspot, mapping, set_up

from aicore_servers.sandbox._running import running
from aicore_tools.connections import Connection
from aicore_tools.crm.backends.hubspot import HubSpotDirectory
from aicore_tools.crm.backends.hubspot_wire import HubSpotWire
from aicore_tools.crm.records import Archive, Entry, Filter, RecordId, Ref, Search, Sort, Upsert
from aicore_tools.crm.registry import CrmSettings
from aicore_tools.crm.registry import directory as chosen
from aicore_tools.errors import (
    BackendConfigError,
    BackendUnavailable,
    InvalidInput,
    OutcomeUnknown,
)
from aicore_tools.operations import Operation
from aicore_tools.retries import Patience


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with running("hubspot") as url:
        yield url


@pytest.fixture
def url(address: str) -> str:
    set_up(address)
    return address


def op(key: str | None = None) -> Operation:
    return Operation.of("test", {}, key)


def fault(url: str, **given: Any) -> None:
    httpx2.post(f"{url}/_sandbox/faults", json=given).raise_for_status()


def state(url: str) -> dict[str, Any]:
    found: dict[str, Any] = httpx2.get(f"{url}/_sandbox/state").json()
    return found


def seeded(url: str, object_type: str, *properties: dict[str, str]) -> list[str]:
    with httpx2.Client(base_url=url, headers={"Authorization": "Bearer owner"}) as http:
        return [
            http.post(f"/crm/v3/objects/{object_type}", json={"properties": each}).json()["id"]
            for each in properties
        ]


async def add(directory: HubSpotDirectory, record_type: str = "contact", **fields: Any) -> Any:
    (result,) = (await directory.upsert(op(), record_type, [Upsert(fields=fields)])).result
    return result


async def test_a_revoked_token_is_said_at_the_start(url: str, tmp_path: Path) -> None:
    with pytest.raises(BackendConfigError) as refusal:
        await hubspot(url, tmp_path, token="revoked").__aenter__()
    assert "aicore connect hubspot" in (refusal.value.hint or "")
    assert "revoked" not in refusal.value.message.replace("was revoked", "")


async def test_a_missing_scope_takes_away_that_type_alone(url: str, tmp_path: Path) -> None:
    token = "lacks:crm.objects.deals.read"
    async with hubspot(url, tmp_path, token=token) as directory:
        assert "deal" not in directory.catalogue.types
        with pytest.raises(BackendConfigError) as denied:
            directory.catalogue.fields("deal")
        assert "crm.objects.deals.read" in denied.value.message
        assert (await add(directory, name="Ann")).status == "created"
        probe = await directory.probe()
        assert any("deals" in each and "crm.objects.deals.read" in each for each in probe.warnings)


async def test_without_the_scope_to_write_nothing_is_written(url: str, tmp_path: Path) -> None:
    token = "lacks:crm.objects.contacts.write"
    async with hubspot(url, tmp_path, token=token) as directory:
        with pytest.raises(BackendConfigError) as refusal:
            await add(directory, name="Ann")
        assert "crm.objects.contacts.write" in refusal.value.message
        assert refusal.value.outcome == "none"
    assert state(url)["counts"]["contacts"] == 0


async def test_where_the_property_cannot_be_made_it_says_how(url: str, tmp_path: Path) -> None:
    token = "lacks:crm.schemas.contacts.write"
    async with hubspot(url, tmp_path, token=token) as directory:
        with pytest.raises(BackendConfigError) as refusal:
            await add(directory, name="Ann")
        assert "aicore_op" in refusal.value.message
        assert "crm.schemas.contacts.write" in (refusal.value.hint or "")
    assert state(url)["counts"]["contacts"] == 0
    async with hubspot(url, tmp_path / "may") as directory:
        await add(directory, name="Ann")
    async with hubspot(url, tmp_path, token=token) as directory:
        assert (await add(directory, name="Ben")).status == "created"


async def test_a_refresh_token_is_turned_into_access(url: str, tmp_path: Path) -> None:
    fields = {"client_id": "c", "client_secret": "s", "refresh_token": "r", "base_url": url}
    connection = Connection(vendor="hubspot", fields=fields)
    async with HubSpotDirectory(connection, journal=tmp_path / "j.db", business="main") as crm:
        assert (await add(crm, name="Ann")).status == "created"
    partly = Connection(vendor="hubspot", fields={"client_id": "c"})
    with pytest.raises(BackendConfigError):
        await HubSpotDirectory(partly, journal=tmp_path / "k.db", business="main").__aenter__()


async def test_too_many_requests_are_waited_for(url: str, tmp_path: Path) -> None:
    async with hubspot(url, tmp_path) as directory:
        for on in ("/search", "/batch/upsert"):
            fault(url, on=on, kind="status", status=429, headers={"Retry-After": "0.2"})
        began = anyio.current_time()
        assert (await add(directory, phone="+49301234567")).status == "created"
        assert anyio.current_time() - began > 0.4


async def test_waiting_ends_at_the_deadline(url: str, tmp_path: Path) -> None:
    hasty = Patience(attempts=3, deadline_s=1.0, first_pause_s=0.01)
    async with hubspot(url, tmp_path, patience=hasty) as directory:
        fault(url, on="/search", kind="status", status=429, headers={"Retry-After": "60"})
        with pytest.raises(BackendUnavailable) as refusal:
            await directory.search(Search(type="contact"))
        assert (refusal.value.retryable, refusal.value.retry_after_s) == (True, 60.0)
        fault(url, on="/batch/upsert", kind="status", status=429, headers={"Retry-After": "60"})
        with pytest.raises(BackendUnavailable) as refusal:
            await add(directory, name="Ann")
        assert refusal.value.outcome == "none"


@pytest.mark.parametrize("kind", ["drop_before", "drop_after", "status"])
async def test_a_read_is_repeated_whatever_happened(url: str, tmp_path: Path, kind: str) -> None:
    seeded(url, "contacts", {"firstname": "Ann"})
    async with hubspot(url, tmp_path) as directory:
        fault(url, on="/search", kind=kind, status=503)
        assert len((await directory.search(Search(type="contact"))).rows) == 1


async def test_nobody_there_is_unavailable(tmp_path: Path) -> None:
    for declared in (mapping(tmp_path), {}):
        with pytest.raises(BackendUnavailable):
            await hubspot("http://127.0.0.1:1", tmp_path, mapping=declared).__aenter__()


async def test_one_of_many_reads_that_fails_is_one_error(url: str, tmp_path: Path) -> None:
    (ann,) = seeded(url, "contacts", {"firstname": "Ann"})
    async with hubspot(url, tmp_path) as directory:
        fault(url, on="/associations/contacts/deals", kind="status", status=503, times=2)
        with pytest.raises(BackendUnavailable):
            await directory.get("contact", [RecordId(ann)], ["links", "activity"])


async def test_more_than_one_batch_is_read_whole(url: str, tmp_path: Path) -> None:
    ids = seeded(url, "contacts", *({"firstname": f"n{i}"} for i in range(205)))
    async with hubspot(url, tmp_path) as directory:
        found = await directory.get("contact", [RecordId(each) for each in ids])
        assert [record.id for record in found] == ids
        rows: list[str] = []
        cursor = None
        while True:
            page = await directory.search(Search(type="contact", limit=100, cursor=cursor))
            rows += [row.id for row in page.rows]
            cursor = page.next_cursor
            if cursor is None:
                break
        assert rows == list(reversed(ids))


async def test_more_links_than_a_page_are_read_whole(url: str, tmp_path: Path) -> None:
    (ann,) = seeded(url, "contacts", {"firstname": "Ann"})
    deals = seeded(url, "deals", *({"dealname": f"d{i}"} for i in range(501)))
    with httpx2.Client(base_url=url, headers={"Authorization": "Bearer owner"}) as http:
        pairs = [{"from": {"id": ann}, "to": {"id": deal}} for deal in deals]
        path = "/crm/v4/associations/contacts/deals/batch/associate/default"
        http.post(path, json={"inputs": pairs}).raise_for_status()
    async with hubspot(url, tmp_path) as directory:
        a, last = Ref("contact", RecordId(ann)), Ref("deal", RecordId(deals[-1]))
        assert not (await directory.link(op(), a, last)).result
        (read,) = await directory.get("contact", [a.id], ["links"])
        newest = [f"deal:{deal}" for deal in reversed(deals)][:50]
        assert [str(link.ref) for link in read.links or ()] == newest


async def test_many_with_the_same_value_are_paged_whole(url: str, tmp_path: Path) -> None:
    ids = seeded(url, "contacts", *({"firstname": "n", "city": "Ulm"} for _ in range(7)))
    ids += seeded(url, "contacts", {"city": "Bonn"}, {"firstname": "x"}, {"firstname": "y"})
    async with hubspot(url, tmp_path) as directory:
        rows: list[str] = []
        cursor = None
        for _ in range(10):
            sort = Sort("city", descending=True)
            page = await directory.search(Search(type="contact", sort=sort, limit=3, cursor=cursor))
            rows += [row.id for row in page.rows]
            cursor = page.next_cursor
            if cursor is None:
                break
        assert rows == ids


async def test_more_conditions_than_a_search_takes_are_refused(url: str, tmp_path: Path) -> None:
    async with hubspot(url, tmp_path) as directory:
        many = [Filter(field="city", op="neq", value=f"c{i}") for i in range(3)]
        with pytest.raises(InvalidInput):
            await directory.search(Search(type="contact", filters=many))


async def test_one_refused_record_does_not_stop_the_rest(url: str, tmp_path: Path) -> None:
    """HubSpot refuses a whole batch for one value; here a date of a property that is text to us."""
    text = '[contact.fields]\nbirthday = { property = "birthday", kind = "date" }\n'
    async with hubspot(url, tmp_path, mapping=mapping(tmp_path, text)) as directory:
        items = [
            Upsert(fields={"name": "Ann"}),
            Upsert(fields={"name": "Ben", "birthday": "31 February"}),
            Upsert(fields={"name": "Eve"}),
        ]
        results = (await directory.upsert(op(), "contact", items)).result
        assert [result.status for result in results] == ["created", "error", "created"]
        assert "birthday" in (results[1].error or "")
    assert state(url)["counts"]["contacts"] == 2


async def test_a_value_that_is_taken_names_who_has_it(url: str, tmp_path: Path) -> None:
    text = '[pet]\nobject = "pet"\n[pet.fields]\nname = "pet_name"\nchip = "chip_number"\n'
    async with hubspot(url, tmp_path, mapping=mapping(tmp_path, text)) as directory:
        rex = await add(directory, "pet", name="Rex", chip="c-1")
        taken = await add(directory, "pet", name="Max", chip="c-1")
        assert (taken.status, taken.id) == ("error", None)
        assert f"pet:{rex.id}" in (taken.error or "")


REFUSAL = {"kind": "status", "status": 400, "body": {"message": "Not valid"}}


async def test_a_refused_change_of_a_task_is_not_called_done(url: str, tmp_path: Path) -> None:
    async with hubspot(url, tmp_path) as directory:
        task = (await directory.log(op(), Entry(kind="task", text="call"))).result
        done = Entry(kind="task", task_id=task.id, is_done=True)
        fault(url, on="tasks/batch/update", **REFUSAL)
        with pytest.raises(InvalidInput) as refusal:
            await directory.log(op("k"), done)
        assert refusal.value.outcome == "none"
        (kept,) = await directory.get("task", [task.id])
        assert kept.fields["is_done"] is False
        assert (await directory.log(op("k"), done)).result.is_done is True


async def test_a_refused_link_of_an_unchanged_task_is_not_called_done(
    url: str, tmp_path: Path
) -> None:
    (ann,) = seeded(url, "contacts", {"firstname": "Ann"})
    async with hubspot(url, tmp_path) as directory:
        task = (await directory.log(op(), Entry(kind="task", text="call"))).result
        linked = Entry(kind="task", task_id=task.id, about=[Ref("contact", RecordId(ann))])
        for kind, times in (("drop_before", 1), ("status", 4)):
            fault(url, **{**REFUSAL, "on": "associate", "kind": kind, "times": times})
        with pytest.raises(OutcomeUnknown):
            await directory.log(op("k"), linked)
        with pytest.raises(InvalidInput):
            await directory.log(op("k"), linked)
        assert not any(state(url)["associations"].values())
        assert list((await directory.log(op("k"), linked)).result.about) == [f"contact:{ann}"]


@pytest.mark.parametrize(
    ("fields", "on", "error"),
    [
        ({"name": "Eve"}, "contacts/batch/update", "Not valid"),
        ({}, "batch/associate", "Not linked"),
    ],
    ids=["change", "link"],
)
async def test_a_refused_change_is_an_error_and_changes_nothing(
    url: str, tmp_path: Path, fields: dict[str, str], on: str, error: str
) -> None:
    ann, ben = seeded(url, "contacts", {"firstname": "Ann"}, {"firstname": "Ben"})
    item = Upsert(fields=fields, id=RecordId(ann), links=[Ref("contact", RecordId(ben))])
    async with hubspot(url, tmp_path) as directory:
        fault(url, on=on, **REFUSAL)
        (result,) = (await directory.upsert(op(), "contact", [item])).result
        assert (result.status, result.id, result.changed) == ("error", None, None)
        assert error in (result.error or "")
    assert state(url)["objects"]["contacts"][ann]["firstname"] == "Ann"
    assert not any(state(url)["associations"].values())


async def test_a_record_that_is_written_but_not_linked_says_both(url: str, tmp_path: Path) -> None:
    (ben,) = seeded(url, "contacts", {"firstname": "Ben"})
    item = Upsert(fields={"name": "Ann"}, links=[Ref("contact", RecordId(ben))])
    async with hubspot(url, tmp_path) as directory:
        fault(url, on="batch/associate", **REFUSAL)
        (result,) = (await directory.upsert(op(), "contact", [item])).result
        assert result.status == "created"
        assert f"contact:{ben}" in (result.error or "")


async def test_silence_ends_at_the_time_allowed(tmp_path: Path) -> None:
    """A peer that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        base = f"http://127.0.0.1:{silent.getsockname()[1]}"
        connection = Connection(vendor="hubspot", fields={"access_token": "x", "base_url": base})
        wire = HubSpotWire(connection, patience=Patience(attempts=1), timeout_s=0.2)
        await wire.open()
        with pytest.raises(BackendUnavailable):
            await wire.read("crm.objects.basic_api.get_by_id", "contacts", "1")
        with pytest.raises(OutcomeUnknown):
            await wire.write(
                "crm.objects.batch_api.archive", "contacts", {"inputs": []}, repeats=False
            )


async def test_an_unknown_label_names_the_nearest(url: str, tmp_path: Path) -> None:
    ann, ben = seeded(url, "contacts", {"firstname": "Ann"}, {"firstname": "Ben"})
    async with hubspot(url, tmp_path) as directory:
        a, b = Ref("contact", RecordId(ann)), Ref("contact", RecordId(ben))
        with pytest.raises(InvalidInput) as refusal:
            await directory.link(op(), a, b, label="sisters of")
        assert "'sister of'" in refusal.value.message


async def test_only_some_types_can_be_merged(url: str, tmp_path: Path) -> None:
    tea, mate = seeded(url, "products", {"name": "Tea"}, {"name": "Mate"})
    async with hubspot(url, tmp_path) as directory:
        asked = Archive(type="product", ids=[RecordId(tea)], merge_into=RecordId(mate))
        with pytest.raises(InvalidInput):
            await directory.archive(op(), asked)
    assert state(url)["counts"]["products"] == 2


async def test_texts_with_signs_and_lines_come_back_as_they_were(url: str, tmp_path: Path) -> None:
    text = "2 < 3 & <b>4</b>\nsecond line"
    async with hubspot(url, tmp_path) as directory:
        for kind in ("note", "call", "task"):
            logged = (await directory.log(op(), Entry(kind=kind, text=text))).result  # type: ignore[arg-type]
            record_type = "task" if kind == "task" else "note"
            (record,) = await directory.get(record_type, [logged.id])
            assert record.fields["text"] == text
    (call,) = state(url)["objects"]["calls"].values()
    assert "<b>" not in call["hs_call_body"]


async def test_values_are_kept_the_way_hubspot_keeps_them(url: str, tmp_path: Path) -> None:
    async with hubspot(url, tmp_path) as directory:
        await add(
            directory,
            "deal",
            name="Big",
            amount_minor=1250,
            currency="EUR",
            close_date="2026-03-01",
            owner="max@shop.example",
        )
        await add(directory, name="Ann Maria Lee", loyalty="gold", email="ann@example.com")
        (deal,) = (await directory.search(Search(type="deal"))).rows
        assert (deal.fields["amount_minor"], deal.fields["close_date"]) == (1250, "2026-03-01")
        over = Filter(field="amount_minor", op="gte", value=1250)
        assert len((await directory.search(Search(type="deal", filters=[over]))).rows) == 1
        mine = Filter(field="owner", op="eq", value="max@shop.example")
        assert len((await directory.search(Search(type="deal", filters=[mine]))).rows) == 1
    objects = state(url)["objects"]
    (kept,) = objects["deals"].values()
    assert (kept["amount"], kept["hubspot_owner_id"]) == ("12.5", "502")
    assert kept["closedate"] == "2026-03-01T00:00:00.000Z"
    (person,) = objects["contacts"].values()
    assert (person["firstname"], person["lastname"]) == ("Ann Maria", "Lee")
    assert person["loyalty_level"] == "TIER_1"


async def test_describing_shows_pipelines_owners_and_what_is_not_mapped(
    url: str, tmp_path: Path
) -> None:
    async with hubspot(url, tmp_path) as directory:
        described = await directory.describe("deal")
        assert described.vendor_object == "deals"
        (pipeline,) = described.pipelines
        assert pipeline.stages["closedwon"] == "Closed Won"
        assert {owner.email for owner in described.owners} >= {"max@shop.example"}
        contact = directory.catalogue.field("contact", "loyalty")
        assert (contact.source, contact.choices) == ("loyalty_level", ("gold", "basic"))
        assert "loyalty_level" not in (await directory.describe("contact")).unmapped
        assert "birthday" in directory.catalogue.fields("contact")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('[contact.fields]\nvip = "loyalty_levl"', "'loyalty_level'"),
        ('[contact.fields]\nvip = { property = "city", kind = "integer" }\n'
         'since = { property = "createdate", kind = "time" }', "read-only"),
        ('[contact.fields]\nvip = { property = "birthday", kind = "integer" }', "date"),
        ('[contact.fields]\nvip = { property = "loyalty_level", choices = ["TIER_9"] }', "'TIER_"),
        ('[contact]\nkeys = ["emial"]', "'email'"),
        ('[pet]\nobject = "pets"\n[pet.fields]\nname = "pet_name"', "'pet'"),
        ('[pet]\nobject = "pet"\n[pet.fields]\nname = "petname"', "'pet_name'"),
    ],
)  # fmt: skip
async def test_a_mapping_that_does_not_fit_is_refused_at_the_start(
    url: str, tmp_path: Path, text: str, named: str
) -> None:
    directory = hubspot(url, tmp_path, mapping=mapping(tmp_path, text))
    with pytest.raises(BackendConfigError) as refusal:
        await directory.__aenter__()
    assert named in refusal.value.message


async def test_all_that_is_wrong_with_a_mapping_is_said_at_once(url: str, tmp_path: Path) -> None:
    text = '[contact.fields]\none = "nope_a"\ntwo = "nope_b"\n[deal.fields]\nthree = "nope_c"'
    with pytest.raises(BackendConfigError) as refusal:
        await hubspot(url, tmp_path, mapping=mapping(tmp_path, text)).__aenter__()
    assert all(name in refusal.value.message for name in ("nope_a", "nope_b", "nope_c"))


async def test_accounts_have_journals_of_their_own(url: str, tmp_path: Path) -> None:
    def connect(vendor: str, account: str) -> Connection:
        fields = {"access_token": "any", "base_url": url}
        return Connection(vendor=vendor, account=account, fields=fields)

    for account in ("a/b", "a_b"):
        settings = CrmSettings(
            data_dir=tmp_path,
            business="main",
            account=account,
            connect=lambda vendor, account=account: connect(vendor, account),
        )
        async with chosen("hubspot", settings) as crm:
            effect = await crm.upsert(op("k"), "contact", [Upsert(fields={"name": "Ann"})])
            assert not effect.is_replay
