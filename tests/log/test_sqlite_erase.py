"""What was erased is in no byte of the file, or of what lies beside it."""

import random
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest

from aicore.databases import sqlite_file
from aicore.errors import Fenced, StoreBusy
from aicore.log import Event, SQLiteLog, Stored
from aicore.log.events import MessageReceived, ReplySent
from aicore.records import ConversationId, Principal

SHOP = ConversationId("web:quagga")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


def found(folder: Path, *words: str) -> Counter[str]:
    """In how many files of a folder each word can be read."""
    contents = [one.read_bytes() for one in folder.iterdir()]
    return Counter(word for word in words for one in contents if word.encode() in one)


def message(name: str, number: int, length: int) -> MessageReceived:
    words = f"said-{name} " * (length // 10 + 1)
    return MessageReceived(
        text=words, principal=Principal("customer", f"who-{name}"), message_id=f"m-{name}-{number}"
    )


async def fill(log: SQLiteLog, names: list[str], chance: random.Random) -> None:
    """Write messages of many conversations in turns, so that pages are split again and again."""
    heads = dict.fromkeys(names, 0)
    for _ in range(10 * len(names)):
        name = chance.choice(names)
        seqs = [heads[name] + 1, heads[name] + 2]
        heads[name] += 2
        events = [Event(n, n, 1, message(name, n, chance.choice((9, 300, 3000)))) for n in seqs]
        await log.restore(Stored(ConversationId(name), 0, 1, 1), events)


async def test_no_trace_of_erased_conversations_is_left_among_those_that_stay(
    path: Path, tmp_path: Path
) -> None:
    chance = random.Random(4)
    names = [f"conv{number:03}" for number in range(150)]
    gone, kept = names[::10], names[5::10]
    async with SQLiteLog(path) as log:
        await fill(log, names, chance)
        assert set(found(tmp_path, *gone)) == set(gone)
        async with anyio.create_task_group() as tasks:
            for name in gone:
                tasks.start_soon(log.erase, await log.claim(ConversationId(name)))
        traces = [f"{what}{name}" for name in gone for what in ("", "said-", "who-", "m-")]
        assert found(tmp_path, *traces) == Counter()
        assert set(found(tmp_path, *kept)) == set(kept)
        left = {str(one.conversation) for one in await log.conversations()}
        assert left == set(names) - set(gone)


async def test_each_erasure_alone_leaves_no_trace_while_others_write(
    path: Path, tmp_path: Path
) -> None:
    async with SQLiteLog(path) as log, SQLiteLog(path) as other:
        for number in range(5):
            received = await log.receive(SHOP, message("quagga", number, 5000))
            claim = await log.claim(SHOP)
            await log.append(claim, received.seq, [ReplySent(text="quagga " * 900)])
            await other.receive(ConversationId("web:1"), message("zebra", number, 5000))
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(log.erase, await log.claim(SHOP))
                tasks.start_soon(other.receive, ConversationId("web:1"), message("ok", number, 99))
            assert found(tmp_path, "quagga") == Counter()
        assert len(await other.read(ConversationId("web:1"))) == 10


async def test_a_reader_that_stays_is_told_and_the_next_erasure_is_clean(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, say: Any
) -> None:
    monkeypatch.setattr(sqlite_file, "_BUSY_S", 0.05)
    async with SQLiteLog(path) as log:
        await log.receive(SHOP, say("one"))
        with closing(sqlite3.connect(path, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM event").fetchall()
            claim = await log.claim(SHOP)
            with pytest.raises(StoreBusy):
                await log.erase(claim)
            assert not await log.read(SHOP)
            with pytest.raises(Fenced):
                await log.erase(claim)
        await log.erase(await log.claim(SHOP))
        assert found(tmp_path, SHOP) == Counter()


async def test_a_cancelled_erasure_is_whole_or_absent(path: Path, tmp_path: Path, say: Any) -> None:
    outcomes = set()
    async with SQLiteLog(path) as log:
        for steps in range(12):
            await log.receive(SHOP, say("one", f"m{steps}"))
            claim = await log.claim(SHOP)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(log.erase, claim)
                for _ in range(steps):
                    await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()
            is_gone = not await log.conversations()
            outcomes.add(is_gone)
            if is_gone:
                assert found(tmp_path, SHOP) == Counter()
            else:
                await log.erase(claim)
    assert False in outcomes


async def test_an_erasure_that_a_crash_interrupted_is_finished_when_the_file_is_opened(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, say: Any
) -> None:
    monkeypatch.setattr(sqlite_file, "_BUSY_S", 0.05)
    async with SQLiteLog(path) as log:
        with closing(sqlite3.connect(path, isolation_level=None)) as reader:
            await log.receive(SHOP, say("one"))
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM event").fetchall()
            with pytest.raises(StoreBusy):
                await log.erase(await log.claim(SHOP))
            async with SQLiteLog(path) as blocked:
                assert not await blocked.read(SHOP)
            assert set(found(tmp_path, SHOP)) == {SHOP}
        async with SQLiteLog(path):
            assert found(tmp_path, SHOP) == Counter()


async def test_a_clock_that_stands_still_or_is_set_back_gives_every_conversation_its_own_birth(
    path: Path, say: Any
) -> None:
    now_s = 5.0
    births = []
    async with SQLiteLog(path, clock=lambda: now_s) as log:
        for number in range(12):
            now_s = (5.0, 5.0, 1.0)[number % 3]
            if number % 2:
                await log.receive(SHOP, say("one"))
            claim = await log.claim(SHOP)
            births.append(claim.born_ms)
            await log.erase(claim)
            with pytest.raises(Fenced):
                await log.append(claim, 1, [ReplySent(text="late")])
    assert births == sorted(set(births))


async def test_erasures_that_run_when_the_log_is_left_are_done_to_the_end(
    path: Path, tmp_path: Path
) -> None:
    names = [f"conv{number}" for number in range(6)]
    log = SQLiteLog(path)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks, log:
            for name in names:
                for number in range(5):
                    await log.receive(ConversationId(name), message(name, number, 20_000))
            for name in names:
                tasks.start_soon(log.erase, await log.claim(ConversationId(name)))
            for _ in range(3):
                await anyio.lowlevel.checkpoint()  # they begin
    assert found(tmp_path, *names) == Counter()


@pytest.mark.parametrize("damage", ["kind = 'of a newer version'", "data = '{'"])
async def test_a_conversation_with_an_event_that_cannot_be_understood_can_be_erased(
    path: Path, tmp_path: Path, damage: str
) -> None:
    async with SQLiteLog(path) as log:
        for number in range(2):
            await log.receive(SHOP, message("quagga", number, 9))
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute(f"UPDATE event SET {damage} WHERE seq = 2")
        await log.erase(await log.claim(SHOP))
        assert not await log.conversations()
        assert (await log.receive(SHOP, message("zebra", 0, 9))).seq == 1
        again = await log.receive(SHOP, message("quagga", 1, 9))
        assert again.is_new
