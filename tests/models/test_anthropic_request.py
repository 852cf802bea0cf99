"""Request bodies: the same as the naive encoding, and shared byte for byte between requests."""

import itertools
import json
import re
from collections.abc import Callable, Sequence
from typing import Any, get_type_hints

import pytest
from anthropic.lib._parse._transform import transform_schema
from anthropic.types import (
    TextBlockParam,
    ThinkingBlockParam,
    ToolParam,
    ToolResultBlockParam,
    ToolUseBlockParam,
)
from anthropic.types.message_create_params import (
    MessageCreateParamsNonStreaming,
    MessageCreateParamsStreaming,
)
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter
from tests.models.fake_anthropic import without_marks

from aicore.models.anthropic import Messages
from aicore.models.anthropic_request import encode_body, encode_head
from aicore.models.anthropic_schema import narrowed
from aicore.models.port import OutputSchema, Request
from aicore.records import Message, Prefix, Tail, Tool, ToolCall

PARAMS = {
    "text": TextBlockParam,
    "thinking": ThinkingBlockParam,
    "tool_result": ToolResultBlockParam,
    "tool_use": ToolUseBlockParam,
}
HEAD = encode_head("m", is_stream=False, options={})
MARK = b'"cache_control":{"type":"ephemeral"}'
TOOL = Tool(
    name="find",
    description="Find a customer.",
    parameters={"type": "object", "properties": {"name": {"type": "string"}}},
    server="crm",
    remote_name="find",
)
BARE = Tool(name="list", description="", parameters={}, server="crm", remote_name="l")


def encoded(request: Request) -> bytes:
    return encode_body(request, HEAD, provider="house", model="m", ending={"max_tokens": 9})


def read(request: Request) -> Any:
    return without_marks(json.loads(encoded(request)))


def user(text: str) -> Message:
    return Message(role="user", text=text)


def naive_blocks(message: Message) -> list[dict[str, Any]]:
    if message.role == "user":
        return [{"type": "text", "text": message.text if message.text.strip() else "(empty)"}]
    if message.role == "tool":
        content = message.text if message.text.strip() else "(empty)"
        error = {"is_error": True} if message.is_error else {}
        result = {"type": "tool_result", "tool_use_id": message.call_id, "content": content}
        return [{**result, **error}]
    blocks = [{"type": "text", "text": message.text}] if message.text.strip() else []
    for call in message.calls:
        block = {"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments}
        blocks.append(json.loads(json.dumps(block)))
    return blocks


def naive(tail: Sequence[Message]) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    for message in tail:
        role, blocks = "assistant" if message.role == "assistant" else "user", naive_blocks(message)
        if not blocks:
            continue
        if messages and messages[-1]["role"] == role:
            messages[-1]["content"] += blocks
        else:
            messages.append({"role": role, "content": blocks})
    if messages[0]["role"] == "assistant":
        begins = {"type": "text", "text": "(The conversation begins.)"}
        messages.insert(0, {"role": "user", "content": [begins]})
    return messages


TEXT = st.text(st.characters(exclude_categories=["Cs"]))
ID = st.text("abcXYZ019_-", min_size=1)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=5,
)
CALL = st.builds(ToolCall, ID, TEXT, st.dictionaries(TEXT, JSON, max_size=3))
USER = st.builds(Message, role=st.just("user"), text=TEXT)
ASSISTANT = st.builds(
    Message, role=st.just("assistant"), text=TEXT, calls=st.lists(CALL, max_size=2)
)
RESULT = st.builds(Message, role=st.just("tool"), call_id=ID, text=TEXT, is_error=st.booleans())
TAIL = st.tuples(st.lists(USER | ASSISTANT | RESULT, max_size=4), USER | RESULT).map(
    lambda both: [*both[0], both[1]]
)


