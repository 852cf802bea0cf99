"""aicore-crm as a client sees it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from aicore_servers._serve import ServeSettings
from aicore_servers._tooling import Rules
from aicore_servers.crm import create, server
from aicore_servers.sandbox._running import running
from aicore_tools.connections import Connection
from aicore_tools.errors import BackendConfigError

Connect = Callable[..., AbstractAsyncContextManager[Any]]
BACKENDS = ("local", "hubspot")
FREE = Rules(confirm="never")


@asynccontextmanager
async def desk_of(
    in_process: Connect, backend: str, token: str = "any", **given: Any
) -> AsyncIterator[Any]:
    """A desk over a backend; HubSpot's is a sandbox of its own."""
    with running("hubspot") as url:
        fields = {"access_token": token, "base_url": url}

        def connect(vendor: str) -> Connection:
            return Connection(vendor=vendor, fields=fields)

        async with in_process(create, backend=backend, connect=connect, **given) as desk:
            yield desk


async def people(desk: Any, *sets: dict[str, Any]) -> list[str]:
    records = [{"set": each} for each in sets]
    answer = await desk("crm_upsert", key=repr(sets), type="contact", records=records)
    return [result["id"] for result in answer["results"]]


async def test_the_tools_are_the_promised_ones(
    in_process: Connect, matches_snapshot: Callable[..., None]
) -> None:
    async with in_process(create) as desk:
        tools = (await desk.client.list_tools()).tools
        matches_snapshot("crm", tools)
        for tool in tools:
            hints = tool.annotations.model_dump()
            assert None not in [value for name, value in hints.items() if name != "title"]
            assert hints["open_world_hint"] is True
            assert tool.output_schema is None
            honours = (tool.meta or {}).get("aicore/honours-operation-key")
            assert honours is (None if hints["read_only_hint"] else True)
        assert desk.client.instructions


async def test_a_customer_is_kept_found_and_read(over_the_wire: Connect) -> None:
    async with over_the_wire("crm") as desk:
        fields = {"name": "Ann Müller", "email": "Ann@Example.com"}
        written = await desk("crm_upsert", key="k1", type="contact", records=[{"set": fields}])
        assert written.body == {"results": [{"id": "1", "type": "contact", "status": "created"}]}
        again = await desk("crm_upsert", key="k1", type="contact", records=[{"set": fields}])
        assert again.body == {**written.body, "replayed": True}
        logged = await desk("crm_log", key="k2", kind="call", about=["contact:1"], text="Hi")
        assert logged.body == {
            "id": "2",
            "kind": "call",
            "status": "created",
            "about": ["contact:1"],
        }
        found = await desk("crm_search", type="contact", query="müll")
        assert found["rows"] == [
            {"id": "1", "type": "contact", "name": "Ann Müller", "email": "ann@example.com"}
        ]
        read = await desk(
            "crm_get", type="contact", ids=["ann@example.com"], include=["activity", "history"]
        )
        (record,) = read["records"]
        assert record["activity"][0]["text"] == "Hi"
        assert record["history"][0]["by"] == "staff:ann"


async def test_without_a_key_the_answer_says_so(in_process: Connect) -> None:
    async with in_process(create) as desk:
        answer = await desk("crm_log", kind="note", text="x")
        assert answer["operation_key"].startswith("none")
        preview = await desk(
            "crm_upsert", type="contact", records=[{"set": {"name": "x"}}], dry_run=True
        )
        assert "operation_key" not in preview.body
        assert preview["plan"] == {
            "results": [{"type": "contact", "status": "created", "changes": {"name": {"new": "x"}}}]
        }


async def test_errors_have_one_shape(in_process: Connect) -> None:
    async with in_process(create) as desk:
        cases: list[tuple[str, dict[str, Any], str]] = [
            ("crm_search", {"type": "contact", "limit": 101}, "invalid_input"),
            ("crm_search", {"type": "contakt"}, "unknown_object"),
            ("crm_search", {"type": "contact", "filter": []}, "invalid_input"),
            ("crm_search", {}, "invalid_input"),
            ("crm_search", {"type": "contact", "cursor": "x"}, "invalid_input"),
            ("crm_upsert", {"type": "contact", "records": [{"set": {"nmae": 1}}]}, "unknown_field"),
            ("crm_upsert", {"type": "contact", "records": [{"fields": {}}]}, "invalid_input"),
            ("crm_log", {"kind": "note", "text": "x", "about": ["contact:9"]}, "not_found"),
            ("crm_sell", {}, "unknown_tool"),
        ]
        for tool, arguments, code in cases:
            answer = await desk(tool, key=f"k-{tool}-{len(arguments)}", **arguments)
            assert answer.is_error, (tool, arguments)
            assert (answer["code"], answer["retryable"], answer["outcome"]) == (code, False, "none")
            assert answer["message"]


