"""The arguments of `aicore memory`, apart from what it does: that takes time to load."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["add_memory_command"]


def add_memory_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command and its parts."""
    summary = "see, correct and forget what is remembered"
    parts = commands.add_parser("memory", help=summary).add_subparsers(
        dest="part", required=True, metavar="WHAT"
    )
    listing = parts.add_parser("list", help="everybody, or all that is remembered of one")
    listing.add_argument("--subject", help="such as customer:+4915112345678")
    showing = parts.add_parser("show", help="one entry: where it comes from, what replaced it")
    showing.add_argument("id")
    correcting = parts.add_parser("correct", help="put what you say in the place of a fact")
    correcting.add_argument("id")
    correcting.add_argument("text")
    forgetting = parts.add_parser("forget", help="delete entries, or somebody with all they said")
    forgetting.add_argument("id", nargs="*")
    forgetting.add_argument("--subject", help="delete all of them, and their conversations")
    forgetting.add_argument("--yes", action="store_true", help="do not ask")
    ingesting = parts.add_parser("ingest", help="read a folder of documents of the business")
    ingesting.add_argument("folder", type=Path, help="of Markdown, HTML, PDF, CSV and text")
    for part in (listing, showing, correcting, forgetting, ingesting):
        part.add_argument(
            "--config", type=Path, default=Path("aicore.toml"), help="default: aicore.toml"
        )
