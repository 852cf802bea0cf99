"""The demo: a dental practice whose assistant works at once, on this machine, with no model."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio

from aicore import Agent, AicoreError
from aicore.cli.chat import chat_with
from aicore.cli.screen import Screen
from aicore_examples.stage import Books, play, settle

__all__ = ["RECORDED", "main"]

RECORDED = (
    "Hi, how much is a whitening consultation?",
    "I'd like to book a whitening consultation next tuesday at 3pm",
    "Ann Lee, ann@example.com",
    "actually make it 4pm",
    "yes",
    "I would also like a call back",
    "0151 23456789",
    "braces for my son",
    "Do you have parking?",
    "thanks, bye",
)
TRY = (
    "do you have parking?",
    "book a cleaning next tuesday at 3pm",
    "call me back",
    "send me a payment request",
)


def main(argv: Sequence[str]) -> int:
    """Run the demo. Returns the exit code."""
    options = _parser().parse_args(argv)
    is_recorded = options.script or not sys.stdin.isatty()
    folder = options.folder or _fresh(Path("aicore-demo"), is_recorded=is_recorded)
    return anyio.run(_demo, folder, is_recorded)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="aicore demo",
        description="A small business that works: its files go into a folder you may keep.",
    )
    parser.add_argument(
        "--script",
        action="store_true",
        help="play a recorded conversation (also when standard input is no terminal)",
    )
    parser.add_argument("--folder", type=Path, help="default: aicore-demo in this folder")
    return parser


def _fresh(folder: Path, *, is_recorded: bool) -> Path:
    """A recorded conversation starts with an empty calendar, so it never reuses a folder."""
    if not is_recorded:
        return folder
    number = 1
    fresh = folder
    while fresh.exists():
        number += 1
        fresh = folder.with_name(f"{folder.name}-{number}")
    return fresh


async def _demo(folder: Path, is_recorded: bool) -> int:
    screen = Screen()
    config = settle(folder)
    screen.line("Lakeside Dental, on this machine: four MCP servers, SQLite, no model, no key.")
    screen.line(f"What it says and does is in {folder / 'assistant.yaml'}.", style="dim")
    try:
        async with Agent.from_config(config) as agent:
            if is_recorded:
                await play(agent, screen, RECORDED, conversation="terminal")
            else:
                screen.line("Try for example:", style="dim")
                for line in TRY:
                    screen.line(f"  {line}", style="dim")
                # Each run is another visitor; what they left in the systems stays.
                await chat_with(agent, screen, f"terminal:{datetime.now(UTC):%Y%m%d-%H%M%S}")
    finally:
        await _where_to_look(screen, config)
    return 0


async def _where_to_look(screen: Screen, config: Path) -> None:
    """Show what the conversation left in the systems, and where that is."""
    folder = config.parent
    screen.line("\nWhat is in the systems now", style="bold")
    async with Books.opened(config) as books:
        for title, rows in (
            ("appointments", await _appointments(books)),
            ("customers", await _customers(books)),
            ("mail sent", await _mail(books)),
            ("payment requests", await _requests(books)),
            ("to do for people", await _tasks(books)),
        ):
            between = f"\n  {' ' * len(title)}  "
            screen.line(f"  {title}: {between.join(rows) if rows else 'none'}")
    screen.line("\nWhere to look", style="bold")
    for line in (
        f"databases      {folder / 'data'}/*.db   (sqlite3 {folder / 'data' / 'crm.db'} .dump)",
        f"conversation   {folder / 'conversations.db'}   table event",
        f"the memory     {folder / 'memory.db'}   {_command()} memory list --config {config}",
        "               what customers say of themselves, told to a model; flows do not read it",
        f"the business   {folder / 'assistant.yaml'}, {folder / 'facts.md'}: change and rerun",
        f"talk to it     {_command()} chat --config {config}",
        f"with a model   set provider.kind in {config}",
    ):
        screen.line(f"  {line}")


def _command() -> str:
    """How `aicore` is called here: by its name, or by its path where that is not on PATH."""
    beside = Path(sys.executable).with_name("aicore")
    if shutil.which("aicore") or not beside.exists():
        return "aicore"
    here = Path.cwd()
    return str(beside.relative_to(here) if beside.is_relative_to(here) else beside)


async def _appointments(books: Books) -> list[str]:
    now = datetime.now(UTC).replace(microsecond=0)
    found = await books.ask(
        "calendar_events", start=now.isoformat(), end=(now + timedelta(days=365)).isoformat()
    )
    return [
        f"{event['title']}, {datetime.fromisoformat(event['start']):%a %d %b %Y, %H:%M}"
        for event in found["events"]
    ]


async def _customers(books: Books) -> list[str]:
    found = await books.ask("crm_search", type="contact")
    return [f"{row.get('name', row['id'])} <{row.get('email', '-')}>" for row in found["rows"]]


async def _tasks(books: Books) -> list[str]:
    found = await books.ask("crm_search", type="task")
    return [str(row["text"]) for row in found["rows"]]


async def _mail(books: Books) -> list[str]:
    found = await books.ask("mail_search", folder="sent")
    return [f"{row['subject']}, to {row.get('to', '-')}" for row in found["rows"]]


async def _requests(books: Books) -> list[str]:
    found = await books.ask("payments_search", kind="link")
    return [f"{row['reference']}, {row['status']}" for row in found["rows"]]


if __name__ == "__main__":
    try:
        raise SystemExit(main(sys.argv[1:]))
    except AicoreError as error:
        raise SystemExit(f"demo: {error}") from error
