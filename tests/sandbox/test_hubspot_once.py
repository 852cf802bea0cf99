"""Every effect on HubSpot happens once, wherever the line breaks or the process dies."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
import urllib3
from tests.contracts.crm_rows import hubspot, mapping, set_up

from aicore_servers.sandbox._running import running
from aicore_tools.crm.backends.hubspot import HubSpotDirectory
from aicore_tools.crm.records import Archive, Entry, RecordId, Ref, Upsert
from aicore_tools.errors import InvalidInput, OutcomeUnknown
from aicore_tools.operations import Effect, Operation
from aicore_tools.retries import Patience

ONCE = Patience(attempts=1, deadline_s=5.0)
Do = Callable[[HubSpotDirectory, Operation], Awaitable[Effect[Any]]]


@dataclass(frozen=True)
class Case:
    """An effect, the request by which HubSpot does it, and what there is more of afterwards."""

    do: Do
    on: str
    more: dict[str, int]
    linked: int = 0


A, B = Ref("contact", RecordId("1001")), Ref("contact", RecordId("1002"))
TASK_ID = RecordId("1003")
UPSERT = r"POST /crm/v3/objects/[^/]+/batch/upsert"
UPDATE = r"POST /crm/v3/objects/[^/]+/batch/update"
ASSOCIATE = r"POST /crm/v4/associations/.*/batch/associate/default"


def upsert(record_type: str, links: tuple[Ref, ...] = (), **fields: Any) -> Do:
    item = Upsert(fields=fields, links=links)
    return lambda directory, operation: directory.upsert(operation, record_type, [item])


def log(**entry: Any) -> Do:
    return lambda directory, operation: directory.log(operation, Entry(**entry))


def link(**how: Any) -> Do:
    return lambda directory, operation: directory.link(operation, A, B, **how)


def archive(**what: Any) -> Do:
    asked = Archive(type="contact", ids=[B.id], **what)
    return lambda directory, operation: directory.archive(operation, asked)


CASES = {
    "contact by e-mail": Case(
        upsert("contact", name="Eve", email="eve@example.com"), UPSERT, {"contacts": 1}
    ),
    "contact by name": Case(upsert("contact", name="Eve"), UPSERT, {"contacts": 1}),
    "company": Case(
        upsert("company", name="Shop", domain="shop.example"), UPSERT, {"companies": 1}
    ),
    "deal": Case(upsert("deal", name="Big", amount_minor=1250), UPSERT, {"deals": 1}),
    "ticket": Case(upsert("ticket", subject="Help"), UPSERT, {"tickets": 1}),
    "product": Case(upsert("product", name="Tea"), UPSERT, {"products": 1}),
    "own type": Case(upsert("pet", name="Rex"), UPSERT, {"2-1001": 1}),
    "deal with a link": Case(upsert("deal", (A,), name="Big"), ASSOCIATE, {"deals": 1}, 2),
    "change": Case(upsert("contact", email="ann@example.com", city="Ulm"), UPDATE, {}),
    "note": Case(log(kind="note", text="x", about=[A]), UPSERT, {"notes": 1}, 2),
    "note, its link": Case(log(kind="note", text="x", about=[A]), ASSOCIATE, {"notes": 1}, 2),
    "call": Case(log(kind="call", text="x"), UPSERT, {"calls": 1}),
    "meeting": Case(log(kind="meeting", text="x"), UPSERT, {"meetings": 1}),
    "mail": Case(log(kind="email", text="x"), UPSERT, {"emails": 1}),
    "task": Case(log(kind="task", text="x"), UPSERT, {"tasks": 1}),
    "task done": Case(log(kind="task", task_id=TASK_ID, is_done=True), UPDATE, {}),
    "link": Case(link(), r"PUT /crm/v4/objects/.*/default/", {}, 2),
    "link with a label": Case(link(label="knows"), r"PUT /crm/v4/objects/", {}, 2),
    "label in other letters": Case(link(label="KNOWS"), r"PUT /crm/v4/objects/", {}, 2),
    "archive": Case(archive(), r"POST /crm/v3/objects/contacts/batch/archive", {"contacts": -1}),
    "merge": Case(
        archive(merge_into=A.id), r"POST /crm/v3/objects/contacts/merge", {"contacts": -1}
    ),
}


class Line:
    """The line to HubSpot, in place of urllib3's: cut at one request, down from then on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._cut: tuple[str, str] | None = None
        self._is_down = False
        self._skip = 0
        real = urllib3.PoolManager.request

        def request(pool: Any, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
            if self._is_down:
                raise urllib3.exceptions.NewConnectionError(pool, "the line is down")  # type: ignore[arg-type] # only its kind counts
            path = "/" + url.split("/", 3)[3]
            if self._cut is not None and re.search(self._cut[0], f"{method} {path}"):
                self._skip -= 1
                self._is_down = self._skip < 0
            if not self._is_down:
                return real(pool, method, url, *args, **kwargs)
            if self._cut is not None and self._cut[1] == "away":
                raise urllib3.exceptions.NewConnectionError(pool, "nobody there")  # type: ignore[arg-type] # only its kind counts
            if self._cut is not None and self._cut[1] == "after":
                real(pool, method, url, *args, **kwargs)
            raise urllib3.exceptions.ProtocolError("the line broke")

        monkeypatch.setattr(urllib3.PoolManager, "request", request)

    def cut(self, on: str, when: str, skip: int = 0) -> None:
        """Cut at the first request like `on` after `skip` of them that get through.

        `when`: before or after HubSpot acted, or HubSpot is away: nothing can be sent.
        """
        self._cut, self._skip = (on, when), skip

    def mend(self) -> None:
        self._cut, self._is_down = None, False


@pytest.fixture(scope="module")
def sandbox() -> Iterator[str]:
    with running("hubspot") as url:
        yield url


@pytest.fixture
def url(sandbox: str) -> str:
    """A sandbox with two contacts and a task."""
    set_up(sandbox)
    with httpx2.Client(base_url=sandbox, headers={"Authorization": "Bearer owner"}) as http:
        for object_type, properties in (
            ("contacts", {"firstname": "Ann", "email": "ann@example.com"}),
            ("contacts", {"firstname": "Ben", "email": "ben@example.com"}),
            ("tasks", {"hs_task_subject": "call", "hs_task_status": "NOT_STARTED"}),
        ):
            made = http.post(f"/crm/v3/objects/{object_type}", json={"properties": properties})
            made.raise_for_status()
    return sandbox


def op(key: str | None) -> Operation:
    return Operation.of("test", {}, key)


def state(url: str) -> dict[str, Any]:
    found: dict[str, Any] = httpx2.get(f"{url}/_sandbox/state").json()
    return found


def check(before: dict[str, Any], after: dict[str, Any], case: Case) -> None:
    """One effect, no more and no less."""
    grown = {
        name: after["counts"][name] - count
        for name, count in before["counts"].items()
        if after["counts"][name] != count
    }
    assert grown == case.more
    ends = sum(len(each) for each in after["associations"].values())
    assert ends == sum(len(each) for each in before["associations"].values()) + case.linked


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("name", CASES)
async def test_a_line_that_breaks_and_a_process_that_comes_back(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, when: str
) -> None:
    case, line, before = CASES[name], Line(monkeypatch), state(url)
    async with hubspot(url, tmp_path, patience=ONCE) as first:
        line.cut(case.on, when)
        with pytest.raises(OutcomeUnknown):
            await case.do(first, op("k"))
        with pytest.raises(OutcomeUnknown):
            await case.do(first, op("k"))
    line.mend()
    async with hubspot(url, tmp_path, patience=ONCE) as second:
        found = await second.earlier(op("k"))
        is_there = when == "after" or case.on == ASSOCIATE
        assert (found is not None) == is_there
        done = await case.do(second, op("k"))
        assert done.is_replay == is_there
        again = await case.do(second, op("k"))
        assert again.is_replay
        assert again.result == done.result
    check(before, state(url), case)


@pytest.mark.parametrize("kind", ["drop_before", "drop_after"])
@pytest.mark.parametrize("name", CASES)
async def test_an_answer_that_gets_lost(url: str, tmp_path: Path, name: str, kind: str) -> None:
    case, before = CASES[name], state(url)
    async with hubspot(url, tmp_path, patience=ONCE) as directory:
        fault = {"on": case.on, "kind": kind}
        httpx2.post(f"{url}/_sandbox/faults", json=fault).raise_for_status()
        try:
            first = await case.do(directory, op("k"))
        except OutcomeUnknown:
            assert kind != "drop_after"
            first = await case.do(directory, op("k"))
        assert not first.is_replay
        again = await case.do(directory, op("k"))
        assert (again.is_replay, again.result) == (True, first.result)
    check(before, state(url), case)


async def test_a_change_made_meanwhile_is_not_made_undone(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line broke after HubSpot had set the city, and somebody then set another."""
    line = Line(monkeypatch)
    async with hubspot(url, tmp_path, patience=ONCE) as first:
        line.cut(UPDATE, "after")
        with pytest.raises(OutcomeUnknown):
            await CASES["change"].do(first, op("k"))
    line.mend()
    async with hubspot(url, tmp_path / "other") as other:
        item = Upsert(fields={"city": "Bonn"}, id=A.id)
        await other.upsert(op(None), "contact", [item])
    async with hubspot(url, tmp_path) as second:
        again = await CASES["change"].do(second, op("k"))
        assert again.is_replay
        (ann,) = await second.get("contact", [A.id])
        assert ann.fields["city"] == "Bonn"


async def test_a_merge_of_several_that_broke_off_goes_on(url: str, tmp_path: Path) -> None:
    async with hubspot(url, tmp_path, patience=ONCE) as directory:
        merged = await CASES["merge"].do(directory, op("first"))
        (eve,) = (
            await directory.upsert(op(None), "contact", [Upsert(fields={"name": "Eve"})])
        ).result
        asked = Archive(
            type="contact",
            ids=[B.id, RecordId(str(eve.id))],
            merge_into=merged.result.merged_into,
        )
        fault = {"on": CASES["merge"].on, "kind": "drop_before"}
        httpx2.post(f"{url}/_sandbox/faults", json=fault).raise_for_status()
        done = await directory.archive(op("k"), asked)
        assert done.result.merged_into not in (None, merged.result.merged_into)
        assert (await directory.archive(op("k"), asked)).is_replay
    assert state(url)["counts"]["contacts"] == 1


async def test_a_merge_that_could_not_go_on_is_not_called_undone(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two merges the first was made, and then HubSpot was away."""
    line = Line(monkeypatch)
    async with hubspot(url, tmp_path, patience=ONCE) as directory:
        (eve,) = (await upsert("contact", name="Eve")(directory, op(None))).result
        asked = Archive(type="contact", ids=[B.id, RecordId(str(eve.id))], merge_into=A.id)
        line.cut(r"GET /crm/v3/objects/contacts/\d+", "away", skip=2)
        with pytest.raises(OutcomeUnknown):
            await directory.archive(op("k"), asked)
        line.mend()
        assert state(url)["counts"]["contacts"] == 2
        assert (await directory.archive(op("k"), asked)).is_replay
    assert state(url)["counts"]["contacts"] == 1


async def test_archiving_of_two_kinds_that_broke_off_is_finished(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = Line(monkeypatch)
    async with hubspot(url, tmp_path, patience=ONCE) as directory:
        note = (await log(kind="note", text="x")(directory, op(None))).result
        call = (await log(kind="call", text="x")(directory, op(None))).result
        asked = Archive(type="note", ids=[note.id, call.id])
        line.cut(r"/batch/archive", "away", skip=1)
        with pytest.raises(OutcomeUnknown):
            await directory.archive(op("k"), asked)
        line.mend()
        assert (await directory.archive(op("k"), asked)).is_replay
    counts = state(url)["counts"]
    assert (counts["notes"], counts["calls"]) == (0, 0)


async def test_one_key_at_the_same_time_is_one(url: str, tmp_path: Path) -> None:
    before, results = state(url), []
    case = CASES["contact by name"]

    async def again(directory: HubSpotDirectory) -> None:
        for _ in range(2000):
            try:
                results.append((await case.do(directory, op("k"))).result)
            except OutcomeUnknown as error:
                if error.code != "in_progress":
                    raise
                await anyio.lowlevel.checkpoint()
            else:
                return

    async with (
        hubspot(url, tmp_path) as one,
        hubspot(url, tmp_path) as two,
        anyio.create_task_group() as tasks,
    ):
        for directory in (one, one, one, two, two):
            tasks.start_soon(again, directory)
    assert len(results) == 5
    assert all(each == results[0] for each in results)
    check(before, state(url), case)


async def test_without_a_key_each_call_is_one_more(url: str, tmp_path: Path) -> None:
    before = state(url)
    async with hubspot(url, tmp_path) as directory:
        for _ in range(2):
            await CASES["contact by name"].do(directory, op(None))
    assert state(url)["counts"]["contacts"] == before["counts"]["contacts"] + 2


async def test_a_batch_that_broke_off_in_the_middle_is_finished(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two requests: the creations by e-mail, then those without; the second never arrives."""
    line, before = Line(monkeypatch), state(url)
    items = [
        Upsert(fields={"name": "Eve", "email": "eve@example.com"}),
        Upsert(fields={"name": "Gil"}),
    ]
    async with hubspot(url, tmp_path, patience=ONCE) as first:
        line.cut(UPSERT, "after")
        with pytest.raises(OutcomeUnknown):
            await first.upsert(op("k"), "contact", items)
    line.mend()
    async with hubspot(url, tmp_path, patience=ONCE) as second:
        effect = await second.upsert(op("k"), "contact", items)
        assert [result.status for result in effect.result] == ["created", "created"]
    assert state(url)["counts"]["contacts"] == before["counts"]["contacts"] + 2


async def test_what_was_sent_one_by_one_and_broke_off_is_finished(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch is refused for one bad value, so each goes alone; HubSpot is then away."""
    line, before = Line(monkeypatch), state(url)
    text = '[contact.fields]\nstatus = { property = "birthday", kind = "date" }\n'
    fields = [{"name": "Eve"}, {"name": "Bad", "status": "31 February"}, {"name": "Gil"}]
    items = [Upsert(fields=each) for each in fields]
    more = {"mapping": mapping(tmp_path, text), "patience": ONCE}
    async with hubspot(url, tmp_path, **more) as first:
        line.cut(UPSERT, "away", skip=3)
        with pytest.raises(OutcomeUnknown):
            await first.upsert(op("k"), "contact", items)
    line.mend()
    async with hubspot(url, tmp_path, **more) as second:
        effect = await second.upsert(op("k"), "contact", items)
        assert effect.is_replay
        assert [each.status for each in effect.result] == ["created", "error", "created"]
    assert state(url)["counts"]["contacts"] == before["counts"]["contacts"] + 2


async def test_nothing_is_logged_about_what_cannot_be_linked(url: str, tmp_path: Path) -> None:
    async with hubspot(url, tmp_path) as directory:
        (tea,) = (await upsert("product", name="Tea")(directory, op(None))).result
        about = [Ref("product", RecordId(str(tea.id)))]
        with pytest.raises(InvalidInput):
            await directory.log(op("k"), Entry(kind="note", text="x", about=about))
    assert state(url)["counts"]["notes"] == 0


KILLED = """
import os, re, sys
from pathlib import Path
import anyio, urllib3
from aicore_tools.crm.records import Upsert
from aicore_tools.operations import Operation
from tests.contracts.crm_rows import hubspot

url, folder, when = sys.argv[1:]
real = urllib3.PoolManager.request
def request(pool, method, to, *args, **kwargs):
    if to.endswith("/batch/upsert"):
        if when == "after":
            real(pool, method, to, *args, **kwargs)
        os._exit(9)
    return real(pool, method, to, *args, **kwargs)
urllib3.PoolManager.request = request
async def main():
    async with hubspot(url, Path(folder)) as directory:
        item = Upsert(fields={"name": "Eve"})
        await directory.upsert(Operation.of("test", {}, "k"), "contact", [item])
anyio.run(main)
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_the_request_and_started_again_it_is_one(
    url: str, tmp_path: Path, repository: Path, when: str
) -> None:
    before = state(url)
    child = subprocess.run(
        [sys.executable, "-c", KILLED, url, str(tmp_path), when],
        cwd=repository,
        check=False,
        timeout=30,
    )
    assert child.returncode == 9
    case = CASES["contact by name"]

    async def start_again() -> None:
        async with hubspot(url, tmp_path) as directory:
            done = await case.do(directory, op("k"))
            assert done.is_replay == (when == "after")
            assert (await case.do(directory, op("k"))).is_replay

    anyio.run(start_again)
    check(before, state(url), case)
