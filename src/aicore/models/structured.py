"""Answers as JSON that satisfies a schema, from any provider.

A server may ignore the schema it is given, and a model without one may write around its JSON: so
what comes is always checked here, and what is wrong is told to the model once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from aicore.errors import ConfigError, ModelError
from aicore.models.port import Completion, OutputSchema, Provider, Request
from aicore.records import Message, Prefix

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

__all__ = ["complete_as"]

_FENCE = re.compile(r"```[a-z]*[ \t]*\r?\n(.*?)```", re.DOTALL | re.IGNORECASE)
_SHOWN_FAULTS = 5
_FAULT_CHARS = 300


class _FaultyError(Exception):
    """An answer that is not what was asked for.

    `told` is for the model and may quote its answer; `rule` is for people and quotes the schema
    alone.
    """

    def __init__(self, told: str, rule: str) -> None:
        super().__init__(rule)
        self.told = told
        self.rule = rule


async def complete_as(
    provider: Provider, request: Request, schema: OutputSchema
) -> tuple[dict[str, Any], Completion]:
    """Ask for JSON that satisfies a schema, and check it; ask once more where it does not.

    Where the provider cannot be held to a schema, the instructions ask for it. A fence or text
    around the JSON is taken off. Tools are not offered, but where the messages hold calls. Gives
    the value and the completion it was read from, whose usage is that of both requests.

    Raises: ModelError when the second answer is wrong too, or when the model refuses; ConfigError
    for a schema that is none; what the provider raises.
    """
    validator = _validator(schema)
    asked = _asked(provider, request, schema)
    first = await provider.complete(asked)
    _check_willing(provider, first)
    try:
        return _read(first, validator), first
    except _FaultyError as exc:
        again = _repair(provider, asked, first, schema, exc.told)
    second = await provider.complete(again)
    _check_willing(provider, second)
    completion = replace(second, usage=first.usage + second.usage)
    try:
        return _read(completion, validator), completion
    except _FaultyError as exc:
        raise ModelError(
            f"{provider.name} gave no answer that satisfies the schema {schema.name!r}, twice: "
            f"{exc.rule}. Use another model, or a simpler schema."
        ) from None  # the cause quotes the answer


def _asked(provider: Provider, request: Request, schema: OutputSchema) -> Request:
    prefix = request.prefix
    instructions = prefix.instructions
    if not provider.capabilities.schema:
        instructions = f"{instructions}\n\n{_demand(schema)}".lstrip()
    if not any(message.calls for message in request.tail):
        prefix = Prefix(instructions)
    elif instructions != prefix.instructions:
        prefix = Prefix(instructions, prefix.tools, offered=prefix.offered)
    is_held = provider.capabilities.schema
    return replace(request, prefix=prefix, output_schema=schema if is_held else None)


def _repair(
    provider: Provider, asked: Request, first: Completion, schema: OutputSchema, fault: str
) -> Request:
    # Without its calls and their state: what is wrong is the text.
    answered = Message(
        role="assistant", text=first.text or "(no text)", provider=first.provider or provider.name
    )
    told = Message(role="user", text=f"That is not what was asked for: {fault}\n{_demand(schema)}")
    return replace(asked, tail=[*asked.tail, answered, told])


def _demand(schema: OutputSchema) -> str:
    written = json.dumps(dict(schema.schema), ensure_ascii=False, separators=(",", ":"))
    return (
        "Answer with one JSON object and nothing else, no tool calls. "
        f"It must satisfy this JSON schema:\n{written}"
    )


def _check_willing(provider: Provider, completion: Completion) -> None:
    if completion.finish == "refused":
        raise ModelError(f"{provider.name} refused to answer. Change what it is asked.")


def _read(completion: Completion, validator: Validator) -> dict[str, Any]:
    fault = _FaultyError("it holds no JSON object.", "no JSON object")
    for value in _objects(completion.text):
        try:
            _check(value, validator)
        except _FaultyError as exc:
            fault = exc
        else:
            return value
    if completion.finish == "length":
        fault = _FaultyError(
            f"it was cut at the limit of its length. {fault.told}", "cut at the limit of its length"
        )
    raise fault


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """Give the JSON objects that a text may be meant as, the likeliest first."""
    from aicore.models.wire_json import parse_json, to_json_text

    start, end = text.find("{"), text.rfind("}") + 1
    for candidate in (text, *_FENCE.findall(text), text[start:end] if start >= 0 else ""):
        try:
            value = parse_json(candidate)
            to_json_text(value)  # NaN and infinity are no JSON
        except ValueError:
            continue
        if isinstance(value, dict):
            yield value


def _check(value: dict[str, Any], validator: Validator) -> None:
    from referencing.exceptions import Unresolvable

    try:
        errors = list(islice(validator.iter_errors(value), _SHOWN_FAULTS))
    except RecursionError:
        raise _FaultyError("it is nested too deeply.", "nested too deeply") from None
    except (Unresolvable, re.error) as exc:
        raise ConfigError(f"The schema of an answer cannot be used: {exc}.") from exc
    if errors:
        told = "; ".join(f"{one.json_path}: {one.message[:_FAULT_CHARS]}" for one in errors)
        raise _FaultyError(f"{told}.", "/".join(map(str, errors[0].absolute_schema_path)))


def _validator(schema: OutputSchema) -> Validator:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import validator_for
    from referencing import Registry

    content = dict(schema.schema)
    kind = validator_for(content, default=Draft202012Validator)
    try:
        kind.check_schema(content)
    except SchemaError as exc:
        raise ConfigError(f"{schema.name!r} is no JSON schema: {exc.message}.") from exc
    # An empty registry: nothing is fetched for a reference.
    return kind(content, registry=Registry())
