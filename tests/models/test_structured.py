"""Answers as JSON: what is taken, what is asked for again, what is given up."""

import math
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.models.tiny_gguf import write_tiny_gguf

from aicore.errors import ConfigError, ModelError, ProviderUnavailable
from aicore.models import Capabilities, Completion, InProcess, Request, ScriptedProvider
from aicore.models.port import OutputSchema
from aicore.models.scripted import Reply
from aicore.models.structured import complete_as
from aicore.records import Message, Prefix, Tool, ToolCall, Usage

VISIT = OutputSchema(
    name="visit",
    schema={
        "type": "object",
        "properties": {"name": {"type": "string"}, "count": {"type": "integer", "minimum": 1}},
        "required": ["name", "count"],
        "additionalProperties": False,
    },
)
GOOD = {"name": "Ann", "count": 2}
GOOD_TEXT = '{"name": "Ann", "count": 2}'
HELD = Capabilities(locality="local", schema=True)
FREE = Capabilities(locality="local", schema=False)
TOOL = Tool(
    name="find", description="", parameters={"type": "object"}, server="crm", remote_name="find"
)
ASKED = Request(
    prefix=Prefix("Be kind.", [TOOL]), tail=[Message(role="user", text="Who comes?")], volatile="V"
)


def scripted(replies: Iterable[Reply], capabilities: Capabilities = HELD) -> ScriptedProvider:
    return ScriptedProvider(replies, capabilities=capabilities)


@pytest.mark.parametrize(
    "text",
    [
        GOOD_TEXT,
        f"\n {GOOD_TEXT}\n",
        f"```json\n{GOOD_TEXT}\n```",
        f"```\n{GOOD_TEXT}```",
        f"Here it is:\n```JSON\r\n{GOOD_TEXT}\n```\nAnything else?",
        f"Sure! {GOOD_TEXT} That is all.",
        f"<think>A set {{of}} words.</think>\n```json\n{GOOD_TEXT}\n```",
        f'```json\n{{"draft": true}}\n```\n```json\n{GOOD_TEXT}\n```',
    ],
)
async def test_json_is_found_in_what_was_said(text: str) -> None:
    provider = scripted([text])
    value, completion = await complete_as(provider, ASKED, VISIT)

    assert value == GOOD
    assert completion.text == text
    assert len(provider.requests) == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "No.",
        "[1]",
        "{",
        '{"name": "Ann"',
        '{"name": "Ann"}',
        '{"name": "Ann", "count": 0}',
        '{"name": "Ann", "count": "2"}',
        '{"name": "Ann", "count": 2, "more": 1}',
        '{"name": "Ann", "count": NaN}',
        '{"name": "Ann", "count": Infinity}',
        '{"a":' * 10_000,
        '{"a":' * 199 + "1" + "}" * 199,
    ],
)
async def test_fault_is_named_and_asked_for_again_once(text: str) -> None:
    provider = scripted([text, GOOD_TEXT])
    value, _ = await complete_as(provider, ASKED, VISIT)

    assert value == GOOD
    first, second = provider.requests
    *before, answered, told = second.tail
    assert before == list(first.tail)
    assert answered.role == "assistant"
    assert answered.text == (text or "(no text)")
    assert told.role == "user"
    assert '"minimum":1' in told.text  # a server that ignored the schema did not show it
    assert second.output_schema == first.output_schema == VISIT


async def test_fault_tells_the_model_what_it_said() -> None:
    provider = scripted(['{"name": "Ann", "count": "many"}', GOOD_TEXT])
    await complete_as(provider, ASKED, VISIT)

    assert "'many' is not of type 'integer'" in provider.requests[1].tail[-1].text


async def test_second_fault_is_an_error_that_quotes_the_schema_alone() -> None:
    provider = scripted(['{"name": "SECRET"}', '{"name": "SECRET", "count": "SECRET"}'])
    with pytest.raises(ModelError, match="properties/count/type") as caught:
        await complete_as(provider, ASKED, VISIT)

    assert "SECRET" not in str(caught.value)
    assert caught.value.__suppress_context__
    assert len(provider.requests) == 2


async def test_usage_is_that_of_both_requests() -> None:
    def reply(text: str, cost_usd: Decimal | None) -> Completion:
        return Completion(
            text=text, usage=Usage(input_tokens=10, output_tokens=1, cost_usd=cost_usd)
        )

    for cost_usd, total_usd in ((Decimal(3), Decimal(5)), (None, None)):
        provider = scripted([reply("No.", cost_usd), reply(GOOD_TEXT, Decimal(2))])
        _, completion = await complete_as(provider, ASKED, VISIT)
        assert completion.usage == Usage(input_tokens=20, output_tokens=2, cost_usd=total_usd)
        assert completion.text == GOOD_TEXT


async def test_answer_cut_at_its_limit_is_told_so() -> None:
    provider = scripted([Completion(text='{"name": "An', finish="length"), GOOD_TEXT])
    await complete_as(provider, ASKED, VISIT)

    assert "limit" in provider.requests[1].tail[-1].text


