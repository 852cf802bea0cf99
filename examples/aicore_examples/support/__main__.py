"""`python -m aicore_examples.support`: questions, then a person."""

from __future__ import annotations

from collections.abc import Sequence

from aicore import Reply
from aicore_examples.stage import Books, Story, run_story


async def check(books: Books) -> None:
    """A task for a person, with what was said."""
    tasks = (await books.ask("crm_search", type="task"))["rows"]
    assert len(tasks) == 1, tasks
    assert "Cleo Park" in str(tasks[0])


def check_replies(replies: Sequence[Reply]) -> None:
    """Answers come from the facts and name their place in them."""
    assert "from:" in replies[0].text
    assert "from:" in replies[1].text
    assert not any(call.result and call.result.is_error for r in replies for call in r.calls)


STORY = Story(
    business="lakeside",
    conversation="web:support",
    lines=(
        "When are you open on Friday?",
        "How much is a cleaning?",
        "I want to talk to a person",
        "Cleo Park",
        "cleo@example.com",
        "a bill that I do not understand",
    ),
    check=check,
    check_replies=check_replies,
)

if __name__ == "__main__":
    run_story(STORY)
