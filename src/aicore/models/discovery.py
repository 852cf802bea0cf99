"""Finds an OpenAI-compatible server that already runs on this machine."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

import anyio

from aicore.models.locality import is_passed_on

__all__ = ["WELL_KNOWN_PORTS", "FoundServer", "can_chat", "find_local"]

WELL_KNOWN_PORTS: Mapping[int, str] = {
    11434: "Ollama",
    1234: "LM Studio",
    8080: "llama.cpp",
    8000: "vLLM",
    30000: "SGLang",
    1337: "Jan",
    4891: "GPT4All",
    5001: "KoboldCpp",
}
"""Default ports of servers, in the order in which they are preferred."""

_OK = re.compile(rb"HTTP/1\.[01] 200\b")
_MAX_ANSWER_BYTES = 1024 * 1024
# A LiteLLM proxy says so of all its models, whoever has them (BerriAI/litellm#32903).
_VENDOR = "openai"
# Such models are listed beside chat models but cannot chat.
_NO_CHAT = ("embed", "rerank", "whisper", "bge-")


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundServer:
    """A server that answers. `product` is a guess from its port; `model` can be asked at once."""

    base_url: str
    model: str
    product: str


async def find_local(
    timeout_s: float = 0.3, *, ports: Mapping[int, str] = WELL_KNOWN_PORTS
) -> FoundServer | None:
    """Ask the usual ports of 127.0.0.1 for their models, all at once.

    Gives the first in the order of `ports` (port: product) that lists a model fit for chat that
    is served there and not passed on to a vendor, or None. Sends nothing but `GET /v1/models`,
    and nothing at all to a port where nobody listens.
    """
    found: dict[int, FoundServer] = {}

    async def probe(port: int) -> None:
        model = await _first_model(port)
        if model:
            found[port] = FoundServer(
                base_url=f"http://127.0.0.1:{port}/v1", model=model, product=ports[port]
            )

    with anyio.move_on_after(timeout_s):
        async with anyio.create_task_group() as tasks:
            for port in ports:
                tasks.start_soon(probe, port)
    return next((found[port] for port in ports if port in found), None)


async def _first_model(port: int) -> str | None:
    # HTTP/1.0 by hand: importing httpx2 takes longer than all of this, and would be for nothing
    # on a machine where no server runs.
    request = f"GET /v1/models HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n"
    answer = bytearray()
    try:
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            await stream.send(request.encode())
            async for part in stream:
                answer += part
                # Not every server closes the connection, so the end is where the JSON ends.
                if part.rstrip().endswith(b"}") and (model := _chat_model(answer)):
                    return model
                if len(answer) > _MAX_ANSWER_BYTES:
                    break
    except (OSError, anyio.BrokenResourceError):
        pass
    return None


def _chat_model(answer: bytearray) -> str | None:
    head, _, body = answer.partition(b"\r\n\r\n")
    if not _OK.match(head):
        return None
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return None
    listed = data.get("data") if isinstance(data, dict) else None
    for entry in listed if isinstance(listed, list) else ():
        model = entry.get("id") if isinstance(entry, dict) else None
        if model is not None and entry.get("owned_by") == _VENDOR:
            continue
        if isinstance(model, str) and model and can_chat(model) and not is_passed_on(model):
            return model
    return None


def can_chat(model: str) -> bool:
    """Tell by its name whether a model is one for chat, not for embeddings or speech."""
    return not any(word in model.lower() for word in _NO_CHAT)
