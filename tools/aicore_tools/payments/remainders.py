"""How much of a payment may still go back."""

from __future__ import annotations

from aicore_tools.errors import Conflict
from aicore_tools.payments.money import amount_text

__all__ = ["over_refund"]


def over_refund(left_minor: int, currency: str) -> Conflict:
    """Make the error of a refund that is more than what is left, or in another currency."""
    if left_minor <= 0:
        return Conflict("All of that payment was refunded already.", code="over_refund")
    return Conflict(
        f"Only {amount_text(left_minor, currency)} of that payment is left to refund.",
        hint="Give that amount or less, or leave amount out for all that is left.",
        code="over_refund",
    )
