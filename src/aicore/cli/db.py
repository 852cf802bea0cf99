"""`aicore db`: migrate, copy, back up, restore and check where conversations are kept."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import anyio

from aicore.agent.build import build_memory
from aicore.cli.screen import Screen
from aicore.config import Settings, load
from aicore.databases.sqlite_backup import (
    ask,
    back_up,
    check_sound,
    file_version,
    fold,
    new_file,
    put_back,
)
from aicore.databases.sqlite_file import SQLiteFile
from aicore.errors import ConfigError, StoreError
from aicore.log.copying import Copied, check_log, copy_log
from aicore.log.registry import file_of, open_log
from aicore.log.sqlite import SQLiteLog
from aicore.log.sqlite_schema import SCHEMA

__all__ = ["run_db"]

_HOLDS = "SELECT 1 FROM conversation WHERE head > 0"
_BUSINESSES = "SELECT DISTINCT business FROM conversation WHERE head > 0 ORDER BY business"
_SHOW_EVERY_S = 1.0


def run_db(options: argparse.Namespace) -> int:
    """Do one part of the command. Returns 0, or 1 when something is left or does not fit.

    Raises: ConfigError, StoreBusy, StoreError.
    """
    return anyio.run(_PARTS[options.part], options)


@dataclass(frozen=True, slots=True)
class _Place:
    """A store that the command works on. `file` is None for one on a server."""

    url: str
    business: str
    file: SQLiteFile | None
    settings: Settings | None

    @property
    def name(self) -> str:
        """What messages call it: no more of a url than its kind."""
        return str(self.file.path) if self.file else self.url.partition(":")[0]


def _place(options: argparse.Namespace) -> _Place:
    if options.url is not None:
        return _placed(options.url, options.business or "main", None)
    settings = load(options.config)
    url = settings.log.url if settings.log.path is None else str(settings.log.path)
    if url is None:
        raise ConfigError(f"{options.config} keeps no conversations. Set log.path or log.url.")
    return _placed(url, options.business or settings.log.business, settings)


def _placed(url: str, business: str, settings: Settings | None) -> _Place:
    path = file_of(url)
    file = None if path is None else SQLiteFile(path, SCHEMA)
    return _Place(url, business, file, settings)


async def _migrate(options: argparse.Namespace) -> int:
    place, screen = _place(options), Screen()
    before = file_version(place.file) if place.file else None
    async with open_log(place.url, business=place.business):
        pass
    if before is None:
        screen.line(f"log, {place.name}: at this program's version")
    else:
        screen.line(f"log, {place.name}: version {before} -> {SCHEMA.version}")
    if place.settings is not None:
        await _migrate_memory(place.settings, screen)
    return 0


async def _migrate_memory(settings: Settings, screen: Screen) -> None:
    rules_only = settings.memory.model_copy(update={"extract": "rules"})
    memory = build_memory(settings.model_copy(update={"memory": rules_only}), None)
    if memory is not None:
        async with memory.store:
            pass
        screen.line("memory: at this program's version")


async def _copy(options: argparse.Namespace) -> int:
    business = options.business
    if business is None:
        business = load(options.config).log.business if options.config.exists() else "main"
    source = _placed(options.source, business, None)
    _check_exists(source)
    async with (
        open_log(source.url, business=business) as original,
        open_log(options.target, business=business) as target,
    ):
        copied = await copy_log(
            original, target, erased=options.erased, tell=_Progress("copied").tell
        )
    _show_copied(copied)
    return 1 if copied.busy else 0


async def _back_up(options: argparse.Namespace) -> int:
    place = _place(options)
    if place.file is not None:
        await anyio.to_thread.run_sync(back_up, place.file, options.file)
    else:
        _show_copied(await _back_up_server(place, options.file))
    Screen().line(f"{place.name} is backed up to {options.file}")
    return 0


async def _back_up_server(place: _Place, path: Path) -> Copied:
    with new_file(path) as partial:
        async with (
            open_log(place.url, business=place.business) as log,
            SQLiteLog(partial, business=place.business) as backup,
        ):
            copied = await copy_log(log, backup, claims=False, tell=_Progress("backed up").tell)
        if not copied.conversations:
            raise StoreError(
                f"{place.name} holds no conversations of {place.business!r}: nothing is backed "
                "up. Name another business with --business."
            )
        await anyio.to_thread.run_sync(fold, SQLiteFile(partial, SCHEMA))
    return copied


async def _restore(options: argparse.Namespace) -> int:
    place, screen = _place(options), Screen()
    if place.file is None:
        return await _restore_server(place, options)
    kept = put_back(place.file, options.file, holds=_HOLDS, replaces=options.replace)
    if kept is not None:
        screen.line(f"what was there is now {kept}")
    screen.line(f"{options.file} is restored to {place.name}")
    return 0


async def _restore_server(place: _Place, options: argparse.Namespace) -> int:
    if options.replace:
        raise ConfigError("--replace is for files only. Restore into an empty database.")
    screen = Screen()
    _check_exists(_placed(str(options.file.absolute()), place.business, None))
    held = {row[0] for row in ask(SQLiteFile(options.file, SCHEMA), _BUSINESSES)}
    others = ", ".join(sorted(map(repr, held - {place.business})))
    if others and place.business not in held:
        screen.line(
            f"{options.file} holds conversations of {others}, and none of {place.business!r}: "
            "nothing is restored. Name the business with --business.",
            style="bold",
        )
        return 1
    async with (
        SQLiteLog(options.file, business=place.business) as backup,
        open_log(place.url, business=place.business) as log,
    ):
        _show_copied(await copy_log(backup, log, claims=False, tell=_Progress("restored").tell))
    screen.line(f"{options.file} is restored to {place.name}")
    if others:
        screen.line(f"It also holds conversations of {others}: --business restores them.")
    return 0


async def _check(options: argparse.Namespace) -> int:
    place, screen = _place(options), Screen()
    _check_exists(place)
    if place.file is not None:
        await anyio.to_thread.run_sync(check_sound, place.file)
    async with open_log(place.url, business=place.business) as log:
        checked = await check_log(log, _Progress("read").tell)
    for conversation in checked.faulty:
        screen.line(f"FAIL  {conversation}: its events do not fit together", style="red")
    screen.line(f"{checked.conversations} conversations, {checked.events} events")
    return 1 if checked.faulty else 0


def _check_exists(place: _Place) -> None:
    """Opening a log makes its file: a slip of the pen must not look like an empty log."""
    if place.file is not None and not place.file.path.exists():
        raise ConfigError(f"There is no log {place.file.path}. Name an existing one.")


def _show_copied(copied: Copied) -> None:
    screen = Screen()
    screen.line(f"{copied.conversations} conversations, {copied.events} events copied, compared")
    if copied.busy:
        screen.line(
            f"{copied.busy} are in use by an agent: stop it, or wait, and run this again",
            style="bold",
        )


class _Progress:
    """Says on stderr how far it is, once a second."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._screen = Screen(sys.stderr)
        self._next_s = time.monotonic() + _SHOW_EVERY_S

    def tell(self, conversations: int, events: int) -> None:
        """Note where it is."""
        if time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + _SHOW_EVERY_S
            line = f"{conversations} conversations, {events} events {self._what}"
            self._screen.line(line, style="dim")


_PARTS = {
    "migrate": _migrate,
    "copy": _copy,
    "backup": _back_up,
    "restore": _restore,
    "check": _check,
}
