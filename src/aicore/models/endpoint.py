"""One HTTP address that models are asked at: connections, deadlines, translated failures.

Shared by the dialects. Uses httpx2's transport without its client: no redirects, cookies or
authentication flows are wanted, and each costs on every request.
"""

from __future__ import annotations

import ssl
import urllib.request
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from time import monotonic
from types import TracebackType
from typing import Self, cast
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import httpx2

from aicore.errors import AicoreError, ConfigError, NotOpenError, ProviderUnavailable
from aicore.models.timeouts import Timeouts

__all__ = ["Answer", "Endpoint", "Fetched"]

_MAX_BODY_BYTES = 32 * 1024 * 1024
_DRAIN_S = 0.1
_STALE_S = 1.0
_LIMITS = httpx2.Limits(max_connections=None, max_keepalive_connections=50, keepalive_expiry=60.0)


class _TooMuchError(Exception):
    pass


@dataclass(frozen=True, slots=True)
class Fetched:
    """A whole answer, decompressed. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Endpoint:
    """An address that takes POSTs. Safe for many requests at once, between `open` and `close`.

    Every method raises NotOpenError outside that, and ProviderUnavailable when the other side
    cannot be reached, is too slow, or breaks off. `authorize` gives the headers that differ from
    request to request; it is asked within the deadline of the request.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        timeouts: Timeouts,
        is_own: bool,
        authorize: Callable[[str, bytes], Awaitable[Mapping[str, str]]] | None = None,
    ) -> None:
        parts = urlsplit(url)
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._url = _parsed(url)
        self._headers = httpx2.Headers({"host": self._url.netloc.decode(), **headers})
        self._timeouts = timeouts
        self._is_own = is_own
        self._authorize = authorize
        self._transport: httpx2.AsyncHTTPTransport | None = None
        self._has_answered = False
        # A read may take what either phase allows; `Answer` narrows it where they differ.
        read_s = max(timeouts.first_token_s, timeouts.idle_s)
        self._stream_limits = {"connect": timeouts.connect_s, "write": read_s, "read": read_s}
        self._fetch_limits = {"connect": timeouts.connect_s}

    async def open(self) -> None:
        """Prepare connections; none is made yet."""
        # Reading the machine's certificates takes 30 ms.
        self._transport = await anyio.to_thread.run_sync(
            partial(_transport, self._url, self._is_own)
        )

    async def close(self) -> None:
        """Close all connections; requests under way fail."""
        transport, self._transport = self._transport, None
        if transport is not None:
            await transport.aclose()

    async def fetch(self, body: bytes) -> Fetched:
        """POST and read the whole answer, within `total_s`."""
        try:
            with anyio.fail_after(self._timeouts.total_s):
                response = await self._send(body, self._fetch_limits)
                async with Answer(response, self._timeouts, self._translated) as answer:
                    content = await answer.rest()
        except (TimeoutError, httpx2.HTTPError) as exc:
            raise self._translated(exc) from exc
        return Fetched(response.status_code, response.headers, content)

    async def start(self, body: bytes) -> Answer:
        """POST and return when the answer's head is there; the caller enters the Answer."""
        started = monotonic()
        try:
            with anyio.fail_after(self._timeouts.first_token_s):
                response = await self._send(body, self._stream_limits)
        except (TimeoutError, httpx2.HTTPError) as exc:
            raise self._translated(exc) from exc
        return Answer(response, self._timeouts, self._translated, started=started)

    async def _send(self, body: bytes, limits: dict[str, float]) -> httpx2.Response:
        transport = self._transport
        if transport is None:
            raise NotOpenError("Enter the provider first: async with provider: ...")
        headers = self._headers
        if self._authorize is not None:
            headers = headers.copy()
            headers.update(await self._authorize(str(self._url), body))
        request = httpx2.Request(
            "POST",
            self._url,
            headers=headers,
            content=body,
            extensions={"timeout": limits},
        )
        started = monotonic()
        try:
            response = await transport.handle_async_request(request)
        except (httpx2.NetworkError, httpx2.RemoteProtocolError) as exc:
            # The other side may just have closed a kept-alive connection. Asking a model has no
            # effect, so the request may go out once more.
            is_stale = self._has_answered and monotonic() - started < _STALE_S
            if not is_stale or isinstance(exc, httpx2.ConnectError):
                raise
            response = await transport.handle_async_request(request)
        self._has_answered = True
        return response

    def _translated(self, exc: Exception) -> AicoreError:
        if _is_untrusted(exc):
            return ConfigError(
                f"The certificate of {self._origin} is not trusted by this machine. Install its "
                "issuer's certificate, or name it in the variable SSL_CERT_FILE."
            )
        if isinstance(exc, (httpx2.ConnectError, httpx2.ConnectTimeout)):
            return ProviderUnavailable(
                f"No model server answers at {self._origin}. Start it, or correct base_url; if it "
                "is not yours, look at the network."
            )
        if isinstance(exc, (TimeoutError, httpx2.TimeoutException)):
            return ProviderUnavailable(f"The model server at {self._origin} took too long.")
        if isinstance(exc, _TooMuchError):
            return ProviderUnavailable(
                f"The model server at {self._origin} sent more than any answer can be. If it does "
                "so again, correct base_url."
            )
        return ProviderUnavailable(f"The connection to {self._origin} broke off.")


