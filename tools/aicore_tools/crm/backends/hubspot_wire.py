"""Calls to HubSpot through its SDK: in threads, with a deadline, and with our errors.

Facts of hubspot-api-client 12.0, run 2026-11: it is synchronous; each API package has exceptions
of its own; without `_request_timeout` a call may wait for ever; urllib3 repeats some calls by
itself unless told not to.
"""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import anyio

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
from aicore_tools.retries import Patience, patiently
from aicore_tools.vendor_threads import VendorThreads

__all__ = ["HubSpotWire", "together"]

HOST = "https://api.hubapi.com"
TIMEOUT_S = 20.0
EARLY_S = 60.0
_PACKAGES = (
    "crm.objects",
    "crm.contacts",
    "crm.companies",
    "crm.deals",
    "crm.tickets",
    "crm.associations.v4",
    "crm.associations.v4.schema",
    "crm.properties",
    "crm.schemas",
    "crm.owners",
    "crm.pipelines",
    "oauth",
)
_BUSY = (423, 429, 477)  # locked, too many, being moved: nothing was done
_UNTOLD = (408, 499)  # it took too long, or somebody on the way gave up: it may have been done
_RETRY_S = 2.0


async def together(calls: Sequence[Callable[[], Awaitable[None]]]) -> None:
    """Run calls side by side; the first ToolsError ends them all and is raised as it is."""
    failed: list[ToolsError] = []

    async def run(call: Callable[[], Awaitable[None]]) -> None:
        try:
            await call()
        except ToolsError as error:
            failed.append(error)
            tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        for call in calls:
            tasks.start_soon(run, call)
    if failed:
        raise failed[0]


@dataclass(slots=True)
class _Access:
    """The token in use, and until when."""

    token: str = field(repr=False)
    until: float = float("inf")


@dataclass(slots=True)
class HubSpotWire:
    """One account's SDK client; call `open` before anything else.

    `read` and `write` take the dotted name of an API method, e.g. `crm.objects.batch_api.read`.
    """

    connection: Connection
    patience: Patience = field(default_factory=Patience)
    timeout_s: float = TIMEOUT_S
    _threads: VendorThreads = field(default_factory=VendorThreads)
    _client: Any = None
    _access: _Access = field(default_factory=lambda: _Access("", 0.0))
    _methods: dict[str, Any] = field(default_factory=dict)
    _errors: tuple[type[Exception], ...] = ()

    async def open(self) -> None:
        """Import the SDK and make its client; asks nothing of HubSpot yet.

        Raises:
            BackendConfigError: the SDK is not installed, or the connection lacks its credential.
        """
        if self.connection.get("access_token"):
            self._access = _Access(self.connection.need("access_token"))
        else:
            for name in ("client_id", "client_secret", "refresh_token"):
                self.connection.need(name)
        await self._threads.run(self.timeout_s, self._load)

    async def read(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Ask, again and again while HubSpot is busy or away.

        Raises:
            BackendUnavailable, BackendConfigError, InvalidInput, NotFound: see `_translated`.
        """
        return await patiently(
            partial(self._call, method, args, kwargs, is_effect=False), patience=self.patience
        )

    async def write(self, method: str, *args: Any, repeats: bool, **kwargs: Any) -> Any:
        """Change something. `repeats`: HubSpot does it once however often it is sent.

        Raises:
            OutcomeUnknown: it was sent and there was no clear answer.
            BackendUnavailable, BackendConfigError, InvalidInput, NotFound, Conflict: it was not
                done.
        """
        return await patiently(
            partial(self._call, method, args, kwargs, is_effect=True),
            patience=self.patience,
            repeat_unknown=repeats,
        )

    async def _call(
        self, method: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, is_effect: bool
    ) -> Any:
        if time.monotonic() > self._access.until - EARLY_S:
            await patiently(self._refresh, patience=self.patience)
        called = partial(self._method(method), *args, **kwargs, _request_timeout=self.timeout_s)
        with self._translated(is_effect=is_effect):
            return await self._threads.run(self.timeout_s + 5.0, called)

    def _load(self) -> None:
        with needing("hubspot"):
            hubspot = importlib.import_module("hubspot")
            urllib3 = importlib.import_module("urllib3")
        # Repeating is ours to do: urllib3 knows neither our deadline nor what may be repeated.
        self._client = hubspot.Client.create(
            access_token=self._access.token,
            host=self.connection.get("base_url", HOST).rstrip("/"),
            retry=urllib3.Retry(total=False, redirect=False),
        )
        found = [
            importlib.import_module(f"hubspot.{name}.exceptions").ApiException for name in _PACKAGES
        ]
        self._errors = (*found, urllib3.exceptions.HTTPError)

    def _method(self, name: str) -> Callable[..., Any]:
        """Give an API method; its object is kept, for each has a pool of connections."""
        path, _, method = name.rpartition(".")
        if path not in self._methods:
            found = self._client
            for part in path.split("."):
                found = getattr(found, part)
            self._methods[path] = found
        api = self._methods[path]
        api.api_client.configuration.access_token = self._access.token
        called: Callable[..., Any] = getattr(api, method)
        return called

    async def _refresh(self) -> None:
        called = partial(
            self._method("oauth.tokens_api.create"),
            grant_type="refresh_token",
            client_id=self.connection.need("client_id"),
            client_secret=self.connection.need("client_secret"),
            refresh_token=self.connection.need("refresh_token"),
            _request_timeout=self.timeout_s,
        )
        with self._translated(is_effect=False):
            answer = await self._threads.run(self.timeout_s + 5.0, called)
        self._access = _Access(answer.access_token, time.monotonic() + float(answer.expires_in))

    @contextmanager
    def _translated(self, *, is_effect: bool) -> Iterator[None]:
        """Turn what the SDK raises into the tools' errors."""
        try:
            yield
        except TimeoutError as error:
            raise _lost("HubSpot did not answer in time.", is_effect=is_effect) from error
        except self._errors as error:
            status = getattr(error, "status", None)
            if isinstance(status, int) and status > 0:
                raise _refused(status, error, is_effect=is_effect) from error
            if _never_sent(error):
                raise BackendUnavailable("HubSpot cannot be reached.") from error
            raise _lost("The connection to HubSpot broke.", is_effect=is_effect) from error
        except AttributeError as error:
            # SDK 12 makes an exception without a body of a TLS failure, also of one that comes
            # after the request was sent, and then decodes that body.
            raise _lost("The TLS connection to HubSpot broke.", is_effect=is_effect) from error
        except ValueError as error:
            raise _lost("HubSpot's answer cannot be read.", is_effect=is_effect) from error


def _never_sent(error: Exception) -> bool:
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {"NewConnectionError", "ConnectTimeoutError"})


