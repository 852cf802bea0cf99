"""Flows that stand in for models promise, once, that a person follows up."""

from aicore.flows import FlowProvider
from aicore.flows.follow_up import FollowUp
from aicore.models import Completion, Request, TextDelta
from aicore.records import Message, Prefix, Tool, ToolCall

FLOW = {"flow": "hours", "triggers": ["opening hours"], "steps": [{"say": "We open at nine."}]}
PROMISE = "A colleague will read this"


def flows() -> FollowUp:
    return FollowUp(FlowProvider(FLOW))


def asked(*texts: str) -> Request:
    return Request(prefix=Prefix(""), tail=[Message(role="user", text=one) for one in texts])


def answered(request: Request, completion: Completion, text: str, provider: str) -> Request:
    reply = Message(
        role="assistant", text=completion.text, provider=provider, state=completion.state
    )
    tail = [*request.tail, reply, Message(role="user", text=text)]
    return Request(prefix=request.prefix, tail=tail)


async def test_the_answer_is_the_flows_and_the_promise_is_made_once() -> None:
    async with flows() as provider:
        first = asked("What are your opening hours?")
        completion = await provider.complete(first)
        assert "We open at nine." in completion.text
        assert PROMISE in completion.text

        again = await provider.complete(
            answered(first, completion, "opening hours please", provider.name)
        )
        assert "We open at nine." in again.text
        assert PROMISE not in again.text


async def test_after_a_model_has_answered_it_is_promised_anew() -> None:
    async with flows() as provider:
        first = asked("opening hours")
        completion = await provider.complete(first)
        model = Completion(text="Of course.")
        then = answered(
            answered(first, completion, "and on Sunday?", provider.name), model, "hm", "gpt"
        )
        assert PROMISE in (await provider.complete(then)).text


async def test_a_stream_says_the_same() -> None:
    async with flows() as provider:
        request = asked("opening hours")
        *deltas, last = [part async for part in provider.stream(request)]
        assert isinstance(last, Completion)
        shown = "".join(one.delta for one in deltas if isinstance(one, TextDelta))
        assert shown == last.text == (await provider.complete(request)).text


async def test_a_call_of_a_flow_is_no_place_for_a_promise() -> None:
    flow = {
        "flow": "look",
        "triggers": ["find Ann"],
        "steps": [{"call": "find", "with": {}, "on_error": "go_on"}],
    }
    tool = Tool(
        name="find", description="", parameters={"type": "object"}, server="s", remote_name="find"
    )
    request = Request(prefix=Prefix("", [tool]), tail=[Message(role="user", text="find Ann")])
    async with FollowUp(FlowProvider(flow)) as provider:
        completion = await provider.complete(request)
    assert completion.calls
    assert PROMISE not in completion.text


async def test_the_work_that_a_model_broke_off_is_not_taken_for_a_question() -> None:
    called = Message(role="assistant", calls=(ToolCall("c1", "find", {}),), provider="gpt")
    result = Message(role="tool", call_id="c1", text="Ann Lee")
    async with flows() as provider:
        first = asked("opening hours")
        completion = await provider.complete(first)
        talk = answered(first, completion, "and find Ann", provider.name)
        broken = Request(prefix=Prefix(""), tail=[*talk.tail, called, result])
        said = await provider.complete(broken)
        assert PROMISE in said.text
        assert "nine" not in said.text
        parts = [part async for part in provider.stream(broken)]
        assert parts == [TextDelta(said.text), said]

        # The flows go on from where they were.
        then = answered(broken, said, "opening hours please", provider.name)
        again = await provider.complete(then)
        assert "We open at nine." in again.text
        assert "I am" not in again.text, "they have introduced themselves before"
