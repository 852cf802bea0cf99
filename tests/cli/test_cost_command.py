"""`aicore cost`: what it says of a log, with which exit code, and what it writes."""

from __future__ import annotations

import json
import re
import sqlite3
import xml.etree.ElementTree as ET
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import pytest

from aicore.cli import main
from aicore.costs.measuring import Level, Measurement
from aicore.log import Event, SQLiteLog, Stored
from aicore.log.events import MessageReceived, ModelReplied, ReplySent, TurnFailed
from aicore.models.port import Price
from aicore.models.prices import priced
from aicore.records import ConversationId, Principal, Usage

HOUR_MS = 3_600_000
BEGIN_MS = int(datetime(2026, 11, 2, tzinfo=UTC).timestamp() * 1000)
PRICE = Price(input_usd=Decimal("1"), output_usd=Decimal("10"), source="own", as_of="2026-11-01")
WORK = Usage(input_tokens=1_000_000, output_tokens=100_000)
OWNED = ("--box-usd-per-hour", "1", "--ops-hours-per-month", "10", "--ops-usd-per-hour", "50")


def replied(usage: Usage, provider: str = "rented", price: Price | None = PRICE) -> ModelReplied:
    return ModelReplied(
        text="secret words",
        calls=(),
        usage=priced(price, usage),
        provider=provider,
        model="m",
        finish="stop",
        price=None if price is None else price.to_json(),
    )


async def write(path: Path, answers: list[tuple[int, ModelReplied]]) -> None:
    """A conversation with answers at hours since the second of November."""
    async with SQLiteLog(path, business="shop") as log:
        events: list[Event] = []
        for hour, body in answers:
            turn = len(events) + 1
            said = MessageReceived(text="hello", principal=Principal("customer", "ann"))
            bodies = [said, body, ReplySent(text="secret words")]
            at_ms = BEGIN_MS + hour * HOUR_MS
            events += [Event(turn + n, turn, at_ms, one) for n, one in enumerate(bodies)]
        if events:
            stored = Stored(ConversationId("web:1"), len(events), 1, BEGIN_MS)
            await log.restore(stored, events)


