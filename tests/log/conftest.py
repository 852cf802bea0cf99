"""What the tests of the log share."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

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
