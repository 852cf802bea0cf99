"""`aicore memory`: see, correct and forget what is remembered."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

import anyio

from aicore.agent.build import build_log, build_memory
from aicore.agent.routing import build_vaults
from aicore.cli.screen import Screen, ask_line
from aicore.config import Settings, load
from aicore.errors import ConfigError
from aicore.log.events import MessageReceived, ReplySent
from aicore.log.port import EventLog
from aicore.memory.memory import Memory
from aicore.memory.port import Entry
from aicore.trust.vault import Vaults

__all__ = ["run_memory"]


def run_memory(options: argparse.Namespace) -> int:
    """Do one part of the command. Returns the exit code.

    Raises: ConfigError when there is no memory; CustomerError for what is not there; StoreBusy,
    StoreError.
    """
    return anyio.run(_run, options)


async def _run(options: argparse.Namespace) -> int:
    settings = load(options.config)
    async with AsyncExitStack() as stack:
        log = await stack.enter_async_context(build_log(settings))
        memory = await stack.enter_async_context(_memory(settings, options.config))
        vaults = None
        if settings.privacy.vault is not None:
            vaults = await stack.enter_async_context(build_vaults(settings))
        desk = _Desk(memory, log, Screen(), vaults)
        if options.part == "list":
            return await desk.show_all(options.subject)
        if options.part == "show":
            return await desk.show_one(options.id)
        if options.part == "correct":
            return await desk.correct(options.id, options.text)
        if options.part == "ingest":
            return await desk.ingest(options.folder)
        if options.subject is not None and not options.id:
            return await desk.forget_all(options.subject, is_sure=options.yes)
        if options.id and options.subject is None:
            return await desk.forget(options.id)
    raise ConfigError("Give the ids to forget, or --subject and nothing else.")


def _memory(settings: Settings, config: Path) -> Memory:
    rules_only = settings.memory.model_copy(update={"extract": "rules"})
    memory = build_memory(settings.model_copy(update={"memory": rules_only}), None)
    if memory is None:
        raise ConfigError(f'{config} names no memory. Add [memory] with path = "memory.db".')
    return memory


class _Desk:
    """What a member of staff does with a memory, shown on a screen."""

    def __init__(
        self, memory: Memory, log: EventLog, screen: Screen, vaults: Vaults | None
    ) -> None:
        self._vaults = vaults
        self._memory = memory
        self._log = log
        self._screen = screen

    async def show_all(self, subject: str | None) -> int:
        """Show everybody, or all of one."""
        if subject is not None:
            entries = await self._memory.entries(subject)
            for entry in entries:
                self._say(_line(entry))
            if not entries:
                self._say(f"Nothing is remembered of {subject}.")
            return 0
        subjects = await self._memory.subjects()
        for one in subjects:
            entries = await self._memory.entries(one)
            facts = sum(entry.kind == "fact" and entry.valid_to_ms is None for entry in entries)
            hold = "1 fact that holds" if facts == 1 else f"{facts} facts that hold"
            self._say(f"{one}  {len(entries)} {_entries(len(entries))}, {hold}")
        if not subjects:
            self._say("Nothing is remembered yet.")
        return 0

    async def show_one(self, entry_id: str) -> int:
        """Show one entry, its event in the log, and what it replaced or was replaced by."""
        subject, entry = await self._found(entry_id)
        self._say(_line(entry))
        self._say(f"  of {subject}; {entry.data_class}; topic: {entry.topic or 'none'}")
        said = await self._event_text(entry)
        if said is not None:
            self._say(f"  in the log: {said}")
        for other in await self._chain(subject, entry):
            self._say(f"  {_line(other)}")
        return 0

    async def correct(self, entry_id: str, text: str) -> int:
        """Put a text in the place of a fact."""
        subject, _ = await self._found(entry_id)
        now_ms = time.time_ns() // 1_000_000
        later = await self._memory.correct(subject, entry_id, text, now_ms=now_ms)
        self._say(_line(later))
        return 0

    async def ingest(self, folder: Path) -> int:
        """Read documents, and say what of them could not be read."""
        done = await self._memory.ingest(folder)
        self._say(
            f"{done.added} passages added, {done.ended} deleted, {done.unchanged} as they were."
        )
        for problem in done.problems:
            self._say(f"{problem.document} {problem.reason}")
        return 1 if done.problems else 0

    async def forget(self, ids: Sequence[str]) -> int:
        """Delete single entries, and say what else repeats them."""
        found = [await self._found(one) for one in ids]
        count = 0
        for subject in sorted({subject for subject, _ in found}):
            mine = [entry.id for owner, entry in found if owner == subject]
            count += await self._memory.forget(subject, mine)
        self._say(
            f"Deleted {count} entries with their words and vectors: facts with the messages they "
            "come from and all that repeats them, messages with the facts in them. "
            "They are not learned again."
        )
        self._say(
            "The log still has the messages, and their conversations show them. `aicore memory "
            "forget --subject` deletes conversations as well."
        )
        for subject in sorted({subject for subject, _ in found}):
            gone = [entry for owner, entry in found if owner == subject]
            for entry in await self._memory.repeating(subject, gone):
                self._say(f"It is still said in {_line(entry)}")
        return 0

    async def forget_all(self, subject: str, *, is_sure: bool) -> int:
        """Delete somebody, after asking."""
        if not is_sure and not await self._confirmed(subject):
            self._say("Nothing was deleted.")
            return 1
        forgotten = await self._memory.forget_all(subject, self._log, vaults=self._vaults)
        if not (forgotten.entries or forgotten.conversations or forgotten.held):
            self._say(
                f"Nothing is remembered of {subject}, and nobody of that name has spoken. "
                "`aicore memory list` names everybody."
            )
            return 1
        self._say(
            f"Deleted of {subject}: {forgotten.entries} entries of the memory (facts, episodes, "
            f"their words and vectors) and {forgotten.conversations} conversations of the log "
            "(messages, replies, summaries, tool results, approvals)."
        )
        for conversation in forgotten.held:
            self._say(f"Not deleted: {conversation}, which a running program holds right now.")
        if forgotten.held:
            self._say("Do it again when its turn is over.")
        return 1 if forgotten.held else 0

    async def _confirmed(self, subject: str) -> bool:
        question = f"Delete all that is remembered of {subject}, and their conversations? [y/N] "
        answer = await ask_line(question)
        return (answer or "").strip().lower() in {"y", "yes"}

    async def _found(self, entry_id: str) -> tuple[str, Entry]:
        found = await self._memory.find(entry_id)
        if found is None:
            raise ConfigError(
                f"There is no entry {entry_id}. `aicore memory list --subject WHO` names them."
            )
        return found

    async def _chain(self, subject: str, entry: Entry) -> list[Entry]:
        """The other facts of its topic, oldest first."""
        if not entry.topic:
            return []
        return [
            one
            for one in await self._memory.entries(subject)
            if one.topic == entry.topic and one.kind == entry.kind and one.id != entry.id
        ]

    async def _event_text(self, entry: Entry) -> str | None:
        source = entry.source
        if source.conversation is None:
            return None
        events = await self._log.read(source.conversation, source.seq - 1)
        body = events[0].body if events and events[0].at_ms == entry.at_ms else None
        is_text = isinstance(body, MessageReceived | ReplySent)
        return body.text if is_text else "it is not there any more"  # type: ignore[union-attr]

    def _say(self, text: str) -> None:
        self._screen.line("".join(char if char.isprintable() else " " for char in text))


def _entries(count: int) -> str:
    return "entry" if count == 1 else "entries"


def _line(entry: Entry) -> str:
    until = "" if entry.valid_to_ms is None else f" to {_day(entry.valid_to_ms)}"
    instead = f", then {entry.superseded_by}" if entry.superseded_by else ""
    source = entry.source
    place = f" in {source.conversation} #{source.seq}" if source.conversation is not None else ""
    place += f" in {source.document} {source.place}".rstrip() if source.document else ""
    return (
        f"{entry.id}  {entry.kind}  {_day(entry.valid_from_ms)}{until}{instead}  "
        f"[{source.said_by}{place}]  {entry.text}"
    )


def _day(at_ms: int) -> str:
    try:
        return datetime.fromtimestamp(at_ms / 1000, UTC).date().isoformat()
    except (OverflowError, OSError, ValueError):
        return f"{at_ms} ms"
