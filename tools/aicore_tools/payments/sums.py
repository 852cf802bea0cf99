"""Adding up reports: figures by label and currency, and how periods and ages are called."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from zoneinfo import ZoneInfo

from aicore_tools.payments.records import GroupBy, ReportRow

__all__ = ["Sums", "age_label", "period_label"]


@dataclass(slots=True)
class Sums:
    """Collects figures: one row for each label and currency."""

    _rows: dict[tuple[str, str], ReportRow] = field(default_factory=dict)

    def add(
        self, label: str, currency: str, amount_minor: int, *, fee_minor: int = 0, count: int = 1
    ) -> None:
        """Count one thing more."""
        none_yet = ReportRow(label=label, currency=currency, amount_minor=0, count=0)
        row = self._rows.get((label, currency), none_yet)
        self._rows[label, currency] = replace(
            row,
            amount_minor=row.amount_minor + amount_minor,
            fee_minor=row.fee_minor + fee_minor,
            count=row.count + count,
        )

    def rows(self, by: GroupBy | None) -> tuple[ReportRow, ...]:
        """Give the rows: customers and products by amount, the most first, others by label."""
        rows = self._rows.values()
        if by in ("customer", "product"):
            return tuple(sorted(rows, key=lambda row: (-row.amount_minor, row.label)))
        return tuple(sorted(rows, key=lambda row: (row.label, row.currency)))


def period_label(moment: datetime, by: GroupBy | None, zone: ZoneInfo) -> str:
    """Name the day or month of a moment by the clock of the business."""
    return moment.astimezone(zone).strftime("%Y-%m" if by == "month" else "%Y-%m-%d")


def age_label(due: datetime | None, now: datetime) -> str:
    """Name how late something is that was due then."""
    if due is None or due >= now:
        return "0 not due"
    days = (now - due).days
    for most, label in ((30, "1 to 30 days"), (60, "31 to 60 days"), (90, "61 to 90 days")):
        if days <= most:
            return label
    return "over 90 days"
