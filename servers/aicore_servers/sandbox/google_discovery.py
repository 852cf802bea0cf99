"""Google's own description of its interfaces, to route calls by and to check both sides with.

The documents lie in the installed google-api-python-client (Apache-2.0): nothing here was written
down by hand, so a wrong name or type in a request, or in an answer of the sandbox, shows.
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker

__all__ = ["Document", "Method", "documents"]

_FORMATS = FormatChecker(formats=())
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_BASE64_URL = re.compile(r"[A-Za-z0-9_-]*={0,2}")


@_FORMATS.checks("date-time", raises=ValueError)
@_FORMATS.checks("google-datetime", raises=ValueError)
def _is_time(value: object) -> bool:
    return not isinstance(value, str) or bool(
        _RFC_3339.fullmatch(value) and datetime.fromisoformat(value)
    )


@_FORMATS.checks("date", raises=ValueError)
def _is_date(value: object) -> bool:
    return not isinstance(value, str) or bool(len(value) == 10 and date.fromisoformat(value))


@_FORMATS.checks("byte")
def _is_base64(value: object) -> bool:
    return not isinstance(value, str) or bool(_BASE64_URL.fullmatch(value))


@_FORMATS.checks("int64", raises=ValueError)
@_FORMATS.checks("uint64", raises=ValueError)
def _is_number(value: object) -> bool:
    return not isinstance(value, str) or int(value) is not None


@_FORMATS.checks("int32")
def _is_int32(value: object) -> bool:
    return not isinstance(value, int) or -(2**31) <= value < 2**31


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One call of an interface.

    `parameters` and `body` are JSON schemas; `answer` is None where the call answers nothing.
    `repeated` are the parameters that may be given more than once.
    """

    id: str
    http_method: str
    path: re.Pattern[str]
    scopes: frozenset[str]
    parameters: Mapping[str, Mapping[str, Any]]
    repeated: frozenset[str]
    body: Draft202012Validator | None
    answer: Draft202012Validator | None


class Document:
    """One interface, such as Gmail, as its discovery document describes it."""

    def __init__(self, described: Mapping[str, Any]) -> None:
        self._definitions = {
            name: _json_schema(schema) for name, schema in described["schemas"].items()
        }
        self._common = described["parameters"]
        self._prefix = "/" + described["servicePath"]
        self._methods = [self._method(each) for each in _walk(described)]

    def match(self, http_method: str, path: str) -> tuple[Method, dict[str, str]] | None:
        """Find the method of a request, and what its path says."""
        for method in self._methods:
            found = method.path.fullmatch(path)
            if found and method.http_method == http_method:
                return method, found.groupdict()
        return None

    def _method(self, described: Mapping[str, Any]) -> Method:
        given = {**self._common, **described.get("parameters", {})}
        template = described.get("flatPath", described["path"])
        pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(self._prefix + template))
        upload = "(?:/upload)?" if described.get("supportsMediaUpload") else ""
        return Method(
            id=described["id"],
            http_method=described["httpMethod"],
            path=re.compile(upload + pattern),
            scopes=frozenset(described["scopes"]),
            parameters={name: _json_schema(each) for name, each in given.items()},
            repeated=frozenset(name for name, each in given.items() if each.get("repeated")),
            body=self._validator(described.get("request"), described["id"]),
            answer=self._validator(described.get("response"), None),
        )

    def _validator(
        self, reference: Mapping[str, str] | None, method: str | None
    ) -> Draft202012Validator | None:
        if reference is None:
            return None
        schema = self._definitions[reference["$ref"]]
        required = [
            name
            for name, each in schema.get("properties", {}).items()
            if method in each.get("annotations", {}).get("required", ())
        ]
        whole = {**schema, "required": required, "$defs": self._definitions}
        return Draft202012Validator(whole, format_checker=_FORMATS)


def documents() -> Sequence[Document]:
    """Read the documents of Gmail and Google Calendar; needs the extra `google`."""
    found = importlib.util.find_spec("googleapiclient")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("The sandbox of google needs it.", name="googleapiclient")
    folder = Path(found.origin).parent / "discovery_cache" / "documents"
    return [
        Document(json.loads((folder / f"{name}.json").read_text(encoding="utf-8")))
        for name in ("gmail.v1", "calendar.v3")
    ]


def _walk(resource: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    methods = list(resource.get("methods", {}).values())
    for inner in resource.get("resources", {}).values():
        methods += _walk(inner)
    return methods


def _json_schema(described: Mapping[str, Any]) -> dict[str, Any]:
    """Turn a schema of discovery into JSON Schema: strict about names, else the same."""
    if "$ref" in described:
        noted = {"annotations": described.get("annotations", {})}
        return {"$ref": f"#/$defs/{described['$ref']}", **noted}
    schema: dict[str, Any] = {
        name: described[name] for name in ("enum", "format", "annotations") if name in described
    }
    if described.get("type", "any") != "any":
        schema["type"] = described["type"]
    if "pattern" in described:
        schema["pattern"] = described["pattern"]
    if described.get("type") == "integer":
        limits = [name for name in ("minimum", "maximum") if name in described]
        schema |= {name: int(described[name]) for name in limits}
    if "items" in described:
        schema["items"] = _json_schema(described["items"])
    if described.get("type") == "object":
        properties = described.get("properties", {})
        schema["properties"] = {name: _json_schema(each) for name, each in properties.items()}
        others = described.get("additionalProperties")
        schema["additionalProperties"] = _json_schema(others) if others else False
    return schema
