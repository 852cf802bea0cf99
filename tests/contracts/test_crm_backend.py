"""What every CRM backend must do. A new backend is one more row of crm_rows.ROWS."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.contracts.crm_rows import ROWS, Open

from aicore_tools.crm.port import CustomerDirectory
from aicore_tools.crm.records import (
    Entry,
    Filter,
    RecordId,
    Ref,
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


async def put(directory: CustomerDirectory, *fields: dict[str, Any]) -> list[UpsertResult]:
    records = [Upsert(fields=each) for each in fields]
    return list((await directory.upsert(op(), "contact", records)).result)


async def names(directory: CustomerDirectory, **search: Any) -> list[str]:
    page = await directory.search(Search(type="contact", **search))
    return [row.fields["name"] for row in page.rows]


def ref(result: UpsertResult) -> Ref:
    assert result.id is not None
    return Ref("contact", result.id)


async def test_what_was_written_is_read_back(opening: Open) -> None:
    async with opening() as directory:
        fields = {"name": "Ann Müller", "email": "ann@example.com", "birthday": "1980-02-03"}
        (created,) = await put(directory, fields)
        assert created.status == "created"
        assert created.id is not None
        (record,) = await directory.get("contact", [created.id])
        assert record.fields == fields
        assert record.created.tzinfo is not None
        assert record.links is None


async def test_unknown_ids_and_other_types_are_left_out(opening: Open) -> None:
    async with opening() as directory:
        (created,) = await put(directory, {"name": "Ann"})
        assert created.id is not None
        ids = [RecordId("999"), RecordId("x"), RecordId("-1"), RecordId("9" * 30)]
        assert await directory.get("contact", ids) == []
        assert await directory.get("company", [created.id]) == []


async def test_an_email_finds_its_contact_again(opening: Open) -> None:
    async with opening() as directory:
        first, second, third = await put(
            directory,
            {"name": "Ann", "email": "ann@example.com"},
            {"name": "Ann Lee", "email": "ann@example.com"},
            {"name": "Ann Lee", "email": "ann@example.com"},
        )
        assert (second.status, second.id, second.changed) == ("updated", first.id, ["name"])
        assert (third.status, third.id) == ("unchanged", first.id)


async def test_by_a_phone_alone_one_person_never_overwrites_another(opening: Open) -> None:
    async with opening() as directory:
        first, same, other, again = await put(
            directory,
            {"name": "Bob Stone", "phone": "+49301234567"},
            {"name": "bob stone", "phone": "+49301234567", "city": "Berlin"},
            {"name": "Mia Stone", "phone": "+49301234567"},
            {"name": "Mia Stone", "phone": "+49301234567", "city": "Ulm"},
        )
    statuses = [result.status for result in (first, same, other, again)]
    assert statuses == ["created", "updated", "created", "updated"]
    assert first.id == same.id != other.id == again.id


async def test_a_phone_finds_a_contact_unless_the_emails_differ(opening: Open) -> None:
    async with opening() as directory:
        ann, same, son = await put(
            directory,
            {"name": "Ann", "email": "ann@example.com", "phone": "+49301234567"},
            {"phone": "+49301234567", "city": "Berlin"},
            {"name": "Ben", "email": "ben@example.com", "phone": "+49301234567"},
        )
        assert (same.status, same.id) == ("updated", ann.id)
        assert son.status == "created"
        (unclear,) = await put(directory, {"phone": "+49301234567", "city": "Ulm"})
        assert unclear.status == "error"
        assert ann.id in (unclear.error or "")


async def test_on_match_decides_what_happens_to_a_known_record(opening: Open) -> None:
    async with opening() as directory:
        await put(directory, {"name": "Ann", "email": "ann@example.com"})
        again = [Upsert(fields={"email": "ann@example.com", "name": "Eve"})]
        for on_match, status in (("skip", "skipped"), ("error", "error"), ("update", "updated")):
            effect = await directory.upsert(op(), "contact", again, on_match=on_match)
            assert effect.result[0].status == status


async def test_a_key_creates_with_that_key_or_finds(opening: Open) -> None:
    async with opening() as directory:
        item = Upsert(fields={"name": "Ann"}, key=("email", "ann@example.com"))
        created = (await directory.upsert(op(), "contact", [item])).result[0]
        found = (await directory.upsert(op(), "contact", [item])).result[0]
        assert (created.status, found.status) == ("created", "unchanged")
        assert await directory.find("contact", "email", "ann@example.com") == [created.id]


async def test_one_bad_record_does_not_stop_the_rest(opening: Open) -> None:
    async with opening() as directory:
        records = [
            Upsert(fields={"name": "Ann", "email": "ann@example.com"}),
            Upsert(fields={"name": "Ghost"}, id=RecordId("999")),
            Upsert(fields={}),
            Upsert(fields={"name": "Linked"}, links=[Ref("company", RecordId("999"))]),
            Upsert(fields={"name": "Ben"}),
        ]
        results = (await directory.upsert(op(), "contact", records)).result
        statuses = [result.status for result in results]
        assert statuses == ["created", "error", "error", "error", "created"]
        assert await names(directory) == ["Ben", "Ann"]


async def test_another_contacts_email_cannot_be_taken(opening: Open) -> None:
    async with opening() as directory:
        ann, ben = await put(
            directory, {"name": "Ann", "email": "ann@example.com"}, {"name": "Ben"}
        )
        item = Upsert(fields={"email": "ann@example.com"}, id=ben.id)
        (result,) = (await directory.upsert(op(), "contact", [item])).result
        assert result.status == "error"
        assert str(ann.id) in (result.error or "")


async def test_none_clears_a_field_and_its_key(opening: Open) -> None:
    async with opening() as directory:
        (ann,) = await put(directory, {"name": "Ann", "email": "ann@example.com"})
        item = Upsert(fields={"email": None}, id=ann.id)
        (result,) = (await directory.upsert(op(), "contact", [item])).result
        assert result.changed == ["email"]
        assert await directory.find("contact", "email", "ann@example.com") == []
        assert await names(directory, query="ann@example.com") == []


async def test_a_preview_says_it_all_and_writes_nothing(opening: Open) -> None:
    async with opening() as directory:
        (ann,) = await put(directory, {"name": "Ann", "email": "ann@example.com"})
        records = [
            Upsert(fields={"email": "ann@example.com", "name": "Eve"}),
            Upsert(fields={"email": "new@example.com"}),
            Upsert(fields={"email": "new@example.com"}),
        ]
        preview = await directory.preview("contact", records)
        assert [result.status for result in preview] == ["updated", "created", "unchanged"]
        assert (preview[0].id, preview[1].id) == (ann.id, None)
        assert await names(directory) == ["Ann"]


async def test_a_repeated_key_writes_once_and_answers_the_same(opening: Open) -> None:
    async with opening() as directory:
        items = [Upsert(fields={"name": "Ann"})]
        first = await directory.upsert(op("k"), "contact", items)
        second = await directory.upsert(op("k"), "contact", items)
        assert first.result == second.result
        assert (first.is_replay, second.is_replay) == (False, True)
        assert len(await names(directory)) == 1
        with pytest.raises(Conflict):
            await directory.upsert(op("k", other=1), "contact", items)


async def test_a_repeated_key_survives_reopening(opening: Open) -> None:
    entry = Entry(kind="note", text="called")
    async with opening() as directory:
        first = await directory.log(op("k"), entry)
    async with opening() as directory:
        second = await directory.log(op("k"), entry)
        assert second.is_replay
        assert second.result == first.result


async def test_businesses_do_not_see_each_other(opening: Open) -> None:
    async with opening("one") as one, opening("two") as two:
        (ann,) = await put(one, {"name": "Ann", "email": "ann@example.com"})
        assert await names(two) == []
        assert await names(two, query="ann") == []
        assert ann.id is not None
        assert await two.get("contact", [ann.id]) == []
        assert await two.find("contact", "email", "ann@example.com") == []
        with pytest.raises(NotFound):
            await two.log(op(), Entry(kind="note", text="x", about=[ref(ann)]))
        (created,) = await put(two, {"name": "Ann", "email": "ann@example.com"})
        assert created.status == "created"


async def fill(directory: CustomerDirectory) -> None:
    for fields in (
        {"name": "Ann Müller", "email": "ann@example.com", "city": "Berlin", "status": "lead"},
        {"name": "Bob", "phone": "+49301234567", "birthday": "1990-05-01", "city": "BONN"},
        {"name": "ćarl o'neil", "email": "carl@example.org", "birthday": "1980-01-01"},
    ):
        await put(directory, fields)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (("city", "eq", "bonn"), ["Bob"]),
        (("email", "eq", "ANN@example.com"), ["Ann Müller"]),
        (("city", "neq", "Berlin"), ["ćarl o'neil", "Bob"]),
        (("birthday", "lt", "1990-01-01"), ["ćarl o'neil"]),
        (("birthday", "lte", "1990-05-01"), ["ćarl o'neil", "Bob"]),
        (("birthday", "gt", "1980-01-01"), ["Bob"]),
        (("birthday", "gte", "1980-01-01"), ["ćarl o'neil", "Bob"]),
        (("city", "in", ["Berlin", "bonn"]), ["Bob", "Ann Müller"]),
        (("name", "contains", "MÜLL"), ["Ann Müller"]),
        (("name", "contains", "o'neil"), ["ćarl o'neil"]),
        (("phone", "exists", True), ["Bob"]),
        (("phone", "exists", False), ["ćarl o'neil", "Ann Müller"]),
        (("birthday", "between", ["1980-01-01", "1990-05-01"]), ["ćarl o'neil", "Bob"]),
        (("created", "gt", "2020-01-01T00:00:00+00:00"), ["ćarl o'neil", "Bob", "Ann Müller"]),
        (("updated", "lt", "2020-01-01T00:00:00+00:00"), []),
    ],
)
async def test_filters_find(
    opening: Open, condition: tuple[str, Any, Any], expected: Sequence[str]
) -> None:
    async with opening() as directory:
        await fill(directory)
        field, operator, value = condition
        found = await names(directory, filters=[Filter(field=field, op=operator, value=value)])
        assert found == list(expected)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("ann", ["Ann Müller"]),
        ("MÜLLER an", ["Ann Müller"]),
        ("example", ["ćarl o'neil", "Ann Müller"]),
        ("carl@example.org", ["ćarl o'neil"]),
        ("+49 30 1234567", ["Bob"]),
        ("0049 (30) 1234", ["Bob"]),
        ("nobody", []),
        ('" OR * NOT (', []),
        ("'; DROP TABLE record; --", []),
        ("***", []),
    ],
)
async def test_words_find(opening: Open, query: str, expected: Sequence[str]) -> None:
    async with opening() as directory:
        await fill(directory)
        assert await names(directory, query=query) == list(expected)


@pytest.mark.parametrize("descending", [False, True])
async def test_sorting_puts_records_without_the_field_last(opening: Open, descending: bool) -> None:
    async with opening() as directory:
        await fill(directory)
        found = await names(directory, sort=Sort("birthday", descending))
        dated = ["ćarl o'neil", "Bob"]
        assert found == [*(reversed(dated) if descending else dated), "Ann Müller"]


@pytest.mark.parametrize(
    "sort", [Sort(), Sort("name", False), Sort("city", True), Sort("city", False), Sort("updated")]
)
async def test_paging_misses_and_repeats_none_while_records_come_in(
    opening: Open, sort: Sort
) -> None:
    async with opening() as directory:
        cities = ["Ulm", "Bonn", None]
        before = [
            {"name": f"n{i % 7}-{i}", **({"city": cities[i % 3]} if cities[i % 3] else {})}
            for i in range(25)
        ]
        await put(directory, *before)
        seen: list[str] = []
        cursor = None
        for page_number in range(20):
            page = await directory.search(Search(type="contact", sort=sort, limit=4, cursor=cursor))
            seen += [row.fields["name"] for row in page.rows]
            await put(directory, {"name": f"late-{page_number}", "city": "Bonn"})
            cursor = page.next_cursor
            if cursor is None:
                break
        old = [name for name in seen if not name.startswith("late")]
        assert sorted(old) == sorted(str(each["name"]) for each in before)
        assert len(seen) == len(set(seen))


async def test_a_cursor_fits_its_own_search_only(opening: Open) -> None:
    async with opening() as directory:
        await fill(directory)
        page = await directory.search(Search(type="contact", limit=1))
        assert page.next_cursor is not None
        for search in (
            Search(type="contact", query="ann", cursor=page.next_cursor),
            Search(type="contact", cursor="rubbish"),
            Search(type="contact", cursor="W10"),
            Search(type="contact", cursor=page.next_cursor[:-4]),
        ):
            with pytest.raises(InvalidInput):
                await directory.search(search)


async def test_a_log_entry_is_an_activity_of_what_it_is_about(opening: Open) -> None:
    async with opening() as directory:
        ann, ben = await put(directory, {"name": "Ann"}, {"name": "Ben"})
        at = "2026-01-05T09:00:00+00:00"
        entry = Entry(kind="call", text="wants a quote", about=[ref(ann), ref(ben)], at=at)
        logged = (await directory.log(op(), entry)).result
        assert (logged.kind, logged.status) == ("call", "created")
        for each in (ann, ben):
            assert each.id is not None
            (record,) = await directory.get("contact", [each.id], ["activity", "links"])
            assert record.activity is not None
            assert [(a.kind, a.at, a.text) for a in record.activity] == [
                ("call", at, "wants a quote")
            ]
            assert record.links == []
        page = await directory.search(
            Search(type="note", filters=[Filter(field="linked_to", op="eq", value=ref(ann))])
        )
        assert [row.id for row in page.rows] == [logged.id]


async def test_a_log_entry_about_nothing_that_exists_is_not_written(opening: Open) -> None:
    async with opening() as directory:
        missing = Ref("contact", RecordId("999"))
        with pytest.raises(NotFound):
            await directory.log(op("k"), Entry(kind="note", text="x", about=[missing]))
        assert (await directory.search(Search(type="note"))).rows == []


async def test_a_task_is_finished_once_and_can_be_reopened(opening: Open) -> None:
    async with opening() as directory:
        due = "2026-03-01T09:00:00+00:00"
        task = (await directory.log(op(), Entry(kind="task", text="call back", due=due))).result
        assert (task.due, task.is_done) == (due, False)

        async def change(**fields: Any) -> Any:
            entry = Entry(kind="task", task_id=task.id, **fields)
            return (await directory.log(op(), entry)).result

        done = await change(is_done=True)
        assert (done.id, done.status, done.is_done, done.due) == (task.id, "updated", True, due)
        assert (await change(is_done=True)).status == "unchanged"
        assert (await change(is_done=False)).is_done is False
        (record,) = await directory.get("task", [task.id])
        assert "done_at" not in record.fields
        with pytest.raises(NotFound):
            await directory.log(op(), Entry(kind="task", task_id=RecordId("999"), is_done=True))


async def test_links_are_seen_from_both_ends_once(opening: Open) -> None:
    async with opening() as directory:
        ann, ben = await put(directory, {"name": "Ann"}, {"name": "Ben"})
        a, b = ref(ann), ref(ben)
        assert (await directory.link(op(), a, b, label="sister of")).result
        assert not (await directory.link(op(), b, a, label="sister of")).result
        assert (await directory.link(op(), b, a, label="knows")).result
        for mine, theirs, name in ((a, b, "Ben"), (b, a, "Ann")):
            (record,) = await directory.get("contact", [mine.id], ["links"])
            assert record.links is not None
            assert [(x.ref, x.label, x.name) for x in record.links] == [(theirs, "knows", name)]
        assert (await directory.link(op(), a, b, remove=True)).result
        assert not (await directory.link(op(), a, b, remove=True)).result


async def test_history_says_what_changed(opening: Open) -> None:
    async with opening() as directory:
        (ann,) = await put(directory, {"name": "Ann"})
        item = Upsert(fields={"name": "Ann Lee"}, id=ann.id)
        await directory.upsert(op(), "contact", [item], by="staff:eve")
        assert ann.id is not None
        (record,) = await directory.get("contact", [ann.id], ["history"])
        assert record.history is not None
        assert [dict(change.fields) for change in record.history] == [
            {"name": ("Ann", "Ann Lee")},
            {"name": (None, "Ann")},
        ]
        assert all(c.at <= datetime.now(UTC) for c in record.history)
