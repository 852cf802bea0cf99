"""Requests and providers for the tests of models."""

from collections.abc import Callable
from typing import Any

import pytest

from aicore.models import Completion, OpenAICompatible, Request
from aicore.records import Message, Prefix


@pytest.fixture
def ask() -> Callable[..., Request]:
    """Make a request from one user text."""

    def make(text: str = "hi", **changes: Any) -> Request:
        fields: dict[str, Any] = {
            "prefix": Prefix("Be kind."),
            "tail": [Message(role="user", text=text)],
        }
        return Request(**{**fields, **changes})

    return make


@pytest.fixture
def collect() -> Callable[..., Any]:
    """Run a stream to its end: gives the deltas and the completion."""

    async def run(provider: OpenAICompatible, request: Request) -> tuple[list[str], Completion]:
        *deltas, last = [item async for item in provider.stream(request)]
        assert isinstance(last, Completion)
        return [item.delta for item in deltas], last

    return run
