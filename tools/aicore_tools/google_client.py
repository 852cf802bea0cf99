"""Calls to Google's interfaces through Google's own library, safe for many tasks at once.

The library is not thread-safe: two threads that share its transport read each other's answers. So
the service is built once, and every call takes a transport of its own out of a pool. Beneath it,
httplib2 sends a request again when a connection breaks; for an effect that would be a second one,
so effects go over a fresh connection that never connects twice.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from queue import Empty, LifoQueue
from types import TracebackType
from typing import Any, Self, TypeVar

import anyio
from anyio import to_thread

from aicore_tools.connections import Connection
from aicore_tools.errors import (
    BackendConfigError,
    BackendUnavailable,
    OutcomeUnknown,
    ToolsError,
)
from aicore_tools.extras import needing
from aicore_tools.google_errors import translated
from aicore_tools.retries import patiently
from aicore_tools.vendor_threads import VendorThreads

__all__ = ["Api", "GoogleClient", "Upload", "one_connection_transport", "together"]

T = TypeVar("T")

_SOCKET_S = 20.0
_CALL_S = 45.0
_TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address
_SCOPE = "https://www.googleapis.com/auth/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """One interface of Google's. `path` follows the host; `scopes` are a service account's."""

    name: str
    version: str
    path: str
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """Bytes that go beside the JSON of a call."""

    media_type: str
    content: bytes = field(repr=False)


class GoogleClient:
    """One account's calls to one interface; open in its `async with`, which asks nobody.

    Every call has a deadline and is repeated while Google certainly did nothing.
    """

    def __init__(self, connection: Connection, api: Api) -> None:
        self._connection = connection
        self._api = api
        self._threads = VendorThreads()
        self._transports: LifoQueue[Any] = LifoQueue()
        self._refreshing = threading.Lock()
        self._resources: dict[str, Any] = {}
        self._credentials: Any = None
        self._scopes: Sequence[str] = ()
        self._service: Any = None

    async def __aenter__(self) -> Self:
        """Load Google's library and read the credential.

        Raises:
            BackendConfigError: the library is not installed, or the credential cannot be read.
        """
        await to_thread.run_sync(self._open)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._drop_transports()

    @property
    def base_url(self) -> str:
        """Where a sandbox stands in for Google; empty for Google itself."""
        return self._connection.get("base_url").rstrip("/")

    @property
    def is_delegated(self) -> bool:
        """Whether the credential is a service account's."""
        return bool(self._connection.get("service_account"))

    def granted(self) -> frozenset[str]:
        """Give the scopes of the credential, without what all their names begin with.

        From the first call on they are what Google granted, before what was asked for.
        """
        scopes = self._scopes or self._connection.get("scopes").split() or self._api.scopes
        return frozenset(each.removeprefix(_SCOPE) for each in scopes)

    async def read(self, resource: str, method: str, **parameters: Any) -> dict[str, Any]:
        """Ask; repeated until patience ends.

        Raises:
            ToolsError: as `google_errors.translated`, never OutcomeUnknown.
        """
        return await self._call(resource, method, parameters, is_effect=False)

    async def do(
        self,
        resource: str,
        method: str,
        *,
        if_match: str = "",
        upload: Upload | None = None,
        **parameters: Any,
    ) -> dict[str, Any]:
        """Have an effect done; repeated only where Google certainly did not begin it.

        Raises:
            ToolsError: as `google_errors.translated`.
            OutcomeUnknown: it was sent, and there was no answer.
        """
        return await self._call(
            resource, method, parameters, is_effect=True, if_match=if_match, upload=upload
        )

    async def _call(
        self,
        resource: str,
        method: str,
        parameters: dict[str, Any],
        *,
        is_effect: bool,
        if_match: str = "",
        upload: Upload | None = None,
    ) -> dict[str, Any]:
        def once() -> dict[str, Any]:
            request = self._request(resource, method, parameters, upload)
            if if_match:
                request.headers["If-Match"] = if_match
            with translated(is_effect=is_effect):
                return self._executed(request, is_effect=is_effect)

        async def attempt() -> dict[str, Any]:
            try:
                return await self._threads.run(_CALL_S, once)
            except TimeoutError as error:
                late = f"Google did not answer within {_CALL_S:g} seconds."
                raise (OutcomeUnknown if is_effect else BackendUnavailable)(late) from error

        return await patiently(attempt)

    def _open(self) -> None:
        with needing("google"):
            import google_auth_httplib2  # type: ignore[import-untyped]  # noqa: F401 - used in calls
            from googleapiclient.discovery import build  # type: ignore[import-untyped]
        self._credentials = _credentials(self._connection, self._api)
        endpoint = {"api_endpoint": self.base_url + self._api.path} if self.base_url else {}
        self._service = build(
            self._api.name,
            self._api.version,
            http=one_connection_transport(_SOCKET_S),
            static_discovery=True,
            client_options=endpoint,
        )

    def _request(
        self, resource: str, method: str, parameters: dict[str, Any], upload: Upload | None
    ) -> Any:
        """Make a request; the library checks names and numbers, but no field of the body."""
        call = getattr(self._resource(resource), method)
        if upload is None:
            return call(**parameters)
        from googleapiclient.http import MediaInMemoryUpload  # type: ignore[import-untyped]

        media = MediaInMemoryUpload(upload.content, mimetype=upload.media_type)
        request = call(**parameters, media_body=media)
        if self.base_url:  # the library takes the host of its endpoint for uploads, and https
            request.uri = self.base_url + request.uri[request.uri.index("/upload/") :]
        return request

    def _resource(self, path: str) -> Any:
        """Give a collection such as `users.drafts`; making one is slow."""
        found = self._resources.get(path)
        if found is None:
            found = self._service
            for name in path.split("."):
                found = getattr(found, name)()
            self._resources[path] = found
        return found

    def _executed(self, request: Any, *, is_effect: bool) -> dict[str, Any]:
        import google_auth_httplib2

        transport = self._transport()
        transport.is_effect = is_effect
        try:
            self._refresh(transport)
            authorised = google_auth_httplib2.AuthorizedHttp(self._credentials, transport)
            answer = request.execute(http=authorised)
        except BaseException:
            transport.close()
            raise
        self._transports.put(transport)
        return answer if isinstance(answer, dict) else {}

    def _refresh(self, transport: Any) -> None:
        """Get an access token where there is none: one thread does, and the others wait."""
        import google_auth_httplib2

        ask = google_auth_httplib2.Request(transport)

        def asking(*args: Any, **kwargs: Any) -> Any:
            answer = ask(*args, **kwargs)
            self._scopes = _granted_in(answer.data) or self._scopes
            return answer

        with self._refreshing:
            if not self._credentials.valid:
                self._credentials.refresh(asking)

    def _transport(self) -> Any:
        try:
            return self._transports.get_nowait()
        except Empty:
            return one_connection_transport(_SOCKET_S)

    def _drop_transports(self) -> None:
        while True:
            try:
                self._transports.get_nowait().close()
            except Empty:
                return


