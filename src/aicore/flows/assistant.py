"""A business's assistant: its file, read strictly, checked, and compiled."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from aicore.errors import FlowError
from aicore.flows.facts import Fact, Facts, read_markdown
from aicore.flows.lint import Fault, lint_assistant, lint_flow
from aicore.flows.program import Program, compile_flow
from aicore.flows.schema import AssistantModel
from aicore.flows.strict_yaml import Lines, read_yaml
from aicore.flows.wording import Wording

__all__ = ["Assistant", "load_assistant"]

_PLAIN_DEFAULTS = {
    "assistant": "Assistant",
    "zone": "UTC",
    "region": "US",
    "disclosure": "I am an automated assistant.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Assistant:
    """A checked assistant. `version` changes with its content."""

    model: AssistantModel
    programs: Mapping[str, Program]
    facts: Facts
    wording: Wording
    zone: ZoneInfo
    version: str
    path: str = ""


def load_assistant(source: str | Path | Mapping[str, Any]) -> Assistant:
    """Read an assistant from a YAML file, or from what such a file holds.

    A file with one flow and nothing else is an assistant as well. Fact files are looked up
    beside the file.

    Raises: FlowError naming the file, the line and the remedy.
    """
    if isinstance(source, Mapping):
        return _build(dict(source), {}, "", Path())
    path = Path(source)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise FlowError(f"The file cannot be read: {why}.", path=str(source)) from error
    document, lines = read_yaml(text, path=path.name)
    if not isinstance(document, dict):
        raise FlowError("The file holds no assistant and no flow.", path=path.name)
    return _build(document, lines, path.name, path.parent)


def _build(document: dict[str, Any], lines: Lines, name: str, folder: Path) -> Assistant:
    shift = 0
    if "flow" in document and "flows" not in document:
        document, shift = {**_PLAIN_DEFAULTS, "flows": [document]}, 2
    places = _Places(name, lines, shift)
    try:
        model = AssistantModel.model_validate(document)
    except ValidationError as error:
        raise places.invalid(error) from error
    for fault in lint_assistant(model, _zone_exists):
        raise places.error(fault)
    programs = {}
    for number, flow in enumerate(model.flows):
        try:
            program = compile_flow(flow, ("flows", number))
        except ValueError as error:
            raise places.error((error.args[0], error.args[1])) from error
        for fault in lint_flow(program, ("flows", number)):
            raise places.error(fault)
        programs[flow.flow] = program
    return Assistant(
        model=model,
        programs=programs,
        facts=Facts(_facts(model, folder, places)),
        wording=Wording(model.language),
        zone=ZoneInfo(model.zone),
        version=_version(document),
        path=name,
    )


def _facts(model: AssistantModel, folder: Path, places: _Places) -> Iterable[Fact]:
    for answer in model.answers:
        yield Fact(answer.source or answer.questions[0], answer.text, tuple(answer.questions))
    if model.facts:
        try:
            text = (folder / model.facts).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise places.error((f"the facts cannot be read: {error}", ("facts",))) from error
        yield from read_markdown(text)


def _version(document: Mapping[str, Any]) -> str:
    text = json.dumps(document, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _zone_exists(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        return False
    return True


class _Places:
    """Turns a path in a document into words that a person can follow."""

    def __init__(self, name: str, lines: Lines, shift: int) -> None:
        self._name = name
        self._lines = lines
        self._shift = shift

    def error(self, fault: Fault) -> FlowError:
        """A FlowError for a fault: a sentence with a capital and a full stop."""
        message, place = fault
        message = message[0].upper() + message[1:]
        return FlowError(f"{message}.", path=self._name, where=self._where(place))

    def invalid(self, error: ValidationError) -> FlowError:
        """A FlowError for the first thing pydantic found."""
        first = error.errors()[0]
        place = tuple(part for part in first["loc"] if not self._is_tag(part))
        message = {
            "missing": "this is missing",
            "extra_forbidden": "this key is not known here",
        }.get(first["type"], first["msg"])
        if first["type"] in ("missing", "extra_forbidden"):
            message = f"{place[-1]!r}: {message}"
        return self.error((message.removeprefix("Value error, "), place))

    @staticmethod
    def _is_tag(part: str | int) -> bool:
        return isinstance(part, str) and (
            "[" in part or part.endswith(("Step", "Option", "From", "Goal"))
        )

    def _where(self, place: tuple[str | int, ...]) -> str:
        inner = place[self._shift :]
        line = next(
            (self._lines[inner[:n]] for n in range(len(inner), 0, -1) if inner[:n] in self._lines),
            None,
        )
        words = " ".join(f"{part + 1}" if isinstance(part, int) else str(part) for part in inner)
        return f"{words} (line {line})" if line else words
