"""The provider over the wire: what it sends, what goes wrong, and streams that break."""

from collections.abc import Callable
from typing import Any

import anyio
import pytest
from tests.models.fake_gemini import (
    OTHER_SIGNATURE,
    SIGNATURE,
    blocked,
    call,
    echo,
    event,
    failed,
    origin,
    said,
    streamed,
    whole,
)
from tests.models.fake_openai import (
    Asked,
    FakeOpenAI,
    Play,
    free_port,
    json_play,
    serving,
    stream_play,
)

from aicore.errors import (
    AicoreError,
    ConfigError,
    ContextOverflow,
    CredentialError,
    Interrupted,
    ModelError,
    OperatorError,
    ProviderUnavailable,
)
from aicore.models import Completion, Gemini, Request, TextDelta, Timeouts, open_provider

Ask = Callable[..., Request]
Collect = Callable[..., Any]
HTML = Play([b"<html>Not found</html>"], headers={"content-type": "text/html; charset=UTF-8"})
RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"}
BAD_KEY = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}


def gemini(server: FakeOpenAI, **settings: Any) -> Gemini:
    return Gemini(**{"model": "m", "base_url": origin(server), **settings})


# What is sent


async def test_key_is_sent_in_googles_header_and_nowhere_else(ask: Ask) -> None:
    async with serving(otherwise=echo) as server, gemini(server, api_key="AIza-1") as model:
        assert (await model.complete(ask("hi"))).text == "You said: hi"

    (asked,) = server.requests
    assert asked.headers["x-goog-api-key"] == "AIza-1"
    assert "authorization" not in asked.headers
    assert "AIza-1" not in asked.path + asked.body.decode() + repr(model)


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("gemini-flash-latest", "/v1beta/models/gemini-flash-latest"),
        ("models/gemini-flash-latest", "/v1beta/models/gemini-flash-latest"),
        ("a b/c?d", "/v1beta/models/a%20b%2Fc%3Fd"),
    ],
)
async def test_model_and_the_way_to_answer_stand_in_the_address(
    model: str, path: str, ask: Ask, collect: Collect
) -> None:
    async with serving(otherwise=echo) as server, gemini(server, model=model) as provider:
        await provider.complete(ask())
        await collect(provider, ask())

    assert [asked.path for asked in server.requests] == [
        f"{path}:generateContent",
        f"{path}:streamGenerateContent?alt=sse",
    ]


async def test_another_path_and_authorization_can_be_given(ask: Ask) -> None:
    """Vertex AI: the same format elsewhere, with a token that expires."""

    async def authorize(url: str, body: bytes) -> dict[str, str]:
        return {"authorization": f"Bearer for {len(body) > 0} {url.rpartition('/')[2]}"}

    path = "/v1/projects/p/locations/eu/publishers/google/models/{model}"
    async with (
        serving(otherwise=echo) as server,
        gemini(server, path=path, authorize=authorize) as model,
    ):
        await model.complete(ask())

    (asked,) = server.requests
    assert asked.path == path.format(model="m") + ":generateContent"
    assert asked.headers["authorization"] == "Bearer for True m:generateContent"
    assert "x-goog-api-key" not in asked.headers


async def test_further_fields_and_headers_are_sent(ask: Ask) -> None:
    options = {"safetySettings": [], "generationConfig": {"temperature": 0}}
    async with (
        serving(otherwise=echo) as server,
        gemini(server, extra_body=options, headers={"X-Team": "a"}, max_output_tokens=7) as model,
    ):
        await model.complete(ask())

    (asked,) = server.requests
    assert asked.headers["x-team"] == "a"
    assert asked.json["safetySettings"] == []
    assert asked.json["generationConfig"] == {"temperature": 0, "maxOutputTokens": 7}


def test_facts() -> None:
    provider = Gemini(model="gemini-flash-latest", region="eu", context_tokens=1000)
    facts = provider.capabilities

    assert provider.name == "gemini:gemini-flash-latest"
    assert (facts.vendor, facts.region, facts.locality) == ("google", "eu", "managed")
    assert (facts.tools, facts.schema, facts.context_tokens) == (True, True, 1000)


