"""Long texts behind a masked provider: others do not wait for them, and no part goes unseen."""

import anyio
from tests.trust.test_masked import EMAIL, NAME, everything, masking, request, user

from aicore.records import Message, ToolCall


async def test_text_too_long_to_look_through_is_cut_and_says_so() -> None:
    text = f"{'very ' * 39_999}Quokka {EMAIL} and {NAME}"
    async with masking("ok") as (provider, inner, _):
        await provider.complete(request(user(text), user("short")))
    first, second = inner.requests[0].tail
    assert "Quokka" not in first.text
    assert EMAIL not in first.text
    assert len(first.text) < 200_100
    assert "more characters" in first.text
    assert second.text == "short"


async def test_what_no_model_is_shown_is_not_sent() -> None:
    made = Message(role="assistant", calls=(ToolCall("c1", "book", {}),))
    given = Message(role="tool", call_id="c1", text="cut", structured={"all": ["x" * 1_000]})
    async with masking("ok") as (provider, inner, _):
        await provider.complete(request(user("hi"), made, given))
    assert "xxx" not in everything(inner.requests[0])


async def test_names_are_found_in_two_long_texts_at_once() -> None:
    def text(name: str) -> str:
        return f"My name is {name}. {'Is it so? ' * 3_000} {name}"

    async with masking(*["ok"] * 8) as (provider, inner, _), anyio.create_task_group() as tasks:
        for name in ("Xanthe", "Ygritte", "Zebulon", "Wolfram"):
            tasks.start_soon(provider.complete, request(user(text(name)), user("Xanthe?")))
    sent = "".join(map(everything, inner.requests))
    assert [one for one in ("Ygritte", "Zebulon", "Wolfram") if one in sent] == []
