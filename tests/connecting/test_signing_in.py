"""Consent in a browser: the redirect is ours or it is nobody's, and the scopes are the least."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import httpx2
import pytest

from aicore_servers._tooling import PROFILES
from aicore_servers.connecting.asking import Asked, Person, from_file, printable
from aicore_servers.connecting.google_signin import asked_google, google_fields, google_scopes
from aicore_servers.connecting.hubspot_signin import hubspot_fields, hubspot_scopes
from aicore_servers.connecting.loopback import Redirect
from aicore_servers.sandbox._running import running_app
from aicore_tools.errors import BackendConfigError

BOTH = ("mail", "calendars")


@contextmanager
def browser(*visits: Callable[[str], Any]) -> Iterator[Callable[[str], None]]:
    """A person's browser, in a thread of its own: it makes the visits to the page it is shown."""
    threads: list[threading.Thread] = []

    def run(url: str) -> None:
        for visit in visits:
            visit(url)

    def show(url: str) -> None:
        threads.append(threading.Thread(target=run, args=(url,)))
        threads[-1].start()

    yield show
    for thread in threads:
        thread.join(timeout=20)
        assert not thread.is_alive()


def consent(url: str) -> None:
    answer = httpx2.get(url, follow_redirects=True, timeout=10)
    assert answer.status_code == 200
    assert "close this page" in answer.text


