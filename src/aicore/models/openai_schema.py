"""Answers held to a JSON schema, in OpenAI's chat format: `response_format`.

`strict` is said where the schema is one that OpenAI takes as strict, and false where it is not:
OpenAI answers 400 to a strict schema with an optional property, an open object or a keyword it
does not enforce, and takes any schema that is not strict as a hint. Servers of one's own (vLLM,
llama.cpp, SGLang, Ollama, LM Studio) hold the model to the schema by a grammar either way, and
some servers ignore the field: whoever asks checks the answer, see `structured`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aicore.models.port import OutputSchema
from aicore.models.wire_json import to_json

__all__ = ["is_strict", "response_format"]

# What OpenAI and Azure both enforce; more is known to one of them, or to newer models only.
_STRUCTURE = frozenset(
    {"$defs", "$ref", "additionalProperties", "anyOf", "const", "description", "enum", "items"}
    | {"properties", "required", "title", "type"}
)
_KINDS = frozenset({"$ref", "anyOf", "type"})


def response_format(output: OutputSchema) -> bytes:
    """Encode the value of `response_format`. Raises: ValueError for a schema that is no JSON."""
    is_whole = output.schema.get("type") == "object" and "anyOf" not in output.schema
    return to_json(
        {
            "type": "json_schema",
            "json_schema": {
                "name": output.name,
                "schema": dict(output.schema),
                "strict": is_whole and is_strict(output.schema),
            },
        }
    )


def is_strict(schema: Any) -> bool:
    """Tell whether OpenAI takes a schema, or a part of one, as strict."""
    if not isinstance(schema, Mapping) or not schema.keys() <= _STRUCTURE:
        return False
    if not schema.keys() & _KINDS:
        return False
    kinds = schema.get("type")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if "object" in kinds and not _is_closed(schema):
        return False
    if "array" in kinds and "items" not in schema:
        return False
    items = [schema["items"]] if "items" in schema else []
    named = [*schema.get("properties", {}).values(), *schema.get("$defs", {}).values()]
    return all(map(is_strict, [*items, *named, *schema.get("anyOf", ())]))


def _is_closed(schema: Mapping[str, Any]) -> bool:
    """Whether an object has nothing but its properties, and all of them always."""
    names = set(schema.get("properties", {}))
    return schema.get("additionalProperties") is False and names == set(schema.get("required", ()))
