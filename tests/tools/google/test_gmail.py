"""What is special about Gmail: addresses, whole words, labels that are folders, sizes."""

from collections.abc import Callable
from typing import Any

import pytest

from aicore_tools.errors import InvalidInput, NotFound
from aicore_tools.mail.backends.gmail import GmailMailbox
from aicore_tools.mail.records import Address, DraftContent, File, MailId, MailSearch
from aicore_tools.operations import Operation

OFFICE = "office@lakeside.example"
ANN = Address("ann@example.com", "Ann Müller")
Open = Callable[..., GmailMailbox]
Op = Callable[..., Operation]


async def sent(mailbox: GmailMailbox, op: Op, **change: Any) -> MailId:
    given = {"sender": Address(OFFICE), "to": [ANN], "subject": "Your offer", "body": "Hi"}
    draft = (await mailbox.save_draft(op(), DraftContent(**{**given, **change}))).result
    return (await mailbox.send(op(), await mailbox.draft(draft.id))).result.id


async def test_the_addresses_are_those_gmail_may_send_as(gmail: Open, google: Any, op: Op) -> None:
    google.set(alias=[OFFICE, "hello@lakeside.example"])
    async with gmail() as mailbox:
        assert [each.email for each in mailbox.addresses] == [OFFICE, "hello@lakeside.example"]
        mail = await sent(mailbox, op, sender=Address("hello@lakeside.example", "Lakeside"))
        row = (await mailbox.get(mail)).row
        assert row.sender == "Lakeside <hello@lakeside.example>"
    async with gmail(f"{OFFICE} gmail.compose") as mailbox:
        assert [each.email for each in mailbox.addresses] == [OFFICE]


async def test_a_draft_is_the_same_by_its_message(gmail: Open, google: Any, op: Op) -> None:
    async with gmail() as mailbox:
        content = DraftContent(sender=Address(OFFICE), subject="Not yet")
        draft = (await mailbox.save_draft(op(), content)).result.id
        (message,) = google.mail()
        by_message = await mailbox.get(message["id"])
        by_message_id = await mailbox.get(message["messageId"])
        assert by_message.row.id == by_message_id.row.id == draft
        assert by_message.row.folder == "drafts"


async def test_names_and_subjects_are_read_as_people_do(gmail: Open, op: Op) -> None:
    async with gmail() as mailbox:
        people = [Address("ann@example.com", "Müller, Ann"), Address("bob@example.com")]
        mail = await sent(mailbox, op, to=people, subject="Grüße & <mehr>", body="a & b <c>")
        (row,) = await mailbox.rows([mail])
        assert row == (await mailbox.get(mail)).row
        assert row.to == "Müller, Ann <ann@example.com>, bob@example.com"
        assert (row.subject, row.snippet) == ("Grüße & <mehr>", "a & b <c>")


@pytest.mark.parametrize("place", ["sent", "drafts"])
async def test_nothing_is_moved_where_gmail_alone_puts_mail(
    gmail: Open, google: Any, op: Op, place: str
) -> None:
    async with gmail() as mailbox:
        mail = await sent(mailbox, op)
        with pytest.raises(InvalidInput):
            await mailbox.organize(op("k"), [mail], "move", place)
        with pytest.raises(NotFound):
            await mailbox.organize(op("k2"), [mail, MailId("abc")], "star")
        assert await mailbox.earlier(op("k")) is None
    assert google.mail()[0]["labelIds"] == ["SENT"]


async def test_a_label_that_is_not_there_is_taken_off_without_making_it(
    gmail: Open, google: Any, op: Op
) -> None:
    async with gmail() as mailbox:
        mail = await sent(mailbox, op)
        done = await mailbox.organize(op(), [mail], "unlabel", "Nothing")
        assert done.result.ids == [mail]
    assert google.state()["mail"]["accounts"][OFFICE]["labels"] == {}


async def test_a_mail_gmail_would_not_take_is_not_tried(gmail: Open, google: Any, op: Op) -> None:
    file = File(name="film.mp4", media_type="video/mp4", content=bytes(27_000_000))
    content = DraftContent(sender=Address(OFFICE), subject="Film", files=[file])
    async with gmail() as mailbox:
        with pytest.raises(InvalidInput):
            await mailbox.save_draft(op("k"), content)
        assert await mailbox.earlier(op("k")) is None
    assert google.mail() == []


async def test_a_search_goes_on_until_the_page_is_full(gmail: Open, op: Op) -> None:
    async with gmail() as mailbox:
        mails = [await sent(mailbox, op, subject=f"Mail {number}") for number in range(5)]
        found: list[str] = []
        search = MailSearch(limit=2, folder="sent", subject="mail")
        for _ in range(3):
            page = await mailbox.search(search)
            found += [row.id for row in page.rows]
            search = MailSearch(limit=2, folder="sent", subject="mail", cursor=page.next_cursor)
        assert (found, page.next_cursor) == (mails[::-1], None)
