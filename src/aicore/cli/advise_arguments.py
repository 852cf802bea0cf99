"""The words of `aicore advise`."""

from __future__ import annotations

import argparse

from aicore.cli.cost_arguments import add_reading_arguments

__all__ = ["add_advise_command"]

_YES_NO = ("yes", "no")


def add_advise_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    advise = commands.add_parser("advise", help="build, buy or both: four questions, your figures")
    add_reading_arguments(advise)
    advise.add_argument(
        "--must-stay",
        choices=("all", "special", "none"),
        help="which data must stay on your premises, by law or contract",
    )
    advise.add_argument("--own-data", choices=_YES_NO, help="is there training data of your own")
    advise.add_argument("--staff", choices=_YES_NO, help="is there technical staff")
    advise.add_argument(
        "--sets-apart", choices=_YES_NO, help="is the model what sets the business apart"
    )
