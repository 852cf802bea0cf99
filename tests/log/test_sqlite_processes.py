"""Several processes on one file: they race, hold, die and take over."""

import json
import os
import socket
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from subprocess import Popen
from typing import Any

import anyio
import pytest

from aicore.databases.sqlite_file import SQLiteFile
from aicore.errors import Fenced, StoreBusy
from aicore.log import SQLiteLog, owner
from aicore.log.events import CLOSING, Event, MessageReceived, ReplySent, ToolStarted, TurnRetried
from aicore.log.owner import Owner, this_process
from aicore.log.sqlite_lease import Leases
from aicore.log.sqlite_schema import SCHEMA
from aicore.records import ConversationId

SHOP = ConversationId("web:1")


async def lines_of(process: "Popen[str]") -> list[list[Any]]:
    """Everything a writer said, when it has ended by itself."""
    with anyio.fail_after(50):
        out, _ = await anyio.to_thread.run_sync(process.communicate, abandon_on_cancel=True)
    assert process.returncode == 0
    # A killed writer may have been cut in the middle of a line.
    return [json.loads(line) for line in out.splitlines() if line.endswith("]")]


async def first_line_of(process: "Popen[str]") -> list[Any]:
    assert process.stdout is not None
    with anyio.fail_after(10):
        line = await anyio.to_thread.run_sync(process.stdout.readline, abandon_on_cancel=True)
    said: list[Any] = json.loads(line)
    return said


