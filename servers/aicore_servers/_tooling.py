"""How a server declares its tools, and the one place where results and errors become text."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Generic, Literal, Protocol, TypeVar, get_args

import anyio
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.tools import Tool
from mcp.shared.exceptions import MCPError
from mcp.types import CallToolResult, InputRequiredResult, ToolAnnotations
from mcp.types import Tool as ListedTool
from pydantic import ValidationError

from aicore_servers._answers import first_mistakes, plain, refusal, text_block
from aicore_servers._planned import Confirmations, ConfirmRule, Planned, Remembers, said_in_group
from aicore_servers._resources import RecordServer
from aicore_servers._slim_schemas import slim
from aicore_servers.prompts import prompts_for
from aicore_tools.errors import (
    BackendConfigError,
    BackendUnavailable,
    InvalidInput,
    NotFound,
    OutcomeUnknown,
    ToolsError,
)
from aicore_tools.operations import Effect, Operation
from aicore_tools.progress import heard_by, progress

__all__ = [
    "PROFILES",
    "BusinessServer",
    "Call",
    "Planned",
    "Profile",
    "Rules",
    "Toolbox",
    "current_call",
    "granted",
    "listing",
    "progress",
]

S = TypeVar("S", bound=Remembers)
F = TypeVar("F", bound=Callable[..., Awaitable[Any]])

Profile = Literal["read", "draft", "write", "money"]
PROFILES: tuple[Profile, ...] = get_args(Profile)

OPERATION_KEY = "aicore/operation-key"
PRINCIPAL = "aicore/principal"
HONOURS_KEY = "aicore/honours-operation-key"
DATA_CLASS = "aicore/data-class"
PERSONAL_FIELDS = "aicore/personal-fields"
# What the strictest vendor takes: https://docs.stripe.com/api/idempotent_requests
MAX_KEY_CHARS = 255
NO_KEY = "none: repeating this call repeats the effect"
DRY_RUN = "dry_run"
CONFIRM = "confirm"
_GONE = (anyio.BrokenResourceError, anyio.ClosedResourceError)
MORE = "There are more: repeat this call with cursor = next_cursor."

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a server lets its callers do.

    `profile`: tools beyond it are not there at all. `confirm`: which effects need a second call
    that confirms their plan.
    """

    profile: Profile = "money"
    confirm: ConfirmRule = "irreversible"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """The tool call that is being answered.

    `principal` is who speaks as the caller says, e.g. `customer:+4930123456`; None if it says
    nothing. It is a claim: fit for a history line, not for a permission. `is_dry_run`: only the
    plan is asked for. `confirm` is the confirmation that came with it.
    """

    operation: Operation
    principal: str | None = None
    is_dry_run: bool = False
    confirm: str | None = None
    server: _Host
    context: Context[Any, Any] | None = None


class _Host(Protocol):
    """What a call knows of the server that answers it."""

    rules: Rules
    confirmations: Confirmations


_current: ContextVar[Call] = ContextVar("aicore_servers_call")
_granted: ContextVar[Profile] = ContextVar("aicore_servers_granted", default="money")


def current_call() -> Call:
    """Give the call that is being answered; only inside a tool."""
    return _current.get()


@contextmanager
def granted(profile: Profile) -> Iterator[None]:
    """Answer a request with the tools of `profile` only, whatever the server's rules allow."""
    before = _granted.set(profile)
    try:
        yield
    finally:
        _granted.reset(before)


def listing(
    rows: Sequence[object], next_cursor: str | None, *, key: str = "rows"
) -> dict[str, Any]:
    """Shape a page of a list: it says how to get more where there is more."""
    body: dict[str, Any] = {key: rows}
    if next_cursor is not None:
        body |= {"truncated": True, "next_cursor": next_cursor, "more": MORE}
    return body


@dataclass(frozen=True, slots=True, kw_only=True)
class _Declared:
    """A tool, and the least profile that has it."""

    tool: Tool
    profile: Profile


