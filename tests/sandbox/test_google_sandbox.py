"""What our stand-in for Google does, asked through Google's own client library."""

import base64
import io
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from typing import Any

import google.oauth2.credentials
import httpx2
import pytest
from google.auth.exceptions import RefreshError
from googleapiclient.discovery import build
from googleapiclient.errors import HttpError
from googleapiclient.http import MediaIoBaseUpload

from aicore_servers.sandbox._running import running

OFFICE = "office@lakeside.example"
Service = Callable[..., Any]


@pytest.fixture(scope="module")
def running_url() -> Iterator[str]:
    with running("google") as url:
        yield url


@pytest.fixture
def url(running_url: str) -> Iterator[str]:
    httpx2.post(f"{running_url}/_sandbox/reset", timeout=5)
    yield running_url
    assert httpx2.get(f"{running_url}/_sandbox/state", timeout=5).json()["violations"] == []


@pytest.fixture
def service(url: str) -> Iterator[Service]:
    opened = []

    def make(name: str, account: str = OFFICE) -> Any:
        credentials = google.oauth2.credentials.Credentials(  # type: ignore[no-untyped-call]
            None,
            refresh_token=account,
            token_uri=f"{url}/token",
            client_id="client",
            client_secret="secret",
        )
        version, path = {"gmail": ("v1", "/"), "calendar": ("v3", "/calendar/v3/")}[name]
        made = build(
            name,
            version,
            credentials=credentials,
            static_discovery=True,
            client_options={"api_endpoint": url + path},
        )
        opened.append(made)
        return made.users() if name == "gmail" else made

    yield make
    for each in opened:
        each.close()


def raw(subject: str = "Hello", to: str = "ann@example.com", **headers: str) -> str:
    message = EmailMessage()
    message["To"], message["Subject"] = to, subject
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    message.set_content("Good morning")
    message.add_attachment(b"\x00\xff", maintype="image", subtype="png", filename="plan.png")
    return base64.urlsafe_b64encode(message.as_bytes()).decode()


def draft(gmail: Any, **message: Any) -> dict[str, Any]:
    body = {"message": {"raw": raw(), **message}}
    made: dict[str, Any] = gmail.drafts().create(userId="me", body=body).execute()
    return made


def insert(calendar: Any, **fields: Any) -> dict[str, Any]:
    body = {
        "summary": "Haircut",
        "start": {"dateTime": "2026-03-27T09:00:00+01:00", "timeZone": "Europe/Berlin"},
        "end": {"dateTime": "2026-03-27T10:00:00+01:00", "timeZone": "Europe/Berlin"},
        **fields,
    }
    made: dict[str, Any] = calendar.events().insert(calendarId="primary", body=body).execute()
    return made


def instances(calendar: Any) -> list[dict[str, Any]]:
    listed = calendar.events().list(
        calendarId="primary",
        singleEvents=True,
        orderBy="startTime",
        timeMin="2026-03-01T00:00:00Z",
        timeMax="2026-05-01T00:00:00Z",
    )
    found: list[dict[str, Any]] = listed.execute()["items"]
    return found


def refused(call: Any) -> tuple[int, str]:
    with pytest.raises(HttpError) as error:
        call.execute()
    return error.value.status_code, error.value.error_details[0]["reason"]


def test_a_draft_is_a_one_shot_token(service: Service) -> None:
    gmail = service("gmail")
    made = draft(gmail)
    sent = gmail.drafts().send(userId="me", body={"id": made["id"]}).execute()
    assert sent["labelIds"] == ["SENT"]
    assert sent["id"] != made["message"]["id"]
    again = gmail.drafts().send(userId="me", body={"id": made["id"]})
    assert refused(again) == (404, "notFound")


def test_an_edited_draft_keeps_its_id_and_changes_its_message(service: Service) -> None:
    gmail = service("gmail")
    made = draft(gmail)
    body = {"message": {"raw": raw("Other")}}
    edited = gmail.drafts().update(userId="me", id=made["id"], body=body).execute()
    assert edited["id"] == made["id"]
    assert edited["message"]["id"] != made["message"]["id"]
    assert edited["message"]["threadId"] != made["message"]["threadId"]


def test_a_thread_needs_the_id_the_reference_and_the_subject(service: Service) -> None:
    gmail = service("gmail")
    body = {"raw": raw(Message_ID="<a@example.com>"), "labelIds": ["INBOX"]}
    first = gmail.messages().insert(userId="me", body=body).execute()
    thread = first["threadId"]
    answer = raw("Re: Hello", In_Reply_To="<a@example.com>")
    assert draft(gmail, raw=answer, threadId=thread)["message"]["threadId"] == thread
    other = raw("Something else", In_Reply_To="<a@example.com>")
    assert draft(gmail, raw=other, threadId=thread)["message"]["threadId"] != thread


