"""Events as JSON text: everything comes back, whatever a person or a tool wrote."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aicore.log.events import (
    CLOSING,
    OPENING,
    ApprovalDecided,
    ApprovalRequested,
    Body,
    MessageReceived,
    ModelReplied,
    ReplySent,
    Summarized,
    ToolFinished,
    ToolStarted,
    TurnFailed,
    TurnRetried,
    TurnWaiting,
    decode,
    encode,
    turn_left_open,
)
from aicore.records import ApprovalId, OperationKey, Principal, ToolCall, Usage

any_text = st.text(st.characters(exclude_categories=()), max_size=20)
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=8,
)
calls = st.builds(ToolCall, any_text, any_text, st.dictionaries(any_text, any_json, max_size=3))
usages = st.builds(
    Usage,
    input_tokens=st.integers(0),
    cached_tokens=st.integers(0),
    output_tokens=st.integers(0),
    cost_usd=st.none() | st.decimals(allow_nan=False, allow_infinity=False),
    is_reported=st.booleans(),
)
principals = st.builds(
    Principal, st.sampled_from(["customer", "staff", "owner", "system"]), any_text
)
approval_ids = any_text.map(ApprovalId)
bodies = st.one_of(
    st.builds(
        MessageReceived,
        text=any_text,
        principal=principals,
        channel=any_text,
        message_id=st.none() | any_text,
    ),
    st.builds(
        ModelReplied,
        text=any_text,
        calls=st.lists(calls, max_size=3).map(tuple),
        usage=usages,
        provider=any_text,
        model=any_text,
        finish=any_text,
        state=any_json,
    ),
    st.builds(ApprovalRequested, approval_id=approval_ids, call=calls, reason=any_text),
    st.builds(
        ApprovalDecided,
        approval_id=approval_ids,
        is_approved=st.booleans(),
        by=any_text,
        reason=any_text,
    ),
    st.builds(
        ToolStarted, call_id=any_text, tool=any_text, operation_key=any_text.map(OperationKey)
    ),
    st.builds(
        ToolFinished,
        call_id=any_text,
        tool=any_text,
        text=any_text,
        is_error=st.booleans(),
        structured=any_json,
        outcome=any_text,
        full_text=st.none() | any_text,
        elapsed_ms=st.integers(0),
    ),
    st.builds(TurnWaiting, approval_ids=st.lists(approval_ids).map(tuple), text=any_text),
    st.builds(ReplySent, text=any_text),
    st.builds(TurnFailed, code=any_text, message=any_text),
    st.just(TurnRetried()),
    st.builds(
        Summarized,
        text=any_text,
        covers_seq=st.integers(0),
        carries=st.lists(st.integers(1)).map(tuple),
        digest=any_json,
        provider=any_text,
        usage=st.none() | usages,
    ),
)


def with_pairs_joined(text: str) -> str:
    """Two surrogates that form a pair are the character they mean."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def has_pairs(body: Body) -> bool:
    return repr(body).count("\\ud") > 0 and _joined(repr(body))


def _joined(shown: str) -> bool:
    text = shown.encode().decode("unicode_escape", "surrogatepass")
    return with_pairs_joined(text) != text


@given(bodies)
def test_a_body_comes_back_as_it_was(body: Body) -> None:
    kind, text = encode(body)
    text.encode()  # always storable
    back = decode(kind, text)
    assert type(back) is type(body)
    if not has_pairs(body):
        assert back == body
    assert encode(back)[1].encode()


@given(any_text)
def test_a_surrogate_pair_comes_back_as_its_character(text: str) -> None:
    assert decode(*encode(ReplySent(text=text))) in (
        ReplySent(text=text),
        ReplySent(text=with_pairs_joined(text)),
    )


def test_money_keeps_its_last_zero() -> None:
    reply = ModelReplied(
        text="", calls=(), usage=Usage(cost_usd=Decimal("0.10")), provider="", model="", finish=""
    )
    back = decode(*encode(reply))
    assert isinstance(back, ModelReplied)
    assert str(back.usage.cost_usd) == "0.10"


def test_plain_text_is_kept_readable() -> None:
    assert encode(ReplySent(text="Grüß dich 😀")) == ("reply_sent", '{"text":"Grüß dich 😀"}')


def test_a_kind_nobody_knows_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        decode("from_the_future", "{}")


@given(st.lists(bodies, max_size=6))
def test_the_last_opening_or_closing_body_decides(history: list[Body]) -> None:
    expected = None
    for body in history:
        if type(body) in OPENING | CLOSING:
            expected = type(body) in OPENING
    assert turn_left_open(history) is expected


def test_a_summary_of_an_earlier_version_is_read() -> None:
    assert decode("summarized", '{"text":"so far","covers_seq":3}') == Summarized(
        text="so far", covers_seq=3
    )
