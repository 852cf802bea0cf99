"""Checks requests against Stripe's own published request schemas, in front of our stand-in.

The schemas are in `stripe_requests.json`: from GitHub `stripe/openapi`, `openapi/spec3.yaml`,
commit 3266bea3f8777a75bbd56c2bee444426c112fcac (API 2023-08-16), MIT, Copyright (c) 2011- Stripe,
Inc., see `stripe_requests.LICENSE`. Changed by us: the operations that we use are kept, without
descriptions and responses; what is newer is in `stripe_changes`.

Beyond plain JSON Schema: every object with listed properties is closed, nested ones too; of
alternatives the one that fits is chosen first, so that a problem names one parameter; enumerations
marked `x-stripeBypassValidation` are not enforced; digit keys are a list only where the schema
wants one. Rules between parameters, state and amounts are the stand-in's own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from importlib import resources
from typing import Any
from urllib.parse import parse_qsl

from jsonschema import Draft202012Validator

from aicore_servers.sandbox.stripe_changes import ADDED, NEWER, Schema

__all__ = ["Problem", "RequestSchemas", "UnknownOperation", "decode_form"]

_KEY = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_KEPT = ("type", "maxLength", "required", "format")
_PLAIN = ("string", "integer", "number", "boolean")
_DECIMAL = r"^[+-]?(\d+(\.\d{1,12})?)$"


@dataclass(frozen=True, slots=True)
class Problem:
    """A parameter that Stripe would refuse; `code` is Stripe's where it has one."""

    param: str
    code: str | None
    message: str


class UnknownOperation(LookupError):
    """There is no schema for that method and path: nothing was checked."""


class _MalformedForm(ValueError):
    """A parameter's name cannot be read."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(reason)
        self.key = key


def decode_form(encoded: str) -> dict[str, Any]:
    """Read `a[b][0]=x` into nested dicts of strings; lists stay dicts with digits as keys."""
    tree: dict[str, Any] = {}
    for key, value in parse_qsl(encoded, keep_blank_values=True, max_num_fields=5000):
        match = _KEY.fullmatch(key)
        if match is None:
            raise _MalformedForm(key, "malformed parameter name")
        _place(tree, [match[1], *re.findall(r"\[([^\[\]]*)\]", match[2])], value, key)
    return tree


def _place(tree: dict[str, Any], path: list[str], value: str, key: str) -> None:
    *parents, last = path
    node = tree
    for part in parents:
        node = node.setdefault(part or str(len(node)), {})  # a[]=x appends
        if not isinstance(node, dict):
            raise _MalformedForm(key, "both a value and a container")
    last = last or str(len(node))
    if last in node:
        raise _MalformedForm(key, "parameter given twice")
    node[last] = value


class RequestSchemas:
    """The request schemas of the operations that our backend uses."""

    def __init__(self) -> None:
        text = resources.files(__package__).joinpath("stripe_requests.json").read_text("utf-8")
        self._operations: dict[str, Schema] = json.loads(text) | deepcopy(dict(ADDED))
        for operation, (added, removed) in NEWER.items():
            body = self._operations[operation]["body"]
            for name in removed:
                _remove(body, name)
            for name, schema in added.items():
                _parent(body, name).setdefault("properties", {})[name.rpartition(".")[2]] = schema

    def find(self, method: str, path: str) -> str:
        """Give the operation of a request: `POST /v1/customers/{customer}`.

        Raises:
            UnknownOperation: there is none.
        """
        parts = path.split("/")
        found = [
            operation
            for operation in self._operations
            if operation.startswith(f"{method} ")
            and _matches(operation.partition(" ")[2].split("/"), parts)
        ]
        if not found:
            raise UnknownOperation(f"{method} {path}")
        return min(found, key=lambda operation: operation.count("{"))

    def check(self, method: str, path: str, *, query: str, body: str) -> list[Problem]:
        """Give what is wrong with a request.

        Raises:
            UnknownOperation: there is no schema for it.
        """
        schemas = self._operations[self.find(method, path)]
        try:
            sent_query, sent_body = decode_form(query), decode_form(body)
        except _MalformedForm as error:
            return [Problem(error.key, None, str(error))]
        if method == "DELETE":  # SDKs send the parameters of DELETE in the query
            sent_body, sent_query = sent_body | sent_query, {}
        query_schema = {
            "type": "object",
            "properties": schemas.get("query", {}),
            "required": schemas.get("required", []),
            "additionalProperties": False,
        }
        nothing = {"type": "object", "properties": {}, "additionalProperties": False}
        found = [
            *_problems(*_narrow(sent_query, query_schema)),
            *_problems(*_narrow(sent_body, schemas.get("body") or nothing)),
        ]
        return sorted(found, key=lambda problem: problem.param)


def _matches(template: list[str], parts: list[str]) -> bool:
    return len(template) == len(parts) and all(
        wanted == part or (wanted.startswith("{") and part)
        for wanted, part in zip(template, parts, strict=True)
    )


def _parent(body: Schema, dotted: str) -> Schema:
    node = body
    for part in dotted.split(".")[:-1]:
        node = node["properties"][part.removesuffix("[]")]
        if "anyOf" in node:
            node = next(one for one in node["anyOf"] if one.get("type") in ("object", "array"))
        if part.endswith("[]"):
            node = node["items"]
    return node


def _remove(body: Schema, dotted: str) -> None:
    """Take a parameter out; one that ends with `!` stays allowed, and is no longer required."""
    node, last = _parent(body, dotted), dotted.rpartition(".")[2]
    if not last.endswith("!"):
        del node["properties"][last]
    node["required"] = [name for name in node.get("required", ()) if name != last.rstrip("!")]


def _narrow(value: Any, schema: Schema) -> tuple[Any, Schema]:
    """Turn strings into the schema's types, and pick one of its alternatives."""
    if "anyOf" in schema:
        return _best(value, schema["anyOf"])
    kept = {name: schema[name] for name in _KEPT if name in schema}
    if "enum" in schema and not schema.get("x-stripeBypassValidation"):
        kept["enum"] = schema["enum"]
    kind = schema.get("type")
    if isinstance(value, dict):
        if kind == "array" and all(key.isdigit() for key in value):
            pairs = [_narrow(value[key], schema.get("items", {})) for key in sorted(value, key=int)]
            return [typed for typed, _ in pairs], kept | {"prefixItems": [one for _, one in pairs]}
        return _narrow_object(value, schema, kept) if kind == "object" else (value, kept)
    if kind == "string" and kept.get("format") == "decimal":
        return value, kept | {"pattern": _DECIMAL}
    return _typed(value, kind), kept


