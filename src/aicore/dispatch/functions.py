"""Plain Python functions as tools: the schema from annotations and docstring, the call itself."""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

import anyio
import anyio.to_thread

from aicore.dispatch.limits import CallContext, DispatchLimits
from aicore.dispatch.names import RESERVED, plain
from aicore.dispatch.results import from_value, refusal
from aicore.errors import AicoreError, ConfigError, OutcomeUnknownError
from aicore.records import Tool, ToolResult

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["FunctionTool", "function_name", "tool"]

_log = logging.getLogger(__name__)

F = TypeVar("F", bound=Callable[..., Any])

_MARKS = "__aicore_tool__"
_ARGUMENT = re.compile(r"(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)")
_SECTION = re.compile(r"[A-Z][A-Za-z ]*:")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Marks:
    read_only: bool = False
    destructive: bool = True
    idempotent: bool = False
    honours_key: bool = False
    name: str | None = None


def tool(
    *,
    read_only: bool = False,
    destructive: bool = True,
    idempotent: bool = False,
    honours_key: bool = False,
    name: str | None = None,
) -> Callable[[F], F]:
    """Say of a plain function what a server says of a tool; unmarked, it is an effect.

    `honours_key`: the function does a thing at most once per `CallContext.operation_key`; it
    takes a parameter annotated `CallContext`, which no model sees.
    """
    marks = _Marks(
        read_only=read_only,
        destructive=destructive and not read_only,
        idempotent=idempotent or read_only,
        honours_key=honours_key,
        name=name,
    )

    def mark(function: F) -> F:
        setattr(function, _MARKS, marks)
        return function

    return mark


def function_name(function: Callable[..., Any]) -> str:
    """Give the name a function is offered under.

    Raises: ConfigError for a lambda, a reserved name, or one that no model API accepts.
    """
    marks: _Marks = getattr(function, _MARKS, _Marks())
    name = marks.name or getattr(function, "__name__", "")
    if not name or name == "<lambda>":
        raise ConfigError(f"{function!r} has no name of its own: mark it with @tool(name=...)")
    if name in RESERVED or plain(name) != name:
        raise ConfigError(
            f"{name!r} cannot be the name of a tool: give another with @tool(name=...), at most "
            f"64 letters, digits, _ and -, and not one of {', '.join(sorted(RESERVED))}"
        )
    return name


class FunctionTool:
    """One plain function, ready to be called as a tool.

    A `ValueError` or an error of the core tells the model why nothing was done; any other
    exception is logged, and the model reads only that the call failed. An effect that fails that
    way, or does not end in time, has an unknown outcome.
    """

    def __init__(self, function: Callable[..., Any], limiter: anyio.CapacityLimiter) -> None:
        marks: _Marks = getattr(function, _MARKS, _Marks())
        name = function_name(function)
        self._function = function
        self._limiter = limiter
        self._is_async = inspect.iscoroutinefunction(_routine(function))
        text, notes = _read_docstring(inspect.getdoc(function) or "")
        self._arguments, self._context_name = _arguments_model(function, name, notes)
        self.tool = Tool(
            name=name,
            description=text,
            parameters=_schema_of(self._arguments),
            server="",
            remote_name=name,
            read_only=marks.read_only,
            destructive=marks.destructive,
            idempotent=marks.idempotent,
            honours_key=marks.honours_key,
        )

    async def call(
        self, call_id: str, arguments: dict[str, Any], context: CallContext, limits: DispatchLimits
    ) -> ToolResult:
        """Call the function with arguments that fit its schema; never raises."""
        try:
            values = self._values(arguments)
        except ValueError as error:
            return refusal(f"The arguments do not fit {self.tool.name}: {_faults(error)}")
        if self._context_name is not None:
            values[self._context_name] = context
        try:
            with anyio.move_on_after(limits.call_s):
                text, structured = _json_of(await self._run(values))
                return from_value(text, structured, call_id, limits)
        except OutcomeUnknownError as error:
            return refusal(str(error), "unknown")
        except (ValueError, AicoreError) as error:
            return refusal(f"{self.tool.name} says: {error}")
        except Exception:  # noqa: BLE001  # boundary: the function is not ours
            _log.exception("function_failed tool=%s", self.tool.name)
            return self._in_doubt("failed")
        return self._in_doubt(f"gave no result within {limits.call_s:g} s")

    def _values(self, arguments: dict[str, Any]) -> dict[str, Any]:
        model = self._arguments.model_validate(arguments)
        fields = type(model).model_fields
        return {fields[name].alias or name: getattr(model, name) for name in model.model_fields_set}

    async def _run(self, values: dict[str, Any]) -> Any:
        if self._is_async:
            return await self._function(**values)
        run = partial(self._function, **values)
        # A thread cannot be stopped: past the deadline it goes on unwatched.
        return await anyio.to_thread.run_sync(run, abandon_on_cancel=True, limiter=self._limiter)

    def _in_doubt(self, what: str) -> ToolResult:
        name = self.tool.name
        if self.tool.read_only:
            return refusal(f"{name} {what}. Nothing was changed.")
        return refusal(
            f"{name} {what}. It is not known whether it took effect: do not call it again, "
            "look up first what happened.",
            "unknown",
        )


