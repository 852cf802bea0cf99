"""The line to HubSpot: what each kind of answer and failure says about what was done."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import httpx2
import pytest
import urllib3
from starlette.types import Message, Receive, Scope, Send
from tests.contracts.crm_rows import hubspot, set_up

from aicore_servers.sandbox import hubspot as sandbox
from aicore_servers.sandbox._running import running, running_app
from aicore_tools.connections import Connection
from aicore_tools.crm.backends.hubspot_wire import HubSpotWire
from aicore_tools.crm.records import Entry
from aicore_tools.errors import (
    BackendUnavailable,
    Conflict,
    InvalidInput,
    OutcomeUnknown,
    ToolsError,
)
from aicore_tools.operations import Operation
from aicore_tools.retries import Patience

TWICE = Patience(attempts=2, deadline_s=5.0, first_pause_s=0.01)
ONCE = Patience(attempts=1, deadline_s=5.0)
MERGE = ("crm.contacts.basic_api.merge", {"primaryObjectId": "1", "objectIdToMerge": "2"})
READ = ("crm.contacts.basic_api.get_by_id", "1")


async def opened(url: str) -> HubSpotWire:
    fields = {"access_token": "any", "base_url": url}
    wire = HubSpotWire(Connection(vendor="hubspot", fields=fields), patience=TWICE)
    await wire.open()
    return wire


@pytest.fixture
def url() -> Iterator[str]:
    with running("hubspot") as url:
        set_up(url)
        yield url


def state(url: str) -> dict[str, Any]:
    found: dict[str, Any] = httpx2.get(f"{url}/_sandbox/state").json()
    return found


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (302, OutcomeUnknown),
        (400, InvalidInput),
        (408, OutcomeUnknown),
        (409, Conflict),
        (499, OutcomeUnknown),
        (503, OutcomeUnknown),
    ],
)
async def test_only_a_clear_refusal_says_that_nothing_was_done(
    url: str, status: int, kind: type[ToolsError]
) -> None:
    wire = await opened(url)
    fault = {"on": "merge", "kind": "status", "status": status}
    httpx2.post(f"{url}/_sandbox/faults", json=fault).raise_for_status()
    with pytest.raises(ToolsError) as refusal:
        await wire.write(*MERGE, repeats=False)
    assert type(refusal.value) is kind
    assert refusal.value.outcome == ("unknown" if kind is OutcomeUnknown else "none")


async def test_a_note_that_was_written_and_answered_with_408_is_one(tmp_path: Path) -> None:
    inner, late = sandbox.app(), [408]

    async def nowhere(_: Message) -> None:
        """Take an answer that nobody gets."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if not (late and scope["path"].endswith("/notes/batch/upsert")):
            await inner(scope, receive, send)
            return
        await inner(scope, receive, nowhere)
        await send({"type": "http.response.start", "status": late.pop(), "headers": []})
        await send({"type": "http.response.body", "body": b"Request Timeout"})

    with running_app(app) as url:
        set_up(url)
        async with hubspot(url, tmp_path, patience=ONCE) as directory:
            operation = Operation.of("test", {}, "k")
            first = await directory.log(operation, Entry(kind="note", text="called"))
            again = await directory.log(operation, Entry(kind="note", text="called"))
        assert not late
        assert again.result == first.result
        assert state(url)["counts"]["notes"] == 1


@pytest.mark.parametrize(
    "body",
    [
        b'{"id":"1","properties":{},"createdAt":"soon","updatedAt":"soon","archived":false}',
        b"\xff\xfe",
    ],
    ids=["no date", "no text"],
)
async def test_an_answer_that_cannot_be_read_leaves_an_effect_unknown(body: bytes) -> None:
    asked = []

    async def app(scope: Scope, _: Receive, send: Send) -> None:
        asked.append(scope["method"])
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    with running_app(app) as url:
        wire = await opened(url)
        with pytest.raises(OutcomeUnknown):
            await wire.write(*MERGE, repeats=False)
        assert asked == ["POST"]
        with pytest.raises(BackendUnavailable):
            await wire.read(*READ)


async def test_tls_that_breaks_after_the_request_leaves_an_effect_unknown(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = urllib3.PoolManager.request

    def garbled(*args: Any, **kwargs: Any) -> Any:
        real(*args, **kwargs)
        raise urllib3.exceptions.SSLError("bad record mac")

    wire = await opened(url)
    monkeypatch.setattr(urllib3.PoolManager, "request", garbled)
    with pytest.raises(OutcomeUnknown):
        await wire.write(*MERGE, repeats=False)
    assert state(url)["requests"]["POST /crm/v3/objects/contacts/merge"] == 1


@contextmanager
def speaking_no_tls() -> Iterator[str]:
    """A server that answers a TLS handshake with something else."""

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            with peer:
                peer.recv(4096)
                peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        try:
            yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(5)


async def test_a_tls_handshake_that_fails_is_an_error_of_ours() -> None:
    with speaking_no_tls() as url:
        wire = await opened(url)
        with pytest.raises(BackendUnavailable):
            await wire.read(*READ)


async def test_what_cannot_be_reached_was_not_done() -> None:
    wire = await opened("http://127.0.0.1:1")
    with pytest.raises(BackendUnavailable) as refusal:
        await wire.write(*MERGE, repeats=False)
    assert refusal.value.outcome == "none"