async def together(calls: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
    """Make calls at the same time and give what they give, in order.

    Raises:
        ToolsError: what the first to fail raised; the others are left.
    """
    given: dict[int, T] = {}
    failed: list[ToolsError] = []

    async def run(number: int, call: Callable[[], Awaitable[T]]) -> None:
        try:
            given[number] = await call()
        except ToolsError as error:
            failed.append(error)
            group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        for number, call in enumerate(calls):
            group.start_soon(run, number, call)
    if failed:
        raise failed[0]
    return [given[number] for number in range(len(calls))]


def _credentials(connection: Connection, api: Api) -> Any:
    """Make Google's credential object; asks nobody."""
    from google.oauth2 import credentials, service_account

    base_url = connection.get("base_url").rstrip("/")
    token_uri = f"{base_url}/token" if base_url else _TOKEN_URI
    written = connection.get("service_account")
    if not written:
        return credentials.Credentials(  # type: ignore[no-untyped-call] # google-auth is not typed
            None,
            refresh_token=connection.need("refresh_token"),
            token_uri=token_uri,
            client_id=connection.need("client_id"),
            client_secret=connection.need("client_secret"),
        )
    try:
        told = {**json.loads(written), **({"token_uri": token_uri} if base_url else {})}
        scopes = connection.get("scopes").split() or [_SCOPE + each for each in api.scopes]
        return service_account.Credentials.from_service_account_info(  # type: ignore[no-untyped-call] # as above
            told, scopes=scopes, subject=connection.need("subject")
        )
    except (ValueError, TypeError) as error:
        raise BackendConfigError(
            "The service account of the connection to google cannot be read.",
            hint="Run `aicore connect google` with the JSON file that Google gave.",
        ) from error


def _granted_in(answer: bytes) -> Sequence[str]:
    """Read the scopes out of a token's answer; google-auth keeps them only where it asked."""
    try:
        return str(json.loads(answer)["scope"]).split()
    except (ValueError, TypeError, KeyError):
        return ()


def one_connection_transport(timeout_s: float) -> Any:
    """Make an httplib2 transport that sends an effect at most once.

    Set `is_effect` before a call. httplib2 0.32.1 (`Http._conn_request`) connects and sends again
    when a connection closes without an answer, whatever the method.
    """
    return _transport_class()(timeout=timeout_s)


@cache
def _transport_class() -> Callable[..., Any]:
    import httplib2  # type: ignore[import-untyped]

    def connecting_once(kind: type[Any]) -> type[Any]:
        class Once(kind):  # type: ignore[misc] # httplib2 is not typed
            was_connected = False

            def connect(self) -> None:
                if self.was_connected:
                    raise ConnectionAbortedError("The connection broke after the request was sent.")
                super().connect()
                self.was_connected = True

        return Once

    once = {name: connecting_once(kind) for name, kind in httplib2.SCHEME_TO_CONNECTION.items()}

    class Transport(httplib2.Http):  # type: ignore[misc] # as above
        is_effect = False

        def request(self, uri: str, *args: Any, **kwargs: Any) -> Any:
            if not self.is_effect:
                return super().request(uri, *args, **kwargs)
            self.close()
            try:
                kwargs["connection_type"] = once[uri.partition(":")[0]]
                return super().request(uri, *args, **kwargs)
            finally:
                self.close()

    return Transport
