"""The backlog: bounded, in order, each conversation once at a time."""

from __future__ import annotations

import anyio

from aicore.memory.backlog import Backlog, Due
from aicore.records import ConversationId

A, B, C = (ConversationId(name) for name in "abc")


def due(conversation: ConversationId, in_s: float = 0.0, failures: int = 0) -> Due:
    return Due(conversation, 1, anyio.current_time() + in_s, failures)


async def test_what_is_due_first_is_taken_first_and_what_is_due_later_waits() -> None:
    backlog = Backlog(10)
    backlog.put(due(A, in_s=0.02))
    backlog.put(due(B, in_s=-1.0))
    backlog.put(due(C, in_s=-2.0))
    with anyio.fail_after(5):
        taken = [(await backlog.take()).conversation for _ in range(3)]

    assert taken == [C, B, A]


async def test_a_conversation_is_taken_by_one_at_a_time() -> None:
    backlog = Backlog(10)
    backlog.put_soon(A, 1, 0.0)
    with anyio.fail_after(5):
        await backlog.take()
        backlog.put_soon(A, 1, 0.0)
        backlog.put_soon(B, 1, 0.0)
        assert (await backlog.take()).conversation == B
        backlog.give_back(A)
        assert (await backlog.take()).conversation == A


async def test_several_who_wait_are_all_served() -> None:
    backlog = Backlog(10)
    taken: list[ConversationId] = []

    async def take() -> None:
        taken.append((await backlog.take()).conversation)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(take)
            await anyio.lowlevel.checkpoint()
            for conversation in (A, B, C):
                backlog.put_soon(conversation, 1, 0.0)

    assert sorted(taken) == [A, B, C]


async def test_it_is_bounded_and_waits_for_later_leave_half_of_it_free() -> None:
    backlog = Backlog(2)
    assert backlog.put_if_new(due(A, in_s=60))
    assert not backlog.put_if_new(due(B, in_s=60))
    assert backlog.put_soon(B, 1, 0.0)
    assert not backlog.put_soon(C, 1, 0.0)
    assert backlog.put_soon(A, 1, 0.0)
    async with anyio.create_task_group() as group:
        group.start_soon(backlog.wait_for_change)
        await anyio.lowlevel.checkpoint()
        with anyio.fail_after(5):
            backlog.give_back((await backlog.take()).conversation)
    assert backlog.put_soon(C, 1, 0.0)


async def test_a_new_message_does_not_hurry_what_failed() -> None:
    backlog = Backlog(10)
    backlog.put(due(A, in_s=60, failures=2))
    assert not backlog.is_idle
    backlog.put_soon(A, 7, 0.0)
    with anyio.move_on_after(0.02) as scope:
        await backlog.take()
    assert scope.cancelled_caught


async def test_what_is_noted_again_is_not_put_off_and_may_be_hurried() -> None:
    backlog = Backlog(10)
    now_s = anyio.current_time()
    assert backlog.is_idle
    backlog.put_if_new(due(B, in_s=60))
    assert backlog.is_idle
    for number in range(200):
        backlog.put_soon(A, 1, now_s + 30 + number)
    backlog.put_soon(B, 1, now_s + 40)
    assert not backlog.is_idle
    backlog.hurry()
    with anyio.fail_after(5):
        taken = {(await backlog.take()).conversation for _ in range(2)}

    assert taken == {A, B}


async def test_what_is_noted_while_it_is_taken_comes_when_it_is_given_back() -> None:
    backlog = Backlog(10)
    backlog.put_soon(A, 1, 0.0)
    with anyio.fail_after(5):
        await backlog.take()
        for born_ms in (1, 2):
            backlog.put_soon(A, born_ms, 0.0)
        backlog.give_back(A)
        assert (await backlog.take()).born_ms == 2
        backlog.give_back(A)
    assert backlog.is_idle
