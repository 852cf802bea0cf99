"""Whatever breaks between us and Gmail, each effect is there once, or is said to be unknown."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import anyio
import pytest

from aicore_tools.errors import BackendUnavailable, Conflict, NotFound, OutcomeUnknown, ToolsError
from aicore_tools.mail.backends.gmail import GmailMailbox
from aicore_tools.mail.records import Address, Draft, DraftContent, File, MailSearch
from aicore_tools.mail.unchanged import digest_of
from aicore_tools.operations import Operation

Open = Callable[..., GmailMailbox]
Op = Callable[..., Operation]
ANN = Address("ann@example.com", "Ann Müller")
EVE = Address("eve@evil.example")
CUTS = ("drop_before", "drop_after")
CONTENT = DraftContent(
    sender=Address("office@lakeside.example"), to=[ANN], subject="Your offer", body="Dear Ann"
)


async def until_done(call: Callable[[], Any]) -> Any:
    """Repeat as an agent does that keeps its operation key."""
    for _ in range(3):
        try:
            return await call()
        except (BackendUnavailable, OutcomeUnknown):
            continue
    raise AssertionError("it never came to an end")


async def saved(mailbox: GmailMailbox, op: Op, **change: Any) -> Draft:
    content = DraftContent(**{**vars_of(CONTENT), **change})
    return await mailbox.draft((await mailbox.save_draft(op(), content)).result.id)


def vars_of(content: DraftContent) -> dict[str, Any]:
    return {name: getattr(content, name) for name in ("sender", "to", "subject", "body")}


@pytest.mark.parametrize("cut", CUTS)
async def test_a_draft_is_made_once(gmail: Open, google: Any, op: Op, cut: str) -> None:
    google.fail("POST /gmail/v1/users/me/drafts$", cut)
    async with gmail() as mailbox:
        await until_done(lambda: mailbox.save_draft(op("k"), CONTENT))
    async with gmail() as mailbox:
        again = await mailbox.save_draft(op("k"), CONTENT)
        assert again.is_replay
        (draft,) = google.mail()
        assert draft["labelIds"] == ["DRAFT"]
        assert (await mailbox.draft(again.result.id)).content.body.strip() == "Dear Ann"


@pytest.mark.parametrize("cut", CUTS)
async def test_a_draft_is_changed_once(gmail: Open, google: Any, op: Op, cut: str) -> None:
    async with gmail() as mailbox:
        draft = await saved(mailbox, op)
        google.fail("PUT /gmail/v1/users/me/drafts/", cut)
        content = DraftContent(**{**vars_of(CONTENT), "subject": "New"})
        effect = await until_done(lambda: mailbox.save_draft(op("k"), content, draft.id))
        assert effect.result.id == draft.id
    assert [mail["subject"] for mail in google.mail()] == ["New"]
    assert google.state()["calls"]["gmail.users.drafts.update"] <= 2


@pytest.mark.parametrize("is_rewritten", [False, True])
@pytest.mark.parametrize("cut", CUTS)
async def test_a_mail_is_sent_once(
    gmail: Open, google: Any, op: Op, cut: str, is_rewritten: bool
) -> None:
    google.set(rewrites_message_ids=is_rewritten)
    async with gmail() as mailbox:
        draft = await saved(mailbox, op)
        google.fail("POST .*/drafts/send", cut)
        first = await until_done(lambda: mailbox.send(op("k"), draft))
    async with gmail() as mailbox:
        again = await mailbox.send(op("k"), draft)
        assert (again.is_replay, again.result) == (True, first.result)
        with pytest.raises(Conflict) as refused:
            await mailbox.send(op("other"), draft)
        assert refused.value.code == "already_sent"
    state = google.state()
    assert state["mail"]["sends"] == 1
    assert "gmail.users.messages.send" not in state["calls"]
    (sent,) = google.mail()
    assert (sent["id"], sent["labelIds"]) == (first.result.id, ["SENT"])


async def test_a_sending_that_nobody_answered_is_looked_up_by_the_next_process(
    gmail: Open, google: Any, op: Op
) -> None:
    async with gmail() as mailbox:
        draft = await saved(mailbox, op)
        google.fail("POST .*/drafts/send", "drop_after")
        google.fail("GET .*/threads/", "status", status=403)
        with pytest.raises(OutcomeUnknown):
            await mailbox.send(op("k"), draft)
    async with gmail() as mailbox:
        effect = await mailbox.earlier(op("k"))
        assert effect is not None
        assert effect.is_replay
    assert google.state()["mail"]["sends"] == 1


async def test_a_mail_that_nobody_finds_is_unknown_and_never_sent_again(
    gmail: Open, google: Any, op: Op
) -> None:
    async with gmail() as mailbox:
        draft = await saved(mailbox, op)
        google.fail("POST .*/drafts/send", "drop_after")
        google.fail("GET .*/threads/", "status", status=403)
        with pytest.raises(OutcomeUnknown):
            await mailbox.send(op("k"), draft)
        (sent,) = google.mail()
        # Meanwhile a person deletes the sent mail for good.
        await mailbox._client.do("users.messages", "delete", userId="me", id=sent["id"])
        for _ in range(2):
            with pytest.raises(OutcomeUnknown):
                await mailbox.send(op("k"), draft)
    assert google.state()["mail"]["sends"] == 1


async def test_a_draft_of_a_person_is_found_again_without_our_header(
    gmail: Open, google: Any, op: Op
) -> None:
    async with gmail() as mailbox:
        raw = "VG86IGFubkBleGFtcGxlLmNvbQ0KU3ViamVjdDogSGkNCg0KSGk="  # To, Subject: Hi
        body = {"message": {"raw": raw}}
        made = await mailbox._client.do("users.drafts", "create", userId="me", body=body)
        draft = await mailbox.draft(made["id"])
        google.fail("POST .*/drafts/send", "drop_after")
        sent = await until_done(lambda: mailbox.send(op("k"), draft))
        assert sent.result.to == ["ann@example.com"]
    assert google.state()["mail"]["sends"] == 1


async def test_a_failure_to_read_the_sent_mail_does_not_send_it_again(
    gmail: Open, google: Any, op: Op
) -> None:
    async with gmail() as mailbox:
        draft = await saved(mailbox, op)
        google.fail("GET .*/messages/", "status", status=500, times=1)
        google.fail("POST .*/drafts/send", "status", status=503, times=1)
        await until_done(lambda: mailbox.send(op("k"), draft))
    assert google.state()["mail"]["sends"] == 1


@pytest.mark.parametrize("cut", CUTS)
async def test_mails_are_organized_once(gmail: Open, google: Any, op: Op, cut: str) -> None:
    async with gmail() as mailbox:
        draft = await saved(mailbox, op, to=[Address("office@lakeside.example")])
        mail = (await mailbox.send(op(), draft)).result.id
        google.fail("POST .*/batchModify", cut)
        await until_done(lambda: mailbox.organize(op("k"), [mail], "label", "Work"))
        google.fail("POST .*/labels", cut)
        await until_done(lambda: mailbox.organize(op("m"), [mail], "move", "Later"))
    async with gmail() as mailbox:
        assert (await mailbox.organize(op("k"), [mail], "label", "Work")).is_replay
        (row,) = await mailbox.rows([mail])
        assert (row.folder, row.labels) == ("sent", ["Later", "Work"])
    assert list(google.state()["mail"]["accounts"]["office@lakeside.example"]["labels"]) == [
        "Label_1",
        "Label_2",
    ]


async def test_slow_down_is_heeded_and_nothing_is_done_twice(
    gmail: Open, google: Any, op: Op
) -> None:
    busy = {"error": {"code": 403, "errors": [{"reason": "userRateLimitExceeded"}]}}
    async with gmail() as mailbox:
        draft = await saved(mailbox, op)
        google.fail("POST .*/drafts/send", "status", status=403, body=busy)
        google.fail("POST .*/drafts/send", "status", status=429, headers={"Retry-After": "1"})
        await mailbox.send(op("k"), draft)
    assert google.state()["mail"]["sends"] == 1


async def test_without_a_key_a_broken_sending_is_found_by_itself(
    gmail: Open, google: Any, op: Op
) -> None:
    async with gmail() as mailbox:
        draft = await saved(mailbox, op)
        google.fail("POST .*/drafts/send", "drop_after")
        sent = (await mailbox.send(op(), draft)).result
        (row,) = (await mailbox.search(MailSearch(folder="sent"))).rows
        assert row.id == sent.id


async def test_a_large_draft_is_made_once(gmail: Open, google: Any, op: Op) -> None:
    file = File(name="plan.bin", media_type="application/pdf", content=b"\x00\xff" * 1_200_000)
    content = DraftContent(**{**vars_of(CONTENT), "files": [file]})
    google.fail("POST /upload/gmail/v1/users/me/drafts", "drop_after")
    async with gmail() as mailbox:
        made = await until_done(lambda: mailbox.save_draft(op("k"), content))
        assert (await mailbox.draft(made.result.id)).content.files[0].content == file.content
    assert len(google.mail()) == 1


async def test_a_refusal_leaves_the_key_free(gmail: Open, google: Any, op: Op) -> None:
    async with gmail() as mailbox:
        draft = await saved(mailbox, op, to=[])
        with pytest.raises(ToolsError) as refused:
            await mailbox.send(op("k"), draft)
        assert refused.value.outcome == "none"
        await mailbox.save_draft(op(), CONTENT, draft.id)
        completed = await mailbox.draft(draft.id)
        assert not (await mailbox.send(op("k"), completed)).is_replay


async def test_of_two_drafts_of_one_effect_one_stays(gmail: Open, google: Any, op: Op) -> None:
    async with gmail() as mailbox:
        google.fail("POST /gmail/v1/users/me/drafts$", "drop_after")
        google.fail("GET .*/drafts$", "status", status=403)
        with pytest.raises(OutcomeUnknown):
            await mailbox.save_draft(op("k"), CONTENT)
        (made,) = google.state()["mail"]["accounts"]["office@lakeside.example"]["drafts"]
        read = {"userId": "me", "id": made, "format": "raw"}
        message = (await mailbox._client.read("users.drafts", "get", **read))["message"]
        body = {"message": {"raw": message["raw"]}}
        await mailbox._client.do("users.drafts", "create", userId="me", body=body)
        assert len(google.mail()) == 2
        assert (await mailbox.save_draft(op("k"), CONTENT)).is_replay
    assert len(google.mail()) == 1


async def test_a_draft_is_not_sent_in_another_version(gmail: Open, google: Any, op: Op) -> None:
    async with gmail() as mailbox:
        planned = await saved(mailbox, op)
        await mailbox.save_draft(op(), CONTENT, planned.id)
        now = await mailbox.draft(planned.id)
        assert digest_of(now.content) == digest_of(planned.content)
        assert now.version != planned.version
        with pytest.raises(Conflict) as refused:
            await mailbox.send(op("k"), planned)
        assert refused.value.code == "changed_meanwhile"
        assert google.state()["mail"]["sends"] == 0
        assert not (await mailbox.send(op("k"), now)).is_replay


async def test_a_draft_that_is_changed_while_it_is_sent_goes_out_as_planned_or_not(
    gmail: Open, google: Any, op: Op
) -> None:
    eve = DraftContent(**{**vars_of(CONTENT), "to": [EVE]})
    outcomes: list[str] = []
    async with gmail() as mailbox:
        for number in range(24):
            planned = await saved(mailbox, op)

            async def send(planned: Draft = planned, number: int = number) -> None:
                for _ in range(number % 12):
                    await anyio.lowlevel.checkpoint()
                try:
                    outcomes.append((await mailbox.send(op(), planned)).result.to[0])
                except Conflict as error:
                    outcomes.append(error.code)

            async def change(planned: Draft = planned) -> None:
                with suppress(Conflict, NotFound):  # it was sent
                    await mailbox.save_draft(op(), eve, planned.id)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(change)
                tasks.start_soon(send)
        sent = (await mailbox.search(MailSearch(folder="sent", limit=100))).rows
    assert set(outcomes) <= {str(ANN), "changed_meanwhile"}
    assert {row.to for row in sent} <= {str(ANN)}
    assert google.state()["mail"]["sends"] == outcomes.count(str(ANN))


async def test_who_got_a_mail_that_another_program_changed_at_the_last_moment_is_told(
    gmail: Open, google: Any, op: Op
) -> None:
    """The gap that Gmail leaves: between reading a draft and sending it."""
    async with gmail() as mailbox, gmail() as other:
        planned = await saved(mailbox, op)
        do = mailbox._client.do

        async def late(resource: str, method: str, *args: Any, **named: Any) -> dict[str, Any]:
            if method == "send":
                eve = DraftContent(**{**vars_of(CONTENT), "to": [ANN, EVE]})
                await other.save_draft(op(), eve, planned.id)
            return await do(resource, method, *args, **named)

        mailbox._client.do = late  # type: ignore[method-assign]
        sent = (await mailbox.send(op("k"), planned)).result
        (told,) = sent.warnings
        assert EVE.email in told
        assert ANN.email not in told
        assert sent.to == [str(ANN)]