@pytest.mark.parametrize(
    ("query", "is_found"),
    [
        ("subject:hello", True),
        ("subject:hell", False),
        ("to:ann@example.com has:attachment", True),
        ("-in:sent", False),
        ("is:unread", False),
        ("after:2020/01/01 before:2100/01/01", True),
        ("before:1000", False),
        ('rfc822msgid:"own@lakeside.example"', True),
        ('"good morning" filename:plan', True),
        ("label:work", False),
    ],
)
def test_searching(service: Service, query: str, is_found: bool) -> None:
    gmail = service("gmail")
    made = draft(gmail, raw=raw(Message_ID="<own@lakeside.example>"))
    gmail.drafts().send(userId="me", body={"id": made["id"]}).execute()
    assert ("messages" in gmail.messages().list(userId="me", q=query).execute()) == is_found


def test_labels_and_places(service: Service) -> None:
    gmail = service("gmail")
    body = {"raw": raw(), "labelIds": ["INBOX", "UNREAD"]}
    mail = gmail.messages().insert(userId="me", body=body).execute()["id"]
    shown = {"labelListVisibility": "labelShow", "messageListVisibility": "show"}
    label = gmail.labels().create(userId="me", body={"name": "Work", **shown}).execute()
    again = gmail.labels().create(userId="me", body={"name": "work", **shown})
    assert refused(again)[0] == 409
    change = {"ids": [mail], "addLabelIds": [label["id"]], "removeLabelIds": ["UNREAD"]}
    gmail.messages().batchModify(userId="me", body=change).execute()
    assert gmail.messages().get(userId="me", id=mail).execute()["labelIds"] == ["INBOX", "Label_1"]
    wrong = {"ids": [mail], "addLabelIds": ["SENT"]}
    assert refused(gmail.messages().batchModify(userId="me", body=wrong))[0] == 400
    gmail.messages().trash(userId="me", id=mail).execute()
    assert "messages" not in gmail.messages().list(userId="me").execute()
    gmail.messages().untrash(userId="me", id=mail).execute()
    assert "messages" in gmail.messages().list(userId="me", q="label:work").execute()


def test_forms_fields_and_attachments(service: Service) -> None:
    gmail = service("gmail")
    mail = draft(gmail)["message"]["id"]
    fields = "id,payload(filename,parts(filename,body/attachmentId))"
    shown = gmail.messages().get(userId="me", id=mail, fields=fields).execute()
    assert shown["payload"]["parts"][1]["filename"] == "plan.png"
    assert set(shown) == {"id", "payload"}
    part = shown["payload"]["parts"][1]["body"]["attachmentId"]
    content = gmail.messages().attachments().get(userId="me", messageId=mail, id=part).execute()
    assert base64.urlsafe_b64decode(content["data"]) == b"\x00\xff"
    form = gmail.messages().get(
        userId="me", id=mail, format="metadata", metadataHeaders=["Subject"]
    )
    assert form.execute()["payload"]["headers"] == [{"name": "Subject", "value": "Hello"}]


def test_a_large_message_is_uploaded(service: Service, url: str) -> None:
    gmail = service("gmail")
    media = MediaIoBaseUpload(
        io.BytesIO(base64.urlsafe_b64decode(raw())), mimetype="message/rfc822"
    )
    call = gmail.drafts().create(userId="me", body={"message": {}}, media_body=media)
    call.uri = url + call.uri[call.uri.index("/upload/") :]  # the library keeps its https
    made = call.execute()
    got = gmail.drafts().get(userId="me", id=made["id"], format="raw").execute()
    assert b"plan.png" in base64.urlsafe_b64decode(got["message"]["raw"])


def test_accounts_are_apart(service: Service) -> None:
    mail = draft(service("gmail"))["message"]["id"]
    other = service("gmail", "ann@example.com")
    assert refused(other.messages().get(userId="me", id=mail)) == (404, "notFound")
    event = insert(service("calendar"))["id"]
    theirs = service("calendar", "ann@example.com").events()
    assert refused(theirs.get(calendarId="primary", eventId=event))[0] == 404
    assert refused(theirs.get(calendarId=OFFICE, eventId=event))[0] == 404


def test_an_own_event_id_is_taken_once(service: Service) -> None:
    calendar = service("calendar")
    insert(calendar, id="abcdef")
    body = {
        "id": "abcdef",
        "start": {"date": "2026-03-27"},
        "end": {"date": "2026-03-28"},
    }
    again = calendar.events().insert(calendarId="primary", body=body)
    assert refused(again) == (409, "duplicate")
    calendar.events().delete(calendarId="primary", eventId="abcdef").execute()
    assert refused(calendar.events().insert(calendarId="primary", body=body))[0] == 409
    gone = calendar.events().delete(calendarId="primary", eventId="abcdef")
    assert refused(gone) == (410, "deleted")
    kept = calendar.events().get(calendarId="primary", eventId="abcdef").execute()
    assert kept["status"] == "cancelled"