def query(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def back(**given: str) -> Callable[[str], None]:
    """Go to the redirect address with these parameters, `{state}` being the right one."""

    def go(url: str) -> None:
        asked = query(url)
        answers = {name: value.format(state=asked["state"]) for name, value in given.items()}
        httpx2.get(asked["redirect_uri"], params=answers, timeout=10)

    return go


def scopes_of(document: str) -> dict[str, set[str]]:
    """Give the scopes of each method, any of which suffices, from Google's own description."""
    folder = files("googleapiclient") / "discovery_cache" / "documents"
    found: dict[str, set[str]] = {}

    def walk(resource: dict[str, Any]) -> None:
        for method in resource.get("methods", {}).values():
            found[method["id"]] = set(method.get("scopes", ()))
        for inner in resource.get("resources", {}).values():
            walk(inner)

    walk(json.loads((folder / document).read_text("utf-8")))
    return found


READS = ("users.messages.list", "users.messages.get", "users.threads.get", "users.labels.list")
READS += ("users.messages.attachments.get", "users.settings.sendAs.list", "users.getProfile")
READS += ("users.drafts.get", "users.drafts.list")
DRAFTS = ("users.drafts.create", "users.drafts.update")
WRITES = ("users.drafts.send", "users.messages.batchModify", "users.messages.trash")
CALENDAR_READS = ("calendarList.list", "events.list", "events.get", "events.instances")
CALENDAR_READS += ("freebusy.query",)
CALENDAR_WRITES = ("events.insert", "events.patch", "events.delete", "events.update")


@pytest.mark.parametrize(
    ("profile", "mail", "calendar"),
    [
        ("read", READS, CALENDAR_READS),
        ("draft", READS + DRAFTS, CALENDAR_READS),
        ("write", READS + DRAFTS + WRITES, CALENDAR_READS + CALENDAR_WRITES),
        ("money", READS + DRAFTS + WRITES, CALENDAR_READS + CALENDAR_WRITES),
    ],
)
def test_the_scopes_allow_what_a_profile_does_and_each_is_needed(
    profile: Any, mail: tuple[str, ...], calendar: tuple[str, ...]
) -> None:
    allowed = scopes_of("gmail.v1.json") | scopes_of("calendar.v3.json")
    methods = [f"gmail.{name}" for name in mail] + [f"calendar.{name}" for name in calendar]
    scopes = set(google_scopes(profile, BOTH))
    assert [name for name in methods if not allowed[name] & scopes] == []
    for scope in scopes:
        fewer = scopes - {scope}
        assert [name for name in methods if not allowed[name] & fewer] != [], scope


@pytest.mark.parametrize("profile", PROFILES)
def test_only_one_of_them_asks_for_nothing_of_the_other(profile: Any) -> None:
    mail, calendars = google_scopes(profile, ["mail"]), google_scopes(profile, ["calendars"])
    assert all("/auth/gmail." in scope for scope in mail)
    assert all("/auth/calendar." in scope for scope in calendars)
    assert mail + calendars == google_scopes(profile, BOTH)


@pytest.fixture
def google(sandbox: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An OAuth client of the sandbox. oauthlib refuses http, also on loopback, without a word."""
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    client = {"client_id": "c", "client_secret": "s"}
    return {**client, "base_url": sandbox("google").url}


def test_google_gives_a_long_lived_connection_after_consent(google: dict[str, str]) -> None:
    seen: list[dict[str, str]] = []
    scopes = google_scopes("draft", BOTH)
    with browser(lambda url: seen.append(query(url)), consent) as show:
        fields = google_fields(google, scopes, show=show)
    assert fields["refresh_token"]
    assert fields["scopes"].split() == scopes
    (asked,) = seen
    assert (asked["access_type"], asked["prompt"]) == ("offline", "consent")
    assert asked["code_challenge_method"] == "S256"
    assert asked["scope"].split() == scopes
    assert urlsplit(asked["redirect_uri"]).hostname == "127.0.0.1"


def test_a_redirect_with_another_state_is_not_taken(google: dict[str, str]) -> None:
    stranger = back(code="4/stolen", state="other")
    none = back(code="4/stolen")
    with browser(stranger, none, consent) as show:
        fields = google_fields(google, google_scopes("read", BOTH), show=show)
    assert fields["refresh_token"]


def test_a_code_that_google_does_not_know_connects_nothing(google: dict[str, str]) -> None:
    with (
        browser(back(code="4/made-up", state="{state}")) as show,
        pytest.raises(BackendConfigError) as refused,
    ):
        google_fields(google, google_scopes("read", BOTH), show=show)
    assert "4/made-up" not in str(refused.value)


def test_refused_consent_connects_nothing(google: dict[str, str]) -> None:
    with (
        browser(back(error="access_denied", state="{state}")) as show,
        pytest.raises(BackendConfigError) as refused,
    ):
        google_fields(google, google_scopes("read", BOTH), show=show)
    assert "access_denied" in refused.value.message


def unticked(url: str) -> None:
    """Consent to less than was asked for."""
    parts = urlsplit(url)
    asked = query(url)
    asked["scope"] = asked["scope"].split()[0]
    consent(f"{parts.scheme}://{parts.netloc}{parts.path}?{httpx2.QueryParams(asked)}")


def test_less_than_was_asked_for_connects_nothing(google: dict[str, str]) -> None:
    with browser(unticked) as show, pytest.raises(BackendConfigError) as refused:
        google_fields(google, google_scopes("write", BOTH), show=show)
    assert refused.value.hint is not None
    assert "--profile" in refused.value.hint


def test_nobody_who_consents_is_not_waited_for_for_ever() -> None:
    with Redirect() as redirect, pytest.raises(BackendConfigError):
        redirect.code("http://127.0.0.1:9/", "state", show=lambda _: None, wait_s=0.05)


@contextmanager
def dripping(url: str) -> Iterator[socket.socket]:
    """A caller that has begun a request and does not end it."""
    with socket.create_connection(("127.0.0.1", urlsplit(url).port or 0), timeout=10) as caller:
        caller.sendall(b"GET / HTTP/1.1\r\nX: ")
        yield caller


def test_a_caller_that_drips_holds_up_neither_consent_nor_the_deadline() -> None:
    with Redirect() as redirect, dripping(redirect.url):
        address = f"http://127.0.0.1:9/?state=right&redirect_uri={quote(redirect.url)}"
        started_s = time.monotonic()
        with pytest.raises(BackendConfigError):
            redirect.code(address, "right", show=lambda _: None, wait_s=0.5)
        with browser(back(code="good", state="{state}")) as show:
            assert redirect.code(address, "right", show=show, wait_s=8) == "good"
        assert time.monotonic() - started_s < 8


def test_a_port_in_use_is_said() -> None:
    with Redirect() as redirect:
        port = urlsplit(redirect.url).port or 0
        with pytest.raises(BackendConfigError) as refused, Redirect(port=port):
            pass
        assert str(port) in refused.value.message


SERVICE_ACCOUNT = {"type": "service_account", "client_email": "x", "private_key": "secret"}


def test_a_service_account_needs_somebody_to_work_for(tmp_path: Path) -> None:
    with pytest.raises(BackendConfigError):
        google_fields(SERVICE_ACCOUNT, ["scope"])
    fields = google_fields({**SERVICE_ACCOUNT, "subject": "office@lakeside.example"}, ["scope"])
    assert fields["subject"] == "office@lakeside.example"
    assert fields["scopes"] == "scope"
    assert json.loads(fields["service_account"])["private_key"] == "secret"
    path = tmp_path / "account.json"
    path.write_text(json.dumps(SERVICE_ACCOUNT))
    asked = asked_google(typed(str(path), "office@lakeside.example"))
    assert google_fields(asked, ["scope"])["subject"] == "office@lakeside.example"


def test_a_file_without_a_client_is_refused() -> None:
    with pytest.raises(BackendConfigError):
        google_fields({"something": "else"}, ["scope"])
    with pytest.raises(BackendConfigError):
        google_fields({"installed": {"client_id": "c"}}, ["scope"])


class HubSpotTokens:
    """HubSpot's token address, and its consent page, as far as a sign-in sees them."""

    def __init__(self) -> None:
        self.forms: list[dict[str, str]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        from starlette.requests import Request
        from starlette.responses import JSONResponse, RedirectResponse, Response

        request = Request(scope, receive)
        answer: Response
        if request.url.path == "/oauth/authorize":
            given = dict(request.query_params)
            answer = RedirectResponse(f"{given['redirect_uri']}?code=good&state={given['state']}")
        else:
            form = {name: str(value) for name, value in (await request.form()).items()}
            self.forms.append(form)
            if form["code"] == "good":
                tokens = {"access_token": "a", "refresh_token": "r", "expires_in": 1800}
                answer = JSONResponse({**tokens, "token_type": "bearer"})
            else:
                answer = JSONResponse({"status": "BAD_AUTH_CODE", "message": "no"}, 400)
        await answer(scope, receive, send)


def test_hubspot_gives_a_refresh_token_after_consent() -> None:
    app = HubSpotTokens()
    with running_app(app) as url, browser(consent) as show:
        given = {"client_id": "c", "client_secret": "s", "base_url": url}
        fields = hubspot_fields(given, "read", show=show, port=0)
    assert fields == {**given, "refresh_token": "r"}
    (form,) = app.forms
    assert form["grant_type"] == "authorization_code"
    assert form["redirect_uri"].startswith("http://localhost:")


def test_hubspot_refuses_a_code() -> None:
    with running_app(HubSpotTokens()) as url, browser(back(code="bad", state="{state}")) as show:
        given = {"client_id": "c", "client_secret": "s", "base_url": url}
        with pytest.raises(BackendConfigError):
            hubspot_fields(given, "read", show=show, port=0)


def test_hubspot_takes_a_token_as_it_is() -> None:
    assert hubspot_fields({"access_token": "pat"}, "read") == {"access_token": "pat"}
    with pytest.raises(BackendConfigError):
        hubspot_fields({"client_id": "c"}, "read")


def test_hubspot_is_asked_for_writing_only_where_it_is_needed() -> None:
    for profile in ("read", "draft"):
        assert not [name for each in hubspot_scopes(profile) for name in each if "write" in name]  # type: ignore[arg-type] # one of the profiles
    assert [name for name in hubspot_scopes("write")[0] if "write" in name]


def typed(*answers: str) -> Person:
    """Somebody who types these answers, unseen or not."""
    left = iter(answers)

    def read(_: str) -> str:
        try:
            return next(left)
        except StopIteration:
            raise EOFError from None

    return Person(read=read, read_secret=read, is_there=lambda: True)


def test_a_question_is_asked_until_it_is_answered() -> None:
    port = Asked(name="port", question="Port", default="993")
    user = Asked(name="user", question="User")
    note = Asked(name="note", question="Note", is_optional=True)
    person = typed("", "", " ann ", "")
    assert person.answers([port, user, note]) == {"port": "993", "user": "ann"}
    with pytest.raises(BackendConfigError):
        person.answer(user)


def test_nobody_at_a_terminal_is_not_asked() -> None:
    with pytest.raises(BackendConfigError) as refused:
        Person(is_there=lambda: False).answer(Asked(name="user", question="User"))
    assert refused.value.hint is not None
    assert "--from-file" in refused.value.hint


@pytest.mark.parametrize("text", ["[", "{", "plain words", "{'a': 'secret'}"])
def test_a_file_that_has_no_fields_is_refused_unquoted(text: str, tmp_path: Path) -> None:
    path = tmp_path / "fields"
    path.write_text(text)
    with pytest.raises(BackendConfigError) as refused:
        from_file(path)
    assert "secret" not in str(refused.value)
    with pytest.raises(BackendConfigError):
        from_file(tmp_path / "gone")


def test_words_from_outside_do_not_steer_the_terminal() -> None:
    assert printable("Ann\x1b[2J\r\u202e Lee") == "Ann\\x1b[2J\\x0d\\x202e Lee"
