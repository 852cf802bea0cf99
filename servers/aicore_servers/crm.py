"""The CRM as an MCP server: `aicore-crm`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from anyio import to_thread
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from pydantic import BaseModel, ConfigDict, Field

from aicore_servers._serve import Option, Program, ServeSettings, in_process, serve
from aicore_servers._tooling import BusinessServer, Planned, Toolbox, current_call, listing
from aicore_tools.crm import BACKENDS, CrmService, CrmSettings, RecordInput, directory
from aicore_tools.crm.fields import Field as CrmField
from aicore_tools.crm.mapping import read_mapping
from aicore_tools.crm.records import (
    Archived,
    Description,
    Entry,
    Filter,
    Logged,
    LogKind,
    OnMatch,
    Operator,
    Record,
    RecordId,
    Related,
    ReportKind,
    Search,
    UpsertResult,
)
from aicore_tools.crm.service import ArchivePlan, LinkPlan, LogPlan, UpsertPlan

__all__ = ["create", "main", "server"]

INSTRUCTIONS = (
    "The business's customers and its work with them. Look with crm_search or, by id or e-mail,"
    " with crm_get before you write; crm_describe says which types and fields there are."
    " crm_upsert creates or changes records and finds an existing one by e-mail or phone itself;"
    " crm_log records what happened or what is to do about a record. A record is named type:id,"
    " such as contact:12. Types: contact, company, deal, ticket, product, task, note, and those"
    " of the business."
)
MAX_CELL_CHARS = 300
MAX_CHOICES = 20
MAX_OWNERS = 20

_toolbox = Toolbox(
    {
        "name": "NAME",
        "first_name": "NAME",
        "last_name": "NAME",
        "email": "EMAIL",
        "phone": "PHONE",
        "address": "ADDRESS",
        "birthday": "BIRTHDAY",
    },
    impersonal=("crm_describe", "crm_report"),
)
_Crm = Context[CrmService]


class Condition(BaseModel):
    """A condition, as a caller gives it."""

    model_config = ConfigDict(extra="forbid")

    field: str
    op: Operator
    value: Any = None


class Entered(BaseModel):
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
    type: str,
    query: str = "",
    filters: Sequence[Condition] = (),
    sort: str | None = None,
    fields: Sequence[str] = (),
    limit: int = 20,
    cursor: str | None = None,
) -> dict[str, Any]:
    """Find records: contact, company, deal, ticket, product, task, note or an own type.

    `query`: word beginnings. `filters` all hold; value: list for in, between; field linked_to, op
    eq, value type:id: what is linked. `sort`: field or -field.
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
    body = listing(rows, page.next_cursor)
    if any("cut" in row for row in rows):
        body["hint"] = "The fields named in cut are cut; crm_get gives them whole."
    return body


@_toolbox.read
async def crm_get(
    ctx: _Crm,
    type: str,
    ids: list[str],
    fields: Sequence[str] = (),
    include: Sequence[Related] = (),
) -> dict[str, Any]:
    """Read whole records by id, e-mail, phone, domain or sku."""
    found = await _service(ctx).get(type, ids, fields=fields, include=include)
    return {
        "records": [_whole(record) for record in found.records],
        "missing": found.missing or None,
        "ambiguous": found.ambiguous,
    }


@_toolbox.read
async def crm_describe(
    ctx: _Crm,
    type: str,
    search: str = "",
) -> dict[str, Any]:
    """List a type's fields, values, keys, pipelines, owners. Money: minor units."""
    service = _service(ctx)
    described = await service.describe(type)
    fields = {
        name: _field(field, is_sought=bool(search))
        for name, field in service.catalogue.fields(type).items()
        if search.lower() in name or search.lower() in field.source.lower()
    }
    return {
        "type": type,
        "types": list(service.catalogue.types),
        "fields": fields,
        "keys": service.catalogue.keys[type],
        **_described(described, search.lower()),
    }


