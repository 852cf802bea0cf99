"""The engine's own sentences: complete in both languages, times without anything to guess."""

import string
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from tests.flows.practice import NOW

from aicore.flows import FlowProvider
from aicore.flows.rehearsal import Rehearsal
from aicore.flows.wording import Wording, full, strftime

BERLIN = ZoneInfo("Europe/Berlin")
MOMENT = datetime(2026, 11, 24, 15, 5, tzinfo=BERLIN)


def places(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_both_languages_say_the_same_things() -> None:
    english, german = Wording("en").texts, Wording("de").texts

    assert english.keys() == german.keys()
    assert {key: places(text) for key, text in english.items()} == {
        key: places(text) for key, text in german.items()
    }


@pytest.mark.parametrize(
    ("language", "text", "short"),
    [
        ("en", "Tuesday 24 November 2026 at 15:05", "Tue 24 Nov"),
        ("de", "Dienstag, 24. November 2026 um 15:05", "Di 24 Nov"),
    ],
)
def test_times_are_written_whole(language: str, text: str, short: str) -> None:
    assert full(MOMENT, language) == text
    assert strftime(MOMENT, "%a %d %b", language) == short


GERMAN: dict[str, Any] = {
    "assistant": "Salon",
    "language": "de",
    "zone": "Europe/Berlin",
    "region": "DE",
    "disclosure": "Ich bin ein automatischer Assistent.",
    "flows": [
        {
            "flow": "termin",
            "title": "Termin vereinbaren",
            "triggers": ["termin"],
            "slots": {
                "wann": {"type": "datetime", "ask": "Wann passt es Ihnen?"},
                "name": {"type": "name", "ask": "Wie heißen Sie?"},
            },
            "steps": [
                {"collect": "wann"},
                {"collect": "name"},
                {"confirm": "Termin am {wann:full} für {name}?", "declined": "change"},
                {"say": "Bis dann, {name}!"},
            ],
        }
    ],
}


async def test_a_german_assistant_speaks_german() -> None:
    rehearsal = Rehearsal(FlowProvider(GERMAN, now=lambda: NOW), [], lambda call: None)
    for said, reply in (
        ("Hallo", "1. Termin vereinbaren"),
        ("ich brauche einen Termin am Donnerstag", "Um wie viel Uhr am Donnerstag, 26. November?"),
        ("halb vier", "Wie heißen Sie?"),
        ("qwrtz?", "Das weiß ich leider nicht"),
        ("Ich heiße Jörg", "Termin am Donnerstag, 26. November 2026 um 15:30 für Jörg?"),
        ("nein, lieber Freitag", "Termin am Freitag, 27. November 2026 um 15:30 für Jörg?"),
        ("ja", "Bis dann, Jörg!"),
    ):
        assert reply in await rehearsal.say(said)
