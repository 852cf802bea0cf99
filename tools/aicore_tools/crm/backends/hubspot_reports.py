"""Reports over HubSpot's records, computed here: its API has none."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from aicore_tools.crm import cursors
from aicore_tools.crm.backends.hubspot_account import Account
from aicore_tools.crm.backends.hubspot_search import Conditions, rows_of, search
from aicore_tools.crm.backends.hubspot_values import milliseconds, record_of
from aicore_tools.crm.records import Filter, Page, Record, Report, ReportPage, Search, Sort
from aicore_tools.errors import InvalidInput

__all__ = ["report"]

MAX_READ = 10_000
_NEW = ("contact", "company", "deal", "ticket")
_COMPARED = ("email", "phone", "domain", "name")


async def report(account: Account, report: Report) -> ReportPage:
    """Give one page of a report."""
    match report.kind:
        case "pipeline":
            return await _pipeline(account, report)
        case "stale_deals":
            return await _stale_deals(account, report)
        case "overdue_tasks":
            return await _overdue_tasks(account, report)
        case "new_records":
            return await _new_records(account, report)
    return await _duplicates(account, report)


async def _all(
    account: Account, record_type: str, conditions: Conditions
) -> tuple[list[Record], str | None]:
    """Read whole types, up to a limit that the note names."""
    (shape, *_) = account.shapes.of(record_type)
    found = await rows_of(account, shape, conditions, limit=MAX_READ + 1)
    records = [record_of(shape, each, account.owners) for each in found[:MAX_READ]]
    note = f"Only the oldest {MAX_READ} {record_type} records were looked at."
    return records, note if len(found) > MAX_READ else None


def _paged(report: Report, rows: Sequence[dict[str, Any]], note: str | None) -> ReportPage:
    """Give a page of rows that are computed anew each time, by their number."""
    start = 0
    if report.cursor is not None:
        (start,) = cursors.unpack(cursors.of_report(report), report.cursor, length=1)
        if not isinstance(start, int) or start < 0:
            raise InvalidInput("This cursor is damaged.", hint="Give next_cursor as it was.")
    end = start + report.limit
    cursor = cursors.pack(cursors.of_report(report), [end]) if end < len(rows) else None
    return ReportPage(rows=rows[start:end], next_cursor=cursor, note=note)


async def _pipeline(account: Account, report: Report) -> ReportPage:
    (shape, *_) = account.shapes.of("deal")
    group: list[dict[str, Any]] = []
    if report.owner is not None:
        owner = account.owners.id_of(report.owner)
        group.append({"propertyName": "hubspot_owner_id", "operator": "EQ", "value": owner})
    if report.since is not None:
        since = milliseconds(report.since)
        group.append({"propertyName": shape.created, "operator": "GTE", "value": since})
    deals, note = await _all(account, "deal", [group])
    sums: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for deal in deals:
        place = (str(deal.fields.get("stage", "")), str(deal.fields.get("currency", "")))
        sums[place][0] += 1
        sums[place][1] += int(deal.fields.get("amount_minor", 0))
    names = {
        stage: name
        for pipeline in account.pipelines.get("deals", ())
        for stage, name in pipeline.stages.items()
    }
    order = {stage: index for index, stage in enumerate(names)}
    rows = [
        _filled(
            stage=stage,
            stage_name=names.get(stage),
            currency=currency,
            deals=count,
            amount_minor=total,
        )
        for (stage, currency), (count, total) in sorted(
            sums.items(), key=lambda each: (order.get(each[0][0], len(order)), each[0])
        )
    ]
    return _paged(report, rows, note)


async def _stale_deals(account: Account, report: Report) -> ReportPage:
    filters = [Filter(field="updated", op="lt", value=report.start), *_owned(report)]
    stages = account.shapes.catalogue.field("deal", "stage").choices
    still_open = [stage for stage in stages if stage not in account.closed]
    if still_open:
        filters.append(Filter(field="stage", op="in", value=still_open))
    page = await _searched(account, report, "deal", filters, Sort("updated", False))
    rows = [
        _filled(
            ref=f"deal:{deal.id}",
            name=deal.fields.get("name"),
            stage=deal.fields.get("stage"),
            amount_minor=deal.fields.get("amount_minor"),
            currency=deal.fields.get("currency"),
            owner=deal.fields.get("owner"),
            updated=deal.updated.isoformat(),
        )
        for deal in page.rows
    ]
    return ReportPage(rows=rows, next_cursor=page.next_cursor)


async def _overdue_tasks(account: Account, report: Report) -> ReportPage:
    filters = [
        Filter(field="due", op="lt", value=report.now),
        Filter(field="is_done", op="neq", value=True),
        *_owned(report),
    ]
    page = await _searched(account, report, "task", filters, Sort("due", False))
    rows = [
        _filled(
            ref=f"task:{task.id}",
            text=str(task.fields.get("text", ""))[:300],
            due=task.fields.get("due"),
            owner=task.fields.get("owner"),
        )
        for task in page.rows
    ]
    return ReportPage(rows=rows, next_cursor=page.next_cursor)


async def _new_records(account: Account, report: Report) -> ReportPage:
    """Go through the types one after the other, each newest first."""
    types = [name for name in _NEW if name in account.shapes.catalogue.types]
    filters = [Filter(field="created", op="gte", value=report.start), *_owned(report)]
    index, inner = 0, None
    if report.cursor is not None:
        index, inner = cursors.unpack(cursors.of_report(report), report.cursor, length=2)
        if not isinstance(index, int) or not 0 <= index < len(types):
            raise InvalidInput("This cursor is damaged.", hint="Give next_cursor as it was.")
    rows: list[dict[str, Any]] = []
    while index < len(types) and len(rows) < report.limit:
        room = report.limit - len(rows)
        page = await _page(account, types[index], filters, Sort(), limit=room, cursor=inner)
        rows += [_new_row(record) for record in page.rows]
        inner = page.next_cursor
        index += 0 if inner is not None else 1
    cursor = None
    if index < len(types):
        cursor = cursors.pack(cursors.of_report(report), [index, inner])
    return ReportPage(rows=rows, next_cursor=cursor)


def _new_row(record: Record) -> dict[str, Any]:
    return _filled(
        ref=f"{record.type}:{record.id}",
        name=record.fields.get("name") or record.fields.get("subject"),
        created=record.created.isoformat(),
        owner=record.fields.get("owner"),
    )


async def _duplicates(account: Account, report: Report) -> ReportPage:
    notes = []
    groups: dict[tuple[str, str, str], list[Record]] = defaultdict(list)
    for record_type in ("contact", "company"):
        if record_type not in account.shapes.catalogue.types:
            continue
        records, note = await _all(account, record_type, [[]])
        notes += [note] if note else []
        for record in records:
            for name in _COMPARED:
                if record.fields.get(name):
                    value = str(record.fields[name]).casefold()
                    groups[(record_type, name, value)].append(record)
    rows = [
        {"field": name, "value": value, "refs": [f"{kind}:{record.id}" for record in same]}
        for (kind, name, value), same in sorted(groups.items(), key=lambda each: each[0])
        if len(same) > 1
    ]
    return _paged(report, rows, " ".join(notes) or None)


def _owned(report: Report) -> list[Filter]:
    return [] if report.owner is None else [Filter(field="owner", op="eq", value=report.owner)]


async def _searched(
    account: Account, report: Report, record_type: str, filters: Sequence[Filter], sort: Sort
) -> Page:
    """Search with the report's cursor around the search's own."""
    inner = None
    if report.cursor is not None:
        (inner,) = cursors.unpack(cursors.of_report(report), report.cursor, length=1)
    page = await _page(account, record_type, filters, sort, limit=report.limit, cursor=inner)
    if page.next_cursor is None:
        return page
    return replace(page, next_cursor=cursors.pack(cursors.of_report(report), [page.next_cursor]))


async def _page(
    account: Account,
    record_type: str,
    filters: Sequence[Filter],
    sort: Sort,
    *,
    limit: int,
    cursor: str | None,
) -> Page:
    """Search; the place of a cursor holds though `now` moves on."""
    asked = Search(type=record_type, filters=filters, sort=sort, limit=limit)
    if cursor is not None:
        asked = replace(asked, cursor=cursors.rebound(cursor, cursors.of_search(asked)))
    return await search(account, asked)


def _filled(**row: Any) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value not in (None, "")}
