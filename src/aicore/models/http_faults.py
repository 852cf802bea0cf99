"""What an HTTP answer that is no success means, as our errors."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any

from aicore.errors import (
    AicoreError,
    ConfigError,
    ContextOverflow,
    CredentialError,
    ModelError,
    OperatorError,
    ProviderUnavailable,
)

__all__ = [
    "Backend",
    "error_for_body",
    "error_for_status",
    "is_refusal",
    "is_refusal_error",
    "retry_after_s",
]

_MESSAGE_CHARS = 200
_RETRYABLE = frozenset({408, 409, 425, 429})
_OVERFLOW_CODES = frozenset(
    {"context_length_exceeded", "exceed_context_size_error", "request_too_large"}
)
_OVERFLOW_TEXT = re.compile(
    r"context (length|limit|window|size)|maximum context|prompt is too long"
    r"|too many (input )?tokens|input token count",
    re.IGNORECASE,
)
# OpenAI (429) and a LiteLLM proxy (400 or 429) say so; waiting does not help.
_NO_CREDIT = frozenset({"budget_exceeded", "insufficient_quota"})
# Anthropic says both with 400, the second of a limit that its customer has set.
_NO_CREDIT_TEXT = re.compile(
    r"credit balance is too low|reached your specified .{0,40}usage limit", re.IGNORECASE
)
# Anthropic's errors within a stream name no status; these are what they have elsewhere
# (https://platform.claude.com/docs/en/api/errors).
_STATUS_OF_TYPE = {
    "api_error": 500,
    "authentication_error": 401,
    "billing_error": 402,
    "invalid_request_error": 400,
    "not_found_error": 404,
    "overloaded_error": 529,
    "permission_error": 403,
    "rate_limit_error": 429,
    "request_too_large": 413,
    "timeout_error": 504,
}
# Google refuses a key with 400, and says in the details of its errors what others say in headers.
_BAD_KEY_REASON = "API_KEY_INVALID"
_DELAY = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s", re.ASCII)
_REFUSAL_CODES = frozenset({"content_filter", "content_policy_violation"})
_REFUSAL_TEXT = re.compile("blocked by content filtering policy", re.IGNORECASE)  # Anthropic


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """Who is spoken to, for the sentences of errors. `secrets` never appear in them.

    `key_remedy` is where the key comes from, if not from `api_key` or `api_key_env`.
    """

    url: str
    model: str
    secrets: tuple[str, ...] = field(default=(), repr=False)
    key_remedy: str = ""


def error_for_status(
    status: int, headers: Mapping[str, str], body: bytes, backend: Backend
) -> AicoreError:
    """Translate an answer with a status other than 200."""
    return _error(status, _error_object(body), backend, retry_after_s(headers))


def error_for_body(error: Any, backend: Backend) -> AicoreError:
    """Translate an error object that came inside an answer with status 200."""
    found = error if isinstance(error, Mapping) else {"message": error}
    status = found.get("code")
    if isinstance(status, str) and status.isdecimal():  # a LiteLLM proxy writes it as text
        status = int(status)
    if not isinstance(status, int) or not 400 <= status <= 599:
        is_overflow = found.get("code") in _OVERFLOW_CODES
        status = 400 if is_overflow else _STATUS_OF_TYPE.get(str(found.get("type")))
    return _error(status, found, backend, None)


def is_refusal(status: int, body: bytes) -> bool:
    """Tell whether it is a content filter speaking.

    Azure and Anthropic answer so with 400, OpenRouter with 403.
    """
    return status in (400, 403) and is_refusal_error(_error_object(body))


def is_refusal_error(error: Any) -> bool:
    """Tell whether an error object is a content filter speaking."""
    if not isinstance(error, Mapping):
        return False
    metadata = error.get("metadata")
    if isinstance(metadata, Mapping) and "flagged_input" in metadata:  # OpenRouter's moderation
        return True
    told = str(error.get("message"))
    return str(error.get("code")) in _REFUSAL_CODES or bool(_REFUSAL_TEXT.search(told))


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Read Retry-After, in seconds or as a date (RFC 9110, 10.2.3); None where it is not usable."""
    value = headers.get("retry-after", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except ValueError:
            return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None


def _error(
    status: int | None, found: Mapping[str, Any], backend: Backend, wait_s: float | None
) -> AicoreError:
    model, url = backend.model, backend.url
    said = _said(found, backend.secrets)
    words = (str(found.get("code")), str(found.get("type")))
    if status == 402 or _NO_CREDIT.intersection(words) or _NO_CREDIT_TEXT.search(said):
        return OperatorError(f"The account at {url} has no credit left{said}")
    if status is None or status in _RETRYABLE or status >= 500:
        return ProviderUnavailable(
            f"The model server at {url} cannot answer now"
            f"{'' if status is None else f' (HTTP {status})'}{said}",
            status=status,
            retry_after_s=_told_wait_s(found) if wait_s is None else wait_s,
        )
    if status in (401, 403) or _is_bad_key(found):
        # What the server says here may quote the key.
        return CredentialError(
            f"The model server at {url} refused the key (HTTP {status}). "
            + (backend.key_remedy or f"Set one that may use {model!r}, by api_key or api_key_env.")
        )
    if found.get("status") == "FAILED_PRECONDITION":  # Google: the country, or no billing
        return OperatorError(f"{url} does not serve this account as it is{said}")
    if status == 404:
        return ConfigError(
            f"The model server at {url} has no model {model!r}, or nothing at this address. "
            f"Correct model or base_url{said}"
        )
    if status < 400 or status == 405:
        return ConfigError(
            f"{url} answers with HTTP {status}, not as a model server does. Correct base_url."
        )
    return _model_error(status, found, backend, said)


def _model_error(status: int, found: Mapping[str, Any], backend: Backend, said: str) -> ModelError:
    is_overflow = found.get("code") in _OVERFLOW_CODES or found.get("type") in _OVERFLOW_CODES
    if is_overflow or _OVERFLOW_TEXT.search(said):
        return ContextOverflow(
            f"The conversation is longer than the context of {backend.model!r}. "
            f"Shorten it, or use a model with a larger context{said}"
        )
    return ModelError(f"{backend.model!r} cannot take this request (HTTP {status}){said}")


def _details(found: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    details = found.get("details")
    return [one for one in details if isinstance(one, Mapping)] if isinstance(details, list) else []


def _is_bad_key(found: Mapping[str, Any]) -> bool:
    return any(one.get("reason") == _BAD_KEY_REASON for one in _details(found))


def _told_wait_s(found: Mapping[str, Any]) -> float | None:
    """Read Google's RetryInfo: seconds as text, `34.5s`."""
    for one in _details(found):
        match = _DELAY.fullmatch(str(one.get("retryDelay")))
        if match is not None:
            return float(match[1])
    return None


def _error_object(body: bytes) -> Mapping[str, Any]:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    if isinstance(data, list) and data:  # Google wraps its errors in a list
        data = data[0]
    if not isinstance(data, Mapping):
        return {}
    error = data.get("error", data)
    return error if isinstance(error, Mapping) else {"message": error}


def _said(found: Mapping[str, Any], secrets: tuple[str, ...]) -> str:
    message = found.get("message") or found.get("detail")
    if not isinstance(message, str):
        return "."
    for secret in secrets:
        # A header may hold a word and the key, of which a server quotes the key alone.
        for hidden in (secret, secret.rpartition(" ")[2]):
            message = message.replace(hidden, "[secret]")
    message = " ".join(message.split())
    if len(message) > _MESSAGE_CHARS:
        message = message[: _MESSAGE_CHARS - 1] + "…"
    return f". It says: {message}"
