"""Answers in Anthropic's format: whole, streamed at any split of the bytes, cut, and garbage."""

import json
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.models.fake_anthropic import (
    PING,
    STOP,
    Block,
    block,
    call,
    delta,
    end,
    error,
    event,
    hidden,
    start,
    streamed,
    text,
    thought,
    whole,
)

from aicore.models import Completion, Price, Request
from aicore.models.anthropic_reply import MessageCollector
from aicore.models.http_model import Asked, BrokenOffError, ErrorInReply
from aicore.records import Message, Prefix, ToolCall, Usage

REQUEST = Request(prefix=Prefix(""), tail=[Message(role="user", text="hi")])
RICH: list[Block] = [
    thought("Hm, \n who?", "YQ=="),
    text("Grüße \U0001f600"),
    call("toolu_1", "find", {"name": 'Än"n'}),
    call("toolu_2", "list", {}),
]
LOOK = call("toolu_1", "find", {"name": "Ann"})


def asked(price: Price | None = None) -> Asked:
    return Asked(model="asked-model", body_bytes=400, price=price, request=REQUEST)


def read_stream(*parts: bytes, price: Price | None = None) -> Completion:
    reply = MessageCollector("house")
    shown = "".join([reply.add_part(part) for part in parts] + [reply.add_part(b"")])
    reply.check_complete()
    completion = reply.completion(asked(price))
    assert shown == completion.text
    return completion


def read_whole(data: Any) -> Completion:
    reply = MessageCollector("house")
    reply.add_whole(json.dumps(data).encode())
    return reply.completion(asked())


def both(*content: Block, stop: str = "end_turn") -> list[Completion]:
    return [read_whole(whole(*content, stop=stop)), read_stream(*streamed(*content, stop=stop))]


def test_whole_and_streamed_are_the_same() -> None:
    first, second = both(*RICH, stop="tool_use")

    assert first == second
    assert first.text == "Grüße \U0001f600"
    assert first.calls == (
        ToolCall("toolu_1", "find", {"name": 'Än"n'}),
        ToolCall("toolu_2", "list", {}),
    )
    assert (first.finish, first.model) == ("stop", "claude-fake")


def test_usage_is_the_total_of_what_the_vendor_tells_apart() -> None:
    price = Price(
        input_usd=Decimal(1),
        output_usd=Decimal(5),
        cached_usd=Decimal("0.1"),
        cache_write_usd=Decimal("1.25"),
    )
    usage = read_stream(*streamed(text("Hi")), price=price).usage

    assert usage == Usage(
        input_tokens=150,
        cached_tokens=100,
        cache_write_tokens=30,
        output_tokens=7,
        cost_usd=Decimal("0.0001025"),  # 20 x 1 + 100 x 0.1 + 30 x 1.25 + 7 x 5, by the million
    )


@pytest.mark.parametrize("told", [None, {}, {"input_tokens": "many"}, {"output_tokens": 4}, [1]])
def test_usage_that_is_not_told_is_estimated(told: Any) -> None:
    usage = read_whole(whole(text("x" * 8), usage=told)).usage

    assert usage == Usage(input_tokens=100, output_tokens=2, is_reported=False)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 2000), max_size=30), st.booleans())
def test_any_split_of_the_bytes_reads_the_same(cuts: list[int], has_cr: bool) -> None:
    data = b"".join(streamed(*RICH, stop="tool_use"))
    if has_cr:
        data = data.replace(b"\n", b"\r\n")
    places = sorted({0, *(cut % len(data) for cut in cuts), len(data)})
    parts = [data[a:b] for a, b in pairwise(places)]

    assert read_stream(*parts) == read_stream(*streamed(*RICH, stop="tool_use"))


@pytest.mark.parametrize(
    "content", [RICH, [text("Hello, Ann.")], [LOOK]], ids=["all", "text", "call"]
)
def test_stream_cut_at_any_byte_is_never_an_answer(content: list[Block]) -> None:
    data = b"".join(streamed(*content))
    end_of_data = len(data) - len(b"\n\n")  # the rest is a blank line
    for cut in range(end_of_data):
        with pytest.raises(BrokenOffError):
            read_stream(data[:cut])
    for cut in range(end_of_data, len(data) + 1):
        assert read_stream(data[:cut]).text == read_stream(data).text


# Why an answer ended


