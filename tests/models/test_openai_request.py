"""Request bodies: the same as the naive encoding, and shared byte for byte between requests."""

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat.completion_create_params import (
    CompletionCreateParamsNonStreaming,
    CompletionCreateParamsStreaming,
)
from pydantic import TypeAdapter

from aicore.models.openai_request import encode_body, encode_head
from aicore.models.port import Request
from aicore.records import Message, Prefix, Tail, Tool, ToolCall

HEAD = encode_head("m", is_stream=False, options={})
TOOL = Tool(
    name="find",
    description="Find a customer.",
    parameters={"type": "object", "properties": {"name": {"type": "string"}}},
    server="crm",
    remote_name="find",
)
BARE = Tool(
    name="list", description="", parameters={"type": "object"}, server="crm", remote_name="l"
)


def encoded(request: Request) -> bytes:
    return encode_body(request, HEAD, limit_field="max_tokens")


def read(request: Request) -> Any:
    return json.loads(encoded(request))


def naive_message(message: Message) -> dict[str, Any]:
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.call_id, "content": message.text}
    plain: dict[str, Any] = {"role": message.role, "content": message.text}
    if message.calls:
        plain["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {
                    "name": call.name,
                    "arguments": json.loads(json.dumps(call.arguments)),
                },
            }
            for call in message.calls
        ]
    return plain


def with_parsed_arguments(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for message in messages:
        for call in message.get("tool_calls", ()):
            call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    return messages


TEXT = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=5,
)
CALL = st.builds(ToolCall, TEXT, TEXT, st.dictionaries(TEXT, JSON, max_size=3))
USER = st.builds(Message, role=st.just("user"), text=TEXT)
ASSISTANT = st.builds(
    Message, role=st.just("assistant"), text=TEXT, calls=st.lists(CALL, max_size=2)
)
RESULT = st.builds(Message, role=st.just("tool"), call_id=TEXT, text=TEXT)
TAIL = st.tuples(st.lists(USER | ASSISTANT | RESULT, max_size=4), USER | RESULT).map(
    lambda both: [*both[0], both[1]]
)


@given(TAIL, TEXT, st.none() | st.integers(1, 9999))
def test_body_is_the_naive_encoding(tail: list[Message], rules: str, limit: int | None) -> None:
    body = read(Request(prefix=Prefix(rules, [TOOL]), tail=tail, max_output_tokens=limit))

    system = [{"role": "system", "content": rules}] if rules else []
    assert with_parsed_arguments(body.pop("messages")) == system + [naive_message(m) for m in tail]
    assert body.pop("tools")[0]["function"]["parameters"] == TOOL.parameters
    assert body == {"model": "m", "stream": False, **({"max_tokens": limit} if limit else {})}


@given(TAIL, st.lists(USER | RESULT, min_size=1, max_size=3), TEXT)
def test_next_request_repeats_the_bytes_up_to_what_is_new(
    tail: list[Message], new: list[Message], volatile: str
) -> None:
    prefix = Prefix("Be kind.", [TOOL, BARE])
    first = encoded(Request(prefix=prefix, tail=tail, volatile=volatile))
    plain = encoded(Request(prefix=prefix, tail=tail))
    second = encoded(Request(prefix=prefix, tail=[*tail, *new], volatile="now"))

    assert second.startswith(plain.removesuffix(b"]}") + b",")
    shared = plain.removesuffix(b'"}]}')
    assert first.startswith(shared)
    assert second.startswith(shared)


@given(st.text(), st.text(), st.text())
def test_text_of_any_kind_can_be_sent(text: str, rules: str, volatile: str) -> None:
    """Lone surrogates come in from other systems; they must not make a request impossible."""
    summary = Message(role="user", text=text)
    request = Request(
        prefix=Prefix(rules),
        tail=[Message(role="user", text=text)],
        summary=summary,
        volatile=volatile,
    )

    assert json.loads(encoded(request).decode("utf-8", "strict"))["messages"]


def test_lone_surrogate_becomes_the_replacement_character_and_a_pair_one_letter() -> None:
    body = read(
        Request(prefix=Prefix(""), tail=[Message(role="user", text='a\ud800"\ud83d\ude00')])
    )

    assert body["messages"][0]["content"] == 'a�"\U0001f600'


def test_each_part_is_encoded_once() -> None:
    prefix = Prefix("Be kind.", [TOOL])
    message = Message(role="user", text="hi")
    encoded(Request(prefix=prefix, tail=[message]))
    message.encoded["openai"] = b'{"role":"user","content":"kept"}'
    prefix.encoded["openai"] = b'"messages":['

    other = Message(role="user", text="first")
    assert read(Request(prefix=prefix, tail=[other, message]))["messages"] == [
        {"role": "user", "content": "first"},
        {"role": "user", "content": "kept"},
    ]


def test_a_growing_tail_gives_the_same_bytes_as_a_fresh_one() -> None:
    joined: dict[str, tuple[int, bytes]] = {}
    messages: list[Message] = []
    summaries = [None, Message(role="user", text="before")]
    for number in range(8):
        messages.append(Message(role="user", text=f"é{number}"))
        fresh = [Message(role=m.role, text=m.text) for m in messages]
        for summary, volatile in itertools.product(summaries, ["", "now"]):
            more: dict[str, Any] = {"summary": summary, "volatile": volatile}
            kept = encoded(Request(prefix=Prefix(""), tail=Tail(messages, joined), **more))
            assert kept == encoded(Request(prefix=Prefix(""), tail=fresh, **more))
        messages.append(Message(role="assistant", text=f"a{number}"))
    assert joined["openai"][0] == 15


