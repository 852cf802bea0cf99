"""Somebody forgotten with every conversation: what breaks off half way can be done again."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import anyio
import pytest

from aicore import Agent, Principal
from aicore.errors import StoreBusy
from aicore.log import MemoryLog
from aicore.log.port import Claim
from aicore.memory.memory import Memory, MemoryLimits
from aicore.memory.port import Namespace
from aicore.memory.sqlite import SQLiteMemory
from aicore.models import ScriptedProvider

ANN, EVE = Principal("customer", "ann"), Principal("customer", "eve")
BOB = Principal("staff", "bob")
LATE = Principal("staff", "late")


class Breaking(SQLiteMemory):
    """A store that breaks when it is to delete for the `breaks_at`th time, before or after."""

    breaks_at = 0
    is_done_first = False

    async def forget(self, namespace: Namespace, ids: Collection[str]) -> int:
        self._break(is_before=True)
        count = await super().forget(namespace, ids)
        self._break(is_before=False)
        return count

    async def erase(self, namespace: Namespace) -> int:
        self._break(is_before=True)
        count = await super().erase(namespace)
        self._break(is_before=False)
        return count

    def _break(self, *, is_before: bool) -> None:
        if is_before == self.is_done_first:
            return
        self.breaks_at -= 1
        if self.breaks_at == 0:
            raise StoreBusy("broken off")


class BreakingLog(MemoryLog):
    """A log that breaks when a second conversation is to be deleted."""

    is_whole = False
    count = 0

    async def erase(self, claim: Claim) -> None:
        self.count += 1
        if self.count == 2 and not self.is_whole:
            self.is_whole = True
            raise RuntimeError("killed")
        await super().erase(claim)


async def tell(log: MemoryLog, memory: Memory) -> None:
    provider = ScriptedProvider(["Ok."] * 20)
    async with Agent(provider=provider, log=log, memory=memory) as agent:
        for conversation, who, text in (
            ("web:1", ANN, "Hello there"),
            ("web:1", BOB, "Ann Zorbulak owes us 4000 EUR."),
            ("web:1", BOB, "Two"),
            ("web:1", BOB, "Three"),
            ("web:2", ANN, "Hello again"),
            ("web:2", LATE, "Is that Ann Zorbulak?"),
            ("web:3", EVE, "I am Eve."),
            ("web:3", BOB, "Welcome, Eve."),
        ):
            await agent.send(text, conversation=conversation, principal=who)
        with anyio.fail_after(10):
            await memory.settled()


async def all_texts(memory: Memory) -> str:
    texts = [
        f"{subject} {entry.text} {entry.context}"
        for subject in await memory.subjects()
        for entry in await memory.entries(subject)
    ]
    return "\n".join(texts)


def remembering(store: SQLiteMemory, quiet_s: float = 600.0) -> Memory:
    return Memory(store, limits=MemoryLimits(quiet_s=quiet_s))


@pytest.mark.parametrize("is_done_first", [False, True])
@pytest.mark.parametrize("breaks_at", [1, 2, 3, 4, 5, 6])
async def test_broken_off_anywhere_and_done_again_nobody_remembers_it(
    tmp_path: Path, breaks_at: int, is_done_first: bool
) -> None:
    async with MemoryLog() as log:
        await tell(log, remembering(SQLiteMemory(tmp_path / "m.db"), quiet_s=0))
        store = Breaking(tmp_path / "m.db")
        store.breaks_at, store.is_done_first = breaks_at, is_done_first
        async with remembering(store) as memory:
            assert "Zorbulak" in await all_texts(memory)
            with pytest.raises(StoreBusy):
                await memory.forget_all(str(ANN), log)
            await memory.forget_all(str(ANN), log)
            left = await all_texts(memory)
            assert [stored.conversation for stored in await log.conversations()] == ["web:3"]
    assert "Zorbulak" not in left
    assert "customer:ann" not in left
    assert "Welcome, Eve." in left


async def test_what_staff_said_is_not_learned_again_from_a_log_that_was_half_deleted(
    tmp_path: Path,
) -> None:
    async with BreakingLog() as log:
        await tell(log, remembering(SQLiteMemory(tmp_path / "m.db")))
        async with remembering(SQLiteMemory(tmp_path / "m.db")) as memory:
            with pytest.raises(RuntimeError):
                await memory.forget_all(str(ANN), log)
        # An agent starts in between, and learns from what is there yet.
        memory = remembering(SQLiteMemory(tmp_path / "m.db"), quiet_s=0)
        provider = ScriptedProvider(["Ok."])
        async with Agent(provider=provider, log=log, memory=memory) as agent:
            await agent.send("Morning", conversation="web:3", principal=BOB)
            with anyio.fail_after(10):
                await memory.settled()
            assert "Zorbulak" not in await all_texts(memory)
        async with remembering(SQLiteMemory(tmp_path / "m.db")) as memory:
            await memory.forget_all(str(ANN), log)
            left = await all_texts(memory)
    assert "Zorbulak" not in left
    assert "customer:ann" not in left