@pytest.mark.parametrize(
    ("stop", "content", "finish", "calls"),
    [
        ("end_turn", [text("Hi")], "stop", 0),
        ("stop_sequence", [text("Hi")], "stop", 0),
        ("tool_use", [LOOK], "stop", 1),
        ("end_turn", [LOOK], "stop", 1),
        ("max_tokens", [text("Hi")], "length", 0),
        ("model_context_window_exceeded", [text("Hi")], "length", 0),
        ("pause_turn", [text("Hi")], "length", 0),
        ("refusal", [text("I can")], "refused", 0),
        ("refusal", [text("I can"), LOOK], "refused", 0),
        ("refusal", [], "refused", 0),
        ("something_new", [text("Hi")], "stop", 0),
    ],
)
def test_reason_is_understood(stop: str, content: list[Block], finish: str, calls: int) -> None:
    for completion in both(*content, stop=stop):
        assert completion.finish == finish
        assert len(completion.calls) == calls


@pytest.mark.parametrize("stop", ["max_tokens", "model_context_window_exceeded"])
def test_call_that_was_cut_is_left_out(stop: str) -> None:
    other = call("toolu_2", "pay", {"amount": 100})
    events = [start(), *block(0, LOOK), *block(1, other)[:-2], end(stop), STOP]
    streamed_answer = read_stream(*events)
    # Here nobody can tell what the server made of the cut arguments.
    whole_answer = read_whole(whole(LOOK, {**other, "input": {"amount": 1}}, stop=stop))

    for completion in (streamed_answer, whole_answer):
        assert [made.name for made in completion.calls] == ["find"]
        assert completion.finish == "length"


def test_call_cut_before_its_arguments_is_left_out() -> None:
    events = [start(), block(0, LOOK)[0], end("max_tokens"), STOP]

    completion = read_stream(*events)

    assert (completion.calls, completion.finish) == ((), "length")


def test_whole_call_before_a_limit_is_kept() -> None:
    completion = read_stream(*streamed(LOOK, stop="max_tokens"))

    assert len(completion.calls) == 1
    assert completion.finish == "stop"


# What is not known, and what cannot be


def test_events_and_blocks_that_are_not_known_are_passed_over() -> None:
    unknown = {"type": "server_tool_use", "id": "srv", "name": "web_search", "input": {}}
    events = [
        b": comment\n\n",
        start(),
        PING,
        event({"type": "something_new", "delta": 5}),
        *block(0, unknown),
        delta(0, "input_json_delta", partial_json='{"q": 1}'),
        event({"type": "content_block_start", "index": 1, "content_block": text("")}),
        delta(1, "citations_delta", citation={}),
        delta(1, "text_delta", text="Hi"),
        delta(1, "something_new", text="no"),
        end(),
        STOP,
    ]
    completion = read_stream(*events)

    assert (completion.text, completion.calls, completion.finish) == ("Hi", (), "stop")


def test_arguments_may_come_with_the_start_of_a_call() -> None:
    events = [start(), block(0, {**LOOK, "type": "tool_use"})[0], end(), STOP]
    given = event({"type": "content_block_start", "index": 0, "content_block": LOOK})

    assert read_stream(start(), given, end(), STOP).calls[0].arguments == {"name": "Ann"}
    assert read_stream(*events).calls[0].arguments == {}


def test_signature_and_id_may_be_missing_where_they_are_empty() -> None:
    """Other servers of this format leave them out, the vendor did once."""
    begin = {"type": "content_block_start", "index": 0}
    thinks = event({**begin, "content_block": {"type": "thinking"}})
    calls = event({**begin, "index": 1, "content_block": {"type": "tool_use", "name": "find"}})
    completion = read_stream(start(), thinks, calls, end(), STOP)

    assert [made.name for made in completion.calls] == ["find"]
    assert completion.calls[0].id
    assert completion.state is None


def test_repeated_ids_are_told_apart() -> None:
    twice = [LOOK, call("toolu_1", "find", {"name": "Bob"})]
    for completion in both(*twice, stop="tool_use"):
        first, second = completion.calls
        assert first.id != second.id
        assert (first.arguments, second.arguments) == ({"name": "Ann"}, {"name": "Bob"})


def test_repeated_index_makes_no_wrong_call() -> None:
    again = block(0, call("toolu_2", "find", {"name": "Bob"}))
    completion = read_stream(start(), *block(0, LOOK), *again, end("tool_use"), STOP)

    assert [made.arguments["name"] for made in completion.calls] == ["Ann", "Bob"]


