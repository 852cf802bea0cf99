"""JSON schemas as far as Anthropic can hold an answer to them.

Its structured outputs refuse a schema with any other keyword than these, and an object that may
have further properties (https://platform.claude.com/docs/en/build-with-claude/structured-outputs).
What it cannot hold an answer to is written into the description, for the model to follow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aicore.models.wire_json import to_json_text

__all__ = ["narrowed"]

_KEPT = frozenset({"$ref", "type", "enum", "const", "title", "description", "required"})
_FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
)
_MANY = {"anyOf": "anyOf", "oneOf": "anyOf", "allOf": "allOf"}
_NAMED = ("$defs", "definitions", "properties")
_UNSAID = frozenset({"additionalProperties", "$schema", "$id"})


def narrowed(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Narrow a schema to what is held; an answer may break what moved into descriptions."""
    kept: dict[str, Any] = {}
    told: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _MANY and isinstance(value, list):
            kept[_MANY[key]] = [narrowed(part) for part in value if isinstance(part, Mapping)]
        elif key in _NAMED and isinstance(value, Mapping):
            kept[key] = {
                name: narrowed(part) for name, part in value.items() if isinstance(part, Mapping)
            }
        elif key == "items" and isinstance(value, Mapping):
            kept[key] = narrowed(value)
        elif key in _KEPT or _is_held(key, value):
            kept[key] = value
        elif key not in _UNSAID:
            told[key] = value
    if "properties" in kept or "object" in _listed(kept.get("type")):
        kept["additionalProperties"] = False
    if told:
        described = [kept["description"]] if kept.get("description") else []
        kept["description"] = "\n\n".join([*described, to_json_text(told)])
    return kept


def _is_held(key: str, value: Any) -> bool:
    if key == "format":
        return value in _FORMATS
    return key == "minItems" and value in (0, 1)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
