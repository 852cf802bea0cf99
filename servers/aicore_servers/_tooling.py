"""How a server declares its tools, and the one place where results and errors become text."""

from __future__ import annotations

import dataclasses
import functools
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum
from importlib.metadata import version
from typing import Any, Generic, TypeVar

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.tools import Tool
from mcp.shared.exceptions import MCPError
from mcp.types import CallToolResult, InputRequiredResult, TextContent, ToolAnnotations
from pydantic import ValidationError

from aicore_tools.errors import (
    BackendConfigError,
    BackendUnavailable,
    InvalidInput,
    NotFound,
    OutcomeUnknown,
    ToolsError,
)
from aicore_tools.operations import Effect, Operation

__all__ = ["BusinessServer", "Call", "Toolbox", "current_call"]

S = TypeVar("S")
F = TypeVar("F", bound=Callable[..., Awaitable[Any]])

OPERATION_KEY = "aicore/operation-key"
PRINCIPAL = "aicore/principal"
HONOURS_KEY = "aicore/honours-operation-key"
MAX_KEY_CHARS = (
    255  # what the strictest vendor takes: https://docs.stripe.com/api/idempotent_requests
)
NO_KEY = "none: repeating this call repeats the effect"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """The tool call that is being answered.

    `principal` is who speaks as the caller says, e.g. `customer:+4930123456`; None if it says
    nothing. It is a claim: fit for a history line, not for a permission.
    """

    operation: Operation
    principal: str | None = None


_current: ContextVar[Call] = ContextVar("aicore_servers_call")


def current_call() -> Call:
    """Give the call that is being answered; only inside a tool."""
    return _current.get()


class Toolbox:
    """Collects the tools of one server, each with all four annotations set."""

    def __init__(self) -> None:
        self.tools: list[Tool] = []

    def read(self, fn: F) -> F:
        """Declare a tool that changes nothing. It returns a mapping or a record."""
        return self._add(
            fn,
            ToolAnnotations(
                read_only_hint=True,
                destructive_hint=False,
                idempotent_hint=True,
                open_world_hint=True,
            ),
        )

    def effect(self, *, destructive: bool = False, idempotent: bool = False) -> Callable[[F], F]:
        """Declare a tool that changes something, once per operation key. It returns an `Effect`.

        Args:
            destructive: it takes something away, sends something or moves money.
            idempotent: repeating it *without* an operation key is harmless.
        """
        annotations = ToolAnnotations(
            read_only_hint=False,
            destructive_hint=destructive,
            idempotent_hint=idempotent,
            open_world_hint=True,
        )
        return lambda fn: self._add(fn, annotations, meta={HONOURS_KEY: True})

    def _add(self, fn: F, annotations: ToolAnnotations, meta: dict[str, Any] | None = None) -> F:
        @functools.wraps(fn)
        async def run(*args: Any, **kwargs: Any) -> CallToolResult:
            return answer(await fn(*args, **kwargs))

        tool = Tool.from_function(
            run,
            description=" ".join((fn.__doc__ or "").split()),
            annotations=annotations,
            meta=meta,
            structured_output=False,
        )
        tool.parameters = {**_slim(tool.parameters), "additionalProperties": False}
        self.tools.append(tool)
        return fn


