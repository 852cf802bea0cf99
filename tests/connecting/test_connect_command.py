"""`aicore connect`, from the question to what a server finds."""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keyring
import pytest
from keyring.backends import fail

from aicore_servers.connecting.asking import Person
from aicore_servers.connecting.command import main
from aicore_servers.connecting.identity import another, identity_of
from aicore_servers.connecting.proving import Proof
from aicore_servers.connecting.vendors import VENDORS, Wish
from aicore_tools.connection_stores import stored
from aicore_tools.connections import Probe
from aicore_tools.errors import BackendConfigError

PASSWORD = "correct horse"
NewUser = Callable[[], str]


@pytest.fixture(autouse=True)
def secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for the encrypted file, on a machine without a keyring."""
    monkeypatch.setattr(keyring, "get_keyring", fail.Keyring)
    monkeypatch.setenv("AICORE_SECRETS", str(tmp_path / "secrets"))
    return tmp_path / "secrets"


def typed(*answers: str) -> Person:
    """Somebody who types these answers, the secret ones unseen."""
    left = iter(answers)
    return Person(
        read=lambda _: next(left), read_secret=lambda _: next(left), is_there=lambda: True
    )


NOBODY = Person(is_there=lambda: False)


def test_a_calendar_is_connected_proved_found_and_forgotten(
    radicale: str, calendar_user: NewUser, capsys: pytest.CaptureFixture[str], secrets: Path
) -> None:
    user = calendar_user()
    assert main(["caldav"], person=typed(radicale, user, PASSWORD)) == 0
    said = capsys.readouterr().out
    assert user in said
    assert "can: read and write main" in said
    assert str(secrets) in said
    assert "aicore-calendars --backend caldav" in said

    found = stored()("caldav")
    asked = {name: found.need(name) for name in ("url", "user", "password")}
    assert asked == {"url": radicale, "user": user, "password": PASSWORD}
    assert user not in found.need("proved_as")
    assert main(["--list"]) == 0
    assert main(["caldav", "--check"]) == 0
    assert "caldav default" in capsys.readouterr().out

    assert main(["caldav", "--forget"]) == 0
    assert main(["caldav", "--forget"]) == 1
    with pytest.raises(BackendConfigError):
        stored()("caldav")
    assert main(["caldav", "--check"]) == 2
    said = capsys.readouterr()
    assert PASSWORD not in said.out + said.err


GOOGLE = {"client_id": "c", "client_secret": "s"}
WORKING = {
    "stripe": {"api_key": "rk_test_any"},
    "hubspot": {"access_token": "pat"},
    "google": {**GOOGLE, "refresh_token": "office@lakeside.example"},
}
REVOKED = {
    "stripe": {"api_key": "revoked"},
    "hubspot": {"access_token": "revoked"},
    "google": {**GOOGLE, "refresh_token": "revoked"},
}


def given(folder: Path, fields: Mapping[str, str], url: str) -> str:
    path = folder / "fields.json"
    path.write_text(json.dumps({**fields, "base_url": url}))
    return str(path)


@pytest.mark.parametrize("vendor", WORKING)
def test_a_vendor_is_connected_and_a_revoked_credential_is_told(
    vendor: str,
    tmp_path: Path,
    sandbox: Callable[[str], Any],
    capsys: pytest.CaptureFixture[str],
    secrets: Path,
) -> None:
    url = sandbox(vendor).url
    revoked = given(tmp_path, REVOKED[vendor], url)
    assert main([vendor, "--from-file", revoked], person=NOBODY) == 1
    said = capsys.readouterr().out
    assert f"aicore connect {vendor}" in said
    assert not secrets.exists()

    works = given(tmp_path, WORKING[vendor], url)
    assert main([vendor, "--from-file", works], person=NOBODY) == 0
    said = capsys.readouterr().out
    assert "test account" in said
    assert "can: read" in said
    for domain, backend in VENDORS[vendor].backends.items():
        assert f"aicore-{domain} --backend {backend}" in said
    kept = dict(stored()(vendor).fields)
    assert kept.pop("proved_as")
    assert kept == {**WORKING[vendor], "base_url": url}
    assert main([vendor, "--check"]) == 0


@pytest.mark.parametrize("vendor", WORKING)
def test_the_doctor_proves_what_was_connected_until_it_is_revoked(
    vendor: str,
    tmp_path: Path,
    sandbox: Callable[[str], Any],
    aicore_here: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From the command to a server in a program of its own, which the doctor asks."""
    monkeypatch.delenv("AICORE_SECRETS")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / ".config"))
    url = sandbox(vendor).url
    works = given(tmp_path, WORKING[vendor], url)
    assert main([vendor, "--from-file", works], person=NOBODY) == 0
    backends = VENDORS[vendor].backends
    words = [sys.executable, "-m", "aicore_servers.business", "--data", str(tmp_path)]
    words += ["--servers", ",".join(backends)]
    for domain, backend in backends.items():
        words += [f"--{domain}-backend", backend]
    (tmp_path / "aicore.toml").write_text(
        f"[provider]\nkind = 'flows'\nfile = 'desk.yaml'\n[servers.desk]\ncommand = {words}\n"
    )
    (tmp_path / "desk.yaml").write_text(FLOW)
    done = aicore_here(tmp_path, "doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    for domain, backend in backends.items():
        assert f"desk: aicore-{domain} on {backend}: " in done.stdout
    assert done.stdout.count("(test account)") == len(backends)

    revoked = given(tmp_path, REVOKED[vendor], url)
    assert main([vendor, "--from-file", revoked, "--anyway"], person=NOBODY) == 1
    done = aicore_here(tmp_path, "doctor")
    assert done.returncode == 1
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert len(failed) == len(backends)
    assert all(f"aicore connect {vendor}" in line for line in failed)
    assert "Traceback" not in done.stdout + done.stderr


FLOW = """
assistant: Test
zone: Europe/Berlin
region: DE
greeting: Hello.
disclosure: I am a machine.
contact: Call us.
flows:
  - flow: hello
    title: Say hello
    triggers: [hello]
    steps:
      - say: Hello.
"""


def test_a_scope_that_is_missing_is_told(
    tmp_path: Path, sandbox: Callable[[str], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    only_mail = {**GOOGLE, "refresh_token": "office@lakeside.example gmail.readonly"}
    path = given(tmp_path, only_mail, sandbox("google").url)
    assert main(["google", "--from-file", path], person=NOBODY) == 1
    assert "calendars: FAILED" in capsys.readouterr().out
    assert main(["google", "--from-file", path, "--only", "mail"], person=NOBODY) == 0


def test_what_is_for_mail_alone_is_checked_for_mail_alone(
    tmp_path: Path, sandbox: Callable[[str], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    scope = "https://www.googleapis.com/auth/gmail.readonly"
    only_mail = {**GOOGLE, "refresh_token": "office@lakeside.example gmail.readonly"}
    path = given(tmp_path, {**only_mail, "scopes": scope}, sandbox("google").url)
    assert main(["google", "--from-file", path, "--only", "mail"], person=NOBODY) == 0
    capsys.readouterr()
    assert main(["google", "--check"]) == 0
    assert "calendars" not in capsys.readouterr().out


def test_accounts_are_connected_apart(
    radicale: str, calendar_user: NewUser, capsys: pytest.CaptureFixture[str]
) -> None:
    users = {account: calendar_user() for account in ("lakeside", "hillside")}
    for account, user in users.items():
        person = typed(radicale, user, f"{PASSWORD} {account}")
        assert main(["caldav", "--account", account], person=person) == 0
    assert f"--backend caldav --account {account}" in capsys.readouterr().out
    for account, user in users.items():
        found = stored(account)("caldav")
        assert (found.need("user"), found.need("password")) == (user, f"{PASSWORD} {account}")
    assert main(["caldav", "--forget", "--account", "lakeside"]) == 0
    assert stored("hillside")("caldav").need("user") == users["hillside"]
    with pytest.raises(BackendConfigError):
        stored()("caldav")


def test_a_connection_that_does_not_work_is_not_kept(
    capsys: pytest.CaptureFixture[str], secrets: Path
) -> None:
    dead = "http://127.0.0.1:9/"
    assert main(["caldav"], person=typed(dead, "ann", PASSWORD)) == 1
    said = capsys.readouterr().out
    assert "FAILED" in said
    assert "--anyway" in said
    assert not secrets.exists()
    assert main(["caldav", "--anyway"], person=typed(dead, "ann", PASSWORD)) == 1
    assert stored()("caldav").need("password") == PASSWORD
    assert main(["caldav", "--check"]) == 1


def stripe(folder: Path, key: str, url: str, *words: str) -> int:
    path = given(folder, {"api_key": key}, url)
    return main(["stripe", "--from-file", path, *words], person=NOBODY)


def test_a_name_stays_with_the_account_that_has_it(
    tmp_path: Path, sandbox: Callable[[str], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Journals are named by it: of another account nothing in them would be true."""
    url = sandbox("stripe").url
    assert stripe(tmp_path, "rk_test_lakeside", url) == 0
    for other in ("rk_test_hillside", "rk_live_lakeside"):
        capsys.readouterr()
        assert stripe(tmp_path, other, url) == 1
        said = capsys.readouterr().out
        assert "--account" in said
        assert "Kept in" not in said
        assert stored()("stripe").need("api_key") == "rk_test_lakeside"
    assert stripe(tmp_path, "rk_test_hillside", url, "--account", "hillside") == 0
    assert stripe(tmp_path, "sk_test_lakeside", url) == 0  # another key of the same account
    assert stripe(tmp_path, "rk_live_lakeside", url, "--anyway") == 0
    assert "--data" in capsys.readouterr().out
    assert stored()("stripe").need("api_key") == "rk_live_lakeside"
    assert stripe(tmp_path, "rk_test_lakeside", url) == 1


def test_who_an_account_is_stays_known_though_a_key_cannot_tell(
    tmp_path: Path, sandbox: Callable[[str], Any]
) -> None:
    url = sandbox("stripe").url
    assert stripe(tmp_path, "rk_test_lakeside", url) == 0
    assert stripe(tmp_path, "rk_test_lakeside-without-account", url) == 0
    assert stripe(tmp_path, "revoked", url, "--anyway") == 1
    assert stripe(tmp_path, "rk_test_hillside", url) == 1
    assert stripe(tmp_path, "rk_test_lakeside", url) == 0


def test_a_calendar_account_keeps_its_name(radicale: str, calendar_user: NewUser) -> None:
    ann, bob = calendar_user(), calendar_user()
    assert main(["caldav"], person=typed(radicale, ann, PASSWORD)) == 0
    assert main(["caldav"], person=typed(radicale, bob, PASSWORD)) == 1
    assert stored()("caldav").need("user") == ann
    assert main(["caldav"], person=typed(radicale, ann, "a newer one")) == 0
    assert stored()("caldav").need("password") == "a newer one"


@pytest.mark.parametrize(
    ("fields", "probe", "other"),
    [
        ({"user": "Ann@x.example", "imap_host": "imap.x.example"}, "ann (3 in inbox)", False),
        ({"user": "bob@x.example", "imap_host": "imap.x.example"}, "ann (3 in inbox)", True),
        ({"user": "ann@x.example", "imap_host": "imap.y.example"}, "ann (3 in inbox)", True),
    ],
)
def test_a_mail_account_is_known_by_user_and_server(
    fields: dict[str, str], probe: str, other: bool
) -> None:
    def proved(fields: dict[str, str], name: str) -> Mapping[str, str]:
        proof = Proof("mail", "imap", Probe(name=name, can=()))
        return identity_of(VENDORS["imap"], fields, [proof])

    before = proved({"user": "ann@x.example", "imap_host": "imap.x.example"}, "ann (9 in inbox)")
    assert bool(another(before, proved(fields, probe))) is other


def test_one_half_of_google_keeps_what_is_known_of_the_other(
    tmp_path: Path, sandbox: Callable[[str], Any]
) -> None:
    url = sandbox("google").url
    for account, only, code in (
        ("office@lakeside.example", ["--only", "mail"], 0),
        ("office@lakeside.example", ["--only", "calendars"], 0),
        ("anna@hillside.example", ["--only", "mail"], 1),
        ("anna@hillside.example", [], 1),
        ("office@lakeside.example", [], 0),
    ):
        path = given(tmp_path, {**GOOGLE, "refresh_token": account}, url)
        assert main(["google", "--from-file", path, *only], person=NOBODY) == code


def test_a_connection_that_works_stays_when_another_fails(
    radicale: str, calendar_user: NewUser
) -> None:
    user = calendar_user()
    assert main(["caldav"], person=typed(radicale, user, PASSWORD)) == 0
    assert main(["caldav"], person=typed("http://127.0.0.1:9/", user, "other")) == 1
    assert stored()("caldav").need("password") == PASSWORD


def test_scripts_give_files_or_variables(
    radicale: str, calendar_user: NewUser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = calendar_user()
    path = tmp_path / "fields.json"
    path.write_text(json.dumps({"url": radicale, "user": user, "password": PASSWORD}))
    assert main(["caldav", "--from-file", str(path), "--account", "a"], person=NOBODY) == 0
    monkeypatch.setenv("AICORE_CALDAV_URL", radicale)
    monkeypatch.setenv("AICORE_CALDAV_USER", user)
    monkeypatch.setenv("AICORE_CALDAV_PASSWORD", PASSWORD)
    assert main(["caldav", "--from-env", "--account", "b"], person=NOBODY) == 0
    assert dict(stored("a")("caldav").fields) == dict(stored("b")("caldav").fields)


@pytest.mark.parametrize(
    ("words", "word"),
    [
        ([], "--list"),
        (["stripe"], "--from-file"),
        (["stripe", "--from-env"], "AICORE_STRIPE_"),
        (["stripe", "--from-file", "gone"], "gone"),
        (["stripe", "--account", "a/b"], "a/b"),
        (["stripe", "--only", "mail"], "--only"),
        (["imap", "--only", "mail"], "--only"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    words: list[str], word: str, capsys: pytest.CaptureFixture[str], secrets: Path
) -> None:
    assert main(words, person=NOBODY) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert word in line
    assert not secrets.exists()


def test_no_secret_is_taken_from_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    said = capsys.readouterr().out
    assert all(word not in said for word in ("--password", "--key", "--token", "--secret"))


@pytest.mark.parametrize(
    ("vendor", "fields", "word"),
    [
        ("stripe", {}, "api_key"),
        ("stripe", {"api_key": "pk_live_x"}, "publishable"),
        ("imap", {"user": "a", "password": "b"}, "imap_host"),
        ("caldav", {"url": "dav.example"}, "https://"),
        ("caldav", {"url": "ftp://dav.example"}, "https://"),
        ("caldav", {"url": "https://ann:secret@dav.example/"}, "user and password"),
        ("hubspot", {}, "access_token"),
        ("google", {}, "OAuth client"),
    ],
)
def test_fields_that_cannot_be_right_are_refused(
    vendor: str, fields: dict[str, str], word: str
) -> None:
    whole = {"user": "a", "password": PASSWORD, **fields} if vendor == "caldav" else fields
    with pytest.raises(BackendConfigError) as refused:
        VENDORS[vendor].fields(whole, Wish(profile="money", domains=("mail",)))
    said = f"{refused.value} {refused.value.hint}"
    assert word in said
    assert PASSWORD not in said
    assert "secret@" not in said


def test_usual_hosts_and_ports_are_offered() -> None:
    answers = VENDORS["imap"].ask(typed("ann@lakeside.example", PASSWORD, *[""] * 6))
    fields = VENDORS["imap"].fields(answers, Wish(profile="money", domains=("mail",)))
    assert fields["imap_host"] == "imap.lakeside.example"
    assert fields["smtp_host"] == "smtp.lakeside.example"
    assert (fields["imap_port"], fields["smtp_port"]) == ("993", "465")
    assert (fields["imap_tls"], fields["smtp_tls"]) == ("ssl", "ssl")


@pytest.mark.parametrize(
    ("vendor", "fields"),
    [
        ("stripe", {"api_key": "sk_test_x"}),
        ("caldav", {"url": "http://dav.example/", "user": "a", "password": PASSWORD}),
    ],
)
def test_what_is_careless_is_said(
    vendor: str, fields: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    VENDORS[vendor].fields(fields, Wish(profile="money", domains=("mail",)))
    said = capsys.readouterr().out
    assert len(said.splitlines()) == 1
    assert PASSWORD not in said


def test_a_place_that_is_not_asked_is_told(
    radicale: str,
    calendar_user: NewUser,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    user = calendar_user()
    monkeypatch.setenv("AICORE_CALDAV_URL", radicale)
    assert main(["caldav"], person=typed(radicale, user, PASSWORD)) == 0
    assert "not used as long as the environment" in capsys.readouterr().out
    assert main(["--list"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert "environment" in first
    assert "not used" in second
