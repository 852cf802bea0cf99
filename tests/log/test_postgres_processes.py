"""Several processes on one PostgreSQL database: they race, hold, die and take over."""

from __future__ import annotations

import json
from dataclasses import replace
from subprocess import Popen
from typing import Any

import anyio
import pytest

from aicore.errors import Fenced, StoreBusy
from aicore.log.events import CLOSING, Event, MessageReceived, ReplySent, ToolStarted, TurnRetried
from aicore.log.owner import this_process
from aicore.log.postgres import PostgresLog
from aicore.records import ConversationId

SHOP = ConversationId("web:1")


@pytest.fixture
def url(postgres: Any) -> str:
    made: str = postgres.new_database()
    return made


def name_of(url: str) -> str:
    """The database's name, from its url."""
    return url.split("@/")[1].split("?")[0]


async def lines_of(process: Popen[str]) -> list[list[Any]]:
    """Everything a writer said, when it has ended by itself."""
    with anyio.fail_after(50):
        out, _ = await anyio.to_thread.run_sync(process.communicate, abandon_on_cancel=True)
    assert process.returncode == 0
    return [json.loads(line) for line in out.splitlines() if line.endswith("]")]


async def first_line_of(process: Popen[str]) -> list[Any]:
    assert process.stdout is not None
    with anyio.fail_after(20):
        line = await anyio.to_thread.run_sync(process.stdout.readline, abandon_on_cancel=True)
    said: list[Any] = json.loads(line)
    return said


async def test_two_processes_on_one_conversation_lose_nothing(url: str, start_writer: Any) -> None:
    writers = [start_writer("race", url, name, 60) for name in "ab"]
    for writer in writers:
        assert await first_line_of(writer) == ["ready"]
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    told = [line for writer in writers for line in await lines_of(writer)]
    async with PostgresLog(url) as log:
        events = await log.read(SHOP)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    replies = {e.body.text: e.seq for e in events if isinstance(e.body, ReplySent)}
    assert replies == {text: seq for what, text, seq, *_ in told if what == "appended"}
    assert len(replies) == 120
    messages = {e.body.message_id: e.seq for e in events if isinstance(e.body, MessageReceived)}
    for _, message_id, seq, _ in (line for line in told if line[0] == "received"):
        assert messages[message_id] == seq
    new = [message_id for what, message_id, *rest in told if what == "received" and rest[1]]
    assert len(new) == len(set(new)) == 60
    assert set(new) == set(messages)


async def test_killed_at_any_moment_nothing_acknowledged_is_lost(
    url: str, start_writer: Any
) -> None:
    """Twelve times `kill -9`, and each next writer claims the dead one's conversations at once."""
    told = await lines_of(start_writer("crash", url, 12, 11))
    async with PostgresLog(url) as log:
        open_turns = {(turn.conversation, turn.turn) for turn in await log.open_turns()}
        logs = {name: await log.read(ConversationId(name)) for name in ("web:1", "web:2", "web:3")}
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
    assert len(told) > 100
    last: dict[tuple[str, int], Event] = {}
    for name, events in logs.items():
        last.update({(name, event.turn): event for event in events})
    assert open_turns == {turn for turn, e in last.items() if type(e.body) not in CLOSING}
    assert open_turns


async def test_a_living_process_keeps_its_conversation_and_a_killed_one_loses_it_at_once(
    url: str, start_writer: Any
) -> None:
    holder = start_writer("hold", url, SHOP)
    _, pid = await first_line_of(holder)
    async with PostgresLog(url) as log:
        with pytest.raises(StoreBusy) as busy:
            await log.claim(SHOP)
        assert busy.value.retry_after_s is not None
        assert 60 < busy.value.retry_after_s <= 120
        assert str(pid) in str(busy.value)
        await log.claim(ConversationId("web:2"))
        holder.kill()
        with anyio.fail_after(5):
            while True:
                try:
                    claim = await log.claim(SHOP)
                    break
                except StoreBusy:
                    await anyio.lowlevel.checkpoint()
        assert claim.epoch == 2


async def test_a_process_that_leaves_gives_its_conversations_back(
    url: str, start_writer: Any
) -> None:
    holder = start_writer("hold", url, SHOP)
    await first_line_of(holder)
    holder.stdin.close()
    await anyio.to_thread.run_sync(holder.wait)
    async with PostgresLog(url) as log:
        assert (await log.claim(SHOP)).epoch == 2


