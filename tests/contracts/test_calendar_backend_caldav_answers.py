"""A CalDAV server that answers with rubbish: the tools name the refusal, and crash on nothing."""

import json
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from aicore_servers._serve import ServeSettings
from aicore_servers.calendars import create
from aicore_tools.connections import Connection
from aicore_tools.errors import BackendConfigError

SLOT = {"start": "2090-11-21T15:00:00", "end": "2090-11-21T16:00:00"}
ANSWERS = {
    "a place that is no url": "301 Moved\r\nLocation: http://[x/",
    "a place without a host": "301 Moved\r\nLocation: http:///",
    "a place with a bad port": "301 Moved\r\nLocation: http://127.0.0.1:99999/",
    "a place that is no text": "301 Moved\r\nLocation: \xff\x00",
    "no place": "301 Moved",
    "a pause of no length": "503 Busy\r\nRetry-After: 0",
    "a coding that is none": "207 Multi-Status\r\nContent-Encoding: gzip",
    "a status that is none": "999 What",
    "a status of letters": "abc Oh",
    "a length of letters": "207 Multi-Status\r\nContent-Length: many",
    "less than was said": "207 Multi-Status\r\nContent-Length: 900",
    "no login": "401 Unauthorized",
}
PLACES = ("http://[x/", "http://127.0.0.1:99999/", "http://\u00ad/", "/" + "a" * 70_000, "/%zz?#")
MULTISTATUS = """<multistatus xmlns="DAV:" xmlns:c="urn:ietf:params:xml:ns:caldav"><response>
<href>{}</href><propstat><status>HTTP/1.1 200 OK</status><prop>{}</prop></propstat></response>
</multistatus>"""
PRINCIPAL = "<current-user-principal><href>{}</href></current-user-principal>"
HOME = "<c:calendar-home-set><href>{}</href></c:calendar-home-set>"
CALENDAR = "<resourcetype><c:calendar/></resourcetype>"
BODIES = [
    *(MULTISTATUS.format("/", PRINCIPAL.format(place)) for place in PLACES),
    *(MULTISTATUS.format("/", HOME.format(place)) for place in PLACES),
    MULTISTATUS.format("http://[x/", HOME.format("/") + CALENDAR),
    MULTISTATUS.format("/", ""),
    "<x",
]


async def refused(wire: Any, folder: Path, answer: bytes) -> None:
    """Ask tools of a server that gives this answer to everything."""
    wire.answer = b"HTTP/1.0 " + answer
    fields = {"url": wire.url, "user": "ann", "password": "secret"}
    settings = ServeSettings(
        data_dir=folder,
        backend="caldav",
        connect=lambda vendor: Connection(vendor=vendor, fields=fields),
    )
    async with Client(create(settings)) as client:
        for tool, arguments in (
            ("calendar_calendars", {}),
            ("calendar_create", {"title": "Cut", **SLOT}),
        ):
            answered = await client.call_tool(tool, arguments)
            said = json.loads(answered.content[0].text)  # type: ignore[union-attr]
            assert answered.is_error
            assert said["code"] in ("backend_config", "backend_unavailable"), said
            assert said["outcome"] == "none"


@pytest.mark.parametrize("head", ANSWERS.values(), ids=ANSWERS)
async def test_no_answer_of_a_server_is_a_crash(head: str, wired: Any, tmp_path: Path) -> None:
    async with wired() as wire:
        await refused(wire, tmp_path, f"{head}\r\n\r\n".encode("latin-1") + b"<x")


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
async def test_no_place_that_a_server_names_is_a_crash(
    body: str, wired: Any, tmp_path: Path
) -> None:
    async with wired() as wire:
        await refused(wire, tmp_path, b"207 Multi-Status\r\n\r\n" + body.encode())


@pytest.mark.parametrize("url", ["https://[x/", "https://a.example:99999/", "https://a:b/", ""])
async def test_what_is_no_url_is_refused_at_the_start(
    url: str, open_caldav: Any, tmp_path: Path
) -> None:
    with pytest.raises(BackendConfigError) as refused:
        open_caldav(url, "ann", tmp_path)
    assert refused.value.hint