def _routine(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give the function or method itself, also of an object that can be called."""
    return function if inspect.isroutine(function) else type(function).__call__


def _arguments_model(
    function: Callable[..., Any], name: str, notes: dict[str, str]
) -> tuple[type[BaseModel], str | None]:
    from pydantic import ConfigDict, Field, create_model
    from pydantic.errors import PydanticUserError

    context_name: str | None = None
    fields: dict[str, Any] = {}
    try:
        hints = get_type_hints(_routine(function), include_extras=True)
    except (NameError, TypeError) as error:
        raise ConfigError(f"The annotations of {name}() cannot be read: {error}") from error
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
            parameter.POSITIONAL_ONLY,
        ):
            raise ConfigError(
                f"{name}() cannot be a tool: its parameter {parameter} has no name to pass it by"
            )
        hint = hints.get(parameter.name)
        if hint is CallContext:
            context_name = parameter.name
            continue
        if hint is None:
            raise ConfigError(f"{name}() cannot be a tool: annotate its parameter {parameter.name}")
        default = ... if parameter.default is parameter.empty else parameter.default
        note = notes.get(parameter.name)
        # Under a name of our own: a field called `copy` or `model_x` would clash with pydantic's.
        field = Field(default, alias=parameter.name, description=note)
        fields[f"argument_{len(fields)}"] = (hint, field)
    config = ConfigDict(extra="forbid", arbitrary_types_allowed=False)
    try:
        return create_model(name, __config__=config, **fields), context_name
    except (PydanticUserError, NameError, TypeError) as error:
        raise ConfigError(f"{name}() cannot be a tool: {error}") from error


def _schema_of(arguments: type[BaseModel]) -> dict[str, Any]:
    schema = arguments.model_json_schema()
    schema.pop("title", None)
    for part in schema.get("properties", {}).values():
        part.pop("title", None)
    return schema


def _read_docstring(text: str) -> tuple[str, dict[str, str]]:
    """Split a Google style docstring into what it says and what it says of each argument."""
    said: list[str] = []
    notes: dict[str, str] = {}
    section, latest = "", ""
    for line in text.splitlines():
        if _SECTION.fullmatch(line.strip()) and line[:1].strip():
            section = line.strip()
        elif not section:
            said.append(line)
        elif section == "Args:" and line.strip():
            found = _ARGUMENT.fullmatch(line.strip())
            indent = len(line) - len(line.lstrip())
            if found and (not latest or indent <= 4):
                latest = found[1]
                notes[latest] = found[2]
            elif latest:
                notes[latest] = f"{notes[latest]} {line.strip()}".strip()
    return "\n".join(said).strip(), notes


def _json_of(value: Any) -> tuple[str, Any]:
    if isinstance(value, str):
        return value, None
    import json

    from pydantic_core import to_json

    encoded = to_json(value, inf_nan_mode="null")
    return encoded.decode(), json.loads(encoded)


def _faults(error: ValueError) -> str:
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return str(error)
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in faults[:3])
