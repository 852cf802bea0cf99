"""The arguments of `aicore measure`, apart from what it does: that takes time to load."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["add_measure_command"]


def add_measure_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    measure = commands.add_parser("measure", help="measure how much a model server can do")
    measure.add_argument(
        "--config", type=Path, default=Path("aicore.toml"), help="default: aicore.toml"
    )
    measure.add_argument("--provider", help="which one of the configuration, if there are several")
    measure.add_argument("--base-url", help="an OpenAI-compatible server; needs no configuration")
    measure.add_argument("--model", help="the model at that server")
    measure.add_argument(
        "--seconds", type=_above_zero, default=60.0, help="for each level (default: 60)"
    )
    measure.add_argument(
        "--at-once", type=_levels, default=(1, 2, 4, 8), help="levels (default: 1,2,4,8)"
    )
    measure.add_argument(
        "--prompt-tokens", type=_count, default=500, help="about so many (default: 500)"
    )
    measure.add_argument(
        "--output-tokens", type=_count, default=150, help="at most so many (default: 150)"
    )
    measure.add_argument("--out", type=Path, help="a file to write, for `aicore cost`")
    measure.add_argument(
        "--yes-this-costs-money", action="store_true", help="needed for a rented model"
    )


def _above_zero(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value <= 3600:
        raise argparse.ArgumentTypeError("give a number of seconds up to 3600")
    return value


def _count(text: str) -> int:
    value = int(text) if text.isdecimal() else 0
    if not 2 <= value <= 100_000:
        raise argparse.ArgumentTypeError("give a number from 2 to 100000")
    return value


def _levels(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    levels = tuple(dict.fromkeys(int(part) if part.isdecimal() else 0 for part in parts))
    if not all(1 <= one <= 256 for one in levels):
        raise argparse.ArgumentTypeError("give numbers from 1 to 256, separated by commas")
    return levels
