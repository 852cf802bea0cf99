"""What the tests of the log share."""

import importlib.util
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aicore.log.events import MessageReceived
from aicore.records import Principal

Say = Callable[..., MessageReceived]
StartWriter = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def say() -> Say:
    """Makes a customer's message."""

    def make(text: str = "hello", message_id: str | None = None) -> MessageReceived:
        return MessageReceived(
            text=text, principal=Principal("customer", "ann"), message_id=message_id
        )

    return make


@pytest.fixture
def start_writer() -> Iterator[StartWriter]:
    """Starts writer_process.py with arguments; what still runs after the test is ended."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: object) -> subprocess.Popen[str]:
        program = str(Path(__file__).with_name("writer_process.py"))
        process = subprocess.Popen(
            [sys.executable, program, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


@pytest.fixture
def proxy(valkey: Any) -> Any:
    """Makes proxies in front of the Valkey server: see redis_proxy.py."""
    path = Path(__file__).with_name("redis_proxy.py")
    spec = importlib.util.spec_from_file_location("redis_proxy", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Proxy
