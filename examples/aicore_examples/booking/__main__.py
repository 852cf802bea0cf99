"""`python -m aicore_examples.booking`: a customer books; a second delivery changes nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from aicore_examples.stage import Books, Story, run_story


async def check(books: Books) -> None:
    """One appointment, one customer, one confirmation mail."""
    now = datetime.now(UTC).replace(microsecond=0)
    events = await books.ask(
        "calendar_events", start=now.isoformat(), end=(now + timedelta(days=60)).isoformat()
    )
    assert len(events["events"]) == 1, events
    assert "Ann Lee" in events["events"][0]["title"]
    contacts = (await books.ask("crm_search", type="contact"))["rows"]
    assert [row["email"] for row in contacts] == ["ann@example.com"], contacts
    sent = (await books.ask("mail_search", folder="sent"))["rows"]
    assert len(sent) == 1, sent


STORY = Story(
    business="lakeside",
    conversation="web:booking",
    lines=(
        "Hello, I would like to book a cleaning",
        "next tuesday at 3pm",
        "I'm Ann Lee, ann@example.com",
        "actually, better at 4pm",
        "yes",
    ),
    check=check,
    is_delivered_twice=True,
)

if __name__ == "__main__":
    run_story(STORY)
