"""What a report says of a log that real agents wrote, each figure reckoned by hand."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.costs.conftest import PRICE, Shop

from aicore import Agent
from aicore.costs.demand import HOUR_MS, DemandCounter, HourOfUse
from aicore.costs.reading import FailedTurn, UsageRow, read_usage
from aicore.costs.report import (
    Coverage,
    Group,
    Kept,
    PriceSeen,
    Report,
    ReportMaker,
    Spent,
    report_on,
)
from aicore.costs.wording import report_sections
from aicore.errors import StoreError
from aicore.flows import FlowProvider
from aicore.log import Event, EventLog, MemoryLog, Stored
from aicore.log.events import ModelReplied, Summarized
from aicore.models.port import Price
from aicore.models.route import AttemptOutcome, Route
from aicore.records import ConversationId, DataClass, Usage


def usd(micro: int) -> Decimal:
    return Decimal(micro) / 1_000_000


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


async def report_of(shop: Shop, since: str = "2026-01-01", until: str = "2027-01-01") -> Report:
    async with shop.log() as log:
        rows = read_usage(log, since_ms=ms(since), until_ms=ms(until))
        return await report_on(rows, zone=UTC)


def by(report: Report, dimension: str) -> dict[str, tuple[int, int, Decimal | None]]:
    groups: list[Group] = list(report.by[dimension])  # type: ignore[index] # a Dimension
    return {one.name: (one.spent.requests, one.spent.tokens, one.spent.cost_usd) for one in groups}


async def test_total_and_coverage(told: Shop) -> None:
    report = await report_of(told)
    # rented: 500 x 2 + 300 x 0.2 + 200 x 2.5 + 10 x 10 = 1660; 100 x 2 + 20 x 10 = 400;
    # 150 x 2 + 5 x 10 = 350; 500 x 2 + 10 x 10 = 1100. In vain: 600 + 1040 + 200.
    assert report.total == Spent(
        requests=11,  # 3 rented, 1 + 2 box, 1 rented, 3 beside it, 1 in vain
        input_tokens=1000 + 100 + 150 + 400 + 200 + 500 + 300 + 500 + 500 + 100,
        cached_tokens=300,
        cache_write_tokens=200,
        output_tokens=10 + 20 + 5 + 50 + 20 + 10 + 0 + 4 + 3 + 0,
        known_usd=usd(1660 + 400 + 350 + 1100 + 600 + 1040 + 200),
        unpriced_requests=3,  # both answers of the box, and the hedge
        unpriced_tokens=450 + 220 + 503,
    )
    assert report.coverage == Coverage(
        requests=11,
        tokens=3750 + 122,
        priced_requests=8,
        priced_tokens=3872 - 1173,
        reported_requests=9,
        reported_tokens=3872 - 450 - 503,
    )
    assert (report.first_ms, report.last_ms) == (ms("2026-11-02T10:15"), ms("2026-11-03T23:30"))
    assert report.window_hours == 14 + 24  # from 10:00 on the one day to 24:00 on the other


async def test_spending_by_each_dimension(told: Shop) -> None:
    report = await report_of(told)
    assert by(report, "provider") == {
        "rented": (7, 1010 + 120 + 155 + 510 + 300 + 504 + 100, usd(5350)),
        "box": (3, 450 + 220, None),
        "second": (1, 503, None),
    }
    assert [one.name for one in report.by["provider"]] == ["rented", "box", "second"]
    # Of the one that failed for good nobody knows the model.
    assert {name: one[0] for name, one in by(report, "model").items()} == {
        "rented m": 7,
        "box m": 3,
        "second m": 1,
    }
    assert by(report, "tenant") == {"shop": (11, 3872, usd(5350))}
    assert by(report, "task") == {"reply": (11, 3872, usd(5350))}
    assert by(report, "day") == {
        "2026-11-02": (4, 1010 + 120 + 155 + 450, usd(2410)),
        "2026-11-03": (7, 220 + 510 + 300 + 504 + 503 + 100, usd(2940)),
    }
    assert report.spent_on == {
        date(2026, 11, 2): {"rented": usd(2410)},
        date(2026, 11, 3): {"rented": usd(2940)},
    }


async def test_caches_waste_and_what_was_kept(told: Shop) -> None:
    report = await report_of(told)
    assert report.cache.cached_tokens == 300
    assert report.cache.saved_usd == usd(300 * 18 // 10 - 200 * 5 // 10)  # 540 - 100
    waste = {
        one.kind: (one.spent.requests, one.spent.tokens, one.spent.cost_usd) for one in report.waste
    }
    assert waste == {
        "retried": (2, 300, usd(600)),  # one of the two was never sent
        "cut": (1, 504, usd(1040)),
        "hedge lost": (1, 503, None),
        "turn failed": (1, 100, usd(200)),
    }
    assert report.kept == [Kept("box", ("rented",), 1, 220)]
    assert report.failed_turns == {"provider_unavailable": 2}
    assert report.bursts == 1
    assert report.answers_without_model == 0
    assert report.prices == [PriceSeen("rented", "m", "own", "2026-11-01", 4)]
    # Without a router nobody reads a class: the first four answers.
    assert report.tokens_of_class == {
        "": 1010 + 120 + 155 + 450,
        "personal": 510 + 300 + 504 + 503 + 100,
        "special": 220,
    }
    assert report.conversations == 1


async def test_hours_of_demand(told: Shop) -> None:
    async with told.log() as log:
        managed = Price(input_usd=Decimal(1), output_usd=Decimal(1))
        report = await report_on(read_usage(log), counter=DemandCounter(managed))
    first = ms("2026-11-02T10:00") // HOUR_MS
    demand = report.demand
    assert demand.window_hours == 38
    assert demand.hours == {
        first: HourOfUse(input_tokens=1250, output_tokens=35, managed_usd=usd(2410)),
        # The box has no price: what a vendor would ask, 450 x 1.
        first + 2: HourOfUse(input_tokens=400, output_tokens=50, managed_usd=usd(450)),
        # Special: 200 and 20. The lost hedge has no price either: 503 x 1.
        first + 37: HourOfUse(
            input_tokens=1900,
            output_tokens=17,
            sensitive_input_tokens=200,
            sensitive_output_tokens=20,
            managed_usd=usd(2940 + 503),
        ),
    }
    assert demand.of_provider["box"] == {first + 2: (400, 50), first + 37: (200, 20)}
    assert (demand.tokens, demand.ordinary_tokens, demand.unpriced_tokens) == (3872, 3652, 0)


async def test_what_no_vendor_was_priced_for_is_unpriced_not_free(told: Shop) -> None:
    report = await report_of(told)
    assert report.demand.unpriced_tokens == 450 + 503


async def test_a_window_takes_whole_days_of_the_shops_zone(told: Shop) -> None:
    report = await report_of(told, since="2026-11-03", until="2026-11-04")
    assert by(report, "day") == {"2026-11-03": (7, 2137, usd(2940))}
    async with told.log() as log:
        east = timezone(timedelta(hours=9))
        shifted = await report_on(read_usage(log), zone=east)
    assert list(by(shifted, "day")) == ["2026-11-02", "2026-11-04"]
    empty = await report_of(told, since="2026-12-01")
    assert (empty.total, empty.first_ms, empty.window_hours) == (Spent(), None, 0)
    assert empty.total.cost_usd == 0
    assert empty.failed_turns == {}


async def test_several_businesses_are_tenants_of_one_report(told: Shop) -> None:
    async with told.log("other") as log:
        await put(log, replied(Usage(input_tokens=10, output_tokens=1), price=PRICE))
    rows: list[UsageRow | FailedTurn] = []
    for business in ("shop", "other"):
        async with told.log(business) as log:
            rows += [row async for row in read_usage(log)]

    async def all_rows():  # type: ignore[no-untyped-def] # as read_usage gives
        for row in rows:
            yield row

    report = await report_on(all_rows())
    assert by(report, "tenant") == {"shop": (11, 3872, usd(5350)), "other": (1, 11, usd(30))}


def replied(usage: Usage, price: object = None, **more: object) -> ModelReplied:
    told = price.to_json() if isinstance(price, Price) else price
    fields: dict[str, object] = {"price": told} | more
    return ModelReplied(
        text="",
        calls=(),
        usage=usage,
        provider="p",
        model="m",
        finish="stop",
        **fields,  # type: ignore[arg-type] # fields of it
    )


async def put(log: EventLog, *bodies: ModelReplied | Summarized) -> None:
    conversation = ConversationId("web:9")
    events = [Event(n, 1, HOUR_MS * n, body) for n, body in enumerate(bodies, 1)]
    await log.restore(Stored(conversation, len(events), 1, 1), events)


async def memory_report(
    *bodies: ModelReplied | Summarized, counter: DemandCounter | None = None
) -> Report:
    async with MemoryLog(business="shop") as log:
        await put(log, *bodies)
        return await report_on(read_usage(log), zone=UTC, counter=counter)


async def test_a_summary_is_a_task_of_its_own_and_one_by_rule_costs_nothing() -> None:
    by_model = Summarized(
        text="notes",
        covers_seq=1,
        provider="p",
        model="m",
        usage=Usage(input_tokens=1000, output_tokens=100),
        price=PRICE.to_json(),
    )
    report = await memory_report(by_model, Summarized(text="notes", covers_seq=2))
    assert by(report, "task") == {"summary": (1, 1100, usd(3000))}


async def test_a_cost_the_log_has_is_not_reckoned_again() -> None:
    usage = Usage(input_tokens=1000, cost_usd=Decimal("0.5"))
    report = await memory_report(replied(usage, price=PRICE))
    assert report.total.known_usd == Decimal("0.5")


async def test_flows_answer_without_a_model_and_are_no_requests(shop: Shop) -> None:
    file = shop.path.with_name("flow.yaml")
    file.write_text(
        "assistant: Test\nzone: Europe/Berlin\nregion: DE\ngreeting: Hello.\n"
        "disclosure: I am a machine.\ncontact: Call us.\n"
        "flows:\n  - flow: hello\n    title: Hello\n    triggers: [hello]\n"
        "    steps: [say: Hello.]\n"
    )
    shop.at("2026-11-02T10:00")
    async with Agent(provider=FlowProvider(file), log=shop.log()) as agent:
        await agent.send("hello", conversation="web:1")
    report = await report_of(shop)
    assert report.total.requests == 0
    assert report.answers_without_model == 1


async def test_flows_that_stood_in_for_models_are_told_apart() -> None:
    route = Route(data_class="personal", because="nobody is left", is_degraded=True)
    free = Usage(cost_usd=Decimal(0))
    report = await memory_report(replied(free, route=route.to_json()), replied(free))
    assert (report.degraded, report.answers_without_model) == (1, 2)
    assert "1 of them because" in " ".join(report_sections(report)[0].notes)


async def test_an_answer_of_unknown_cost_and_length_is_a_request_of_unknown_cost() -> None:
    report = await memory_report(replied(Usage(is_reported=False)))
    assert report.total.requests == 1
    assert report.total.cost_usd is None


async def test_a_free_own_machine_is_not_free_at_a_vendor() -> None:
    free = Price(input_usd=Decimal(0), output_usd=Decimal(0))
    report = await memory_report(replied(Usage(input_tokens=10, output_tokens=1), price=free))
    assert report.total.cost_usd == 0
    assert report.demand.unpriced_tokens == 11


async def test_what_an_own_machine_costs_is_not_what_a_vendor_asks() -> None:
    power = Price(input_usd=Decimal("0.1"), output_usd=Decimal("0.1"))
    vendor = Price(input_usd=Decimal(2), output_usd=Decimal(10))
    answer = replied(Usage(input_tokens=100, output_tokens=10), price=power)
    for managed, usd_per_million, unpriced in ((vendor, 300, 0), (None, 0, 110)):
        counter = DemandCounter(managed, own=answer.provider)
        report = await memory_report(answer, counter=counter)
        assert report.demand.managed_usd == Decimal(usd_per_million) / 10**6
        assert report.demand.unpriced_tokens == unpriced
        assert report.demand.unlabelled_tokens == 110
        assert report.demand.assumed_tokens == 0
    report = await memory_report(replied(Usage(input_tokens=9)), counter=DemandCounter(vendor))
    assert report.demand.assumed_tokens == 9


async def test_what_could_be_learned_from_has_an_answer_and_nothing_special() -> None:
    def row(conversation: str, data_class: DataClass, outcome: AttemptOutcome) -> UsageRow:
        return UsageRow(
            at_ms=0,
            business="b",
            conversation=conversation,
            provider="p",
            model="m",
            task="reply",
            usage=Usage(input_tokens=1),
            data_class=data_class,
            outcome=outcome,
        )

    maker = ReportMaker()
    told = []
    for one in (
        row("plain", "personal", "answered"),
        row("ill", "personal", "answered"),
        row("ill", "special", "answered"),
        row("down", "personal", "failed"),
        row("last", "internal", "answered"),
    ):
        maker.add(one)
        told.append(maker.report().learnable_conversations)
    assert told == [1, 2, 1, 1, 2]


@pytest.mark.parametrize(
    "damage",
    [
        {"price": {"input_usd": "1"}},
        {"price": PRICE.to_json() | {"input_usd": "much"}},
        {"route": {"data_class": "personal"}},
        {"route": "unknown"},
    ],
)
async def test_what_a_newer_version_wrote_is_refused(damage: dict[str, object]) -> None:
    with pytest.raises(StoreError):
        await memory_report(replied(Usage(), **damage))  # type: ignore[arg-type] # on purpose


async def test_older_logs_without_prices_and_routes_are_read() -> None:
    report = await memory_report(replied(Usage(input_tokens=7)), replied(Usage(output_tokens=5)))
    assert report.total == Spent(
        requests=2, input_tokens=7, output_tokens=5, unpriced_requests=2, unpriced_tokens=12
    )
    assert report.total.cost_usd is None
    assert report.cache.saved_usd is None


def test_a_sum_knows_what_it_does_not_know() -> None:
    spent = Spent()
    row = UsageRow(
        at_ms=0,
        business="b",
        conversation="c",
        provider="p",
        model="m",
        task="reply",
        usage=Usage(input_tokens=1, cost_usd=Decimal(3)),
    )
    spent.add(row)
    assert spent.cost_usd == 3
    spent.add(replace(row, usage=Usage(input_tokens=2)))
    assert (spent.cost_usd, spent.unpriced_requests, spent.unpriced_tokens) == (3, 1, 2)


@given(
    st.lists(
        st.builds(
            UsageRow,
            at_ms=st.integers(0, 10**11),
            business=st.sampled_from(["a", "b"]),
            conversation=st.sampled_from(["1", "2"]),
            provider=st.sampled_from(["p", "q", "r"]),
            model=st.sampled_from(["m", ""]),
            task=st.sampled_from(["reply", "summary"]),
            usage=st.one_of(
                st.none(),
                st.builds(
                    Usage,
                    input_tokens=st.integers(0, 10**6),
                    output_tokens=st.integers(0, 10**5),
                    cost_usd=st.one_of(st.none(), st.decimals(0, 100, places=6)),
                    is_reported=st.booleans(),
                ),
            ),
            outcome=st.sampled_from(["answered", "failed", "cut", "lost"]),
            data_class=st.sampled_from([None, "personal", "special"]),
        ),
        max_size=30,
    )
)
def test_every_table_sums_up_to_the_total(rows: list[UsageRow]) -> None:
    maker = ReportMaker(zone=UTC)
    for row in rows:
        maker.add(row)
    report = maker.report()
    total = report.total
    for groups in report.by.values():
        for name in Spent.__slots__:
            assert sum(getattr(one.spent, name) for one in groups) == getattr(total, name)
    assert sum(report.tokens_of_class.values()) == total.tokens == report.demand.tokens
    assert (
        sum((sum(one.values()) for one in report.spent_on.values()), Decimal(0)) == total.known_usd
    )
    hours = [hour for mine in report.demand.of_provider.values() for hour in mine.values()]
    assert sum(map(sum, hours)) == total.tokens
    assert report.coverage.priced_tokens + total.unpriced_tokens == total.tokens
    assert report.answers_without_model + total.requests == len(rows)
    assert sum(one.spent.requests for one in report.waste) <= total.requests


def test_what_is_kept_grows_with_names_and_hours_not_with_requests() -> None:
    maker = ReportMaker(zone=UTC)

    def add(count: int) -> None:
        for number in range(count):
            usage = Usage(input_tokens=number + 1, cost_usd=Decimal(number))
            maker.add(
                UsageRow(
                    at_ms=number % 48 * HOUR_MS,
                    business="b",
                    conversation=f"web:{number}",
                    provider="p",
                    model="m",
                    task="reply",
                    usage=usage,
                    price=PRICE,
                )
            )

    add(1000)
    tracemalloc.start()
    try:
        add(5000)
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert maker.report().total.requests == 6000
    assert grown < 100_000  # less than twenty bytes a request
