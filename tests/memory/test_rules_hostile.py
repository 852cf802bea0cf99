"""No message is dear: what hostile text costs is bounded by what ordinary text does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
import yaml

from aicore.memory.doubts import doubted
from aicore.memory.rules import facts_stated, facts_told

_CHARS = 10_000
_TIMES = 60

SENTENCES = [
    line.partition(" =>")[0].strip()
    for path in sorted(Path(__file__).parent.glob("rules_??.yaml"))
    for table in yaml.safe_load(path.read_text(encoding="utf-8")).values()
    for line in table.splitlines()
]
WORDS = sorted({word for sentence in SENTENCES for word in sentence.split()})
PIECES = ["a.", "1 ", "a@", "1.1", "A ", "a-", "a'", "no ", "1/", "-1", " ,", " ", "\t", "my my "]
PIECES += list("aA1.-@+/'\"\u00ab\u00bb\u201e\u201c,;:()é")


def _hostile() -> Iterator[str]:
    random = Random(7)
    yield from PIECES
    for sentence in random.sample(SENTENCES, 40):
        # A beginning that every pattern of its kind takes up, again and again.
        yield sentence[: random.randint(3, len(sentence))] + " "
    for _ in range(20):
        yield " ".join(random.choices(WORDS, k=8)) + " "


def _cost_s(text: str) -> float:
    started = time.process_time()
    doubted(text, facts_stated(text, (text[:300],)))
    facts_told(text)
    return time.process_time() - started


def _ordinary_s() -> float:
    ordinary = "\n".join(SENTENCES * 2)[:_CHARS]
    return min(_cost_s(ordinary) for _ in range(5))


@pytest.mark.parametrize("is_cut", [False, True], ids=["one run", "in lines"])
def test_hostile_text_costs_little_more_than_ordinary_text(is_cut: bool) -> None:
    facts_stated("My number is +49 151 12345678.")  # what is loaded once
    bound_s = _TIMES * _ordinary_s()
    worst = {}
    for piece in _hostile():
        text = (piece * (_CHARS // len(piece) + 1))[:_CHARS]
        if is_cut:  # as long as a sentence may be
            text = "\n".join(text[at : at + 399] for at in range(0, _CHARS, 399))
        cost_s = _cost_s(text)
        if cost_s > bound_s:
            worst[piece] = cost_s / bound_s

    assert worst == {}


def test_an_answer_alone_is_looked_at_once() -> None:
    started = time.process_time()
    for piece in PIECES:
        facts_stated(piece * 100, ("What is your e-mail and phone number?",))

    assert time.process_time() - started < 60 * _ordinary_s() * len(PIECES)
