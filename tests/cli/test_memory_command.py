"""`aicore memory`: staff see, correct and forget what is remembered."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest

from aicore import Agent, Principal
from aicore.cli import main
from aicore.log import SQLiteLog
from aicore.memory.memory import Memory, MemoryLimits
from aicore.memory.sqlite import SQLiteMemory
from aicore.models import ScriptedProvider
from aicore.records import ConversationId

ANN, BOB, EVE = (
    Principal("customer", "ann"),
    Principal("customer", "bob"),
    Principal("staff", "eve"),
)
CONFIG = """
[log]
path = "log.db"
business = "lakeside"
[memory]
path = "memory.db"
"""
ID = re.compile(r"^\s*([ef][0-9a-f]{11}-[0-9a-f]{12})\b", re.MULTILINE)


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


def aicore(folder: Path, *words: str, stdin: str = "") -> Done:
    """Run the command in this process: many runs, and each would take a second to start."""
    out, err = io.StringIO(), io.StringIO()
    given = sys.stdin
    sys.stdin = io.StringIO(stdin)
    try:
        with chdir(folder), redirect_stdout(out), redirect_stderr(err):
            main(["memory", *words])
    except SystemExit as end:
        return Done(int(end.code or 0), out.getvalue(), err.getvalue())
    finally:
        sys.stdin = given
    raise AssertionError("the command did not end")


def aicore_elsewhere(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "aicore", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def parts(folder: Path) -> tuple[SQLiteLog, Memory]:
    log = SQLiteLog(folder / "log.db", business="lakeside")
    memory = Memory(
        SQLiteMemory(folder / "memory.db"), business="lakeside", limits=MemoryLimits(quiet_s=0)
    )
    return log, memory


async def talk(folder: Path, *messages: tuple[str, Principal, str]) -> ScriptedProvider:
    """Have messages answered and learned from: conversation, who, text."""
    log, memory = parts(folder)
    provider = ScriptedProvider([f"Reply {n}." for n in range(99)])
    async with Agent(provider=provider, log=log, memory=memory) as agent:
        for conversation, who, text in messages:
            await agent.send(text, conversation=conversation, principal=who)
            with anyio.fail_after(10):
                await memory.settled()
    return provider


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A business that remembers Ann and Bob."""
    (tmp_path / "aicore.toml").write_text(CONFIG, encoding="utf-8")
    anyio.run(
        talk,
        tmp_path,
        ("web:1", ANN, "My number is 0151 1111111. Xylophagous greetings!"),
        ("web:2", ANN, "My number is 0151 2222222."),
        ("web:3", BOB, "My name is Bob Quist."),
    )
    return tmp_path


def fact_id(folder: Path, subject: str, text: str) -> str:
    listed = aicore(folder, "list", "--subject", subject).stdout
    (line,) = [line for line in listed.splitlines() if "  fact  " in line and text in line]
    match = ID.match(line)
    assert match is not None
    return match[1]