def a_week(price: Price | None = PRICE, provider: str = "rented") -> list[tuple[int, ModelReplied]]:
    """100 hours of 2,000 seconds of a box, 10 of 6,000, the last of them hour 167."""
    once, thrice = WORK, Usage(input_tokens=3_000_000, output_tokens=300_000)
    hours = [(hour, replied(once, provider, price)) for hour in range(100)]
    return hours + [(hour, replied(thrice, provider, price)) for hour in (*range(100, 109), 167)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "aicore.toml").write_text(
        '[agent]\nzone = "UTC"\n[log]\npath = "talk.db"\nbusiness = "shop"\n'
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def cost(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["cost", *words])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def figures(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    assert cost("--json", *words) == 0
    return json.loads(capsys.readouterr().out)


def measured(folder: Path, **changed: object) -> str:
    data = {
        "provider": "box",
        "model": "m",
        "at": "2026-11-20T10:00:00Z",
        "tokens_per_s_out": 100.0,
        "tokens_per_s_in": 1000.0,
        "at_once": 8,
        "seconds": 60.0,
        "requests": 100,
        "errors": 0,
        "is_reported": True,
        "is_throughput": True,
        "is_complete": True,
        "levels": [{"refusals": ["only 3 answers came", "the server"]}, {"refusals": ["it"]}],
    }
    (folder / "measured.json").write_text(json.dumps(data | changed))
    return "measured.json"


def test_a_log_with_prices(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    anyio.run(write, folder / "talk.db", a_week())
    assert cost() == 0
    said = capsys.readouterr().out
    assert "$260.00" in said  # 100 x 2 + 10 x 6
    assert "rented" in said
    assert "own" in said
    assert "2026-11-08" in said
    assert "aicore measure" in said  # what is missing for a verdict
    assert "secret" not in said
    data = figures(capsys)
    assert data["report"]["total"]["cost_usd"] == "260"
    assert data["report"]["total"]["requests"] == 110
    assert data["economics"] is None
    assert len(data["refusals"]) == 2


def test_the_verdict_of_a_week_by_hand(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The table of tests/costs/test_economics.py, from a log: a vendor is cheapest."""
    anyio.run(write, folder / "talk.db", a_week())
    words = ("--measured", measured(folder), *OWNED)
    found = figures(capsys, *words)["economics"]
    assert found["refusals"] == []
    assert f"{Decimal(found['managed_usd']):.2f}" == "1129.76"
    hybrid = [f"{Decimal(one['hybrid_usd']):.2f}" for one in found["options"]]
    assert hybrid == ["1129.76", "1381.21", "2001.71", "2690.00"]
    assert found["best"]["choice"] == "managed"
    assert round(Decimal(found["break_even"][0]["tokens_per_day"])) == 22_241_096
    assert cost(*words) == 0
    said = capsys.readouterr().out
    assert "1,381.21" in said
    assert "22,241,096" in said
    assert "Cheapest: managed" in said


def test_own_machines_are_compared_with_the_vendor_named(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    anyio.run(write, folder / "talk.db", a_week(price=None, provider="box"))
    words = ("--measured", measured(folder), *OWNED)
    refused = figures(capsys, *words)
    assert [("managed-price" in one["remedy"]) for one in refused["refusals"]] == [True]
    assert refused["economics"]["best"] is None
    found = figures(capsys, *words, "--managed-price", "openai:gpt-5")
    # 130 million in at 1.25 and 13 million out at 10: 292.50 in 168 of 730 hours.
    assert f"{Decimal(found['economics']['managed_usd']):.2f}" == "1270.98"
    assert found["economics"]["best"]["choice"] == "managed"
    # The box was busy 260,000 of 604,800 s.
    assert f"{Decimal(found['own_machine']['busy']):.4f}" == "0.4299"
    assert f"{Decimal(found['own_machine']['idle_usd']):.2f}" == "95.78"
    assert cost(*words, "--managed-price", "openai:gpt-5") == 0
    assert "43.0%" in capsys.readouterr().out


def test_days_and_tables_are_chosen(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    anyio.run(write, folder / "talk.db", a_week())
    days = ("--since", "2026-11-03", "--until", "2026-11-04")
    assert figures(capsys, *days)["report"]["total"]["requests"] == 48
    assert cost(*days, "--by", "day") == 0
    said = capsys.readouterr().out
    assert re.search(r"2026-11-03 +24 .* \$48\.00 +50\.0%", said)
    assert "By provider" not in said


def test_several_businesses(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    anyio.run(write, folder / "talk.db", a_week())
    words = ("--business", "shop", "--business", "other")
    assert figures(capsys, *words)["report"]["total"]["requests"] == 110
    assert figures(capsys, "--business", "other")["report"]["total"]["requests"] == 0
    found = figures(capsys, "--url", "talk.db", "--business", "shop")
    assert found["report"]["demand"]["window_hours"] == 168


def test_a_log_without_prices_is_not_called_free(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    anyio.run(write, folder / "talk.db", [(0, replied(WORK, price=None))])
    assert cost("--svg", "cost.svg") == 0
    said = capsys.readouterr().out
    assert "unknown" in said
    assert "$0" not in said
    assert "0.0% of requests" in said
    ET.fromstring((folder / "cost.svg").read_text())


def test_an_empty_log_is_told_apart_from_none(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cost() == 2
    assert "talk.db" in capsys.readouterr().err
    assert not (folder / "talk.db").exists()
    anyio.run(write, folder / "talk.db", [])
    assert cost("--html", "cost.html", "--svg", "cost.svg", *OWNED) == 0
    assert "No model was asked" in capsys.readouterr().out
    assert figures(capsys)["report"]["first_ms"] is None


def test_failed_turns_are_told_even_where_nothing_else_is(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def fail() -> None:
        async with SQLiteLog(folder / "talk.db", business="shop") as log:
            event = Event(1, 1, BEGIN_MS, TurnFailed(code="policy_blocked", message="no"))
            await log.restore(Stored(ConversationId("web:1"), 1, 1, BEGIN_MS), [event])

    anyio.run(fail)
    assert cost() == 0
    assert "1 turn failed: policy_blocked" in capsys.readouterr().out


def test_a_page_and_charts_need_nothing_else_and_names_are_only_text(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = '<script>alert("x")</script>&\x1b[31m\x00'
    both = [*a_week(), (1, replied(WORK, provider=name))]
    anyio.run(write, folder / "talk.db", both)
    words = ("--measured", measured(folder), *OWNED, "--html", "cost.html", "--svg", "cost.svg")
    assert cost(*words) == 0
    assert "\x1b[31m" not in capsys.readouterr().out
    text = (folder / "cost.html").read_text()
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert not re.search(r"(src|href)=|url\(|@import|\x1b|\x00", text)
    assert re.findall(r"https?://[^\"]+", text) == ["http://www.w3.org/2000/svg"] * 2
    chart = ET.fromstring((folder / "cost.svg").read_text())
    bars = chart.findall(".//{http://www.w3.org/2000/svg}rect/{http://www.w3.org/2000/svg}title")
    told = [bar.text or "" for bar in bars]
    assert "2026-11-02 rented: $48.00" in told
    assert any("<script>" in one for one in told)
    assert "1 box, hybrid: " in "\n".join(told)
    assert not chart.findall(".//{http://www.w3.org/2000/svg}script")


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"tokens_per_s_out": 0}, "not above 0"),
        ({"tokens_per_s_out": -1}, "not above 0"),
        ({"tokens_per_s_in": 0}, "not above 0"),
        ({"tokens_per_s_out": "fast"}, "Run it again"),
        ({"tokens_per_s_out": None}, "only 3 answers came; the server; it"),
        ({"tokens_per_s_out": None, "levels": []}, "not finished"),
        ({"is_throughput": False}, "only 3 answers came; the server; it"),
        ({"tokens_per_s_out": None, "levels": 7}, "Run it again"),
        ({"tokens_per_s_out": float("nan")}, "not above 0"),
    ],
)
def test_a_measurement_that_is_none_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], changed: dict[str, object], word: str
) -> None:
    anyio.run(write, folder / "talk.db", a_week())
    assert cost("--measured", measured(folder, **changed)) == 2
    assert word in capsys.readouterr().err


def test_a_measurement_is_read_as_it_is_written(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    level = Level(
        at_once=4,
        requests=100,
        errors=0,
        seconds=60.0,
        input_tokens=60_000,
        cached_tokens=0,
        output_tokens=6000,
        is_reported=True,
        first_token_p50_s=0.1,
        first_token_p95_s=0.2,
        stream_rate=25.0,
        output_rate=100.0,
        input_rate=1000.0,
        reading_rate=1000.0,
        writing_rate=100.0,
    )
    taken = Measurement(provider="box", model="m", at="2026-11-20", levels=[level])
    (folder / "measured.json").write_text(json.dumps(taken.to_json()))
    anyio.run(write, folder / "talk.db", a_week())
    found = figures(capsys, "--measured", "measured.json", *OWNED)["economics"]
    assert f"{Decimal(found['options'][1]['hybrid_usd']):.2f}" == "1381.21"
    taken.levels = [replace(level, requests=10)]
    (folder / "measured.json").write_text(json.dumps(taken.to_json()))
    assert cost("--measured", "measured.json") == 2
    assert "only 10 answers came" in capsys.readouterr().err


def test_what_a_rule_keeps_here_sets_a_floor(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    special = replace(replied(WORK), data_class="special")
    anyio.run(write, folder / "talk.db", [*a_week(), (0, special)])
    words = ("--measured", measured(folder), *OWNED)
    # One provider and no rule: the owner has said that all goes there.
    assert figures(capsys, *words)["economics"]["floor_boxes"] == 0
    with (folder / "aicore.toml").open("a") as file:
        file.write("[privacy.special]\nlocal_only = true\n")
    found = figures(capsys, *words)["economics"]
    assert (found["floor_boxes"], found["is_managed_allowed"]) == (1, False)
    assert found["best"]["choice"] == "hybrid"
    # Without a configuration it is as if the rules were the careful ones.
    bare = figures(capsys, *words, "--url", "talk.db", "--business", "shop")["economics"]
    assert bare["floor_boxes"] == 1


def test_a_price_of_the_owners_is_what_a_vendor_asks(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    anyio.run(write, folder / "talk.db", a_week(price=None, provider="box"))
    with (folder / "aicore.toml").open("a") as file:
        file.write('[prices."acme:big"]\ninput_usd = "2"\noutput_usd = "20"\n')
    words = ("--measured", measured(folder), *OWNED, "--managed-price", "acme:big")
    managed_usd = figures(capsys, *words)["economics"]["managed_usd"]
    assert f"{Decimal(managed_usd):.2f}" == "2259.52"  # 520 in 168 of 730 hours


@pytest.mark.parametrize("text", ["", "[]", "{}", "no json", "[1, 2]", "\x00"])
def test_a_file_that_is_no_measurement_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    anyio.run(write, folder / "talk.db", [])
    (folder / "measured.json").write_text(text)
    assert cost("--measured", "measured.json") == 2
    assert "aicore measure" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "word"),
    [
        (("--measured", "nowhere.json"), "nowhere.json"),
        (("--managed-price", "gpt-5"), "vendor:model"),
        (("--managed-price", "openai:gpt-99"), "gpt-99"),
        (("--since", "2026-11-05", "--until", "2026-11-04"), "before"),
        (("--since", "yesterday"), "yesterday"),
        (("--box-usd-per-hour", "-1"), "-1"),
        (("--box-usd-per-hour", "nan"), "nan"),
        (("--ops-usd-per-hour", "many"), "many"),
        (("--html", "missing/cost.html"), "missing"),
        (("--config", "other.toml"), "other.toml"),
        (("--url", "mysql://127.0.0.1/shop"), "mysql"),
        (("--url", "unix://nowhere.sock"), "cannot be reached"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(
    folder: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], word: str
) -> None:
    anyio.run(write, folder / "talk.db", [(0, replied(WORK))])
    assert cost(*words) == 2
    told = capsys.readouterr().err
    assert word in told
    assert "Traceback" not in told


def test_a_configuration_that_keeps_nothing_says_so(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "aicore.toml").write_text("")
    assert cost() == 2
    assert "log.path" in capsys.readouterr().err


def test_a_newer_log_is_refused_and_left_as_it_was(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    anyio.run(write, folder / "talk.db", a_week())
    with closing(sqlite3.connect("talk.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA user_version = 99")
    before = (folder / "talk.db").read_bytes()
    assert cost() == 2
    assert "Upgrade aicore" in capsys.readouterr().err
    assert (folder / "talk.db").read_bytes() == before