class Toolbox:
    """Collects the tools of one server, each with all four annotations set.

    What the tools give is personal, but for those in `impersonal`; `personal_fields` names the
    fields of their results that hold a person's name, address and the like, and the kind of each.
    """

    def __init__(
        self, personal_fields: Mapping[str, str] | None = None, *, impersonal: Collection[str] = ()
    ) -> None:
        self._declared: list[_Declared] = []
        self._personal = {DATA_CLASS: "personal", PERSONAL_FIELDS: dict(personal_fields or {})}
        self._impersonal = frozenset(impersonal)

    @classmethod
    def joined(cls, boxes: Sequence[Toolbox]) -> Toolbox:
        """Give one box with the tools of several."""
        joined = cls()
        joined._declared = [one for box in boxes for one in box._declared]
        return joined

    def within(self, profile: Profile) -> list[Tool]:
        """Give the tools that a profile has, in the order they were declared."""
        most = PROFILES.index(profile)
        return [one.tool for one in self._declared if PROFILES.index(one.profile) <= most]

    def read(self, fn: F) -> F:
        """Declare a tool that changes nothing. It returns a mapping or a record."""

        @functools.wraps(fn)
        async def run(*args: Any, **kwargs: Any) -> CallToolResult:
            return answer(await fn(*args, **kwargs))

        annotations = ToolAnnotations(
            read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=True
        )
        tool = _tool(run, fn, annotations, meta=self._about(fn))
        self._declared.append(_Declared(tool=tool, profile="read"))
        return fn

    def effect(
        self,
        *,
        profile: Profile = "write",
        destructive: bool = False,
        idempotent: bool = False,
        confirm: bool = False,
    ) -> Callable[[F], F]:
        """Declare a tool that changes something, once per operation key. It returns `Planned`.

        Args:
            profile: the least profile that has it.
            destructive: it takes something away, sends something or moves money.
            idempotent: repeating it *without* an operation key is harmless.
            confirm: it cannot be undone; by default its plan has to be confirmed.
        """
        annotations = ToolAnnotations(
            read_only_hint=False,
            destructive_hint=destructive,
            idempotent_hint=idempotent,
            open_world_hint=True,
        )

        def declare(fn: F) -> F:
            @functools.wraps(fn)
            async def run(*args: Any, **kwargs: Any) -> CallToolResult:
                return await _carry_out(await fn(*args, **kwargs), needs_confirmation=confirm)

            tool = _tool(run, fn, annotations, meta={HONOURS_KEY: True} | self._about(fn))
            tool.parameters["properties"] |= {DRY_RUN: {"type": "boolean"}}
            if confirm:
                tool.parameters["properties"] |= {CONFIRM: {"type": "string"}}
            self._declared.append(_Declared(tool=tool, profile=profile))
            return fn

        return declare

    def _about(self, fn: Callable[..., Any]) -> dict[str, Any]:
        """What a caller is told of the data in a tool's results."""
        is_personal = fn.__name__ not in self._impersonal
        return dict(self._personal) if is_personal else {DATA_CLASS: "internal"}


def _tool(
    run: Callable[..., Awaitable[CallToolResult]],
    fn: Callable[..., Any],
    annotations: ToolAnnotations,
    meta: dict[str, Any],
) -> Tool:
    tool = Tool.from_function(
        run,
        description=" ".join((fn.__doc__ or "").split()),
        annotations=annotations,
        meta=meta,
        structured_output=False,
    )
    tool.parameters = {**slim(tool.parameters), "additionalProperties": False}
    tool.parameters.setdefault("properties", {})
    return tool


async def _carry_out(planned: Planned[Any, Any], *, needs_confirmation: bool) -> CallToolResult:
    """Answer with the plan, with what an earlier run gave, or with what was done now."""
    call = current_call()
    if call.is_dry_run:
        shown = plain(planned.show(await planned.prepare()))
        return CallToolResult(content=[text_block({DRY_RUN: True, "plan": shown})])
    effect = await _service_of(call).earlier(call.operation)
    if effect is None:
        plan = await planned.prepare()
        if needs_confirmation and call.server.rules.confirm == "irreversible":
            shown = plain(planned.show(plan))
            if call.confirm is None:
                return _asking(call, shown)
            call.server.confirmations.take(call.confirm, call.operation, shown)
        effect = await planned.perform(plan)
    return answer(effect.map(planned.answer))


def _service_of(call: Call) -> Remembers:
    if call.context is None:
        raise RuntimeError("A tool is called without its server's context.")
    service: Remembers = call.context.request_context.lifespan_context
    return service


def _asking(call: Call, plan: Mapping[str, Any]) -> CallToolResult:
    token, expires = call.server.confirmations.give(call.operation, plan)
    body = {
        "needs_confirmation": True,
        "plan": plan,
        CONFIRM: token,
        "expires": expires,
        "hint": "Nothing was done. Show the plan; if it is right, repeat the call with confirm.",
    }
    return CallToolResult(content=[text_block(plain(body))])


