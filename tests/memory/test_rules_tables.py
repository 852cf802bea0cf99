"""Facts by rules on what customers of small businesses write, in tables by language."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from aicore.memory.rules import facts_stated

LANGUAGES = ("en", "de", "fr", "es")
FOLDER = Path(__file__).parent


def _lines() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    for language in LANGUAGES:
        tables = yaml.safe_load((FOLDER / f"rules_{language}.yaml").read_text(encoding="utf-8"))
        for kind, table in tables.items():
            for line in table.splitlines():
                sentence, _, facts = line.partition(" =>")
                wanted = tuple(one.strip() for one in facts.split("; ") if one.strip())
                yield f"{language} {kind}", sentence.strip(), wanted


LINES = list(_lines())


def test_they_are_as_many_as_they_say_and_a_third_states_nothing() -> None:
    assert len(LINES) >= 500
    assert sum(not wanted for _, _, wanted in LINES) * 3 >= len(LINES)
    assert len({sentence for _, sentence, _ in LINES}) == len(LINES)


@pytest.mark.parametrize(("kind", "sentence", "wanted"), LINES)
def test_a_sentence_states_what_its_table_says(
    kind: str, sentence: str, wanted: tuple[str, ...]
) -> None:
    found = [
        f"{one.topic} {'ended' if one.is_end else '='} {one.value}"
        for one in facts_stated(sentence)
    ]

    assert sorted(found) == sorted(wanted), kind
