"""Schemas of answers in OpenAI's format; the vendor's own library makes what it calls strict."""

import json
from typing import Any, Literal

import openai
import pytest
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from pydantic import BaseModel, TypeAdapter
from tests.models.fake_openai import serving

from aicore.errors import ConfigError
from aicore.models import OpenAICompatible, Request
from aicore.models.openai_schema import is_strict, response_format
from aicore.models.port import OutputSchema
from aicore.records import Message, Prefix

CLOSED: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string"}},
    "required": ["name"],
    "additionalProperties": False,
}


class Place(BaseModel):
    street: str
    zone: Literal["a", "b"]


class Visit(BaseModel):
    """A visit."""

    name: str
    count: int | None
    places: list[Place]
    home: Place | str


class Node(BaseModel):
    children: list["Node"]


@pytest.mark.parametrize("model", [Place, Visit, Node])
def test_what_the_vendors_library_makes_strict_is_strict(model: type[BaseModel]) -> None:
    made: Any = openai.pydantic_function_tool(model)["function"]

    assert made["strict"] is True
    assert is_strict(made["parameters"])
    assert not is_strict(model.model_json_schema())  # open objects


@pytest.mark.parametrize(
    "change",
    [
        {"additionalProperties": True},
        {"required": []},
        {"required": ["name", "other"]},
        {"properties": {"name": {"type": "string", "minLength": 1}}},
        {"properties": {"name": {"type": "string", "format": "email"}}},
        {"properties": {"name": {"type": "array"}}},
        {"properties": {"name": {"type": "object"}}},
        {"properties": {"name": {"type": ["object", "null"]}}},
        {"properties": {"name": {}}},
        {"properties": {"name": True}},
        {"properties": {"name": {"oneOf": [{"type": "string"}]}}},
        {"properties": {"name": {"anyOf": [{"type": "string"}, {"type": "object"}]}}},
        {"$defs": {"a": {"type": "object"}}},
        {"anyOf": [CLOSED]},
        {"type": "array", "items": CLOSED},
        {"$schema": "https://json-schema.org/draft/2020-12/schema"},
    ],
)
def test_what_openai_refuses_as_strict_is_sent_as_a_hint(change: dict[str, Any]) -> None:
    def sent(schema: dict[str, Any]) -> Any:
        return json.loads(response_format(OutputSchema(name="x", schema=schema)))["json_schema"]

    assert sent(CLOSED) == {"name": "x", "schema": CLOSED, "strict": True}
    assert sent({**CLOSED, **change}) == {
        "name": "x",
        "schema": {**CLOSED, **change},
        "strict": False,
    }


@pytest.mark.parametrize("limit", [None, 100])
async def test_schema_stands_behind_the_messages(limit: int | None) -> None:
    request = Request(
        prefix=Prefix("Be kind."),
        tail=[Message(role="user", text="hi")],
        max_output_tokens=limit,
        output_schema=OutputSchema(name="x", schema=CLOSED),
    )
    async with (
        serving() as server,
        OpenAICompatible(base_url=server.base_url, model="m") as provider,
    ):
        await provider.complete(request)

    (asked,) = server.requests
    assert list(asked.json)[-1] == "response_format"
    TypeAdapter(CompletionCreateParamsNonStreaming).validate_python(asked.json)
    assert asked.json["response_format"]["json_schema"]["schema"] == CLOSED
    assert asked.json.get("max_tokens") == limit


def test_response_format_is_not_for_extra_body() -> None:
    with pytest.raises(ConfigError, match="response_format"):
        OpenAICompatible(base_url="http://a/v1", model="m", extra_body={"response_format": {}})
