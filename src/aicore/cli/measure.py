"""`aicore measure`: how much a model server can do, as a table and as a file for `aicore cost`."""

from __future__ import annotations

import argparse
import json
import secrets
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import anyio

from aicore.agent.routing import build_members
from aicore.cli.screen import Screen
from aicore.config import load
from aicore.costs.measuring import Level, Load, Measurement, measure
from aicore.errors import ConfigError
from aicore.models.openai_compatible import OpenAICompatible
from aicore.models.port import Provider

__all__ = ["run_measure"]

_HEAD = "at once  answers  failed  first token p50/p95  tokens/s each  out    in     cached"


def run_measure(options: argparse.Namespace) -> int:
    """Measure, show and write. Returns 0, or 1 when nothing measured is a throughput.

    Interrupted, it shows and writes what was measured until then, marked incomplete.

    Raises: ConfigError; what a provider raises that does not answer at all.
    """
    if options.out is not None and not options.out.parent.is_dir():
        raise ConfigError(f"There is no folder {options.out.parent} for --out.")
    provider = _provider(options)
    _check_own(provider, is_paid=options.yes_this_costs_money)
    load = Load(
        at_once=options.at_once,
        seconds=options.seconds,
        prompt_tokens=options.prompt_tokens,
        output_tokens=options.output_tokens,
    )
    now = datetime.now(UTC).isoformat(timespec="seconds")
    measurement = Measurement(provider=provider.name, model="", at=now)
    screen = Screen()
    screen.line(f"{provider.name}: {load.seconds:g} s for each of {len(load.at_once)} levels")
    screen.line(_HEAD, style="dim")
    try:
        anyio.run(_measure, provider, load, measurement, screen)
    finally:  # also when interrupted
        _finish(measurement, screen, options.out)
    return 0 if measurement.best else 1


async def _measure(
    provider: Provider, load: Load, measurement: Measurement, screen: Screen
) -> None:
    async with provider:
        await measure(
            provider,
            load,
            measurement,
            clock=time.monotonic,
            seed=secrets.randbits(32),
            told=lambda level: screen.line(_line(level)),
        )


def _provider(options: argparse.Namespace) -> Provider:
    if options.base_url or options.model:
        if not (options.base_url and options.model) or options.provider:
            raise ConfigError("Give --base-url and --model together, and no --provider.")
        return OpenAICompatible(base_url=options.base_url, model=options.model)
    if not options.config.exists():
        raise ConfigError(
            f"{options.config} does not exist. Name one with --config, or a server with --base-url "
            "and --model."
        )
    providers = [member.provider for member in build_members(load(options.config))]
    names = ", ".join(one.name for one in providers)
    if options.provider:
        asked = (options.provider, f"masked:{options.provider}")
        providers = [one for one in providers if one.name in asked]
        if not providers:
            raise ConfigError(f"There is no provider {options.provider!r}. There are: {names}.")
    if len(providers) != 1:
        raise ConfigError(f"Say which one is measured, with --provider: {names}.")
    return providers[0]


def _check_own(provider: Provider, *, is_paid: bool) -> None:
    if provider.capabilities.locality == "managed" and not is_paid:
        raise ConfigError(
            f"{provider.name} is not on a machine of your own: each token is charged for. "
            "Say --yes-this-costs-money if that is meant."
        )


def _finish(measurement: Measurement, screen: Screen, out: Path | None) -> None:
    if not measurement.levels:
        return
    _conclude(measurement, screen)
    if out is not None:
        data = json.dumps(measurement.to_json(), indent=2) + "\n"
        try:
            out.write_text(data, encoding="utf-8")
        except OSError as exc:
            raise ConfigError(f"{out} cannot be written: {exc.strerror}.") from exc
        screen.line(f"Written to {out}.", style="dim")


def _conclude(measurement: Measurement, screen: Screen) -> None:
    if not measurement.is_complete:
        screen.line("Incomplete: it was stopped before all levels were measured.", style="red")
    best = measurement.best
    if best is not None:
        screen.line(f"Best: {best.output_rate:.1f} tokens/s in total, with {best.at_once} at once.")
        reading, writing = _per_token(best.reading_rate), _per_token(best.writing_rate)
        screen.line(f"Reading takes {reading}, writing {writing}.")
        return
    screen.line("No throughput:", style="bold")
    for reason in _reasons(measurement.levels):
        screen.line(f"  {reason}")


def _reasons(levels: Sequence[Level]) -> list[str]:
    return [f"{one.at_once} at once: {reason}." for one in levels for reason in one.refusals]


def _line(level: Level) -> str:
    cached = level.cached_tokens / level.input_tokens if level.input_tokens else 0.0
    times = f"{_seconds(level.first_token_p50_s)} / {_seconds(level.first_token_p95_s)}"
    mark = "" if level.is_reported else "~"
    each = "-" if level.stream_rate is None else f"{mark}{level.stream_rate:.1f}"
    return (
        f"{level.at_once:7}  {level.requests - level.errors:7}  {level.errors:6}  {times:>19}  "
        f"{each:>13}  {mark}{level.output_rate:<5.1f}  {mark}{level.input_rate:<5.0f}  {cached:.0%}"
    )


def _per_token(rate: float | None) -> str:
    return "no time" if rate is None else f"{1000 / rate:.3g} ms a token"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} s"
