"""The words of `aicore export`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

__all__ = ["add_export_command"]


def add_export_command(commands: Any) -> None:
    """Add the command to a parser's subparsers."""
    export: argparse.ArgumentParser = commands.add_parser(
        "export", help="write reviewed conversations, masked, to fine-tune a model with"
    )
    export.add_argument(
        "--finetune", type=Path, required=True, metavar="FILE", help="where the examples go, JSONL"
    )
    export.add_argument(
        "--reviews",
        type=Path,
        default=Path("reviews.jsonl"),
        metavar="FILE",
        help="who decided what of which conversation (default: reviews.jsonl)",
    )
    export.add_argument(
        "--review", action="store_true", help="look at those that nobody has decided on yet"
    )
    export.add_argument(
        "--by", default="owner", metavar="NAME", help="who reviews (default: owner)"
    )
    export.add_argument(
        "--special",
        action="store_true",
        help="those about health, money, faith and the like as well; they are left out otherwise",
    )
    export.add_argument(
        "--config", type=Path, default=Path("aicore.toml"), help="default: aicore.toml"
    )
