"""What servers really send, each quirk on its own, and streams cut anywhere."""

import json
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.models.fake_openai import DONE, call, chunk, event, streamed, usage_chunk, whole

from aicore.models.http_model import Asked, BrokenOffError, ErrorInReply
from aicore.models.openai_reply import ReplyCollector
from aicore.models.port import Completion, Price
from aicore.records import ToolCall, Usage

CALLS = [call(0, "find", '{"name": "Änn"}'), call(1, "list", "{}")]
FOUND = (ToolCall("call_0", "find", {"name": "Änn"}), ToolCall("call_1", "list", {}))


def asked(**changes: Any) -> Asked:
    fields: dict[str, Any] = {"model": "m", "body_bytes": 400, "price": None}
    return Asked(**{**fields, **changes})


def from_stream(parts: Iterable[bytes], **changes: Any) -> Completion:
    reply = ReplyCollector()
    shown = "".join([reply.add_part(part) for part in parts]) + reply.add_part(b"")
    reply.check_complete()
    completion = reply.completion(asked(**changes))
    assert shown == completion.text
    return completion


def from_whole(data: Any, **changes: Any) -> Completion:
    reply = ReplyCollector()
    reply.add_whole(json.dumps(data).encode())
    return reply.completion(asked(**changes))


def both(**how: Any) -> list[Completion]:
    """The same answer whole and streamed."""
    text = how.pop("text", "")
    return [
        from_whole(whole(text, **how)),
        from_stream(streamed(text, **how)),
    ]


REPORTED = Usage(input_tokens=20, output_tokens=7)


def test_plain_answer() -> None:
    for completion in both(text="Hello!"):
        assert completion == Completion(text="Hello!", usage=REPORTED, model="fake-model")


def test_calls_are_given_in_order() -> None:
    for completion in both(calls=CALLS, finish="tool_calls"):
        assert completion.calls == FOUND
        assert completion.finish == "stop"


RECORDED = b"".join(
    [
        b": waiting\n\n",
        *streamed("Grüße", ", Ann \U0001f600", calls=CALLS, finish="tool_calls"),
    ]
)


