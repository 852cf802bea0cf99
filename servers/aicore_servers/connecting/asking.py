"""Asking a person, or a script, for what a connection needs."""

from __future__ import annotations

import getpass
import json
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aicore_tools.errors import BackendConfigError

__all__ = ["Asked", "Person", "from_file", "printable", "say"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One field of a connection, and the question for it.

    `default` is taken for an empty answer; `is_optional`: an empty answer is one. `check` raises
    BackendConfigError for an answer that cannot be right; then it is asked again.
    """

    name: str
    question: str
    is_secret: bool = False
    default: str = ""
    is_optional: bool = False
    check: Callable[[str], None] | None = None

    def refuse(self, text: str) -> None:
        """Refuse an answer that cannot be right.

        Raises:
            BackendConfigError: it cannot.
        """
        if self.check is not None and text:
            self.check(text)


def say(text: str = "") -> None:
    """Write a line to the terminal."""
    sys.stdout.write(printable(text) + "\n")
    sys.stdout.flush()


def printable(text: str) -> str:
    """Show control characters as codes: a vendor's words must not steer the terminal."""
    return "".join(
        char if char == "\n" or char.isprintable() else f"\\x{ord(char):02x}" for char in text
    )


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody at a terminal. Secrets are read unseen, never from the command line."""

    read: Callable[[str], str] = input
    read_secret: Callable[[str], str] = getpass.getpass
    is_there: Callable[[], bool] = lambda: sys.stdin is not None and sys.stdin.isatty()

    def answer(self, asked: Asked, default: str = "") -> str:
        """Ask until there is an answer.

        Raises:
            BackendConfigError: nobody is there, or the input ends.
        """
        if not self.is_there():
            raise BackendConfigError(
                "Nobody is at a terminal to be asked.", hint="Use --from-env or --from-file."
            )
        default = default or asked.default
        shown = f" [{default}]" if default and not asked.is_secret else ""
        read = self.read_secret if asked.is_secret else self.read
        while True:
            try:
                text = read(f"{asked.question}{shown}: ").strip() or default
            except EOFError as error:
                raise BackendConfigError("The input ended; nothing was kept.") from error
            try:
                asked.refuse(text)
            except BackendConfigError as error:
                say(f"{error} {error.hint or ''}".rstrip())
                continue
            if text or asked.is_optional:
                return text

    def answers(self, questions: Sequence[Asked]) -> dict[str, str]:
        """Ask everything; gives what was answered by name."""
        return {asked.name: text for asked in questions if (text := self.answer(asked))}


def from_file(path: Path) -> Mapping[str, Any]:
    """Read the fields of a connection from a JSON or TOML file.

    Raises:
        BackendConfigError: it cannot be read, or is neither.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise BackendConfigError(f"{path} cannot be read: {why}.") from error
    try:
        is_json = text.lstrip().startswith("{")
        read: Mapping[str, Any] = json.loads(text) if is_json else tomllib.loads(text)
    except ValueError as error:
        # Not the parser's words: they may quote the file.
        raise BackendConfigError(f"{path} is neither JSON nor TOML.") from error
    return read
