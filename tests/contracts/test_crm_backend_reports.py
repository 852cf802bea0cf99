"""What every CRM backend must do beside keeping records: archive, merge, report, own types."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.contracts.crm_rows import ROWS, Open

from aicore_tools.crm.port import CustomerDirectory
from aicore_tools.crm.records import (
    Archive,
    Archived,
    Entry,
    Filter,
    Logged,
    RecordId,
    Ref,
    Report,
    ReportKind,
    ReportPage,
    Search,
    Sort,
    Upsert,
    UpsertResult,
)
from aicore_tools.errors import Conflict, InvalidInput, NotFound
from aicore_tools.operations import Operation


@pytest.fixture(params=ROWS)
def opening(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    with ROWS[request.param](tmp_path) as opened:
        yield opened


def op(key: str | None = None, **arguments: Any) -> Operation:
    return Operation.of("test", arguments, key)


async def put(
    directory: CustomerDirectory, record_type: str, *fields: dict[str, Any]
) -> list[RecordId]:
    ids = []
    for each in fields:
        (result,) = (await directory.upsert(op(), record_type, [Upsert(fields=each)])).result
        assert result.id is not None, result
        ids.append(result.id)
    return ids


async def archive(
    directory: CustomerDirectory, *ids: RecordId, key: str | None = None, **more: Any
) -> Archived:
    effect = await directory.archive(op(key), Archive(type="contact", ids=ids, **more))
    return effect.result


async def names(directory: CustomerDirectory, **search: Any) -> list[str]:
    page = await directory.search(Search(type="contact", **search))
    return [row.fields["name"] for row in page.rows]


async def test_what_is_archived_is_found_no_more(opening: Open) -> None:
    async with opening() as directory:
        ann, _ = await put(
            directory, "contact", {"name": "Ann", "email": "ann@example.com"}, {"name": "Ben"}
        )
        assert (await archive(directory, ann)).ids == [ann]
        assert await names(directory) == ["Ben"]
        assert await names(directory, query="ann") == []
        assert await directory.get("contact", [ann]) == []
        assert await directory.find("contact", "email", "ann@example.com") == []
        assert (await archive(directory, ann)).ids == [ann]
        (again,) = await put(directory, "contact", {"name": "Ann", "email": "ann@example.com"})
        assert again != ann


async def test_archiving_what_never_was_archives_nothing(opening: Open) -> None:
    async with opening() as directory:
        (ann,) = await put(directory, "contact", {"name": "Ann"})
        for wrong in ("999", "x"):
            with pytest.raises(NotFound):
                await archive(directory, ann, RecordId(wrong))
        with pytest.raises(NotFound):
            await archive(directory, ann, merge_into=RecordId("999"))
        with pytest.raises(InvalidInput):
            await archive(directory, ann, merge_into=ann)
        assert await names(directory) == ["Ann"]


async def test_merging_keeps_links_activity_and_missing_fields(opening: Open) -> None:
    async with opening() as directory:
        ann, annie, ben = await put(
            directory,
            "contact",
            {"name": "Ann Lee", "email": "ann@example.com"},
            {"name": "Annie Lee", "phone": "+49301234567"},
            {"name": "Ben"},
        )
        await directory.link(op(), Ref("contact", annie), Ref("contact", ben))
        await directory.log(op(), Entry(kind="note", text="called", about=[Ref("contact", annie)]))
        merged = await archive(directory, annie, merge_into=ann, key="m")
        assert merged.merged_into is not None
        (one,) = await directory.get("contact", [merged.merged_into], ["links", "activity"])
        assert one.fields["email"] == "ann@example.com"
        assert (one.fields["name"], one.fields["phone"]) == ("Ann Lee", "+49301234567")
        assert [link.ref for link in one.links or ()] == [Ref("contact", ben)]
        assert [each.text for each in one.activity or ()] == ["called"]
        assert sorted(await names(directory)) == ["Ann Lee", "Ben"]
        assert await archive(directory, annie, merge_into=ann, key="m") == merged


async def test_every_effect_can_be_asked_for_again(opening: Open) -> None:
    async with opening() as directory:
        assert await directory.earlier(op("none")) is None
        upserted = await directory.upsert(op("u"), "contact", [Upsert(fields={"name": "Ann"})])
        (ann,) = upserted.result
        (ben,) = await put(directory, "contact", {"name": "Ben"})
        logged = await directory.log(op("l"), Entry(kind="task", text="call"))
        a, b = Ref("contact", RecordId(str(ann.id))), Ref("contact", ben)
        linked = await directory.link(op("k"), a, b)
        gone = await directory.archive(op("a"), Archive(type="contact", ids=[ben]))
        for key, effect, kind in (
            ("u", upserted, UpsertResult),
            ("l", logged, Logged),
            ("k", linked, bool),
            ("a", gone, Archived),
        ):
            earlier = await directory.earlier(op(key))
            assert earlier is not None
            assert earlier.is_replay
            assert earlier.result == effect.result
            one = earlier.result[0] if key == "u" else earlier.result
            assert isinstance(one, kind)
        with pytest.raises(Conflict):
            await directory.earlier(op("u", other=1))


NOW = datetime.now(UTC).replace(microsecond=0)


async def report(directory: CustomerDirectory, kind: ReportKind, **more: Any) -> ReportPage:
    later = (NOW + timedelta(days=1)).isoformat()
    return await directory.report(Report(kind=kind, **{"since": None, "now": later, **more}))


async def all_rows(
    directory: CustomerDirectory, kind: ReportKind, **more: Any
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    cursor = None
    for _ in range(30):
        page = await report(directory, kind, limit=1, cursor=cursor, **more)
        rows += [dict(row) for row in page.rows]
        cursor = page.next_cursor
        if cursor is None:
            return rows
    raise AssertionError("a report without end")


async def stages(directory: CustomerDirectory) -> tuple[str, str]:
    """An open stage and a closed one, as the backend calls them."""
    choices = directory.catalogue.field("deal", "stage").choices
    closed = next(choice for choice in choices if "won" in choice)
    return choices[0], closed


async def test_the_pipeline_is_summed_by_stage_and_currency(opening: Open) -> None:
    async with opening() as directory:
        still_open, won = await stages(directory)
        for stage, amount, currency in (
            (still_open, 1250, "EUR"),
            (still_open, 750, "EUR"),
            (still_open, 10000, "USD"),
            (won, 500, "EUR"),
        ):
            fields = {"name": "d", "stage": stage, "amount_minor": amount, "currency": currency}
            await put(directory, "deal", fields)
        rows = await all_rows(directory, "pipeline")
        found = {(r["stage"], r["currency"]): (r["deals"], r["amount_minor"]) for r in rows}
        assert found == {
            (still_open, "EUR"): (2, 2000),
            (still_open, "USD"): (1, 10000),
            (won, "EUR"): (1, 500),
        }
        assert len(rows) == 3
        later = (NOW + timedelta(hours=2)).isoformat()
        assert (await report(directory, "pipeline", since=later)).rows == []


async def test_stale_deals_are_open_ones_nobody_touched(opening: Open) -> None:
    async with opening() as directory:
        still_open, won = await stages(directory)
        fields = [{"name": f"d{i}", "stage": still_open} for i in range(3)]
        ids = await put(directory, "deal", *fields, {"name": "won", "stage": won})
        assert (await report(directory, "stale_deals")).rows == []
        later = (NOW + timedelta(hours=2)).isoformat()
        rows = await all_rows(directory, "stale_deals", since=later)
        assert [row["ref"] for row in rows] == [f"deal:{each}" for each in ids[:3]]
        assert [row["name"] for row in rows] == ["d0", "d1", "d2"]


async def test_overdue_tasks_come_most_overdue_first(opening: Open) -> None:
    async with opening() as directory:
        for text, days, is_done in (
            ("b", 2, None),
            ("a", 3, None),
            ("done", 4, True),
            ("c", -9, None),
        ):
            due = (NOW - timedelta(days=days)).isoformat()
            await directory.log(op(), Entry(kind="task", text=text, due=due, is_done=is_done))
        rows = await all_rows(directory, "overdue_tasks")
        assert [row["text"] for row in rows] == ["a", "b"]
        assert rows[0]["ref"].startswith("task:")


async def test_new_records_are_listed_whole(opening: Open) -> None:
    async with opening() as directory:
        contacts = await put(directory, "contact", {"name": "Ann"}, {"name": "Ben"})
        deals = await put(directory, "deal", {"name": "Big one"})
        rows = await all_rows(directory, "new_records")
        expected = {f"contact:{each}" for each in contacts} | {f"deal:{each}" for each in deals}
        assert {row["ref"] for row in rows} == expected
        assert len(rows) == 3
        later = (NOW + timedelta(hours=2)).isoformat()
        assert (await report(directory, "new_records", since=later)).rows == []


async def test_duplicates_share_a_phone_or_a_name(opening: Open) -> None:
    async with opening() as directory:
        ann, son, other = await put(
            directory,
            "contact",
            {"name": "Ann", "email": "ann@example.com", "phone": "+49301234567"},
            {"name": "Ben", "email": "ben@example.com", "phone": "+49301234567"},
            {"name": "ann", "email": "other@example.com"},
        )
        rows = await all_rows(directory, "duplicates")
        assert rows == [
            {"field": "name", "value": "ann", "refs": [f"contact:{ann}", f"contact:{other}"]},
            {
                "field": "phone",
                "value": "+49301234567",
                "refs": [f"contact:{ann}", f"contact:{son}"],
            },
        ]


async def test_a_reports_cursor_fits_that_report_only(opening: Open) -> None:
    async with opening() as directory:
        await put(directory, "contact", {"name": "Ann"}, {"name": "Ben"})
        page = await report(directory, "new_records", limit=1)
        assert page.next_cursor is not None
        for kind, cursor in (("overdue_tasks", page.next_cursor), ("new_records", "x")):
            with pytest.raises(InvalidInput):
                await report(directory, kind, cursor=cursor)  # type: ignore[arg-type]


async def test_a_report_can_be_of_one_owner(opening: Open) -> None:
    async with opening() as directory:
        for owner in ("eve@shop.example", "max@shop.example"):
            await put(directory, "contact", {"name": owner[:3], "owner": owner})
        rows = await all_rows(directory, "new_records", owner="eve@shop.example")
        assert [(row["name"], row["owner"]) for row in rows] == [("eve", "eve@shop.example")]


async def test_an_own_type_is_written_found_and_linked(opening: Open) -> None:
    async with opening() as directory:
        (ann,) = await put(directory, "contact", {"name": "Ann", "loyalty": "gold"})
        (rex,) = await put(directory, "pet", {"name": "Rex", "chip": "c-1", "weight": 12.5})
        (same,) = await put(directory, "pet", {"chip": "c-1", "weight": 13})
        assert same == rex
        a, b = Ref("contact", ann), Ref("pet", rex)
        assert (await directory.link(op(), a, b)).result
        page = await directory.search(
            Search(
                type="pet",
                filters=[
                    Filter(field="weight", op="gt", value=12.9),
                    Filter(field="linked_to", op="eq", value=a),
                ],
                sort=Sort("weight"),
            )
        )
        assert [row.fields for row in page.rows] == [{"name": "Rex", "chip": "c-1", "weight": 13}]
        (read,) = await directory.get("contact", [ann], ["links"])
        assert read.fields["loyalty"] == "gold"
        assert [(link.ref, link.name) for link in read.links or ()] == [(b, "Rex")]
        gold = Filter(field="loyalty", op="in", value=["gold", "basic"])
        assert await names(directory, filters=[gold]) == ["Ann"]


async def test_a_probe_says_whose_it_is_and_what_it_may(opening: Open) -> None:
    async with opening() as directory:
        probe = await directory.probe()
        assert probe.name
        assert probe.can


async def test_every_kind_of_log_entry_is_found_as_a_note(opening: Open) -> None:
    async with opening() as directory:
        for kind in ("note", "call", "meeting", "email", "note"):
            await directory.log(op(), Entry(kind=kind, text=f"a {kind}"))  # type: ignore[arg-type]

        async def kinds(*filters: Filter) -> list[str]:
            found: list[str] = []
            cursor = None
            while True:
                page = await directory.search(
                    Search(type="note", filters=filters, limit=2, cursor=cursor)
                )
                for row in page.rows:
                    assert row.fields["text"] == f"a {row.fields['kind']}"
                    assert await directory.get("note", [row.id]) == [row]
                    found.append(row.fields["kind"])
                cursor = page.next_cursor
                if cursor is None:
                    return sorted(found)

        assert await kinds() == ["call", "email", "meeting", "note", "note"]
        for op_name, value, expected in (
            ("eq", "call", ["call"]),
            ("in", ["call", "email"], ["call", "email"]),
            ("neq", "note", ["call", "email", "meeting"]),
        ):
            condition = Filter(field="kind", op=op_name, value=value)  # type: ignore[arg-type]
            assert await kinds(condition) == expected
