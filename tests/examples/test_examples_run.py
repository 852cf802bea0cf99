"""The example bots and the demo run offline, as a new user would start them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from aicore_examples.demo import RECORDED


def run(folder: Path, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=folder,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
    )


@pytest.mark.parametrize("name", ["booking", "lead", "support", "content", "hybrid"])
def test_an_example_keeps_what_it_promises(name: str, tmp_path: Path) -> None:
    done = run(tmp_path, f"aicore_examples.{name}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "checked" in done.stdout
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_the_demo_plays_a_conversation_and_says_where_to_look(tmp_path: Path) -> None:
    done = run(tmp_path, "aicore", "demo")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert all(f"you> {line}" in done.stdout for line in RECORDED)
    for tool in ("calendar_create", "crm_upsert", "mail_send", "payments_link"):
        assert f"> {tool}(" in done.stdout, tool
    assert "  ! " not in done.stdout
    summary = done.stdout.split("What is in the systems now")[1]
    for title in ("appointments", "customers", "mail sent", "payment requests"):
        assert f"{title}: none" not in summary
    for name in ("crm.db", "mail.db", "calendars.db", "payments.db"):
        assert (tmp_path / "aicore-demo" / "data" / name).exists()
    where = done.stdout.split("Where to look")[1]
    assert "memory list --config" in where


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the demo was played."""
    folder = tmp_path_factory.mktemp("first")
    done = run(folder, "aicore", "demo", "--script")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def played(first: Path, tmp_path: Path) -> Path:
    """The same of the test's own."""
    return Path(shutil.copytree(first, tmp_path / "played"))


def test_the_demo_can_be_played_again_beside_the_first(played: Path) -> None:
    done = run(played, "aicore", "demo", "--script")
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(path.name for path in played.iterdir()) == ["aicore-demo", "aicore-demo-2"]


def test_chat_goes_on_in_the_demos_folder(played: Path) -> None:
    config = "aicore-demo/aicore.toml"
    done = run(played, "aicore", "chat", "--config", config, stdin="Do you have parking?\n")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "as configured" in done.stdout
    assert "from:" in done.stdout


def test_doctor_finds_the_demos_folder_in_order(played: Path) -> None:
    done = run(played, "aicore", "doctor", "--config", "aicore-demo/aicore.toml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FAIL" not in done.stdout
    assert done.stdout.count("ok ") >= 7
