"""`aicore connect` says what cannot be right at once, and in the next step names the account."""

import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keyring
import pytest
from keyring.backends import fail
from mcp import Client
from mcp.types import TextContent, TextResourceContents

from aicore_servers.connecting.asking import Person
from aicore_servers.connecting.command import main
from aicore_servers.connecting.vendors import VENDORS
from aicore_servers.payments import server as payments
from aicore_tools.connection_stores import EncryptedFile, stored
from aicore_tools.connections import Connection, named_account
from aicore_tools.errors import BackendConfigError

NOBODY = Person(is_there=lambda: False)


@pytest.fixture(autouse=True)
def secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for the encrypted file, on a machine without a keyring."""
    monkeypatch.setattr(keyring, "get_keyring", fail.Keyring)
    monkeypatch.setenv("AICORE_SECRETS", str(tmp_path / "secrets"))
    return tmp_path / "secrets"


def refused(capsys: pytest.CaptureFixture[str], *words: str, person: Person = NOBODY) -> str:
    """Give the one sentence with which the command refuses."""
    assert main(words, person=person) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def from_file(folder: Path, vendor: str, fields: dict[str, Any]) -> list[str]:
    path = folder / "fields.json"
    path.write_text(json.dumps(fields))
    return [vendor, "--from-file", str(path)]


def typed(questions: list[str], *answers: str) -> Person:
    """Somebody who types these answers; notes what was asked."""
    left = iter(answers)

    def read(question: str) -> str:
        questions.append(question)
        return next(left)

    return Person(read=read, read_secret=read, is_there=lambda: True)


AGAIN = "`aicore connect stripe --account rev`"


def test_the_next_step_names_the_account(
    tmp_path: Path, sandbox: Callable[[str], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    fields = {"api_key": "revoked", "base_url": sandbox("stripe").url}
    words = from_file(tmp_path, "stripe", fields)
    assert main([*words, "--account", "rev", "--anyway"], person=NOBODY) == 1
    assert AGAIN in capsys.readouterr().out
    assert main(["stripe", "--account", "rev", "--check"]) == 1
    assert AGAIN in capsys.readouterr().out
    with pytest.raises(BackendConfigError) as missing:
        stored("rev")("stripe").need("other")
    assert AGAIN in str(missing.value.hint)


async def test_a_server_names_the_account_in_its_hints_and_changes_nothing_else(
    tmp_path: Path, sandbox: Callable[[str], Any], secrets: Path
) -> None:
    fields = {"api_key": "revoked", "base_url": sandbox("stripe").url}
    EncryptedFile(secrets).save(Connection(vendor="stripe", account="rev", fields=fields))
    server = payments("--backend", "stripe", "--account", "rev", "--data", str(tmp_path / "data"))
    async with Client(server) as client:
        result = await client.call_tool("payments_search", {"kind": "customer"})
        (block,) = result.content
        assert isinstance(block, TextContent)
        assert result.is_error
        error = json.loads(block.text)
        assert error["code"] == "backend_config"
        assert AGAIN in error["hint"]
        (content,) = (await client.read_resource("aicore://connection")).contents
        assert isinstance(content, TextResourceContents)
        (proof,) = json.loads(content.text)["connections"]
        assert AGAIN in proof["error"]["hint"]


def test_only_commands_without_an_account_are_completed() -> None:
    assert named_account("Run `aicore connect imap` again.", "b") == (
        "Run `aicore connect imap --account b` again."
    )
    for hint in ("Run `aicore connect imap` again.", "See `aicore connect --list`."):
        assert named_account(hint, "default") == hint
    assert named_account(f"Run {AGAIN}.", "b") == f"Run {AGAIN}."


@pytest.mark.parametrize(
    ("vendor", "fields", "word"),
    [
        ("stripe", {"api_key": "rk_test_x", "baseurl": "http://127.0.0.1:9"}, "base_url"),
        ("google", {"client_id": "c", "refreshtoken": "r"}, "refresh_token"),
        ("google", {"installed": {"client_id": "c"}, "base_ur": "x"}, "base_url"),
        ("google", {"type": "service_account", "subjekt": "ann@x.example"}, "subject"),
        ("imap", {"user": "u", "passwort": "p"}, "password"),
        ("imap", {"user": "u", "addresses": ["a@x.example"]}, "addresses"),
        ("caldav", {"user": True}, "user"),
    ],
)
def test_a_field_that_nobody_reads_is_refused(
    vendor: str,
    fields: dict[str, Any],
    word: str,
    tmp_path: Path,
    secrets: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert word in refused(capsys, *from_file(tmp_path, vendor, fields), "--anyway")
    assert not secrets.exists()


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8801", "ftp://x.example", "https://", "http://x.example", "http://[::1"]
)
def test_a_base_url_must_be_an_address_that_keeps_the_key_secret(
    url: str,
    tmp_path: Path,
    secrets: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fields = {"api_key": "rk_test_x", "base_url": url}
    line = refused(capsys, *from_file(tmp_path, "stripe", fields), "--anyway")
    assert "base_url" in line
    assert "rk_test_x" not in line
    assert not secrets.exists()
    for name, value in fields.items():
        monkeypatch.setenv(f"AICORE_STRIPE_{name.upper()}", value)
    with pytest.raises(BackendConfigError):
        stored()("stripe")


@pytest.mark.parametrize("url", ["https://x.example", "http://127.0.0.1:9", "http://localhost:9"])
def test_a_base_url_that_is_one_is_taken(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AICORE_STRIPE_BASE_URL", url)
    assert stored()("stripe").need("base_url") == url


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_library_that_is_missing_is_told_before_anything_is_asked(
    vendor: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, VENDORS[vendor].modules[-1], None)  # type: ignore[arg-type] # as if not installed
    questions: list[str] = []
    line = refused(capsys, vendor, person=typed(questions))
    assert f'pip install ".[{vendor}]"' in line
    assert questions == []


def test_a_place_that_cannot_keep_it_is_told_before_anything_is_asked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)  # type: ignore[arg-type] # as if not installed
    questions: list[str] = []
    assert "[connect]" in refused(capsys, "caldav", person=typed(questions))
    assert questions == []


def test_an_address_that_is_none_is_asked_for_again_at_once() -> None:
    questions: list[str] = []
    person = typed(questions, "dav.example", "https://dav.example/", "ann", "secret")
    answers = VENDORS["caldav"].ask(person)
    assert answers["url"] == "https://dav.example/"
    assert questions[0] == questions[1]


def test_a_port_and_an_encryption_that_are_none_are_asked_for_again_at_once() -> None:
    questions: list[str] = []
    imap, smtp = ["", "nine", "70000", "143", "tls", "starttls"], ["", "", ""]
    answers = VENDORS["imap"].ask(typed(questions, "ann@x.example", "secret", *imap, *smtp))
    assert (answers["imap_port"], answers["imap_tls"]) == ("143", "starttls")
    assert len(questions) == 11


def test_a_port_of_a_file_is_refused_as_well(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fields = {"user": "u", "password": "p", "imap_host": "x", "smtp_host": "x", "imap_port": 0}
    assert "1 to 65535" in refused(capsys, *from_file(tmp_path, "imap", fields))


@pytest.mark.parametrize("pair", [("--list", "--forget"), ("--check", "--forget")])
def test_two_deeds_at_once_are_refused(pair: tuple[str, str], secrets: Path) -> None:
    fields = {"api_key": "rk_test_x"}
    EncryptedFile(secrets).save(Connection(vendor="stripe", fields=fields))
    with pytest.raises(SystemExit) as ended:
        main(["stripe", *pair])
    assert ended.value.code == 2
    assert stored()("stripe").fields == fields


def test_without_a_vendor_all_that_is_kept_is_checked(
    sandbox: Callable[[str], Any], secrets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--check"]) == 0
    assert "Nothing" in capsys.readouterr().out
    url = sandbox("stripe").url
    file = EncryptedFile(secrets)
    for account, key in (("default", "rk_test_any"), ("rev", "revoked")):
        fields = {"api_key": key, "base_url": url}
        file.save(Connection(vendor="stripe", account=account, fields=fields))
    assert main(["--check"]) == 1
    said = capsys.readouterr().out
    assert said.count("FAILED") == 1
    assert AGAIN in said
    assert "stripe default" in said
    assert main(["--check", "--account", "default"]) == 0
    assert "rev" not in capsys.readouterr().out


@pytest.mark.parametrize("vendor", VENDORS)
def test_the_names_of_variables_are_told(vendor: str, capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(capsys, vendor, "--from-env")
    for name in VENDORS[vendor].known:
        assert f"AICORE_{vendor.upper()}_{name.upper()}" in line


@pytest.mark.parametrize("vendor", VENDORS)
def test_the_page_names_every_field(vendor: str, repository: Path) -> None:
    page = (repository / "docs/connecting.md").read_text("utf-8")
    (row,) = [line for line in page.splitlines() if line.startswith(f"| `{vendor}` |")]
    assert all(f"`{name}`" in row for name in VENDORS[vendor].known)


def test_googles_library_writes_nothing_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    logger = logging.getLogger("googleapiclient.http")
    monkeypatch.setattr(logger, "level", logging.NOTSET)
    assert main(["--list"]) == 0
    assert not logger.isEnabledFor(logging.WARNING)
    logger.setLevel(logging.NOTSET)
