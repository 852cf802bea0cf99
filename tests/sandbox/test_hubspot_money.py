"""Amounts in HubSpot, whose numbers are whole units: in each currency what was meant."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.contracts.crm_rows import hubspot, mapping, set_up

from aicore_servers.sandbox._running import running
from aicore_tools.crm.backends.hubspot import HubSpotDirectory
from aicore_tools.crm.backends.hubspot_money import decimals_of
from aicore_tools.crm.records import Filter, RecordId, Report, Search, Upsert, UpsertResult
from aicore_tools.operations import Operation

YEN = '[deal.fields]\namount_minor = { property = "amount", decimals = 0 }\n'


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with running("hubspot") as url:
        yield url


@pytest.fixture
def url(address: str) -> str:
    set_up(address)
    return address


def deals(url: str) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = httpx2.get(f"{url}/_sandbox/state").json()["objects"][
        "deals"
    ]
    return found


def deal(url: str, amount: str, currency: str) -> RecordId:
    """A deal made in HubSpot itself."""
    with httpx2.Client(base_url=url, headers={"Authorization": "Bearer owner"}) as http:
        properties = {
            "dealname": "d",
            "dealstage": "contractsent",
            "amount": amount,
            "deal_currency_code": currency,
        }
        made = http.post("/crm/v3/objects/deals", json={"properties": properties})
        return RecordId(made.json()["id"])


async def put(directory: HubSpotDirectory, record_id: RecordId | None = None, **fields: Any) -> Any:
    item = Upsert(fields=fields, id=record_id)
    operation = Operation.of("test", {}, None)
    (planned,) = await directory.preview("deal", [item])
    result: UpsertResult
    (result,) = (await directory.upsert(operation, "deal", [item])).result
    assert (planned.status, planned.error) == (result.status, result.error)
    return result


def test_decimals_are_those_of_iso_4217() -> None:
    assert [decimals_of(code) for code in ("EUR", "JPY", "KWD", "CLF", "jpy")] == [2, 0, 3, 4, 0]


async def test_an_amount_is_not_stored_wrong_by_a_factor(url: str, tmp_path: Path) -> None:
    async with hubspot(url, tmp_path) as directory:
        refused = await put(directory, name="d", amount_minor=5000, currency="JPY")
        assert refused.status == "error"
        assert "decimals = 0" in refused.error
        assert (await put(directory, name="d", currency="JPY")).status == "created"
    (kept,) = deals(url).values()
    assert not kept.get("amount")


async def test_a_mapping_for_the_currency_stores_it_as_it_is(url: str, tmp_path: Path) -> None:
    async with hubspot(url, tmp_path, mapping=mapping(tmp_path, YEN)) as directory:
        made = await put(directory, name="d", amount_minor=5000, currency="JPY")
        (read,) = await directory.get("deal", [made.id])
        assert read.fields["amount_minor"] == 5000
        refused = await put(directory, name="e", amount_minor=1250, currency="EUR")
        assert "decimals = 2" in refused.error
    (kept,) = deals(url).values()
    assert kept["amount"] == "5000"


async def test_each_deal_is_read_in_its_own_currency(url: str, tmp_path: Path) -> None:
    yen, euro = deal(url, "5000", "JPY"), deal(url, "50", "EUR")
    async with hubspot(url, tmp_path) as directory:
        for each in (yen, euro):
            (read,) = await directory.get("deal", [each], ["history"])
            assert read.fields["amount_minor"] == 5000
            assert (None, 5000) in [
                change.fields.get("amount_minor") for change in read.history or ()
            ]
        report = Report(kind="pipeline", since=None, now="2030-01-01T00:00:00+00:00")
        sums = {
            row["currency"]: row["amount_minor"] for row in (await directory.report(report)).rows
        }
        assert sums == {"JPY": 5000, "EUR": 5000}


async def test_an_amount_is_looked_for_in_the_currency_that_is_asked_for(
    url: str, tmp_path: Path
) -> None:
    deal(url, "4000", "JPY")
    yen = deal(url, "5000", "JPY")
    asked = [
        Filter(field="amount_minor", op="gte", value=5000),
        Filter(field="currency", op="eq", value="JPY"),
    ]
    async with hubspot(url, tmp_path) as directory:
        page = await directory.search(Search(type="deal", filters=asked))
        assert [row.id for row in page.rows] == [yen]


async def test_an_amount_stays_the_same_in_another_currency(url: str, tmp_path: Path) -> None:
    yen, euro = deal(url, "5000", "JPY"), deal(url, "50", "EUR")
    async with hubspot(url, tmp_path) as directory:
        assert (await put(directory, yen, currency="EUR", amount_minor=5000)).status == "updated"
        assert (await put(directory, euro, currency="JPY")).status == "error"
        assert (await put(directory, euro, currency="USD")).status == "updated"
    kept = {key: (each["amount"], each["deal_currency_code"]) for key, each in deals(url).items()}
    assert kept == {yen: ("50", "EUR"), euro: ("50", "USD")}


async def test_what_is_no_amount_can_be_changed_in_any_currency(url: str, tmp_path: Path) -> None:
    yen = deal(url, "5000", "JPY")
    async with hubspot(url, tmp_path) as directory:
        assert (await put(directory, yen, name="e")).status == "updated"
        assert (await put(directory, yen, amount_minor=6000)).status == "error"
        assert (await put(directory, yen, amount_minor=None)).status == "updated"
