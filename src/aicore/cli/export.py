"""`aicore export --finetune`: conversations that a person has looked at, with personal data masked.

A review is a line of the reviews file: which conversation, up to which event, whether to use it,
by whom and when. A conversation that has gone on since is to be looked at again.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
from pydantic import BaseModel, ConfigDict, ValidationError

from aicore.agent.build import build_instructions, build_log
from aicore.agent.finetune import Example, example_of
from aicore.config import Settings, load
from aicore.costs.terminal import plain
from aicore.errors import ConfigError
from aicore.log.port import EventLog
from aicore.log.registry import file_of
from aicore.records import ConversationId

__all__ = ["run_export"]

_ANSWERS = {"y": True, "yes": True, "n": False, "no": False}


@dataclass(frozen=True, slots=True)
class _Found:
    conversation: ConversationId
    head: int
    example: Example


def run_export(options: argparse.Namespace) -> int:
    """Write the examples; with `--review`, ask about new ones first. Returns 0.

    Raises: ConfigError, StoreBusy, StoreError.
    """
    settings = load(options.config)
    _check_log(settings, options.config)
    if options.review and not sys.stdin.isatty():
        raise ConfigError(
            "--review asks a person, and nobody is at this terminal. Run it in one, or write the "
            "lines of the reviews file yourself: docs/finetune.md."
        )
    reviews = _Reviews(options.reviews, by=options.by)
    counts: Counter[str] = Counter()
    anyio.run(_export, settings, options, reviews, counts)
    _tell(options, counts)
    return 0


class _Review(BaseModel):
    model_config = ConfigDict(strict=True)

    conversation: str
    seq: int
    use: bool


class _Reviews:
    """Decisions of people, the last on each conversation up to an event."""

    def __init__(self, path: Path, *, by: str) -> None:
        self._path = path
        self._by = by
        self._decided: dict[tuple[str, int], bool] = {}
        if path.exists():
            self._read()

    def of(self, found: _Found) -> bool | None:
        """Whether to use it; None: nobody has decided on it as it is now."""
        return self._decided.get((found.conversation, found.head))

    def add(self, found: _Found, *, is_used: bool) -> None:
        """Keep a decision, on disk at once."""
        line = {
            "conversation": found.conversation,
            "seq": found.head,
            "use": is_used,
            "by": self._by,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        try:
            with self._path.open("ab+") as file:
                # The last line may have been written by hand, without an end.
                size = file.seek(0, os.SEEK_END)
                is_ended = not size or (file.seek(-1, os.SEEK_END) >= 0 and file.read(1) == b"\n")
                file.write((b"" if is_ended else b"\n") + json.dumps(line).encode() + b"\n")
        except OSError as error:
            raise ConfigError(f"{self._path} cannot be written: {error.strerror}.") from error
        self._decided[found.conversation, found.head] = is_used

    def _read(self) -> None:
        try:
            lines = self._path.read_text(encoding="utf-8").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{self._path} cannot be read: {error}.") from error
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                review = _Review.model_validate_json(line)
            except ValidationError as error:
                raise ConfigError(
                    f"{self._path}, line {number}: a review is a JSON object with conversation, "
                    "seq, and use, which is true or false."
                ) from error
            self._decided[review.conversation, review.seq] = review.use


def _check_log(settings: Settings, path: Path) -> None:
    url = settings.log.url if settings.log.path is None else str(settings.log.path)
    if url is None:
        raise ConfigError(f"{path} keeps no conversations. Set log.path or log.url.")
    file = file_of(url)
    if file is not None and not file.exists():
        raise ConfigError(f"There is no log {file} yet. Talk to the assistant first.")


async def _export(
    settings: Settings, options: argparse.Namespace, reviews: _Reviews, counts: Counter[str]
) -> None:
    instructions = build_instructions(settings)
    target: Path = options.finetune
    # Written beside it and moved into its place: a file that is there is a whole one.
    beside = target.with_name(f"{target.name}.part")
    try:
        with beside.open("w", encoding="utf-8") as file:
            async with build_log(settings) as log:
                ask = _asker(options)
                async for found in _examples(log, options, counts):
                    if await _is_used(found, reviews, ask, counts):
                        file.write(found.example.to_line(instructions) + "\n")
            file.flush()
            os.fsync(file.fileno())
        beside.replace(target)
    except OSError as error:
        raise ConfigError(f"{target} cannot be written: {error.strerror}.") from error
    finally:
        beside.unlink(missing_ok=True)


async def _examples(
    log: EventLog, options: argparse.Namespace, counts: Counter[str]
) -> AsyncIterator[_Found]:
    after: ConversationId | None = None
    while page := await log.conversations(after):
        for stored in page:
            events = await log.read(stored.conversation)
            example = await example_of(events, stored.conversation)
            if example is None:
                counts["unanswered"] += 1
            elif example.data_class == "special" and not options.special:
                counts["special"] += 1
            else:
                # What was read, not what the page said: it may have gone on since.
                yield _Found(stored.conversation, events[-1].seq, example)
        after = page[-1].conversation


async def _is_used(
    found: _Found, reviews: _Reviews, ask: Callable[[_Found], bool | None], counts: Counter[str]
) -> bool:
    decided = reviews.of(found)
    if decided is None:
        decided = await anyio.to_thread.run_sync(ask, found, abandon_on_cancel=True)
        if decided is not None:
            reviews.add(found, is_used=decided)
    counts[{None: "open", True: "used", False: "refused"}[decided]] += 1
    return decided is True


def _asker(options: argparse.Namespace) -> Callable[[_Found], bool | None]:
    """What asks a person about an example; None is no decision."""
    if not options.review:
        return lambda found: None
    has_left = False

    def ask(found: _Found) -> bool | None:
        nonlocal has_left
        if has_left:
            return None
        _show(found.example.messages)
        while True:
            try:
                word = input("Use it? [y]es, [n]o, [l]ater, [q]uit: ").strip().casefold()
            except EOFError:
                word = "q"
            if word in ("q", "quit"):
                has_left = True
            if word in _ANSWERS or word in ("l", "later", "q", "quit"):
                return _ANSWERS.get(word)

    return ask


def _show(messages: Any) -> None:
    print("-" * 72)
    for message in messages:
        # Text of a log must not steer the terminal.
        for line in f"{message['role']}: {message['content']}".split("\n"):
            print(plain(line))
        for call in message.get("tool_calls", ()):
            print(plain(f"  calls {call['function']['name']} {call['function']['arguments']}"))


_TOLD: Mapping[str, str] = {
    "used": "written to {file}",
    "refused": "refused by a reviewer",
    "open": "not reviewed yet, or gone on since: run again with --review",
    "special": "left out as special (health, money, faith): --special takes them in",
    "unanswered": "without any answered turn",
}


def _tell(options: argparse.Namespace, counts: Mapping[str, int]) -> None:
    for kind, words in _TOLD.items():
        if counts.get(kind) or kind == "used":
            print(f"{counts.get(kind, 0):6} {words.format(file=options.finetune)}")
