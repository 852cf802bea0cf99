"""What named systems do in a way of their own, at the wire, one test each.

Quirks that any server may have are tested where answers are read; docs/systems.md has the table.
"""

from collections.abc import Callable
from typing import Any

import anyio
import pytest
from tests.models.fake_openai import (
    DONE,
    Play,
    call,
    chunk,
    event,
    json_play,
    serving,
    stream_play,
    streamed,
    usage_chunk,
    whole,
)

from aicore.errors import ConfigError, ContextOverflow, OperatorError, ProviderUnavailable
from aicore.models import Provider, Request, Timeouts, open_provider
from aicore.models.systems.profiles import known_systems
from aicore.records import Prefix, Tool

Ask = Callable[..., Request]
Collect = Callable[..., Any]
CALL = call(0, "find", '{"name": "Ann"}')
FIND = Tool(
    name="find",
    description="Find a customer.",
    parameters={"type": "object", "properties": {"name": {"type": "string"}}},
    server="crm",
    remote_name="find",
)


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for profile in known_systems().values():
        if profile.key_variable:
            monkeypatch.setenv(profile.key_variable, "sk-test")


def opened(kind: str, base_url: str, **settings: Any) -> Provider:
    example = known_systems()[kind].example
    return open_provider(kind, {**example, "base_url": base_url, **settings})


def pieces(*deltas: dict[str, Any], finish: str) -> list[bytes]:
    calls = [event(chunk({"tool_calls": [delta]})) for delta in deltas]
    return [*calls, event(chunk({}, finish)), event(usage_chunk()), DONE]


# Calls


@pytest.mark.parametrize("finish", ["stop", "length", "tool_calls"])
@pytest.mark.parametrize("kind", ["vllm", "llama-cpp", "ray-serve"])
async def test_finish_reason_is_not_believed(
    kind: str, finish: str, ask: Ask, collect: Collect
) -> None:
    """vllm-project/vllm#53269, #25054."""
    plays = [
        json_play(whole(None, calls=[CALL], finish=finish)),
        stream_play(*streamed(calls=[CALL], finish=finish)),
    ]
    async with serving(*plays) as server, opened(kind, server.base_url) as model:
        for completion in (await model.complete(ask()), (await collect(model, ask()))[1]):
            assert [one.arguments for one in completion.calls] == [{"name": "Ann"}]
            assert completion.finish == "stop"


@pytest.mark.parametrize("kind", ["vllm", "llama-cpp", "ray-serve"])
async def test_broken_last_call_is_never_run(kind: str, ask: Ask, collect: Collect) -> None:
    calls = [CALL, call(1, "pay", '{"amount": 12')]
    plays = [
        json_play(whole(None, calls=calls, finish="tool_calls")),
        stream_play(*streamed(calls=calls, finish="tool_calls")),
    ]
    async with serving(*plays) as server, opened(kind, server.base_url) as model:
        for completion in (await model.complete(ask()), (await collect(model, ask()))[1]):
            assert [one.name for one in completion.calls] == ["find"]
            assert completion.finish == "length"


@pytest.mark.parametrize(
    "deltas",
    [
        [
            {"id": "a", "function": {"name": "find", "arguments": '{"name": "Ann"}'}},
            {"id": "b", "function": {"name": "list", "arguments": "{}"}},
        ],
        [
            {"index": 0, "id": "a", "function": {"name": "find", "arguments": '{"name": "Ann"}'}},
            {"index": 0, "id": "b", "function": {"name": "list", "arguments": "{}"}},
        ],
        [
            {"index": 0, "function": {"name": "find", "arguments": ""}},
            {"index": 0, "id": "a", "function": {"arguments": '{"name": "Ann"}'}},
            {"index": 1, "id": "b", "function": {"name": "list", "arguments": "{}"}},
        ],
    ],
    ids=["missing", "all-zero", "late-id"],
)
async def test_calls_of_ollama_are_told_apart(
    deltas: list[dict[str, Any]], ask: Ask, collect: Collect
) -> None:
    """ollama/ollama#7881, #15457; continuedev/continue#13235."""
    play = stream_play(*pieces(*deltas, finish="tool_calls"))
    async with serving(play) as server, opened("ollama", server.base_url) as model:
        completion = (await collect(model, ask()))[1]

    assert [(one.name, one.arguments) for one in completion.calls] == [
        ("find", {"name": "Ann"}),
        ("list", {}),
    ]
    assert len({one.id for one in completion.calls}) == 2


async def test_llama_cpp_may_give_several_calls(ask: Ask) -> None:
    calls = [call(at, "find", f'{{"name": "{at}"}}') for at in range(4)]
    play = json_play(whole(None, calls=calls, finish="tool_calls"))
    async with serving(play) as server, opened("llama-cpp", server.base_url) as model:
        assert len((await model.complete(ask())).calls) == 4


