"""Schemas as models read them: every token of `tools/list` is paid in each request."""

from __future__ import annotations

from typing import Any

__all__ = ["slim"]


def slim(schema: Any) -> Any:
    """Drop from a JSON schema what costs tokens and says nothing.

    Titles, empty defaults, null alternatives, what holds anyway, the docstrings of
    argument classes; and those classes stand where they are used.
    """
    return _inlined(_slimmed(schema))


def _slimmed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_slimmed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    slimmed: dict[str, Any] = {}
    for key, value in schema.items():
        if key in ("properties", "$defs"):
            slimmed[key] = {name: _slimmed(item) for name, item in value.items()}
        elif key in ("default", "enum"):
            if value not in (None, "", []):
                slimmed[key] = value
        elif key != "title" and not (key == "additionalProperties" and value is True):
            slimmed[key] = _slimmed(value)
    for definition in slimmed.get("$defs", {}).values():
        definition.pop("description", None)
    return _without_null(slimmed)


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    options = schema.get("anyOf")
    if not isinstance(options, list):
        return schema
    real = [option for option in options if option != {"type": "null"}]
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    return {**rest, **(real[0] if len(real) == 1 else {"anyOf": real})}


def _inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """Put definitions where they are used. None may use itself: it would not end."""
    definitions = schema.pop("$defs", {})

    def inline(part: Any) -> Any:
        if isinstance(part, list):
            return [inline(item) for item in part]
        if not isinstance(part, dict):
            return part
        rest = {key: inline(value) for key, value in part.items() if key != "$ref"}
        if "$ref" not in part:
            return rest
        return {**inline(definitions[part["$ref"].rpartition("/")[2]]), **rest}

    inlined: dict[str, Any] = inline(schema)
    return inlined