@given(TAIL, TEXT)
def test_body_is_the_naive_encoding(tail: list[Message], rules: str) -> None:
    body = read(Request(prefix=Prefix(rules, [TOOL]), tail=tail))

    assert body.pop("messages") == naive(tail)
    assert body.pop("tools")[0]["input_schema"] == TOOL.parameters
    assert body.pop("system", []) == ([{"type": "text", "text": rules}] if rules.strip() else [])
    assert body == {"model": "m", "stream": False, "max_tokens": 9}


@given(TAIL, st.lists(USER | RESULT, min_size=1, max_size=3), st.sampled_from(["", "Noon."]))
def test_next_request_repeats_the_bytes_up_to_the_mark(
    tail: list[Message], new: list[Message], volatile: str
) -> None:
    """What the vendor wrote to its cache for one request is what the next one begins with."""
    prefix, summary = Prefix("Be kind.", [TOOL, BARE]), user("before")
    more: dict[str, Any] = {"prefix": prefix, "summary": summary}
    first = encoded(Request(tail=tail, volatile=volatile, **more))
    second = encoded(Request(tail=[*tail, *new], volatile="now", **more))
    marks = [match.start() for match in re.finditer(MARK, first)]

    assert len(marks) == 2
    assert second[: marks[1] - 1] == first[: marks[1] - 1]
    assert second[marks[1] - 1 :].startswith(b"},{")
    after = first[marks[1] + len(MARK) :]
    assert after.startswith(b'},{"type":"text","text":"<context>' if volatile else b"}]}]")


@given(st.text(), st.text(), st.text())
def test_text_of_any_kind_can_be_sent(text: str, rules: str, volatile: str) -> None:
    """Lone surrogates come in from other systems; they must not make a request impossible."""
    request = Request(
        prefix=Prefix(rules), tail=[user(text)], summary=user(text), volatile=volatile
    )

    assert json.loads(encoded(request).decode("utf-8", "strict"))["messages"]


def test_a_growing_tail_gives_the_same_bytes_as_a_fresh_one() -> None:
    joined: dict[str, tuple[int, bytes]] = {}
    messages: list[Message] = []
    prefix = Prefix("Be kind.")
    roles = ["user", "assistant", "tool", "assistant", "assistant", "user", "user", "tool"]
    for number, role in enumerate(roles):
        # One of the assistant's says nothing at all.
        messages.append(Message(role=role, text="" if number == 4 else f"é{number}", call_id="c"))  # type: ignore[arg-type] # a role
        if role == "assistant":
            continue
        fresh = [Message(role=m.role, text=m.text, call_id=m.call_id) for m in messages]
        for summary, volatile in itertools.product([None, user("before")], ["", "now"]):
            more: dict[str, Any] = {"prefix": prefix, "summary": summary, "volatile": volatile}
            again = encoded(Request(tail=Tail(messages, joined), **more))
            assert again == encoded(Request(tail=Tail(messages, joined), **more))
            assert again == encoded(Request(tail=fresh, **more))


def test_only_what_is_new_is_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    joined: dict[str, tuple[int, bytes]] = {}
    prefix, first = Prefix(""), user("first")
    encoded(Request(prefix=prefix, tail=Tail([first], joined)))
    first.encoded["anthropic"] = b"never read again"

    body = read(Request(prefix=prefix, tail=Tail([first, user("next")], joined)))

    assert [block["text"] for block in body["messages"][0]["content"]] == ["first", "next"]
    assert len(joined) == 1


def test_shorter_tail_after_a_longer_one_is_whole() -> None:
    joined: dict[str, tuple[int, bytes]] = {}
    long = [user("a"), user("b"), user("c")]
    encoded(Request(prefix=Prefix(""), tail=Tail(long, joined)))

    body = read(Request(prefix=Prefix(""), tail=Tail(long[:1], joined)))

    assert len(body["messages"][0]["content"]) == 1


def test_messages_that_somebody_changed_are_never_sent_as_they_were() -> None:
    """Whoever masks a message in the middle must not find it in the bytes again."""
    joined: dict[str, tuple[int, bytes]] = {}
    first, secret, last = (user(text) for text in ("a", "SECRET", "z"))
    encoded(Request(prefix=Prefix(""), tail=Tail([first, secret, last], joined)))

    body = encoded(Request(prefix=Prefix(""), tail=(first, user("[masked]"), last)))

    assert b"SECRET" not in body
    assert b"[masked]" in body


