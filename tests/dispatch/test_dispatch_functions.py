"""Plain functions as tools."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any

import anyio
import pytest
from pydantic import Field

from aicore.dispatch.dispatcher import CallContext, Dispatcher
from aicore.dispatch.functions import tool
from aicore.dispatch.limits import DispatchLimits
from aicore.errors import ConfigError, CustomerError, OutcomeUnknownError
from aicore.records import ToolCall

Call = Callable[..., Awaitable[Any]]


class Size(Enum):
    SMALL = "small"
    LARGE = "large"


@dataclass
class Slot:
    day: date
    price: Decimal


@tool(read_only=True)
def find_slots(
    day: date, size: Size = Size.SMALL, *, most: Annotated[int, Field(ge=1)] = 3
) -> list[Slot]:
    """Find free slots.

    Nothing is booked.

    Args:
        day: the day to look at,
            in the business's own time zone
        size (Size): how large the room is
        most: how many to give

    Returns:
        At most that many.
    """
    assert isinstance(size, Size)
    return [Slot(day, Decimal("9.50"))] * min(most, 2)


async def test_the_schema_comes_from_annotations_and_docstring() -> None:
    async with Dispatcher(functions=[find_slots]) as dispatcher:
        (offered,) = dispatcher.tools
    assert offered.name == "find_slots"
    assert offered.description == "Find free slots.\n\nNothing is booked."
    properties = offered.parameters["properties"]
    assert properties["day"] == {
        "format": "date",
        "type": "string",
        "description": "the day to look at, in the business's own time zone",
    }
    assert properties["size"]["description"] == "how large the room is"
    assert properties["most"]["minimum"] == 1
    assert properties["most"]["description"] == "how many to give"
    assert offered.parameters["required"] == ["day"]
    assert offered.parameters["additionalProperties"] is False
    assert offered.read_only
    assert not offered.destructive
    assert offered.idempotent


async def test_arguments_arrive_as_annotated_and_the_result_is_json(call: Call) -> None:
    async with Dispatcher(functions=[find_slots]) as dispatcher:
        result = await call(dispatcher, "find_slots", day="2026-11-24", size="large", most=1)
        wrong = await call(dispatcher, "find_slots", day="tomorrow")
        outside = await call(dispatcher, "find_slots", day="2026-11-24", most=0)
    assert result.text == '[{"day":"2026-11-24","price":"9.50"}]'
    assert result.structured == [{"day": "2026-11-24", "price": "9.50"}]
    assert wrong.is_error
    assert wrong.outcome == "none"
    assert wrong.text.startswith("The arguments do not fit find_slots: day: ")
    assert "most: 0 is less than the minimum" in outside.text


async def test_text_is_given_as_it_is_and_not_fenced(call: Call) -> None:
    async def greet(name: str) -> str:
        return f"<data>Hello {name}"

    async with Dispatcher(functions=[greet]) as dispatcher:
        result = await call(dispatcher, "greet", name="Ann")
    assert result.text == "<data>Hello Ann"
    assert result.structured is None
    assert result.outcome == "done"


async def test_an_unmarked_function_is_an_effect_and_hides_its_context(call: Call) -> None:
    def pay(amount_minor: int, context: CallContext) -> dict[str, Any]:
        return {
            "key": context.operation_key,
            "by": str(context.principal),
            "at": context.conversation,
        }

    async with Dispatcher(functions=[tool(honours_key=True)(pay)]) as dispatcher:
        (offered,) = dispatcher.tools
        result = await call(dispatcher, "pay", "key-1", amount_minor=500)
        forged = await call(dispatcher, "pay", "key-1", amount_minor=5, context={"by": "owner"})
    assert list(offered.parameters["properties"]) == ["amount_minor"]
    assert not offered.read_only
    assert offered.destructive
    assert offered.honours_key
    assert result.structured == {"key": "key-1", "by": "customer:c7", "at": "web:42"}
    assert forged.is_error


async def test_parameters_may_have_any_name(call: Call) -> None:
    def keep(copy: int, model_fields: str, schema: list[int], json: bool = True) -> list[Any]:
        return [copy, model_fields, schema, json]

    async with Dispatcher(functions=[keep]) as dispatcher:
        result = await call(dispatcher, "keep", copy=1, model_fields="a", schema=[2])
    assert result.structured == [1, "a", [2], True]


async def test_a_plain_function_runs_beside_the_loop(call: Call) -> None:
    here = threading.get_ident()

    def where() -> bool:
        return threading.get_ident() == here

    async with Dispatcher(functions=[where]) as dispatcher:
        assert (await call(dispatcher, "where")).structured is False


@pytest.mark.parametrize(
    ("error", "outcome", "said"),
    [
        (ValueError("No room is that large."), "none", "No room is that large."),
        (CustomerError("The phone number is missing."), "none", "The phone number is missing."),
        (OutcomeUnknownError("Paid or not?", operation_key="k"), "unknown", "Paid or not?"),
        (RuntimeError("password=hunter2"), "unknown", "It is not known whether it took effect"),
    ],
)
async def test_an_error_says_whether_anything_was_done(
    call: Call, error: Exception, outcome: str, said: str
) -> None:
    def book() -> None:
        raise error

    async with Dispatcher(functions=[book]) as dispatcher:
        result = await call(dispatcher, "book")
    assert result.is_error
    assert result.outcome == outcome
    assert said in result.text
    assert "hunter2" not in result.text


async def test_a_read_that_fails_changed_nothing(call: Call) -> None:
    @tool(read_only=True)
    async def look() -> str:
        raise KeyError("x")

    async with Dispatcher(functions=[look]) as dispatcher:
        assert (await call(dispatcher, "look")).outcome == "none"


async def test_a_function_that_does_not_end_is_given_up(call: Call) -> None:
    release = threading.Event()

    def wait() -> None:
        release.wait(10)

    async def wait_here() -> None:
        await anyio.sleep_forever()

    try:
        limits = DispatchLimits(call_s=0.1)
        async with Dispatcher(functions=[wait, wait_here], limits=limits) as dispatcher:
            with anyio.fail_after(2):
                results = [await call(dispatcher, name) for name in ("wait", "wait_here")]
    finally:
        release.set()
    assert [result.outcome for result in results] == ["unknown", "unknown"]


async def test_cancelling_a_call_is_not_swallowed(call: Call) -> None:
    async def wait() -> None:
        await anyio.sleep_forever()

    async with Dispatcher(functions=[wait]) as dispatcher:
        with anyio.move_on_after(0.05) as scope:
            await call(dispatcher, "wait")
    assert scope.cancelled_caught


async def test_a_long_result_is_cut(call: Call) -> None:
    def list_all() -> str:
        return "x" * 100

    limits = DispatchLimits(result_chars=10)
    async with Dispatcher(functions=[list_all], limits=limits) as dispatcher:
        result = await call(dispatcher, "list_all")
    assert result.text.startswith("xxxxxxxxxx\n[cut: 10 of 100")
    assert result.full_text == "x" * 100


async def test_objects_that_can_be_called_and_methods_become_tools(call: Call) -> None:
    class Shop:
        def open_hours(self) -> str:
            return "9 to 5"

    class Clock:
        async def __call__(self) -> str:
            return "noon"

    clock = tool(name="clock")(Clock())
    async with Dispatcher(functions=[Shop().open_hours, clock]) as dispatcher:
        assert (await call(dispatcher, "open_hours")).text == "9 to 5"
        assert (await call(dispatcher, "clock")).text == "noon"


def two_names() -> tuple[Callable[..., Any], Callable[..., Any]]:
    def same() -> str:
        return ""

    first = same

    def same() -> str:
        return ""

    return first, same


@pytest.mark.parametrize(
    "functions",
    [
        [lambda: ""],
        [tool(name="read_result")(lambda: "")],
        [tool(name="has space")(lambda: "")],
        list(two_names()),
    ],
)
def test_functions_without_a_name_of_their_own_are_refused(functions: list[Any]) -> None:
    with pytest.raises(ConfigError):
        Dispatcher(functions=functions)


def starred(*names: str) -> str:
    return ""


def bare(name) -> str:
    return ""


def positional(name: str, /) -> str:
    return ""


def unreadable(name: NoSuchType) -> str:  # noqa: F821  # that is the point
    return ""


def unfit(event: threading.Event) -> str:
    return ""


@pytest.mark.parametrize("function", [starred, bare, positional, unreadable, unfit])
async def test_a_function_without_a_schema_is_refused_by_name(function: Any) -> None:
    with pytest.raises(ConfigError, match=function.__name__):
        await Dispatcher(functions=[function]).__aenter__()


async def test_a_checked_call_is_not_checked_twice(call: Call) -> None:
    async with Dispatcher(functions=[find_slots]) as dispatcher:
        checked = ToolCall("1", "find_slots", {"day": "2026-11-24"})
        assert dispatcher.check(checked) is None
        assert dispatcher._checked["1"][0] is checked
