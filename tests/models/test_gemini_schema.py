"""JSON schemas as Gemini reads them."""

from typing import Any

import pytest

from aicore.models.gemini_schema import known_parameters, known_part


def test_what_gemini_knows_is_left_alone() -> None:
    schema = {
        "type": "object",
        "description": "A visit.",
        "properties": {
            "name": {"type": ["string", "null"]},
            "count": {"type": "integer", "minimum": 1, "maximum": 9},
            "kind": {"enum": ["cut", "wash"], "type": "string"},
            "days": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 7},
            "place": {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/place"}]},
            "pair": {"type": "array", "prefixItems": [{"type": "string"}, {"type": "number"}]},
        },
        "required": ["name"],
        "additionalProperties": False,
        "$defs": {"place": {"type": "object", "additionalProperties": {"type": "string"}}},
    }

    assert known_part(schema) == schema


@pytest.mark.parametrize(
    ("schema", "known"),
    [
        ({"$schema": "x", "title": "T", "default": 1, "examples": [1], "type": "integer"}, "type"),
        ({"type": "string", "pattern": "^a", "minLength": 1, "maxLength": 2}, "type"),
        ({"type": "number", "exclusiveMinimum": 0, "multipleOf": 2}, "type"),
        ({"type": "array", "uniqueItems": True, "contains": {}}, "type"),
        ({"type": "object", "patternProperties": {}, "propertyNames": {}, "not": {}}, "type"),
        ({"type": "boolean", "enum": [True]}, "type"),
        ({"type": "string", "enum": ["a", None]}, "type"),
        ({"type": "string", "enum": [], "anyOf": [], "allOf": []}, "type"),
    ],
)
def test_what_it_does_not_know_is_left_out(schema: dict[str, Any], known: str) -> None:
    assert known_part(schema) == {known: schema[known]}


@pytest.mark.parametrize(
    ("schema", "known"),
    [
        ({"const": "a"}, {"enum": ["a"], "type": "string"}),
        ({"const": 2, "type": "integer"}, {"enum": [2], "type": "integer"}),
        ({"enum": [1, 1.5]}, {"enum": [1, 1.5]}),
        ({"format": "email"}, {"description": "Format: email."}),
        ({"description": "When.", "format": "date"}, {"description": "When. Format: date."}),
        ({"allOf": [{"type": "string"}], "minimum": 1}, {"type": "string", "minimum": 1}),
        ({"allOf": [{"type": "string"}, {"minLength": 1}]}, {}),
        ({"$ref": "#/definitions/a", "description": "D"}, {"$ref": "#/$defs/a"}),
        ({"definitions": {"a": {"title": "A"}}}, {"$defs": {"a": {}}}),
        ({"items": True}, {"items": {}}),
        ({"properties": {"title": {"title": "T"}}}, {"properties": {"title": {}}}),
        ({"anyOf": 3, "properties": 3, "enum": 3, "allOf": 3}, {}),
        (True, {}),
    ],
)
def test_what_can_be_said_otherwise_is(schema: Any, known: dict[str, Any]) -> None:
    assert known_part(schema) == known


def test_reference_at_the_root_keeps_its_definitions() -> None:
    schema = {"$ref": "#/$defs/a", "$defs": {"a": {"type": "object", "title": "A"}}}

    assert known_part(schema) == {"$ref": "#/$defs/a", "$defs": {"a": {"type": "object"}}}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {"type": "object", "properties": {}},
        {"type": "object", "properties": {}, "additionalProperties": False, "required": []},
        {"type": "object", "title": "listArguments", "$schema": "x"},
    ],
)
def test_tool_without_arguments_has_no_schema(schema: dict[str, Any]) -> None:
    assert known_parameters(schema) is None


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {}}},
        {"type": "object", "additionalProperties": {"type": "string"}},
        {"type": "object", "additionalProperties": True},
        {"$ref": "#/$defs/a", "$defs": {"a": {}}},
    ],
)
def test_tool_with_arguments_has_its_schema(schema: dict[str, Any]) -> None:
    assert known_parameters(schema) == schema
