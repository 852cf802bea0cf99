"""Sandboxes that are kept from test to test."""

from collections.abc import Callable, Iterator

import pytest
from tests.contracts.payments_rows import Peer, sandboxes_kept


@pytest.fixture(scope="module")
def sandboxes() -> Iterator[Callable[[], Callable[[str], Peer]]]:
    with sandboxes_kept() as of_a_test:
        yield of_a_test


@pytest.fixture
def sandbox(sandboxes: Callable[[], Callable[[str], Peer]]) -> Callable[[str], Peer]:
    return sandboxes()
