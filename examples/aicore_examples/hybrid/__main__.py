"""`python -m aicore_examples.hybrid`: no model, no key, no network; both models are played."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from decimal import Decimal
from importlib.resources import as_file, files

import anyio

from aicore import Agent
from aicore.errors import ProviderUnavailable
from aicore.flows import FlowProvider
from aicore.flows.follow_up import FollowUp
from aicore.log import MemoryLog
from aicore.log.events import ModelReplied
from aicore.models import Capabilities, Completion, Price, Provider, Request, Router
from aicore.models import ScriptedProvider as Scripted
from aicore.models.budget import Budget, BudgetLimits, MemoryLedger
from aicore.models.router import DataRule, DataRules
from aicore.models.scripted import Reply
from aicore.records import ConversationId, Usage
from aicore.trust.masked import Masked
from aicore.trust.vault import Vaults
from aicore.trust.vault_key import VaultKey
from aicore.trust.vault_store import MemoryVaultStore

CONVERSATION = ConversationId("web:42")
FREE = Price(input_usd=Decimal(0), output_usd=Decimal(0))
RENTED = Price(input_usd=Decimal(1), output_usd=Decimal(5))
TOLD = Usage(input_tokens=900, output_tokens=40)
MAIL = "ann.lee@example.org"
RULES = DataRules(
    {
        "public": DataRule(),
        "internal": DataRule(),
        "personal": DataRule(must_mask=True),
        "special": DataRule(localities=frozenset({"in_process", "local"})),
    }
)
LINES = (
    f"Hello, I am Ann. Is {MAIL} the address you have of me?",
    "I take insulin for my diabetes. Does that matter for the whitening?",
    "Thank you. What are your opening hours?",
)


def machine(*replies: Reply) -> Provider:
    """An own machine, played."""
    return Scripted(replies, name="own", capabilities=Capabilities(locality="local", price=FREE))


def vendor(seen: list[str]) -> Scripted:
    """A rented model, played: it repeats what it was asked, and `seen` keeps that."""

    def answer(request: Request) -> Reply:
        seen.append(request.tail[-1].text)
        return Completion(text=f"You asked: {seen[-1]}", usage=TOLD, model="large")

    facts = Capabilities(locality="managed", vendor="example", region="eu", price=RENTED)
    return Scripted([answer] * 9, name="rented", capabilities=facts)


async def main() -> None:
    """Play the conversation, then show from the log who answered and why."""
    logging.basicConfig(format="  (staff are told: %(message)s)", stream=sys.stdout)
    seen: list[str] = []
    busy = ProviderUnavailable("The machine is busy.", status=503)
    own = machine(busy, Completion(text="Tell the dentist, please.", usage=TOLD), *[busy] * 9)
    vaults = Vaults(MemoryVaultStore(), VaultKey.random())
    with as_file(files("aicore_examples").joinpath("lakeside")) as lakeside:
        router = Router(
            [own, Masked(vendor(seen), vaults)],
            rules=RULES,
            budget=Budget(MemoryLedger(), BudgetLimits(day_usd=Decimal(1))),
            fallback=FollowUp(FlowProvider(lakeside / "assistant.yaml")),
        )
        log = MemoryLog()
        async with Agent(provider=router, log=log) as agent:
            for line in LINES:
                reply = await agent.send(line, conversation=CONVERSATION)
                print(f"\nyou> {line}\n{reply.text}")
            answers = [
                event.body
                for event in await log.read(CONVERSATION)
                if isinstance(event.body, ModelReplied)
            ]
    show(answers, seen)
    check(answers, seen)
    print("\nchecked: each answer came from where the rules allow it, and no word went elsewhere.")


def show(answers: Sequence[ModelReplied], seen: Sequence[str]) -> None:
    """Print who answered and why, and what the vendor was sent."""
    print("\nWho answered, and why")
    for answer in answers:
        cost = answer.usage.cost_usd
        print(f"  {answer.data_class}: {answer.provider}, ${cost}; {answer.route['because']}")
        for provider, stage, rule in answer.route["ruled_out"]:
            print(f"    not {provider}, by {stage}: {rule}")
        for attempt in answer.route["attempts"]:
            status = f" {attempt['status']}" if attempt["status"] else ""
            print(f"    {attempt['provider']} {attempt['outcome']}{status}")
    print("\nWhat the vendor was sent")
    for text in seen:
        print(f"  {text}")


def check(answers: Sequence[ModelReplied], seen: Sequence[str]) -> None:
    """Raise AssertionError where something went where it should not."""
    assert [one.provider for one in answers] == ["masked:rented", "own", "flows"]
    assert [one.data_class for one in answers] == ["personal", "special", "special"]
    assert len(seen) == 1, "only the first message may leave"
    assert MAIL not in seen[0], "a placeholder stands for the address"
    assert MAIL in answers[0].text, "the customer reads the address"
    assert answers[2].route["degraded"], "the flows stood in"


if __name__ == "__main__":
    anyio.run(main)
