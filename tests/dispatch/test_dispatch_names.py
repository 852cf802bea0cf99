"""The names of tools: unique, short, and steady."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from aicore.dispatch.names import RESERVED, assign, plain

SERVERS = st.sampled_from(["crm", "crm_a", "a", "mail.example.com", "x" * 64])
TOOLS = st.sampled_from(["search", "a_search", "a.search", "a search", "read_result", "y" * 80, ""])
KEYS = st.lists(st.tuples(SERVERS, TOOLS | st.text(max_size=90)), unique=True, max_size=30)


@given(KEYS, KEYS)
def test_names_are_unique_short_and_of_allowed_characters(first: list, second: list) -> None:
    given_names = assign(first, {})
    names = assign(second, given_names)
    assert set(names) == set(second)
    taken = {**given_names, **names}
    assert len(set(taken.values())) == len(taken)
    for name in taken.values():
        assert re.fullmatch("[A-Za-z0-9_-]{1,64}", name)
        assert name not in RESERVED


@given(KEYS, st.randoms())
def test_names_do_not_depend_on_the_order_of_arrival(keys: list, random: object) -> None:
    shuffled = list(keys)
    random.shuffle(shuffled)
    assert assign(keys, {}) == assign(shuffled, {})


@given(KEYS, KEYS)
def test_a_name_once_given_stays_with_its_tool(first: list, second: list) -> None:
    before = assign(first, {})
    after = assign(list({*first, *second}), before)
    assert {key: after[key] for key in first} == before


def test_the_tool_that_does_not_collide_stays_plain() -> None:
    names = assign([("crm", "find"), ("crm", "add"), ("mail", "find")], {})
    assert names == {
        ("crm", "find"): "crm_find",
        ("crm", "add"): "add",
        ("mail", "find"): "mail_find",
    }


def test_a_server_that_comes_later_cannot_take_a_name_over() -> None:
    before = assign([("crm", "find")], {})
    assert assign([("evil", "find"), ("crm", "find")], before) == {
        ("crm", "find"): "find",
        ("evil", "find"): "evil_find",
    }
    assert assign([("evil", "find")], before) == {("evil", "find"): "evil_find"}


def test_a_prefixed_name_that_is_taken_gets_a_hash() -> None:
    names = assign([("a", "b_c"), ("a_b", "c"), ("z", "b_c"), ("z", "c")], {})
    assert re.fullmatch("a_b_c_[0-9a-f]{8}", names["a", "b_c"])
    assert re.fullmatch("a_b_c_[0-9a-f]{8}", names["a_b", "c"])
    assert names["z", "c"] == "z_c"


def test_the_name_of_the_agents_own_tool_is_never_given_away() -> None:
    assert assign([("crm", "read_result")], {}) == {("crm", "read_result"): "crm_read_result"}


def test_a_long_name_is_cut_and_told_apart_by_a_hash() -> None:
    one, two = plain("x" * 70 + "1"), plain("x" * 70 + "2")
    assert len(one) == 64
    assert one != two
    assert plain("tool.with spaces") == "tool_with_spaces"