@pytest.mark.parametrize("kind", ["llama-cpp", "ollama", "vllm"])
async def test_no_request_relies_on_a_choice_that_servers_ignore(kind: str, ask: Ask) -> None:
    async with serving() as server, opened(kind, server.base_url) as model:
        await model.complete(ask(prefix=Prefix("Be kind.", [FIND])))
    (asked,) = server.requests

    assert asked.json["tools"]
    assert asked.json.keys().isdisjoint({"tool_choice", "parallel_tool_calls"})


# Failures


async def test_output_that_llama_cpp_cannot_parse_may_be_tried_again(
    ask: Ask, collect: Collect
) -> None:
    body = {"error": {"code": 500, "message": "Failed to parse input", "type": "server_error"}}
    plays = [json_play(body, status=500), stream_play(event(body))]
    async with serving(*plays) as server, opened("llama-cpp", server.base_url) as model:
        for asking in (model.complete(ask()), collect(model, ask())):
            with pytest.raises(ProviderUnavailable) as caught:
                await asking
            assert caught.value.status == 500
        assert (await model.complete(ask("again"))).text == "You said: again"


async def test_llama_cpp_tells_overflow_by_type(ask: Ask) -> None:
    error = {"code": 400, "message": "the request exceeds", "type": "exceed_context_size_error"}
    body = {"error": {**error, "n_prompt_tokens": 5000, "n_ctx": 4096}}
    play = json_play(body, status=400)
    async with serving(play) as server, opened("llama-cpp", server.base_url) as model:
        with pytest.raises(ContextOverflow):
            await model.complete(ask())


async def test_ollama_names_a_model_that_was_not_pulled(ask: Ask) -> None:
    error = {"message": 'model "llama3.3" not found, try pulling it first', "type": "api_error"}
    play = json_play({"error": error}, status=404)
    async with serving(play) as server, opened("ollama", server.base_url) as model:
        with pytest.raises(ConfigError, match="pulling"):
            await model.complete(ask())


@pytest.mark.parametrize("kind", ["openrouter"])
async def test_failure_behind_openrouter_may_be_tried_again(
    kind: str, ask: Ask, collect: Collect
) -> None:
    error = {"code": 502, "message": "Provider returned error"}
    failed = chunk({"content": ""}, "error")
    failed["choices"][0]["error"] = error
    plays = [
        stream_play(event(failed), DONE),
        stream_play(event({**chunk({}, "error"), "error": error}), DONE),
        json_play({"error": error}),
    ]
    async with serving(*plays) as server, opened(kind, server.base_url) as model:
        for _ in range(2):
            with pytest.raises(ProviderUnavailable) as caught:
                await collect(model, ask())
            assert caught.value.status == 502
        with pytest.raises(ProviderUnavailable):
            await model.complete(ask())


async def test_comments_of_openrouter_are_neither_text_nor_silence(
    ask: Ask, collect: Collect
) -> None:
    comment = b": OPENROUTER PROCESSING\n\n"
    parts = [item for one in streamed("Hi") for item in (comment, one)]
    play = stream_play(*parts)
    async with serving(play) as server, opened("openrouter", server.base_url) as model:
        deltas, completion = await collect(model, ask())

    assert "".join(deltas) == completion.text == "Hi"


async def test_azure_sends_results_of_its_filter_first(ask: Ask, collect: Collect) -> None:
    results = {"prompt_index": 0, "content_filter_results": {"hate": {"filtered": False}}}
    first = {**chunk(), "choices": [], "prompt_filter_results": [results]}
    play = stream_play(event(first), *streamed("Hi"))
    async with serving(play) as server, opened("azure", server.base_url) as model:
        completion = (await collect(model, ask()))[1]

    assert (completion.text, completion.finish) == ("Hi", "stop")


async def test_azure_refuses_with_400(ask: Ask, collect: Collect) -> None:
    inner = {"code": "ResponsibleAIPolicyViolation"}
    body = {"error": {"message": "filtered", "code": "content_filter", "innererror": inner}}
    plays = [json_play(body, status=400) for _ in range(2)]
    async with serving(*plays) as server, opened("azure", server.base_url) as model:
        assert (await model.complete(ask())).finish == "refused"
        assert (await collect(model, ask()))[1].finish == "refused"


async def test_openrouter_refuses_with_403(ask: Ask, collect: Collect) -> None:
    """Somebody's words must not look like a refused key, which would take the vendor out."""
    metadata = {"reasons": ["violence"], "flagged_input": "...", "provider_name": "x"}
    body = {"error": {"code": 403, "message": "flagged", "metadata": metadata}}
    plays = [json_play(body, status=403) for _ in range(2)]
    async with serving(*plays) as server, opened("openrouter", server.base_url) as model:
        assert (await model.complete(ask())).finish == "refused"
        assert (await collect(model, ask()))[1].finish == "refused"


LITELLM_LIMIT = {"message": "No deployments", "type": "None", "param": "None", "code": "429"}