def all_bytes(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_list_names_everybody_and_all_of_one(shop: Path) -> None:
    everybody = aicore(shop, "list")
    assert everybody.returncode == 0
    assert [line.split()[0] for line in everybody.stdout.splitlines()] == [str(ANN), str(BOB)]
    of_ann = aicore(shop, "list", "--subject", str(ANN)).stdout
    assert "0151 1111111" in of_ann
    assert "customer in web:1 #1" in of_ann
    assert "Quist" not in of_ann
    ended = next(line for line in of_ann.splitlines() if "Phone: 01511111111" in line)
    assert re.search(r" to \d{4}-\d\d-\d\d, then f", ended)


def test_show_gives_the_message_it_comes_from_and_what_took_its_place(shop: Path) -> None:
    shown = aicore(shop, "show", fact_id(shop, str(ANN), "01511111111"))

    assert shown.returncode == 0
    assert "Xylophagous greetings" in shown.stdout
    assert "Phone: 01512222222" in shown.stdout


def test_correct_puts_the_words_of_staff_in_its_place_and_learning_leaves_them(
    shop: Path,
) -> None:
    wrong = fact_id(shop, str(ANN), "01512222222")
    done = aicore(shop, "correct", wrong, "0151 3333333")
    assert done.returncode == 0
    assert "[staff]" in done.stdout
    provider = anyio.run(talk, shop, ("web:9", ANN, "What is my number?"))
    told = provider.requests[-1].volatile
    assert "Phone: 0151 3333333" in told
    assert "2222222" not in told
    again = aicore(shop, "correct", wrong, "x")
    assert (again.returncode, again.stdout) == (2, "")


def test_what_is_forgotten_by_its_id_is_gone_and_the_rest_is_there(shop: Path) -> None:
    done = aicore(shop, "forget", fact_id(shop, str(ANN), "01512222222"))
    assert done.returncode == 0
    provider = anyio.run(talk, shop, ("web:9", ANN, "What is my number?"))
    assert "2222222" not in provider.requests[-1].volatile
    assert "Quist" in aicore(shop, "list", "--subject", str(BOB)).stdout


def test_what_is_forgotten_by_its_id_goes_with_its_message_and_what_repeats_it(shop: Path) -> None:
    again = "So 0151/22 22 222 it is, zygomatic as ever."
    anyio.run(talk, shop, ("web:2", ANN, "Hello"), ("web:7", ANN, again), ("web:2", ANN, "Bye"))
    done = aicore(shop, "forget", fact_id(shop, str(ANN), "01512222222"))

    assert (done.returncode, done.stderr) == (0, "")
    assert "Deleted 3 entries" in done.stdout
    assert "log still has" in done.stdout
    kept = (shop / "memory.db").read_bytes()
    assert b"0151 2222222" not in kept
    assert b"01512222222" not in kept
    assert b"ygomatic" not in (shop / "memory.db").read_bytes()
    assert b"Xylophagous" in (shop / "memory.db").read_bytes()


def test_what_repeats_a_message_that_is_forgotten_by_its_id_is_named(shop: Path) -> None:
    texts = ("Zygomatic greetings!", "Hello", "Again: zygomatic greetings!", "Bye", "Bye")
    anyio.run(talk, shop, *(("web:7", ANN, text) for text in texts))
    listed = aicore(shop, "list", "--subject", str(ANN)).stdout
    (line,) = [line for line in listed.splitlines() if line.endswith("  Zygomatic greetings!")]
    match = ID.match(line)
    assert match is not None
    done = aicore(shop, "forget", match[1])

    (named,) = [line for line in done.stdout.splitlines() if "still said" in line]
    assert "Again: zygomatic" in named


async def test_a_reply_that_repeats_a_forgotten_fact_does_not_tell_it_again(shop: Path) -> None:
    log, memory = parts(shop)
    provider = ScriptedProvider(["Noted: 0171 98 76 543.", "Ok.", "Ok.", "Which number?"])
    async with Agent(provider=provider, log=log, memory=memory) as agent:
        for text in ("My number is 0171 9876543", "hm", "hm"):
            await agent.send(text, conversation="web:8", principal=BOB)
            with anyio.fail_after(10):
                await memory.settled()
        entries = await memory.entries(str(BOB))
        facts = [one.id for one in entries if one.kind == "fact" and "0171" in one.text]
        await memory.forget(str(BOB), facts)
        await agent.send("What is my number?", conversation="web:9", principal=BOB)
    assert "0171" not in provider.requests[-1].volatile


def test_of_one_who_is_forgotten_no_byte_is_left(shop: Path) -> None:
    assert b"ylophagous" in all_bytes(shop)
    done = aicore(shop, "forget", "--subject", str(ANN), "--yes")

    assert done.returncode == 0
    assert "2 conversations" in done.stdout
    left = all_bytes(shop).lower()
    for word in (b"ylophagous", b"2222222", b"1111111", b"customer:ann"):
        assert word not in left
    assert b"quist" in left
    assert aicore(shop, "list").stdout.split()[0] == str(BOB)
    again = aicore(shop, "forget", "--subject", str(ANN), "--yes")
    assert again.returncode == 1


def test_what_staff_said_to_one_who_is_forgotten_goes_too(shop: Path) -> None:
    anyio.run(talk, shop, ("web:1", EVE, "Note: Ann is xylophagous."), ("web:3", EVE, "Bob is in."))
    done = aicore(shop, "forget", "--subject", str(ANN), "--yes")

    assert done.returncode == 0
    assert b"ylophagous" not in all_bytes(shop)
    assert "Bob is in." in aicore(shop, "list", "--subject", str(EVE)).stdout


@pytest.mark.parametrize(("answer", "is_gone"), [("y\n", True), ("n\n", False), ("", False)])
def test_it_asks_before_it_forgets_somebody(shop: Path, answer: str, is_gone: bool) -> None:
    done = aicore(shop, "forget", "--subject", str(ANN), stdin=answer)

    assert done.returncode == (0 if is_gone else 1)
    assert (b"ylophagous" not in all_bytes(shop)) is is_gone


def test_a_name_that_nobody_has_is_no_success(shop: Path) -> None:
    done = aicore(shop, "forget", "--subject", "customer:anne", "--yes")

    assert done.returncode == 1
    assert "customer:anne" in done.stdout


async def test_an_agent_that_runs_meanwhile_does_not_write_it_back(shop: Path) -> None:
    log, memory = parts(shop)
    provider = ScriptedProvider([f"Reply {n}." for n in range(9)])
    async with Agent(provider=provider, log=log, memory=memory) as agent:
        await agent.send("Xylophagous again", conversation="web:1", principal=ANN)
        forget = ("forget", "--subject", str(ANN), "--yes")
        done = await anyio.to_thread.run_sync(lambda: aicore_elsewhere(shop, "memory", *forget))
        assert done.returncode == 0
        await agent.send("Who am I?", conversation="web:1", principal=ANN)
        with anyio.fail_after(10):
            await memory.settled()
    last = provider.requests[-1]

    assert [message.text for message in last.tail] == ["Who am I?"]
    assert "ylophagous" not in last.volatile
    assert b"ylophagous" not in await anyio.to_thread.run_sync(all_bytes, shop)


async def test_a_conversation_that_is_held_is_named_and_can_be_forgotten_later(
    shop: Path,
) -> None:
    forget = ("forget", "--subject", str(ANN), "--yes")
    log, _ = parts(shop)
    async with log:
        claim = await log.claim(ConversationId("web:2"))
        done = await anyio.to_thread.run_sync(lambda: aicore_elsewhere(shop, "memory", *forget))
        assert done.returncode == 1
        assert "web:2" in done.stdout
        assert [one.conversation for one in await log.conversations()] == ["web:2", "web:3"]
        await log.release(claim)
    again = await anyio.to_thread.run_sync(lambda: aicore_elsewhere(shop, "memory", *forget))
    assert again.returncode == 0
    assert b"2222222" not in await anyio.to_thread.run_sync(all_bytes, shop)


@pytest.mark.parametrize(
    "words",
    [
        ("show", "f00000000000-000000000000"),
        ("correct", "e1", "x"),
        ("forget", "f1"),
        ("forget",),
        ("forget", "f1", "--subject", "customer:ann"),
        ("forget", "--subject", "business", "--yes"),
    ],
)
def test_a_mistake_gives_one_sentence_and_code_2(shop: Path, words: tuple[str, ...]) -> None:
    before = aicore(shop, "list").stdout
    done = aicore(shop, *words)

    assert done.returncode == 2
    assert done.stderr.startswith("aicore: ")
    assert "Traceback" not in done.stderr
    assert aicore(shop, "list").stdout == before


def test_without_a_memory_it_says_what_to_write(tmp_path: Path) -> None:
    (tmp_path / "aicore.toml").write_text("[log]\npath = 'log.db'\n", encoding="utf-8")
    done = aicore(tmp_path, "list")

    assert done.returncode == 2
    assert "[memory]" in done.stderr


def test_doctor_opens_the_memory(shop: Path) -> None:
    done = aicore_elsewhere(shop, "doctor")

    assert re.search(r"ok\s+memory: .*memory\.db, 2 ", done.stdout)


@pytest.mark.parametrize("kind", ["flows", "openai-compatible"])
def test_doctor_says_that_flows_do_not_read_the_memory(tmp_path: Path, kind: str) -> None:
    (tmp_path / "aicore.toml").write_text(
        f'[memory]\npath = "memory.db"\n[provider]\nkind = "{kind}"\n', encoding="utf-8"
    )
    done = aicore_elsewhere(tmp_path, "doctor")

    assert ("memory: learns" in done.stdout) is (kind == "flows")
