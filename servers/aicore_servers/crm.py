"""The CRM as an MCP server: `aicore-crm`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from pydantic import BaseModel, ConfigDict, Field

from aicore_servers._serve import Program, ServeSettings, in_process, serve
from aicore_servers._tooling import BusinessServer, Toolbox, current_call
from aicore_tools.crm import BACKENDS, CrmService, RecordInput, directory
from aicore_tools.crm.fields import KEY_FIELDS
from aicore_tools.crm.records import (
    Entry,
    Filter,
    LogKind,
    OnMatch,
    Operator,
    Record,
    RecordId,
    RecordType,
    Related,
    Search,
    UpsertResult,
)
from aicore_tools.operations import Effect

__all__ = ["create", "main", "server"]

INSTRUCTIONS = (
    "The business's customers and its work with them. Look with crm_search or, by id or e-mail,"
    " with crm_get before you write; crm_upsert creates or changes records and finds an existing"
    " one by e-mail or phone itself; crm_log records what happened or what is to do about a"
    " record. A record is named type:id, such as contact:12."
)
MAX_CELL_CHARS = 300

_toolbox = Toolbox()
_Crm = Context[CrmService]


class FilterArgument(BaseModel):
    """A condition, as a caller gives it."""

    model_config = ConfigDict(extra="forbid")

    field: str
    op: Operator
    value: Any = None


class RecordArgument(BaseModel):
    """A record to create or change, as a caller gives it."""

    model_config = ConfigDict(extra="forbid")

    set: dict[str, Any] = Field(default_factory=dict)
    id: str | None = None
    key: str | None = None
    links: list[str] = Field(default_factory=list)


def _service(ctx: _Crm) -> CrmService:
    return ctx.request_context.lifespan_context


@_toolbox.read
async def crm_search(
    ctx: _Crm,
    type: RecordType,
    query: str = "",
    filters: Sequence[FilterArgument] = (),
    sort: str | None = None,
    fields: Sequence[str] = (),
    limit: Annotated[int, Field(ge=1, le=100)] = 20,
    cursor: str | None = None,
) -> dict[str, Any]:
    """Find records of one type.

    `query`: words, each the start of a word in any text field. `filters` must all hold; value is a
    list for in and between, true or false for exists; field linked_to with op eq and value type:id
    finds what is linked to a record. `sort`: field or -field, default -created. `fields`: which to
    return, default all. If next_cursor is returned there are more: repeat the call with it as
    cursor.
    """
    page = await _service(ctx).search(
        Search(
            type=type,
            query=query,
            filters=[Filter(field=f.field, op=f.op, value=f.value) for f in filters],
            limit=limit,
            cursor=cursor,
        ),
        sort=sort,
        fields=fields,
    )
    rows = [_row(record) for record in page.rows]
    body: dict[str, Any] = {"rows": rows, "next_cursor": page.next_cursor}
    if any("truncated" in row for row in rows):
        body["hint"] = "The fields named in truncated were cut; crm_get gives them whole."
    return body


@_toolbox.read
async def crm_get(
    ctx: _Crm,
    type: RecordType,
    ids: Annotated[list[str], Field(min_length=1, max_length=100)],
    fields: Sequence[str] = (),
    include: Sequence[Related] = (),
) -> dict[str, Any]:
    """Read whole records by id or unique key (e-mail, phone, domain, sku, external_id).

    `include`: links to other records, activity (notes, calls, mails, tasks about it), history of
    changes.
    """
    found = await _service(ctx).get(type, ids, fields=fields, include=include)
    return {
        "records": [_whole(record) for record in found.records],
        "missing": found.missing or None,
        "ambiguous": found.ambiguous,
    }


@_toolbox.read
async def crm_describe(
    ctx: _Crm,
    type: RecordType,
    search: str = "",
) -> dict[str, Any]:
    """List the fields of a type with their kinds or allowed values.

    `search`: only fields whose name contains it. Money is in minor units, such as cents.
    """
    fields = {
        name: list(field.choices) if field.choices else field.kind
        for name, field in _service(ctx).describe(type).items()
        if search.lower() in name
    }
    return {"type": type, "fields": fields, "keys": KEY_FIELDS[type]}


@_toolbox.effect()
async def crm_upsert(
    ctx: _Crm,
    type: RecordType,
    records: Annotated[list[RecordArgument], Field(min_length=1, max_length=50)],
    on_match: OnMatch = "update",
    dry_run: bool = False,
) -> Effect[dict[str, Any]] | dict[str, Any]:
    """Create or change records.

    `set`: field values, null clears one; crm_describe lists fields. Name an existing record by
    `id`, or by `key` (e-mail, phone, domain, sku or external_id); else the keys inside `set` find
    it. `links`: type:id of records to link. `on_match`: what to do if it exists. Answers per
    record: created, updated, unchanged, skipped or error.
    """
    service, call = _service(ctx), current_call()
    given = [RecordInput(set=r.set, id=r.id, key=r.key, links=r.links) for r in records]
    if dry_run:
        results = await service.preview(type, given, on_match=on_match)
        return {"dry_run": True, **_results(type, results)}
    effect = await service.upsert(call.operation, type, given, on_match=on_match, by=call.principal)
    return effect.map(lambda results: _results(type, results))


@_toolbox.effect()
async def crm_log(
    ctx: _Crm,
    kind: LogKind,
    about: Sequence[str] = (),
    text: str | None = None,
    at: str | None = None,
    due: str | None = None,
    owner: str | None = None,
    task_id: str | None = None,
    done: bool | None = None,
) -> Effect[dict[str, Any]]:
    """Log a note, call, meeting or email that took place, or a task to do.

    `at`: when it took place, default now. `due`, `owner`: of a task. `about`: type:id of the
    records concerned. To change or finish a task give kind task, `task_id` and what changes, such
    as done true. Times are RFC 3339.
    """
    call = current_call()
    entry = Entry(
        kind=kind,
        text=text,
        at=at,
        due=due,
        owner=owner,
        task_id=None if task_id is None else RecordId(task_id.removeprefix("task:")),
        is_done=done,
    )
    effect = await _service(ctx).log(call.operation, entry, about=about, by=call.principal)
    return effect.map(
        lambda logged: {
            "id": logged.id,
            "kind": logged.kind,
            "status": logged.status,
            "about": logged.about or None,
            "due": logged.due,
            "done": logged.is_done,
        }
    )


@_toolbox.effect(idempotent=True)
async def crm_link(
    ctx: _Crm, a: str, b: str, label: str = "", remove: bool = False
) -> Effect[dict[str, Any]]:
    """Link two records, or remove their link.

    `a`, `b`: type:id, such as contact:12 and company:7. `label`: how they belong together.
    """
    effect = await _service(ctx).link(current_call().operation, a, b, label=label, remove=remove)
    status = "removed" if remove else "linked"
    return effect.map(
        lambda changed: {"a": a, "b": b, "status": status if changed else "unchanged"}
    )


def _row(record: Record) -> dict[str, Any]:
    """Shape a search row: long texts are cut, and `truncated` names them."""
    cut = {
        name: value[:MAX_CELL_CHARS] + "…"
        for name, value in record.fields.items()
        if isinstance(value, str) and len(value) > MAX_CELL_CHARS
    }
    row = {"id": record.id, "type": record.type, **record.fields, **cut}
    return {**row, "truncated": list(cut)} if cut else row


def _whole(record: Record) -> dict[str, Any]:
    """Shape one record with what was asked for beside it."""
    body: dict[str, Any] = {
        "id": record.id,
        "type": record.type,
        **record.fields,
        "created": record.created,
        "updated": record.updated,
    }
    if record.links is not None:
        body["links"] = [
            {"ref": str(link.ref), "name": link.name or None, "label": link.label or None}
            for link in record.links
        ]
    if record.activity is not None:
        body["activity"] = [asdict(activity) for activity in record.activity]
    if record.history is not None:
        body["history"] = [
            {"at": change.at, "by": change.by, "changed": dict(change.fields)}
            for change in record.history
        ]
    return body


def _results(record_type: RecordType, results: Sequence[UpsertResult]) -> dict[str, Any]:
    return {
        "results": [
            {
                "id": result.id,
                "type": record_type,
                "status": result.status,
                "changed": result.changed,
                "error": result.error,
            }
            for result in results
        ]
    }


def create(settings: ServeSettings) -> MCPServer[CrmService]:
    """Make the server; its lifespan opens the backend."""

    @asynccontextmanager
    async def lifespan(_: MCPServer[CrmService]) -> AsyncIterator[CrmService]:
        async with directory(
            settings.backend, data_dir=settings.data_dir, business=settings.business
        ) as opened:
            yield CrmService(opened, zone=ZoneInfo(settings.time_zone))

    return BusinessServer(
        "aicore-crm", instructions=INSTRUCTIONS, toolbox=_toolbox, lifespan=lifespan
    )


PROGRAM = Program(
    name="aicore-crm",
    description="Contacts, companies, deals, tickets, products, tasks and notes.",
    create=create,
    backends=tuple(BACKENDS),
)


def server(*args: str) -> MCPServer[Any]:
    """Make the server for use in this process; `args` as on the command line."""
    return in_process(PROGRAM, args)


def main() -> None:
    """Run `aicore-crm`."""
    serve(PROGRAM)


if __name__ == "__main__":
    main()
