"""aicore-crm as a client sees it."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from aicore_servers.crm import create

Connect = Callable[..., AbstractAsyncContextManager[Any]]


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
