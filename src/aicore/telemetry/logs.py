"""Lines of the log with the conversation and the turn they are about, as text or as JSON."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from types import TracebackType
from typing import Literal

from aicore.telemetry.port import CURRENT_TURN

__all__ = ["JsonLines", "TextLines", "TurnFilter", "write_logs"]

_TOLD_BY_US = ("psycopg",)
"""Libraries that warn of what is an error of ours anyway: psycopg's pool, of each attempt."""

LogForm = Literal["text", "json"]
ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class TurnFilter(logging.Filter):
    """Gives every record `conversation` (its tag) and `turn`; None outside of a turn."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the two; keeps every record."""
        record.conversation, record.turn = CURRENT_TURN.get() or (None, None)
        return True


class _WithoutMessages(logging.Formatter):
    """Shows where an error came from, and its class; its message may hold what a customer wrote."""

    def formatException(self, ei: ExcInfo) -> str:  # noqa: N802  logging's name
        """Give the frames and the class."""
        kind, _, frames = ei
        where = "".join(traceback.format_tb(frames))
        return f"{where}{kind.__name__ if kind else ''}"


class TextLines(_WithoutMessages):
    """`aicore.dispatch.link server_down name=crm conversation=4f… turn=17`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, and a traceback below it where there is one."""
        line = f"{record.name} {super().format(record)}"
        turn = getattr(record, "turn", None)
        if turn is None:
            return line
        first, newline, rest = line.partition("\n")
        ids = f" conversation={getattr(record, 'conversation', None)} turn={turn}"
        return f"{first}{ids}{newline}{rest}"


class JsonLines(_WithoutMessages):
    """One JSON object a line: at, level, logger, message, conversation, turn, error."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, a traceback within it."""
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "conversation": getattr(record, "conversation", None),
            "turn": getattr(record, "turn", None),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps({key: value for key, value in line.items() if value is not None})


def write_logs(form: LogForm) -> None:
    """Write warnings and worse to standard error; for a program, never for a library.

    Takes the place of what the root logger wrote to before.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    handler.addFilter(TurnFilter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    for name in _TOLD_BY_US:
        logging.getLogger(name).setLevel(logging.ERROR)
