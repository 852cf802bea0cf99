import pytest

from aicore_tools.cursors import pack, rebound, unpack
from aicore_tools.errors import InvalidInput


@pytest.mark.parametrize("place", [7, "row-7", [1, "a"], {"page": "x"}])
def test_a_cursor_gives_its_place_to_its_own_question(place: object) -> None:
    assert unpack(("contact", "ann"), pack(("contact", "ann"), place)) == place


@pytest.mark.parametrize("cursor", ["", "x", "!!!", "eyJ9", "bnVsbA", "WzFd", "[" * 5000, "é"])
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidInput):
        unpack("question", cursor)


def test_a_cursor_of_another_question_is_refused() -> None:
    with pytest.raises(InvalidInput):
        unpack(("contact", "bob"), pack(("contact", "ann"), 7))


def test_a_cursor_may_be_given_to_a_question_of_the_same_rows() -> None:
    assert unpack("now", rebound(pack("before", 7), "now")) == 7
    with pytest.raises(InvalidInput):
        rebound("x", "now")