async def test_status_of_litellm_is_text(ask: Ask, collect: Collect) -> None:
    plays = [
        json_play({"error": LITELLM_LIMIT}, status=429, headers={"retry-after": "5"}),
        stream_play(event({"error": LITELLM_LIMIT})),
        json_play({"error": {**LITELLM_LIMIT, "code": "401", "message": "no"}}),
    ]
    async with serving(*plays) as server, opened("litellm", server.base_url) as model:
        with pytest.raises(ProviderUnavailable) as caught:
            await model.complete(ask())
        assert (caught.value.status, caught.value.retry_after_s) == (429, 5.0)
        with pytest.raises(ProviderUnavailable) as caught:
            await collect(model, ask())
        assert caught.value.status == 429
        with pytest.raises(OperatorError):
            await model.complete(ask())


@pytest.mark.parametrize(
    ("kind", "status", "error"),
    [
        ("litellm", 400, {"message": "over", "type": "budget_exceeded", "code": "400"}),
        ("litellm", 429, {"message": "over", "type": "budget_exceeded", "code": "429"}),
        ("openai", 429, {"message": "quota", "type": "insufficient_quota", "code": None}),
        ("openai", 429, {"message": "quota", "type": "x", "code": "insufficient_quota"}),
    ],
)
async def test_account_without_credit_is_not_asked_again(
    kind: str, status: int, error: dict[str, Any], ask: Ask
) -> None:
    play = json_play({"error": error}, status=status)
    async with serving(play) as server, opened(kind, server.base_url) as model:
        with pytest.raises(OperatorError) as caught:
            await model.complete(ask())

    assert type(caught.value) is OperatorError


# Streams


@pytest.mark.parametrize("kind", ["vllm", "llama-cpp", "sglang", "openai", "azure"])
async def test_usage_after_the_choices_is_waited_for(kind: str, ask: Ask, collect: Collect) -> None:
    async with (
        serving(stream_play(*streamed("Hi"))) as server,
        opened(kind, server.base_url) as model,
    ):
        usage = (await collect(model, ask()))[1].usage

    assert (usage.input_tokens, usage.output_tokens, usage.is_reported) == (20, 7, True)


async def test_usage_that_triton_leaves_out_is_estimated(ask: Ask) -> None:
    play = json_play(whole("Hi", usage=None))
    async with serving(play) as server, opened("triton", server.base_url) as model:
        usage = (await model.complete(ask())).usage

    assert not usage.is_reported
    assert usage.input_tokens > 0


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
@pytest.mark.parametrize(
    "kind", [one.kind for one in known_systems().values() if "reasoning-apart" in one.quirks]
)
async def test_reasoning_is_not_shown(kind: str, field: str, ask: Ask, collect: Collect) -> None:
    thought = event(chunk({field: "They ask for", "content": None}))
    answer = whole("Hi")
    answer["choices"][0]["message"][field] = "They ask for"
    plays = [stream_play(thought, *streamed("Hi")), json_play(answer)]
    async with serving(*plays) as server, opened(kind, server.base_url) as model:
        deltas, completion = await collect(model, ask())
        assert "".join(deltas) == completion.text == "Hi"
        assert (await model.complete(ask())).text == "Hi"


async def test_stream_of_a_server_without_done_marker_is_whole(ask: Ask, collect: Collect) -> None:
    play = stream_play(*streamed("Hi", done=False), framing="close")
    async with serving(play) as server, opened("triton", server.base_url) as model:
        assert (await collect(model, ask()))[1].text == "Hi"


async def test_server_that_closes_after_silence_did_not_answer(ask: Ask, collect: Collect) -> None:
    play = stream_play(event(chunk({"role": "assistant"})), framing="close")
    async with serving(play) as server, opened("ray-serve", server.base_url) as model:
        with pytest.raises(ProviderUnavailable):
            await collect(model, ask())


async def test_model_that_is_loaded_first_is_waited_for(ask: Ask) -> None:
    waiting = {"ollama", "lm-studio"}
    for kind in waiting:
        model = opened(kind, "http://127.0.0.1:9/v1")
        assert model._timeouts == Timeouts(first_token_s=180)  # type: ignore[attr-defined]
    patient = {one.kind for one in known_systems().values() if one.first_token_s}
    assert patient == waiting


async def test_impatient_user_wins_over_the_profile(ask: Ask, collect: Collect) -> None:
    timeouts = {"first_token_s": 0.1}
    async with (
        serving(Play(waits=True)) as server,
        opened("ollama", server.base_url, timeouts=timeouts) as model,
    ):
        with anyio.fail_after(5), pytest.raises(ProviderUnavailable):
            await collect(model, ask())


async def test_context_that_ollama_cuts_silently_is_told_by_the_user() -> None:
    model = opened("ollama", "http://127.0.0.1:9/v1", context_tokens=8192)

    assert model.capabilities.context_tokens == 8192
