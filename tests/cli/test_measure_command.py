"""`aicore measure` against servers that speak for real: the table, the file, what it refuses."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio.from_thread
import pytest
from tests.models.fake_openai import FakeOpenAI, Play, free_port, json_play, serving, whole
from tests.models.tiny_gguf import ENDLESS, write_tiny_gguf

FAST = ("--seconds", "0.4", "--prompt-tokens", "20", "--output-tokens", "40")
Run = Callable[..., Any]


@contextmanager
def server(**how: Any) -> Iterator[FakeOpenAI]:
    """The fake, beside this thread: the command runs a loop of its own."""
    with (
        anyio.from_thread.start_blocking_portal() as portal,
        portal.wrap_async_context_manager(serving(**how)) as fake,
    ):
        yield fake


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A configuration with a real tiny model in process."""
    write_tiny_gguf(tmp_path / "house.gguf", biases=ENDLESS)
    path = json.dumps(str(tmp_path / "house.gguf"))
    (tmp_path / "aicore.toml").write_text(
        f'[provider]\nkind = "in-process"\npath = {path}\nthreads = 1\n'
    )
    return tmp_path


def test_throughput_is_shown_and_written_for_aicore_cost(aicore_here: Run, shop: Path) -> None:
    done = aicore_here(shop, "measure", *FAST, "--at-once", "1,2", "--out", "measured.json")
    data = json.loads((shop / "measured.json").read_text())

    assert done.stderr == ""
    assert [level["at_once"] for level in data["levels"]] == [1, 2]
    assert data["provider"] == "in-process:house"
    assert data["model"] == "house"
    assert data["is_complete"]
    assert data["is_reported"]
    assert data["at"].endswith("+00:00")
    assert data["at_once"] in (1, 2)
    assert data["seconds"] > 0
    # On a slow machine too few answers may come: then it must say so, and give no figure.
    assert done.returncode == (0 if data["is_throughput"] else 1)
    for rate in ("tokens_per_s_out", "tokens_per_s_in"):
        assert (data[rate] is not None) == data["is_throughput"]


def test_server_of_an_address_needs_no_configuration(aicore_here: Run, tmp_path: Path) -> None:
    with server() as fake:
        address = ("--base-url", fake.base_url, "--model", "m")
        done = aicore_here(tmp_path, "measure", *FAST, "--at-once", "2", *address)
        bodies = [asked.json for asked in fake.requests]

    assert "openai:m" in done.stdout
    assert {body["max_tokens"] for body in bodies} == {1, 40}
    assert len(bodies) >= 4


def unreported(asked: Any) -> Play:
    return json_play(whole("Hello", usage=None))


def test_tokens_that_are_not_reported_are_marked_and_no_throughput(
    aicore_here: Run, tmp_path: Path
) -> None:
    with server(otherwise=unreported) as fake:
        address = ("--base-url", fake.base_url, "--model", "m", "--out", "measured.json")
        done = aicore_here(tmp_path, "measure", *FAST, "--at-once", "1", *address)
    data = json.loads((tmp_path / "measured.json").read_text())

    assert done.returncode == 1
    assert "~" in done.stdout
    assert (data["is_reported"], data["tokens_per_s_out"]) == (False, None)


def test_rented_model_is_only_asked_when_money_may_be_spent(
    aicore_here: Run, tmp_path: Path
) -> None:
    address = ("--base-url", "https://models.example.com/v1", "--model", "m")
    done = aicore_here(tmp_path, "measure", *FAST, *address)

    assert done.returncode == 2
    assert "--yes-this-costs-money" in done.stderr


def test_money_may_be_spent_when_said(aicore_here: Run, tmp_path: Path) -> None:
    with server() as fake:
        (tmp_path / "aicore.toml").write_text(
            '[provider]\nkind = "openai-compatible"\nlocality = "managed"\n'
            f'model = "m"\nbase_url = "{fake.base_url}"\n'
        )
        refused = aicore_here(tmp_path, "measure", *FAST, "--at-once", "1")
        asked_before = len(fake.requests)
        aicore_here(tmp_path, "measure", *FAST, "--at-once", "1", "--yes-this-costs-money")
        asked_after = len(fake.requests)

    assert (refused.returncode, asked_before) == (2, 0)
    assert asked_after > 0


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--config", "none.toml"), "none.toml"),
        (("--base-url", "http://127.0.0.1:1/v1"), "--model"),
        (("--out", "nowhere/measured.json"), "nowhere"),
        (("--at-once", "0"), "--at-once"),
        (("--at-once", "1,x"), "--at-once"),
        (("--seconds", "nan"), "--seconds"),
        (("--output-tokens", "1"), "--output-tokens"),
        (("--provider", "other"), "in-process:house"),
    ],
)
def test_what_cannot_be_is_named(
    aicore_here: Run, shop: Path, words: tuple[str, ...], named: str
) -> None:
    done = aicore_here(shop, "measure", *words)

    assert done.returncode == 2
    assert named in done.stderr


def test_one_of_several_providers_is_named(aicore_here: Run, tmp_path: Path) -> None:
    with server() as fake:
        tables = [
            f'[providers.{name}]\nkind = "openai-compatible"\nmodel = "{name}-1"\n'
            f'base_url = "{fake.base_url}"\n'
            for name in ("small", "large")
        ]
        (tmp_path / "aicore.toml").write_text("\n".join(tables))
        unsaid = aicore_here(tmp_path, "measure", *FAST)
        aicore_here(tmp_path, "measure", *FAST, "--at-once", "1", "--provider", "large")
        models = {asked.json["model"] for asked in fake.requests}

    assert unsaid.returncode == 2
    assert "small, large" in unsaid.stderr
    assert models == {"large-1"}


def test_nobody_there_is_one_sentence(aicore_here: Run, tmp_path: Path) -> None:
    address = ("--base-url", f"http://127.0.0.1:{free_port()}/v1", "--model", "m")
    done = aicore_here(tmp_path, "measure", *address, "--out", "measured.json")

    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "measured.json").exists()


def test_interrupted_it_gives_what_was_measured_marked_incomplete(shop: Path) -> None:
    words = ("measure", *FAST, "--at-once", "1,2,4,8,16,32,64", "--out", "measured.json")
    process = subprocess.Popen(
        [sys.executable, "-m", "aicore", *words],
        cwd=shop,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stdout:
            if line.split()[:1] == ["1"]:  # the first level is done
                break
        process.send_signal(signal.SIGINT)
        rest, errors = process.stdout.read(), process.stderr.read()
    data = json.loads((shop / "measured.json").read_text())

    assert process.returncode == 130
    assert errors == ""
    assert "Incomplete" in rest
    assert data["is_complete"] is False
    assert 1 <= len(data["levels"]) < 7
