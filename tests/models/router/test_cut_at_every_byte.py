"""A recorded stream is cut at every byte, and another model goes on: each word and call once."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.models.fake_openai import DONE, Asked, Play, call, serving, stream_play
from tests.models.router.scene import PRICE, asked, read

from aicore.models import OpenAICompatible, Request
from aicore.models.router import Router, RouterLimits
from aicore.records import Prefix, Tool

TEXT = "Grüße, Ann! Am 24.11. sind\n\n3 Zeiten frei: 9:00, 15:30 Uhr \U0001f600 - ich sehe nach."
PIECES = ["Grü", "ße, Ann! Am 24.1", "1. sind\n", "\n3 Zeiten frei: 9:00, 15:"]
PIECES += ["30 Uhr \U0001f600 - ich se", "he nach."]
ARGUMENTS = '{"name": "Änn"}'
FIND = Tool(name="find", description="Find.", parameters={}, server="crm", remote_name="find")
# Nobody rests, and retries are not counted: each cut is a request of its own.
LIMITS = RouterLimits(failures=10**9, hedge_share=0.0)


def event(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"delta": delta} if finish is None else {"finish_reason": finish}
    return b"data:%s\n\n" % json.dumps({"choices": [choice]}, ensure_ascii=False).encode()


def recorded() -> bytes:
    events = [event({"content": piece}) for piece in PIECES]
    for at in range(0, len(ARGUMENTS), 8):
        function = {"arguments": ARGUMENTS[at : at + 8]}
        one = {"index": 0, "function": function}
        if not at:
            one |= {"id": "call_a", "function": {"name": "find", **function}}
        events.append(event({"tool_calls": [one]}))
    return b"".join([*events, event({}, "tool_calls"), DONE])


RECORDED = recorded()


def so_far(asked: Asked) -> str | None:
    """What the model is told it had said, None when it is asked anew."""
    messages = asked.json["messages"]
    return messages[-2]["content"] if messages[-2]["role"] == "assistant" else None


def goes_on(shown: str) -> str:
    return TEXT[len(shown) :].lstrip()


def begins_anew(shown: str) -> str:
    return TEXT


def repeats_the_last_words(shown: str) -> str:
    return " ".join([*shown.split()[-3:], goes_on(shown)]) if len(shown.split()) > 2 else TEXT


@pytest.mark.parametrize("manner", [goes_on, begins_anew, repeats_the_last_words])
async def test_text_and_call_come_once_wherever_the_stream_is_cut(
    manner: Callable[[str], str],
) -> None:
    cut = 0

    def first(asked: Asked) -> Play:
        return stream_play(*([RECORDED[:cut]] if cut else []), end="cut")

    def second(asked: Asked) -> Play:
        shown = so_far(asked)
        text = TEXT if shown is None else manner(shown)
        calls = {"tool_calls": [call(0, "find", ARGUMENTS, "call_b")]}
        said = event({"content": text[:9]}), event({"content": text[9:]})
        return stream_play(b"".join(said), event(calls) + event({}, "tool_calls") + DONE)

    request: Request = asked(prefix=Prefix("Be kind.", [FIND]))
    answered: list[str] = []
    async with (
        serving(otherwise=first) as a,
        serving(otherwise=second) as b,
        OpenAICompatible(base_url=a.base_url, model="a") as provider_a,
        OpenAICompatible(base_url=b.base_url, model="b", price=PRICE) as provider_b,
        Router([provider_a, provider_b], limits=LIMITS) as router,
    ):
        for cut in range(len(RECORDED) + 1):
            text, completion = await read(router.stream(request))
            (made,) = completion.calls
            assert text == completion.text == TEXT, cut
            assert (made.name, made.arguments) == ("find", {"name": "Änn"})
            answered.append(completion.provider)

    told = [so_far(one) for one in b.requests]
    assert None in told, "nothing was handed on: begun anew"
    assert max(len(shown) for shown in told if shown is not None) > len(TEXT) - 10
    assert answered == sorted(answered, reverse=True), "whole from some byte on"
    assert {*answered} == {"openai:a", "openai:b"}
