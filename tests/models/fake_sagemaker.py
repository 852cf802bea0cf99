"""SageMaker on loopback: OpenAI's events in AWS's frames, as botocore's client reads them."""

import json
from binascii import crc32
from collections.abc import Iterable
from struct import pack
from typing import Any

from tests.models.fake_openai import Asked, Play, answering

STREAM = "application/vnd.amazon.eventstream"


def origin(base_url: str) -> str:
    """The address without the path of the chat format."""
    return base_url.removesuffix("/v1")


def frame(payload: bytes, headers: dict[str, str]) -> bytes:
    """One message of AWS's event stream: prelude, headers, payload, both with a checksum."""
    head = b"".join(
        pack("!B", len(name)) + name.encode() + pack("!BH", 7, len(value)) + value.encode()
        for name, value in headers.items()
    )
    prelude = pack("!II", 16 + len(head) + len(payload), len(head))
    start = prelude + pack("!I", crc32(prelude))
    body = start + head + payload
    return body + pack("!I", crc32(body))


def part(payload: bytes) -> bytes:
    kind = {":event-type": "PayloadPart", ":content-type": "application/octet-stream"}
    return frame(payload, {**kind, ":message-type": "event"})


def failure(name: str, message: str) -> bytes:
    body = json.dumps({"Message": message, "ErrorCode": "StreamBroken"}).encode()
    return frame(body, {":exception-type": name, ":message-type": "exception"})


def framed(frames: Iterable[bytes], size: int = 0, **how: Any) -> Play:
    data = b"".join(frames)
    parts = [data[at : at + size] for at in range(0, len(data), size)] if size else [data]
    return Play(parts, headers={"content-type": STREAM}, **how)


def enveloped(asked: Asked, text: str, calls: Iterable[dict[str, Any]] = ()) -> Play:
    """Answer with this, in frames when asked for a stream."""
    play = answering(asked, text, calls)
    is_stream = asked.path.endswith("/invocations-response-stream")
    return framed(map(part, play.parts)) if is_stream else play
