"""`aicore models`: which models can be reached from here, and the systems that are known."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from aicore.agent.routing import build_book
from aicore.config import Settings, load
from aicore.errors import AicoreError, CredentialError
from aicore.models.http_model import HTTPModel
from aicore.models.in_process_header import read_header
from aicore.models.locality import is_passed_on
from aicore.models.port import Price, Provider
from aicore.models.price_book import PriceBook
from aicore.models.registry import open_provider
from aicore.models.survey import Asking, Listed, Listing, asking_of, local_systems, survey
from aicore.models.systems.profiles import known_systems
from aicore.models.systems.quirks import QUIRKS

__all__ = ["run_models"]

_NO_MODELS = ("auto", "flows")
_USUAL_CONFIG = Path("aicore.toml")
_HEADS = ("NAME", "SYSTEM", "MODEL", "CONTEXT", "$/M IN, OUT", "WHERE", "ANSWERS")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """One model. `name` is its name in the configuration, "" for what was only found running.

    `answers` is None where nothing was asked, `error` says why it does not.
    """

    name: str = ""
    system: str
    model: str = ""
    url: str = ""
    context_tokens: int | None = None
    most_tokens: int | None = None
    price: Price | None = None
    locality: str = "local"
    region: str | None = None
    vendor: str | None = None
    answers: bool | None = None
    error: str = ""


def run_models(options: argparse.Namespace) -> int:
    """List what is reachable, or with `--systems` what is known. Asks no model anything.

    That there is none is no fault: what runs on this machine is listed all the same. One that was
    named has to be there. Returns 0. Raises: ConfigError.
    """
    config: Path = options.config
    if options.systems:
        _write(_systems(), _system_lines(), as_json=options.json)
        return 0
    is_there = config != _USUAL_CONFIG or config.exists()
    settings = load(config) if is_there else Settings()
    rows = anyio.run(_rows, settings)
    _write([_as_json(row) for row in rows], _table(rows), as_json=options.json)
    return 0


async def _rows(settings: Settings) -> list[_Row]:
    named = settings.providers or ({"": settings.provider} if settings.provider else {})
    book = await anyio.to_thread.run_sync(_loaded_book, settings)
    configured = [_configured(name, fields, book) for name, fields in named.items()]
    asked = [(place, asking) for place, (_, asking) in enumerate(configured) if asking is not None]
    taken = {_origin(asking) for _, asking in asked}
    found = [one for one in local_systems() if one.origin not in taken]
    listings = await survey([*(asking for _, asking in asked), *found])
    rows = [row for row, _ in configured]
    others: list[_Row] = []
    for (place, asking), listing in zip(asked, listings, strict=False):
        rows[place] = _answered(rows[place], asking, listing)
        if asking.is_own and rows[place].locality != "managed":
            others += _found(asking, listing, book)
    for asking, listing in zip(found, listings[len(asked) :], strict=True):
        others += _found(asking, listing, book)
    return [*rows, *_not_named(others, rows)]


def _not_named(found: Sequence[_Row], named: Sequence[_Row]) -> list[_Row]:
    """What runs here, each once, without what the configuration names."""
    unique = {(row.url, row.model): row for row in found}
    return [
        row
        for row in unique.values()
        if not any(row.url == one.url and _is_same(row.model, one.model) for one in named)
    ]


def _origin(asking: Asking) -> str:
    return asking.origin.replace("//localhost:", "//127.0.0.1:")


def _loaded_book(settings: Settings) -> PriceBook:
    book = build_book(settings)
    book.price("openai", "gpt-5")  # reads its data, which takes a moment
    return book


def _configured(
    name: str, fields: Mapping[str, Any], book: PriceBook
) -> tuple[_Row, Asking | None]:
    """A provider of the configuration, and how its server is asked, if it has one."""
    settings = {key: one for key, one in fields.items() if key not in ("kind", "at_once")}
    kind = str(fields.get("kind", "auto"))
    row = _Row(name=name or "(the provider)", system=kind, model=str(fields.get("model", "")))
    if kind in _NO_MODELS:
        return replace(row, locality="in_process"), None
    try:
        provider = open_provider(kind, settings)
    except AicoreError as error:
        profile = known_systems().get(kind)
        where = "managed" if profile is not None and profile.locality != "by-host" else "unknown"
        text = str(error).replace("provider.", f"providers.{name}.", 1) if name else str(error)
        return replace(row, locality=where, answers=False, error=text), None
    row = _with_facts(row, provider, book)
    if not isinstance(provider, HTTPModel):
        return _with_file(row, Path(str(fields.get("path", "")))), None
    asking = asking_of(kind, provider)
    origin = "/".join(provider.site.url.split("/", 3)[:3])
    return replace(row, model=provider.model, url=origin), asking


def _with_facts(row: _Row, provider: Provider, book: PriceBook) -> _Row:
    facts = provider.capabilities
    vendor = facts.vendor if facts.locality == "managed" else None
    return replace(
        row,
        context_tokens=facts.context_tokens,
        price=facts.price or book.price(vendor, row.model),
        locality=facts.locality,
        region=facts.region,
        vendor=facts.vendor,
    )


def _with_file(row: _Row, path: Path) -> _Row:
    """A model in this process: whether its file is one is all that is looked at."""
    row = replace(row, model=path.name)
    try:
        return replace(row, answers=True, most_tokens=read_header(path).trained_tokens)
    except AicoreError as error:
        return replace(row, answers=False, error=str(error))


def _answered(row: _Row, asking: Asking, listing: Listing) -> _Row:
    if listing.error is not None:
        return replace(row, answers=False, error=str(listing.error))
    mine = [one for one in listing.models if _is_same(one.model, row.model)]
    if not mine:
        # The lists of vendors leave out deployments and fine-tuned models.
        if row.locality == "managed" or not asking.is_own:
            return replace(row, answers=True)
        has = ", ".join(one.model for one in listing.models[:5]) or "none for chat"
        error = f"{asking.origin} has no model {row.model!r}. It has: {has}."
        return replace(row, answers=False, error=error)
    return replace(
        row,
        answers=True,
        context_tokens=row.context_tokens or mine[0].context_tokens,
        most_tokens=mine[0].most_tokens,
    )


def _is_same(listed: str, asked: str) -> bool:
    # Ollama lists a model that was named without a tag as NAME:latest.
    return listed == asked or listed == f"{asked}:latest"


def _found(asking: Asking, listing: Listing, book: PriceBook) -> list[_Row]:
    """What runs here and no configuration names."""
    if isinstance(listing.error, CredentialError):
        error = "It wants a key. Name it in a configuration, with api_key_env."
        return [_Row(system="openai-compatible", url=asking.origin, answers=False, error=error)]
    kind = listing.kind or "openai-compatible"
    return [
        _Row(
            system=kind,
            model=one.model,
            url=asking.origin,
            context_tokens=one.context_tokens,
            most_tokens=one.most_tokens,
            price=book.price(None, one.model),
            locality=_locality(kind, one),
            answers=True,
        )
        for one in listing.models
    ]


def _locality(kind: str, one: Listed) -> str:
    """As the provider would say: a program of this machine may pass text on."""
    if kind not in known_systems():
        return "managed" if is_passed_on(one.model) else "local"
    return open_provider(kind, {"model": one.model}).capabilities.locality


# Output


def _as_json(row: _Row) -> dict[str, Any]:
    return {**asdict(row), "price": row.price.to_json() if row.price else None}


def _table(rows: Sequence[_Row]) -> list[str]:
    if not rows:
        return [
            "No model is configured, and none runs on this machine. `aicore models --systems` "
            "lists what is known, with how to start it."
        ]
    lines = [_HEADS, *(_cells(row) for row in rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(_HEADS))]
    shown = []
    for at, line in enumerate(lines):
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        shown.append("  ".join(cells).rstrip())
        if at and rows[at - 1].error:
            shown.append(f"    {_printable(rows[at - 1].error)}")
    return shown


def _cells(row: _Row) -> tuple[str, ...]:
    answers = {None: "not asked", True: "yes", False: "no"}[row.answers]
    where = row.locality if row.region is None else f"{row.locality} ({row.region})"
    cells = (row.name, row.system, row.model, _context(row), _price(row), where, answers)
    return tuple(_printable(cell) or "-" for cell in cells)


def _context(row: _Row) -> str:
    if row.context_tokens is not None:
        return f"{row.context_tokens:,}"
    return "unknown" if row.most_tokens is None else f"at most {row.most_tokens:,}"


def _price(row: _Row) -> str:
    if row.system in _NO_MODELS:
        return "free"
    return "unknown" if row.price is None else f"{row.price.input_usd}, {row.price.output_usd}"


def _systems() -> list[dict[str, Any]]:
    return [
        {**asdict(one), "quirks": {name: QUIRKS[name] for name in one.quirks}}
        for one in known_systems().values()
    ]


def _system_lines() -> list[str]:
    lines = []
    for one in known_systems().values():
        needs = f", key in {one.key_variable}" if one.key == "required" else ""
        lines.append(f"{one.kind}: {one.title}, {one.base_url}{needs}")
        lines += [f"    {line}" for line in one.start]
    return [*lines, "", "Only the bytes on the wire were tried, unless docs/systems.md says more."]


def _write(data: Any, lines: Sequence[str], *, as_json: bool) -> None:
    text = json.dumps(data, ensure_ascii=False, indent=2) if as_json else "\n".join(lines)
    sys.stdout.write(text + "\n")


def _printable(text: str) -> str:
    """Names come from servers, which must not steer the terminal."""
    return "".join(char if char.isprintable() else "?" for char in text)