def test_results_of_one_answer_are_one_message_in_front_of_what_is_said_next() -> None:
    tail = [
        user("find both"),
        Message(role="assistant", calls=[ToolCall("a", "find", {}), ToolCall("b", "find", {})]),
        Message(role="tool", call_id="a", text="found"),
        Message(role="tool", call_id="b", text="", is_error=True),
        user("and?"),
    ]
    messages = read(Request(prefix=Prefix(""), tail=tail, volatile="Noon."))["messages"]

    assert [message["role"] for message in messages] == ["user", "assistant", "user"]
    assert messages[2]["content"] == [
        {"type": "tool_result", "tool_use_id": "a", "content": "found"},
        {"type": "tool_result", "tool_use_id": "b", "content": "(empty)", "is_error": True},
        {"type": "text", "text": "and?"},
        {"type": "text", "text": "<context>\nNoon.\n</context>"},
    ]


def test_summary_comes_first_and_the_first_message_is_the_users() -> None:
    hello, when = Message(role="assistant", text="Hi."), user("When?")
    summary = user("Ann wants a haircut.")
    in_front = {"type": "text", "text": "<summary>\nAnn wants a haircut.\n</summary>"}

    (both,) = read(Request(prefix=Prefix(""), tail=[when], summary=summary))["messages"]
    assert both["content"] == [in_front, {"type": "text", "text": "When?"}]
    apart = read(Request(prefix=Prefix(""), tail=[hello, when], summary=summary))["messages"]
    assert [message["role"] for message in apart] == ["user", "assistant", "user"]
    assert apart[0]["content"] == [in_front]
    bare = read(Request(prefix=Prefix(""), tail=[hello, when]))["messages"]
    assert [message["role"] for message in bare] == ["user", "assistant", "user"]


@pytest.mark.parametrize(
    ("prefix", "marked"),
    [
        (Prefix("Be kind.", [TOOL, BARE]), "system"),
        (Prefix(" ", [BARE, TOOL]), "tools"),
        (Prefix(""), None),
    ],
)
def test_last_block_of_the_prefix_is_marked(prefix: Prefix, marked: str | None) -> None:
    body = json.loads(encoded(Request(prefix=prefix, tail=[user("hi")])))
    blocks = {key: body.get(key, []) for key in ("tools", "system")}

    for key, value in blocks.items():
        places = [at for at, block in enumerate(value) if "cache_control" in block]
        assert places == ([len(value) - 1] if key == marked else [])


def test_ids_of_other_providers_become_ones_that_are_taken() -> None:
    ids = ["toolu_01-x", "call|1", "call 1", "é", "", "\ud800"]
    calls = [ToolCall(call_id, "find", {}) for call_id in ids]
    results = [Message(role="tool", call_id=call_id, text="x") for call_id in ids]
    tail = [user("go"), Message(role="assistant", calls=calls), *results]
    made, given = read(Request(prefix=Prefix(""), tail=tail))["messages"][1:]
    taken = [block["id"] for block in made["content"]]

    assert taken == [block["tool_use_id"] for block in given["content"]]
    assert len(set(taken)) == len(ids)
    assert taken[0] == ids[0]
    assert all(re.fullmatch("[a-zA-Z0-9_-]+", call_id) for call_id in taken)


def test_schema_of_a_tool_is_one_that_is_taken() -> None:
    choices = [{"required": ["a"]}, {"required": ["b"]}]
    tool = Tool(
        name="t",
        description="",
        parameters={"properties": {"a": {"anyOf": [{"type": "string"}]}}, "anyOf": choices},
        server="s",
        remote_name="t",
    )
    (sent,) = read(Request(prefix=Prefix("", [tool]), tail=[user("hi")]))["tools"]

    assert sent == {
        "name": "t",
        "input_schema": {
            "type": "object",
            "properties": {"a": {"anyOf": [{"type": "string"}]}},
        },
    }


