"""Budgets: money set aside before a model is asked, and what it came to. Stores load when used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aicore.models.budget.budget import Budget
    from aicore.models.budget.memory import MemoryLedger
    from aicore.models.budget.port import BudgetLimits, Ledger, Reservation, Spent
    from aicore.models.budget.postgres import PostgresLedger
    from aicore.models.budget.registry import open_ledger
    from aicore.models.budget.sqlite import SQLiteLedger

__all__ = [
    "Budget",
    "BudgetLimits",
    "Ledger",
    "MemoryLedger",
    "PostgresLedger",
    "Reservation",
    "SQLiteLedger",
    "Spent",
    "open_ledger",
]

_MODULES = {
    "Budget": "budget",
    "BudgetLimits": "port",
    "Ledger": "port",
    "MemoryLedger": "memory",
    "PostgresLedger": "postgres",
    "Reservation": "port",
    "SQLiteLedger": "sqlite",
    "Spent": "port",
    "open_ledger": "registry",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