def _best(value: Any, branches: list[Schema]) -> tuple[Any, Schema]:
    tried = [_narrow(value, branch) for branch in branches]
    for typed, branch in tried:
        if Draft202012Validator(branch).is_valid(typed):
            return typed, branch
    kinds = ("object", "array") if isinstance(value, dict) else _PLAIN
    same = [one for one in tried if one[1].get("type") in kinds and one[1].get("enum") != [""]]
    return (same or tried)[0]


def _narrow_object(
    value: Mapping[str, Any], schema: Schema, kept: Schema
) -> tuple[dict[str, Any], Schema]:
    known, extra = schema.get("properties", {}), schema.get("additionalProperties")
    free = extra if isinstance(extra, dict) else ({} if extra is True or not known else None)
    typed: dict[str, Any] = {}
    branches: dict[str, Schema] = {}
    for name, item in value.items():
        rule = known.get(name, free)
        if rule is None:
            typed[name] = item  # not in `branches`: reported as unknown
        else:
            typed[name], branches[name] = _narrow(item, rule)
    return typed, kept | {"properties": branches, "additionalProperties": False}


def _typed(value: str, kind: str | None) -> Any:
    if kind == "integer" and re.fullmatch(r"[+-]?\d+", value):
        return int(value)
    if kind == "number" and re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)", value):
        return float(value)
    if kind == "boolean" and value in ("true", "false"):
        return value == "true"
    return value


def _problems(value: Any, schema: Schema) -> Iterator[Problem]:
    for error in Draft202012Validator(schema).iter_errors(value):
        yield from _named_problems(error)


def _named_problems(error: Any) -> Iterator[Problem]:  # jsonschema types its fields loosely
    path = list(error.absolute_path)
    where, shown = _bracket(path), str(error.instance)[:60]
    if error.validator == "required":
        for name in error.validator_value:
            if name not in error.instance:
                param = _bracket([*path, name])
                yield Problem(param, "parameter_missing", f"Missing required param: {param}.")
    elif error.validator == "additionalProperties":
        for name in error.instance:
            if name not in error.schema.get("properties", {}):
                param = _bracket([*path, name])
                yield Problem(param, "parameter_unknown", f"Received unknown parameter: {param}")
    elif error.validator == "type" and error.instance == "":
        yield Problem(where, "parameter_invalid_empty", f"{where} may not be empty.")
    elif error.validator == "type":
        code = "parameter_invalid_integer" if error.validator_value == "integer" else None
        yield Problem(where, code, f"Invalid {error.validator_value}: {shown}")
    elif error.validator == "enum":
        choices = ", ".join(map(str, error.validator_value[:12]))
        yield Problem(where, None, f"Invalid {where}: must be one of {choices}, not {shown}")
    else:
        yield Problem(where, None, error.message[:120])


def _bracket(path: list[Any]) -> str:
    head, *rest = [str(part) for part in path] or [""]
    return head + "".join(f"[{part}]" for part in rest)