async def test_a_key_with_other_arguments_is_a_conflict(in_process: Connect) -> None:
    async with in_process(create) as desk:
        await desk("crm_log", key="k", kind="note", text="one")
        answer = await desk("crm_log", key="k", kind="note", text="two")
        assert (answer.is_error, answer["code"]) == (True, "operation_key_reused")
        assert len((await desk("crm_search", type="note"))["rows"]) == 1


async def test_long_texts_are_cut_in_lists_and_whole_when_read(in_process: Connect) -> None:
    async with in_process(create) as desk:
        await desk("crm_log", key="k", kind="note", text="long " * 500)
        found = await desk("crm_search", type="note")
        (row,) = found["rows"]
        assert len(row["text"]) < 400
        assert row["cut"] == ["text"]
        assert "crm_get" in found["hint"]
        read = await desk("crm_get", type="note", ids=[row["id"]])
        assert read["records"][0]["text"] == ("long " * 500).strip()


async def test_fifty_pages_deep_nothing_is_lost(in_process: Connect) -> None:
    async with in_process(create) as desk:
        for start in range(0, 150, 50):
            records = [{"set": {"name": f"n{i}"}} for i in range(start, start + 50)]
            await desk("crm_upsert", key=f"k{start}", type="contact", records=records)
        seen: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            page = await desk("crm_search", type="contact", limit=3, sort="name", **cursor)
            seen += [row["name"] for row in page["rows"]]
            if "next_cursor" not in page.body:
                break
            cursor = {"cursor": page["next_cursor"]}
        assert sorted(seen) == sorted(f"n{i}" for i in range(150))
        assert seen == sorted(seen)


async def test_linking_and_describing(in_process: Connect) -> None:
    async with in_process(create) as desk:
        for record_type in ("contact", "company"):
            await desk(
                "crm_upsert", key=record_type, type=record_type, records=[{"set": {"name": "x"}}]
            )
        link = {"a": "contact:1", "b": "company:2", "label": "works at"}
        assert (await desk("crm_link", key="l1", **link))["status"] == "linked"
        assert (await desk("crm_link", key="l2", **link))["status"] == "unchanged"
        read = await desk("crm_get", type="company", ids=["2"], include=["links"])
        expected = [{"ref": "contact:1", "name": "x", "label": "works at"}]
        assert read["records"][0]["links"] == expected
        assert (await desk("crm_link", key="l3", remove=True, **link))["status"] == "removed"
        described = await desk("crm_describe", type="deal", search="am")
        assert described["fields"] == {"name": "text", "amount_minor": "integer"}


@pytest.mark.parametrize("backend", BACKENDS)
async def test_bad_input_is_a_clear_error_and_nothing_is_half_done(
    in_process: Connect, backend: str
) -> None:
    async with desk_of(in_process, backend, rules=FREE) as desk:
        ann, ben = await people(desk, {"name": "Ann"}, {"name": "Ben"})
        page = await desk("crm_search", type="contact", limit=1)
        cursor = page["next_cursor"]
        assert page["truncated"] is True
        good = {"set": {"name": "Eve"}}
        cases: list[tuple[str, dict[str, Any], str]] = [
            ("crm_search", {"type": "contakt"}, "unknown_object"),
            ("crm_search", {"type": "contact", "fields": ["nmae"]}, "unknown_field"),
            ("crm_search", {"type": "contact", "sort": "-nmae"}, "unknown_field"),
            ("crm_search", {"type": "company", "cursor": cursor}, "invalid_input"),
            ("crm_search", {"type": "contact", "query": "x", "cursor": cursor}, "invalid_input"),
            ("crm_get", {"type": "contakt", "ids": ["1"]}, "unknown_object"),
            ("crm_get", {"type": "contact", "ids": []}, "invalid_input"),
            ("crm_describe", {"type": "dael"}, "unknown_object"),
            ("crm_report", {"kind": "sales"}, "invalid_input"),
            ("crm_report", {"kind": "duplicates", "owner": "x"}, "invalid_input"),
            ("crm_report", {"kind": "pipeline", "since": "soon"}, "invalid_input"),
            ("crm_report", {"kind": "new_records", "cursor": cursor}, "invalid_input"),
            (
                "crm_upsert",
                {"type": "contact", "records": [good, {"set": {"emial": "x"}}]},
                "unknown_field",
            ),
            (
                "crm_upsert",
                {"type": "contact", "records": [good, {"set": {"email": "no\r\nBcc: x"}}]},
                "invalid_input",
            ),
            (
                "crm_upsert",
                {"type": "deal", "records": [{"set": {"amount_minor": 12.5}}]},
                "invalid_input",
            ),
            ("crm_log", {"kind": "note"}, "invalid_input"),
            ("crm_log", {"kind": "call", "text": "x", "due": "2026-01-01"}, "invalid_input"),
            (
                "crm_log",
                {"kind": "note", "text": "x", "about": [f"contact:{ann}", "deal:999"]},
                "not_found",
            ),
            ("crm_link", {"a": f"contact:{ann}", "b": f"contact:{ann}"}, "invalid_input"),
            ("crm_link", {"a": f"contact:{ann}", "b": "contact:999"}, "not_found"),
            ("crm_archive", {"type": "contact", "ids": [ann, "999"]}, "not_found"),
            (
                "crm_archive",
                {"type": "contact", "ids": [ann], "merge_into": ann},
                "invalid_input",
            ),
        ]
        for number, (tool, arguments, code) in enumerate(cases):
            answer = await desk(tool, key=f"bad-{number}", **arguments)
            assert answer.is_error, (tool, arguments, answer.body)
            found = (answer["code"], answer["retryable"], answer["outcome"])
            assert found == (code, False, "none"), (tool, arguments, answer.body)
        for record_type in ("deal", "note"):
            assert (await desk("crm_search", type=record_type))["rows"] == []
        rows = (await desk("crm_search", type="contact"))["rows"]
        assert {row["id"] for row in rows} == {ann, ben}


