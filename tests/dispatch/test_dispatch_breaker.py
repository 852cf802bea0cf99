"""A server that keeps failing is left alone, then tried again."""

from __future__ import annotations

import pytest

from aicore.dispatch.breaker import Breaker


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def opened(clock: Clock) -> Breaker:
    breaker = Breaker(3, 30, clock)
    for _ in range(3):
        breaker.failed()
    return breaker


def test_it_opens_after_failures_in_a_row(clock: Clock) -> None:
    breaker = Breaker(3, 30, clock)
    breaker.failed()
    breaker.failed()
    assert breaker.allow()
    assert not breaker.is_open
    breaker.failed()
    assert breaker.is_open
    assert not breaker.allow()


def test_an_answer_starts_the_count_again(clock: Clock) -> None:
    breaker = Breaker(2, 30, clock)
    breaker.failed()
    breaker.succeeded()
    breaker.failed()
    assert breaker.allow()


def test_one_trial_goes_through_after_the_pause(clock: Clock) -> None:
    breaker = opened(clock)
    clock.now += 29
    assert not breaker.allow()
    clock.now += 2
    assert breaker.allow()
    assert not breaker.allow()


def test_a_trial_that_succeeds_closes_it(clock: Clock) -> None:
    breaker = opened(clock)
    clock.now += 31
    assert breaker.allow()
    breaker.succeeded()
    assert breaker.allow()
    assert breaker.allow()


def test_a_trial_that_fails_starts_the_pause_again(clock: Clock) -> None:
    breaker = opened(clock)
    clock.now += 31
    assert breaker.allow()
    breaker.failed()
    clock.now += 29
    assert not breaker.allow()


def test_a_new_connection_lets_calls_through_until_one_fails(clock: Clock) -> None:
    breaker = opened(clock)
    breaker.reconnected()
    assert breaker.allow()
    assert breaker.allow()
    breaker.failed()
    assert not breaker.allow()
