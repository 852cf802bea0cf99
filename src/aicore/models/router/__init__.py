"""The router: a Provider that chooses among providers, by rule, and goes on when one fails."""

from aicore.models.router.limits import Clock, RouterLimits, SystemClock
from aicore.models.router.router import Member, Router
from aicore.models.router.rules import DataRule, DataRules

__all__ = [
    "Clock",
    "DataRule",
    "DataRules",
    "Member",
    "Router",
    "RouterLimits",
    "SystemClock",
]