def test_an_earlier_and_shorter_tail_can_be_sent_again() -> None:
    joined: dict[str, tuple[int, bytes]] = {}
    messages = [Message(role="user", text=str(number)) for number in range(3)]
    long, short = Tail(messages, joined), Tail(messages[:2], joined)
    read(Request(prefix=Prefix(""), tail=long))
    assert len(read(Request(prefix=Prefix(""), tail=short))["messages"]) == 2
    assert len(read(Request(prefix=Prefix(""), tail=long))["messages"]) == 3


def test_messages_that_somebody_changed_are_never_sent_as_they_were() -> None:
    """Whoever masks a message in the middle must not find it in the bytes again."""
    joined: dict[str, tuple[int, bytes]] = {}
    first, secret, last = (Message(role="user", text=text) for text in ("a", "SECRET", "z"))
    read(Request(prefix=Prefix(""), tail=Tail([first, secret, last], joined)))
    masked = Message(role="user", text="[masked]")

    body = encoded(Request(prefix=Prefix(""), tail=(first, masked, last)))

    assert b"SECRET" not in body
    assert b"[masked]" in body


def test_volatile_text_is_put_at_the_end_of_the_last_message() -> None:
    tail = [
        Message(role="user", text="book it"),
        Message(role="assistant", calls=[ToolCall("c1", "find", {})]),
        Message(role="tool", call_id="c1", text='{"ok": true}'),
    ]
    messages = read(Request(prefix=Prefix(""), tail=tail, volatile="It is Tuesday."))["messages"]

    assert [m["role"] for m in messages] == ["user", "assistant", "tool"]
    assert messages[2]["content"] == '{"ok": true}\n\n<context>\nIt is Tuesday.\n</context>'
    assert read(Request(prefix=Prefix(""), tail=tail))["messages"][2]["content"] == '{"ok": true}'


def test_summary_goes_before_the_first_user_text_so_that_roles_alternate() -> None:
    summary = Message(role="user", text="Ann wants a haircut.")
    request = Request(
        prefix=Prefix("Be kind."),
        tail=[Message(role="user", text="When?")],
        summary=summary,
        volatile="Noon.",
    )
    messages = read(request)["messages"]

    assert [m["role"] for m in messages] == ["system", "user"]
    assert messages[1]["content"] == (
        "<summary>\nAnn wants a haircut.\n</summary>\n\nWhen?\n\n<context>\nNoon.\n</context>"
    )


def test_summary_is_a_message_of_its_own_before_an_assistant() -> None:
    tail = [Message(role="assistant", text="Hi."), Message(role="user", text="When?")]
    request = Request(prefix=Prefix(""), tail=tail, summary=Message(role="user", text="S"))

    assert [m["content"] for m in read(request)["messages"]] == [
        "<summary>\nS\n</summary>",
        "Hi.",
        "When?",
    ]


def test_call_without_text_has_empty_content_and_arguments_as_a_json_string() -> None:
    tail = [
        Message(role="assistant", calls=[ToolCall("c1", "find", {"name": 'Än"n'})]),
        Message(role="tool", call_id="c1", text="none"),
    ]
    assistant = read(Request(prefix=Prefix(""), tail=tail))["messages"][0]

    assert assistant["content"] == ""
    assert json.loads(assistant["tool_calls"][0]["function"]["arguments"]) == {"name": 'Än"n'}


def test_object_schema_gets_properties() -> None:
    body = read(Request(prefix=Prefix("", [BARE]), tail=[Message(role="user", text="hi")]))

    assert body["tools"][0]["function"]["parameters"] == {"type": "object", "properties": {}}


@pytest.mark.parametrize("tail", [[], [Message(role="assistant", text="Hi.")]])
def test_tail_must_end_with_something_to_answer(tail: list[Message]) -> None:
    with pytest.raises(ValueError, match="tail"):
        encoded(Request(prefix=Prefix(""), tail=tail))


@pytest.mark.parametrize(
    ("is_stream", "vendor_type"),
    [(False, CompletionCreateParamsNonStreaming), (True, CompletionCreateParamsStreaming)],
)
def test_body_is_what_the_vendor_declares(
    is_stream: bool, vendor_type: Any, ask: Callable[..., Request]
) -> None:
    tail = [
        Message(role="user", text="find Ann"),
        Message(role="assistant", text="Sure.", calls=[ToolCall("c1", "find", {"name": "Ann"})]),
        Message(role="tool", call_id="c1", text="found"),
    ]
    head = encode_head("m", is_stream=is_stream, options={"temperature": 0})
    request = ask(
        prefix=Prefix("Be kind.", [TOOL, BARE]),
        tail=tail,
        summary=Message(role="user", text="S"),
        volatile="V",
        max_output_tokens=100,
    )
    body = json.loads(encode_body(request, head, limit_field="max_completion_tokens"))

    checked = TypeAdapter(vendor_type).validate_python(body)
    assert set(body) <= set(vendor_type.__annotations__)
    for message in checked["messages"]:  # pydantic checks iterables as they are walked
        list(message.get("tool_calls", ()))
    assert len(list(checked["tools"])) == 2
