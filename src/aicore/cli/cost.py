"""`aicore cost`: what models cost by the log, and whether owning them would be cheaper."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Collection, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from decimal import Decimal
from pathlib import Path
from shutil import get_terminal_size
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import anyio

from aicore.agent.routing import build_book, build_rules
from aicore.cli.screen import Screen
from aicore.config import Settings, load
from aicore.costs.demand import DemandCounter
from aicore.costs.drawing import cost_svg, spend_svg, totals_svg
from aicore.costs.economics import (
    Box,
    Case,
    Costs,
    Economics,
    Refusal,
    Utilisation,
    reckon,
    refusals,
    utilisation,
)
from aicore.costs.encoding import report_to_json
from aicore.costs.page import page
from aicore.costs.reading import read_usage
from aicore.costs.report import DIMENSIONS, Report, ReportMaker
from aicore.costs.terminal import section_lines, spend_lines
from aicore.costs.throughput import Throughput
from aicore.costs.wording import economics_sections, report_sections
from aicore.errors import ConfigError
from aicore.log.registry import file_of, open_log
from aicore.models.port import Price
from aicore.models.price_book import PriceBook
from aicore.records import DataClass

__all__ = ["Findings", "NoLogError", "read_findings", "run_cost"]

_SHOW_EVERY_S = 1.0
_CAREFUL: frozenset[DataClass] = frozenset({"special"})


def run_cost(options: argparse.Namespace) -> int:
    """Report on a log; changes nothing in it. Returns 0.

    Raises: ConfigError, StoreBusy, StoreError.
    """
    findings = read_findings(options)
    _write_files(options, findings)
    if options.json:
        data = report_to_json(findings.report, findings.economics, findings.used, findings.refusals)
        sys.stdout.write(json.dumps(data, indent=2) + "\n")
    else:
        _show(options, findings)
    return 0


def read_findings(
    options: argparse.Namespace, kept_here: Collection[DataClass | None] | None = None
) -> Findings:
    """Read a log and reckon with it. Raises as `run_cost`.

    `kept_here` are the classes of data that must not go to a vendor, with None those of requests
    without a class; None: as the configuration says.
    """
    place = _place(options)
    managed = _managed_price(options.managed_price, place.book)
    throughput = _throughput(options.measured)
    own = None if throughput is None else throughput.provider
    kept = place.kept_here if kept_here is None else kept_here
    counter = DemandCounter(managed, kept, own=own)
    maker = ReportMaker(zone=place.zone, counter=counter)
    anyio.run(_read, place, _window(options, place.zone), maker)
    return _findings(maker.report(), throughput, _costs(options))


class NoLogError(ConfigError):
    """There are no conversations to read."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Which log is read and for whom, and what its configuration says besides.

    `zone` is where days begin (None: as on this machine), `kept_here` are the classes of data
    that no rule lets go to a vendor.
    """

    url: str
    businesses: Sequence[str]
    zone: tzinfo | None
    book: PriceBook
    kept_here: Collection[DataClass]


@dataclass(frozen=True, slots=True)
class Findings:
    """A report, and what owning would cost; `refusals` say why that is not known."""

    report: Report
    economics: Economics | None
    used: Utilisation | None
    refusals: Sequence[Refusal]


def _place(options: argparse.Namespace) -> _Place:
    if options.url is not None:
        place = _Place(options.url, options.business or ["main"], None, PriceBook(), _CAREFUL)
    else:
        settings = load(options.config)
        url = settings.log.url if settings.log.path is None else str(settings.log.path)
        if url is None:
            raise NoLogError(
                f"{options.config} keeps no conversations, so nothing is known of their cost. "
                "Set log.path or log.url."
            )
        businesses = options.business or [settings.log.business]
        zone = _zone(settings.agent.zone)
        place = _Place(url, businesses, zone, build_book(settings), _kept_here(settings))
    file = file_of(place.url)
    if file is not None and not file.exists():
        raise NoLogError(f"There is no log {file} yet. Talk to the assistant first.")
    return place


def _kept_here(settings: Settings) -> Collection[DataClass]:
    rules = build_rules(settings).by_class.items()
    return [one for one, rule in rules if rule.localities and "managed" not in rule.localities]


def _zone(name: str | None) -> tzinfo | None:
    if name is None:
        return None
    try:
        return ZoneInfo(name)
    except (ValueError, ZoneInfoNotFoundError) as error:
        raise ConfigError(f"agent.zone {name!r} is not an IANA time zone.") from error


def _window(options: argparse.Namespace, zone: tzinfo | None) -> tuple[int, int | None]:
    since, until = options.since, options.until
    if since is not None and until is not None and until < since:
        raise ConfigError(f"--until {until} is before --since {since}.")
    begins_ms = 0 if since is None else _midnight_ms(since, zone)
    return begins_ms, None if until is None else _midnight_ms(until + timedelta(days=1), zone)


def _midnight_ms(day: date, zone: tzinfo | None) -> int:
    # Without a zone this is the machine's own, with its summer time.
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp() * 1000)


def _managed_price(name: str | None, book: PriceBook) -> Price | None:
    if name is None:
        return None
    vendor, _, model = name.partition(":")
    price = book.price(vendor, model)
    if price is None:
        raise ConfigError(
            f"No price is known for {name!r}. Write --managed-price as vendor:model, such as "
            "openai:gpt-5 or anthropic:claude-haiku-4-5, or give its price under [prices]."
        )
    return price


def _throughput(path: Path | None) -> Throughput | None:
    """What `aicore measure` wrote. Raises: ConfigError when it cannot be that."""
    if path is None:
        return None
    try:
        data = json.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise ConfigError(f"{path} is not what `aicore measure` writes.") from error
    try:
        return Throughput.from_json(data)
    except ConfigError as error:
        raise ConfigError(f"{path} holds {error}") from error


def _costs(options: argparse.Namespace) -> Costs:
    return Costs(
        box=Box(
            usd_per_hour=options.box_usd_per_hour,
            power_usd_per_month=options.power_usd_per_month,
            hardware_usd_per_month=options.hardware_usd_per_month,
        ),
        ops_hours_per_month=options.ops_hours_per_month,
        ops_usd_per_hour=options.ops_usd_per_hour,
    )


async def _read(place: _Place, window: tuple[int, int | None], maker: ReportMaker) -> None:
    since_ms, until_ms = window
    progress = _Progress()
    for business in place.businesses:
        async with open_log(place.url, business=business) as log:
            rows = read_usage(log, since_ms=since_ms, until_ms=until_ms)
            async with aclosing(rows):
                async for row in rows:
                    maker.add(row)
                    progress.tell()


class _Progress:
    """Says on stderr how far it is, once a second."""

    def __init__(self) -> None:
        self._screen = Screen(sys.stderr)
        self._rows = 0
        self._next_s = time.monotonic() + _SHOW_EVERY_S

    def tell(self) -> None:
        """Note one more."""
        self._rows += 1
        if time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + _SHOW_EVERY_S
            self._screen.line(f"{self._rows} requests read", style="dim")


def _findings(report: Report, throughput: Throughput | None, costs: Costs) -> Findings:
    demand = report.demand
    if not demand.tokens:
        return Findings(report, None, None, [])
    if throughput is None or not costs.box.month_usd:
        return Findings(report, None, None, refusals(demand, throughput, costs))
    case = Case(demand=demand, throughput=throughput, costs=costs)
    economics = reckon(case)
    return Findings(report, economics, utilisation(case), economics.refusals)


def _sections(options: argparse.Namespace, findings: Findings) -> list[Any]:
    dimensions = DIMENSIONS if options.by is None else (options.by,)
    sections = report_sections(findings.report, dimensions)
    if findings.economics is None and not findings.refusals:
        return sections
    return sections + economics_sections(findings.economics, findings.used, findings.refusals)


def _show(options: argparse.Namespace, findings: Findings) -> None:
    screen = Screen()
    for section in _sections(options, findings):
        title, *lines = list(section_lines(section))[1:]
        screen.line()
        screen.line(title, style="bold")
        for line in lines:
            screen.line(line)
    columns = {"columns": get_terminal_size().columns} if sys.stdout.isatty() else {}
    for line in spend_lines(findings.report, **columns):
        screen.line(line)
    screen.line()


def _write_files(options: argparse.Namespace, findings: Findings) -> None:
    report, economics = findings.report, findings.economics
    if options.html is not None:
        charts = [spend_svg(report)]
        charts += [] if economics is None else [totals_svg(economics)]
        _write(options.html, page(_sections(options, findings), charts))
    if options.svg is not None:
        _write(options.svg, cost_svg(report, economics))


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}.") from error
