"""The arguments of `aicore cost`, apart from what it does: that takes time to load."""

from __future__ import annotations

import argparse
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path

__all__ = ["add_cost_command", "add_reading_arguments"]

_AMOUNTS = {
    "--box-usd-per-hour": "what one box costs an hour, where it is rented",
    "--hardware-usd-per-month": "an owned box's price, spread over the months of its life",
    "--power-usd-per-month": "what one box takes in power and room a month",
    "--ops-hours-per-month": "how long people look after all boxes a month",
    "--ops-usd-per-hour": "what an hour of theirs costs",
}
_DIMENSIONS = ("provider", "model", "tenant", "task", "day")


def add_cost_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    cost = commands.add_parser("cost", help="what models cost, from the log; renting or owning")
    add_reading_arguments(cost)
    cost.add_argument("--by", choices=_DIMENSIONS, help="only this table (default: all)")
    cost.add_argument("--html", type=Path, metavar="FILE", help="write a page as well")
    cost.add_argument("--svg", type=Path, metavar="FILE", help="write the charts as well")
    cost.add_argument("--json", action="store_true", help="print all figures as JSON")


def add_reading_arguments(cost: argparse.ArgumentParser) -> None:
    """Declare which log is read, and what an own box would cost."""
    cost.add_argument(
        "--config", type=Path, default=Path("aicore.toml"), help="default: aicore.toml"
    )
    cost.add_argument("--url", help="of the log, in the place of the configuration's")
    cost.add_argument(
        "--business",
        action="append",
        help="whose conversations; may be repeated (default: the configuration's)",
    )
    cost.add_argument("--since", type=_day, metavar="DATE", help="first day, as 2026-11-01")
    cost.add_argument("--until", type=_day, metavar="DATE", help="last day, included")
    cost.add_argument("--measured", type=Path, metavar="FILE", help="what `aicore measure` wrote")
    cost.add_argument(
        "--managed-price",
        metavar="VENDOR:MODEL",
        help="what would answer in the place of the own machines, such as openai:gpt-5",
    )
    for name, meaning in _AMOUNTS.items():
        cost.add_argument(name, type=_amount, default=Decimal(0), metavar="X", help=meaning)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no date such as 2026-11-01") from None


def _amount(text: str) -> Decimal:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal(-1)
    if not amount.is_finite() or amount < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no amount such as 1.25")
    return amount
