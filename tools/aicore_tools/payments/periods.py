"""From when to when a report is, and how it may be grouped."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from aicore_tools.errors import InvalidInput
from aicore_tools.payments.given import ReportAsked
from aicore_tools.payments.records import GroupBy, ReportKind, ReportQuery
from aicore_tools.times import read_when

__all__ = ["report_query"]

USUAL_DAYS = 30
_GROUPS: Mapping[ReportKind, tuple[GroupBy, ...]] = {
    "balance": (),
    "revenue": ("month", "day", "customer", "product"),
    "aging": ("customer",),
    "payouts": ("month", "day"),
    "ledger": ("day", "month"),
}


def report_query(asked: ReportAsked, *, zone: ZoneInfo, now: datetime) -> ReportQuery:
    """Read what is asked for: until the end of today, and for 30 days, where nothing is said.

    Raises:
        InvalidInput: a time cannot be read, it ends before it begins, or is not grouped so.
    """
    groups = _GROUPS[asked.kind]
    if asked.group_by is not None and asked.group_by not in groups:
        raise InvalidInput(
            f"group_by: {asked.kind} is not grouped by {asked.group_by}.",
            hint=f"Give one of: {', '.join(groups)}." if groups else "Leave group_by out.",
        )
    tomorrow = now.astimezone(zone).date() + timedelta(days=1)
    before = _moment(asked.before, zone, "before") or datetime.combine(tomorrow, time(), zone)
    after = _moment(asked.after, zone, "after") or before - timedelta(days=USUAL_DAYS)
    if after >= before:
        raise InvalidInput("after: it ends before it begins.")
    usual = groups[0] if groups and asked.kind != "aging" else None
    return ReportQuery(
        kind=asked.kind,
        after=after.astimezone(UTC),
        before=before.astimezone(UTC),
        now=now,
        by=asked.group_by or usual,
        zone=zone,
    )


def _moment(text: str | None, zone: ZoneInfo, name: str) -> datetime | None:
    return read_when(text, zone, name=name).moment if text else None
