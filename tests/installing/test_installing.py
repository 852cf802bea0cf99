"""A client's file: ours goes in and comes out again, and nothing else of it changes."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keyring
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keyring.backends import fail

from aicore_servers.installing.clients import CLIENTS, Place
from aicore_servers.installing.command import NAME, main
from aicore_servers.installing.merging import (
    Document,
    is_ours,
    read_document,
    with_entry,
    without_entry,
)
from aicore_tools.connection_stores import EncryptedFile
from aicore_tools.connections import Connection
from aicore_tools.errors import BackendConfigError

OURS = {"command": "/opt/aicore/bin/aicore-business", "args": ["--data", "/data"]}
OTHERS = {
    "mcpServers": {
        "files": {"command": "npx", "args": ["-y", "files"], "env": {"KEY": 'ä 𝄞 \\ " \u2028'}},
        "remote": {"url": "https://example.com/mcp", "headers": {"a": None}},
    },
    "globalShortcut": "Ctrl+Space",
    "numbers": [1, 1.5, 1e30, -0.0, 12345678901234567890, True, None],
    "": {"deep": [[], {}, [{}]]},
}

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False)
scalars |= st.text(st.characters(codec="utf-8"))
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
finite = values.filter(lambda value: "Infinity" not in json.dumps(value))
foreign = st.dictionaries(st.text().filter(lambda name: name != NAME), finite, max_size=4)
documents = st.dictionaries(st.text(), finite, max_size=4)


@given(documents, foreign, st.sampled_from(["mcpServers", "servers"]))
def test_what_goes_in_comes_out_and_all_else_stays(
    rest: dict[str, Any], servers: dict[str, Any], section: str
) -> None:
    before = {**rest, section: servers} if servers else rest
    if not isinstance(before.get(section, {}), dict) or NAME in before.get(section, {}):
        return
    document = Document(Path("x"), b"{}", before)
    installed = with_entry(document, section, NAME, OURS)
    assert installed[section][NAME] == OURS
    others = {name: value for name, value in installed[section].items() if name != NAME}
    assert others == before.get(section, {})
    again = with_entry(Document(Path("x"), b"{}", installed), section, NAME, OURS)
    assert again == installed
    removed = without_entry(Document(Path("x"), b"{}", installed), section, NAME)
    if before.get(section) == {}:  # that it was there and empty is the one thing nobody can see
        assert removed == {name: value for name, value in before.items() if name != section}
    else:
        assert json.dumps(removed) == json.dumps(before)


@given(documents)
def test_a_file_is_written_as_it_is_read(content: dict[str, Any]) -> None:
    # Not as a fixture: hypothesis runs this often.
    path = Path(os.environ["HOME"]) / "written.json"
    path.write_text(json.dumps({"x": 1}))
    read_document(path).replace(content)
    if content:
        assert json.dumps(read_document(path).content) == json.dumps(content)
    else:
        assert not path.exists()


def installed(path: Path, client: str = "claude", *more: str) -> dict[str, Any]:
    assert main([client, "--path", str(path), "--data", "data", *more]) == 0
    whole: dict[str, Any] = json.loads(path.read_bytes())
    return whole


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_gets_a_program_it_can_start(client: str, tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "config.json"
    whole = installed(path, client, "--tz", "Europe/Berlin", "--servers", "crm")
    entry = whole[CLIENTS[client].section][NAME]
    assert is_ours(entry)
    assert Path(entry["command"]).is_absolute()
    assert (entry.get("type") == "stdio") is CLIENTS[client].needs_type
    assert Path(entry["args"][entry["args"].index("--data") + 1]).is_absolute()
    done = subprocess.run(
        [entry["command"], *entry["args"], "--help"],
        cwd=tmp_path,
        env={"PATH": "", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "aicore-business" in done.stdout
    assert path.stat().st_mode & 0o777 == 0o600


def test_nothing_else_of_the_file_changes(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    before = json.dumps(OTHERS, indent=4, ensure_ascii=False)
    path.write_text(before)
    path.chmod(0o640)
    whole = installed(path)
    assert whole["mcpServers"].pop(NAME)
    assert json.dumps(whole) == json.dumps(OTHERS)
    assert path.stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "config.json.bak").read_text() == before
    assert main(["claude", "--path", str(path), "--remove"]) == 0
    assert path.read_text() == before


def test_installing_again_changes_the_entry_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    installed(path)
    first = path.stat().st_mtime_ns, path.read_bytes()
    installed(path)
    assert (path.stat().st_mtime_ns, path.read_bytes()) == first
    assert not (tmp_path / "config.json.bak").exists()
    whole = installed(path, "claude", "--profile", "read")
    assert "--profile" in whole["mcpServers"][NAME]["args"]
    assert list(whole["mcpServers"]) == [NAME]


def test_what_was_added_to_our_entry_stays_until_it_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AICORE_SECRETS", str(tmp_path / "secrets"))
    path = tmp_path / "config.json"
    whole = installed(path)
    whole["mcpServers"][NAME]["env"]["AICORE_SECRETS_PASSPHRASE"] = "mine"
    whole["mcpServers"][NAME]["autoApprove"] = ["crm_search"]
    path.write_text(json.dumps(whole))
    monkeypatch.setenv("AICORE_SECRETS", str(tmp_path / "moved"))
    entry = installed(path, "claude", "--profile", "read")["mcpServers"][NAME]
    assert entry["env"] == {
        "AICORE_SECRETS": str(tmp_path / "moved"),
        "AICORE_SECRETS_PASSPHRASE": "mine",
    }
    assert entry["autoApprove"] == ["crm_search"]
    assert entry["args"][-1] == "read"
    monkeypatch.delenv("AICORE_SECRETS")
    monkeypatch.delenv("XDG_CONFIG_HOME")
    assert installed(path)["mcpServers"][NAME]["env"] == entry["env"]
    assert main(["claude", "--path", str(path), "--remove"]) == 0
    assert not path.exists()


def test_the_first_copy_stays(tmp_path: Path) -> None:
    path, copy = tmp_path / "config.json", tmp_path / "config.json.bak"
    path.write_text(json.dumps(OTHERS))
    installed(path)
    assert json.loads(copy.read_text()) == OTHERS
    installed(path, "claude", "--profile", "read")
    assert json.loads(copy.read_text()) == OTHERS
    copy.write_text("somebody's own")
    assert main(["claude", "--path", str(path), "--remove"]) == 0
    assert copy.read_text() == "somebody's own"


def test_a_file_that_only_had_ours_is_gone_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    installed(path)
    assert main(["claude", "--path", str(path), "--remove"]) == 0
    assert not path.exists()
    assert main(["claude", "--path", str(path), "--remove"]) == 0


@pytest.mark.parametrize(
    "text",
    [
        '{"mcpServers": {} // mine\n}',
        '{"mcpServers": {},}',
        '{"a": 1, "a": 2}',
        '{"a": NaN}',
        '{"a": 1e999}',
        "[]",
        '"text"',
        '{"mcpServers": []}',
        '{"mcpServers": {"aicore": {"command": "npx", "args": ["other"]}}}',
        '{"mcpServers": {"aicore": "text"}}',
        '{"a": "\ud800"}',
        "[" * 100_000,
    ],
)
def test_a_file_that_cannot_be_kept_is_refused_and_left(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "config.json"
    path.write_text(text, errors="surrogatepass")
    before = path.read_bytes()
    for words in (["--data", "d"], ["--remove"]):
        code = main(["claude", "--path", str(path), *words])
        said = capsys.readouterr()
        if code == 2:
            (line,) = said.err.splitlines()
            assert "config.json" in line
        else:  # nothing of ours in it: nothing to take out
            assert words == ["--remove"]
        assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["config.json"]


def test_a_byte_order_mark_and_an_empty_file_are_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(OTHERS).encode())
    assert set(installed(path)["mcpServers"]) == {"files", "remote", NAME}
    path.write_text(" \n")
    assert list(installed(path)) == ["mcpServers"]


def test_half_a_surrogate_pair_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"a": "\\ud800"}')
    assert installed(path)["a"] == "\ud800"


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    real, link = tmp_path / "dotfiles.json", tmp_path / "config.json"
    real.write_text(json.dumps(OTHERS))
    link.symlink_to(real)
    installed(link)
    assert link.is_symlink()
    assert NAME in json.loads(real.read_text())["mcpServers"]


def test_tabs_stay_tabs(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(OTHERS, indent="\t"))
    installed(path)
    assert '\n\t"mcpServers"' in path.read_text()
    assert not path.read_text().endswith("\n")


def test_a_file_that_changes_meanwhile_is_left(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text("{}")
    document = read_document(path)
    path.write_text('{"new": 1}')
    with pytest.raises(BackendConfigError):
        document.replace({"mcpServers": {NAME: OURS}})
    assert path.read_text() == '{"new": 1}'


@pytest.mark.parametrize(
    ("words", "word"),
    [
        (["--tz", "Mars/Olympus"], "Mars/Olympus"),
        (["--servers", "crm,post"], "post"),
        (["--backend", "crm"], "crm=hubspot"),
        (["--backend", "crm=hubspott"], "hubspott"),
        (["--backend", "post=x"], "post-backend"),
        (["--account", "../x"], "../x"),
        (["--", "--mail-address", "nobody"], "nobody"),
        (["--", "--nonsense"], "--nonsense"),
        (["--data", ""], "--data"),
    ],
)
def test_what_the_program_would_refuse_is_not_written(
    words: list[str], word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "config.json"
    assert main(["cursor", "--path", str(path), "--data", str(tmp_path), *words]) == 2
    assert word in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_connection_that_is_not_there_yet_is_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(keyring, "get_keyring", fail.Keyring)
    monkeypatch.setenv("AICORE_SECRETS", str(tmp_path / "secrets"))
    monkeypatch.setenv("AICORE_STRIPE_API_KEY", "of this shell alone")
    words = ["--backend", "payments=stripe", "--account", "nope"]
    installed(tmp_path / "config.json", "claude", *words)
    command = "aicore connect stripe --account nope"
    assert command in capsys.readouterr().out
    file = EncryptedFile(tmp_path / "secrets")
    file.save(Connection(vendor="stripe", account="nope", fields={"api_key": "k"}))
    installed(tmp_path / "config.json", "claude", *words)
    assert command not in capsys.readouterr().out
    (tmp_path / "secrets" / "connections.key").unlink()
    (tmp_path / "other.json").write_text("{}")
    installed(tmp_path / "other.json", "claude", *words)
    assert "connections.key" in capsys.readouterr().out


def test_print_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "config.json"
    more = ["--backend", "crm=local", "--", "--mail-address", "office@lakeside.example"]
    assert main(["vscode", "--path", str(path), "--data", str(tmp_path), "--print", *more]) == 0
    entry = json.loads(capsys.readouterr().out)["servers"][NAME]
    assert entry["args"][-4:] == ["--crm-backend", "local", *more[-2:]]
    assert not path.exists()


def test_where_secrets_are_is_told_and_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AICORE_SECRETS", str(tmp_path / "secrets"))
    monkeypatch.setenv("AICORE_SECRETS_PASSPHRASE", "correct horse")
    monkeypatch.setenv("AICORE_STRIPE_API_KEY", "rk_live")
    path = tmp_path / "config.json"
    entry = installed(path)["mcpServers"][NAME]
    assert entry["env"] == {"AICORE_SECRETS": str(tmp_path / "secrets")}
    assert "horse" not in path.read_text()
    assert "AICORE_SECRETS_PASSPHRASE" in capsys.readouterr().out


HOME = Path("/h")


@pytest.mark.parametrize(
    ("client", "platform", "expected"),
    [
        ("claude", "darwin", "/h/Library/Application Support/Claude/claude_desktop_config.json"),
        ("claude", "linux", "/h/.config/Claude/claude_desktop_config.json"),
        ("claude", "win32", "/roaming/Claude/claude_desktop_config.json"),
        ("claude-code", "linux", "/here/.mcp.json"),
        ("cursor", "darwin", "/h/.cursor/mcp.json"),
        ("vscode", "darwin", "/h/Library/Application Support/Code/User/mcp.json"),
        ("vscode", "linux", "/h/.config/Code/User/mcp.json"),
        ("vscode", "win32", "/roaming/Code/User/mcp.json"),
    ],
)
def test_each_client_has_its_place(client: str, platform: str, expected: str) -> None:
    environment: Mapping[str, str] = {"APPDATA": "/roaming"} if platform == "win32" else {}
    place = Place(platform=platform, home=HOME, folder=Path("/here"), environment=environment)
    assert CLIENTS[client].path(place).as_posix() == expected


def test_claude_from_the_windows_store_has_a_place_of_its_own(tmp_path: Path) -> None:
    own = tmp_path / "Packages/Claude_pzs8sxrjxfjjc/LocalCache/Roaming/Claude"
    own.mkdir(parents=True)
    environment = {"APPDATA": str(tmp_path / "Roaming"), "LOCALAPPDATA": str(tmp_path)}
    place = Place(platform="win32", home=HOME, folder=HOME, environment=environment)
    assert CLIENTS["claude"].path(place).parent == own


def test_ours_is_told_from_others() -> None:
    assert is_ours({"command": "C:\\aicore\\Scripts\\aicore-business.exe", "args": []})
    assert is_ours({"command": sys.executable, "args": ["-m", "aicore_servers.business"]})
    for other in ({"command": "npx", "args": ["aicore-business"]}, {"url": "x"}, "text", None):
        assert not is_ours(other)
