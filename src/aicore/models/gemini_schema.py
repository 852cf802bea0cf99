"""JSON schemas as Gemini reads them: what it does not know is left out.

It takes JSON Schema in `parametersJsonSchema` and `responseJsonSchema`, but only some of its
keywords (their list: `GenerationConfig.response_json_schema` in Google's types), and some of the
others are answered with 400. What is left out binds the model no more; our own checks use the
whole schema.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

__all__ = ["known_parameters", "known_part"]

_SAME = ("$id", "$anchor", "type", "minItems", "maxItems", "minimum", "maximum", "required")
_MAPS = ("$defs", "definitions", "properties")
_LISTS = ("anyOf", "oneOf", "prefixItems")
_TYPES = {str: "string", int: "integer", float: "number"}
_NO_PARAMETERS = {"additionalProperties", "properties", "required", "type"}


def known_parameters(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """Give the schema of a tool's arguments, None for a tool that takes none."""
    known = known_part(schema)
    if known.get("properties") or known.get("additionalProperties"):
        return known
    return None if known.keys() <= _NO_PARAMETERS else known


def known_part(schema: Any) -> dict[str, Any]:
    """Give the part of a schema that Gemini knows; {} where anything may stand."""
    if not isinstance(schema, Mapping):  # true and false are schemas too
        return {}
    if isinstance(reference := schema.get("$ref"), str):
        # Beside a reference only what begins with `$` may stand.
        known: dict[str, Any] = {"$ref": reference.replace("#/definitions/", "#/$defs/", 1)}
        return {**known, **_maps(schema, ("$defs", "definitions"))}
    known = {key: schema[key] for key in _SAME if key in schema}
    known.update(_maps(schema, _MAPS))
    known.update({key: _each(schema[key]) for key in _LISTS if _is_list(schema.get(key))})
    if "items" in schema:
        known["items"] = known_part(schema["items"])
    if "additionalProperties" in schema:
        more = schema["additionalProperties"]
        known["additionalProperties"] = more if isinstance(more, bool) else known_part(more)
    known.update(_values(schema))
    known.update(_description(schema))
    only = schema.get("allOf")
    return {**known_part(only[0]), **known} if _is_list(only) and len(only) == 1 else known


def _maps(schema: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    """`definitions` is what drafts before 2019-09 call `$defs`."""
    return {
        "$defs" if key == "definitions" else key: {
            name: known_part(one) for name, one in schema[key].items()
        }
        for key in keys
        if isinstance(schema.get(key), Mapping)
    }


def _is_list(value: Any) -> TypeGuard[list[Any]]:
    return isinstance(value, list) and bool(value)


def _each(schemas: list[Any]) -> list[dict[str, Any]]:
    return [known_part(one) for one in schemas]


def _values(schema: Mapping[str, Any]) -> dict[str, Any]:
    """`enum`, of text and numbers only; a `const` is one of a single value."""
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if not _is_list(values) or not all(type(value) in _TYPES for value in values):
        return {}
    kinds = {_TYPES[type(value)] for value in values}
    return {
        "enum": values,
        **({} if "type" in schema or len(kinds) != 1 else {"type": kinds.pop()}),
    }


def _description(schema: Mapping[str, Any]) -> dict[str, str]:
    """Most formats of text are refused: the model is told in words."""
    words = [schema.get("description"), schema.get("format") and f"Format: {schema['format']}."]
    said = " ".join(word for word in words if isinstance(word, str) and word)
    return {"description": said} if said else {}