@pytest.mark.parametrize("backend", BACKENDS)
async def test_archiving_has_to_be_confirmed(in_process: Connect, backend: str) -> None:
    async with desk_of(in_process, backend) as desk:
        ann, annie = await people(
            desk, {"name": "Ann", "email": "ann@example.com"}, {"name": "Annie"}
        )
        asked = {"type": "contact", "ids": [annie], "merge_into": "ann@example.com"}
        answer = await desk("crm_archive", key="a", **asked)
        assert answer["needs_confirmation"] is True
        assert answer["plan"]["archive"][0]["name"] == "Annie"
        assert answer["plan"]["merge_into"]["id"] == ann
        assert len((await desk("crm_search", type="contact"))["rows"]) == 2
        wrong = await desk("crm_archive", key="a", confirm="nonsense", **asked)
        assert (wrong.is_error, wrong["code"]) == (True, "confirm_mismatch")
        done = await desk("crm_archive", key="a", confirm=answer["confirm"], **asked)
        assert done["archived"] == [annie]
        again = await desk("crm_archive", key="a", **asked)
        assert again["replayed"] is True
        assert again["merged_into"] == done["merged_into"]
        (row,) = (await desk("crm_search", type="contact"))["rows"]
        assert (row["id"], row["name"]) == (done["merged_into"], "Ann")


@pytest.mark.parametrize("backend", BACKENDS)
async def test_every_effect_can_be_planned_and_then_nothing_is_there(
    in_process: Connect, backend: str
) -> None:
    async with desk_of(in_process, backend) as desk:
        ann, ben = await people(desk, {"name": "Ann", "city": "Ulm"}, {"name": "Ben"})
        a, b = f"contact:{ann}", f"contact:{ben}"
        change = [{"id": ann, "set": {"city": "Bonn"}}, {"set": {"name": "Eve"}}]
        plan = (await desk("crm_upsert", type="contact", records=change, dry_run=True))["plan"]
        assert [result["status"] for result in plan["results"]] == ["updated", "created"]
        assert plan["results"][0]["changes"] == {"city": {"old": "Ulm", "new": "Bonn"}}
        plan = (await desk("crm_log", kind="note", text="x", about=[a], dry_run=True))["plan"]
        assert plan["about"] == {a: "Ann"}
        plan = (await desk("crm_link", a=a, b=b, dry_run=True))["plan"]
        assert plan["names"] == ["Ann", "Ben"]
        plan = (await desk("crm_archive", type="contact", ids=[ann], dry_run=True))["plan"]
        assert [record["name"] for record in plan["archive"]] == ["Ann"]
        read = await desk("crm_get", type="contact", ids=[ann], include=["links", "activity"])
        (record,) = read["records"]
        assert (record["city"], record["links"], record["activity"]) == ("Ulm", [], [])
        assert len((await desk("crm_search", type="contact"))["rows"]) == 2


@pytest.mark.parametrize("backend", BACKENDS)
async def test_a_repeat_is_answered_as_the_first_time(in_process: Connect, backend: str) -> None:
    async with desk_of(in_process, backend, rules=FREE) as desk:
        ann, ben = await people(desk, {"name": "Ann"}, {"name": "Ben"})
        calls: list[tuple[str, dict[str, Any]]] = [
            ("crm_upsert", {"type": "deal", "records": [{"set": {"name": "Big"}}]}),
            ("crm_log", {"kind": "task", "text": "call", "about": [f"contact:{ann}"]}),
            ("crm_link", {"a": f"contact:{ann}", "b": f"contact:{ben}"}),
            ("crm_archive", {"type": "contact", "ids": [ben]}),
        ]
        for tool, arguments in calls:
            first = await desk(tool, key=tool, **arguments)
            assert not first.is_error, first.body
            again = await desk(tool, key=tool, **arguments)
            assert again.body == {**first.body, "replayed": True}
        assert len((await desk("crm_search", type="deal"))["rows"]) == 1
        assert len((await desk("crm_search", type="task"))["rows"]) == 1


