"""`python -m aicore_examples.lead`: somebody leaves their details for a call back."""

from __future__ import annotations

from aicore_examples.stage import Books, Story, run_story


async def check(books: Books) -> None:
    """A contact with name and number, and an open task about it."""
    contacts = (await books.ask("crm_search", type="contact"))["rows"]
    assert len(contacts) == 1, contacts
    assert contacts[0]["name"] == "Bob Stone"
    tasks = (await books.ask("crm_search", type="task"))["rows"]
    assert len(tasks) == 1, tasks
    assert "braces" in str(tasks[0])


STORY = Story(
    business="lakeside",
    conversation="web:lead",
    lines=(
        "Hi, I would like a call back please",
        "Bob Stone",
        "0151 23456789",
        "bob@example.com",
        "braces for my son",
    ),
    check=check,
)

if __name__ == "__main__":
    run_story(STORY)