@_toolbox.effect()
async def crm_upsert(
    ctx: _Crm,
    type: str,
    records: list[Entered],
    on_match: OnMatch = "update",
) -> Planned[UpsertPlan, Sequence[UpsertResult]]:
    """Create or change records, found by `id`, `key` or keys in `set`.

    null clears. `links`: type:id.
    """
    service, call = _service(ctx), current_call()
    given = [RecordInput(set=r.set, id=r.id, key=r.key, links=r.links) for r in records]
    return Planned(
        prepare=lambda: service.plan_upsert(type, given, on_match=on_match),
        show=lambda plan: _results(type, plan.results),
        perform=lambda plan: service.upsert(plan, call.operation, by=call.principal),
        answer=lambda results: _results(type, results),
    )


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
) -> Planned[LogPlan, Logged]:
    """Log what happened, or a task. `about`: type:id. `task_id`, kind task: change it."""
    service, call = _service(ctx), current_call()
    entry = Entry(
        kind=kind,
        text=text,
        at=at,
        due=due,
        owner=owner,
        task_id=None if task_id is None else RecordId(task_id.removeprefix("task:")),
        is_done=done,
    )
    return Planned(
        prepare=lambda: service.plan_log(entry, about=about),
        show=_log_plan,
        perform=lambda plan: service.log(plan, call.operation, by=call.principal),
        answer=_logged,
    )


@_toolbox.effect(idempotent=True)
async def crm_link(
    ctx: _Crm, a: str, b: str, label: str = "", remove: bool = False
) -> Planned[LinkPlan, bool]:
    """Link two records, type:id, or remove the link."""
    service, call = _service(ctx), current_call()
    status = "removed" if remove else "linked"
    return Planned(
        prepare=lambda: service.plan_link(a, b, label=label, remove=remove),
        show=_link_plan,
        perform=lambda plan: service.link(plan, call.operation),
        answer=lambda changed: {"a": a, "b": b, "status": status if changed else "unchanged"},
    )


@_toolbox.effect(destructive=True, idempotent=True, confirm=True)
async def crm_archive(
    ctx: _Crm,
    type: str,
    ids: list[str],
    merge_into: str | None = None,
) -> Planned[ArchivePlan, Archived]:
    """Put records away, by id or key; `merge_into` takes over what they have."""
    service, call = _service(ctx), current_call()
    return Planned(
        prepare=lambda: service.plan_archive(type, ids, merge_into=merge_into),
        show=_archive_plan,
        perform=lambda plan: service.archive(plan, call.operation, by=call.principal),
        answer=_archived,
    )


@_toolbox.read
async def crm_report(
    ctx: _Crm,
    kind: ReportKind,
    since: str | None = None,
    owner: str | None = None,
    limit: int = 20,
    cursor: str | None = None,
) -> dict[str, Any]:
    """Report. stale_deals: untouched for 30 days, new_records: of 7 days, or since."""
    page = await _service(ctx).report(kind, since=since, owner=owner, limit=limit, cursor=cursor)
    return {**listing(page.rows, page.next_cursor), "note": page.note}


def _row(record: Record) -> dict[str, Any]:
    """Shape a search row: long texts are cut, and `cut` names them."""
    cut = {
        name: value[:MAX_CELL_CHARS] + "…"
        for name, value in record.fields.items()
        if isinstance(value, str) and len(value) > MAX_CELL_CHARS
    }
    row = {"id": record.id, "type": record.type, **record.fields, **cut}
    return {**row, "cut": list(cut)} if cut else row


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


def _results(record_type: str, results: Sequence[UpsertResult]) -> dict[str, Any]:
    return {
        "results": [
            {
                "id": result.id,
                "type": record_type,
                "status": result.status,
                "changed": None if result.changes else result.changed,
                "changes": _old_new(result.changes),
                "error": result.error,
            }
            for result in results
        ]
    }


def _old_new(changes: Mapping[str, tuple[Any, Any]] | None) -> Mapping[str, Any] | None:
    if changes is None:
        return None
    return {
        name: {"new": after} if before is None else {"old": before, "new": after or "(cleared)"}
        for name, (before, after) in changes.items()
    }