async def test_reports_come_in_pages(in_process: Connect) -> None:
    async with in_process(create) as desk:
        ids = await people(desk, *({"name": f"n{i}"} for i in range(3)))
        first = await desk("crm_report", kind="new_records", limit=2)
        assert (len(first["rows"]), first["truncated"]) == (2, True)
        rest = await desk("crm_report", kind="new_records", limit=2, cursor=first["next_cursor"])
        assert "next_cursor" not in rest.body
        refs = [row["ref"] for row in [*first["rows"], *rest["rows"]]]
        assert refs == [f"contact:{each}" for each in reversed(ids)]


async def test_a_revoked_token_is_said_in_one_sentence(tmp_path: Path) -> None:
    with running("hubspot") as url:
        fields = {"access_token": "revoked", "base_url": url}
        settings = ServeSettings(
            data_dir=tmp_path,
            backend="hubspot",
            connect=lambda vendor: Connection(vendor=vendor, fields=fields),
        )
        made = create(settings)
        lifespan = made.settings.lifespan
        assert lifespan is not None
        with pytest.raises(BackendConfigError):
            await lifespan(made).__aenter__()


async def test_a_vendor_that_goes_away_and_comes_back(in_process: Connect) -> None:
    with running("hubspot") as url:
        fields = {"access_token": "any", "base_url": url}

        def connect(vendor: str) -> Connection:
            return Connection(vendor=vendor, fields=fields)

        async with in_process(create, backend="hubspot", connect=connect) as desk:
            fault = {"on": "/search", "kind": "status", "status": 429, "times": 9}
            httpx2.post(f"{url}/_sandbox/faults", json={**fault, "headers": {"Retry-After": "90"}})
            answer = await desk("crm_search", type="contact")
            assert (answer["code"], answer["retryable"]) == ("backend_unavailable", True)
            assert answer["retry_after_s"] == 90.0


def test_a_mapping_gives_own_types_and_fields(tmp_path: Path) -> None:
    path = tmp_path / "map.toml"
    for text, good in (
        ('[pet]\nkeys = ["chip"]\n[pet.fields]\nchip = { kind = "text" }', True),
        ("[pet", False),
        ('[pet.fields]\nchip = { kynd = "text" }', False),
        ("[Pet.fields]\nchip = {}", False),
    ):
        path.write_text(text, encoding="utf-8")
        arguments = ("--data", str(tmp_path), "--mapping", str(path))
        if good:
            server(*arguments)
            continue
        with pytest.raises(BackendConfigError):
            server(*arguments)
    with pytest.raises(BackendConfigError):
        server("--mapping", str(tmp_path / "none.toml"))


async def test_own_types_are_served(in_process: Connect, tmp_path: Path) -> None:
    path = tmp_path / "map.toml"
    path.write_text('[pet]\nkeys = ["chip"]\n[pet.fields]\nchip = {}\nname = {}', "utf-8")
    async with in_process(create, options={"mapping": str(path)}) as desk:
        records = [{"key": "c-1", "set": {"name": "Rex"}}]
        await desk("crm_upsert", key="k", type="pet", records=records)
        read = await desk("crm_get", type="pet", ids=["c-1"])
        assert read["records"][0]["name"] == "Rex"
        described = await desk("crm_describe", type="pet")
        assert described["fields"] == {"chip": "text", "name": "text"}
        assert "pet" in described["types"]


async def test_describing_shows_the_vendors_names_types_and_people(in_process: Connect) -> None:
    async with desk_of(in_process, "hubspot") as desk:
        described = await desk("crm_describe", type="deal")
        assert described["vendor_object"] == "deals"
        assert described["fields"]["amount_minor"] == {
            "kind": "integer",
            "vendor": "amount",
            "vendor_type": "number",
        }
        assert "closedwon" in described["fields"]["stage"]["kind"]
        (pipeline,) = described["pipelines"]
        assert pipeline["stages"]["closedwon"] == "Closed Won"
        assert {"id": "502", "email": "max@shop.example", "name": "Max Owner"} in described[
            "owners"
        ]
        unmapped = await desk("crm_describe", type="contact", search="lastmod")
        assert unmapped["unmapped"] == ["hs_lastmodifieddate", "lastmodifieddate"]
        assert unmapped["unmapped_count"] > 1
