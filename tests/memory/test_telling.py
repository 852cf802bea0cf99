"""Of what was found each thing is told once, and nothing that has ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from aicore.memory.port import Entry, EntryKind, Found, Source
from aicore.memory.telling import worth_telling
from aicore.records import ConversationId, DataClass

NOW_MS = 10_000
ALL: frozenset[DataClass] = frozenset({"public", "internal", "personal", "special"})


def entry(
    id_: str,
    text: str,
    *,
    kind: EntryKind = "fact",
    seq: int = 0,
    until_ms: int | None = None,
    data_class: DataClass = "personal",
) -> Entry:
    return Entry(
        id=id_,
        kind=kind,
        text=text,
        source=Source(
            said_by="customer", conversation=ConversationId("web:1") if seq else None, seq=seq
        ),
        at_ms=seq,
        data_class=data_class,
        topic="phone",
        valid_from_ms=seq,
        valid_to_ms=until_ms,
    )


def told(found: Sequence[Entry], facts: Sequence[Entry] = (), **more: object) -> list[str]:
    asked = {"now_ms": NOW_MS, "data_classes": ALL, "in_view": lambda _: False} | more
    chosen = worth_telling([Found(one, 1.0) for one in found], facts, **asked)  # type: ignore[arg-type]
    return [one.entry.id for one in chosen]


def test_a_short_message_says_its_facts_itself() -> None:
    message = entry("e", "I prefer mornings, my dog is Rex.", kind="episode", seq=3)
    facts = [entry("f1", "mornings", seq=3), entry("f2", "Rex", seq=3), entry("f3", "x", seq=9)]

    assert told([facts[0], message], facts) == ["e", "f3"]


def test_a_long_message_stands_beside_its_facts() -> None:
    message = entry("e", "word " * 100, kind="episode", seq=3)

    assert told([message], [entry("f1", "mornings", seq=3)]) == ["e", "f1"]


def test_what_has_ended_is_not_told_nor_what_repeats_it() -> None:
    old = entry("f1", "Phone: +4915112345678", seq=1, until_ms=50)
    new = entry("f2", "Phone: +4915199999999", seq=9)
    messages = [
        entry("e1", "My number is 0151 12345678.", kind="episode", seq=1),
        entry("e2", "I noted 0151/1234 5678.", kind="episode", seq=2),
        entry("e3", "See you on Tuesday.", kind="episode", seq=4),
    ]

    assert told(messages, [old, new]) == ["e3", "f2"]


def test_words_that_an_ended_fact_shares_with_one_that_holds_are_told() -> None:
    facts = [entry("f1", "Diet: vegan", seq=1, until_ms=50), entry("f2", "Diet: vegan", seq=9)]

    assert told([entry("e", "vegan food", kind="episode", seq=4)], facts) == ["e", "f2"]


def test_classes_and_what_is_in_view_are_left_out_whatever_found_them() -> None:
    secret = entry("s", "Allergy: nuts", data_class="special", seq=5)
    shown = entry("v", "Name: Ann", seq=6)
    message = entry("e", "hello", kind="episode", seq=7)

    assert told([secret, shown, message], [secret, shown], data_classes=ALL - {"special"}) == [
        "v",
        "e",
    ]
    assert told([secret, shown], [secret, shown], in_view=lambda source: source.seq == 6) == ["s"]


def test_other_facts_follow_newest_first() -> None:
    facts = [entry(f"f{seq}", str(seq), seq=seq) for seq in (1, 5, 3)]

    assert told([entry("p", "passage", kind="passage")], facts) == ["p", "f5", "f3", "f1"]


def test_a_word_of_an_ended_fact_that_means_something_else_is_told() -> None:
    facts = [
        replace(entry("f1", "Address: Berlin", seq=1, until_ms=50), topic="address"),
        replace(entry("f2", "Address: Ulm", seq=9), topic="address"),
    ]
    messages = [
        entry("e1", "My surgeon in Berlin sends you the X-ray picture.", kind="episode", seq=4),
        entry("e2", "As I said, my address is in Berlin near the zoo.", kind="episode", seq=5),
        entry("e3", "Berlin", kind="episode", seq=6),
    ]

    assert told(messages, facts) == ["e1", "f2"]
