"""Examples for fine-tuning: answered, reviewed, masked, and nothing of a person in the file."""

from __future__ import annotations

import json
import pty
import subprocess
import sys
from collections.abc import Sequence
from os import close, write
from pathlib import Path
from typing import Any

import anyio
import pytest

from aicore import Agent, tool
from aicore.log import SQLiteLog
from aicore.models import ScriptedProvider
from aicore.models.scripted import Reply
from aicore.records import ToolCall

CARD = "4111 1111 1111 1111"


@tool(read_only=True)
def crm_get(id: str) -> dict[str, Any]:
    """Look up a customer."""
    return {"id": id, "name": "Wilhelmina Okafor", "email": "mina@example.org", "visits": 3}


async def talk(
    folder: Path, conversation: str, messages: Sequence[str], replies: list[Reply]
) -> None:
    async with Agent(
        provider=ScriptedProvider(replies), tools=[crm_get], log=SQLiteLog(folder / "log.db")
    ) as agent:
        for text in messages:
            await agent.send(text, conversation=conversation)


@pytest.fixture
async def shop(tmp_path: Path) -> Path:
    """A folder with a configuration and a log of three conversations."""
    (tmp_path / "aicore.toml").write_text(
        '[agent]\ninstructions = "You are the desk of Lakeside."\n[log]\npath = "log.db"\n'
        '[provider]\nkind = "ollama"\nmodel = "m"\n'
    )
    await talk(
        tmp_path,
        "web:ann",
        ["Hi, my mail is mina@example.org, am I booked?", "Thank you, Wilhelmina here."],
        [ToolCall("c1", "crm_get", {"id": "7"}), "Yes, Wilhelmina Okafor.", "Bye, Mrs Okafor."],
    )
    await talk(tmp_path, "web:ill", ["I am diabetic, is that fine?"], ["Yes."])
    await talk(tmp_path, "web:card", [f"My card is {CARD}"], ["Please never send that."])
    return tmp_path


def export(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "aicore", "export", "--finetune", "out.jsonl", *words]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=50, check=False
    )


