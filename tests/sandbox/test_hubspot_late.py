"""A request that HubSpot gets late, when its call was called unknown and made again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import urllib3
from tests.contracts.crm_rows import hubspot, set_up

from aicore_servers.sandbox._running import running
from aicore_tools.crm.backends.hubspot import HubSpotDirectory
from aicore_tools.crm.records import Archive, RecordId, Upsert
from aicore_tools.errors import InvalidInput, OutcomeUnknown
from aicore_tools.operations import Operation
from aicore_tools.retries import Patience

ONCE = Patience(attempts=1, deadline_s=5.0)


class SlowLine:
    """The line to HubSpot, in place of urllib3's: it keeps the first request like `on` for later.

    The caller is told that the line broke. With `jams` the kept request is delivered just before
    the next one like it; else `deliver` does.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, on: str, *, jams: bool = False) -> None:
        self._kept: list[Any] = []
        self._jams = jams
        self.statuses: list[int] = []
        self._real = urllib3.PoolManager.request
        is_first = True

        def request(pool: Any, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
            nonlocal is_first
            if not re.search(on, f"{method} {url}"):
                return self._real(pool, method, url, *args, **kwargs)
            if is_first:
                is_first = False
                self._kept.append((pool, method, url, args, kwargs))
                raise urllib3.exceptions.ProtocolError("the line broke")
            if self._jams:
                self.deliver()
            answer = self._real(pool, method, url, *args, **kwargs)
            self.statuses.append(answer.status)
            return answer

        monkeypatch.setattr(urllib3.PoolManager, "request", request)

    def deliver(self) -> None:
        """Let what was kept arrive."""
        while self._kept:
            pool, method, url, args, kwargs = self._kept.pop()
            self.statuses.append(self._real(pool, method, url, *args, **kwargs).status)


@pytest.fixture
def url() -> Iterator[str]:
    with running("hubspot") as url:
        set_up(url)
        yield url


def op(key: str | None = None) -> Operation:
    return Operation.of("test", {}, key)


def names(url: str) -> list[str]:
    contacts = httpx2.get(f"{url}/_sandbox/state").json()["objects"]["contacts"]
    return sorted(each["firstname"] for each in contacts.values())


async def pair(directory: HubSpotDirectory) -> list[RecordId]:
    items = [Upsert(fields={"name": name}) for name in ("Ann", "Ben")]
    return [
        RecordId(str(each.id)) for each in (await directory.upsert(op(), "contact", items)).result
    ]


async def test_a_merge_that_lands_just_before_its_repeat_is_done(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with hubspot(url, tmp_path, patience=ONCE) as directory:
        ann, ben = await pair(directory)
        line = SlowLine(monkeypatch, "/merge$", jams=True)
        asked = Archive(type="contact", ids=[ben], merge_into=ann)
        with pytest.raises(OutcomeUnknown):
            await directory.archive(op("k"), asked)
        done = await directory.archive(op("k"), asked)
        assert line.statuses == [200, 400]
        assert (await directory.archive(op("k"), asked)).result == done.result
        (living,) = await directory.get("contact", [RecordId(str(done.result.merged_into))])
        assert living.id == done.result.merged_into


async def test_a_merge_that_is_refused_is_not_called_done(url: str, tmp_path: Path) -> None:
    async with hubspot(url, tmp_path, patience=ONCE) as directory:
        ann, ben = await pair(directory)
        fault = {"on": "/merge$", "kind": "status", "status": 400}
        httpx2.post(f"{url}/_sandbox/faults", json=fault).raise_for_status()
        with pytest.raises(InvalidInput) as refusal:
            await directory.archive(op("k"), Archive(type="contact", ids=[ben], merge_into=ann))
        assert refusal.value.outcome == "none"
    assert names(url) == ["Ann", "Ben"]


async def test_a_creation_that_lands_late_writes_into_no_other_record(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Meanwhile somebody made the first of the two, so the plan made anew has one write less."""
    ann = Upsert(fields={"name": "Ann", "phone": "+49301234567"})
    items = [ann, Upsert(fields={"name": "Ben"})]
    async with hubspot(url, tmp_path, patience=ONCE) as directory:
        await directory.upsert(op(), "contact", [Upsert(fields={"name": "Gil"})])
        line = SlowLine(monkeypatch, "/batch/upsert$")
        with pytest.raises(OutcomeUnknown):
            await directory.upsert(op("k"), "contact", items)
        async with hubspot(url, tmp_path / "other") as other:
            await other.upsert(op(), "contact", [ann])
        effect = await directory.upsert(op("k"), "contact", items)
        assert [each.status for each in effect.result] == ["unchanged", "created"]
        line.deliver()
        (ben,) = await directory.get("contact", [RecordId(str(effect.result[1].id))])
        assert ben.fields["name"] == "Ben"
    assert names(url) == ["Ann", "Ann", "Ben", "Gil"]
