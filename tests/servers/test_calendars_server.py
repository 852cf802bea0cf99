"""aicore-calendars as a client sees it."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Any

import anyio
import pytest

from aicore_servers._serve import ServeSettings
from aicore_servers._tooling import HONOURS_KEY, Rules
from aicore_servers.calendars import create, server
from aicore_tools.errors import BackendConfigError

Connect = Callable[..., AbstractAsyncContextManager[Any]]
SLOT = {"start": "2090-11-21T15:00:00", "end": "2090-11-21T16:00:00"}
BACKWARDS = {"start": SLOT["end"], "end": SLOT["start"]}
WINDOW = {"start": "2090-11-01", "end": "2090-11-30"}
CUT = {"title": "Cut"}


async def test_the_tools_are_the_promised_ones(
    in_process: Connect, matches_snapshot: Callable[..., None]
) -> None:
    async with in_process(create) as desk:
        tools = (await desk.client.list_tools()).tools
        matches_snapshot("calendars", tools)
        hints = {tool.name: tool.annotations for tool in tools}
        for name in ("calendar_free", "calendar_events", "calendar_calendars"):
            assert hints[name].read_only_hint is True
        for name in ("calendar_create", "calendar_update", "calendar_respond"):
            assert (hints[name].read_only_hint, hints[name].destructive_hint) == (False, False)
        assert hints["calendar_cancel"].destructive_hint is True
        honouring = {tool.name for tool in tools if HONOURS_KEY in (tool.meta or {})}
        assert honouring == {
            "calendar_create",
            "calendar_update",
            "calendar_cancel",
            "calendar_respond",
        }
        assert desk.client.instructions


async def test_a_visit_is_offered_booked_moved_and_cancelled(over_the_wire: Connect) -> None:
    async with over_the_wire("calendars") as desk:
        now = (await desk("calendar_calendars"))["now"]
        start = (datetime.fromisoformat(now) + timedelta(days=1)).isoformat()
        end = (datetime.fromisoformat(now) + timedelta(days=9)).isoformat()
        offered = await desk("calendar_free", start=start, end=end, minutes=60)
        assert (offered["tz"], len(offered["slots"])) == ("UTC", 5)
        assert offered["truncated"] is True

        slot = offered["slots"][0]
        given = {"title": "Haircut", "on_clash": "reject", **slot}
        booked = await desk("calendar_create", key="k1", **given)
        event = booked["event"]
        assert (event["title"], event["start"], event["end"], event["tz"], event["status"]) == (
            "Haircut",
            slot["start"],
            slot["end"],
            "UTC",
            "confirmed",
        )
        assert booked["clashes"] == []
        again = await desk("calendar_create", key="k1", **given)
        assert (again["event"], again["replayed"]) == (event, True)

        left = await desk("calendar_free", start=start, end=end, minutes=60)
        assert slot not in left["slots"]
        taken = await desk("calendar_create", key="k2", **given)
        assert (taken.is_error, taken["code"], taken["outcome"], taken["retryable"]) == (
            True,
            "slot_taken",
            "none",
            False,
        )
        assert left["slots"][0]["start"] in taken["hint"]

        new_start = left["slots"][1]["start"]
        moved = await desk("calendar_update", key="k3", id=event["id"], set={"start": new_start})
        assert moved["event"]["start"] == new_start
        listed = await desk("calendar_events", start=start, end=end)
        assert [row["start"] for row in listed["events"]] == [new_start]
        asked = await desk("calendar_cancel", key="k4", id=event["id"])
        assert asked["plan"]["event"]["start"] == new_start
        assert (await desk("calendar_events", start=start, end=end))["events"] != []
        gone = await desk("calendar_cancel", key="k4", id=event["id"], confirm=asked["confirm"])
        assert gone["event"]["status"] == "cancelled"
        assert (await desk("calendar_events", start=start, end=end))["events"] == []


async def test_times_are_shown_in_the_zone_they_belong_to(in_process: Connect) -> None:
    async with in_process(create, time_zone="Europe/Berlin") as desk:
        free = await desk("calendar_free", start="2090-03-27", end="2090-03-27", limit=1)
        assert free.body == {
            "slots": [{"start": "2090-03-27T09:00:00+02:00", "end": "2090-03-27T09:30:00+02:00"}],
            "tz": "Europe/Berlin",
            "truncated": True,
        }
        booked = await desk("calendar_create", title="Call", tz="America/New_York", **SLOT)
        assert booked["event"]["start"] == "2090-11-21T15:00:00-05:00"
        assert booked["operation_key"].startswith("none")
        days = await desk("calendar_create", title="Fair", start="2090-03-25", end="2090-03-26")
        assert (days["event"]["start"], days["event"]["end"]) == ("2090-03-25", "2090-03-26")


async def test_a_full_window_answers_with_the_next_free_times(in_process: Connect) -> None:
    async with in_process(create, time_zone="Europe/Berlin") as desk:
        free = await desk("calendar_free", start="2090-11-25", end="2090-11-26")
        assert (free["slots"], "truncated" in free.body) == ([], False)
        assert [slot["start"] for slot in free["next_free"]] == [
            "2090-11-27T09:00:00+01:00",
            "2090-11-27T09:30:00+01:00",
            "2090-11-27T10:00:00+01:00",
        ]


async def test_the_business_says_when_it_is_open_and_whose_calendars_there_are(
    in_process: Connect,
) -> None:
    options = {"hours": "Sat 10:00-11:00", "calendars": "front desk, Anna"}
    async with in_process(create, options=options) as desk:
        free = await desk("calendar_free", start="2090-11-20", end="2090-11-30", who=["anna"])
        starts = [slot["start"][:16] for slot in free["slots"]]
        assert starts[:2] == ["2090-11-25T10:00", "2090-11-25T10:30"]
        calendars = (await desk("calendar_calendars"))["calendars"]
        assert [(row["id"], row["default"]) for row in calendars] == [
            ("front desk", True),
            ("Anna", False),
        ]


async def test_one_event_is_read_whole_and_many_brief(in_process: Connect) -> None:
    async with in_process(create) as desk:
        booked = await desk(
            "calendar_create",
            title="Visit",
            attendees=["ann@example.com"],
            description="bring papers",
            reminders=[30],
            repeat="FREQ=DAILY;COUNT=3",
            notify="all",
            **SLOT,
        )
        assert "Nobody is notified" in booked["warnings"][-1]
        assert booked["event"]["repeat"] == "FREQ=DAILY;COUNT=3"
        window = {"start": "2090-11-01", "end": "2090-11-30"}
        page = await desk("calendar_events", limit=2, **window)
        assert set(page["events"][0]) == {"id", "title", "start", "end", "calendar"}
        assert page["truncated"] is True
        rest = await desk("calendar_events", cursor=page["next_cursor"], **window)
        assert (len(rest["events"]), "next_cursor" in rest.body) == (1, False)
        full = await desk("calendar_events", detail="full", **window)
        assert full["events"][0]["description"] == "bring papers"
        one = await desk("calendar_events", id=full["events"][0]["id"])
        assert one["events"] == [full["events"][0]]


async def test_a_dry_run_shows_the_plan_and_does_nothing(in_process: Connect) -> None:
    options = {"address": "office@shop.example"}
    async with in_process(create, options=options) as desk:
        people = ["Ann Lee <ann@example.com>", "office@shop.example"]
        given = {"title": "Visit", "attendees": people, "notify": "all", **SLOT}
        dry = await desk("calendar_create", dry_run=True, **given)
        assert dry["dry_run"] is True
        assert dry["plan"]["event"]["attendees"][0] == {
            "address": "ann@example.com",
            "name": "Ann Lee",
            "response": "needs_action",
        }
        assert len(dry["plan"]["warnings"]) == 1  # nobody is told
        assert (await desk("calendar_events", start="2090-11-01", end="2090-11-30"))["events"] == []

        booked = await desk("calendar_create", **given)
        again = await desk("calendar_create", dry_run=True, title="Cut", **SLOT)
        assert [row["id"] for row in again["plan"]["clashes"]] == [booked["event"]["id"]]
        change = {"id": booked["event"]["id"], "set": {"title": "Cut", "location": "Room 1"}}
        moved = await desk("calendar_update", dry_run=True, **change)
        assert moved["plan"]["changes"] == {
            "title": {"from": "Visit", "to": "Cut"},
            "location": {"from": "", "to": "Room 1"},
        }
        answer = {"id": booked["event"]["id"], "response": "tentative"}
        answered = await desk("calendar_respond", dry_run=True, **answer)
        assert answered["plan"]["response"] == "tentative"
        gone = await desk("calendar_cancel", dry_run=True, id=booked["event"]["id"])
        assert gone["plan"]["event"]["attendees"] == booked["event"]["attendees"]
        now = await desk("calendar_events", id=booked["event"]["id"])
        assert now["events"] == [booked["event"]]


async def test_a_cancellation_is_confirmed_as_it_was_shown(in_process: Connect) -> None:
    async with in_process(create) as desk:
        event = (await desk("calendar_create", title="Visit", **SLOT))["event"]
        asked = await desk("calendar_cancel", id=event["id"])
        assert asked["needs_confirmation"] is True
        await desk("calendar_update", id=event["id"], set={"title": "Other"})
        token = asked["confirm"]
        stale = await desk("calendar_cancel", id=event["id"], confirm=token)
        assert (stale.is_error, stale["code"], stale["outcome"]) == (
            True,
            "confirm_mismatch",
            "none",
        )
        asked = await desk("calendar_cancel", id=event["id"])
        gone = await desk("calendar_cancel", id=event["id"], confirm=asked["confirm"])
        assert gone["event"]["status"] == "cancelled"


async def test_a_plan_says_that_the_message_is_not_sent(in_process: Connect) -> None:
    async with in_process(create) as desk:
        event = (await desk("calendar_create", title="Visit", **SLOT))["event"]["id"]
        given = {"id": event, "message": "We are ill."}
        silent = await desk("calendar_cancel", id=event)
        assert "warnings" not in silent["plan"]
        asked = await desk("calendar_cancel", **given)
        assert len(asked["plan"]["warnings"]) == 1
        gone = await desk("calendar_cancel", confirm=asked["confirm"], **given)
        assert gone["warnings"] == asked["plan"]["warnings"]


async def test_a_plan_says_that_there_is_nothing_to_cancel(in_process: Connect) -> None:
    async with in_process(create, rules=Rules(confirm="never")) as desk:
        given = {"title": "Visit", "attendees": ["ann@example.com"], **SLOT}
        event = (await desk("calendar_create", **given))["event"]["id"]
        first = await desk("calendar_cancel", id=event, dry_run=True)
        assert "already_cancelled" not in first["plan"]
        await desk("calendar_cancel", key="k1", id=event)
        again = await desk("calendar_cancel", id=event, message="Sorry", dry_run=True)
        assert (again["plan"]["already_cancelled"], again["plan"]["told"]) == (True, [])
        assert "message" not in again["plan"]
        assert len(again["plan"]["warnings"]) == 1
        gone = await desk("calendar_cancel", key="k2", id=event, message="Sorry")
        assert gone["warnings"] == again["plan"]["warnings"]
        assert (gone["event"]["status"], "told" in gone.body) == ("cancelled", False)


async def test_an_invitation_is_answered(in_process: Connect) -> None:
    options = {"address": "office@shop.example"}
    async with in_process(create, options=options) as desk:
        people = ["ann@example.com", "Office@shop.example"]
        event = (await desk("calendar_create", title="Visit", attendees=people, **SLOT))["event"]
        for replayed in (False, True):
            answered = await desk(
                "calendar_respond", key="k", id=event["id"], response="accepted", comment="Gladly"
            )
            assert answered.body.get("replayed", False) is replayed
            assert answered["event"]["attendees"][1] == {
                "address": "Office@shop.example",
                "response": "accepted",
                "self": True,
            }
            assert answered["warnings"]  # nobody heard the comment


async def test_a_profile_of_reading_has_no_effects(in_process: Connect) -> None:
    async with in_process(create, rules=Rules(profile="read")) as desk:
        names = {tool.name for tool in (await desk.client.list_tools()).tools}
        assert names == {"calendar_calendars", "calendar_events", "calendar_free"}


async def test_only_allowed_people_are_invited(in_process: Connect) -> None:
    async with in_process(create, options={"invitees": "*@shop.example"}) as desk:
        given = {"title": "Visit", **SLOT}
        refused = await desk("calendar_create", attendees=["eve@example.com"], **given)
        assert (refused["code"], refused["outcome"]) == ("recipient_not_allowed", "none")
        booked = await desk("calendar_create", attendees=["ann@shop.example"], **given)
        assert not booked.is_error
    async with in_process(create, options={"invitees": ""}) as desk:
        nobody = await desk("calendar_create", attendees=["ann@shop.example"], **given)
        assert nobody["code"] == "recipient_not_allowed"


async def test_of_two_clients_at_once_one_gets_the_slot(in_process: Connect) -> None:
    answers = []
    async with in_process(create) as desk:

        async def attempt(number: int) -> None:
            answers.append(
                await desk(
                    "calendar_create", key=f"k{number}", title="Cut", on_clash="reject", **SLOT
                )
            )

        with anyio.fail_after(5):
            async with anyio.create_task_group() as group:
                for number in range(5):
                    group.start_soon(attempt, number)
    assert sorted(answer.is_error for answer in answers) == [False] + [True] * 4


async def test_errors_have_one_shape(in_process: Connect) -> None:
    async with in_process(create) as desk:
        event = (await desk("calendar_create", key="used", title="x", **SLOT))["event"]["id"]
        await desk("calendar_create", title="x", **SLOT)
        cursor = (await desk("calendar_events", limit=1, **WINDOW))["next_cursor"]
        cases: list[tuple[str, str, dict[str, Any]]] = [
            ("invalid_input", "calendar_free", {"start": "2090-01-01"}),
            ("invalid_input", "calendar_free", {"start": "soon", "end": "later"}),
            ("invalid_input", "calendar_free", {**SLOT, "limit": 21}),
            ("invalid_input", "calendar_free", {**SLOT, "weekday": 1}),
            ("not_found", "calendar_free", {**SLOT, "who": ["nobody"]}),
            ("not_found", "calendar_events", {"id": "ev0"}),
            ("invalid_input", "calendar_events", {"cursor": "x"}),
            ("invalid_input", "calendar_events", {"limit": 251}),
            ("invalid_input", "calendar_create", {"title": "x", **SLOT, "on_clash": "maybe"}),
            ("invalid_input", "calendar_create", {"title": "x", **SLOT, "video": True}),
            ("invalid_input", "calendar_create", {"title": "x", **SLOT, "tz": "Mars/Olympus"}),
            ("invalid_input", "calendar_create", {"title": "x", **SLOT, "repeat": "FREQ=OFTEN"}),
            ("invalid_input", "calendar_create", {"title": "x", **BACKWARDS}),
            ("invalid_input", "calendar_create", {"title": "x\r\ny", **SLOT}),
            ("invalid_input", "calendar_create", {"title": "x", **SLOT, "location": "y\nz"}),
            ("invalid_input", "calendar_update", {"id": event, "set": {"title": "x\ry"}}),
            ("invalid_input", "calendar_update", {"id": event, "set": {"location": "y\nz"}}),
            ("invalid_input", "calendar_create", {"title": "x", **SLOT, "attendees": ["a\nb@c.d"]}),
            ("invalid_input", "calendar_create", {"title": "x", **SLOT, "attendees": ["Bob"]}),
            ("not_found", "calendar_create", {"title": "x", **SLOT, "calendar": "bob"}),
            ("invalid_input", "calendar_events", {**WINDOW, "cursor": cursor, "query": "y"}),
            ("changed_meanwhile", "calendar_update", {"id": event, "set": CUT, "etag": "9"}),
            ("invalid_input", "calendar_update", {"id": event, "set": {"end": "2090-11-20"}}),
            ("invalid_input", "calendar_update", {"id": event, "set": {"repeat": "FREQ=OFTEN"}}),
            ("operation_key_reused", "calendar_create", {"title": "y", **SLOT}),
            ("not_found", "calendar_update", {"id": "ev0", "set": {"title": "x"}}),
            ("not_found", "calendar_cancel", {"id": "ev0"}),
            ("not_found", "calendar_respond", {"id": "ev0", "response": "accepted"}),
            ("invalid_input", "calendar_respond", {"id": "ev0", "response": "maybe"}),
            ("unknown_tool", "calendar_delete", {}),
        ]
        for code, tool, arguments in cases:
            key = "used" if code == "operation_key_reused" else None
            answer = await desk(tool, key=key, **arguments)
            assert answer.is_error, (tool, arguments)
            assert answer["code"] == code, (tool, arguments, answer.body)
            assert (answer["retryable"], answer["outcome"]) == (False, "none")
            assert answer["message"]
        assert len((await desk("calendar_events", **WINDOW))["events"]) == 2


@pytest.mark.parametrize(
    "option",
    [
        ["--hours", "late"],
        ["--hours", ""],
        ["--calendars", "a,"],
        ["--calendars", "a,A"],
        ["--invitees", "nonsense"],
        ["--invitees", "*@example.com,ann@"],
        ["--invitees", "*example.com"],
    ],
)
def test_an_option_that_cannot_be_is_refused(option: list[str]) -> None:
    with pytest.raises(BackendConfigError) as refused:
        server(*option)
    assert option[0] in refused.value.message
    assert option[0] == "--calendars" or refused.value.hint


def test_the_settings_have_defaults() -> None:
    assert create(ServeSettings()).name == "aicore-calendars"
