"""A model in a SageMaker endpoint of one's own, in a container that takes OpenAI's chat format.

Requests are signed; a streamed answer comes in AWS's frames, whose payloads joined are the events
of the container. What both look like is in botocore's model of `sagemaker-runtime`:
POST /endpoints/NAME/invocations and /invocations-response-stream.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

from aicore.models.aws_signing import KEY_REMEDY, Signer
from aicore.models.http_model import BrokenOffError, ErrorInReply, HTTPModel, ReplyReader, Site
from aicore.models.locality import is_own_host
from aicore.models.openai_compatible import Chat
from aicore.models.openai_http import checked_url, request_headers
from aicore.models.openai_reply import ReplyCollector
from aicore.models.port import Capabilities
from aicore.models.settings import PriceSettings, Section, TimeoutSettings, read_settings
from aicore.models.systems.regions import region_word
from aicore.models.timeouts import DEFAULT_TIMEOUTS
from aicore.models.wire_json import parse_json

__all__ = ["SageMaker", "SageMakerSettings", "open_from_settings"]

_MODEL_ERROR = 424


class SageMakerSettings(Section):
    """One model behind a SageMaker endpoint. `model` is the name that its container serves.

    `base_url` is Amazon's runtime in `region`, e.g.
    `https://runtime.sagemaker.eu-central-1.amazonaws.com`. `headers` may name an inference
    component; `json_schema` is False for a container that refuses `response_format`. `locality`
    and `vendor` are what they are.
    """

    endpoint: str
    region: str
    model: str
    base_url: str
    name: str | None = None
    locality: Literal["managed"] = "managed"
    vendor: Literal["aws"] = "aws"
    price: PriceSettings | None = None
    context_tokens: int | None = None
    headers: dict[str, str] | None = None
    timeouts: TimeoutSettings | None = None
    extra_body: dict[str, Any] | None = None
    json_schema: bool = True


class SageMaker(HTTPModel):
    """A model behind a SageMaker endpoint. Needs the extra `aws`; enter it before use.

    Raises: ConfigError for a setting that cannot be or a missing extra, CredentialError without
    a key.
    """

    def __init__(self, settings: SageMakerSettings) -> None:
        host = checked_url(settings.base_url, "/invocations").hostname or ""
        base_url, endpoint = settings.base_url.rstrip("/"), quote(settings.endpoint, safe="")
        url = f"{base_url}/endpoints/{endpoint}/invocations"
        own = {key.lower(): value for key, value in (settings.headers or {}).items()}
        signer = Signer(service="sagemaker", region=settings.region, headers=own)
        super().__init__(
            name=settings.name or f"sagemaker:{settings.model}",
            model=settings.model,
            site=Site(
                url=url,
                stream_url=f"{url}-response-stream",
                headers=request_headers(None, own),
                is_own=is_own_host(host),
                secrets=signer.secrets,
                authorize=signer.sign,
                key_remedy=KEY_REMEDY,
            ),
            dialect=_FramedChat(settings.model, settings.extra_body or {}, "max_tokens"),
            capabilities=Capabilities(
                locality=settings.locality,
                context_tokens=settings.context_tokens,
                price=settings.price.price() if settings.price else None,
                vendor=settings.vendor,
                region=region_word(settings.region),
                schema=settings.json_schema,
            ),
            timeouts=settings.timeouts.timeouts() if settings.timeouts else DEFAULT_TIMEOUTS,
        )

    def _take_whole(
        self, reply: ReplyReader, status: int, headers: Mapping[str, str], body: bytes
    ) -> str:
        status, body = _unwrapped(status, body)
        return super()._take_whole(reply, status, headers, body)


class _FramedChat(Chat):
    def reader(self) -> ReplyCollector:
        return _FramedReply()


class _FramedReply(ReplyCollector):
    """Takes a whole answer as it is, a streamed one out of its frames."""

    def __init__(self) -> None:
        super().__init__()
        self._frames: Any = None

    def add_part(self, part: bytes) -> str:
        if not part:
            return super().add_part(b"")
        if self._frames is None:
            from botocore.eventstream import EventStreamBuffer

            self._frames = EventStreamBuffer()
        self._frames.add_data(part)
        texts = []
        for frame in self._whole_frames():
            if frame.error is not None and not self.is_complete:
                raise ErrorInReply(frame.error)
            if frame.payload:
                texts.append(super().add_part(frame.payload))
            if self.is_done:
                break
        return "".join(texts)

    def _whole_frames(self) -> Iterator[_Frame]:
        from botocore.eventstream import ParserError

        try:
            for message in self._frames:
                yield _frame(message.headers, message.payload)
        except (ParserError, ValueError, LookupError) as exc:
            raise BrokenOffError("The frames of the stream are damaged.") from exc


@dataclass(frozen=True, slots=True)
class _Frame:
    payload: bytes
    error: Any = None


def _frame(headers: Mapping[str, Any], payload: bytes) -> _Frame:
    kind = headers.get(":message-type", "event")
    if kind == "event":
        return _Frame(payload if headers.get(":event-type") == "PayloadPart" else b"")
    try:
        said = parse_json(payload).get("Message")
    except (ValueError, AttributeError):
        said = None
    name = headers.get(":exception-type") or headers.get(":error-code")
    return _Frame(b"", {"message": said or headers.get(":error-message") or name, "type": name})


def _unwrapped(status: int, body: bytes) -> tuple[int, bytes]:
    """What the container said, where SageMaker tells of it; a missing endpoint as a 404."""
    try:
        found = parse_json(body)
    except ValueError:
        return status, body
    if not isinstance(found, dict):
        return status, body
    if status == _MODEL_ERROR and isinstance(found.get("OriginalStatusCode"), int):
        return found["OriginalStatusCode"], str(found.get("OriginalMessage") or "").encode()
    message = found.get("message") or found.get("Message")
    if status == 400 and isinstance(message, str) and message.rstrip(".").endswith("not found"):
        return 404, json.dumps({"message": message}).encode()
    return status, body


def open_from_settings(settings: Mapping[str, Any]) -> SageMaker:
    """Make the provider; the caller enters it. Raises: ConfigError, CredentialError."""
    return SageMaker(read_settings(SageMakerSettings, settings))