def _lost(message: str, *, is_effect: bool) -> ToolsError:
    if is_effect:
        return OutcomeUnknown(message, hint="Repeat with the same operation key: it is looked up.")
    return BackendUnavailable(message)


def _refused(status: int, error: Exception, *, is_effect: bool) -> ToolsError:
    if status in _BUSY:
        return BackendUnavailable(
            "HubSpot asks to wait.", retry_after_s=_retry_after_s(error) or _RETRY_S
        )
    if status >= 500 or status < 400 or status in _UNTOLD:
        return _lost(f"HubSpot gave no clear answer ({status}).", is_effect=is_effect)
    body = _body(error)
    said = str(body.get("message") or f"status {status}")[:300]
    if status == 401:
        return BackendConfigError(
            "HubSpot does not accept the token: it was revoked or has expired.",
            hint="Run `aicore connect hubspot` again.",
        )
    if status == 403:
        return BackendConfigError(
            f"The HubSpot token may not do this{_scopes(body)}.",
            hint="Add the scope to the app in HubSpot, then `aicore connect hubspot` again.",
        )
    if status == 404:
        return NotFound("HubSpot has no such record.")
    if status == 409:
        return Conflict(f"HubSpot: {said}")
    return InvalidInput(f"HubSpot refused it: {said}")


def _body(error: Exception) -> Mapping[str, Any]:
    try:
        body = json.loads(getattr(error, "body", None) or "{}")
    except (ValueError, TypeError):
        return {}
    return body if isinstance(body, dict) else {}


def _scopes(body: Mapping[str, Any]) -> str:
    """Name the scopes that HubSpot says are missing."""
    scopes: list[str] = []
    for detail in body.get("errors") or ():
        context = detail.get("context") or {}
        for name in ("requiredGranularScopes", "requiredScopes"):
            scopes += [str(scope) for scope in context.get(name) or ()]
    return f"; it needs {', '.join(dict.fromkeys(scopes))}" if scopes else ""


def _retry_after_s(error: Exception) -> float | None:
    headers = getattr(error, "headers", None) or {}
    for name, value in headers.items():
        if name.lower() == "retry-after":
            try:
                return float(value)
            except ValueError:
                return None
    return None
