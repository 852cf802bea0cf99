"""JSON schemas as a model may see them where values are masked.

A placeholder is no date, no mail address, and longer than most values: what a schema says of the
form of a text would forbid it. So that is told in words instead; whoever takes the answer checks it
against the real schema once the values are back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["Take", "relaxed"]

Take = Callable[[str], str]
"""Is given each text of a schema that a person wrote; gives what to put there."""

_BY_NAME = frozenset(
    ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
)
_LISTS = frozenset(("allOf", "anyOf", "items", "oneOf", "prefixItems"))
_SINGLE = frozenset(("additionalProperties", "contains", "else", "if", "not", "propertyNames"))
_WITHIN = _LISTS | _SINGLE | {"then", "unevaluatedItems", "unevaluatedProperties"}
_WORDS = frozenset(("$comment",))
_FORMAL = frozenset(("type", "contentEncoding", "contentMediaType"))
_VALUES = frozenset(("const", "default", "enum", "examples", "example"))
_FORMS = {
    "format": "format: {}",
    "pattern": "pattern: {}",
    "maxLength": "at most {} characters",
}


def relaxed(schema: Any, take: Take) -> Any:
    """The same schema with other words and values, and without limits on the form of texts.

    Texts are taken in a fixed order. Names of properties stay.
    """
    if not isinstance(schema, Mapping):
        return [relaxed(one, take) for one in schema] if isinstance(schema, list) else schema
    made: dict[str, Any] = {}
    forms = []
    for key, value in schema.items():
        if key in _FORMS and not isinstance(value, Mapping):
            forms.append(_FORMS[key].format(value))
        elif key in _BY_NAME and isinstance(value, Mapping):
            made[key] = {name: relaxed(one, take) for name, one in value.items()}
        elif key in _WITHIN:
            made[key] = relaxed(value, take)
        elif key in _VALUES or _is_told(key, value):
            made[key] = _taken(value, take)
        else:
            made[key] = value
    if forms:
        words = f"{made.get('description', '')} ({'; '.join(forms)})"
        made["description"] = words.strip()
    return made


def _is_told(key: str, value: Any) -> bool:
    """Whether it is text for people, also under a word of somebody's own."""
    if key.startswith("x-"):
        return True
    is_formal = key in _FORMAL or (key.startswith("$") and key not in _WORDS)
    return isinstance(value, str) and not is_formal


def _taken(value: Any, take: Take) -> Any:
    if isinstance(value, str):
        return take(value)
    if isinstance(value, Mapping):
        return {key: _taken(one, take) for key, one in value.items()}
    if isinstance(value, list):
        return [_taken(one, take) for one in value]
    return value
