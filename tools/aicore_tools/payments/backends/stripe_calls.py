"""Calls to Stripe: the SDK's client, patience, whole lists, and its errors in the tools' words.

Facts of stripe-python 16.1 that this rests on: a StripeClient repeats nothing by itself, 429 is
never repeated and Retry-After ignored, the async transport is classic httpx.
"""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from anyio import to_thread

from aicore_tools.connections import Connection
from aicore_tools.errors import (
    BackendConfigError,
    BackendUnavailable,
    Conflict,
    InvalidInput,
    NotFound,
    OutcomeUnknown,
    ToolsError,
)
from aicore_tools.extras import needing
from aicore_tools.progress import progress
from aicore_tools.retries import Patience, patiently

__all__ = ["StripeCalls"]

TIMEOUT_S = 20.0
PAGE_ROWS = 100
_UNDECIDED = (408, 424, 499)
"""What proxies answer who waited in vain: what they passed on may have been done."""
_NOT_SENT = ("ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol")
_RECONNECT = "Run `aicore connect stripe` with a key that works."
_PERMISSION = re.compile(r"rak_\w+")
_TALKATIVE = ("stripe", "httpx")
"""Loggers that write every address at INFO: a customer's e-mail is in some."""
_Method = Callable[..., Awaitable[Any]]


class StripeCalls:
    """One account at Stripe; open inside its `async with`, which loads the SDK.

    `v1` are the SDK's services. Raises on entry: BackendConfigError without the SDK or a key.
    """

    def __init__(self, connection: Connection, *, patience: Patience) -> None:
        self._connection = connection
        self._patience = patience
        self._http: Any = None
        self.v1: Any = None

    @property
    def key_kind(self) -> tuple[str, str]:
        """What the key says of itself: `sk` or `rk` (restricted), `test` or `live`."""
        kind, _, rest = self._connection.need("api_key").partition("_")
        return kind, rest.partition("_")[0]

    async def __aenter__(self) -> Self:
        key = self._connection.need("api_key")
        client, self._http = await to_thread.run_sync(
            _load, key, self._connection.get("base_url") or None
        )
        self.v1 = client.v1
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.close_async()

    async def read(self, method: _Method, *ids: str, **params: Any) -> dict[str, Any]:
        """Read something, patiently.

        Raises:
            NotFound: there is none.
            BackendUnavailable, BackendConfigError: Stripe does not answer, or refuses the key.
        """

        async def once() -> dict[str, Any]:
            with _translated(is_effect=False):
                return _plain(await method(*ids, params))

        return await patiently(once, patience=self._patience)

    async def send(
        self, method: _Method, *ids: str, key: str, params: dict[str, Any]
    ) -> dict[str, Any]:
        """Change something, patiently: Stripe does it once for an idempotency key.

        Raises:
            OutcomeUnknown: it may have been done.
            ToolsError: it certainly was not.
        """

        async def once() -> dict[str, Any]:
            with _translated(is_effect=True):
                return _plain(await method(*ids, params, {"idempotency_key": key}))

        return await patiently(once, patience=self._patience, repeat_unknown=True)

    async def pages(
        self, method: _Method, *ids: str, after: str | None = None, **params: Any
    ) -> AsyncIterator[dict[str, Any]]:
        """Read a list to its end, page by page: `data` and `has_more` of each."""
        params = {"limit": PAGE_ROWS, **params}
        seen = 0
        while True:
            if after is not None:
                params["starting_after"] = after
            page = await self.read(method, *ids, **params)
            seen += len(page["data"])
            await progress(seen)
            yield page
            if not (page["has_more"] and page["data"]):
                return
            after = page["data"][-1]["id"]

    async def rows(
        self, method: _Method, *ids: str, **params: Any
    ) -> AsyncIterator[dict[str, Any]]:
        """Read a list to its end, row by row."""
        async for page in self.pages(method, *ids, **params):
            for row in page["data"]:
                yield row


