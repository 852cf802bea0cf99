"""What is measured. Each scenario is one kind of turn; a turn is checked to the last letter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dialogue import Question

__all__ = ["LOGGED", "SCENARIOS", "Scenario", "WrongAnswer", "verify", "verify_requests"]


class WrongAnswer(Exception):
    """A turn did not say what the tools said, or cost another number of model requests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One kind of turn.

    `turns` are measured per round, after `warm_up` turns, for `repeats` rounds. `at_once`
    conversations run concurrently. With `is_growing` all turns of a repeat belong to one
    conversation, new in each repeat and measured in `segments` parts; else every turn opens a
    conversation of its own.
    `aim` is the most that aicore / raw should be.
    """

    key: str
    title: str
    aim: float
    turns: int
    repeats: int
    transport: Literal["none", "stdio", "http"] = "none"
    tools: int = 0
    calls: int = 0
    rounds: int = 0
    chunks: int = 0
    pause_us: int = 0
    at_once: int = 1
    warm_up: int = 5
    is_growing: bool = False
    segments: int = 1

    @property
    def requests_per_turn(self) -> int:
        """Model requests that one turn needs."""
        return self.rounds + 1

    def question(self, nonce: str, turn: int) -> Question:
        """The question of a turn, which is the conversation's `turn`-th."""
        return Question(
            nonce, turn, self.rounds, self.calls, self.tools, self.chunks, self.pause_us
        )


SCENARIOS = {
    scenario.key: scenario
    for scenario in (
        Scenario(key="C", title="plain chat", aim=1.2, turns=50, repeats=50, warm_up=30),
        Scenario(
            key="A-stdio",
            title="one tool over stdio",
            aim=1.2,
            turns=20,
            repeats=40,
            warm_up=20,
            transport="stdio",
            tools=1,
            calls=1,
            rounds=1,
        ),
        Scenario(
            key="A-http",
            title="one tool over HTTP",
            aim=1.2,
            turns=20,
            repeats=40,
            warm_up=20,
            transport="http",
            tools=1,
            calls=1,
            rounds=1,
        ),
        Scenario(
            key="B",
            title="50 conversations at once, 2 rounds of 3 tools, HTTP",
            aim=1.2,
            turns=50,
            repeats=20,
            warm_up=50,
            at_once=50,
            transport="http",
            tools=3,
            calls=3,
            rounds=2,
        ),
        Scenario(
            key="D",
            title="100 tools offered, one called, HTTP",
            aim=0.6,
            turns=12,
            repeats=40,
            warm_up=10,
            transport="http",
            tools=100,
            calls=1,
            rounds=1,
        ),
        Scenario(
            key="S",
            title="300 chunks streamed at once",
            aim=0.8,
            turns=8,
            repeats=40,
            chunks=300,
        ),
        Scenario(
            key="S-paced",
            title="300 chunks streamed, 1 ms apart",
            aim=0.8,
            turns=2,
            repeats=10,
            warm_up=1,
            chunks=300,
            pause_us=1000,
        ),
        Scenario(
            key="F",
            title="one conversation of 400 turns, one tool each, HTTP",
            aim=0.5,
            turns=400,
            repeats=3,
            warm_up=10,
            is_growing=True,
            segments=8,
            transport="http",
            tools=1,
            calls=1,
            rounds=1,
        ),
    )
}


LOGGED = ("C", "A-http")
"""Scenarios in which the durable log is compared with the log in memory."""


def verify(scenario: Scenario, questions: list[Question], answers: list[str]) -> None:
    """Check every answer of a round.

    Raises: WrongAnswer for the first that is not what its tools said.
    """
    for question, answer in zip(questions, answers, strict=True):
        if answer != question.expected():
            raise WrongAnswer(
                f"{scenario.key}, turn {question.turn}: got …{answer[-200:]!r}, "
                f"expected …{question.expected()[-200:]!r}"
            )


def verify_requests(scenario: Scenario, turns: int, requests: int) -> None:
    """Check that nobody asked the model more, or less, often than needed.

    Raises: WrongAnswer when the count differs.
    """
    needed = turns * scenario.requests_per_turn
    if requests != needed:
        raise WrongAnswer(
            f"{scenario.key}: {requests} model requests for {turns} turns, not {needed}"
        )
