"""Finding a model server that runs on this machine."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream
from tests.models.fake_openai import free_port

from aicore.models import FoundServer, find_local


def listing(*models: str) -> dict[str, Any]:
    return {"object": "list", "data": [{"id": model, "object": "model"} for model in models]}


def answer(data: Any, status: int = 200) -> bytes:
    body = json.dumps(data).encode()
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


def owned(model: str, owner: str) -> dict[str, Any]:
    return {"data": [{"id": model, "object": "model", "owned_by": owner}]}


@asynccontextmanager
async def replying(raw: bytes, *, stays_open: bool = False) -> AsyncIterator[int]:
    """A server that sends the same bytes to everybody."""

    async def handle(stream: SocketStream) -> None:
        async with stream:
            request = await stream.receive()
            assert request.startswith(b"GET /v1/models HTTP/1.0\r\n")
            if raw:
                await stream.send(raw)
            if stays_open:
                await anyio.sleep_forever()

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, handle)
        yield listener.extra(SocketAttribute.local_port)
        tasks.cancel_scope.cancel()


async def test_running_server_is_found_with_its_first_model() -> None:
    async with replying(answer(listing("llama3.3", "qwen3"))) as port:
        found = await find_local(5, ports={free_port(): "none", port: "Ollama"})

    assert found == FoundServer(
        base_url=f"http://127.0.0.1:{port}/v1", model="llama3.3", product="Ollama"
    )


async def test_models_that_cannot_chat_are_passed_over() -> None:
    async with replying(answer(listing("nomic-embed-text", "bge-m3", "llama3.3"))) as port:
        found = await find_local(5, ports={port: "Ollama"})

    assert found is not None
    assert found.model == "llama3.3"


async def test_models_that_are_passed_on_to_a_vendor_do_not_run_here() -> None:
    async with replying(answer(listing("gpt-oss:120b-cloud", "llama3.3"))) as port:
        found = await find_local(5, ports={port: "Ollama"})

    assert found is not None
    assert found.model == "llama3.3"


async def test_proxy_to_a_vendor_is_not_a_model_of_this_machine() -> None:
    """A LiteLLM proxy calls all its models OpenAI's, whoever has them."""
    async with replying(answer(owned("gpt-5", "openai"))) as port:
        assert await find_local(5, ports={port: "vLLM"}) is None


async def test_first_of_the_ports_wins() -> None:
    async with replying(answer(listing("a"))) as one, replying(answer(listing("b"))) as two:
        found = await find_local(5, ports={two: "two", one: "one"})

    assert found is not None
    assert found.product == "two"


async def test_server_that_keeps_the_connection_open_is_found_at_once() -> None:
    async with replying(answer(listing("a")), stays_open=True) as port:
        with anyio.fail_after(5):
            assert await find_local(60, ports={port: "x"})


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n<html></html>",
        answer(listing("a"), status=404),
        answer(listing("a"), status=301),
        answer(listing()),
        answer(listing("nomic-embed-text")),
        answer({"data": "x"}),
        answer({"data": [1, {"id": 5}, {"id": ""}, {}]}),
        answer({}),
        answer([]),
        b"HTTP/1.1 200 OK\r\n\r\n" + b"}" * 2_000_000,
    ],
)
async def test_other_programs_are_not_taken_for_one(raw: bytes) -> None:
    async with replying(raw) as port:
        assert await find_local(5, ports={port: "x"}) is None


async def test_nobody_listening_is_noticed_at_once() -> None:
    started = time.monotonic()
    assert await find_local(60, ports={free_port(): "x" for _ in range(8)}) is None

    assert time.monotonic() - started < 5


async def test_server_that_hangs_takes_no_longer_than_allowed_and_hides_no_other() -> None:
    async with (
        replying(b"", stays_open=True) as silent,
        replying(answer(listing("a"))) as good,
    ):
        with anyio.fail_after(5):
            found = await find_local(0.2, ports={silent: "silent", good: "good"})

    assert found is not None
    assert found.product == "good"
