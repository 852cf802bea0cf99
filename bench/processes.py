"""The processes of a run: fake servers, and one worker per contender. All are ended by the run."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from scenarios import Scenario, WrongAnswer

__all__ = ["ModelServer", "Worker", "WorkerFailed", "mcp_target", "model_server"]

HERE = Path(__file__).parent
MODEL_SERVER = HERE / "fakes" / "model_server.py"
ECHO_SERVER = HERE / "fakes" / "echo_server.py"
WORKER = str(HERE / "worker.py")


class WorkerFailed(Exception):
    """A contender raised, or died; its own words are on standard error."""


@contextmanager
def started(*command: str) -> Iterator[str]:
    """A program that prints one line when ready and ends with its standard input; the line."""
    process = subprocess.Popen(
        [sys.executable, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = process.stdout.readline().strip()
        if not line:
            raise WorkerFailed(f"{command[0]} did not start")
        yield line
    finally:
        process.stdin.close()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


@dataclass(frozen=True, slots=True)
class ModelServer:
    """A running fake model."""

    port: int

    @property
    def url(self) -> str:
        """What an OpenAI-compatible client takes as its base URL."""
        return f"http://127.0.0.1:{self.port}/v1"

    def requests(self) -> int:
        """Model requests so far."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/requests") as response:
            count: int = json.load(response)["requests"]
        return count


@contextmanager
def model_server() -> Iterator[ModelServer]:
    """A fake model for the length of the block."""
    with started(str(MODEL_SERVER)) as port:
        yield ModelServer(int(port))


@contextmanager
def mcp_target(scenario: Scenario, *, lie: bool = False) -> Iterator[str | list[str] | None]:
    """What a contender connects to for its tools: a running server's URL, a command, or None."""
    arguments = [str(scenario.tools), *(["--lie"] if lie else [])]
    if scenario.transport == "none":
        yield None
    elif scenario.transport == "stdio":
        yield [sys.executable, str(ECHO_SERVER), "stdio", *arguments]
    else:
        with started(str(ECHO_SERVER), "http", *arguments) as port:
            yield f"http://127.0.0.1:{port}/mcp"


class Worker:
    """A contender in its own process."""

    def __init__(
        self, python: str, contender: str, scenario: Scenario, model_url: str, target: object
    ) -> None:
        self._process = subprocess.Popen(
            [python, WORKER, contender, scenario.key, model_url, json.dumps(target)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._name = f"{contender} in {scenario.key}"

    def run(self, turns: int, conversation: str | None = None, first: int = 1) -> dict[str, float]:
        """Run turns in the worker; what it measured.

        Raises: WrongAnswer, WorkerFailed.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        command = {"turns": turns, "conversation": conversation, "first": first}
        with suppress(BrokenPipeError):  # its last words say why
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        measured: dict[str, Any] = json.loads(line) if line else {"error": "died"}
        if "error" in measured:
            kind = WrongAnswer if measured["error"].startswith("WrongAnswer") else WorkerFailed
            raise kind(f"{self._name}: {measured['error']}")
        return measured

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):  # it may have gone already
            self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
