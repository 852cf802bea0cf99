"""Schemas as models read them: every token of `tools/list` is paid in each request."""

from __future__ import annotations

from typing import Any

__all__ = ["slim"]


def slim(schema: Any) -> Any:
    """Drop from a JSON schema what costs tokens and says nothing.

    Titles, empty defaults, null alternatives, and the docstrings of argument classes.
    """
    if isinstance(schema, list):
        return [slim(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    slimmed: dict[str, Any] = {}
    for key, value in schema.items():
        if key in ("properties", "$defs"):
            slimmed[key] = {name: slim(item) for name, item in value.items()}
        elif key in ("default", "enum"):
            if value not in (None, "", []):
                slimmed[key] = value
        elif key != "title":
            slimmed[key] = slim(value)
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