class Answer:
    """An answer whose body is read in parts. Leaving it early closes the connection.

    Set `has_begun` when the first event was seen: from then on `idle_s` counts.
    """

    def __init__(
        self,
        response: httpx2.Response,
        timeouts: Timeouts,
        translated: Callable[[Exception], AicoreError],
        *,
        started: float | None = None,
    ) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.has_begun = False
        self._response = response
        self._translated = translated
        self._size = 0
        started = monotonic() if started is None else started
        self._first_deadline = started + timeouts.first_token_s
        self._last_deadline = started + timeouts.total_s
        # httpx2 takes one limit for all reads of an answer: the longer of the two.
        self._idle_s = timeouts.idle_s if timeouts.idle_s < timeouts.first_token_s else None
        encoding = response.headers.get("content-encoding", "identity")
        self._parts: AsyncIterator[bytes] = (
            # Going around `aiter_raw` saves a tenth of the time that a stream costs.
            aiter(cast("httpx2.AsyncByteStream", response.stream))
            if encoding == "identity"
            else response.aiter_bytes()
        )

    async def part(self) -> bytes:
        """Wait for the next bytes; b"" at the end of the body."""
        limit_s = self._idle_s if self.has_begun else self._first_deadline - monotonic()
        try:
            if limit_s is None:
                part = await anext(self._parts)
            else:
                with anyio.fail_after(limit_s):
                    part = await anext(self._parts)
        except StopAsyncIteration:
            return b""
        except (TimeoutError, httpx2.HTTPError) as exc:
            raise self._translated(exc) from exc
        self._size += len(part)
        if self._size > _MAX_BODY_BYTES:
            raise self._translated(_TooMuchError())
        if monotonic() > self._last_deadline:
            raise self._translated(TimeoutError())
        return part

    async def rest(self) -> bytes:
        """Read to the end of the body."""
        parts = []
        self.has_begun = True
        while part := await self.part():
            parts.append(part)
        return b"".join(parts)

    async def drain(self) -> None:
        """Read off what ends the body, briefly, so that the connection can be used again."""
        with anyio.move_on_after(_DRAIN_S), suppress(StopAsyncIteration, httpx2.HTTPError):
            while True:
                await anext(self._parts)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(self._parts, AsyncGenerator):
            await self._parts.aclose()
        await self._response.aclose()


def _parsed(url: str) -> httpx2.URL:
    try:
        return httpx2.URL(url)
    except httpx2.InvalidURL as exc:
        raise ConfigError(f"{url!r} is no address: {exc}. Correct base_url.") from exc


def _is_untrusted(exc: BaseException | None) -> bool:
    while exc is not None:
        if isinstance(exc, ssl.SSLCertVerificationError):
            return True
        exc = exc.__cause__ or exc.__context__
    return False


def _transport(url: httpx2.URL, is_own: bool) -> httpx2.AsyncHTTPTransport:
    if url.scheme == "http":
        # Never used; without it httpx2 would read the machine's certificates.
        verify: ssl.SSLContext | bool = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    else:
        verify = True
    try:
        return httpx2.AsyncHTTPTransport(
            verify=verify, proxy=None if is_own else _proxy(url), limits=_LIMITS
        )
    except (ImportError, ValueError, httpx2.InvalidURL) as exc:
        raise ConfigError(
            f"The environment names a proxy for {url.scheme} that cannot be used. Correct the "
            f"variable {url.scheme}_proxy, or name {url.host} in no_proxy."
        ) from exc


def _proxy(url: httpx2.URL) -> str | None:
    known = urllib.request.getproxies()
    proxy = known.get(url.scheme) or known.get("all")
    if not proxy or urllib.request.proxy_bypass(url.host):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"
