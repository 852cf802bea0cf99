"""Mails that are sent later: at their time, once, across restarts, and only as they were shown."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import anyio
import pytest

from aicore_tools.errors import (
    BackendConfigError,
    BackendUnavailable,
    InvalidInput,
    OutcomeUnknown,
)
from aicore_tools.mail.backends.local import LocalMailbox
from aicore_tools.mail.drafting import AttachmentInput, DraftInput
from aicore_tools.mail.recipients import Recipients
from aicore_tools.mail.records import Address, Draft, MailId, MailSearch, Sent
from aicore_tools.mail.service import MailService
from aicore_tools.mail.timer import SendTimer
from aicore_tools.mail.unchanged import digest_of
from aicore_tools.operations import Effect, Operation

OWN = Address("office@lakeside.example")
START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@dataclass
class Clock:
    now: datetime = START

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Desk:
    service: MailService
    box: LocalMailbox
    timer: SendTimer
    clock: Clock

    async def drafted(self, subject: str = "Later") -> MailId:
        given = DraftInput(body="x", to=["ann@example.com"], subject=subject)
        return (await self.service.draft(await self.service.plan_draft(given), op())).result.id

    async def schedule(self, draft: MailId, at: str, key: str | None = None) -> Effect[Sent]:
        return await self.service.send(await self.service.plan_send(draft, at), op(key))

    async def sent(self) -> list[str]:
        rows = (await self.box.search(MailSearch(folder="sent"))).rows
        return [row.subject for row in rows]

    async def states(self) -> list[str]:
        return [each.state for each in await self.service.scheduled()]


def op(key: str | None = None) -> Operation:
    return Operation.of("mail_send", {}, key)


@asynccontextmanager
async def opened(
    folder: Path,
    clock: Clock,
    *,
    recipients: Recipients | None = None,
    kind: type[LocalMailbox] = LocalMailbox,
) -> AsyncIterator[Desk]:
    async with (
        kind(folder / "mail.db", business="main", addresses=[OWN]) as box,
        SendTimer(folder / "timer.db", business="main local default", now=clock) as timer,
    ):
        zone = ZoneInfo("Europe/Berlin")
        service = MailService(box, zone=zone, recipients=recipients, timer=timer)
        yield Desk(service, box, timer, clock)


async def test_a_mail_is_sent_at_its_time_and_once(tmp_path: Path) -> None:
    clock = Clock()
    async with opened(tmp_path, clock) as desk:
        draft = await desk.drafted()
        kept = (await desk.schedule(draft, "2026-03-02T15:00", "k")).result
        assert (kept.id, kept.message_id) == (draft, "")
        assert kept.send_at == datetime(2026, 3, 2, 14, 0, tzinfo=UTC)
        clock.now += timedelta(hours=4, minutes=59)
        await desk.service.send_due()
        assert (await desk.sent(), await desk.states()) == ([], ["waiting"])
    clock.now += timedelta(minutes=1)
    for _ in range(2):  # also after a restart
        async with opened(tmp_path, clock) as desk:
            await desk.service.send_due(with_unknown=True)
            await desk.service.send_due()
            assert (await desk.sent(), await desk.states()) == (["Later"], [])
            again = await desk.service.earlier(op("k"))
            assert again == Effect(result=kept, is_replay=True)


async def test_a_repeated_key_schedules_once(tmp_path: Path) -> None:
    async with opened(tmp_path, Clock()) as desk:
        draft = await desk.drafted()
        first = await desk.schedule(draft, "2026-03-02T15:00", "k")
        again = await desk.schedule(draft, "2026-03-02T15:00", "k")
        assert (first.is_replay, again.is_replay) == (False, True)
        assert len(await desk.states()) == 1
        await desk.schedule(draft, "2026-03-03T15:00", "k2")
        (waiting,) = await desk.service.scheduled()
        assert waiting.send_at == datetime(2026, 3, 3, 14, 0, tzinfo=UTC)


async def test_one_that_died_after_sending_does_not_send_again(tmp_path: Path) -> None:
    clock = Clock()
    async with opened(tmp_path, clock) as desk:
        await desk.schedule(await desk.drafted(), "2026-03-02T15:00")
        clock.now += timedelta(days=1)
        (due,) = await desk.timer.due(with_unknown=False)
        await desk.box.send(due.operation, await desk.box.draft(due.draft))
    async with opened(tmp_path, clock) as desk:
        await desk.service.send_due()
        assert (await desk.sent(), await desk.states()) == (["Later"], [])


async def test_two_servers_send_it_once(tmp_path: Path) -> None:
    clock = Clock()
    async with opened(tmp_path, clock) as one, opened(tmp_path, clock) as two:
        await one.schedule(await one.drafted(), "2026-03-02T15:00")
        clock.now += timedelta(days=1)
        async with anyio.create_task_group() as tasks:
            for desk in (one, two):
                tasks.start_soon(desk.service.send_due)
        assert (await one.sent(), await two.states()) == (["Later"], [])


async def test_a_draft_that_was_changed_trashed_or_sent_is_left_alone(tmp_path: Path) -> None:
    clock = Clock()
    async with opened(tmp_path, clock) as desk:
        drafts = [await desk.drafted(name) for name in ("changed", "trashed", "sent")]
        for draft in drafts:
            await desk.schedule(draft, "2026-03-02T15:00")
        edit = DraftInput(body="y", draft_id=drafts[0])
        await desk.service.draft(await desk.service.plan_draft(edit), op())
        await desk.box.organize(op(), [drafts[1]], "trash")
        await desk.service.send(await desk.service.plan_send(drafts[2]), op())
        assert await desk.states() == ["waiting", "waiting"]
        clock.now += timedelta(days=1)
        await desk.service.send_due()
        assert (await desk.sent(), await desk.states()) == (["sent"], ["stopped", "stopped"])
        assert all(each.problem for each in await desk.service.scheduled())
        await desk.schedule(drafts[0], "2026-03-04T15:00")
        assert sorted(await desk.states()) == ["stopped", "waiting"]


async def test_the_list_of_recipients_holds_at_that_time_too(tmp_path: Path) -> None:
    clock = Clock()
    async with opened(tmp_path, clock) as desk:
        await desk.schedule(await desk.drafted(), "2026-03-02T15:00")
    clock.now += timedelta(days=1)
    async with opened(tmp_path, clock, recipients=Recipients(["*@firm.example"])) as desk:
        await desk.service.send_due()
        assert (await desk.sent(), await desk.states()) == ([], ["stopped"])


class Unlucky(LocalMailbox):
    """A mailbox whose sending fails as told."""

    failing: Exception | None = None

    async def send(self, operation: Operation, draft: Draft) -> Effect[Sent]:
        if self.failing is not None:
            raise self.failing
        return await super().send(operation, draft)


class Drifting(LocalMailbox):
    """A mailbox in which somebody changes a draft in the moment it is to be sent."""

    async def send(self, operation: Operation, draft: Draft) -> Effect[Sent]:
        changed = replace(draft.content, to=[Address("eve@evil.example")])
        await self.save_draft(op(), changed, draft.id)
        return await super().send(operation, draft)


async def test_a_draft_that_changes_at_its_very_time_is_not_sent(tmp_path: Path) -> None:
    clock = Clock()
    allowed = Recipients(["*@example.com"])
    async with opened(tmp_path, clock, recipients=allowed, kind=Drifting) as desk:
        await desk.schedule(await desk.drafted(), "2026-03-02T15:00")
        clock.now += timedelta(days=1)
        await desk.service.send_due()
        assert (await desk.sent(), await desk.states()) == ([], ["stopped"])
        (stopped,) = await desk.service.scheduled()
        assert stopped.problem


async def test_what_could_not_be_sent_is_tried_again_and_the_unknown_is_not(
    tmp_path: Path,
) -> None:
    clock = Clock()
    async with opened(tmp_path, clock, kind=Unlucky) as desk:
        assert isinstance(desk.box, Unlucky)
        await desk.schedule(await desk.drafted(), "2026-03-02T15:00")
        clock.now += timedelta(days=1)
        desk.box.failing = BackendUnavailable("down")
        await desk.service.send_due()
        assert await desk.states() == ["waiting"]
        desk.box.failing = OutcomeUnknown("who knows")
        await desk.service.send_due()
        assert await desk.states() == ["unknown"]
        desk.box.failing = None
        await desk.service.send_due()
        assert (await desk.sent(), await desk.states()) == ([], ["unknown"])


@pytest.mark.parametrize(
    "at",
    [
        "2026-03-02T09:59",
        "2026-03-02",
        "tomorrow",
        "2028-01-01T10:00",
        "2026-03-29T02:30",  # the clocks go forward over it
        "",
    ],
)
async def test_a_time_that_cannot_be_is_refused(tmp_path: Path, at: str) -> None:
    async with opened(tmp_path, Clock()) as desk:
        draft = await desk.drafted()
        with pytest.raises(InvalidInput):
            await desk.service.plan_send(draft, at)
        with pytest.raises(BackendConfigError):
            await MailService(desk.box).plan_send(draft, "2026-03-02T15:00")


async def test_the_digest_tells_every_part_of_a_draft(tmp_path: Path) -> None:
    async with opened(tmp_path, Clock()) as desk:
        given = DraftInput(
            body="x",
            to=["ann@example.com"],
            attachments=[AttachmentInput(name="a.txt", text="1")],
        )
        content = (await desk.service.plan_draft(given)).content
        ann = content.to
        variants = [
            content,
            replace(content, body="y"),
            replace(content, html="<p>x</p>"),
            replace(content, subject="y"),
            replace(content, sender=Address("b@lakeside.example")),
            replace(content, to=(), cc=ann),
            replace(content, to=(), bcc=ann),
            replace(content, files=[replace(content.files[0], content=b"2")]),
            replace(content, files=[replace(content.files[0], name="b.txt")]),
        ]
        assert len({digest_of(each) for each in variants}) == len(variants)
        assert digest_of(replace(content, to=tuple(ann))) == digest_of(content)
