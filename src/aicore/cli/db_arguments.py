"""The arguments of `aicore db`, apart from what it does: that takes time to load."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["add_db_command"]


def add_db_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command and its five parts."""
    summary = "migrate, copy, back up, restore and check where conversations are kept"
    parts = commands.add_parser("db", help=summary).add_subparsers(
        dest="part", required=True, metavar="WHAT"
    )
    migrating = parts.add_parser("migrate", help="bring a store to this program's version")
    copying = parts.add_parser("copy", help="move history to another store; again: what is new")
    copying.add_argument("source", metavar="FROM", help="such as sqlite:///conversations.db")
    copying.add_argument("target", metavar="TO", help="such as postgresql://127.0.0.1/shop")
    copying.add_argument(
        "--erased",
        action="append",
        default=[],
        metavar="ID",
        help="erase this conversation in TO: it was erased in FROM since the last copy",
    )
    backing = parts.add_parser("backup", help="write a copy to a file, also while agents run")
    restoring = parts.add_parser("restore", help="put a backup in the place of a store")
    for part in (backing, restoring):
        part.add_argument("file", type=Path, metavar="FILE")
    restoring.add_argument(
        "--replace", action="store_true", help="keep what is there under another name"
    )
    checking = parts.add_parser("check", help="read everything and see whether it fits together")
    for part in (migrating, backing, restoring, checking):
        part.add_argument("--url", help="of the store, in the place of the configuration's")
    for part in (migrating, copying, backing, restoring, checking):
        part.add_argument("--business", help="whose conversations (default: the configuration's)")
        part.add_argument(
            "--config", type=Path, default=Path("aicore.toml"), help="default: aicore.toml"
        )
