import threading

import anyio
import pytest

from aicore_tools.vendor_threads import VendorThreads


async def test_blocking_calls_leave_the_loop_free_and_are_bounded() -> None:
    threads = VendorThreads(limit=2)
    release, running, most = threading.Event(), 0, 0
    guard = threading.Lock()

    def block() -> None:
        nonlocal running, most
        with guard:
            running += 1
            most = max(most, running)
        release.wait(5)
        with guard:
            running -= 1

    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(threads.run, 5, block)
        while most < 2:
            await anyio.lowlevel.checkpoint()
        release.set()
    assert most == 2


async def test_a_call_that_does_not_answer_ends_at_its_deadline() -> None:
    release = threading.Event()
    with pytest.raises(TimeoutError):
        await VendorThreads().run(0.05, release.wait, 5)
    release.set()


async def test_what_it_raises_and_returns_comes_through() -> None:
    threads = VendorThreads()
    assert await threads.run(5, int, "12", base=8) == 10
    with pytest.raises(ValueError, match="invalid literal"):
        await threads.run(5, int, "x")


async def test_a_call_that_was_left_keeps_its_place_until_it_ends() -> None:
    """Else two threads would share what takes one at a time, such as a mail connection."""
    threads = VendorThreads(limit=1)
    release, second = threading.Event(), threading.Event()
    with pytest.raises(TimeoutError):
        await threads.run(0.05, release.wait, 5)
    with pytest.raises(TimeoutError):
        await threads.run(0.05, second.set)
    release.set()
    await threads.run(5, int)
    assert not second.is_set(), "it was left before it began"
