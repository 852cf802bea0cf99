"""A server that dies, hangs or comes late fails its own calls only, and comes back."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from aicore.dispatch.dispatcher import Dispatcher
from aicore.dispatch.limits import DispatchLimits
from aicore.dispatch.server import Server

Call = Callable[..., Awaitable[Any]]
ERAS = pytest.mark.parametrize("era", [(), ("2025",)], ids=["2026", "2025"])

PEER = str(Path(__file__).with_name("peer_server.py"))
SILENT = "import time; time.sleep(60)"
STUBBORN = """
import runpy, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
sys.argv = [sys.argv[1], "stdio"]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    time.sleep(60)
"""


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def pid_of(dispatcher: Dispatcher, call: Call) -> int:
    return int((await call(dispatcher, "pid")).text.splitlines()[1])


async def test_an_effect_that_kills_its_server_is_unknown_and_not_repeated(
    stdio_peer: Call, limits: DispatchLimits, call: Call, tmp_path: Path
) -> None:
    async with Dispatcher([stdio_peer()], limits=limits) as dispatcher:
        result = await call(dispatcher, "crash", "key-1")
        assert result.is_error
        assert result.outcome == "unknown"
        assert not (await call(dispatcher, "echo", text="again")).is_error
        assert dispatcher.health()[0].generation == 2
    assert (tmp_path / "crash").read_text() == "1"


async def test_what_may_be_repeated_survives_the_death_of_its_server(
    stdio_peer: Call, limits: DispatchLimits, call: Call, tmp_path: Path
) -> None:
    async with Dispatcher([stdio_peer()], limits=limits) as dispatcher:
        assert "read" in (await call(dispatcher, "crash_first_read")).text
        assert "set" in (await call(dispatcher, "crash_first_set", "key-1")).text
        settled = await call(dispatcher, "crash_once_after_effect", "key-2")
        keyless = await call(dispatcher, "crash_once_after_effect")
    assert settled.outcome == "done"
    assert "done already under key-2" in settled.text
    assert (tmp_path / "effect-key-2").exists()
    assert keyless.outcome == "unknown"


async def test_a_server_killed_between_calls_is_started_again(
    stdio_peer: Call, limits: DispatchLimits, call: Call, until: Call
) -> None:
    async with Dispatcher([stdio_peer()], limits=limits) as dispatcher:
        before = dispatcher.tools
        os.kill(await pid_of(dispatcher, call), signal.SIGKILL)
        await until(dispatcher, lambda: dispatcher.health()[0].generation == 2)
        assert not (await call(dispatcher, "echo", text="hi")).is_error
        assert dispatcher.tools is before


async def test_a_dead_server_keeps_its_tools_and_says_why(
    tmp_path: Path, limits: DispatchLimits, call: Call, until: Call
) -> None:
    once = tmp_path / "once.py"
    once.write_text(
        f"import os, runpy, sys\n"
        f"if os.path.exists({str(tmp_path / 'ran')!r}): sys.exit('no licence')\n"
        f"open({str(tmp_path / 'ran')!r}, 'w').close()\n"
        f"sys.argv = ['peer', 'stdio']\n"
        f"runpy.run_path({PEER!r}, run_name='__main__')\n"
    )
    server = Server.stdio(sys.executable, str(once), env={"STATE_DIR": str(tmp_path)}, name="once")
    limits = DispatchLimits(connect_s=30, wait_s=0.5, retry_s=0.05, retry_max_s=0.3)
    async with Dispatcher([server], limits=limits) as dispatcher:
        assert (await call(dispatcher, "crash")).outcome == "unknown"
        result = await call(dispatcher, "refuse", reason="x")
        assert result.is_error
        assert result.outcome == "none"
        await until(dispatcher, lambda: "no licence" in (dispatcher.health()[0].failure or ""))
        (health,) = dispatcher.health()
        assert dispatcher.find("echo") is not None
    assert health.state == "failed"
    assert "ended with exit code 1, saying: no licence" in health.failure


async def test_a_server_that_keeps_failing_is_left_alone_then_used_again(
    http_peer: Call, call: Call, until: Call
) -> None:
    peer = http_peer()
    peer.start()
    limits = DispatchLimits(
        wait_s=0.2, breaker_failures=3, breaker_open_s=60, retry_s=0.05, retry_max_s=0.2
    )
    async with Dispatcher([peer.server], limits=limits) as dispatcher:
        peer.kill()
        for _ in range(3):
            assert (await call(dispatcher, "echo", text="x")).outcome == "none"
        await until(dispatcher, lambda: dispatcher.health()[0].state == "open")
        with anyio.fail_after(0.1):
            held_back = await call(dispatcher, "echo", text="x")
        assert held_back.is_error
        assert held_back.outcome == "none"
        await anyio.to_thread.run_sync(peer.start)
        await until(dispatcher, lambda: dispatcher.health()[0].state == "connected")
        assert not (await call(dispatcher, "echo", text="x")).is_error


async def test_start_failures_are_plain_sentences_and_stop_nobody(
    local_peer: Call, limits: DispatchLimits, call: Call, tmp_path: Path
) -> None:
    not_a_program = tmp_path / "notes.txt"
    not_a_program.write_text("hello")
    servers = [
        Server.stdio("no-such-command"),
        Server.stdio(str(not_a_program)),
        Server.stdio(sys.executable, "-c", "raise SystemExit('no database')", name="ends"),
        Server.stdio(sys.executable, "-c", "print('hello', flush=True)", name="talks"),
        Server.stdio(sys.executable, "-V", cwd=tmp_path / "nowhere", name="nowhere"),
        Server.http("http://127.0.0.1:9/mcp", name="refuses"),
        local_peer(),
    ]
    async with Dispatcher(servers, limits=limits) as dispatcher:
        failures = [health.failure for health in dispatcher.health()]
        assert not (await call(dispatcher, "echo", text="hi")).is_error
    assert failures[0] == "'no-such-command' was not found: install it, or give its full path"
    assert failures[1] == f"'{not_a_program}' may not be executed"
    assert failures[2].endswith("ended with exit code 1, saying: no database")
    assert failures[3].endswith("ended with exit code 0")
    assert failures[4].startswith(f"'{tmp_path / 'nowhere'}' was not found")
    assert failures[5].startswith("no connection to 127.0.0.1")
    assert failures[6] is None


async def test_a_silent_server_delays_the_start_by_its_deadline_only(
    local_peer: Call, call: Call, until: Call
) -> None:
    silent = Server.stdio(sys.executable, "-c", SILENT, name="silent")
    limits = DispatchLimits(connect_s=0.5, retry_s=30, retry_max_s=30)
    started = time.monotonic()
    async with Dispatcher([silent, local_peer()], limits=limits) as dispatcher:
        assert time.monotonic() - started < 2
        assert dispatcher.health()[0].state in ("connecting", "failed")
        assert not (await call(dispatcher, "echo", text="hi")).is_error
        await until(dispatcher, lambda: dispatcher.health()[0].state == "failed")
        assert dispatcher.health()[0].failure == "no answer within 0.5 s"
        leaving = time.monotonic()
    assert time.monotonic() - leaving < 3


async def test_leaving_takes_less_than_three_seconds_whatever_hangs(
    stdio_peer: Call, http_peer: Call, limits: DispatchLimits, call: Call
) -> None:
    peer = http_peer("2025")
    peer.start()
    servers = [
        stdio_peer(name="stopped"),
        Server.stdio(sys.executable, "-c", STUBBORN, PEER, name="stubborn"),
        Server.http(f"http://127.0.0.1:{peer.port}/mcp", name="http"),
    ]
    limits = DispatchLimits(connect_s=30, call_s=60)
    async with Dispatcher(servers, limits=limits) as dispatcher, anyio.create_task_group() as group:
        stopped = int((await call(dispatcher, "stopped_pid")).text.splitlines()[1])
        stubborn = int((await call(dispatcher, "stubborn_pid")).text.splitlines()[1])
        os.kill(stopped, signal.SIGSTOP)
        peer.signal(signal.SIGSTOP)
        for name in ("stopped_echo", "http_echo"):
            group.start_soon(lambda name=name: call(dispatcher, name, text="x" * 200_000))
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
        leaving = time.monotonic()
    assert time.monotonic() - leaving < 3.5
    assert not alive(stopped)
    assert not alive(stubborn)


async def test_a_hung_program_is_ended_and_started_again(
    stdio_peer: Call, call: Call, until: Call
) -> None:
    # Whatever lives answers within these, on a loaded machine too.
    limits = DispatchLimits(connect_s=30, wait_s=1.5, call_s=1.5, retry_s=0.05)
    async with Dispatcher([stdio_peer()], limits=limits) as dispatcher:
        hung = await pid_of(dispatcher, call)
        os.kill(hung, signal.SIGSTOP)
        assert (await call(dispatcher, "slow_effect", "k", seconds=0)).outcome == "unknown"
        await until(dispatcher, lambda: dispatcher.health()[0].generation == 2)
        assert not (await call(dispatcher, "echo", text="hi")).is_error
        assert await pid_of(dispatcher, call) != hung
    assert not alive(hung)


async def test_a_program_that_does_not_read_holds_nobody_past_the_deadline(
    stdio_peer: Call, call: Call
) -> None:
    limits = DispatchLimits(connect_s=30, wait_s=0.3, call_s=0.3)
    async with Dispatcher([stdio_peer()], limits=limits) as dispatcher:
        os.kill(await pid_of(dispatcher, call), signal.SIGSTOP)
        with anyio.fail_after(3):
            async with anyio.create_task_group() as group:
                for _ in range(20):
                    group.start_soon(lambda: call(dispatcher, "echo", text="x" * 500_000))


async def test_a_server_that_is_not_there_at_the_start_appears(
    http_peer: Call, limits: DispatchLimits, call: Call, until: Call
) -> None:
    peer = http_peer()
    peer.start()
    peer.kill()
    async with Dispatcher([peer.server], limits=limits) as dispatcher:
        assert dispatcher.tools == ()
        assert dispatcher.health()[0].state == "failed"
        await anyio.to_thread.run_sync(peer.start)
        await until(dispatcher, lambda: dispatcher.find("echo") is not None)
        assert not (await call(dispatcher, "echo", text="hi")).is_error


@ERAS
async def test_a_server_killed_behind_http_comes_back(
    http_peer: Call, limits: DispatchLimits, call: Call, tmp_path: Path, era: tuple[str, ...]
) -> None:
    peer = http_peer(*era)
    peer.start()
    limits = DispatchLimits(wait_s=0.5, call_s=10, retry_s=0.05, retry_max_s=0.2)
    results: list[Any] = []

    async def effect() -> None:
        results.append(await call(dispatcher, "slow_effect", "key-1", seconds=30))

    async with Dispatcher([peer.server], limits=limits) as dispatcher:
        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                group.start_soon(effect)
                while not (tmp_path / "slow_effect").exists():
                    await call(dispatcher, "echo", text="busy")
                peer.kill()
        assert results[0].outcome == "unknown"
        down = await call(dispatcher, "slow_effect", "key-2", seconds=0)
        assert down.is_error
        assert down.outcome == "none"
        await anyio.to_thread.run_sync(peer.start)
        assert not (await call(dispatcher, "echo", text="hi")).is_error
    assert (tmp_path / "slow_effect").read_text() == "1"


async def test_an_effect_sent_before_the_server_went_away_for_good_stays_unknown(
    http_peer: Call, call: Call, tmp_path: Path
) -> None:
    peer = http_peer()
    peer.start()
    limits = DispatchLimits(wait_s=0.3, call_s=10, retry_s=0.05, retry_max_s=0.2)
    results: list[Any] = []

    async def effect() -> None:
        results.append(await call(dispatcher, "slow_once", "key-1", seconds=30))

    async with Dispatcher([peer.server], limits=limits) as dispatcher:
        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                group.start_soon(effect)
                while not (tmp_path / "slow_once-key-1").exists():
                    await call(dispatcher, "echo", text="busy")
                peer.kill()
    assert results[0].is_error
    assert results[0].outcome == "unknown"


@ERAS
async def test_twenty_reads_survive_kill_and_restart(
    http_peer: Call, call: Call, era: tuple[str, ...]
) -> None:
    limits = DispatchLimits(wait_s=20, retry_s=0.05, retry_max_s=0.3)
    peer = http_peer(*era)
    peer.start()
    results: list[Any] = []

    async def read() -> None:
        results.append(await call(dispatcher, "slow", seconds=0.5))

    async with Dispatcher([peer.server], limits=limits) as dispatcher:
        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(read)
            while "slow began" not in (await call(dispatcher, "events")).text:
                pass
            peer.kill()
            await anyio.to_thread.run_sync(peer.start)
        assert [result.is_error for result in results] == [False] * 20


async def test_a_hung_server_behind_http_is_used_again_once_it_answers(
    http_peer: Call, call: Call, until: Call
) -> None:
    peer = http_peer("2025")
    peer.start()
    limits = DispatchLimits(connect_s=1, wait_s=0.3, call_s=0.3, retry_s=0.05, retry_max_s=0.2)
    async with Dispatcher([peer.server], limits=limits) as dispatcher:
        peer.signal(signal.SIGSTOP)
        with anyio.fail_after(3):
            assert (await call(dispatcher, "slow_effect", "k", seconds=0)).outcome == "unknown"
            assert (await call(dispatcher, "echo", text="x")).is_error
        peer.signal(signal.SIGCONT)
        await until(dispatcher, lambda: dispatcher.health()[0].generation == 2)
        assert not (await call(dispatcher, "echo", text="hi")).is_error


async def test_nothing_is_left_when_entering_is_cancelled(stdio_peer: Call, tmp_path: Path) -> None:
    program = (
        "import os, pathlib, time\n"
        f"path = pathlib.Path({str(tmp_path)!r})\n"
        "(path / 'new').write_text(str(os.getpid())); (path / 'new').rename(path / 'pid')\n"
        "time.sleep(60)"
    )
    silent = Server.stdio(sys.executable, "-c", program, name="silent")
    with anyio.move_on_after(1):
        async with Dispatcher([silent, stdio_peer()]):
            pytest.fail("a silent server was waited for")
    assert not alive(int((tmp_path / "pid").read_text()))


async def test_what_a_program_says_on_stderr_is_logged_not_shown(
    limits: DispatchLimits, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG, "aicore.dispatch.stdio")
    program = "import sys; print('out of paper', file=sys.stderr)"
    async with Dispatcher([Server.stdio(sys.executable, "-c", program)], limits=limits):
        pass
    assert "out of paper" in caplog.text
    assert "out of paper" not in "".join(capfd.readouterr())
