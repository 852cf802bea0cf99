"""The rules of the CRM: what may be asked and written, and how values are normalised."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aicore_tools.crm.backends.local import MIGRATIONS, LocalDirectory
from aicore_tools.crm.catalogue import STANDARD, Catalogue
from aicore_tools.crm.fields import KEY_FIELDS, TYPES, Field, normalise
from aicore_tools.crm.mapping import FieldRule, TypeRule, own_catalogue
from aicore_tools.crm.records import RECORD_TYPES, Entry, Filter, RecordId, Search
from aicore_tools.crm.registry import CrmSettings, directory
from aicore_tools.crm.service import CrmService, RecordInput
from aicore_tools.errors import BackendConfigError, InvalidInput, NotFound
from aicore_tools.local_store import LocalStore
from aicore_tools.operations import Operation


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[CrmService]:
    async with LocalDirectory(folder / "crm.db", business="main") as local:
        yield CrmService(local, zone=ZoneInfo("Europe/Berlin"))


def op() -> Operation:
    return Operation.of("test", {})


async def put(service: CrmService, record_type: Any, *records: RecordInput) -> list[Any]:
    plan = await service.plan_upsert(record_type, records, on_match="update")
    return list((await service.upsert(plan, op())).result)


def record(**fields: Any) -> RecordInput:
    return RecordInput(set=fields)


@pytest.mark.parametrize(
    ("record_type", "name", "meant"),
    [
        ("contact", "emial", "email"),
        ("contact", "first_name", "name"),
        ("contact", "Phone", "phone"),
        ("deal", "amount", "amount_minor"),
        ("deal", "closing_date", "close_date"),
        ("ticket", "prio", "priority"),
    ],
)
def test_an_unknown_field_names_the_nearest(record_type: Any, name: str, meant: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        STANDARD.field(record_type, name)
    assert refusal.value.code == "unknown_field"
    assert f"'{meant}'" in refusal.value.message


def test_a_hopeless_field_lists_what_there_is() -> None:
    with pytest.raises(InvalidInput) as refusal:
        STANDARD.field("product", "zzzzzz")
    assert "Did you mean" not in refusal.value.message
    assert "sku" in (refusal.value.hint or "")


@pytest.mark.parametrize(
    ("kind", "given", "normal"),
    [
        ("email", " Ann.Lee@Example.COM ", "ann.lee@example.com"),
        ("email", "mailto:ann@example.com", "ann@example.com"),
        ("phone", "+49 (30) 123-4567", "+49301234567"),
        ("phone", "0049 30 1234567", "+49301234567"),
        ("phone", "030/1234567", "0301234567"),
        ("domain", "https://www.Example.com/about", "example.com"),
        ("date", "2026-03-01", "2026-03-01"),
        ("date", "2026-03-01T10:00:00+01:00", "2026-03-01"),
        ("time", "2026-03-01T10:00:00+01:00", "2026-03-01T09:00:00+00:00"),
        ("time", "2026-07-01T10:00:00", "2026-07-01T08:00:00+00:00"),
        ("time", "2026-07-01", "2026-06-30T22:00:00+00:00"),
        ("integer", 12, 12),
        ("integer", "1200", 1200),
        ("integer", 3.0, 3),
        ("flag", "true", True),
        ("flag", False, False),
        ("text", "  Ann  ", "Ann"),
        ("text", 7, "7"),
        ("text", "a\0b\ud800", "ab?"),
        ("text", "   ", None),
        ("text", None, None),
        ("email", "", None),
    ],
)
def test_a_value_has_one_form(kind: Any, given: Any, normal: Any) -> None:
    assert normalise("x", Field(kind), given, zone=ZoneInfo("Europe/Berlin")) == normal


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("email", "ann"),
        ("email", "ann@example"),
        ("email", "a@b.example, c@d.example"),
        ("email", 7),
        ("phone", "call me"),
        ("phone", "1234"),
        ("phone", "+" + "1" * 16),
        ("domain", "not a domain"),
        ("date", "01.03.2026"),
        ("date", "2026-02-30"),
        ("time", "tomorrow"),
        ("time", "0001-01-01T00:00:00+14:00"),
        ("integer", 1.5),
        ("integer", "12,50"),
        ("integer", True),
        ("integer", 1e300),
        ("integer", float("nan")),
        ("integer", [1]),
        ("flag", "maybe"),
        ("flag", 1),
        ("text", ["a"]),
        ("text", True),
        ("text", {"a": 1}),
        ("text", "x" * 20_001),
    ],
)
def test_a_value_that_does_not_fit_is_refused(kind: Any, given: Any) -> None:
    with pytest.raises(InvalidInput):
        normalise("x", Field(kind), given)


def test_a_choice_is_one_of_its_values() -> None:
    field = TYPES["ticket"]["status"]
    assert normalise("status", field, "Open") == "open"
    with pytest.raises(InvalidInput) as refusal:
        normalise("status", field, "opened")
    assert "waiting" in (refusal.value.hint or "")
    assert "'open'" in refusal.value.message


def test_a_currency_is_an_iso_code() -> None:
    assert normalise("currency", TYPES["deal"]["currency"], "eur") == "EUR"
    with pytest.raises(InvalidInput):
        normalise("currency", TYPES["deal"]["currency"], "Euro")


@given(st.one_of(st.text(), st.integers(), st.floats(), st.booleans(), st.lists(st.text())))
@settings(max_examples=200, deadline=None)
def test_normalising_twice_changes_nothing(value: Any) -> None:
    for name, field in {**TYPES["contact"], **TYPES["deal"], **TYPES["task"]}.items():
        try:
            once = normalise(name, field, value)
        except InvalidInput:
            continue
        assert normalise(name, field, once) == once


def test_every_key_is_a_field_of_its_type() -> None:
    assert set(TYPES) == set(RECORD_TYPES) == set(KEY_FIELDS)
    for record_type, keys in KEY_FIELDS.items():
        assert set(keys) <= set(TYPES[record_type])


async def test_a_wrong_value_writes_nothing_at_all(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        with pytest.raises(InvalidInput) as refusal:
            await put(service, "contact", record(name="Ann"), record(email="nobody"))
        assert refusal.value.message.startswith("records[1]: ")
        assert (await service.search(Search(type="contact"))).rows == []


async def test_a_key_says_itself_what_it_is_a_key_of(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        for record_type, key, field in (
            ("contact", "Ann@Example.com", "email"),
            ("contact", "+49 30 1234567", "phone"),
            ("contact", "hubspot-77", "external_id"),
            ("company", "https://example.com", "domain"),
            ("product", "SKU-1", "sku"),
            ("deal", "d-1", "external_id"),
        ):
            item = RecordInput(set={"name": "x"}, key=key)
            (created,) = await put(service, record_type, item)
            found = await service.get(record_type, [key])
            assert [each.id for each in found.records] == [created.id]
            assert field in found.records[0].fields


async def test_id_and_key_together_are_refused(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        with pytest.raises(InvalidInput):
            await put(service, "contact", RecordInput(set={"name": "x"}, id="1", key="a@b.example"))


async def test_getting_says_what_is_missing_or_ambiguous(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        ann, ben = await put(
            service,
            "contact",
            record(name="Ann", email="ann@example.com", phone="+49301234567"),
            record(name="Ben", email="ben@example.com", phone="+49301234567"),
        )
        found = await service.get(
            "contact", ["ben@example.com", f"contact:{ann.id}", "nobody@x.example", "+49301234567"]
        )
        assert [each.id for each in found.records] == [ben.id, ann.id]
        assert found.missing == ["nobody@x.example"]
        assert found.ambiguous == {"+49301234567": [ann.id, ben.id]}


async def test_only_the_asked_fields_are_given(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        await put(service, "contact", record(name="Ann", city="Ulm", email="ann@example.com"))
        page = await service.search(Search(type="contact"), fields=["city", "phone", "created"])
        assert set(page.rows[0].fields) == {"city", "created"}
        found = await service.get("contact", ["ann@example.com"], fields=["name"])
        assert found.records[0].fields == {"name": "Ann"}
        for call in (
            service.search(Search(type="contact"), fields=["nmae"]),
            service.get("contact", ["1"], fields=["nmae"]),
        ):
            with pytest.raises(InvalidInput):
                await call


@pytest.mark.parametrize(
    ("field", "op_name", "value"),
    [
        ("nmae", "eq", "x"),
        ("name", "eq", None),
        ("name", "eq", ["x"]),
        ("name", "in", "x"),
        ("name", "in", []),
        ("name", "in", ["x"] * 101),
        ("birthday", "between", ["2026-01-01"]),
        ("birthday", "gt", "soon"),
        ("status", "eq", "nonsense"),
        ("name", "exists", "yes"),
        ("linked_to", "eq", "contact"),
        ("linked_to", "neq", "contact:1"),
        ("linked_to", "eq", 7),
    ],
)
async def test_a_filter_that_cannot_be_is_refused(
    tmp_path: Path, field: str, op_name: Any, value: Any
) -> None:
    async with opened(tmp_path) as service:
        with pytest.raises(InvalidInput):
            await service.search(
                Search(type="contact", filters=[Filter(field=field, op=op_name, value=value)])
            )


async def test_more_filters_than_anybody_needs_are_refused(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        with pytest.raises(InvalidInput):
            await service.search(
                Search(type="contact", filters=[Filter(field="name", op="eq", value="x")] * 21)
            )


async def test_a_part_of_an_address_or_number_can_be_looked_for(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        await put(service, "contact", record(name="Ann", email="ann@example.com"))
        condition = Filter(field="email", op="contains", value="@EXAMPLE")
        page = await service.search(Search(type="contact", filters=[condition]))
        assert len(page.rows) == 1


@pytest.mark.parametrize("limit", [0, 101, -1])
async def test_a_limit_out_of_range_is_refused(tmp_path: Path, limit: int) -> None:
    async with opened(tmp_path) as service:
        with pytest.raises(InvalidInput):
            await service.search(Search(type="contact", limit=limit))


async def test_too_many_or_no_records_are_refused(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        for records in ([], [record(name="x")] * 51):
            with pytest.raises(InvalidInput):
                await put(service, "contact", *records)
        for ids in ([], ["1"] * 101):
            with pytest.raises(InvalidInput):
                await service.get("contact", ids)
        with pytest.raises(InvalidInput):
            await service.search(Search(type="contact"), sort="-nmae")


@pytest.mark.parametrize(
    ("entry", "about", "error"),
    [
        (Entry(kind="note"), (), InvalidInput),
        (Entry(kind="note", text="  "), (), InvalidInput),
        (Entry(kind="note", text="x", due="2026-03-01"), (), InvalidInput),
        (Entry(kind="call", text="x", is_done=True), (), InvalidInput),
        (Entry(kind="email", text="x", task_id=RecordId("1")), (), InvalidInput),
        (Entry(kind="task", text="x", due="soon"), (), InvalidInput),
        (Entry(kind="note", text="x"), ("contakt:1",), InvalidInput),
        (Entry(kind="note", text="x"), ("12",), InvalidInput),
        (Entry(kind="note", text="x"), ("contact:1",) * 51, InvalidInput),
        (Entry(kind="note", text="x"), ("contact:999",), NotFound),
        (Entry(kind="task", task_id=RecordId("999"), is_done=True), (), NotFound),
    ],
)
async def test_a_log_entry_that_cannot_be_is_refused(
    tmp_path: Path, entry: Entry, about: tuple[str, ...], error: type[Exception]
) -> None:
    async with opened(tmp_path) as service:
        with pytest.raises(error):
            await service.plan_log(entry, about=about)
        for record_type in ("note", "task"):
            assert (await service.search(Search(type=record_type))).rows == []


async def test_a_wrong_type_in_a_name_suggests_the_right_one(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        with pytest.raises(InvalidInput) as refusal:
            await service.plan_link("contakt:1", "company:2")
        assert "'contact'" in refusal.value.message
        with pytest.raises(InvalidInput):
            await service.plan_link("contact:1", "contact:1")


def test_an_unknown_backend_is_the_operators_matter(tmp_path: Path) -> None:
    with pytest.raises(BackendConfigError) as refusal:
        directory("hubspott", CrmSettings(data_dir=tmp_path, business="main"))
    assert "local" in (refusal.value.hint or "")


def test_a_key_that_is_no_field_is_the_operators_matter() -> None:
    with pytest.raises(BackendConfigError):
        own_catalogue({"pet": TypeRule(keys=("chip",))})


def test_a_declared_field_joins_or_leaves_the_standard_ones() -> None:
    rules = {
        "shoe_size": FieldRule(kind="integer"),
        "tier": FieldRule(choices={"gold": "G"}),
        "language": FieldRule(is_used=False),
    }
    catalogue = own_catalogue({"contact": TypeRule(fields=rules)})
    fields = catalogue.fields("contact")
    assert (fields["shoe_size"].kind, fields["tier"].choices) == ("integer", ("gold",))
    assert "language" not in fields
    assert "language" in STANDARD.fields("contact")
    assert catalogue.keys == STANDARD.keys


def test_an_unknown_type_names_the_nearest() -> None:
    with pytest.raises(InvalidInput) as refusal:
        STANDARD.fields("contcat")
    assert refusal.value.code == "unknown_object"
    assert "'contact'" in refusal.value.message


async def test_a_read_only_field_is_not_written(tmp_path: Path) -> None:
    fields = {**TYPES["note"], "kind": Field("choice", ("note",), is_read_only=True)}
    catalogue = Catalogue(types={**TYPES, "note": fields}, keys=KEY_FIELDS)
    path = tmp_path / "crm.db"
    async with LocalDirectory(path, business="main", catalogue=catalogue) as local:
        with pytest.raises(InvalidInput):
            await put(CrmService(local), "note", record(kind="note"))


async def test_history_says_by_whom(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        plan = await service.plan_upsert("contact", [record(name="Ann")], on_match="update")
        (ann,) = (await service.upsert(plan, op(), by="staff:eve")).result
        found = await service.get("contact", [str(ann.id)], include=["history"])
        assert [change.by for change in found.records[0].history or ()] == ["staff:eve"]


async def test_words_are_looked_for_in_every_text_whatever_the_accents(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        await put(service, "contact", record(name="Ann Müller", city="Berlin"))
        page = await service.search(Search(type="contact", query="MULLER be"))
        assert len(page.rows) == 1


async def test_an_older_file_is_found_through_by_the_new_indexes(tmp_path: Path) -> None:
    """A file as the first version wrote it, with one archived record."""
    path = tmp_path / "crm.db"
    async with LocalStore(path, migrations=MIGRATIONS[:1], business="main") as store:

        def fill(connection: Any) -> None:
            for name, archived in (("Ann Lee", None), ("Gone", "2026-01-01T00:00:00+00:00")):
                fields = json.dumps({"name": name, "city": "Ulm", "remarks": "x" * 300})
                at = "2026-01-01T00:00:00+00:00"
                connection.execute(
                    "INSERT INTO record (business, type, fields, folded, created, updated,"
                    " archived) VALUES ('main', 'contact', ?, ?, ?, ?, ?)",
                    (fields, fields.lower(), at, at, archived),
                )
            connection.execute("INSERT INTO record_fts (rowid, words) VALUES (1, 'Ann Lee Ulm')")

        await store.write(fill)
    async with opened(tmp_path) as service:
        for found in (
            await service.search(Search(type="contact", query="lee")),
            await service.search(
                Search(type="contact", filters=[Filter(field="city", op="eq", value="ulm")])
            ),
            await service.search(
                Search(type="contact", filters=[Filter(field="name", op="contains", value="n le")])
            ),
            await service.search(Search(type="contact"), sort="remarks"),
        ):
            assert [row.fields["name"] for row in found.rows] == ["Ann Lee"]


async def test_whatever_the_index_does_the_rows_are_the_same(tmp_path: Path) -> None:
    """Few candidates, many, words, each sort: the plan differs and the answer does not."""
    async with opened(tmp_path) as service:
        cities = ["Ulm"] * 450 + ["Bonn"] * 3 + [None] * 47
        for start in range(0, 500, 50):
            records = [
                record(name=f"n{i % 10} Lee", **({"city": cities[i]} if cities[i] else {}))
                for i in range(start, start + 50)
            ]
            await put(service, "contact", *records)
        for query in ("", "lee", "n3", "n3 lee"):
            for condition in (None, ("eq", "Ulm"), ("eq", "Bonn"), ("neq", "Ulm"), ("lt", "c")):
                for sort in (None, "name", "-city", "updated"):
                    filters = []
                    if condition is not None:
                        filters = [Filter(field="city", op=condition[0], value=condition[1])]
                    expected = {
                        i + 1
                        for i in range(500)
                        if (not query or "n3" not in query or i % 10 == 3)
                        and _fits(cities[i], condition)
                    }
                    ids: list[int] = []
                    cursor = None
                    while True:
                        page = await service.search(
                            Search(
                                type="contact",
                                query=query,
                                filters=filters,
                                limit=100,
                                cursor=cursor,
                            ),
                            sort=sort,
                        )
                        ids += [int(row.id) for row in page.rows]
                        cursor = page.next_cursor
                        if cursor is None:
                            break
                    assert len(ids) == len(set(ids))
                    assert set(ids) == expected, (query, condition, sort)


def _fits(city: str | None, condition: tuple[str, str] | None) -> bool:
    if condition is None:
        return True
    op_name, value = condition
    if op_name == "neq":
        return city != value
    if city is None:
        return False
    return city == value if op_name == "eq" else city.lower() < value.lower()
