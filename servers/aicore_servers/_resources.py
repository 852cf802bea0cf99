"""What a server has besides tools: jobs as prompts, its records and connection as resources."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from mcp.server import MCPServer
from mcp.server.lowlevel.helper_types import ReadResourceContents
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp.shared.exceptions import MCPError
from mcp.shared.uri_template import UriTemplate
from mcp.types import (
    INVALID_PARAMS,
    GetPromptResult,
    InputRequiredResult,
    Prompt,
    Resource,
    ResourceTemplate,
    TextContent,
)

from aicore_servers.prompts import prompts_for
from aicore_tools.connections import Probe
from aicore_tools.errors import ToolsError

__all__ = ["CONNECTION", "Proves", "RecordServer", "disproof", "proof"]

CONNECTION = "aicore://connection"
"""Whose account a server works with, proved by a read: `{"connections": [...]}`, see `proof`."""

_JSON = "application/json"
_DOWN = {"backend_config", "backend_unavailable", "not_allowed", "internal"}
"""Codes of errors that do not say that there is no such record."""

S = TypeVar("S")


class Proves(Protocol):
    """A service whose backend can prove its connection: every domain's."""

    async def probe(self) -> Probe:
        """Read something, and say whose account it is and what its credential can do."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Records:
    """Records that have an address: read by a tool, with the same JSON."""

    uri: str
    name: str
    description: str
    tool: str
    arguments: Callable[[Mapping[str, str]], dict[str, Any]]
    has: Callable[[Mapping[str, Any], Mapping[str, str]], bool] = lambda _body, _named: True

    def match(self, uri: str) -> dict[str, str] | None:
        """Read the parts of an address; None if it is not of this kind."""
        named = UriTemplate.parse(self.uri).match(uri)
        return None if named is None else {name: str(value) for name, value in named.items()}


_RECORDS = (
    _Records(
        uri="crm://{type}/{id}",
        name="record",
        description="A contact, company, deal or other record of the CRM, as crm_get gives it.",
        tool="crm_get",
        arguments=lambda named: {"type": named["type"], "ids": [named["id"]]},
        has=lambda body, _: not body.get("missing"),
    ),
    _Records(
        uri="mail://message/{id}",
        name="message",
        description="A mail, or the start of a long one, as mail_read gives it.",
        tool="mail_read",
        arguments=lambda named: {"id": named["id"]},
    ),
    _Records(
        uri="calendar://event/{id}",
        name="event",
        description="An event, as calendar_events gives it.",
        tool="calendar_events",
        arguments=lambda named: {"id": named["id"], "detail": "full"},
    ),
    _Records(
        uri="payments://{kind}/{id}",
        name="entry",
        description="An invoice, customer, payment, product or link, as payments_get gives it.",
        tool="payments_get",
        arguments=lambda named: {"id": named["id"]},
        has=lambda body, named: named["kind"] in body,
    ),
)


async def proof(server: str, backend: str, service: Proves) -> dict[str, Any]:
    """Prove one connection: `{server, backend, name, can, warnings, is_test}`, or an `error`."""
    try:
        probe = await service.probe()
    except ToolsError as error:
        return disproof(server, backend, error)
    return {"server": server, "backend": backend, **dataclasses.asdict(probe)}


def disproof(server: str, backend: str, error: ToolsError) -> dict[str, Any]:
    """Say why a connection is not proved."""
    why = {"code": error.code, "message": error.message, "hint": error.hint}
    return {"server": server, "backend": backend, "error": why}


class RecordServer(MCPServer[S], Generic[S]):
    """An MCP server with prompts, records and its connection, as far as it has their tools.

    "Its" tools are those of `list_tools`, which may be fewer for one caller than for another.

    `backend` is the name of the backend behind it.
    """

    backend = "local"

    async def proofs(self, service: Any) -> list[dict[str, Any]]:
        """Prove what is behind this server, `service` being what its lifespan gave."""
        return [await proof(self.name, self.backend, service)]

    async def list_prompts(self) -> list[Prompt]:
        """List the jobs that the caller has the tools for."""
        names = await self._jobs()
        return [prompt for prompt in await super().list_prompts() if prompt.name in names]

    async def get_prompt(
        self,
        name: str,
        arguments: dict[str, Any] | None = None,
        context: Context[S, Any] | None = None,
    ) -> GetPromptResult | InputRequiredResult:
        """Give a job that the caller has the tools for."""
        if name not in await self._jobs():
            raise MCPError(INVALID_PARAMS, f"There is no prompt {name}.")
        return await super().get_prompt(name, arguments, context)

    async def _jobs(self) -> set[str]:
        tools = {tool.name for tool in await self.list_tools()}
        return {prompt.name for prompt in prompts_for(tools)}

    async def list_resources(self) -> list[Resource]:
        """List the connection."""
        connection = Resource(
            uri=CONNECTION,
            name="connection",
            description="Whose account this is and what can be done there, proved by a read.",
            mime_type=_JSON,
        )
        return [connection, *await super().list_resources()]

    async def list_resource_templates(self) -> list[ResourceTemplate]:
        """List the kinds of records that have an address."""
        tools = {tool.name for tool in await self.list_tools()}
        ours = [
            ResourceTemplate(
                uri_template=kind.uri,
                name=kind.name,
                description=kind.description,
                mime_type=_JSON,
            )
            for kind in _RECORDS
            if kind.tool in tools
        ]
        return [*ours, *await super().list_resource_templates()]

    async def read_resource(
        self, uri: Any, context: Context[S, Any] | None = None
    ) -> Iterable[ReadResourceContents] | InputRequiredResult:
        """Read the connection, or a record by the tool that gives it."""
        if str(uri) == CONNECTION and context is not None:
            proofs = await self.proofs(context.request_context.lifespan_context)
            return _contents(json.dumps({"connections": proofs}, ensure_ascii=False))
        tools = {tool.name for tool in await self.list_tools()}
        for kind in _RECORDS:
            named = kind.match(str(uri))
            if named is not None and kind.tool in tools:
                return _contents(await self._record(kind, named, context))
        return await super().read_resource(uri, context)

    async def _record(
        self, kind: _Records, named: Mapping[str, str], context: Context[S, Any] | None
    ) -> str:
        result = await self.call_tool(kind.tool, kind.arguments(named), context)
        if isinstance(result, InputRequiredResult) or not isinstance(
            block := result.content[0], TextContent
        ):
            raise ResourceError(f"{kind.tool} gave no text.")
        body: dict[str, Any] = json.loads(block.text)
        if result.is_error:
            is_down = body["code"] in _DOWN
            raise (ResourceError if is_down else ResourceNotFoundError)(body["message"])
        if not kind.has(body, named):
            raise ResourceNotFoundError(f"There is no {kind.name} of that kind and id.")
        return block.text


def _contents(text: str) -> list[ReadResourceContents]:
    return [ReadResourceContents(content=text, mime_type=_JSON)]
