"""Ways to reach a server: in process, as a child on stdio, as a child on HTTP."""

import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
)
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters
from mcp.types import RequestParamsMeta

from aicore_servers._serve import ServeSettings

SERVERS = Path(__file__).resolve().parents[2] / "servers" / "aicore_servers"


@dataclass(frozen=True)
class Answer:
    """What a tool answered: its JSON, and whether it is an error."""

    body: dict[str, Any]
    is_error: bool

    def __getitem__(self, name: str) -> Any:
        return self.body[name]


@dataclass(frozen=True)
class Desk:
    """A connected client that reads answers as our servers promise them."""

    client: Client

    async def __call__(self, tool: str, *, key: str | None = None, **arguments: Any) -> Answer:
        given = {"aicore/operation-key": key, "aicore/principal": "staff:ann"} if key else {}
        meta: RequestParamsMeta = given  # type: ignore[assignment] # mypy lacks PEP 728
        result = await self.client.call_tool(tool, arguments, meta=meta)
        (block,) = result.content
        assert block.type == "text"
        assert result.structured_content is None
        assert "\n" not in block.text.replace("\\n", "")
        return Answer(json.loads(block.text), bool(result.is_error))


def command(module: str, *arguments: str) -> list[str]:
    """The way MCP hosts are configured: the file itself, whatever the working folder."""
    return [sys.executable, str(SERVERS / f"{module}.py"), *arguments]


@contextmanager
def _http(module: str, data: Path, *arguments: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    process = subprocess.Popen(
        command(module, "--http", "--port", "0", "--data", str(data), *arguments),
        stderr=subprocess.PIPE,
        text=True,
        cwd=data,
    )
    assert process.stderr is not None
    try:
        line = process.stderr.readline()
        found = re.search(r"http://\S+", line)
        assert found is not None, line + process.stderr.read()
        yield found[0], process
    finally:
        process.kill()
        process.communicate(timeout=10)


@pytest.fixture
def run() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a server to its end, with nothing on stdin."""

    def run(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(module, *arguments),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )

    return run


@pytest.fixture
def http() -> Callable[..., AbstractContextManager[tuple[str, subprocess.Popen[str]]]]:
    """Start a server on a free port; gives its URL and its process."""
    return _http


@pytest.fixture
def in_process(tmp_path: Path) -> Callable[..., AbstractAsyncContextManager[Desk]]:
    """Connect to a server in this process."""

    @asynccontextmanager
    async def connect(create: Callable[[ServeSettings], Any], **given: Any) -> AsyncIterator[Desk]:
        async with Client(create(ServeSettings(data_dir=tmp_path, **given))) as client:
            yield Desk(client)

    return connect


@pytest.fixture(
    params=[f"{way} {mode}" for way in ("stdio", "http") for mode in ("auto", "legacy")]
)
def over_the_wire(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Callable[[str], AbstractAsyncContextManager[Desk]]:
    """Connect to a server in another process: both transports, both protocol eras."""
    way, mode = request.param.split()

    @asynccontextmanager
    async def connect(module: str) -> AsyncIterator[Desk]:
        if way == "stdio":
            program, *arguments = command(module, "--data", str(tmp_path))
            target = StdioServerParameters(command=program, args=arguments, env=dict(os.environ))
            async with Client(target, mode=mode) as client:
                yield Desk(client)
        else:
            with _http(module, tmp_path) as (url, _):
                async with Client(url, mode=mode) as client:
                    yield Desk(client)

    return connect


@pytest.fixture
def matches_snapshot() -> Callable[..., None]:
    """Compare `tools/list` with tests/servers/snapshots/NAME.json.

    What models read of a tool is a promise: change it on purpose only. To accept a change, run
    the tests once with PYTEST_AICORE_SNAPSHOTS=write in the environment, and review the diff.
    """

    def compare(name: str, tools: Sequence[Any]) -> None:
        listed = [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in tools]
        text = json.dumps(listed, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
        path = Path(__file__).with_name("snapshots") / f"{name}.json"
        if os.environ.get("PYTEST_AICORE_SNAPSHOTS") == "write":
            path.write_text(text, encoding="utf-8")
        assert text == path.read_text(encoding="utf-8")

    return compare