def test_a_stale_etag_is_refused(service: Service) -> None:
    calendar = service("calendar")
    event = insert(calendar)
    named = {"calendarId": "primary", "eventId": event["id"]}
    first = calendar.events().patch(**named, body={"location": "Room"})
    first.headers["If-Match"] = event["etag"]
    first.execute()
    for late in (
        calendar.events().patch(**named, body={"location": None}),
        calendar.events().delete(**named),
    ):
        late.headers["If-Match"] = event["etag"]
        assert refused(late) == (412, "conditionNotMet")


def test_a_series_keeps_its_time_and_its_exceptions(service: Service) -> None:
    calendar = service("calendar")
    insert(calendar, id="abcdef", recurrence=["RRULE:FREQ=DAILY;COUNT=4"])
    starts = [each["start"]["dateTime"][11:] for each in instances(calendar)]
    assert starts == ["09:00:00+01:00"] * 2 + ["09:00:00+02:00"] * 2
    second, third = (each["id"] for each in instances(calendar)[1:3])
    calendar.events().patch(calendarId="primary", eventId=second, body={"summary": "X"}).execute()
    calendar.events().delete(calendarId="primary", eventId=third).execute()
    assert [each["summary"] for each in instances(calendar)] == ["Haircut", "X", "Haircut"]
    whole = calendar.events().list(calendarId="primary", iCalUID="abcdef@google.com").execute()
    assert [(each["id"], each["status"]) for each in whole["items"]] == [
        ("abcdef", "confirmed"),
        (second, "confirmed"),
        (third, "cancelled"),
    ]
    asked = {"timeMin": "2026-03-01T00:00:00Z", "timeMax": "2026-05-01T00:00:00Z"}
    body = {**asked, "items": [{"id": OFFICE}, {"id": "nobody@example.com"}]}
    busy = calendar.freebusy().query(body=body).execute()["calendars"]
    assert len(busy[OFFICE]["busy"]) == 3
    assert busy["nobody@example.com"]["errors"][0]["reason"] == "notFound"


def test_a_guest_answers_and_the_organizer_sees_it(service: Service, url: str) -> None:
    host, guest = service("calendar"), service("calendar", "ann@example.com")
    guest.calendarList().list().execute()
    people = [{"email": "ann@example.com"}]
    event = insert(host, id="abcdef", attendees=people)
    assert event["attendees"] == [{"email": "ann@example.com", "responseStatus": "needsAction"}]
    named = {"calendarId": "primary", "eventId": "abcdef"}
    mine = guest.events().get(**named).execute()["attendees"]
    assert mine[0]["self"] is True
    answer = {"attendees": [{"email": "ann@example.com", "responseStatus": "accepted"}]}
    guest.events().patch(**named, body=answer, sendUpdates="all").execute()
    seen = host.events().get(**named).execute()["attendees"]
    assert seen[0]["responseStatus"] == "accepted"
    assert refused(guest.events().patch(**named, body={"summary": "Mine"}))[0] == 403
    state = httpx2.get(f"{url}/_sandbox/state", timeout=5).json()
    assert state["calendar"]["notices"][0]["sendUpdates"] == "none"


def test_tokens_are_refreshed_revoked_and_limited(service: Service, url: str) -> None:
    with pytest.raises(RefreshError) as error:
        service("gmail", "revoked").getProfile(userId="me").execute()
    assert error.value.args[1]["error"] == "invalid_grant"
    reader = service("gmail", f"{OFFICE} gmail.readonly")
    assert reader.getProfile(userId="me").execute()["emailAddress"] == OFFICE
    sending = reader.drafts().send(userId="me", body={"id": "r1"})
    assert refused(sending) == (403, "insufficientPermissions")
    httpx2.post(f"{url}/_google/settings", json={"end_tokens": True}, timeout=5)
    reader.getProfile(userId="me").execute()
    state = httpx2.get(f"{url}/_sandbox/state", timeout=5).json()
    assert state["refreshes"] == 3


def test_consent_gives_a_code_that_is_good_once(url: str) -> None:
    back = "http://127.0.0.1:1/back"
    asked = {
        "redirect_uri": back,
        "login_hint": OFFICE,
        "scope": "https://www.googleapis.com/auth/gmail.readonly",
        "access_type": "offline",
        "state": "s",
    }
    answer = httpx2.get(f"{url}/o/oauth2/v2/auth", params=asked, timeout=5)
    given = httpx2.URL(answer.headers["location"]).params
    form = {"grant_type": "authorization_code", "code": given["code"], "redirect_uri": back}
    tokens = httpx2.post(f"{url}/token", data=form, timeout=5).json()
    assert (given["state"], tokens["scope"]) == ("s", asked["scope"])
    assert tokens["refresh_token"].startswith(OFFICE)
    assert httpx2.post(f"{url}/token", data=form, timeout=5).json()["error"] == "invalid_grant"


