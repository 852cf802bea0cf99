"""Calls are put together from every way in which servers send them."""

import itertools
from time import process_time
from typing import Any

import pytest

from aicore.models.call_collector import CallCollector
from aicore.records import ToolCall

WANTED = [("find", {"name": "Ann", "n": 1}), ("list", {"all": True}), ("find", {"name": "Bob"})]
TEXTS = ['{"name": "Ann", "n": 1}', '{"all": true}', '{"name": "Bob"}']


def collected(entries: list[dict[str, Any]], **how: Any) -> tuple[list[ToolCall], bool]:
    collector = CallCollector()
    for entry in entries:
        collector.add(entry)
    return collector.whole(**{"is_cut": False, **how})


def pieces(position: int, *, index: str, ids: str, size: int) -> list[dict[str, Any]]:
    """One call in pieces, with index and id as one kind of server sends them."""
    name, text = WANTED[position][0], TEXTS[position]
    parts = [text[at : at + size] for at in range(0, len(text), size)]
    entries = [{"function": {"name": name, "arguments": ""}}]
    entries += [{"function": {"arguments": part}} for part in parts]
    if size >= len(text):  # whole in one entry
        entries = [{"function": {"name": name, "arguments": text}}]
    for number, entry in enumerate(entries):
        if index != "none":
            entry["index"] = position if index == "own" else 0
        has_id = {"all": True, "first": number == 0, "late": number > 0 or len(entries) == 1}
        if has_id.get(ids, False):
            entry["id"] = f"id{position}"
    return entries


# Pieces that tell nothing of where they belong cannot be told apart: a late id on a shared
# index looks like the next call only when it comes with a name.
VARIANTS = [
    (index, ids, size)
    for index, ids, size in itertools.product(
        ("own", "zero", "none"), ("all", "first", "late", "none"), (1, 4, 100)
    )
    if not (index != "own" and ids == "late" and size < 100)
]


@pytest.mark.parametrize(("index", "ids", "size"), VARIANTS)
def test_calls_are_whole_whatever_index_and_id_say(index: str, ids: str, size: int) -> None:
    entries = [e for at in range(3) for e in pieces(at, index=index, ids=ids, size=size)]
    calls, has_broken = collected(entries)

    assert [(call.name, call.arguments) for call in calls] == WANTED
    assert not has_broken
    assert len({call.id for call in calls}) == 3


def test_interleaved_pieces_go_to_their_index() -> None:
    streams = [pieces(at, index="own", ids="first", size=2) for at in range(3)]
    mixed = [e for group in itertools.zip_longest(*streams) for e in group if e is not None]

    assert [(c.name, c.arguments) for c in collected(mixed)[0]] == WANTED


@pytest.mark.parametrize("index", ["own", "zero", "none"])
def test_cut_last_call_is_left_out_at_every_length(index: str) -> None:
    first = pieces(0, index=index, ids="first", size=1)
    last = pieces(1, index=index, ids="first", size=1)
    for kept in range(1, len(last)):
        calls, has_broken = collected([*first, *last[:kept]], is_cut=True)
        assert [call.name for call in calls] == ["find"]
        assert has_broken


@pytest.mark.parametrize("text", ["", " ", "null", "{}"])
def test_no_arguments_are_an_empty_object(text: str) -> None:
    calls, has_broken = collected([{"index": 0, "function": {"name": "list", "arguments": text}}])

    assert [call.arguments for call in calls] == [{}]
    assert not has_broken


@pytest.mark.parametrize(
    "text",
    [
        "[1]",
        '"x"',
        "3",
        '{"a": NaN}',
        '{"a": 1e999}',
        '{"a": 1',
        "{" * 3000,
        '{"a":' * 9999 + "1" + "}" * 9999,
        "{'a': 1}",
    ],
)
def test_arguments_that_are_no_json_object_leave_the_call_out(text: str) -> None:
    assert collected([{"index": 0, "function": {"name": "list", "arguments": text}}]) == ([], True)


def test_arguments_may_come_as_an_object() -> None:
    calls, _ = collected([{"function": {"name": "find", "arguments": {"name": "Ann"}}}])

    assert calls[0].arguments == {"name": "Ann"}


def test_arguments_with_lone_surrogates_come_out_well_formed() -> None:
    calls, _ = collected([{"function": {"name": "find", "arguments": '{"name": "\\ud83d!"}'}}])

    assert calls[0].arguments["name"].encode().decode() == "?!"


@pytest.mark.parametrize(("text", "wanted"), [("", ["list", "find"]), ('{"al', ["find"])])
def test_other_name_begins_another_call(text: str, wanted: list[str]) -> None:
    """Without index and id: what the first call left open must not swallow the second."""
    entries = [
        {"function": {"name": "list", "arguments": text}},
        {"function": {"name": "find", "arguments": '{"name": "Ann"}'}},
    ]

    assert [call.name for call in collected(entries)[0]] == wanted


def test_call_without_a_name_is_left_out() -> None:
    assert collected([{"id": "a", "function": {"arguments": "{}"}}]) == ([], True)


@pytest.mark.parametrize(
    "entry", [None, 3, [], {}, {"function": None}, {"index": [], "id": 5, "function": "x"}]
)
def test_rubbish_is_no_call(entry: Any) -> None:
    assert collected([entry])[0] == []


def test_missing_and_repeated_ids_are_replaced() -> None:
    entries = [
        {"index": at, "id": call_id, "function": {"name": "list", "arguments": "{}"}}
        for at, call_id in enumerate(["a", "a", "b", None])
    ]
    calls, _ = collected(entries)
    ids = [call.id for call in calls]

    assert ids[0] == "a"
    assert len(set(ids)) == 4


def test_name_in_every_piece_of_a_long_call_takes_no_more_than_its_share() -> None:
    """Each piece used to have all before it parsed: 20,000 took 3 s."""
    texts = ['{"name": "', *["Ann, "] * 20_000, '"}']
    entries = [{"index": 0, "function": {"name": "find", "arguments": text}} for text in texts]
    started = process_time()
    calls, has_broken = collected(entries)

    assert process_time() - started < 1
    assert (len(calls), has_broken) == (1, False)


def test_call_that_ends_in_blanks_is_told_from_the_next_of_its_name() -> None:
    functions = [
        {"name": "find", "arguments": '{"name": "Ann"}'},
        {"arguments": " \n"},
        {"arguments": ""},
        {"name": "find", "arguments": '{"name": "Bob"}'},
    ]
    calls, _ = collected([{"index": 0, "function": function} for function in functions])

    assert [call.arguments["name"] for call in calls] == ["Ann", "Bob"]
