"""Places before a provider that takes only so many requests at once."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import pytest

from aicore.models.router.queueing import Queue


async def settle() -> None:
    """Let every task go as far as it can."""
    for _ in range(10):
        await anyio.lowlevel.checkpoint()


class Visitors:
    """Tasks that take a place and keep it until they are let go."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.inside: list[str] = []
        self.order: list[str] = []
        self.leave: dict[str, anyio.Event] = {}
        self.scopes: dict[str, anyio.CancelScope] = {}

    async def visit(self, name: str) -> None:
        self.leave[name] = anyio.Event()
        with anyio.CancelScope() as self.scopes[name]:
            async with self.queue.place():
                self.inside.append(name)
                self.order.append(name)
                try:
                    await self.leave[name].wait()
                finally:
                    self.inside.remove(name)


async def test_places_are_given_in_the_order_of_coming() -> None:
    queue = Queue(2)
    visitors = Visitors(queue)
    async with anyio.create_task_group() as group:
        for name in "abcde":
            group.start_soon(visitors.visit, name)
            await settle()
        assert visitors.inside == ["a", "b"]
        assert (queue.running, queue.waiting, queue.depth) == (2, 3, 5)
        for name in "badce":
            visitors.leave[name].set()
            await settle()
        assert visitors.order == list("abcde")
        group.cancel_scope.cancel()
    assert (queue.running, queue.waiting) == (0, 0)


async def test_whoever_comes_now_does_not_overtake() -> None:
    queue = Queue(1)
    visitors = Visitors(queue)
    async with anyio.create_task_group() as group:
        for name in "ab":
            group.start_soon(visitors.visit, name)
            await settle()
        visitors.leave["a"].set()  # b is told, and c comes before b has run
        group.start_soon(visitors.visit, "c")
        await settle()
        assert visitors.order == ["a", "b"]
        group.cancel_scope.cancel()


@pytest.mark.parametrize("gone", ["b", "c", "d"])
async def test_whoever_is_cancelled_leaves_the_queue(gone: str) -> None:
    queue = Queue(1)
    visitors = Visitors(queue)
    async with anyio.create_task_group() as group:
        for name in "abcd":
            group.start_soon(visitors.visit, name)
            await settle()
        visitors.scopes[gone].cancel()
        await settle()
        assert (queue.running, queue.waiting) == (1, 2)
        for name in [name for name in "abcd" if name != gone]:
            visitors.leave[name].set()
            await settle()
    assert visitors.order == [name for name in "abcd" if name != gone]
    assert queue.depth == 0


async def test_a_place_is_not_lost_with_whoever_is_cancelled_while_told() -> None:
    queue = Queue(1)
    visitors = Visitors(queue)
    async with anyio.create_task_group() as group:
        for name in "abc":
            group.start_soon(visitors.visit, name)
            await settle()
        visitors.leave["a"].set()
        await anyio.lowlevel.checkpoint()
        visitors.scopes["b"].cancel()
        await settle()
        assert visitors.inside == ["c"]
        visitors.leave["c"].set()
    assert queue.depth == 0


async def test_a_place_is_given_back_when_its_use_fails() -> None:
    queue = Queue(1)
    with pytest.raises(ValueError, match="broken"):
        async with queue.place():
            raise ValueError("broken")
    with anyio.fail_after(1):
        async with queue.place():
            assert queue.running == 1


async def test_without_a_bound_nobody_waits() -> None:
    queue = Queue()
    visitors = Visitors(queue)
    async with anyio.create_task_group() as group:
        for number in range(100):
            group.start_soon(visitors.visit, str(number))
        await settle()
        assert (queue.running, queue.waiting) == (100, 0)
        assert queue.expected_wait_s(10) == 0
        group.cancel_scope.cancel()


async def test_the_wait_is_told_from_who_is_before() -> None:
    queue = Queue(2)
    visitors = Visitors(queue)
    waits: list[float] = []
    async with anyio.create_task_group() as group:
        for name in "abcde":
            waits.append(queue.expected_wait_s(3.0))
            group.start_soon(visitors.visit, name)
            await settle()
        group.cancel_scope.cancel()
    assert waits == [0.0, 0.0, 1.5, 3.0, 4.5]
