"""Statuses and error bodies of real servers, as our errors."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from aicore.errors import (
    AicoreError,
    ContextOverflow,
    CredentialError,
    ModelError,
    ProviderUnavailable,
)
from aicore.models.http_faults import (
    Backend,
    error_for_body,
    error_for_status,
    retry_after_s,
)

BACKEND = Backend(url="http://127.0.0.1:1", model="m", secrets=("sk-secret",))


def fault(status: int, body: Any) -> AicoreError:
    return error_for_status(status, {}, json.dumps(body).encode(), BACKEND)


@pytest.mark.parametrize(
    "error",
    [
        {
            "message": "This model's maximum context length is 4097 tokens. However ...",
            "type": "invalid_request_error",
            "code": "context_length_exceeded",
        },
        {
            "code": 400,
            "message": "the request exceeds the available context size",
            "type": "exceed_context_size_error",
            "n_prompt_tokens": 5000,
            "n_ctx": 4096,
        },
        {"object": "error", "message": "maximum context length is 2048 tokens", "code": 400},
        {"message": "prompt is too long: 210000 tokens > 200000 maximum"},
    ],
)
def test_overflow_is_told_by_its_code(error: dict[str, Any]) -> None:
    for body in ({"error": error}, error):
        found = fault(400, body)
        assert isinstance(found, ModelError)
        assert found.code == "context_overflow"


def test_other_refusals_of_the_request_are_not_overflow() -> None:
    assert fault(400, {"error": {"message": "Invalid schema for function 'x'"}}).code == "model"
    assert ModelError.code == "model"


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "bad thing"}},
        {"error": "bad thing"},
        {"message": "bad thing"},
        {"detail": "bad thing"},
        [{"error": {"message": "bad thing"}}],
    ],
)
def test_message_of_the_server_is_passed_on(body: Any) -> None:
    assert "bad thing" in str(fault(422, body))


@pytest.mark.parametrize(
    "body", [b"", b"no json", b"[]", b"3", b"null", b'{"error": null}', b"\xff"]
)
def test_error_without_a_message_is_still_an_error(body: bytes) -> None:
    assert isinstance(error_for_status(400, {}, body, BACKEND), ModelError)
    assert isinstance(error_for_status(500, {}, body, BACKEND), ProviderUnavailable)


def test_message_is_one_short_line_without_secrets() -> None:
    text = str(fault(422, {"error": {"message": "a\n sk-secret " + "x" * 1000}}))

    assert "a [secret] x" in text
    assert len(text) < 400


def test_key_is_hidden_without_the_word_before_it_in_its_header() -> None:
    backend = Backend(url="http://127.0.0.1:1", model="m", secrets=("Bearer sk-secret",))
    body = json.dumps({"error": {"message": "sk-secret and Bearer sk-secret are no keys"}}).encode()

    assert "sk-secret" not in str(error_for_status(400, {}, body, backend))


def test_message_of_a_refused_key_is_not_passed_on() -> None:
    """Vendors repeat parts of the key in it."""
    assert "sk-s" not in str(fault(401, {"error": {"message": "Incorrect key: sk-s***et"}}))


@pytest.mark.parametrize(
    ("error", "kind", "status"),
    [
        ({"code": 429, "message": "slow down"}, ProviderUnavailable, 429),
        ({"code": 401, "message": "who?"}, CredentialError, None),
        ({"type": "invalid_request_error", "message": "no"}, ModelError, None),
        ({"code": "context_length_exceeded", "message": "no"}, ContextOverflow, None),
        ({"code": "server_error"}, ProviderUnavailable, None),
        ({"code": 7}, ProviderUnavailable, None),
        ("busy", ProviderUnavailable, None),
        (None, ProviderUnavailable, None),
    ],
)
def test_error_inside_a_good_answer(error: Any, kind: type[Exception], status: int | None) -> None:
    found = error_for_body(error, BACKEND)

    assert type(found) is kind
    assert getattr(found, "status", None) == status


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("3", 3.0),
        ("0.5", 0.5),
        ("-1", 0.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("", None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
    ],
)
def test_retry_after_is_read(value: str, seconds: float | None) -> None:
    assert retry_after_s({"retry-after": value}) == seconds


def test_retry_after_may_be_a_date() -> None:
    later = datetime.now(UTC) + timedelta(seconds=100)
    found = retry_after_s({"retry-after": format_datetime(later, usegmt=True)})

    assert found is not None
    assert 95 < found <= 100


def test_no_retry_after() -> None:
    assert retry_after_s({}) is None
