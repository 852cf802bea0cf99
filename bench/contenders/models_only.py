"""Our dialect by itself, and a router over two of it: what a request costs without an agent."""

from __future__ import annotations

from decimal import Decimal
from typing import Self

from dialogue import INSTRUCTIONS, MODEL

from aicore.models import OpenAICompatible, Price
from aicore.models.budget import Budget, BudgetLimits, MemoryLedger
from aicore.models.port import Completion, Origin, Provider, Request
from aicore.models.router import Router
from aicore.records import Message, Prefix

_PRICE = Price(input_usd=Decimal(1), output_usd=Decimal(4))


class ModelsOnly:
    """Asks a provider, and keeps the conversations itself."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._prefix = Prefix(INSTRUCTIONS)
        self._tails: dict[str, tuple[Message, ...]] = {}

    async def __aenter__(self) -> Self:
        await self._provider.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._provider.__aexit__(None, None, None)

    async def send(self, conversation: str, text: str) -> str:
        """One turn."""
        completion = await self._provider.complete(self._ask(conversation, text))
        return self._keep(conversation, completion.text)

    async def stream(self, conversation: str, text: str) -> str:
        """One turn, streamed."""
        stream = self._provider.stream(self._ask(conversation, text))
        parts = [part.delta async for part in stream if not isinstance(part, Completion)]
        return self._keep(conversation, "".join(parts))

    def _ask(self, conversation: str, text: str) -> Request:
        tail = (*self._tails.get(conversation, ()), Message(role="user", text=text))
        self._tails[conversation] = tail
        origin = Origin(conversation=conversation, turn=len(tail), task="reply")
        return Request(prefix=self._prefix, tail=tail, origin=origin, max_output_tokens=400)

    def _keep(self, conversation: str, text: str) -> str:
        self._tails[conversation] += (Message(role="assistant", text=text),)
        return text


def open_models_only(name: str, model_url: str) -> ModelsOnly:
    """The dialect (`provider`), or a router over two of it, `router-budget` with a budget."""
    if name == "provider":
        return ModelsOnly(_provider(model_url, "one"))
    budget = None
    if name == "router-budget":
        limits = BudgetLimits(day_usd=Decimal(1000), month_usd=Decimal(10_000))
        budget = Budget(MemoryLedger(), limits)
    members = [_provider(model_url, "one"), _provider(model_url, "two")]
    return ModelsOnly(Router(members, budget=budget))


def _provider(model_url: str, name: str) -> Provider:
    return OpenAICompatible(base_url=model_url, model=MODEL, name=name, price=_PRICE)
