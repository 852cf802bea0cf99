"""The `aicore` command."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from aicore.cli.advise_arguments import add_advise_command
from aicore.cli.cost_arguments import add_cost_command
from aicore.cli.db_arguments import add_db_command
from aicore.cli.export_arguments import add_export_command
from aicore.cli.measure_arguments import add_measure_command
from aicore.cli.memory_arguments import add_memory_command
from aicore.errors import AicoreError, ConfigError
from aicore.telemetry.logs import write_logs

__all__ = ["main"]

_HANDED_OVER: Mapping[str, tuple[str, str]] = {
    "demo": ("aicore_examples.demo", "a small business that works, at once"),
    "connect": ("aicore_servers.connecting.command", "connect what a business uses already"),
    "install": ("aicore_servers.installing.command", "give the servers to Claude or an editor"),
    "sandbox": ("aicore_servers.sandbox._running", "run a stand-in for a vendor"),
}
"""Commands of other packages, by the module whose `main` runs them: the core knows no business."""


_COMMANDS: Mapping[str, str] = {
    "advise": "aicore.cli.advise:run_advise",
    "chat": "aicore.cli.chat:run_chat",
    "cost": "aicore.cli.cost:run_cost",
    "db": "aicore.cli.db:run_db",
    "doctor": "aicore.cli.doctor:run_doctor",
    "export": "aicore.cli.export:run_export",
    "follow-ups": "aicore.cli.follow_ups:run_follow_ups",
    "measure": "aicore.cli.measure:run_measure",
    "memory": "aicore.cli.memory:run_memory",
    "models": "aicore.cli.models:run_models",
}
"""Our own commands, loaded when they are run: "module:function", which takes the options."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line.

    Ends the process with 130 when interrupted.

    Raises:
        SystemExit: 0 when all went well; 1 when a check failed, or nobody reads the output any
            more; 2 with one sentence on stderr when it cannot be done.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    write_logs("text")
    try:
        code = _run(words)
    except AicoreError as error:
        sys.stderr.write(f"aicore: {error}\n")
        code = 2
    except BrokenPipeError:
        # Else Python complains at its end: https://docs.python.org/3/library/signal.html#note-on-sigpipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except KeyboardInterrupt:
        # All is closed by now, but for the thread that reads the terminal: it cannot be stopped,
        # and Python would wait for it.
        sys.stdout.flush()
        os._exit(130)
    raise SystemExit(code)


def _run(words: list[str]) -> int:
    if words and words[0] in _HANDED_OVER:
        return _hand_over(_HANDED_OVER[words[0]][0], words[1:])
    options = _parser().parse_args(words)
    module, _, function = _COMMANDS[options.command].partition(":")
    code: int = getattr(importlib.import_module(module), function)(options)
    return code


def _hand_over(module: str, words: list[str]) -> int:
    try:
        command = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if not f"{module}.".startswith(f"{error.name}."):
            raise
        raise ConfigError(f"{module} is not installed; reinstall aicore-mcp.") from error
    code: int = command.main(words)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="aicore", description="An assistant for a small business, on your own machine."
    )
    parser.add_argument("--version", action="version", version=version("aicore-mcp"))
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (_, summary) in _HANDED_OVER.items():
        commands.add_parser(name, help=summary, add_help=False)
    chat = commands.add_parser("chat", help="talk to the assistant of a configuration")
    chat.add_argument(
        "--conversation", default="terminal", help="thread to continue (default: terminal)"
    )
    add_advise_command(commands)
    add_cost_command(commands)
    add_measure_command(commands)
    add_export_command(commands)
    add_memory_command(commands)
    add_db_command(commands)
    doctor = commands.add_parser("doctor", help="check a configuration and say what is wrong")
    models = commands.add_parser("models", help="list the models that can be reached from here")
    models.add_argument(
        "--systems", action="store_true", help="list the systems that are known, and how to start"
    )
    models.add_argument("--json", action="store_true", help="for programs")
    follow_ups = commands.add_parser(
        "follow-ups", help="list whom a colleague was promised to, as no model could answer"
    )
    for command in (chat, models, doctor, follow_ups):
        command.add_argument(
            "--config", type=Path, default=Path("aicore.toml"), help="default: aicore.toml"
        )
    return parser
