"""The recall set as records: who said what when, what was forgotten, what is asked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import yaml

FOLDER = Path(__file__).parent / "recall_set"
HALVES = ("tuning", "reporting")
SPEAKERS = {"c": "customer", "a": "assistant"}


@dataclass(frozen=True)
class Line:
    """One message. `id` is "" for chatter; `said_by` as in `Source`."""

    id: str
    at_ms: int
    said_by: str
    text: str


@dataclass(frozen=True)
class Question:
    """What is asked once everything was said; ids are those of lines."""

    kind: str
    language: str
    text: str
    wanted: str = ""
    older: str = ""


@dataclass(frozen=True)
class Customer:
    """A conversation of one customer and the questions about it. Line n is event n + 1."""

    name: str
    language: str
    lines: tuple[Line, ...]
    forgotten: frozenset[str]
    questions: tuple[Question, ...]

    def line(self, id: str) -> Line:
        return next(line for line in self.lines if line.id == id)


@dataclass(frozen=True)
class Asked:
    """A question to the business's documents, and the passage that answers it."""

    language: str
    text: str
    document: str
    place: str
    words: str


def customers(half: str, *, chatter_rounds: int = 2) -> list[Customer]:
    """All customers of a half; each conversation holds its chatter `chatter_rounds` times."""
    chatter = yaml.safe_load((FOLDER / "chatter.yaml").read_text(encoding="utf-8"))
    found = yaml.safe_load((FOLDER / f"{half}.yaml").read_text(encoding="utf-8"))
    return [_customer(one, chatter, chatter_rounds) for one in found]


def questions_on_documents(half: str) -> list[Asked]:
    """What is asked about the documents in `FOLDER / f"{half}_knowledge"`."""
    found = yaml.safe_load((FOLDER / "knowledge.yaml").read_text(encoding="utf-8"))
    return [Asked(*(str(part) for part in one)) for one in found[half]]


def _customer(one: dict[str, object], chatter: dict[str, str], rounds: int) -> Customer:
    said = [_line(text) for text in str(one["said"]).splitlines()]
    besides = [text.split(" ", 1) for text in chatter[str(one["language"])].splitlines()] * rounds
    return Customer(
        str(one["customer"]),
        str(one["language"]),
        tuple(_mixed(said, besides)),
        frozenset(one["forgotten"]),  # type: ignore[call-overload] # a list of ids
        tuple(Question(*asked) for asked in one["asked"]),  # type: ignore[attr-defined] # lists
    )


def _line(text: str) -> Line:
    id, day, who, words = text.split(" ", 3)
    at = datetime.combine(date.fromisoformat(day), datetime.min.time(), UTC) + timedelta(hours=9)
    return Line(id, int(at.timestamp() * 1000), SPEAKERS[who], words)


def _mixed(said: list[Line], besides: list[list[str]]) -> list[Line]:
    """Chatter behind each line in equal shares, a minute apart; answers stay beside questions."""
    share = -(-len(besides) // len(said))
    share += share % 2
    mixed: list[Line] = []
    last_ms = 0
    for place, line in enumerate(said):
        # Two messages of one day keep their order.
        last_ms = max(line.at_ms, last_ms + 60_000)
        mixed.append(Line(line.id, last_ms, line.said_by, line.text))
        for who, text in besides[place * share : (place + 1) * share]:
            last_ms += 60_000
            mixed.append(Line("", last_ms, SPEAKERS[who], text))
    return mixed