def _load(key: str, base_url: str | None) -> tuple[Any, Any]:
    """Import the SDK and make its client; takes half a second the first time."""
    with needing("stripe"):
        import httpx  # noqa: F401, TID251 - the SDK's transport, which it does not ask for
        import stripe

    class Http(stripe.HTTPXClient):
        """The SDK's transport without its call that httpx deprecates (16.1)."""

        def _get_request_args_kwargs(self, *given: Any) -> Any:
            args, kwargs = super()._get_request_args_kwargs(*given)
            kwargs["content"] = kwargs.pop("data", None) or None
            return args, kwargs

    http = Http(timeout=TIMEOUT_S)
    for name in _TALKATIVE:
        if logging.getLogger(name).level == logging.NOTSET:
            logging.getLogger(name).setLevel(logging.WARNING)
    stripe.enable_telemetry = False  # it would leave an id in the home folder and send timings
    addresses: Any = {"api": base_url} if base_url else {}
    return stripe.StripeClient(key, base_addresses=addresses, http_client=http), http


def _plain(answer: Any) -> dict[str, Any]:
    plain: dict[str, Any] = answer.to_dict(for_json=True)
    return plain


@contextmanager
def _translated(*, is_effect: bool) -> Iterator[None]:
    """Turn what the SDK raises into the tools' errors."""
    import stripe

    try:
        yield
    except stripe.APIConnectionError as error:
        was_sent = type(error.__cause__).__name__ not in _NOT_SENT
        raise _lost(is_effect=is_effect and was_sent) from error
    except stripe.IdempotencyError as error:
        raise OutcomeUnknown(
            "Stripe knows this operation with other contents; it may have been done.",
            hint="Look whether the effect is there before anything else.",
        ) from error
    except stripe.StripeError as error:
        raise _refused(error, is_effect=is_effect) from error


def _lost(*, is_effect: bool) -> ToolsError:
    if is_effect:
        return OutcomeUnknown(
            "Stripe did not answer; the effect may have happened.",
            hint="Repeat the call with the same operation key: it is looked up first.",
        )
    return BackendUnavailable("Stripe does not answer.")


def _refused(error: Any, *, is_effect: bool) -> ToolsError:
    """Sort an answer by its HTTP status. Only Stripe's own sentences are passed on.

    What is no error by its status is one because it could not be read: it was done, perhaps.
    """
    status = error.http_status or 0
    if status < 400 or status in _UNDECIDED:
        return _lost(is_effect=is_effect)
    if status == 401:
        return BackendConfigError("Stripe refuses the key.", hint=_RECONNECT)
    if status == 403:
        found = _PERMISSION.search(str(error))
        needed = f" It needs {found[0]}." if found else ""
        return BackendConfigError(
            f"The Stripe key may not do this.{needed}",
            hint="Give the restricted key that permission, or connect another key.",
            code="missing_scope",
        )
    if status == 429:
        return BackendUnavailable(
            "Stripe gets too many requests.", retry_after_s=_retry_after_s(error.headers)
        )
    if status == 409 or status >= 500:
        return _lost(is_effect=is_effect)
    if error.error is None:  # not in Stripe's form: somebody on the way says so
        return _lost(is_effect=is_effect)
    return _mistake(error, status)


def _mistake(error: Any, status: int) -> ToolsError:
    said = str(error.user_message or "")[:200]
    code = error.code or ""
    if status == 404 or code == "resource_missing":
        return NotFound(f"Stripe: {said}", hint="Look for it with payments_search.")
    if code == "charge_already_refunded" or "unrefunded amount" in said:
        return Conflict("Less than that is left of the payment.", code="over_refund")
    if status == 402 or code.startswith("invoice_") or code == "resource_already_exists":
        return Conflict(f"Stripe: {said}", code=code or "conflict")
    return InvalidInput(f"Stripe: {said}")


def _retry_after_s(headers: Any) -> float | None:
    named = {str(name).lower(): str(value) for name, value in dict(headers or {}).items()}
    text = named.get("retry-after", "")
    return float(text) if text.replace(".", "", 1).isdigit() else None