class BusinessServer(MCPServer[S], Generic[S]):
    """An MCP server over one domain service, which its lifespan opens.

    Every answer is one block of compact JSON. An error is `is_error` with `{code, message,
    retryable, outcome, retry_after_s?, hint?}`.
    """

    def __init__(
        self,
        name: str,
        *,
        instructions: str,
        toolbox: Toolbox,
        lifespan: Callable[[MCPServer[S]], AbstractAsyncContextManager[S]],
    ) -> None:
        super().__init__(
            name,
            version=version("aicore-mcp"),
            instructions=instructions,
            tools=toolbox.tools,
            lifespan=lifespan,
            log_level="WARNING",
        )
        self._declared = {tool.name: tool for tool in toolbox.tools}

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[S, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        """Run a tool: its result or its error as one block of JSON text."""
        meta: Mapping[str, Any] = (context.request_context.meta if context else None) or {}
        token = None
        try:
            token = _current.set(_call(name, arguments, meta))
            self._refuse_unknown(name, arguments)
            return await super().call_tool(name, _storable(arguments), context)
        except ToolsError as error:
            return _error(error)
        except MCPError:
            raise
        except ToolError as error:
            return self._failed(name, error)
        finally:
            if token is not None:
                _current.reset(token)

    def _refuse_unknown(self, name: str, arguments: Mapping[str, Any]) -> None:
        tool = self._declared.get(name)
        if tool is None:
            raise NotFound(
                f"There is no tool {name}.",
                hint=f"The tools are: {', '.join(self._declared)}.",
                code="unknown_tool",
            )
        known = tool.parameters.get("properties", {})
        unknown = [argument for argument in arguments if argument not in known]
        if unknown:
            raise InvalidInput(
                f"{name} takes no argument {', '.join(unknown)}.",
                hint=f"It takes: {', '.join(known)}.",
            )

    def _failed(self, name: str, error: ToolError) -> CallToolResult:
        cause = error.__cause__
        if isinstance(cause, ToolsError):
            if isinstance(cause, BackendConfigError | BackendUnavailable | OutcomeUnknown):
                _log.warning("tool_failed tool=%s code=%s", name, cause.code, exc_info=cause)
            return _error(cause)
        if isinstance(cause, ValidationError):
            return _error(InvalidInput(_first_mistakes(cause)))
        _log.error("tool_crashed tool=%s", name, exc_info=cause or error)
        crash = ToolsError(f"{name} failed inside the server; the server's log says why.")
        crash.code = "internal"
        annotations = self._declared[name].annotations
        if annotations is None or not annotations.read_only_hint:
            crash.outcome = "unknown"
            crash.hint = "Look whether the effect is there before anything else."
        return _error(crash)


def _call(name: str, arguments: Mapping[str, Any], meta: Mapping[str, Any]) -> Call:
    key, principal = meta.get(OPERATION_KEY), meta.get(PRINCIPAL)
    is_text = isinstance(key, str) and key == _storable(key)
    if key is not None and not (is_text and 1 <= len(key) <= MAX_KEY_CHARS):
        raise InvalidInput(
            f"The operation key in _meta must be a string of 1 to {MAX_KEY_CHARS} characters."
        )
    return Call(
        operation=Operation.of(name, arguments, key),
        principal=_storable(principal) if isinstance(principal, str) else None,
    )


def _storable(value: Any) -> Any:
    """Replace what JSON can hold and UTF-8 or a database cannot: NUL, halves of surrogate pairs."""
    if isinstance(value, str):
        return value.replace("\0", "").encode(errors="replace").decode()
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, dict):
        return {_storable(key): _storable(item) for key, item in value.items()}
    return value


def answer(result: object) -> CallToolResult:
    """Turn what a tool returned into one block of compact JSON."""
    body: dict[str, Any]
    if isinstance(result, Effect):
        body = dict(plain(result.result))
        if result.is_replay:
            body["replayed"] = True
        if current_call().operation.key is None:
            body["operation_key"] = NO_KEY
    else:
        body = plain(result)
    return CallToolResult(content=[_text(body)])


def plain(value: Any) -> Any:
    """Turn records into JSON values; fields that are None are left out."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: plain(item)
            for field in dataclasses.fields(value)
            if (item := getattr(value, field.name)) is not None
        }
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(item) for item in value]
    return value


def _text(body: object) -> TextContent:
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return TextContent(type="text", text=text)


def _error(error: ToolsError) -> CallToolResult:
    body = {
        "code": error.code,
        "message": error.message,
        "retryable": error.retryable,
        "outcome": error.outcome,
        "retry_after_s": error.retry_after_s,
        "hint": error.hint,
    }
    return CallToolResult(content=[_text(plain(body))], is_error=True)


def _first_mistakes(error: ValidationError) -> str:
    """Name the first three wrong arguments and what is wrong with each."""
    mistakes = error.errors(include_url=False, include_input=False)
    named = [
        f"{'.'.join(str(part) for part in mistake['loc'])}: {mistake['msg']}"
        for mistake in mistakes[:3]
    ]
    return "; ".join(named) + "."


def _slim(schema: Any) -> Any:
    """Drop from a JSON schema what costs tokens and says nothing.

    Titles, empty defaults, null alternatives, and the docstrings of argument classes.
    """
    if isinstance(schema, list):
        return [_slim(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    slim: dict[str, Any] = {}
    for key, value in schema.items():
        if key in ("properties", "$defs"):
            slim[key] = {name: _slim(item) for name, item in value.items()}
        elif key in ("default", "enum"):
            if value not in (None, "", []):
                slim[key] = value
        elif key != "title":
            slim[key] = _slim(value)
    for definition in slim.get("$defs", {}).values():
        definition.pop("description", None)
    return _without_null(slim)


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    options = schema.get("anyOf")
    if not isinstance(options, list):
        return schema
    real = [option for option in options if option != {"type": "null"}]
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    return {**rest, **(real[0] if len(real) == 1 else {"anyOf": real})}