def _log_plan(plan: LogPlan) -> dict[str, Any]:
    entry = plan.entry
    return {
        "kind": entry.kind,
        "text": entry.text,
        "at": entry.at,
        "due": entry.due,
        "owner": entry.owner,
        "done": entry.is_done,
        "about": plan.about or None,
        "task": None if plan.task is None else _whole(plan.task),
    }


def _logged(logged: Logged) -> dict[str, Any]:
    return {
        "id": logged.id,
        "kind": logged.kind,
        "status": logged.status,
        "about": logged.about or None,
        "due": logged.due,
        "done": logged.is_done,
    }


def _link_plan(plan: LinkPlan) -> dict[str, Any]:
    return {
        "a": str(plan.a),
        "b": str(plan.b),
        "names": plan.names,
        "label": plan.label or None,
        "remove": plan.remove,
    }


def _archive_plan(plan: ArchivePlan) -> dict[str, Any]:
    return {
        "archive": [_whole(record) for record in plan.records],
        "merge_into": None if plan.target is None else _whole(plan.target),
    }


def _archived(archived: Archived) -> dict[str, Any]:
    return {
        "type": archived.type,
        "archived": archived.ids,
        "merged_into": archived.merged_into,
    }


def _field(field: CrmField, *, is_sought: bool) -> Any:
    """Shape a field: its kind or values alone, or with what the vendor calls it."""
    kind: Any = field.kind
    if field.choices:
        shown = field.choices if is_sought else field.choices[:MAX_CHOICES]
        more = len(field.choices) - len(shown)
        kind = [*shown, *([f"… {more} more: describe with search"] if more else [])]
    if not field.source and not field.is_read_only:
        return kind
    return {
        "kind": kind,
        "vendor": field.source or None,
        "vendor_type": field.source_type or None,
        "read_only": field.is_read_only or None,
    }


def _described(described: Description, search: str) -> dict[str, Any]:
    unmapped = [name for name in described.unmapped if search and search in name]
    owners = [
        owner for owner in described.owners if search in f"{owner.name} {owner.email}".lower()
    ]
    return {
        "vendor_object": described.vendor_object or None,
        "pipelines": [asdict(pipeline) for pipeline in described.pipelines] or None,
        "owners": [asdict(owner) for owner in owners[:MAX_OWNERS]] or None,
        "more_owners": max(len(owners) - MAX_OWNERS, 0) or None,
        "unmapped": unmapped or None,
        "unmapped_count": len(described.unmapped) or None,
    }


MAPPING = Option(
    name="mapping", help="TOML file of own fields and types, and a vendor's names", default=""
)


def create(settings: ServeSettings) -> MCPServer[CrmService]:
    """Make the server; its lifespan opens the backend."""
    mapping = MAPPING.of(settings)
    told = CrmSettings(
        data_dir=settings.data_dir,
        business=settings.business,
        account=settings.account,
        connect=settings.connect,
        mapping=read_mapping(Path(mapping)) if mapping else {},
    )

    @asynccontextmanager
    async def lifespan(_: MCPServer[CrmService]) -> AsyncIterator[CrmService]:
        # In a thread: a keyring may ask a person, and a passphrase takes its time.
        made = await to_thread.run_sync(directory, settings.backend, told)
        async with made as opened:
            yield CrmService(opened, zone=ZoneInfo(settings.time_zone))

    return BusinessServer(
        "aicore-crm",
        instructions=INSTRUCTIONS,
        toolbox=_toolbox,
        lifespan=lifespan,
        rules=settings.rules,
    )


PROGRAM = Program(
    name="aicore-crm",
    description="Contacts, companies, deals, tickets, products, tasks and notes.",
    create=create,
    backends=tuple(BACKENDS),
    options=(MAPPING,),
)


def server(*args: str) -> MCPServer[Any]:
    """Make the server for use in this process; `args` as on the command line."""
    return in_process(PROGRAM, args)


def main() -> None:
    """Run `aicore-crm`."""
    serve(PROGRAM)


if __name__ == "__main__":
    main()
