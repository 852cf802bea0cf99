"""Google's errors as ours: who must act, and whether anything happened."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aicore_tools.errors import (
    BackendConfigError,
    BackendUnavailable,
    Conflict,
    InvalidInput,
    NotAllowed,
    NotFound,
    OutcomeUnknown,
    ToolsError,
)

__all__ = ["GONE", "translated"]

GONE = "gone"
"""The code of a NotFound for what was there and is deleted."""

# https://developers.google.com/workspace/calendar/api/guides/errors and
# https://developers.google.com/workspace/gmail/api/guides/handle-errors, read 2026-11.
_BUSY = {"rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded", "dailyLimitExceeded"}
_SCOPES = {"insufficientPermissions", "ACCESS_TOKEN_SCOPE_INSUFFICIENT"}
_SWITCHED_OFF = {"accessNotConfigured", "SERVICE_DISABLED", "domainPolicy", "failedPrecondition"}
_AGAIN = "Run `aicore connect google` again."
_NO_ANSWER = {408, 499}  # said on the way there: what Google itself made of it is not known
_SAID_CHARS = 200


@contextmanager
def translated(*, is_effect: bool) -> Iterator[None]:
    """Turn what Google's library raises into an error of ours.

    Raises:
        BackendConfigError: the credential is revoked, lacks a scope, or the interface is off.
        InvalidInput, NotFound, NotAllowed: Google refused; nothing happened.
        Conflict: with code `changed_meanwhile` (an etag) or `duplicate` (an id).
        BackendUnavailable: nothing happened, later may work.
        OutcomeUnknown: of an effect that was sent there was no answer, or none that tells
            (5xx, 408, 499, a redirection).
    """
    import httplib2  # type: ignore[import-untyped]
    from google.auth import exceptions
    from googleapiclient.errors import HttpError  # type: ignore[import-untyped]

    try:
        yield
    except HttpError as error:
        raise _refusal(error, is_effect=is_effect) from error
    except exceptions.RefreshError as error:
        raise _not_refreshed(error) from error
    except exceptions.TransportError as error:
        raise BackendUnavailable("Google's sign-in does not answer.") from error
    except (ConnectionRefusedError, httplib2.ServerNotFoundError) as error:
        raise BackendUnavailable("Google cannot be reached.") from error
    except (OSError, http.client.HTTPException, httplib2.HttpLib2Error) as error:
        if is_effect:
            raise OutcomeUnknown("The connection to Google broke before it answered.") from error
        raise BackendUnavailable("The connection to Google broke.") from error


def _not_refreshed(error: Any) -> ToolsError:
    if error.retryable:
        return BackendUnavailable("Google's sign-in fails right now.")
    return BackendConfigError(
        "Google does not accept this connection any more: it was revoked, or has expired.",
        hint=f"{_AGAIN} Connections of an app in testing end after seven days.",
    )


def _refusal(error: Any, *, is_effect: bool) -> ToolsError:
    status, (reasons, said) = int(error.resp.status), _read(error.content)
    if status == 429 or (status == 403 and reasons & _BUSY):
        return BackendUnavailable(
            "Google asks to slow down.", retry_after_s=_seconds(error.resp.get("retry-after"))
        )
    if status >= 500 or status < 400 or status in _NO_ANSWER:
        kind = OutcomeUnknown if is_effect else BackendUnavailable
        return kind(f"Google failed with status {status}.")
    if status == 401:
        return BackendConfigError("Google does not know this connection.", hint=_AGAIN)
    if status == 403:
        return _forbidden(reasons, said)
    if status in {404, 410}:
        code = GONE if status == 410 else None
        return NotFound("Google has nothing of that id.", code=code)
    if status == 400 and reasons & _SWITCHED_OFF:
        return BackendConfigError("Google has this service off for the account.", hint=said or None)
    if status == 409:
        return Conflict("Google has it already.", code="duplicate")
    if status == 412:
        return Conflict(
            "It was changed meanwhile.", hint="Read it again first.", code="changed_meanwhile"
        )
    return InvalidInput(f"Google refused the request ({status}).", hint=said or None)


def _forbidden(reasons: set[str], said: str) -> ToolsError:
    if reasons & _SCOPES:
        return BackendConfigError(
            "The connection to google was not given the right to do this.",
            hint="Run `aicore connect google` with a profile that allows it.",
        )
    if reasons & _SWITCHED_OFF:
        return BackendConfigError("Google has this interface switched off.", hint=said or None)
    return NotAllowed("Google does not allow this account to do that.", hint=said or None)


def _read(content: bytes) -> tuple[set[str], str]:
    """Read the reasons and the sentence of an error; Google words it in two ways."""
    try:
        error = json.loads(content)["error"]
        entries = [*error.get("errors", ()), *error.get("details", ())]
        reasons = {str(each.get("reason")) for each in entries if isinstance(each, dict)}
        return reasons, str(error.get("message", ""))[:_SAID_CHARS]
    except (ValueError, TypeError, KeyError, AttributeError):
        return set(), ""


def _seconds(text: str | None) -> float | None:
    return float(text) if text is not None and text.isdigit() else None