async def test_calls_are_no_answer() -> None:
    provider = scripted([ToolCall("c1", "find", {}), GOOD_TEXT])
    value, _ = await complete_as(provider, ASKED, VISIT)

    assert value == GOOD
    assert provider.requests[1].tail[-2].calls == ()


@pytest.mark.parametrize("before", [[], ["No."]])
async def test_refusal_is_an_error_at_once(before: list[str]) -> None:
    provider = scripted([*before, Completion(text=GOOD_TEXT, finish="refused")])
    with pytest.raises(ModelError):
        await complete_as(provider, ASKED, VISIT)
    assert len(provider.requests) == len(before) + 1


async def test_errors_of_the_provider_are_its_own() -> None:
    provider = scripted(["No.", ProviderUnavailable("down")])
    with pytest.raises(ProviderUnavailable):
        await complete_as(provider, ASKED, VISIT)


async def test_schema_goes_into_the_instructions_where_nothing_holds_the_model() -> None:
    provider = scripted([GOOD_TEXT] * 2, FREE)
    for _ in range(2):
        await complete_as(provider, ASKED, VISIT)

    first, second = provider.requests
    assert first.output_schema is None
    assert first.prefix.instructions.startswith("Be kind.\n\n")
    assert '"minimum":1' in first.prefix.instructions
    assert second.prefix.instructions == first.prefix.instructions  # so that caches hit


async def test_the_rest_of_the_request_is_left_as_it_was() -> None:
    provider = scripted([GOOD_TEXT])
    await complete_as(provider, ASKED, VISIT)

    (sent,) = provider.requests
    assert (sent.tail, sent.volatile, sent.origin) == (ASKED.tail, "V", ASKED.origin)
    assert (sent.data_class, sent.prefix.instructions) == (ASKED.data_class, "Be kind.")
    assert ASKED.output_schema is None
    assert ASKED.prefix.tools == [TOOL]


@pytest.mark.parametrize("capabilities", [HELD, FREE])
async def test_tools_are_offered_only_where_they_were_used(capabilities: Capabilities) -> None:
    """Anthropic refuses messages with calls and no tools."""
    used = [
        Message(role="user", text="find"),
        Message(role="assistant", calls=[ToolCall("c1", "find", {})]),
        Message(role="tool", call_id="c1", text="Ann"),
    ]
    for tail, tools in ((ASKED.tail, []), (used, [TOOL])):
        provider = scripted([GOOD_TEXT], capabilities)
        request = Request(prefix=Prefix("", [TOOL]), tail=tail)
        await complete_as(provider, request, VISIT)
        assert list(provider.requests[0].prefix.shown) == tools


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "thing"},
        {"properties": 3},
        {"$ref": "#/$defs/missing"},
        {"$ref": "https://example.com/schema.json"},
        {"properties": {"name": {"pattern": "("}}},
    ],
)
async def test_schema_that_is_none_is_an_error(schema: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        await complete_as(scripted([GOOD_TEXT]), ASKED, OutputSchema(name="x", schema=schema))


async def test_schema_without_an_end_is_an_error() -> None:
    endless = OutputSchema(name="x", schema={"anyOf": [{"$ref": "#"}]})
    with pytest.raises(ModelError):
        await complete_as(scripted([GOOD_TEXT] * 2), ASKED, endless)


async def test_value_is_plain_json() -> None:
    value, _ = await complete_as(
        scripted(['{"a": 1.5, "b": [null, true]}']), ASKED, OutputSchema(name="x", schema={})
    )

    assert value == {"a": 1.5, "b": [None, True]}
    assert math.isfinite(value["a"])


async def test_real_model_is_held_to_its_schema(tmp_path: Path) -> None:
    """Of random weights: without the schema it says nothing that could be one."""
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "pattern": "^[A-Z][a-z]{1,5}$"},
            "kind": {"enum": ["new", "known"]},
        },
        "required": ["name", "kind"],
        "additionalProperties": False,
    }
    request = Request(
        prefix=Prefix(""), tail=[Message(role="user", text="Who?")], max_output_tokens=300
    )
    async with InProcess(path=write_tiny_gguf(tmp_path / "tiny.gguf"), threads=1) as provider:
        value, completion = await complete_as(
            provider, request, OutputSchema(name="guest", schema=schema)
        )

    assert value["kind"] in ("new", "known")
    assert completion.finish == "stop"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
async def test_number_that_json_does_not_have_is_a_fault_under_any_schema(number: str) -> None:
    anything = OutputSchema(name="any", schema={"type": "object"})
    provider = scripted([f'{{"count": {number}}}', '{"count": 1}'])
    value, _ = await complete_as(provider, ASKED, anything)

    assert value == {"count": 1}
    assert len(provider.requests) == 2


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of following it, which must not be
async def test_reference_to_another_place_is_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "schema.json"
    elsewhere.write_text("{}")
    refers = OutputSchema(name="x", schema={"type": "object", "$ref": elsewhere.as_uri()})
    with pytest.raises(ConfigError):
        await complete_as(scripted([GOOD_TEXT, GOOD_TEXT]), ASKED, refers)
