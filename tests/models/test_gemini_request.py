"""Request bodies: what stands where, and the same bytes from request to request."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.models.fake_gemini import FOREIGN, OTHER_SIGNATURE, SIGNATURE

from aicore.models.gemini_parts import Signer
from aicore.models.gemini_request import ContentEncoder
from aicore.models.port import OutputSchema, Request
from aicore.records import Message, Prefix, Tail, Tool, ToolCall

OURS = "gemini:m"
SIGNER = Signer(OURS, "m")
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
NO_PREFIX = Prefix("")


def encoded(request: Request, signer: Signer = SIGNER) -> bytes:
    return ContentEncoder(signer, {}, None).body(request)


def kept(*parts: Any, model: str = "m") -> Any:
    """The state of an answer."""
    return {"model": model, "parts": [list(part) for part in parts]}


def read(tail: Any, **changes: Any) -> Any:
    return json.loads(encoded(Request(**{"prefix": NO_PREFIX, "tail": tail, **changes})))


def contents(tail: Any, **changes: Any) -> Any:
    return read(tail, **changes)["contents"]


def user(text: str) -> Message:
    return Message(role="user", text=text)


def result(call_id: str, text: str = "ok", **more: Any) -> Message:
    return Message(role="tool", call_id=call_id, text=text, **more)


def answer(text: str = "", *names: str, **more: Any) -> Message:
    """An assistant message with a call of each name, with ids c0, c1 ..."""
    calls = [ToolCall(f"c{at}", name, {}) for at, name in enumerate(names)]
    return Message(role="assistant", text=text, calls=calls, **more)


def parts_of_answer(message: Message) -> list[dict[str, Any]]:
    results = [result(call.id) for call in message.calls]
    found: list[dict[str, Any]] = contents([user("hi"), message, *results, user("go on")])[1][
        "parts"
    ]
    return found


# What stands where


def test_body_is_instructions_tools_and_contents() -> None:
    body = read([user("hi")], prefix=Prefix("Be kind.", [TOOL, BARE]))

    assert body == {
        "systemInstruction": {"parts": [{"text": "Be kind."}]},
        "tools": [
            {
                "functionDeclarations": [
                    {
                        "name": "find",
                        "description": "Find a customer.",
                        "parametersJsonSchema": TOOL.parameters,
                    },
                    {"name": "list", "description": ""},
                ]
            }
        ],
        "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
    }
    assert list(body) == ["systemInstruction", "tools", "contents"]


def test_only_shown_tools_are_sent() -> None:
    body = read([user("hi")], prefix=Prefix("", [TOOL, BARE], offered=[BARE]))

    assert [one["name"] for one in body["tools"][0]["functionDeclarations"]] == ["list"]


def test_results_of_one_answer_stand_in_one_content_in_order() -> None:
    found = contents(
        [
            user("find"),
            answer("Sure.", "find", "list"),
            result("c0", "Ann"),
            result("c1", "down", is_error=True),
            user("And?"),
        ]
    )

    assert [one["role"] for one in found] == ["user", "model", "user", "user"]
    assert found[2]["parts"] == [
        {"functionResponse": {"name": "find", "response": {"output": "Ann"}}},
        {"functionResponse": {"name": "list", "response": {"error": "down"}}},
    ]


def test_result_is_named_by_the_nearest_call_of_its_id() -> None:
    tail = [user("a"), answer("", "find"), result("c0"), answer("", "list"), result("c0")]

    assert [
        one["parts"][0]["functionResponse"]["name"] for one in contents(tail)[2::2]
    ] == ["find", "list"]  # fmt: skip


def test_volatile_text_is_put_at_the_end_of_the_last_message() -> None:
    tail = [user("find"), answer("", "find", "list"), result("c0"), result("c1", '{"a": 1}')]
    context = "\n\n<context>\nIt is Tuesday.\n</context>"

    (first, second) = contents(tail, volatile="It is Tuesday.")[2]["parts"]
    assert first["functionResponse"]["response"] == {"output": "ok"}
    assert second["functionResponse"]["response"] == {"output": '{"a": 1}' + context}
    (asked,) = contents([user("hi")], volatile="It is Tuesday.")
    assert asked["parts"] == [{"text": "hi" + context}]


def test_summary_goes_before_the_first_user_text() -> None:
    found = contents([user("When?")], summary=user("Ann."), volatile="Noon.")

    assert [one["parts"][0]["text"] for one in found] == [
        "<summary>\nAnn.\n</summary>\n\nWhen?\n\n<context>\nNoon.\n</context>"
    ]


def test_summary_is_a_content_of_its_own_before_an_answer() -> None:
    found = contents([answer("Hi."), user("When?")], summary=user("S"))

    assert [(one["role"], one["parts"][0]["text"]) for one in found] == [
        ("user", "<summary>\nS\n</summary>"),
        ("model", "Hi."),
        ("user", "When?"),
    ]


def test_empty_messages_have_some_text() -> None:
    """Gemini refuses a content without any."""
    for content in contents([user(""), answer(""), user(" \n")]):
        assert content["parts"][0]["text"].strip()


def test_limit_and_schema_join_the_options() -> None:
    options = {"generationConfig": {"temperature": 0}, "safetySettings": []}
    encoder = ContentEncoder(SIGNER, options, 500)
    schema = OutputSchema(name="s", schema={"type": "object", "title": "S"})

    def body(**changes: Any) -> Any:
        request = Request(prefix=NO_PREFIX, tail=[user("hi")], **changes)
        return json.loads(encoder.body(request))

    assert body()["safetySettings"] == []
    assert body()["generationConfig"] == {"temperature": 0, "maxOutputTokens": 500}
    assert body(max_output_tokens=9, output_schema=schema)["generationConfig"] == {
        "temperature": 0,
        "maxOutputTokens": 9,
        "responseMimeType": "application/json",
        "responseJsonSchema": {"type": "object"},
    }


@pytest.mark.parametrize("tail", [[], [answer("Hi.")], [user("a"), result("c0")]])
def test_what_cannot_be_asked_is_an_error(tail: list[Message]) -> None:
    with pytest.raises(ValueError, match="tail"):
        contents(tail)


@given(st.text(), st.text(), st.text())
def test_text_of_any_kind_can_be_sent(text: str, rules: str, volatile: str) -> None:
    request = Request(
        prefix=Prefix(rules), tail=[user(text)], summary=user(text), volatile=volatile
    )

    assert json.loads(encoded(request).decode("utf-8", "strict"))["contents"]


# Signatures


def test_parts_come_back_as_they_came() -> None:
    state = kept(
        ["thought", "I look.", SIGNATURE],
        ["text", 3, None],
        ["text", 2, OTHER_SIGNATURE],
        ["call", "f1", SIGNATURE],
        ["call", None, None],
        ["text", 0, OTHER_SIGNATURE],
    )

    assert parts_of_answer(answer("Grüße", "find", "list", provider=OURS, state=state)) == [
        {"text": "I look.", "thought": True, "thoughtSignature": SIGNATURE},
        {"text": "Grü"},
        {"text": "ße", "thoughtSignature": OTHER_SIGNATURE},
        {
            "functionCall": {"id": "f1", "name": "find", "args": {}},
            "thoughtSignature": SIGNATURE,
        },
        {"functionCall": {"name": "list", "args": {}}},
        {"text": "", "thoughtSignature": OTHER_SIGNATURE},
    ]


def test_ids_that_gemini_gave_come_back_with_the_results() -> None:
    """Our own id may be another: ids are told apart over a whole conversation."""
    state = kept(["call", "f1", SIGNATURE], ["call", None, None])
    tail = [
        user("find"),
        answer("", "find", "list", provider=OURS, state=state),
        result("c0"),
        result("c1"),
    ]

    assert contents(tail)[2]["parts"] == [
        {"functionResponse": {"id": "f1", "name": "find", "response": {"output": "ok"}}},
        {"functionResponse": {"name": "list", "response": {"output": "ok"}}},
    ]


@pytest.mark.parametrize("provider", ["openai:m", "gemini:other", ""])
def test_state_of_another_provider_is_dropped(provider: str) -> None:
    state = kept(["call", "f1", SIGNATURE], ["call", "f2", None])

    assert parts_of_answer(answer("", "find", "list", provider=provider, state=state)) == [
        {"functionCall": {"name": "find", "args": {}}, "thoughtSignature": FOREIGN},
        {"functionCall": {"name": "list", "args": {}}},
    ]


def test_own_calls_that_came_unsigned_get_what_google_documents() -> None:
    """Gemini 3 refuses calls of which the first is not signed; older models sign the text."""
    state = kept(["text", 2, SIGNATURE], ["call", "f1", None])

    assert parts_of_answer(answer("Hi", "find", provider=OURS, state=state)) == [
        {"text": "Hi", "thoughtSignature": SIGNATURE},
        {"functionCall": {"id": "f1", "name": "find", "args": {}}, "thoughtSignature": FOREIGN},
    ]


def test_text_needs_no_signature() -> None:
    assert parts_of_answer(answer("Hi", provider="openai:m")) == [{"text": "Hi"}]


def test_signatures_of_calls_survive_a_change_of_the_text() -> None:
    state = kept(["text", 9, OTHER_SIGNATURE], ["call", "f1", SIGNATURE], ["call", None, None])

    assert parts_of_answer(answer("Hi", "find", provider=OURS, state=state)) == [
        {"text": "Hi"},
        {
            "functionCall": {"id": "f1", "name": "find", "args": {}},
            "thoughtSignature": SIGNATURE,
        },
    ]


@pytest.mark.parametrize(
    "state",
    [
        None,
        {},
        "x",
        [["text", 2, None], ["call", "f1", SIGNATURE]],
        {"model": "m", "parts": 3},
        kept(["text", 2, None], ["call", "f1", SIGNATURE], model="other"),
        kept(["call"]),
        kept(["call", 1, None]),
        kept(["text", "2", None]),
        kept(["text", -1, None]),
        kept(["call", None, 5]),
        {"model": "m", "parts": [3]},
    ],
)
def test_state_that_is_damaged_or_of_another_model_is_dropped(state: Any) -> None:
    assert parts_of_answer(answer("Hi", "find", provider=OURS, state=state)) == [
        {"text": "Hi"},
        {"functionCall": {"name": "find", "args": {}}, "thoughtSignature": FOREIGN},
    ]


def test_two_providers_do_not_share_the_bytes_of_a_message() -> None:
    state = kept(["call", "f1", SIGNATURE])
    tail = [user("find"), answer("", "find", provider=OURS, state=state), result("c0")]
    request = Request(prefix=NO_PREFIX, tail=Tail(tail, {}))

    ours, others = (
        json.loads(encoded(request, signer)) for signer in (SIGNER, Signer("gemini:other", "m"))
    )
    assert ours["contents"][1]["parts"][0]["thoughtSignature"] == SIGNATURE
    assert others["contents"][1]["parts"][0]["thoughtSignature"] == FOREIGN
    assert "id" in ours["contents"][2]["parts"][0]["functionResponse"]
    assert "id" not in others["contents"][2]["parts"][0]["functionResponse"]


# The same bytes

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
STATE = st.sampled_from([None, kept(["call", "f1", SIGNATURE]), kept(["call", None, None])])
ROUND = st.builds(
    lambda text, state, said: [
        user(text),
        Message(role="assistant", calls=[ToolCall("c0", "find", {})], provider=OURS, state=state),
        result("c0", said),
        answer(said),
    ],
    TEXT,
    STATE,
    TEXT,
)


@given(st.lists(ROUND, max_size=3), st.lists(TEXT, min_size=1, max_size=2), TEXT, st.booleans())
def test_next_request_repeats_the_bytes_up_to_what_is_new(
    rounds: list[list[Message]], new: list[str], volatile: str, is_answered: bool
) -> None:
    prefix = Prefix("Be kind.", [TOOL, BARE])
    past = [message for one in rounds for message in one]
    last = [user("x"), answer("", "find", "list"), result("c0")]
    tail = [*past, user("x")] if is_answered else [*past, *last]
    more = [answer("y"), *map(user, new)] if is_answered else [result("c1"), *map(user, new)]
    first = encoded(Request(prefix=prefix, tail=tail, volatile=volatile))
    plain = encoded(Request(prefix=prefix, tail=tail))
    second = encoded(Request(prefix=prefix, tail=[*tail, *more], volatile="now"))

    assert second.startswith(plain.removesuffix(b"]}]}"))
    shared = plain.removesuffix(b"]}]}").rstrip(b'}"')
    assert first.startswith(shared)
    assert second.startswith(shared)


def test_a_growing_tail_gives_the_same_bytes_as_a_fresh_one() -> None:
    joined: dict[str, tuple[int, bytes]] = {}
    messages: list[Message] = []

    def check() -> None:
        for summary, volatile in itertools.product([None, user("before")], ["", "now"]):
            more: dict[str, Any] = {"prefix": NO_PREFIX, "summary": summary, "volatile": volatile}
            kept = encoded(Request(tail=Tail(messages, joined), **more))
            fresh = [
                Message(role=m.role, text=m.text, calls=m.calls, call_id=m.call_id)
                for m in messages
            ]
            assert kept == encoded(Request(tail=fresh, **more))

    for number in range(4):
        messages.append(user(f"é{number}"))
        check()
        messages.append(answer("", "find", "list"))
        messages.append(result("c0"))
        check()  # as it must not be, yet it must not go wrong
        messages.append(result("c1"))
        check()
        messages.append(answer(f"a{number}"))
    assert joined[f"gemini:{OURS}:m"][0] == 19


def test_an_earlier_and_shorter_tail_can_be_sent_again() -> None:
    joined: dict[str, tuple[int, bytes]] = {}
    messages = [user(str(number)) for number in range(3)]
    assert len(contents(Tail(messages, joined))) == 3
    assert len(contents(Tail(messages[:2], joined))) == 2


def test_messages_that_somebody_changed_are_never_sent_as_they_were() -> None:
    joined: dict[str, tuple[int, bytes]] = {}
    first, secret, last = (user(text) for text in ("a", "SECRET", "z"))
    contents(Tail([first, secret, last], joined))

    body = encoded(Request(prefix=NO_PREFIX, tail=(first, user("[masked]"), last)))

    assert b"SECRET" not in body
    assert b"[masked]" in body


def test_each_part_is_encoded_once() -> None:
    prefix = Prefix("Be kind.", [TOOL])
    message = user("hi")
    encoded(Request(prefix=prefix, tail=[message]))
    message.encoded[f"gemini:{OURS}:m"] = b'{"role":"user","parts":[{"text":"kept"}'
    prefix.encoded["gemini"] = b'"contents":['

    assert read([user("first"), message], prefix=prefix) == {
        "contents": [
            {"role": "user", "parts": [{"text": "first"}]},
            {"role": "user", "parts": [{"text": "kept"}]},
        ]
    }
