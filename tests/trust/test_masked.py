"""A masked provider: nothing personal goes out, everything comes back, and bytes are repeated."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.models.fake_openai import FakeOpenAI, answering, call, serving

from aicore.dispatch.schemas import ArgumentChecker
from aicore.errors import Interrupted, ModelError, ProviderUnavailable
from aicore.models import Completion, OpenAICompatible, Request, ScriptedProvider, TextDelta
from aicore.models.port import Origin, OutputSchema
from aicore.models.scripted import Reply
from aicore.records import Message, Prefix, Tail, Tool, ToolCall
from aicore.trust.masked import Masked
from aicore.trust.masked_parts import NOTE
from aicore.trust.vault import Vaults
from aicore.trust.vault_key import VaultKey
from aicore.trust.vault_store import MemoryVaultStore

WEB = Origin(business="shop", conversation="web:1")
NAME, EMAIL, PHONE, IBAN = (
    "Annabel Quokka",
    "ann@quokka.example",
    "+49 30 901820",
    "DE89370400440532013000",
)
SECRETS = (NAME, "Quokka", EMAIL, PHONE, IBAN, "901820")
BOOK = Tool(
    name="book",
    description=f"Book an appointment. Ask {EMAIL} if it fails.",
    parameters={
        "type": "object",
        "properties": {
            "email": {"type": "string", "format": "email", "maxLength": 19},
            "day": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\d$", "description": "The day."},
            "with": {"enum": [NAME, "anybody"]},
            "format": {"type": "string"},
        },
        "required": ["email"],
    },
    server="calendar",
    remote_name="book",
)


def user(text: str) -> Message:
    return Message(role="user", text=text)


def request(*messages: Message, **changes: Any) -> Request:
    asked = Request(
        prefix=Prefix("Be kind.", [BOOK]),
        tail=Tail(messages, {}),
        origin=WEB,
        data_class="personal",
    )
    return replace(asked, **changes)


def new_vaults() -> Vaults:
    return Vaults(MemoryVaultStore(), VaultKey.random())


@asynccontextmanager
async def masking(*replies: Reply) -> AsyncIterator[tuple[Masked, ScriptedProvider, Vaults]]:
    vaults = new_vaults()
    inner = ScriptedProvider(replies, chunk_chars=3)
    async with Masked(inner, vaults) as provider:
        await vaults.remember("web:1", [("NAME", NAME)], business="shop")
        yield provider, inner, vaults


async def placeholders(vaults: Vaults, *values: str) -> list[str]:
    vault = await vaults.open("web:1", business="shop")
    return [vault.placeholder_of(value) for value in values]


async def show(provider: Masked, shown: list[str]) -> None:
    async for item in provider.stream(request(user("hi"))):
        if isinstance(item, TextDelta):
            shown.append(item.delta)


def everything(asked: Request) -> str:
    """All that a dialect could send of a request."""
    prefix, summary, schema = asked.prefix, asked.summary, asked.output_schema
    said = [
        (m.text, m.state, m.structured, [(c.name, dict(c.arguments)) for c in m.calls], m.encoded)
        for m in (*asked.tail, *([summary] if summary else []))
    ]
    tools = [(tool.description, dict(tool.parameters)) for tool in (*prefix.tools, *prefix.shown)]
    return repr((prefix.instructions, tools, said, asked.volatile, schema))


async def test_every_position_is_masked() -> None:
    made = ToolCall("c1", "book", {"email": EMAIL, "who": {NAME: [PHONE]}, "account": IBAN})
    asked = request(
        user(f"I am {NAME}, {EMAIL}"),
        Message(role="assistant", text=f"Thanks, {NAME}!", calls=(made,), state={"clear": NAME}),
        Message(role="tool", call_id="c1", text=f'{{"phone":"{PHONE}"}}', structured={"to": NAME}),
        user("thanks"),
        prefix=Prefix(f"Never call {PHONE}.", [BOOK], offered=[BOOK]),
        summary=user(f"{NAME} has the account {IBAN}."),
        volatile=f"Recalled: {NAME}, {PHONE}",
        output_schema=OutputSchema(name="a", schema={"properties": {"x": {"const": NAME}}}),
    )
    async with masking("{}") as (provider, inner, _):
        await provider.complete(asked)

    sent = everything(inner.requests[0])
    assert [secret for secret in SECRETS if secret in sent] == []
    assert NAME in everything(asked)  # what was asked is left as it was


async def test_escapes_in_the_json_of_a_tool_hide_nothing() -> None:
    text = json.dumps({"note": 'Söre "Zoë" Ünlü', "of": "Zoë Ünlü"})
    async with masking("ok") as (provider, inner, vaults):
        await vaults.remember("web:1", [("NAME", "Zoë Ünlü")], business="shop")
        made = Message(role="assistant", calls=(ToolCall("c1", "book", {}),))
        await provider.complete(
            request(user("hi"), made, Message(role="tool", call_id="c1", text=text))
        )

    assert "nl" not in inner.requests[0].tail[-1].text.replace("[[NAME", "")
    assert json.loads(inner.requests[0].tail[-1].text)["of"].startswith("[[NAME_")


async def test_text_and_arguments_come_back() -> None:
    def answer(asked: Request) -> Completion:
        name = asked.tail[-1].text.split()[-1]
        made = ToolCall("c1", "book", {"email": "x", "to": [f"Dear {name}"]})
        return Completion(text=f"Hello {name.lower()}, bye", calls=(made,), model="m")

    async with masking(answer, answer) as (provider, _, _vaults):
        whole = await provider.complete(request(user(f"I am {NAME}")))
        *deltas, last = [item async for item in provider.stream(request(user(f"I am {NAME}")))]

    assert whole.text == f"Hello {NAME}, bye"
    assert whole.calls[0].arguments == {"email": "x", "to": [f"Dear {NAME}"]}
    assert isinstance(last, Completion)
    assert last.text == whole.text
    assert last.calls == whole.calls
    assert "".join(item.delta for item in deltas if isinstance(item, TextDelta)) == last.text
    assert len(deltas) > 3


@pytest.mark.parametrize(
    "said", ["[[NAME_00000000_1]]", "[[IBAN_{nonce}_1]]", "[[NAME_{nonce}_9]]"]
)
async def test_unknown_placeholder_ends_in_an_error_and_is_not_shown(said: str) -> None:
    vaults = new_vaults()
    vault = await vaults.open("web:1", business="shop")
    await vault.remember("NAME", NAME)
    unknown = said.format(nonce=vault.nonce)
    text = f"Your account is {unknown}, all right?"
    replies: list[Reply] = [text, text, ToolCall("c1", "book", {"email": unknown})]
    async with Masked(ScriptedProvider(replies), vaults) as provider:
        with pytest.raises(ModelError):
            await provider.complete(request(user("hi")))
        shown: list[str] = []
        with pytest.raises(ModelError):
            await show(provider, shown)
        assert "Your account is ".startswith("".join(shown))
        with pytest.raises(ModelError):
            await provider.complete(request(user("hi")))


async def test_mangled_placeholder_is_counted_in_text_and_refused_in_calls() -> None:
    def mangled(asked: Request) -> str:
        return asked.tail[-1].text.split("[[")[1].split("]]")[0]

    replies: list[Reply] = [
        mangled,
        lambda asked: ToolCall("c1", "book", {"email": mangled(asked)}),
    ]
    async with masking(*replies) as (provider, _, _vaults):
        await provider.complete(request(user(f"I am {NAME}")))
        assert provider.mangled == 1
        with pytest.raises(ModelError):
            await provider.complete(request(user(f"I am {NAME}")))


async def test_broken_stream_tells_what_was_really_shown() -> None:
    async with masking() as (_, _inner, vaults):
        pass
    vault = await vaults.open("web:1", business="shop")
    await vault.remember("NAME", NAME)
    text = f"Hello {vault.placeholder_of(NAME)}, and"
    for broken, error in ((text, Interrupted), (text[6:20], ProviderUnavailable)):
        inner = ScriptedProvider([Interrupted("broke", text=broken)])
        async with Masked(inner, vaults) as provider:
            with pytest.raises(error) as caught:
                await show(provider, [])
        if isinstance(caught.value, Interrupted):
            assert caught.value.text == f"Hello {NAME}, and"


async def test_answers_as_json_are_restored_by_value() -> None:
    quoted = 'Ann "Q" Lee'

    def answer(asked: Request) -> str:
        return json.dumps({"name": asked.tail[-1].text.split(": ")[1]})

    schema = OutputSchema(name="person", schema={"type": "object"})
    asked = request(user(f"name: {quoted}"), output_schema=schema)
    async with masking(answer, answer) as (provider, _, vaults):
        await vaults.remember("web:1", [("NAME", quoted)], business="shop")
        whole = await provider.complete(asked)
        *deltas, last = [item async for item in provider.stream(asked)]

    assert json.loads(whole.text) == {"name": quoted}
    assert isinstance(last, Completion)
    assert [item.delta for item in deltas if isinstance(item, TextDelta)] == [last.text]


async def test_schema_shown_takes_placeholders_and_the_real_one_is_unchanged() -> None:
    async with masking("ok") as (provider, inner, vaults):
        await provider.complete(request(user(f"I am {NAME}, {EMAIL}")))
        name, email = await placeholders(vaults, NAME, EMAIL)

    [tool] = inner.requests[0].prefix.shown
    shown = {"email": email, "day": email, "with": name}
    assert ArgumentChecker().faults(tool.parameters, shown) == []
    assert len(ArgumentChecker().faults(BOOK.parameters, shown)) == 3
    assert tool.parameters["properties"]["day"]["description"].startswith("The day. (pattern:")
    assert tool.parameters["properties"]["format"] == {"type": "string"}
    assert ArgumentChecker().faults(tool.parameters, {}) != []


async def test_instructions_say_what_placeholders_are_in_the_same_words_always() -> None:
    async with masking("ok", "ok") as (provider, inner, _):
        await provider.complete(request(user("hi")))
        await provider.complete(request(user("hi"), origin=Origin(conversation="web:2")))

    first, second = (asked.prefix.instructions for asked in inner.requests)
    assert first == second == f"Be kind.\n\n{NOTE}"


@asynccontextmanager
async def talking(server: FakeOpenAI) -> AsyncIterator[tuple[Masked, Vaults]]:
    vaults = new_vaults()
    inner = OpenAICompatible(base_url=server.base_url, model="m")
    async with Masked(inner, vaults) as provider:
        yield provider, vaults


def common_prefix(first: bytes, second: bytes) -> int:
    return next(
        (at for at, (a, b) in enumerate(zip(first, second, strict=False)) if a != b),
        min(len(first), len(second)),
    )


async def test_bytes_of_a_conversation_are_repeated_up_to_what_is_new() -> None:
    prefix, joined = Prefix("Be kind.", [BOOK]), {}  # type: ignore[var-annotated]
    messages: list[Message] = []
    async with serving(otherwise=lambda asked: answering(asked, "ok")) as server:
        async with talking(server) as (provider, _):
            for turn in range(5):
                messages.append(user(f"turn {turn}: write to {EMAIL}"))
                tail = Tail(messages, joined)
                asked = request(prefix=prefix, tail=tail, volatile=f"It is {turn}.")
                await provider.complete(asked)
                messages.append(Message(role="assistant", text=f"To {EMAIL}, yes"))
        bodies = [one.body for one in server.requests]

    assert all(EMAIL.encode() not in body for body in bodies)
    for earlier, later in pairwise(bodies):
        volatile = earlier.index(b"<context>")
        assert common_prefix(earlier, later) >= volatile - 4
    assert joined == {}  # the cache of clear bytes is never used
    assert all(message.encoded == {} for message in messages)


async def test_messages_are_masked_once_and_the_inner_cache_is_kept() -> None:
    joined: dict[str, tuple[int, bytes]] = {}
    messages = [user(f"I am {NAME}")]
    async with masking("one", "two", "three") as (provider, inner, _):
        for text in ("a", "b", "c"):
            await provider.complete(request(tail=Tail(messages, joined)))
            messages += [Message(role="assistant", text=text), user(text)]
        one, two, three = (asked.tail for asked in inner.requests)

        assert isinstance(one, Tail)
        assert isinstance(three, Tail)
        assert three.joined is one.joined
        assert three.joined is not joined
        assert three[0] is two[0] is one[0]


async def test_newly_known_value_is_masked_in_older_messages_too() -> None:
    joined: dict[str, tuple[int, bytes]] = {}
    messages = [user("Is Winterbottom there?"), Message(role="assistant", text="No."), user("hm")]
    async with masking("one", "two") as (provider, inner, _):
        await provider.complete(request(tail=Tail(messages, joined)))
        assert inner.requests[0].tail[0].text == "Is Winterbottom there?"
        messages += [Message(role="assistant", text="one"), user("Mr. Winterbottom, I said")]
        await provider.complete(request(tail=Tail(messages, joined)))
        one, two = (asked.tail for asked in inner.requests)

        assert "Winterbottom" not in everything(inner.requests[1])
        assert isinstance(one, Tail)
        assert isinstance(two, Tail)
        assert two.joined is not one.joined
        assert two[1] is one[1]


async def test_state_goes_back_to_whom_it_came_from_and_to_nobody_else() -> None:
    state = {"thinking": "as it was", "signature": "x"}
    replies: list[Reply] = [Completion(text="ok", state=state), "ok", "ok"]
    async with masking(*replies) as (provider, inner, vaults):
        first = await provider.complete(request(user("hi")))
        kept = Message(role="assistant", text="ok", provider=provider.name, state=first.state)
        bare = replace(kept, provider=inner.name, state={"thinking": NAME})
        await provider.complete(request(user("hi"), kept, user("more"), bare, user("end")))
        await vaults.erase("web:1", business="shop")
        await provider.complete(request(user("hi"), kept, user("more")))

    assert provider.name != inner.name
    _, second, third = (asked.tail for asked in inner.requests)
    assert (second[1].provider, second[1].state) == (inner.name, state)
    assert (second[3].provider, second[3].state) == ("", None)
    assert third[1].state is None


async def test_conversations_and_businesses_do_not_share_placeholders() -> None:
    origins = [
        WEB,
        Origin(business="shop", conversation="web:2"),
        Origin(business="other", conversation="web:1"),
        Origin(),
        Origin(),
    ]
    async with masking(*["ok"] * 5) as (provider, inner, _):
        for origin in origins:
            await provider.complete(request(user(EMAIL), origin=origin))

    assert len({asked.tail[0].text for asked in inner.requests}) == len(origins)


async def test_facts_are_those_of_the_provider_but_that_it_masks() -> None:
    async with masking() as (provider, inner, _):
        assert provider.capabilities == replace(inner.capabilities, masks=True)
        assert provider.capabilities is provider.capabilities
        assert NAME not in repr(provider)


async def test_an_agents_turn_with_a_call_over_the_wire() -> None:
    """The model sees placeholders alone; the tool gets the address."""

    def answer(asked: Any) -> Any:
        said = asked.json["messages"][-1]["content"]
        value = said[said.index("[[") : said.index("]]") + 2]
        return answering(
            asked, f"I write to {value}.", [call(0, "book", json.dumps({"email": value}))]
        )

    async with serving(otherwise=answer) as server, talking(server) as (provider, _):
        completion = await provider.complete(request(user(f"mail me at {EMAIL}")))
        items: Sequence[Any] = [item async for item in provider.stream(request(user(EMAIL)))]

    assert completion.text == items[-1].text == f"I write to {EMAIL}."
    assert completion.calls[0].arguments == items[-1].calls[0].arguments == {"email": EMAIL}
    assert all(EMAIL.encode() not in one.body for one in server.requests)


async def test_labelled_fields_of_results_are_known_from_then_on() -> None:
    look_up = replace(BOOK, name="look_up", personal_fields={"name": "NAME", "id": "no word 1"})
    made = Message(role="assistant", calls=(ToolCall("c1", "look_up", {}),))
    result = Message(
        role="tool",
        call_id="c1",
        text='{"id":"KT-77-X","name":"Bo Numbat"}',
        structured=[{"id": "KT-77-X", "name": "Bo Numbat"}],
    )
    said = user("is numbat there? he has KT-77-X")
    prefix = Prefix("Be kind.", [look_up])
    async with masking("ok", "ok") as (provider, inner, _):
        await provider.complete(request(user("who?"), made, result, prefix=prefix))
        await provider.complete(request(user("who?"), made, result, said, prefix=prefix))

    for asked in inner.requests:
        assert "umbat" not in everything(asked)
        assert "KT-77-X" not in everything(asked)
    assert "[[NOWORD_" in inner.requests[1].tail[-1].text


async def test_conversations_share_instructions_that_hold_nothing_personal() -> None:
    plain = Prefix("Be kind.", [replace(BOOK, description="Book.")])
    personal = Prefix(f"Be kind. Ask {EMAIL}.", [BOOK])
    async with masking(*["ok"] * 4) as (provider, inner, _):
        for prefix in (plain, personal):
            for conversation in ("web:7", "web:8"):
                origin = Origin(business="shop", conversation=conversation)
                await provider.complete(request(user("hi"), prefix=prefix, origin=origin))

    first, second, third, fourth = (asked.prefix for asked in inner.requests)
    assert first is second
    assert third.instructions != fourth.instructions
    assert EMAIL not in everything(inner.requests[2]) + everything(inner.requests[3])


VALUES = {
    "Annabel Quokka": "NAME",
    "Bo Numbat": "NAME",
    "ann@quokka.example": "EMAIL",
    "+49 30 901820": "PHONE",
    "DE89370400440532013000": "IBAN",
    "Quokkastraße 12": "STREET",
}
SAYINGS = ("is {} there?", "{}", "My name is {}.", "{} and {}", "write: {}!", '{{"to": "{}"}}')
TURNS = st.lists(
    st.tuples(
        st.sampled_from(SAYINGS),
        st.tuples(st.sampled_from(sorted(VALUES)), st.sampled_from(sorted(VALUES))),
        st.sampled_from((None, *sorted(VALUES))),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=60, deadline=None)
@given(turns=TURNS)
async def test_nothing_known_is_sent_in_any_conversation(turns: Any) -> None:
    """Whatever is said and learned in whatever order; and each answer repeats what was said."""
    vaults = new_vaults()
    inner = ScriptedProvider([lambda asked: asked.tail[-1].text or "?"] * len(turns))
    messages: list[Message] = []
    joined: dict[str, tuple[int, bytes]] = {}
    learned: set[str] = set()
    async with Masked(inner, vaults) as provider:
        for saying, values, new in turns:
            if new is not None:
                await vaults.remember("web:1", [(VALUES[new], new)], business="shop")
                learned.add(new)
            said = saying.format(*values)
            messages.append(user(said))
            answer = await provider.complete(request(tail=Tail(messages, joined)))
            assert answer.text == said
            messages.append(Message(role="assistant", text=answer.text))
            sent = everything(inner.requests[-1])
            assert [value for value in learned if value in sent] == []
            assert [
                value for value, kind in VALUES.items() if kind != "NAME" and value in sent
            ] == []
