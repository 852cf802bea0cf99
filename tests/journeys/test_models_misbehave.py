"""Servers that break every rule, in each format: a typed error that names who; the talk goes on.

Each fault is played once, at the wire, for a whole answer and for a stream; the next message of the
same conversation is then answered, with the first one in view.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from tests.models import fake_anthropic, fake_gemini, fake_openai
from tests.models.fake_openai import Asked, Play, free_port, serving

from aicore import Agent, Replied, StreamEvent
from aicore.errors import (
    AicoreError,
    ConfigError,
    CredentialError,
    Interrupted,
    ModelError,
    ProviderUnavailable,
)
from aicore.models import Anthropic, Gemini, OpenAICompatible, Router, Timeouts
from aicore.models.http_model import HTTPModel
from aicore.models.router import DataRules, RouterLimits

WEB = "web:1"
IMPATIENT = Timeouts(connect_s=1, first_token_s=0.4, idle_s=0.4, total_s=2)
PAGE = b"<!doctype html><html><body>It works!</body></html>"
JSON = {"content-type": "application/json"}
EVENTS = {"content-type": "text/event-stream"}


@dataclass(frozen=True)
class Format:
    """How a format is asked and played. `begins` are the events of an answer that has begun."""

    make: Callable[[str], HTTPModel]
    answer: Callable[[Asked, str], Play]
    begins: tuple[bytes, ...]


FORMATS: Mapping[str, Format] = {
    "openai": Format(
        lambda url: OpenAICompatible(
            base_url=f"{url}/v1", model="m", api_key="sk-1", timeouts=IMPATIENT
        ),
        fake_openai.answering,
        tuple(fake_openai.streamed("Well, ")[:2]),
    ),
    "anthropic": Format(
        lambda url: Anthropic(base_url=url, model="m", api_key="sk-1", timeouts=IMPATIENT),
        lambda asked, text: fake_anthropic.answering(asked, fake_anthropic.text(text)),
        (
            fake_anthropic.start(),
            *fake_anthropic.block(0, fake_anthropic.text("Well, "))[:2],
        ),
    ),
    "gemini": Format(
        lambda url: Gemini(base_url=url, model="m", api_key="sk-1", timeouts=IMPATIENT),
        fake_gemini.answering,
        (fake_gemini.event(fake_gemini.whole([fake_gemini.said("Well, ")], finish=None)),),
    ),
}


def body(*parts: bytes, **how: Any) -> Callable[[Format, bool], Play]:
    """These bytes, as a whole answer or as a stream."""
    return lambda format_, is_stream: Play(
        list(parts), headers=dict(EVENTS if is_stream else JSON), **how
    )


def begun(**how: Any) -> Callable[[Format, bool], Play]:
    """An answer that has begun; whole ones are cut in the middle of their JSON."""

    def play(format_: Format, is_stream: bool) -> Play:
        parts = list(format_.begins) if is_stream else [b'{"choi']
        return Play(parts, headers=dict(EVENTS if is_stream else JSON), **how)

    return play


def status(code: int, text: bytes = b'{"error": {"message": "No."}}') -> Callable[..., Play]:
    return lambda format_, is_stream: Play([text], status=code, headers=dict(JSON))


Fault = tuple[Callable[[Format, bool], Play], type[AicoreError], type[AicoreError]]
FAULTS: Mapping[str, Fault] = {
    "wrong key": (status(401), CredentialError, CredentialError),
    "no such model": (status(404), ConfigError, ConfigError),
    "overloaded": (status(503, b"<html>busy</html>"), ProviderUnavailable, ProviderUnavailable),
    "refuses": (status(422), ModelError, ModelError),
    "web page": (
        lambda format_, is_stream: Play([PAGE], headers={"content-type": "text/html"}),
        ConfigError,
        ConfigError,
    ),
    "garbage": (body(b"\x00\xff\x80garbage\n\n"), ProviderUnavailable, ProviderUnavailable),
    "half JSON": (body(b'data: {"choices": [{"del\n\n'), ProviderUnavailable, ProviderUnavailable),
    "JSON of another shape": (
        body(b'data: ["no", "answer"]\n\n'),
        ProviderUnavailable,
        ProviderUnavailable,
    ),
    "nothing": (body(), ProviderUnavailable, ProviderUnavailable),
    "10 MB of nothing": (
        body(b"data: " + b"x" * 10_000_000 + b"\n\n"),
        ProviderUnavailable,
        ProviderUnavailable,
    ),
    "closes at once": (
        lambda format_, is_stream: Play(drop=True),
        ProviderUnavailable,
        ProviderUnavailable,
    ),
    "says nothing": (
        lambda format_, is_stream: Play(waits=True),
        ProviderUnavailable,
        ProviderUnavailable,
    ),
    "falls silent": (begun(end="hang"), ProviderUnavailable, Interrupted),
    "breaks off": (begun(end="cut"), ProviderUnavailable, Interrupted),
    "ends without an end": (begun(), ProviderUnavailable, Interrupted),
}


async def last_of(agent: Agent, text: str, *, is_stream: bool) -> str:
    """Say it; what is answered. Raises as the agent does."""
    if not is_stream:
        return (await agent.send(text, conversation=WEB)).text
    events: list[StreamEvent] = [one async for one in agent.stream(text, conversation=WEB)]
    assert isinstance(events[-1], Replied)
    return events[-1].reply.text


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", FORMATS)
async def test_a_fault_is_a_typed_error_that_names_who_and_the_talk_goes_on(
    name: str, fault: str, is_stream: bool
) -> None:
    format_ = FORMATS[name]
    play, error_of_whole, error_of_stream = FAULTS[fault]
    broken = [play(format_, is_stream)]

    def answer(asked: Asked) -> Play:
        return broken.pop() if broken else format_.answer(asked, "Good again.")

    async with serving(otherwise=answer) as server:
        url = fake_gemini.origin(server)
        async with Agent(provider=format_.make(url)) as agent:
            with pytest.raises(AicoreError) as failed:
                await last_of(agent, "first", is_stream=is_stream)
            assert await last_of(agent, "second", is_stream=is_stream) == "Good again."
        assert type(failed.value) is (error_of_stream if is_stream else error_of_whole)
        said = str(failed.value)
        assert url in said or "'m'" in said or f"{name}:m" in said
        assert "sk-1" not in said
        assert b"first" in server.requests[-1].body


@pytest.mark.parametrize("name", FORMATS)
async def test_a_wrong_address_is_named(name: str) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    async with Agent(provider=FORMATS[name].make(url)) as agent:
        with pytest.raises(ProviderUnavailable) as failed:
            await agent.send("hi", conversation=WEB)
    assert url in str(failed.value)


@pytest.mark.parametrize("fault", FAULTS)
async def test_with_a_second_provider_nobody_sees_the_fault(fault: str) -> None:
    format_ = FORMATS["openai"]
    play, *_ = FAULTS[fault]

    def bad(asked: Asked) -> Play:
        return play(format_, "stream" in asked.json and asked.json["stream"])

    def good(asked: Asked) -> Play:
        return fake_anthropic.answering(asked, fake_anthropic.text("All is well."))

    async with serving(otherwise=bad) as first, serving(otherwise=good) as second:
        router = Router(
            [
                format_.make(fake_gemini.origin(first)),
                FORMATS["anthropic"].make(fake_gemini.origin(second)),
            ],
            rules=DataRules.open(),
            limits=RouterLimits(backoff_s=0.01),
        )
        async with Agent(provider=router) as agent:
            for is_stream in (False, True):
                text = await last_of(agent, "hello", is_stream=is_stream)
                assert text in ("All is well.", "Well, All is well.")
                assert (await agent.send("and?", conversation=WEB)).text
