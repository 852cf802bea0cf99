"""server.json: the fields that the MCP registry documents, and a program that takes them.

https://github.com/modelcontextprotocol/registry/tree/main/docs/reference/server-json
"""

import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from aicore_servers.business import PROGRAM, server
from aicore_servers.connecting.vendors import VENDORS

INPUT = {
    "description": {"type": "string"},
    "isRequired": {"type": "boolean"},
    "isSecret": {"type": "boolean"},
    "format": {"enum": ["string", "number", "boolean", "filepath"]},
    "value": {"type": "string"},
    "default": {"type": "string"},
    "placeholder": {"type": "string"},
    "choices": {"type": "array", "items": {"type": "string"}},
    "name": {"type": "string"},
}
ARGUMENT = {
    "type": "object",
    "required": ["type", "name"],
    "additionalProperties": False,
    "properties": {**INPUT, "type": {"const": "named"}, "isRepeated": {"type": "boolean"}},
}
VARIABLE = {
    "type": "object",
    "required": ["name"],
    "additionalProperties": False,
    "properties": INPUT,
}
PACKAGE = {
    "type": "object",
    "required": ["registryType", "identifier", "version", "transport"],
    "additionalProperties": False,
    "properties": {
        "registryType": {"enum": ["npm", "pypi", "oci", "nuget", "mcpb"]},
        "identifier": {"type": "string"},
        "version": {"type": "string", "pattern": r"^\d+\.\d+\.\d+"},
        "runtimeHint": {"enum": ["npx", "uvx", "docker", "dnx"]},
        "transport": {
            "type": "object",
            "required": ["type"],
            "additionalProperties": False,
            "properties": {"type": {"const": "stdio"}},
        },
        "packageArguments": {"type": "array", "items": ARGUMENT},
        "environmentVariables": {"type": "array", "items": VARIABLE},
    },
}
SERVER = {
    "type": "object",
    "required": ["$schema", "name", "description", "version", "packages"],
    "additionalProperties": False,
    "properties": {
        "$schema": {
            "pattern": r"^https://static\.modelcontextprotocol\.io/schemas/\d{4}-\d\d-\d\d/server\.schema\.json$"
        },
        "name": {"type": "string", "pattern": "^[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+$", "maxLength": 200},
        "title": {"type": "string", "minLength": 1, "maxLength": 100},
        "description": {"type": "string", "minLength": 1, "maxLength": 100},
        "version": {"type": "string", "pattern": r"^\d+\.\d+\.\d+"},
        "packages": {"type": "array", "minItems": 1, "items": PACKAGE},
    },
}


@pytest.fixture
def entry(repository: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((repository / "server.json").read_text("utf-8"))
    return read


def test_it_has_the_documented_fields(entry: dict[str, Any]) -> None:
    jsonschema.validate(entry, SERVER)


def test_it_is_of_this_version_and_package(entry: dict[str, Any], repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text("utf-8"))["project"]
    (package,) = entry["packages"]
    assert (package["identifier"], package["version"]) == (project["name"], project["version"])
    assert entry["version"] == project["version"]


def test_the_program_takes_every_argument_and_choice(entry: dict[str, Any], tmp_path: Path) -> None:
    (package,) = entry["packages"]
    for argument in package["packageArguments"]:
        usual = argument.get("placeholder") or argument.get("default") or str(tmp_path)
        for value in argument.get("choices", [usual]):
            assert server(argument["name"], value).name == PROGRAM.name
    assert list(tmp_path.iterdir()) == []


def test_its_variables_are_ours_and_secret(entry: dict[str, Any]) -> None:
    (package,) = entry["packages"]
    for variable in package["environmentVariables"]:
        _, vendor, _ = variable["name"].lower().split("_", 2)
        assert vendor in VENDORS
        assert variable["isSecret"] is True