@pytest.mark.parametrize("tail", [[], [Message(role="assistant", text="Hi.")]])
def test_tail_must_end_with_something_to_answer(tail: list[Message]) -> None:
    with pytest.raises(ValueError, match="tail"):
        encoded(Request(prefix=Prefix(""), tail=tail))


@pytest.mark.parametrize(
    ("is_stream", "vendor_type"),
    [(False, MessageCreateParamsNonStreaming), (True, MessageCreateParamsStreaming)],
)
def test_body_is_what_the_vendor_declares(
    is_stream: bool, vendor_type: Any, ask: Callable[..., Request]
) -> None:
    thought = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
    tail = [
        user("find Ann"),
        Message(role="assistant", text="Sure.", calls=[ToolCall("c|1", "find", {"name": "Ann"})]),
        Message(role="tool", call_id="c|1", text="found", is_error=True),
    ]
    dialect = Messages(
        "m",
        "house",
        options={
            "thinking": {"type": "enabled", "budget_tokens": 1024},
            "output_config": {"effort": "low"},
            "metadata": {"user_id": "u"},
        },
        max_output_tokens=4000,
    )
    request = ask(
        prefix=Prefix("Be kind.", [TOOL, BARE]),
        tail=tail,
        summary=user("S"),
        volatile="V",
        output_schema=OutputSchema(name="slot", schema={"type": "object", "properties": {}}),
    )
    body = json.loads(dialect.encode(request, is_stream=is_stream))
    body["messages"][1]["content"].insert(0, thought)

    adapter: TypeAdapter[Any] = TypeAdapter(vendor_type)  # kept: what it gives is checked lazily
    checked = adapter.validate_python(body)
    assert set(body) <= set(get_type_hints(vendor_type))
    blocks = [block for message in checked["messages"] for block in message["content"]]
    assert [block["type"] for block in blocks] == [
        *["text", "text", "thinking", "text", "tool_use", "tool_result", "text"]
    ]
    for block in [*blocks, *checked["system"]]:
        assert set(block) <= set(get_type_hints(PARAMS[block["type"]]))
    for tool in checked["tools"]:
        assert set(tool) <= set(get_type_hints(ToolParam))
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 1024}
    assert set(body["output_config"]) == {"effort", "format"}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}},
        {"type": "object", "properties": {}, "required": [], "additionalProperties": True},
        {"type": "array", "items": {"type": "string", "maxLength": 3}, "minItems": 2},
        {"type": "array", "items": {"type": "string", "format": "uri"}, "minItems": 1},
        {"type": "string", "format": "iban", "pattern": "^[A-Z]", "description": "Where to."},
        {"enum": ["a", "b"], "title": "Which"},
        {"anyOf": [{"type": "null"}, {"type": "number", "multipleOf": 2}]},
        {"oneOf": [{"const": 1}, {"type": "object", "properties": {"a": {"type": "string"}}}]},
        {
            "$defs": {"slot": {"type": "object", "properties": {"at": {"type": "string"}}}},
            "type": "object",
            "properties": {"slots": {"type": "array", "items": {"$ref": "#/$defs/slot"}}},
            "required": ["slots"],
        },
    ],
)
def test_schema_is_narrowed_as_the_vendors_client_does(schema: dict[str, Any]) -> None:
    def undescribed(value: Any) -> Any:
        if isinstance(value, list):
            return [undescribed(one) for one in value]
        if not isinstance(value, dict):
            return value
        return {key: undescribed(one) for key, one in value.items() if key != "description"}

    ours, theirs = narrowed(schema), transform_schema(json.loads(json.dumps(schema)))

    assert undescribed(ours) == undescribed(theirs)
    assert bool(ours.get("description")) == bool(theirs.get("description"))


def test_what_cannot_be_held_is_told() -> None:
    made = narrowed({"type": "integer", "minimum": 1, "description": "How many."})

    assert made == {"type": "integer", "description": 'How many.\n\n{"minimum":1}'}