def integrity(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        verdict: str = connection.execute("PRAGMA integrity_check").fetchone()[0]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        return verdict


async def test_two_processes_on_one_conversation_lose_nothing(
    tmp_path: Path, start_writer: Any
) -> None:
    path = tmp_path / "log.db"
    writers = [start_writer("race", path, name, 100) for name in "ab"]
    for writer in writers:
        assert await first_line_of(writer) == ["ready"]
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    told = [line for writer in writers for line in await lines_of(writer)]
    async with SQLiteLog(path) as log:
        events = await log.read(SHOP)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    replies = {e.body.text: e.seq for e in events if isinstance(e.body, ReplySent)}
    assert replies == {text: seq for what, text, seq, *_ in told if what == "appended"}
    assert len(replies) == 200
    messages = {e.body.message_id: e.seq for e in events if isinstance(e.body, MessageReceived)}
    for _, message_id, seq, _ in (line for line in told if line[0] == "received"):
        assert messages[message_id] == seq
    new = [message_id for what, message_id, *rest in told if what == "received" and rest[1]]
    assert len(new) == len(set(new)) == 100
    assert set(new) == set(messages)
    assert integrity(path) == "ok"


async def test_killed_at_any_moment_nothing_acknowledged_is_lost(
    tmp_path: Path, start_writer: Any
) -> None:
    """Thirty times `kill -9`, and each next writer claims the dead one's conversations at once."""
    path = tmp_path / "log.db"
    # A writer that is refused a claim ends with an error, and so does the program.
    told = await lines_of(start_writer("crash", path, 30, 11))
    async with SQLiteLog(path) as log:
        open_turns = {(turn.conversation, turn.turn) for turn in await log.open_turns()}
        logs = {name: await log.read(ConversationId(name)) for name in ("web:1", "web:2", "web:3")}
    assert integrity(path) == "ok"
    for events in logs.values():
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
    told = [line for line in told if line != ["opening"]]
    for what, conversation, seq, message_id in told:
        body = logs[conversation][seq - 1].body
        if what == "received":
            assert isinstance(body, MessageReceived)
            assert body.message_id == message_id
        else:
            assert isinstance(body, ToolStarted | ReplySent)
            assert message_id == (body.text if isinstance(body, ReplySent) else body.call_id)
    assert len(told) > 300
    last: dict[tuple[str, int], Event] = {}
    for name, events in logs.items():
        last.update({(name, event.turn): event for event in events})
    assert open_turns == {turn for turn, e in last.items() if type(e.body) not in CLOSING}
    assert open_turns


async def test_killed_while_it_makes_its_file_the_next_can_use_it(
    tmp_path: Path, start_writer: Any, say: Any
) -> None:
    await lines_of(start_writer("birth", tmp_path, 60, 5))
    paths = sorted(tmp_path.glob("*.db"))  # noqa: ASYNC240  # a test's own few files
    assert paths
    for path in paths:
        async with SQLiteLog(path) as log:
            await log.receive(SHOP, say("after", message_id="after"))
            await log.claim(SHOP)
        assert integrity(path) == "ok"


async def test_a_living_process_keeps_its_conversation_and_a_killed_one_loses_it_at_once(
    tmp_path: Path, start_writer: Any
) -> None:
    path = tmp_path / "log.db"
    holder = start_writer("hold", path, SHOP)
    _, pid = await first_line_of(holder)
    async with SQLiteLog(path) as log:
        with pytest.raises(StoreBusy) as busy:
            await log.claim(SHOP)
        assert busy.value.retry_after_s is not None
        assert 60 < busy.value.retry_after_s <= 120
        assert str(pid) in str(busy.value)
        await log.claim(ConversationId("web:2"))
        # Not waited for: the dead holder is still a zombie.
        holder.kill()
        assert (await _claim_of_dying(log)).epoch == 2


async def _claim_of_dying(log: SQLiteLog) -> Any:
    """Claim as soon as the system has ended the holder: SIGKILL takes effect a little later."""
    with anyio.fail_after(5):
        while True:
            try:
                return await log.claim(SHOP)
            except StoreBusy:
                await anyio.lowlevel.checkpoint()


async def test_a_process_that_leaves_gives_its_conversations_back(
    tmp_path: Path, start_writer: Any
) -> None:
    path = tmp_path / "log.db"
    holder = start_writer("hold", path, SHOP)
    await first_line_of(holder)
    holder.stdin.close()
    await anyio.to_thread.run_sync(holder.wait)
    async with SQLiteLog(path) as log:
        assert (await log.claim(SHOP)).epoch == 2


class Clock:
    """A wall clock that the test sets, in seconds since 1970."""

    def __init__(self, now_s: float = 1_800_000_000.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


async def test_two_logs_in_one_process_are_two_owners(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    async with SQLiteLog(path) as one, SQLiteLog(path) as two:
        claim = await one.claim(SHOP)
        with pytest.raises(StoreBusy):
            await two.claim(SHOP)
        claim = await one.claim(SHOP)
        await one.release(claim)
        await two.claim(SHOP)
        with pytest.raises(Fenced):
            await one.append(claim, 1, [ReplySent(text="x")])
        with pytest.raises(StoreBusy):
            await one.claim(SHOP)


async def test_a_lease_lasts_two_minutes_from_the_last_append(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    clock = Clock()
    async with SQLiteLog(path, clock=clock) as one, SQLiteLog(path, clock=clock) as two:
        claim = await one.claim(SHOP)
        clock.now_s += 100
        claim = await one.append(claim, 1, [TurnRetried()])
        clock.now_s += 119
        with pytest.raises(StoreBusy) as busy:
            await two.claim(SHOP)
        assert busy.value.retry_after_s == pytest.approx(1.0)
        clock.now_s += 1
        await two.claim(SHOP)
        with pytest.raises(Fenced):
            await one.append(claim, 1, [ReplySent(text="y")])


async def test_a_message_does_not_renew_a_lease(tmp_path: Path, say: Any) -> None:
    path = tmp_path / "log.db"
    clock = Clock()
    async with SQLiteLog(path, clock=clock) as one, SQLiteLog(path, clock=clock) as two:
        await one.claim(SHOP)
        clock.now_s += 121
        await one.receive(SHOP, say())
        await two.claim(SHOP)


@pytest.mark.parametrize(("back_s", "is_held"), [(1, True), (100, True), (3600, False)])
async def test_a_clock_that_is_set_back_cannot_hold_a_conversation_for_hours(
    tmp_path: Path, back_s: int, is_held: bool
) -> None:
    path = tmp_path / "log.db"
    clock = Clock()
    async with SQLiteLog(path, clock=clock) as one, SQLiteLog(path, clock=clock) as two:
        await one.claim(SHOP)
        clock.now_s -= back_s
        if is_held:
            with pytest.raises(StoreBusy):
                await two.claim(SHOP)
        else:
            await two.claim(SHOP)


async def test_a_conversation_at_rest_is_held_by_nobody_whatever_the_clock_says(
    tmp_path: Path,
) -> None:
    path = tmp_path / "log.db"
    clock = Clock()
    async with SQLiteLog(path, clock=clock) as one, SQLiteLog(path, clock=clock) as two:
        claim = await one.append(await one.claim(SHOP), 1, [ReplySent(text="x")])
        clock.now_s -= 30
        await two.release(await two.claim(SHOP))
        claim = await one.claim(SHOP)
        claim = await one.append(claim, 2, [ReplySent(text="y")])
        await one.append(claim, 3, [TurnRetried()])  # with the claim that was at rest
        with pytest.raises(StoreBusy):
            await two.claim(SHOP)


async def test_a_claim_on_what_was_erased_gives_back_nothing_of_what_was_begun_again(
    tmp_path: Path,
) -> None:
    path = tmp_path / "log.db"
    async with SQLiteLog(path) as two:
        async with SQLiteLog(path) as one:
            erased = await one.claim(SHOP)
            await one.erase(erased)
            again = await one.claim(SHOP)
            assert again.epoch == erased.epoch
            with pytest.raises(Fenced):
                await one.append(erased, 1, [TurnRetried()])
            await one.release(erased)
            with pytest.raises(StoreBusy):
                await two.claim(SHOP)
        await two.claim(SHOP)


def test_only_what_is_held_is_given_back_in_the_end(tmp_path: Path) -> None:
    with closing(SQLiteFile(tmp_path / "log.db", SCHEMA).open_writer()) as connection:
        leases = Leases("main", lambda: 1)
        for number in range(50):
            claim = leases.claim(connection, ConversationId(f"web:{number}"))
            if number % 10:
                leases.advance(connection, claim, 1, is_at_rest=True)
        statements: list[str] = []
        connection.set_trace_callback(statements.append)
        leases.release_all(connection)
        assert len(statements) == 5


def _other(**changes: object) -> Owner:
    mine = this_process()
    fields = {name: getattr(mine, name) for name in Owner.__dataclass_fields__}
    return Owner(**(fields | changes))


@pytest.mark.parametrize(
    ("changes", "is_dead"),
    [
        ({}, False),
        ({"started": "1"}, True),
        ({"pid": 2**22 + 1}, True),
        ({"boot": "the boot before"}, True),
        ({"boot": ""}, False),
        ({"host": "another.invalid", "pid": 2**22 + 1}, False),
        ({"host": "another.invalid", "boot": "its own"}, False),
        ({"namespace": "pid:[1]", "pid": 2**22 + 1}, False),
    ],
    ids=["me", "reused", "gone", "rebooted", "unknown boot", "host", "other boot", "container"],
)
def test_only_a_process_that_certainly_ended_counts_as_dead(
    changes: dict[str, object], is_dead: bool
) -> None:
    """Linux; elsewhere the boot and the start are empty and the process number decides."""
    other = _other(**changes)
    assert other.host == changes.get("host", socket.gethostname())
    assert Owner.parse(str(other)) == other
    assert other.is_dead() is is_dead


@pytest.mark.parametrize(
    ("pid", "is_dead"), [(os.getpid(), False), (2**22 + 1, True)], ids=["this", "none"]
)
def test_a_process_that_the_system_hides_is_asked_for_by_number(
    monkeypatch: pytest.MonkeyPatch, pid: int, is_dead: bool
) -> None:
    """As with hidepid on Linux, and on systems without /proc."""
    monkeypatch.setattr(owner, "_stat", lambda pid: None)
    assert _other(pid=pid).is_dead() is is_dead


async def test_an_owner_written_in_an_unknown_form_counts_as_alive(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    async with SQLiteLog(path) as log:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            for number, text in enumerate(["?", "[1]", "7", '["a","b","c","x","e","f"]']):
                row = (f"c{number}", text, int(time.time() * 1000) + 60_000)
                connection.execute(
                    "INSERT INTO conversation VALUES ('main', ?, 0, 1, ?, ?, 0)", row
                )
        for number in range(4):
            with pytest.raises(StoreBusy):
                await log.claim(ConversationId(f"c{number}"))
