"""Checks the arguments of a call against the tool's JSON schema, before anything is sent."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError
    from jsonschema.protocols import Validator

__all__ = ["ArgumentChecker", "schema_fault"]

_SHOWN_FAULTS = 3
_LONGEST_FAULT = 300


def schema_fault(schema: Mapping[str, Any]) -> str | None:
    """Say what makes a schema unusable for a tool, or None.

    It must be a valid JSON schema that refers to nothing outside itself: nothing is ever
    fetched to check an argument.
    """
    from jsonschema import FormatChecker
    from jsonschema.exceptions import SchemaError

    try:
        # No formats: a pattern in ECMA's dialect is no fault, though Python may not read it.
        checked: Any = _validator_class(schema)  # its protocol lacks the second parameter
        checked.check_schema(dict(schema), FormatChecker(()))
    except SchemaError as error:
        return f"it is not a valid JSON schema ({_cut(error.message)})"
    except RecursionError:
        return "it is nested too deep"
    outside = next(_outside_references(schema), None)
    return None if outside is None else f"it refers to {_cut(outside)}, which is never fetched"


class ArgumentChecker:
    """Checks arguments against schemas; each schema is compiled once, while its tool lives."""

    def __init__(self) -> None:
        self._validators: dict[int, tuple[Mapping[str, Any], Validator]] = {}

    def faults(self, schema: Mapping[str, Any], arguments: Mapping[str, Any]) -> list[str]:
        """Say what is wrong with the arguments, at most three things; empty when nothing is."""
        validator = self._validator(schema)
        try:
            error = next(validator.iter_errors(dict(arguments)), None)
            if error is None:
                return []
            errors = sorted(validator.iter_errors(dict(arguments)), key=lambda e: e.json_path)
        except RecursionError:
            return ["the arguments are nested too deep"]
        except Exception as broken:  # noqa: BLE001  # boundary: a server's schema
            return [f"the tool's own schema is broken: {_cut(str(broken))}"]
        return [
            f"{e.json_path.removeprefix('$.')}: {_cut(e.message)}" for e in errors[:_SHOWN_FAULTS]
        ]

    def forget(self) -> None:
        """Drop what was compiled: the catalog changed."""
        self._validators.clear()

    def _validator(self, schema: Mapping[str, Any]) -> Validator:
        # By identity: the schema is held here as well, so its id cannot be used again.
        found = self._validators.get(id(schema))
        if found is not None:
            return found[1]
        from referencing import Registry

        validator = _validator_class(schema)(schema, registry=Registry())
        self._validators[id(schema)] = (schema, validator)
        return validator


def _validator_class(schema: Mapping[str, Any]) -> type[Validator]:
    from jsonschema import Draft202012Validator
    from jsonschema.validators import validator_for

    return _lenient(validator_for(schema, default=Draft202012Validator))


@cache
def _lenient(strict: type[Validator]) -> type[Validator]:
    from jsonschema.validators import extend

    extended: type[Validator] = extend(strict, {"pattern": _pattern})  # type: ignore[no-untyped-call]  # untyped there
    return extended


def _pattern(
    validator: Validator, pattern: str, instance: Any, _schema: Mapping[str, Any]
) -> Iterator[ValidationError]:
    """Check a pattern, unless it is one of ECMA's that Python cannot read."""
    from jsonschema.exceptions import ValidationError

    with suppress(re.error):
        if validator.is_type(instance, "string") and not re.search(pattern, instance):
            yield ValidationError(f"{instance!r} does not match {pattern!r}")


def _outside_references(schema: object) -> Iterator[str]:
    if isinstance(schema, Mapping):
        for key, value in schema.items():
            if key in ("$ref", "$dynamicRef") and isinstance(value, str) and value[:1] != "#":
                yield value
            yield from _outside_references(value)
    elif isinstance(schema, list):
        for item in schema:
            yield from _outside_references(item)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_FAULT else text[:_LONGEST_FAULT] + "..."