def typed(folder: Path, keys: bytes, *words: str) -> subprocess.CompletedProcess[str]:
    """The same with a person at a terminal who types `keys`."""
    ours, theirs = pty.openpty()
    write(ours, keys)
    try:
        return subprocess.run(
            [sys.executable, "-m", "aicore", "export", "--finetune", "out.jsonl", *words],
            cwd=folder,
            stdin=theirs,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
    finally:
        close(ours)
        close(theirs)


def approve(folder: Path, conversation: str, seq: int, *, use: bool = True) -> None:
    with (folder / "reviews.jsonl").open("a") as file:
        file.write(json.dumps({"conversation": conversation, "seq": seq, "use": use}) + "\n")


def lines(folder: Path) -> list[Any]:
    return [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]


async def head(folder: Path, conversation: str) -> int:
    async with SQLiteLog(folder / "log.db") as log:
        page = await log.conversations()
    return next(one.head for one in page if one.conversation == conversation)


async def test_only_what_was_reviewed_is_written(shop: Path) -> None:
    done = export(shop)
    assert done.returncode == 0
    assert lines(shop) == []
    assert "1 not reviewed yet" in done.stdout
    assert "2 left out as special" in done.stdout

    approve(shop, "web:ann", await head(shop, "web:ann"))
    assert export(shop).returncode == 0
    (line,) = lines(shop)
    roles = [message["role"] for message in line["messages"]]
    assert roles == ["system", "user", "assistant", "tool", "assistant", "user", "assistant"]
    assert line["messages"][0]["content"] == "You are the desk of Lakeside."
    (made,) = line["messages"][2]["tool_calls"]
    assert json.loads(made["function"]["arguments"]) == {"id": "7"}
    assert json.loads(line["messages"][3]["content"])["visits"] == 3


async def test_nothing_of_the_person_is_in_it_and_the_same_value_has_the_same_mark(
    shop: Path,
) -> None:
    approve(shop, "web:ann", await head(shop, "web:ann"))
    export(shop)
    text = (shop / "out.jsonl").read_text()
    for word in ("mina@", "Wilhelmina", "Okafor", "example.org", "web:ann"):
        assert word.casefold() not in text.casefold()
    (line,) = lines(shop)
    contents = [message["content"] for message in line["messages"]]
    mail = json.loads(contents[3])["email"]
    assert mail in contents[1]


async def test_special_ones_are_taken_in_when_asked_for_and_their_numbers_are_masked(
    shop: Path,
) -> None:
    approve(shop, "web:card", await head(shop, "web:card"))
    export(shop, "--special")
    (line,) = lines(shop)
    assert CARD not in json.dumps(line)
    assert "CARD" in line["messages"][1]["content"]


async def test_what_went_on_since_is_to_be_reviewed_again(shop: Path) -> None:
    approve(shop, "web:ann", await head(shop, "web:ann"))
    await talk(shop, "web:ann", ["one more thing"], ["Yes?"])
    assert "1 not reviewed yet" in export(shop).stdout
    assert lines(shop) == []


async def test_a_person_at_a_terminal_decides_and_is_remembered(shop: Path) -> None:
    done = typed(shop, b"maybe\ny\n", "--review", "--by", "ann")
    assert done.returncode == 0, done.stderr
    assert len(lines(shop)) == 1
    (review,) = [json.loads(one) for one in (shop / "reviews.jsonl").read_text().splitlines()]
    assert (review["conversation"], review["use"], review["by"]) == ("web:ann", True, "ann")
    assert "not reviewed" not in export(shop).stdout


async def test_what_goes_on_while_somebody_reviews_is_not_written_unseen(shop: Path) -> None:
    await talk(shop, "web:bob", ["Hello?"], ["Yes?"])
    approve(shop, "web:bob", await head(shop, "web:bob"))
    ours, theirs = pty.openpty()
    command = [sys.executable, "-u", "-m", "aicore", "export", "--finetune", "out.jsonl"]
    async with await anyio.open_process([*command, "--review"], cwd=shop, stdin=theirs) as person:
        assert person.stdout is not None
        await person.stdout.receive()  # the first conversation is shown
        await talk(shop, "web:bob", ["And a secret"], ["Oh."])
        write(ours, b"n\nq\n")
        with anyio.fail_after(50):
            await person.wait()
    close(ours)
    close(theirs)
    assert lines(shop) == []


async def test_a_review_written_by_hand_without_an_end_stays_a_line(shop: Path) -> None:
    (shop / "reviews.jsonl").write_text('{"conversation": "x", "seq": 1, "use": false}')
    assert typed(shop, b"y\n", "--review").returncode == 0
    assert len((shop / "reviews.jsonl").read_text().splitlines()) == 2
    assert export(shop).returncode == 0
    assert len(lines(shop)) == 1


async def test_what_is_shown_does_not_steer_the_terminal(shop: Path) -> None:
    await talk(shop, "web:a", ["\x1b]0;owned\x07 hi"], ["Yes?"])
    done = typed(shop, b"q\n", "--review")
    assert "owned" in done.stdout
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize(
    ("change", "words", "named"),
    [
        (("reviews.jsonl", "{not json\n"), (), "line 1"),
        (("reviews.jsonl", '{"conversation": "a", "seq": 1, "use": "yes"}\n'), (), "line 1"),
        (("aicore.toml", "[agent]\n"), (), "log.path"),
        (("aicore.toml", '[log]\npath = "gone.db"\n'), (), "gone.db"),
        (None, ("--review",), "terminal"),
        (None, ("--finetune", "no/such/folder/out.jsonl"), "out.jsonl"),
    ],
)
async def test_what_cannot_be_done_is_said_in_one_sentence(
    shop: Path, change: tuple[str, str] | None, words: Sequence[str], named: str
) -> None:
    if change is not None:
        (shop / change[0]).write_text(change[1])
    done = export(shop, *words)
    assert done.returncode == 2
    assert named in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (shop / "out.jsonl").exists()
