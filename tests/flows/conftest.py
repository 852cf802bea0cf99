"""A practice to talk to."""

import pytest
from tests.flows.practice import Practice


@pytest.fixture
def practice() -> Practice:
    """A practice with an empty calendar, on Monday 23 November 2026 at 10:00."""
    return Practice()
