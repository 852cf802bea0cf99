"""Words are held back whole, and what a second model repeats is cut off."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.models.router.scene import asked

from aicore.models.router.joining import AllHold, Joiner, WordHold, going_on
from aicore.records import Message

TEXT = "Grüße, Ann! Am 24.11. sind\n\nfrei: 9:00 und 15:00 Uhr 👩‍👩‍👧 - passt das?"


def held_to(text: str, sizes: list[int]) -> tuple[str, str]:
    hold, shown, at = WordHold(), "", 0
    for size in sizes:
        shown += hold.add(text[at : at + size])
        at += size
    return shown, text[at:]


def joined(shown: str, text: str, size: int = 3) -> str:
    joiner = Joiner(shown)
    parts = [joiner.add(text[at : at + size]) for at in range(0, len(text), size)]
    return shown + "".join(parts) + joiner.rest()


@given(st.text(alphabet="ab ü\n\t日👍", max_size=200), st.integers(1, 9))
def test_hold_loses_nothing_and_shows_only_what_is_followed_by_a_word(text: str, size: int) -> None:
    hold = WordHold()
    shown = ""
    for at in range(0, len(text), size):
        shown += hold.add(text[at : at + size])
        assert text.startswith(shown)
        assert not (shown and text[len(shown)].isspace()), "all of the space is shown"
        word = text[len(shown) : at + size].strip()
        assert len(word) <= 40, "but for 40 characters nothing is held"

    assert shown + hold.rest() == text


def test_hold_ends_where_a_word_ends() -> None:
    hold = WordHold()

    assert [hold.add(part) for part in ("  He", "llo wo", "rld  ", "a", "gain")] == [
        "",
        "  Hello ",
        "",
        "world  ",
        "",
    ]
    assert hold.rest() == "again"


def test_what_is_seen_as_one_character_is_not_divided() -> None:
    family = "👩‍👩‍👧"
    hold = WordHold()
    shown = ""
    for char in family * 30:
        shown += hold.add(char)
        assert shown == family * (len(shown) // len(family))

    marked = unicodedata.normalize("NFD", "é" * 100)
    hold = WordHold()
    assert len(hold.add(marked)) % 2 == 0


@pytest.mark.parametrize(
    "text", ["ที่นี่เปิดเก้าโมงเช้าทุกวันจันทร์ถึงวันศุกร์" * 3, "नमस्तेआपकैसेहैंमैंठीकहूँ" * 4, "1️⃣2️⃣" * 20]
)
def test_signs_above_and_below_stay_with_their_letter(text: str) -> None:
    hold = WordHold()
    shown = ""
    for char in text:
        shown += hold.add(char)
        rest = text[len(shown) :]
        assert not shown or not rest or unicodedata.category(rest[0])[0] != "M"


def test_all_hold_lets_nothing_through() -> None:
    hold = AllHold()

    assert hold.add('{"a": ') + hold.add("1} ") == ""
    assert hold.rest() == '{"a": 1} '


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize("end", range(len(TEXT)))
def test_continuation_restart_and_repetition_give_the_text_once(end: int, size: int) -> None:
    shown, _ = held_to(TEXT, [1] * end)
    rest = TEXT[len(shown) :]

    assert joined(shown, rest, size) == TEXT
    assert joined(shown, TEXT, size) == TEXT
    words = shown.split()
    for count in range(3, len(words) + 1):
        again = " ".join(words[-count:])
        assert joined(shown, f"{again} {rest}", size) == TEXT
        assert joined(shown, f"\n{again}\n{rest}", size) == TEXT


@pytest.mark.parametrize(
    ("shown", "text", "whole"),
    [
        ("so very very ", "very very good", "so very very very very good"),  # may be meant
        ("It is all ", "It is allowed.", "It is all It is allowed."),  # not the same word
        ("one two three ", "one two three. Four", "one two three . Four"),
        ("one two three ", "one two three", "one two three "),
        ("one two ", "", "one two "),
        ("No ", "No problem", "No problem"),
        ("今日は天気がいいから散歩しましょうかそれとも家で", "散歩しますか", None),
    ],
)
def test_what_counts_as_a_repetition(shown: str, text: str, whole: str | None) -> None:
    assert joined(shown, text) == (shown + text if whole is None else whole)


def test_repetition_without_spaces_counts_from_20_characters() -> None:
    text = "今日は天気がいいから散歩しましょうかそれとも家で本を読みながらゆっくり過ごしましょうか"
    shown, rest = text[:30], text[30:]

    assert joined(shown, shown[-20:] + rest) == text
    assert joined(shown, rest) == text


def test_request_to_go_on_alternates_and_drops_the_state() -> None:
    request = asked()

    more = going_on(request, "So far ")

    assert [message.role for message in more.tail] == ["user", "assistant", "user"]
    assert more.tail[1] == Message(role="assistant", text="So far")
    assert more.tail[0] is request.tail[0]
    assert len(request.tail) == 1
