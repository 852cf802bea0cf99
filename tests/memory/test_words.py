"""The words of a text, and how postings are packed and ranked."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aicore.memory.neighbours import join_context, split_context
from aicore.memory.port import Entry, Source
from aicore.memory.ranking import BLOCK, best, number_of, pack, unpack, without, word_weights
from aicore.memory.stems import stem
from aicore.memory.words import MOST_CHARACTERS, storable, words_of, words_of_date


@pytest.mark.parametrize(
    "same",
    [
        ("appointment", "Appointments", "APPOINTMENT"),
        ("book", "books", "booking", "booked"),
        ("Zahnarzt", "Zahnarztes", "Zahnärzte"),
        ("Rechnung", "Rechnungen"),
        ("réservation", "reservations"),
        ("cita", "citas"),
        ("día", "días"),
        ("Haus", "Hause", "Hauses"),
        ("Kurs", "Kurse", "Kursen", "Kurses"),
        *[
            (word, f"{word}s")
            for word in ("dog", "cat", "car", "key", "van", "bag", "pet", "fee", "day", "bed")
        ],
        *[(word, f"{word}es") for word in ("tax", "bus", "box")],
        *[(word, f"{word}s") for word in ("case", "size", "rose", "price", "house", "taxi")],
        ("Tuesday", "Dienstag", "mardi", "martes", "tuesdays"),
        ("March", "März", "mars", "marzo"),
        ("straße", "STRASSE"),
        ("\ufb01le", "file"),
        ("\U0001d468pple", "apple"),
        ("\uff12\uff10\uff12\uff15", "2025"),
    ],
)
def test_forms_of_a_word_are_one(same: tuple[str, ...]) -> None:
    assert len({tuple(words_of(form)) for form in same}) == 1


def test_words_without_meaning_of_their_own_are_left_out() -> None:
    assert words_of("What is the price of a filling?") == words_of("price filling")
    assert words_of("Was kostet das bei Ihnen?") == words_of("kostet")
    assert words_of("l'hôtel c'est où") == words_of("hotel ou")[:1]


def test_numbers_and_codes_stay_whole() -> None:
    assert words_of("+4915112345678 and AB12CD34EF") == ["4915112345678", "ab12cd34ef"]


def test_a_day_of_a_month_is_a_word_in_every_way_of_writing_it() -> None:
    for text in ("7 May", "May 7", "7th of May", "May 7th", "7. Mai", "le 7 mai", "07 May"):
        assert "month5d7" in words_of(text)
    assert "month5d7" not in words_of("7 in the morning. May")
    assert words_of_date(1_746_600_000_000) == ["2025", "month5", "month5d7"]
    assert words_of_date(10**18) == []


def test_a_very_long_text_is_looked_at_in_part() -> None:
    text = "tea " * MOST_CHARACTERS
    assert len(words_of(text)) == MOST_CHARACTERS // 4
    assert len(words_of("x" * 10_000_000)[0]) <= 40


@given(st.text())
def test_any_text_gives_words_of_letters_and_digits(text: str) -> None:
    for word in words_of(text):
        assert word.isalnum()
        assert word == word.casefold()
        word.encode()


@given(st.text(alphabet=st.characters()))
def test_what_is_storable_can_be_stored(text: str) -> None:
    kept = storable(text)
    assert len(kept) == len(text)
    assert "\x00" not in kept
    kept.encode()


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz", min_size=1))
def test_a_stem_begins_its_word(word: str) -> None:
    cut = stem(word)
    assert cut
    assert word.startswith(cut) or cut.startswith(("month", "day"))


def test_a_context_holds_near_and_far_apart() -> None:
    context = join_context(["a", "b\fc"], ["d"])
    assert split_context(context) == ("a\nb c", "d")
    assert split_context(join_context(["a"], [])) == ("a", "")
    assert join_context([], []) == ""
    assert split_context("only near") == ("only near", "")


def _entry(text: str, context: str = "") -> Entry:
    return Entry(
        id="x",
        kind="fact",
        text=text,
        context=context,
        source=Source(said_by="customer"),
        at_ms=0,
        data_class="personal",
        valid_from_ms=0,
    )


def test_a_word_weighs_more_the_nearer_it_was_said() -> None:
    weights = word_weights(_entry("teapot", join_context(["hammam"], ["jacuzzi"])))
    assert weights["teapot"] > weights["hammam"] > weights["jacuzz"] > 0
    assert word_weights(_entry("teapot " * 50_000))["teapot"] <= 65_535


@given(st.lists(st.integers(0, BLOCK - 1), unique=True), st.integers(0, 2**20))
def test_postings_come_back_as_they_were_packed(places: list[int], block: int) -> None:
    pairs = [(block * BLOCK + place, place % 65_535 + 1) for place in sorted(places)]
    packed = pack(pairs)
    assert [(number_of(block, one), one & 0xFFFF) for one in unpack(packed)] == pairs
    half = frozenset(number for number, _ in pairs[::2])
    left = [number_of(block, one) for one in unpack(without(packed, block, half))]
    assert left == [number for number, _ in pairs[1::2]]


@pytest.mark.parametrize("seed", range(8))
def test_leaving_out_what_cannot_win_finds_the_same_as_looking_at_everything(seed: int) -> None:
    chance = random.Random(seed)
    total = 12_000
    words = []
    for share in (0.0005, 0.002, 0.3, 0.5, 0.7, 0.9):
        numbers = [number for number in range(total) if chance.random() < share]
        blocks: dict[int, list[tuple[int, int]]] = {}
        for number in numbers:
            pair = (number, chance.randint(1, 65_535))
            blocks.setdefault(number // BLOCK, []).append(pair)
        words.append({block: pack(pairs) for block, pairs in blocks.items()})
    everything = best(words, total, total)
    for count in (1, 10, 100):
        few = best(words, total, count)
        assert [number for number, _ in few] == [number for number, _ in everything[:count]]
        assert [score for _, score in few] == pytest.approx([s for _, s in everything[:count]])
