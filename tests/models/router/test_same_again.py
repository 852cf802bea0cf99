"""The same clock, health and seed: the same decisions, pauses and explanations."""

from random import Random
from typing import Any

from tests.models.router.scene import LOCAL, MANAGED, MovedClock, asked, read, scripted

from aicore.errors import AicoreError, Interrupted, ModelError, ProviderUnavailable
from aicore.models.router import Router, RouterLimits
from aicore.models.scripted import Reply

FAULTS: list[Reply] = [
    ProviderUnavailable("Down.", status=503),
    ProviderUnavailable("Busy.", status=429, retry_after_s=3.0),
    Interrupted("Broken.", text="One two three fo"),
    ModelError("Cannot."),
    "One two three four.",
    "One two three four.",
]


async def story(seed: int) -> list[Any]:
    """What became of 40 requests, with faults drawn by a generator of the test's own."""
    drawn = Random(7)
    clock = MovedClock()
    replies = [[drawn.choice(FAULTS) for _ in range(400)] for _ in range(3)]
    members = [
        scripted(name, *replies[place], facts=MANAGED if place else LOCAL)
        for place, name in enumerate("abc")
    ]
    told: list[Any] = []
    limits = RouterLimits(hedge_share=0.0)
    async with Router(members, clock=clock, random=Random(seed), limits=limits) as router:
        for number in range(40):
            clock.seconds += 0.5
            request = asked(data_class="special" if number % 4 == 0 else "personal")
            try:
                text, completion = await read(router.stream(request))
                told.append((text, completion.route))
            except AicoreError as exc:
                told.append((exc.code, exc.route))
    return [told, clock.waits]


async def test_same_seed_tells_the_same_story() -> None:
    first, again, other = await story(1), await story(1), await story(2)

    assert first == again
    assert first != other, "the pauses are spread at random"
    assert {text for text, _ in first[0]} > {"One two three four."}, "some failed"
