"""A report as plain JSON, for other programs: amounts as text, to keep them exact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from aicore.costs.demand import Demand
from aicore.costs.economics import Economics, Refusal, Utilisation
from aicore.costs.report import Report, Spent

__all__ = ["report_to_json"]


def report_to_json(
    report: Report,
    economics: Economics | None,
    used: Utilisation | None,
    refusals: Sequence[Refusal],
) -> dict[str, Any]:
    """Every figure under the names of the records; of the demand only its sums."""
    return {
        "report": _plain(report),
        "own_machine": _plain(used),
        "economics": _plain(economics),
        "refusals": _plain(list(refusals)),
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Demand):
        return {"window_hours": value.window_hours, "tokens": value.tokens}
    if is_dataclass(value):
        data = {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
        return data | {"cost_usd": _plain(value.cost_usd)} if isinstance(value, Spent) else data
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, (Decimal, date)) else value