@pytest.mark.parametrize("arguments", ["[1]", '"x"', "{", '{"a": NaN}', "nothing"])
def test_arguments_that_are_no_object_make_no_call(arguments: str) -> None:
    begin = block(0, LOOK)[0]
    piece = delta(0, "input_json_delta", partial_json=arguments)
    completion = read_stream(start(), begin, piece, end("tool_use"), STOP)

    assert (completion.calls, completion.finish) == ((), "length")


@pytest.mark.parametrize("is_stream", [True, False])
def test_error_in_place_of_an_answer(is_stream: bool) -> None:
    reply = MessageCollector("house")
    data = error("overloaded_error")
    with pytest.raises(ErrorInReply) as caught:
        reply.add_part(event(data)) if is_stream else reply.add_whole(json.dumps(data).encode())

    assert caught.value.error["type"] == "overloaded_error"


@pytest.mark.parametrize("is_stream", [True, False])
def test_error_in_the_way_of_other_servers_is_understood(is_stream: bool) -> None:
    reply = MessageCollector("house")
    body = json.dumps({"error": {"message": "prompt is too long", "code": 400}}).encode()
    with pytest.raises(ErrorInReply) as caught:
        reply.add_part(b"data: %s\n\n" % body) if is_stream else reply.add_whole(body)

    assert caught.value.error["code"] == 400


def test_error_after_the_end_does_no_harm() -> None:
    events = [*streamed(text("Hi")), event(error("overloaded_error"))]

    assert read_stream(b"".join(events)).text == "Hi"


@pytest.mark.parametrize("part", [STOP, start(), end()])
def test_one_event_alone_is_no_answer(part: bytes) -> None:
    with pytest.raises(BrokenOffError):
        read_stream(part)
    with pytest.raises(BrokenOffError):
        MessageCollector("house").add_whole(part.split(b"data: ")[1])


GARBAGE = [
    "null",
    "5",
    "[]",
    "{}",
    '{"type": 5}',
    "<html>Bad gateway</html>",
    '{"type": "message_start"',
    '{"type": "message_start", "message": 5}',
    '{"type": "message_start", "message": null}',
    '{"type": "content_block_start", "index": 0}',
    '{"type": "content_block_start", "index": 0, "content_block": []}',
    '{"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": 5}}',
    '{"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use"}}',
    '{"type": "content_block_start", "index": 0, "content_block": {"type": "thinking"}}',
    '{"type": "content_block_delta", "index": 7, "delta": {"type": "text_delta", "text": "x"}}',
    '{"type": "content_block_delta", "index": [], "delta": {"type": "text_delta", "text": "x"}}',
    '{"type": "content_block_delta", "index": 0}',
    '{"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": null}}',
    '{"type": "message_delta"}',
    '{"type": "message", "model": "m"}',
    '{"type": "message_delta", "delta": 5}',
    "{" * 100_000,
]


@pytest.mark.parametrize("data", GARBAGE, ids=lambda data: data[:40])
def test_garbage_never_ends_in_an_answer(data: str) -> None:
    begun = [start(), event({"type": "content_block_start", "index": 0, "content_block": text("")})]
    for events in ([], begun):
        with pytest.raises((BrokenOffError, ErrorInReply)):
            read_stream(*events, b"data: " + data.encode() + b"\n\n")
    with pytest.raises((BrokenOffError, ErrorInReply)):
        MessageCollector("house").add_whole(data.encode())


@pytest.mark.parametrize("content", [None, 5, "text", [5], [{}], [{"type": "text"}]])
def test_whole_answer_of_another_shape_is_none(content: Any) -> None:
    with pytest.raises(BrokenOffError):
        read_whole(whole(content=content))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_damage_is_an_error_or_a_whole_answer(data: st.DataObject) -> None:
    """Bytes lost or changed: nothing else is raised, and what is read is well formed."""
    sent = bytearray(b"".join(streamed(*RICH, stop="tool_use")))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(sent) - 1))
        if data.draw(st.booleans()):
            del sent[at]
        else:
            sent[at] = data.draw(st.integers(0, 255))
    reply = MessageCollector("house")
    try:
        reply.add_part(bytes(sent))
        reply.add_part(b"")
        reply.check_complete()
    except (BrokenOffError, ErrorInReply):
        return
    completion = reply.completion(asked())
    completion.text.encode()  # raises for what is no text
    assert all(isinstance(made.arguments, dict) for made in completion.calls)


def test_thinking_is_not_shown() -> None:
    completion = read_stream(*streamed(thought("secret"), hidden(), text("Hi")))

    assert completion.text == "Hi"
    assert "secret" in json.dumps(completion.state)
