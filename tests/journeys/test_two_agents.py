"""Two agents on one log file: in one process, and in two that run at the same time."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import anyio
import pytest

from aicore import Agent, Reply
from aicore.errors import ApprovalError, StoreBusy
from aicore.log import SQLiteLog
from aicore.models import ScriptedProvider
from aicore.models.port import Completion, Request
from aicore.records import Conversation, ConversationId, Tool, ToolCall
from aicore.trust import Ask, Decision

PROGRAM = Path(__file__).with_name("agent_process.py")
TALK = "web:1"
COUNT = 12


async def test_a_conversation_goes_on_at_once_in_another_agent(tmp_path: Path) -> None:
    """As with two web workers: a lease must not make the second one wait."""
    path = tmp_path / "log.db"
    first_provider, second_provider = ScriptedProvider(["One.", "Three."]), ScriptedProvider(["2."])
    first = Agent(provider=first_provider, log=SQLiteLog(path))
    second = Agent(provider=second_provider, log=SQLiteLog(path))
    async with first, second:
        await first.send("1", conversation=TALK)
        await second.send("2", conversation=TALK)
        await first.send("3", conversation=TALK)
    assert [m.text for m in second_provider.requests[0].tail] == ["1", "One.", "2"]
    assert [m.text for m in first_provider.requests[1].tail] == ["1", "One.", "2", "2.", "3"]


class Asks:
    async def decide(self, call: ToolCall, tool: Tool, conversation: Conversation) -> Decision:
        return Ask("money")


async def test_staff_decide_in_another_agent_than_the_one_that_asked(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    paid: list[int] = []

    def pay(amount: int) -> str:
        """Pay."""
        paid.append(amount)
        return "paid"

    call = Completion(text="", calls=(ToolCall("c", "pay", {"amount": 5}),))
    chat = Agent(provider=ScriptedProvider([call]), tools=[pay], policy=Asks(), log=SQLiteLog(path))
    dashboard = Agent(
        provider=ScriptedProvider(["Paid."]), tools=[pay], policy=Asks(), log=SQLiteLog(path)
    )
    async with chat, dashboard:
        (approval,) = (await chat.send("pay", conversation=TALK, message_id="m")).waiting
        assert (await dashboard.decide(approval, approved=True, by="staff:ann")).text == "Paid."
        with pytest.raises(ApprovalError):
            await chat.decide(approval, approved=True, by="staff:bob")
        assert (await chat.send("pay", conversation=TALK, message_id="m")).text == "Paid."
    assert paid == [5]


async def test_one_message_through_two_agents_at_once_is_answered_once(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    asked = 0

    class Slow(ScriptedProvider):
        async def complete(self, request: Request) -> Completion:
            nonlocal asked
            asked += 1
            with anyio.fail_after(5):
                await is_refused.wait()
            return Completion(text="Once.")

    is_refused = anyio.Event()
    replies: list[Reply] = []
    first, second = (Agent(provider=Slow([]), log=SQLiteLog(path)) for _ in range(2))

    async def deliver(agent: Agent) -> None:
        try:
            replies.append(await agent.send("hi", conversation=TALK, message_id="m"))
        except StoreBusy:
            is_refused.set()

    async with first, second:
        async with anyio.create_task_group() as group:
            group.start_soon(deliver, first)
            group.start_soon(deliver, second)
        again = [await one.send("hi", conversation=TALK, message_id="m") for one in (first, second)]
    assert asked == 1
    assert {reply.text for reply in [*replies, *again]} == {"Once."}


def test_two_processes_on_one_conversation_answer_each_message_once(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    processes = [
        subprocess.Popen(
            [sys.executable, str(PROGRAM), str(path), name, str(COUNT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("first", "second")
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        outputs = [process.communicate(timeout=30)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    expected = [[f"m{number}", f"to m{number}"] for number in range(COUNT)]
    for output in outputs:
        assert [json.loads(line) for line in output.splitlines()] == expected
    notes = Counter(path.with_suffix(".notes").read_text().splitlines())
    assert notes == {f"m{number}": 1 for number in range(COUNT)}
    kinds = Counter(anyio.run(_kinds, path))
    assert kinds["MessageReceived"] == kinds["ReplySent"] == kinds["ToolFinished"] == COUNT


async def _kinds(path: Path) -> list[str]:
    async with SQLiteLog(path) as log:
        events = await log.read(ConversationId("web:42"))
    return [type(event.body).__name__ for event in events]
