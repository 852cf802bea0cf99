"""What may have changed is told as such: a doubt warns, and takes nothing away."""

from __future__ import annotations

from pathlib import Path

import pytest

from aicore.memory.doubts import doubted
from aicore.memory.episodes import Utterance
from aicore.memory.extraction import Heard, RuleExtraction
from aicore.memory.facts import facts_of, is_doubt, take_in
from aicore.memory.port import Entry, Found, Namespace
from aicore.memory.rules import facts_stated
from aicore.memory.sqlite import SQLiteMemory
from aicore.memory.telling import MAY_HAVE_CHANGED, worth_telling
from aicore.records import ConversationId

ANN = Namespace("main", "customer:ann")
TALK = ConversationId("web:1")
NOW_MS = 10_000_000

DOUBTED = [
    ("The number you have for me doesn't work any more.", "phone"),
    ("I lost my job, so evenings no longer make sense.", "preference: time of day"),
    ("Something came up, can we move it to Thursday?", "appointment"),
    ("I can't make my appointment.", "appointment"),
    ("We moved house last week!", "address"),
    ("Unter der Nummer bin ich nicht mehr zu erreichen.", "phone"),
    ("Ich muss verschieben, geht Donnerstag um 17 Uhr?", "appointment"),
    ("Wir sind letzte Woche umgezogen!", "address"),
    ("Rechnung ist mir jetzt zu umständlich.", "preference: payment"),
    ("Mon numéro ne marche plus.", "phone"),
    ("Nous avons déménagé la semaine dernière !", "address"),
    ("Peut-on reporter le rendez-vous ?", "appointment"),
    ("Mi número ya no funciona.", "phone"),
    ("¡Nos hemos mudado!", "address"),
    ("¿Podemos cambiar la cita?", "appointment"),
]
NOT_DOUBTED = """\
My number is 07700 900123.
My sister's number has changed.
My brother moved house.
If my number changes I'll tell you.
Do you have a new booking system?
I have a new question.
I'm not allergic to anything new.
Meine Schwester ist umgezogen.
Ich habe jetzt eine Frage.
Ma sœur a déménagé.
J'ai une nouvelle question.
Mi hermana se ha mudado.
Tengo una nueva pregunta.
Thanks, see you on Friday.\
""".splitlines()


def said(text: str, seq: int) -> Utterance:
    return Utterance(seq=seq, at_ms=seq * 1000, subject=ANN.subject, said_by="customer", text=text)


async def learn(store: SQLiteMemory, *texts: str, order: list[int] | None = None) -> list[Entry]:
    """Learn messages one by one, in an order of places; all facts there are then."""
    for place in order or range(len(texts)):
        one = said(texts[place], place + 1)
        [stated] = await RuleExtraction().extract([Heard(one, ())], failures=0)
        await take_in(store, ANN, facts_of(TALK, one, stated.own, NOW_MS))
    return list(await store.list(ANN, kind="fact"))


def told(facts: list[Entry], found: list[Found] | None = None) -> list[str]:
    worth = worth_telling(
        found or [], facts, now_ms=NOW_MS, data_classes=["personal"], in_view=lambda _: False
    )
    return [one.entry.text for one in worth]


@pytest.mark.parametrize(("text", "topic"), DOUBTED)
def test_a_change_that_is_not_understood_makes_doubtful(text: str, topic: str) -> None:
    found = doubted(text, facts_stated(text))

    assert topic in {one.topic for one in found}
    assert all(one.is_doubt and one.value == text for one in found)


@pytest.mark.parametrize("text", NOT_DOUBTED)
def test_what_speaks_of_no_change_of_the_writers_makes_nothing_doubtful(text: str) -> None:
    assert doubted(text, facts_stated(text)) == []


def test_the_day_of_an_appointment_is_no_wish_for_all_days() -> None:
    text = "Le mercredi ne va plus à cause du judo, passons au samedi matin."

    assert [one.topic for one in doubted(text, facts_stated(text))] == ["appointment"]


def test_what_is_understood_is_not_doubtful() -> None:
    text = "My number has changed, it is 07700 900123 now."

    assert doubted(text, facts_stated(text)) == []


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
async def test_the_older_fact_is_told_as_what_may_have_changed(
    order: list[int], tmp_path: Path
) -> None:
    async with SQLiteMemory(tmp_path / "m.db") as store:
        facts = await learn(
            store, "My number is 07700 900123.", "My number doesn't work any more.", order=order
        )

        assert told(facts) == [
            "May have changed: Phone: My number doesn't work any more.",
            f"Phone: 07700900123{MAY_HAVE_CHANGED}",
        ]


async def test_what_is_said_after_a_doubt_holds(tmp_path: Path) -> None:
    async with SQLiteMemory(tmp_path / "m.db") as store:
        facts = await learn(
            store,
            "My number is 07700 900123.",
            "My number doesn't work any more.",
            "My new number is 07700 900456.",
        )

        assert told(facts) == ["Phone: 07700900456"]


async def test_a_doubt_about_appointments_is_about_all_of_them(tmp_path: Path) -> None:
    async with SQLiteMemory(tmp_path / "m.db") as store:
        facts = await learn(
            store, "My appointment is on Friday at 9.", "Please move me to Monday 6 October at 11."
        )
        lines = told(facts)

        assert f"Appointment: on Friday at 9{MAY_HAVE_CHANGED}" in lines
        assert "Appointment wanted: Monday 6 October at 11" in lines


async def test_what_was_said_of_a_doubtful_fact_is_marked_too(tmp_path: Path) -> None:
    async with SQLiteMemory(tmp_path / "m.db") as store:
        facts = await learn(store, "My number is 07700 900123.", "My number doesn't work any more.")
        phone = next(one for one in facts if not is_doubt(one))
        episode = Entry(
            id="e1",
            kind="episode",
            text="My number is 07700 900123.",
            source=phone.source,
            at_ms=phone.at_ms,
            data_class="personal",
            valid_from_ms=phone.at_ms,
        )

        lines = told(facts, [Found(episode, 1.0)])

        assert f"My number is 07700 900123.{MAY_HAVE_CHANGED}" in lines


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("My address is 4 Elm Road, Bath.", "¿Cuál es su dirección?"),
        ("Mein Auto ist ein Opel Corsa.", "What car does he drive?"),
        ("Mon numéro est le 06 12 34 56 78.", "Wie ist die Telefonnummer?"),
    ],
)
async def test_facts_are_found_by_their_topic_in_another_language(
    text: str, question: str, tmp_path: Path
) -> None:
    from aicore.memory.recall import Recall

    async with SQLiteMemory(tmp_path / "m.db") as store:
        [fact] = await learn(store, text)
        found = await Recall(store).find([ANN], question, now_ms=NOW_MS)

        assert [one.entry.id for one in found] == [fact.id]