async def test_two_logs_are_two_owners_and_the_fence_keeps_them_apart(url: str) -> None:
    async with PostgresLog(url) as one, PostgresLog(url) as two:
        claim = await one.claim(SHOP)
        with pytest.raises(StoreBusy):
            await two.claim(SHOP)
        claim = await one.claim(SHOP)
        await one.release(claim)
        mine = await two.claim(SHOP)
        with pytest.raises(Fenced):
            await one.append(claim, 1, [ReplySent(text="x")])
        with pytest.raises(StoreBusy):
            await one.claim(SHOP)
        await two.append(mine, 1, [ReplySent(text="y")])
        assert [event.body for event in await one.read(SHOP)] == [ReplySent(text="y")]
        await one.claim(SHOP)  # the turn of the other came to rest


def shift_leases(postgres: Any, url: str, by_s: float) -> None:
    """As if the server's clock had been set by so much."""
    postgres.execute(
        "UPDATE aicore_log.conversation SET lease_until = lease_until - make_interval(secs => %s)",
        by_s,
        database=url.partition("?")[0].rpartition("/")[2],
    )


async def test_a_lease_lasts_two_minutes_from_the_last_append_by_the_servers_clock(
    postgres: Any, url: str
) -> None:
    """The clock of the log, decades away, decides nothing."""
    async with PostgresLog(url, clock=lambda: 1.0) as one, PostgresLog(url) as two:
        claim = await one.claim(SHOP)
        shift_leases(postgres, url, 100)
        claim = await one.append(claim, 1, [TurnRetried()])
        shift_leases(postgres, url, 110)
        with pytest.raises(StoreBusy) as busy:
            await two.claim(SHOP)
        assert busy.value.retry_after_s == pytest.approx(10, abs=8)
        shift_leases(postgres, url, 10)
        await two.claim(SHOP)
        with pytest.raises(Fenced):
            await one.append(claim, 1, [ReplySent(text="y")])


@pytest.mark.parametrize(("back_s", "is_held"), [(100, True), (3600, False)])
async def test_a_clock_that_is_set_back_cannot_hold_a_conversation_for_hours(
    postgres: Any, url: str, back_s: int, is_held: bool
) -> None:
    async with PostgresLog(url) as one, PostgresLog(url) as two:
        await one.claim(SHOP)
        shift_leases(postgres, url, -back_s)
        if is_held:
            with pytest.raises(StoreBusy):
                await two.claim(SHOP)
        else:
            await two.claim(SHOP)


@pytest.mark.parametrize(
    "owner",
    ["?", "[1]", str(this_process()).replace(f'"{this_process().host}"', '"another.invalid"')],
    ids=["unknown form", "older form", "another host"],
)
async def test_an_owner_that_cannot_be_asked_counts_as_alive_until_its_lease_ends(
    postgres: Any, url: str, owner: str
) -> None:
    async with PostgresLog(url) as log:
        await log.claim(SHOP)
        postgres.execute(
            "UPDATE aicore_log.conversation SET owner = %s",
            owner,
            database=url.partition("?")[0].rpartition("/")[2],
        )
        with pytest.raises(StoreBusy):
            await log.claim(SHOP)
        shift_leases(postgres, url, 121)
        await log.claim(SHOP)


async def test_a_holder_of_another_boot_is_another_machine_of_the_same_name(
    postgres: Any, url: str, say: Any
) -> None:
    other = replace(this_process(), boot="11111111-2222-3333-4444-555555555555", pid=4711)
    async with PostgresLog(url) as log, PostgresLog(url) as second:
        await log.receive(SHOP, say())
        await log.claim(SHOP)
        postgres.execute(
            "UPDATE aicore_log.conversation SET owner = %s", str(other), database=name_of(url)
        )
        with pytest.raises(StoreBusy):
            await second.claim(SHOP)


async def test_a_forked_process_is_another_owner(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that loads its program first and forks then: one log object in two processes."""
    log = PostgresLog(url)
    async with log:
        pass
    mine = log._owner
    monkeypatch.setattr("aicore.log.postgres.os.getpid", lambda: 4711)
    async with log:
        assert log._owner != mine


async def test_a_log_remembers_no_conversation_that_is_at_rest(url: str, say: Any) -> None:
    async with PostgresLog(url) as log:
        await log.receive(SHOP, say())
        await log.append(await log.claim(SHOP), 1, [ReplySent(text="x")])
        assert not log._held