@pytest.mark.parametrize(
    "settings",
    [
        {"model": ""},
        {"base_url": "nowhere"},
        {"base_url": "https://example.com/v1beta"},
        {"base_url": "https://example.com/v1", "path": "/v1/models/{model}"},
        {"api_key": "a\nb"},
        {"headers": {"host": "x"}},
        {"extra_body": {"contents": []}},
        {"extra_body": {"generationConfig": 3}},
        {"extra_body": {"generationConfig": {"maxOutputTokens": 3}}},
        {"extra_body": {"a": object()}},
        {"extra_body": {"generationConfig": {"a": float("nan")}}},
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        Gemini(**{"model": "m", **settings})
    assert "a\nb" not in str(caught.value)


def test_it_is_opened_from_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "AIza-1")
    provider = open_provider(
        "gemini", {"model": "gemini-flash-latest", "timeouts": {"idle_s": 20}, "name": "house"}
    )
    assert isinstance(provider, Gemini)

    assert provider.name == "house"
    assert provider._site.headers["x-goog-api-key"] == "AIza-1"
    assert provider._site.url.startswith("https://generativelanguage.googleapis.com/v1beta/")


def test_missing_key_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GEMINI_API_KEY", raising=False)
    with pytest.raises(ConfigError, match="GEMINI_API_KEY"):
        open_provider("gemini", {"model": "m"})


# What goes wrong


@pytest.mark.parametrize(
    ("data", "status", "kind"),
    [
        (failed(400, "INVALID_ARGUMENT", details=[BAD_KEY]), 400, CredentialError),
        (failed(401, "UNAUTHENTICATED"), 401, CredentialError),
        (failed(403, "PERMISSION_DENIED"), 403, CredentialError),
        (failed(404, "NOT_FOUND", "models/m is not found"), 404, ConfigError),
        (failed(400, "INVALID_ARGUMENT", "Bad field."), 400, ModelError),
        (failed(400, "FAILED_PRECONDITION", "Enable billing."), 400, OperatorError),
        (
            failed(
                400,
                "INVALID_ARGUMENT",
                "The input token count (2000000) exceeds the maximum number of tokens allowed.",
            ),
            400,
            ContextOverflow,
        ),
        (failed(500, "INTERNAL"), 500, ProviderUnavailable),
        (failed(503, "UNAVAILABLE", "The model is overloaded."), 503, ProviderUnavailable),
        (failed(504, "DEADLINE_EXCEEDED"), 504, ProviderUnavailable),
        (failed(429, "RESOURCE_EXHAUSTED", details=[{}, RETRY]), 429, ProviderUnavailable),
        (failed(429, "RESOURCE_EXHAUSTED", details="soon"), 429, ProviderUnavailable),
    ],
)
async def test_googles_errors_are_ours(
    data: Any, status: int, kind: type[AicoreError], ask: Ask, collect: Collect
) -> None:
    wrapped = json_play([data], status=status)
    async with (
        serving(json_play(data, status=status), wrapped) as server,
        gemini(server, api_key="AIza-1") as model,
    ):
        for answer in (model.complete(ask()), collect(model, ask())):
            with pytest.raises(AicoreError) as caught:
                await answer
            assert type(caught.value) is kind
            assert "AIza-1" not in str(caught.value)


async def test_wait_that_google_asks_for_is_told(ask: Ask) -> None:
    data = failed(429, "RESOURCE_EXHAUSTED", details=[RETRY])
    plain, header = json_play(data, status=429), json_play(data, status=429)
    header.headers["retry-after"] = "7"
    async with serving(plain, header) as server, gemini(server) as model:
        for wait_s in (34.5, 7.0):
            with pytest.raises(ProviderUnavailable) as caught:
                await model.complete(ask())
            assert (caught.value.status, caught.value.retry_after_s) == (429, wait_s)


@pytest.mark.parametrize(
    ("play", "kind"),
    [
        (HTML, ConfigError),
        (Play([b"rubbish"], headers={"content-type": "application/json"}), ProviderUnavailable),
        (Play([b'{"candidates": [{"con']), ProviderUnavailable),
        (json_play({}), ProviderUnavailable),
        (json_play([[[[]]]]), ProviderUnavailable),
        (Play([b"\x00\xff" * 50]), ProviderUnavailable),
        (json_play(whole(finish="MALFORMED_FUNCTION_CALL")), ProviderUnavailable),
        (json_play(whole(finish="MISSING_THOUGHT_SIGNATURE")), ModelError),
        (json_play(whole(finish="PUP_LIMITED_DISABLED")), CredentialError),
        (Play(status=302, headers={"location": "https://example.com"}), ConfigError),
        (Play(drop=True), ProviderUnavailable),
    ],
)
async def test_what_is_no_answer_is_a_typed_error_and_the_next_request_goes_on(
    play: Play, kind: type[AicoreError], ask: Ask, collect: Collect
) -> None:
    async with serving(play, play, otherwise=echo) as server, gemini(server) as model:
        with pytest.raises(AicoreError) as caught:
            await model.complete(ask())
        assert type(caught.value) is kind
        with pytest.raises(AicoreError) as caught:
            await collect(model, ask())
        assert type(caught.value) is kind
        assert (await model.complete(ask("again"))).text == "You said: again"


async def test_blocked_question_is_refused(ask: Ask, collect: Collect) -> None:
    async with (
        serving(json_play(blocked()), stream_play(event(blocked()))) as server,
        gemini(server) as model,
    ):
        assert (await model.complete(ask())).finish == "refused"
        assert (await collect(model, ask()))[1].finish == "refused"


async def test_wrong_address_is_told(ask: Ask) -> None:
    async with Gemini(model="m", base_url=f"http://127.0.0.1:{free_port()}") as model:
        with pytest.raises(ProviderUnavailable):
            await model.complete(ask())


async def test_chunk_of_ten_megabytes_is_read(ask: Ask, collect: Collect) -> None:
    text = "x" * 10_000_000
    async with (
        serving(stream_play(*streamed([said("a")], [said(text)]))) as server,
        gemini(server) as model,
    ):
        with anyio.fail_after(20):
            deltas, completion = await collect(model, ask())

    assert len(completion.text) == 10_000_001
    assert "".join(deltas) == completion.text


async def test_silence_is_given_up(ask: Ask, collect: Collect) -> None:
    timeouts = Timeouts(first_token_s=0.1, idle_s=0.1)
    first = event(whole([said("Hel")], finish=None))
    async with (
        serving(Play(waits=True), stream_play(first, end="hang")) as server,
        gemini(server, timeouts=timeouts) as model,
    ):
        with anyio.fail_after(5), pytest.raises(ProviderUnavailable):
            await collect(model, ask())
        with anyio.fail_after(5), pytest.raises(Interrupted):
            await collect(model, ask())


async def test_stream_answered_in_one_piece_is_understood(ask: Ask, collect: Collect) -> None:
    chunks = [whole([said("Hel")], finish=None), whole([said("lo")])]
    async with serving(json_play(chunks)) as server, gemini(server) as model:
        deltas, completion = await collect(model, ask())

    assert "".join(deltas) == completion.text == "Hello"


# Streams that are cut

RECORDED = b"".join(
    streamed(
        [said("I look.", thought=True)],
        [said("Hel")],
        [said("lo"), call("find", {"name": "Ann"}, "f1", SIGNATURE)],
        [said("", OTHER_SIGNATURE)],
    )
)


async def taken(model: Gemini, asked: Request) -> tuple[str, Completion | AicoreError]:
    shown = ""
    try:
        async for item in model.stream(asked):
            if isinstance(item, Completion):
                return shown, item
            assert isinstance(item, TextDelta)
            shown += item.delta
    except AicoreError as exc:
        return shown, exc
    raise AssertionError("the stream ended with nothing")


async def test_stream_cut_at_every_byte_is_never_a_wrong_answer(ask: Ask) -> None:
    """By turns the connection breaks, and the body ends as if that were all."""
    size = len(RECORDED.rstrip())
    cuts = iter(range(len(RECORDED)))

    def cut(asked: Asked) -> Play:
        at = next(cuts)
        return stream_play(RECORDED[:at], end="cut" if at % 2 else "whole")

    async with serving(otherwise=cut) as server, gemini(server) as model:
        for at in range(len(RECORDED)):
            shown, ending = await taken(model, ask())
            if isinstance(ending, Completion):
                assert at >= size
                assert (ending.text, len(ending.calls)) == ("Hello", 1)
            elif shown:
                assert isinstance(ending, Interrupted)
                assert ending.text == shown
                assert "Hello".startswith(shown)
            else:
                assert isinstance(ending, ProviderUnavailable)
