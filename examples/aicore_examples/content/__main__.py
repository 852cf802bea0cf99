"""`python -m aicore_examples.content`: staff ask for a mail to a segment; a draft is left."""

from __future__ import annotations

from pathlib import Path

from aicore_examples.stage import Books, Story, run_story

NEWS = "We now have whitening consultations on Saturdays, the first ones on 12 December."

CUSTOMERS = (
    ("Ann Lee", "ann@example.com", "whitening"),
    ("Bob Stone", "bob@example.com", "whitening"),
    ("Cleo Park", "cleo@example.com", "checkup"),
)


async def prepare(config: Path) -> None:
    """Put three customers into the CRM, two of them in the segment."""
    async with Books.opened(config) as books:
        records = [
            {
                "key": email,
                "set": {"name": name, "email": email, "remarks": f"asked about {interest}"},
            }
            for name, email, interest in CUSTOMERS
        ]
        await books.ask("crm_upsert", type="contact", records=records)


async def check(books: Books) -> None:
    """One draft, to the segment only, and nothing sent."""
    drafts = (await books.ask("mail_search", folder="drafts"))["rows"]
    assert len(drafts) == 1, drafts
    draft = await books.ask("mail_read", id=drafts[0]["id"])
    text = str(draft)
    assert "ann@example.com" in text
    assert "bob@example.com" in text
    assert "cleo@example.com" not in text
    assert not (await books.ask("mail_search", folder="sent"))["rows"]


STORY = Story(
    business="newsletter",
    conversation="staff:ann",
    lines=("Please draft a follow-up newsletter", "whitening", NEWS),
    prepare=prepare,
    check=check,
)

if __name__ == "__main__":
    run_story(STORY)
