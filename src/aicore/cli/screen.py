"""A turn's events on a terminal: text as it comes, each tool call as it happens."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Mapping
from typing import Any, TextIO

import anyio

from aicore.agent.replies import CallFinished, CallStarted, Replied, Reply, StreamEvent, TextDelta
from aicore.agent.replies import Waiting as WaitingEvent
from aicore.errors import ModelError

__all__ = ["Screen", "ask_line"]

_DIM, _BOLD, _RED, _RESET = "\x1b[2m", "\x1b[1m", "\x1b[31m", "\x1b[0m"
_WIDTH_WITHOUT_TERMINAL = 110


class Screen:
    """Writes to one terminal. Colours only where one is there and NO_COLOR is not set."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._colours = self._out.isatty() and not os.environ.get("NO_COLOR")
        self._is_line_open = False

    def line(self, text: str = "", *, style: str = "") -> None:
        """Write whole lines; `style` is dim, bold, red or nothing."""
        self._end_line()
        self._out.write(self._styled(text, style) + "\n")
        self._out.flush()

    async def turn(self, events: AsyncIterator[StreamEvent]) -> Reply:
        """Show a turn to its end and return its reply."""
        reply: Reply | None = None
        async for event in events:
            if isinstance(event, Replied):
                reply = event.reply
            else:
                self._show(event)
        self._end_line()
        if reply is None:
            raise ModelError("The turn ended without a reply.")
        return reply

    def _show(self, event: StreamEvent) -> None:
        if isinstance(event, TextDelta):
            # The blank line between two texts of a reply is not needed below a tool call.
            delta = event.delta if self._is_line_open else event.delta.lstrip("\n")
            self._out.write(_printable(delta))
            self._out.flush()
            self._is_line_open = self._is_line_open or bool(delta)
        elif isinstance(event, CallStarted):
            call = f"{event.call.name}({_arguments(event.call.arguments)})"
            self.line(self._cut(f"  > {_printable(call)}"), style="dim")
        elif isinstance(event, CallFinished):
            mark = "!" if event.result.is_error else "<"
            text = _printable(_outcome(event.result.structured, event.result.text))
            style = "red" if event.result.is_error else "dim"
            self.line(self._cut(f"  {mark} {text}"), style=style)
        elif isinstance(event, WaitingEvent):
            self.line(f"  waits for approval: {', '.join(event.approvals)}", style="dim")

    def _end_line(self) -> None:
        if self._is_line_open:
            self._out.write("\n")
            self._is_line_open = False

    def _cut(self, text: str) -> str:
        """One line at most, so that a dialogue stays readable between its calls."""
        width = _WIDTH_WITHOUT_TERMINAL
        if self._out.isatty():
            width = shutil.get_terminal_size().columns - 1
        return text if len(text) <= width else text[: width - 1] + "…"

    def _styled(self, text: str, style: str) -> str:
        codes = {"dim": _DIM, "bold": _BOLD, "red": _RED}
        if not self._colours or style not in codes:
            return text
        return f"{codes[style]}{text}{_RESET}"


async def ask_line(prompt: str) -> str | None:
    """Read one line from the terminal without blocking the loop; None at end of input."""
    try:
        return await anyio.to_thread.run_sync(input, prompt, abandon_on_cancel=True)
    except EOFError:
        return None


def _arguments(arguments: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name}={json.dumps(value, ensure_ascii=False, default=str)}"
        for name, value in arguments.items()
    )


def _outcome(structured: Any, text: str) -> str:
    if structured is not None:
        return json.dumps(structured, ensure_ascii=False, default=str)
    return " ".join(text.split())


def _printable(text: str) -> str:
    """Text from outside must not steer the terminal: control characters are shown as codes."""
    return "".join(
        char if char in "\n\t" or char.isprintable() else f"\\x{ord(char):02x}" for char in text
    )