def test_what_fits_no_schema_of_googles_is_refused_and_counted(running_url: str) -> None:
    httpx2.post(f"{running_url}/_sandbox/reset", timeout=5)
    form = {"grant_type": "refresh_token", "refresh_token": OFFICE}
    token = httpx2.post(f"{running_url}/token", data=form, timeout=5).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    events = f"{running_url}/calendar/v3/calendars/primary/events"
    bodies: list[dict[str, Any]] = [
        {"sumary": "misspelt", "start": {"date": "2026-01-01"}, "end": {"date": "2026-01-02"}},
        {"summary": "no end", "start": {"date": "2026-01-01"}},
        {"start": {"dateTime": "2026-01-01 10:00"}, "end": {"dateTime": "2026-01-01T11:00:00Z"}},
        {"start": {"date": "2026-01-01"}, "end": {"date": "2026-01-02"}, "sequence": "1"},
    ]
    for body in bodies:
        assert httpx2.post(events, json=body, headers=headers, timeout=5).status_code == 400
    wrong = {"maxResult": "5"}
    assert httpx2.get(events, params=wrong, headers=headers, timeout=5).status_code == 400
    state = httpx2.get(f"{running_url}/_sandbox/state", timeout=5).json()
    assert len(state["violations"]) == 5
    assert state["calendar"]["events"] == {}


def test_instances_and_a_whole_update(service: Service) -> None:
    calendar = service("calendar")
    insert(calendar, id="abcdef", recurrence=["RRULE:FREQ=DAILY;COUNT=3"], location="Room")
    second = instances(calendar)[1]["id"]
    calendar.events().delete(calendarId="primary", eventId=second).execute()
    listed = calendar.events().instances(calendarId="primary", eventId="abcdef")
    assert len(listed.execute()["items"]) == 2
    listed = calendar.events().instances(
        calendarId="primary", eventId="abcdef", showDeleted=True, maxResults=2
    )
    page = listed.execute()
    assert [each["status"] for each in page["items"]] == ["confirmed", "cancelled"]
    rest = calendar.events().instances_next(listed, page).execute()
    assert len(rest["items"]) == 1
    times = {
        "start": {"date": "2026-03-27"},
        "end": {"date": "2026-03-28"},
    }
    whole = calendar.events().update(
        calendarId="primary", eventId="abcdef", body={"summary": "Day off", **times}
    )
    updated = whole.execute()
    assert (updated["summary"], "location" in updated, "recurrence" in updated) == (
        "Day off",
        False,
        False,
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": "UPPER"},
        {"id": "abc"},
        {"end": {"dateTime": "2026-03-27T09:00:00+01:00"}},
        {"end": {"date": "2026-03-28"}},
        {"start": {"dateTime": "2026-03-27T09:00:00+01:00", "timeZone": "Mars/Base"}},
        {"recurrence": ["RRULE:FREQ=SOMETIMES"]},
        {"recurrence": ["every day"]},
    ],
)
def test_a_wrong_event_is_refused(service: Service, wrong: dict[str, Any]) -> None:
    calendar = service("calendar")
    body = {
        "start": {"dateTime": "2026-03-27T09:00:00+01:00", "timeZone": "Europe/Berlin"},
        "end": {"dateTime": "2026-03-27T10:00:00+01:00", "timeZone": "Europe/Berlin"},
        **wrong,
    }
    assert refused(calendar.events().insert(calendarId="primary", body=body))[0] == 400


def test_threads_drafts_and_labels_come_and_go(service: Service) -> None:
    gmail = service("gmail")
    made = draft(gmail)
    thread = gmail.threads().list(userId="me", q="in:drafts").execute()["threads"][0]["id"]
    found = gmail.threads().get(userId="me", id=thread, format="minimal").execute()
    assert [each["id"] for each in found["messages"]] == [made["message"]["id"]]
    gmail.drafts().delete(userId="me", id=made["id"]).execute()
    assert refused(gmail.drafts().get(userId="me", id=made["id"]))[0] == 404
    shown = {"labelListVisibility": "labelShow", "messageListVisibility": "show"}
    label = gmail.labels().create(userId="me", body={"name": "Work", **shown}).execute()["id"]
    assert gmail.labels().get(userId="me", id=label).execute()["messagesTotal"] == 0
    gmail.labels().delete(userId="me", id=label).execute()
    assert refused(gmail.labels().get(userId="me", id=label))[0] == 404
    assert refused(gmail.messages().get(userId="me", id="no id")) == (400, "invalidArgument")