class BusinessServer(RecordServer[S], Generic[S]):
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
        rules: Rules = Rules(),
    ) -> None:
        tools = toolbox.within(rules.profile)
        super().__init__(
            name,
            version=version("aicore-mcp"),
            instructions=instructions,
            tools=tools,
            lifespan=lifespan,
            log_level="WARNING",
        )
        self.toolbox = toolbox
        self.rules = rules
        self.confirmations = Confirmations()
        self._declared = {tool.name: tool for tool in tools}
        for prompt in prompts_for(self._declared):
            self.add_prompt(prompt)

    @property
    def _offered(self) -> Mapping[str, Tool]:
        """The tools of the server that the caller of this request may use."""
        within = {tool.name for tool in self.toolbox.within(_granted.get())}
        return {name: tool for name, tool in self._declared.items() if name in within}

    async def list_tools(self) -> list[ListedTool]:
        """List the tools that the caller may use."""
        offered = self._offered
        return [tool for tool in await super().list_tools() if tool.name in offered]

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[S, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        """Run a tool: its result or its error as one block of JSON text."""
        meta: Mapping[str, Any] = (context.request_context.meta if context else None) or {}
        token = None
        try:
            self._refuse_unknown(name, arguments)
            given = {name: arguments[name] for name in arguments if name not in (DRY_RUN, CONFIRM)}
            call = dataclasses.replace(
                _call(name, given, meta, host=self),
                is_dry_run=_flag(arguments.get(DRY_RUN, False)),
                confirm=_token(arguments.get(CONFIRM)),
                context=context,
            )
            token = _current.set(call)
            with heard_by(_listener(context)):
                return await super().call_tool(name, _storable(given), context)
        except ToolsError as error:
            return refusal(error)
        except MCPError:
            raise
        except ToolError as error:
            return self._failed(name, error)
        finally:
            if token is not None:
                _current.reset(token)

    def _refuse_unknown(self, name: str, arguments: Mapping[str, Any]) -> None:
        offered = self._offered
        tool = offered.get(name)
        if tool is None:
            raise NotFound(
                f"There is no tool {name}.",
                hint=f"The tools are: {', '.join(offered)}.",
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
        cause = said_in_group(error.__cause__)
        if isinstance(cause, ToolsError):
            if isinstance(cause, BackendConfigError | BackendUnavailable | OutcomeUnknown):
                # No words but ours for the operator: a vendor's may name a customer.
                said = cause.message if isinstance(cause, BackendConfigError) else cause.code
                why = type(cause.__cause__).__name__
                _log.warning("tool_failed tool=%s: %s (%s)", name, said, why)
            return refusal(cause)
        if isinstance(cause, ValidationError):
            return refusal(InvalidInput(first_mistakes(cause)))
        _log.error("tool_crashed tool=%s", name, exc_info=cause or error)
        crash = ToolsError(f"{name} failed inside the server; the server's log says why.")
        crash.code = "internal"
        annotations = self._declared[name].annotations
        if annotations is None or not annotations.read_only_hint:
            crash.outcome = "unknown"
            crash.hint = "Look whether the effect is there before anything else."
        return refusal(crash)


def _listener(
    context: Context[Any, Any] | None,
) -> Callable[[int, int | None], Awaitable[None]]:
    """Give who tells the caller of progress: one that has gone away must not stop the work."""
    told = 0

    async def tell(done: int, total: int | None) -> None:
        nonlocal told
        if context is not None and done > told:  # the protocol knows no step back
            told = done
            with contextlib.suppress(MCPError, OSError, *_GONE):
                await context.report_progress(done, total)

    return tell


def _flag(given: object) -> bool:
    if not isinstance(given, bool):
        raise InvalidInput(f"{DRY_RUN}: give true or false.")
    return given


def _token(given: object) -> str | None:
    if given is not None and not isinstance(given, str):
        raise InvalidInput(f"{CONFIRM}: give the text that came with the plan.")
    token: str | None = _storable(given) or None
    return token


def _call(name: str, arguments: Mapping[str, Any], meta: Mapping[str, Any], *, host: _Host) -> Call:
    key, principal = meta.get(OPERATION_KEY), meta.get(PRINCIPAL)
    is_text = isinstance(key, str) and key == _storable(key)
    if key is not None and not (is_text and 1 <= len(key) <= MAX_KEY_CHARS):
        raise InvalidInput(
            f"The operation key in _meta must be a string of 1 to {MAX_KEY_CHARS} characters."
        )
    return Call(
        operation=Operation.of(name, arguments, key),
        principal=_storable(principal) if isinstance(principal, str) else None,
        server=host,
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
    return CallToolResult(content=[text_block(body)])