@given(st.lists(st.integers(0, len(RECORDED))), st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_any_chunking_of_a_stream_gives_the_same_completion(cuts: list[int], end: bytes) -> None:
    stream = RECORDED.replace(b"\n", end)
    places = sorted(cuts)
    parts = [stream[a:b] for a, b in zip([0, *places], [*places, len(stream)], strict=True)]

    assert from_stream(filter(None, parts)) == Completion(
        text="Grüße, Ann \U0001f600", calls=FOUND, usage=REPORTED, model="fake-model"
    )


@pytest.mark.parametrize("finish", ["stop", "tool_calls", "length", "eos", "function_call"])
def test_whole_calls_count_whatever_the_finish_reason_says(finish: str) -> None:
    """vllm-project/vllm#53269, #25054; llama.cpp says `length` of whole calls."""
    for completion in both(calls=CALLS, finish=finish):
        assert completion.calls == FOUND
        assert completion.finish == "stop"


@pytest.mark.parametrize("finish", ["length", "tool_calls", "stop"])
def test_broken_last_call_is_dropped_and_the_finish_is_length(finish: str) -> None:
    cut = [CALLS[0], call(1, "find", '{"name": "Bo')]
    for completion in both(calls=cut, finish=finish):
        assert completion.calls == FOUND[:1]
        assert completion.finish == "length"


def test_last_call_cut_before_its_arguments_is_dropped() -> None:
    for completion in both(calls=[call(0, "list", "")], finish="length"):
        assert completion.calls == ()
        assert completion.finish == "length"


def test_text_cut_by_the_limit_says_so() -> None:
    for completion in both(text="Once upon", finish="length"):
        assert (completion.text, completion.finish) == ("Once upon", "length")


def test_content_filter_is_a_refusal() -> None:
    for completion in both(text="", finish="content_filter"):
        assert completion.finish == "refused"


def test_calls_of_a_refused_answer_are_not_run() -> None:
    for completion in both(calls=CALLS, finish="content_filter"):
        assert (completion.calls, completion.finish) == ((), "refused")


def test_refusal_text_is_shown_and_marked() -> None:
    data = whole(None)
    data["choices"][0]["message"]["refusal"] = "I will not."
    stream = [event(chunk({"refusal": "I will"})), event(chunk({"refusal": " not."}, "stop"))]

    for completion in (from_whole(data), from_stream(stream)):
        assert (completion.text, completion.finish) == ("I will not.", "refused")


@pytest.mark.parametrize("missing", [{"index"}, {"id"}, {"index", "id"}, {"type"}])
def test_missing_index_and_id_are_made_up(missing: set[str]) -> None:
    """ollama/ollama#7881, #15457; continuedev/continue#13235."""
    bare = [{key: value for key, value in one.items() if key not in missing} for one in CALLS]
    stream = [event(chunk({"tool_calls": [one]})) for one in bare]
    for completion in (
        from_whole(whole(None, calls=bare)),
        from_stream([*stream, event(chunk({}, "tool_calls"))]),
    ):
        assert [(c.name, c.arguments) for c in completion.calls] == [
            (c.name, c.arguments) for c in FOUND
        ]
        assert len({c.id for c in completion.calls}) == 2
        assert all(c.id for c in completion.calls)


def test_arguments_may_be_an_object() -> None:
    one = {"id": "a", "function": {"name": "find", "arguments": {"name": "Ann"}}}
    stream = [event(chunk({"tool_calls": [one]}, "tool_calls"))]
    for completion in (from_whole(whole(None, calls=[one])), from_stream(stream)):
        assert completion.calls == (ToolCall("a", "find", {"name": "Ann"}),)


def test_stream_without_done_is_whole_after_a_finish_reason() -> None:
    assert from_stream(streamed("Hi", done=False)).text == "Hi"


def test_stream_without_finish_reason_is_whole_after_done() -> None:
    assert from_stream([event(chunk({"content": "Hi"})), DONE]).text == "Hi"


@pytest.mark.parametrize("count", range(1, 4))
def test_stream_with_neither_is_broken_off(count: int) -> None:
    with pytest.raises(BrokenOffError):
        from_stream(streamed("a", "b", "c")[:count])


def test_half_an_event_at_the_end_is_broken_off() -> None:
    with pytest.raises(BrokenOffError):
        from_stream([event(chunk({"content": "Hi"})), b'data: {"choices": [{"del'])


@pytest.mark.parametrize("rest", [b'data: {"usage": {"pro', b'data: {"error": "late"}\n\n'])
def test_faults_after_the_finish_reason_do_no_harm(rest: bytes) -> None:
    assert from_stream([event(chunk({"content": "Hi"}, "stop")), rest]).text == "Hi"
    assert from_stream([event(chunk({"content": "Hi"}, "stop")) + rest]).text == "Hi"


def test_done_without_any_answer_is_broken_off() -> None:
    with pytest.raises(BrokenOffError):
        from_stream([DONE])


def test_what_follows_done_is_ignored() -> None:
    assert from_stream([*streamed("Hi"), b"data: rubbish\n\n"][:-1]).text == "Hi"
    assert from_stream([b"".join([*streamed("Hi"), b"data: rubbish\n\n"])]).text == "Hi"


def test_usage_may_come_in_every_chunk_and_the_last_counts() -> None:
    parts = [
        event({**chunk({"content": letter}), "usage": {"prompt_tokens": 9, "completion_tokens": n}})
        for n, letter in enumerate("abc")
    ]
    usage = from_stream([*parts, event({**chunk({}, "stop"), "usage": None})]).usage

    assert usage == Usage(input_tokens=9, output_tokens=2)


def test_usage_that_never_comes_is_estimated_and_says_so() -> None:
    stream = [event(chunk({"content": "12345678"}, "stop")), DONE]
    for completion in (from_whole(whole("12345678", usage=None)), from_stream(stream)):
        assert completion.usage == Usage(input_tokens=100, output_tokens=2, is_reported=False)


@pytest.mark.parametrize(
    "usage",
    [
        {},
        {"prompt_tokens": None},
        {"prompt_tokens": 3},
        {"prompt_tokens": -5, "completion_tokens": 7},
        {"prompt_tokens": 5, "completion_tokens": -7},
        {"prompt_tokens": "5", "completion_tokens": "7"},
        {"prompt_tokens": True, "completion_tokens": 7},
        "many",
        [1],
    ],
)
def test_usage_that_makes_no_sense_is_estimated(usage: Any) -> None:
    data = {**whole("12345678"), "usage": usage}

    assert not from_whole(data).usage.is_reported


@pytest.mark.parametrize(
    "extra",
    [{"prompt_tokens_details": {"cached_tokens": 15}}, {"prompt_cache_hit_tokens": 15}],
)
def test_cached_tokens_are_part_of_the_input_and_cost_less(extra: dict[str, Any]) -> None:
    usage = {"prompt_tokens": 20, "completion_tokens": 10, **extra}
    price = Price(input_usd=Decimal(2), output_usd=Decimal(8), cached_usd=Decimal(1))
    completion = from_whole(whole(usage=usage), price=price)

    assert completion.usage == Usage(
        input_tokens=20, cached_tokens=15, output_tokens=10, cost_usd=Decimal("0.000105")
    )


@pytest.mark.parametrize(
    "details",
    [None, {}, {"cached_tokens": None}, {"cached_tokens": 99}, {"cached_tokens": -3}, "x"],
)
def test_odd_details_of_usage_are_tolerated(details: Any) -> None:
    usage = {"prompt_tokens": 20, "completion_tokens": 7, "prompt_tokens_details": details}
    found = from_whole(whole(usage=usage)).usage

    assert (found.input_tokens, found.output_tokens) == (20, 7)
    assert 0 <= found.cached_tokens <= 20
    assert found.cached_tokens <= 20


def test_content_may_be_a_list_of_parts() -> None:
    parts = [{"type": "text", "text": "Hel"}, {"type": "thinking"}, {"type": "text", "text": "lo"}]
    for completion in (
        from_whole(whole(parts)),  # type: ignore[arg-type] # the quirk
        from_stream([event(chunk({"content": parts}, "stop"))]),
    ):
        assert completion.text == "Hello"


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
def test_reasoning_is_not_shown(name: str) -> None:
    data = whole("4")
    data["choices"][0]["message"][name] = "2 and 2"
    stream = [event(chunk({name: "2 and 2", "content": None})), *streamed("4")]

    assert from_whole(data).text == from_stream(stream).text == "4"


@pytest.mark.parametrize(
    "data",
    [
        {"error": {"message": "overloaded", "code": 503}},
        {"error": "overloaded"},
        {"object": "error", "message": "overloaded", "code": 503},
        chunk({}, "error"),
    ],
)
def test_error_inside_a_good_answer_is_an_error(data: Any) -> None:
    with pytest.raises(ErrorInReply):
        from_stream([event(chunk({"content": "Hi"})), event(data)])
    if "object" not in data or data["object"] == "error":
        with pytest.raises(ErrorInReply):
            from_whole(data)


@pytest.mark.parametrize("data", [[], 3, "x", None, {}, {"choices": []}, {"choices": None}])
def test_answer_without_choices_is_broken(data: Any) -> None:
    with pytest.raises(BrokenOffError):
        from_whole(data)


@pytest.mark.parametrize("reply", ["", "{", "<html>", b"\xff\xfe"])
def test_answer_that_is_no_json_is_broken(reply: Any) -> None:
    with pytest.raises(BrokenOffError):
        ReplyCollector().add_whole(reply if isinstance(reply, bytes) else reply.encode())


@pytest.mark.parametrize(
    "odd",
    [
        {"choices": [None]},
        {"choices": "x"},
        {"choices": [{"delta": "x", "message": "x"}]},
        {"choices": [{"delta": {"content": 7}, "message": {"content": 7}}]},
        {"choices": [{"delta": {"tool_calls": 7}, "message": {"tool_calls": {"a": 1}}}]},
        {"choices": [{"delta": {"refusal": 7}, "message": {"refusal": 7}}]},
        {"choices": {"a": 1}, "usage": 7, "model": 7},
        {"choices": [{"finish_reason": 7, "delta": None, "message": None}]},
    ],
)
def test_answers_of_the_wrong_shape_are_tolerated_or_broken_never_a_crash(odd: Any) -> None:
    for run in (
        lambda: from_whole(odd),
        lambda: from_stream([event(odd), DONE]),
    ):
        try:
            assert run().text == ""
        except BrokenOffError:
            continue


def test_text_that_is_no_unicode_comes_out_well_formed() -> None:
    """SQLite and HTTP refuse lone surrogates; servers that cut an emoji in two send them."""
    choice = b'{"delta": {"content": "a\\ud83d b\xff"}, "finish_reason": "stop"}'
    text = from_stream([b'data: {"choices": [' + choice + b"]}\n\n"]).text

    assert text.encode().decode() == text
    assert text.startswith("a")
    assert " b" in text


def test_stream_of_a_model_name_gives_it() -> None:
    assert from_stream(streamed("a")).model == "fake-model"
    assert from_stream([event({"choices": [{"finish_reason": "stop"}]})]).model == "m"


def test_chunk_of_usage_alone_is_no_answer() -> None:
    with pytest.raises(BrokenOffError):
        from_stream([event(usage_chunk())])
