"""HTTP for MCP, where a failed request fails one call and never the whole connection.

Without it one failed POST ends the client of mcp 2.3 for good (python-sdk#3522), and a session
that the server has forgotten never comes back (python-sdk#3556).
"""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2
from mcp_types import CONNECTION_CLOSED

__all__ = ["SafeTransport", "fault_of", "http_client"]

# An error with this in its data was made here; a server cannot guess it.
_MARK = secrets.token_hex(8)

_NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
_LARGEST_BODY_BYTES = 16 * 1024 * 1024
_SLOWEST_STREAM_S = 300.0
# Shorter than what servers commonly keep (uvicorn and node: 5 s), so that a call is not sent
# into a connection that is just being closed: it would be unknown whether it arrived.
_KEEP_ALIVE_S = 3.0


def http_client(
    headers: dict[str, str], connect_s: float, call_s: float, on_session_gone: Callable[[], None]
) -> httpx2.AsyncClient:
    """Make the client that `streamable_http_client` uses for one server."""
    timeout = httpx2.Timeout(connect_s, read=max(_SLOWEST_STREAM_S, 2 * call_s), pool=call_s)
    return httpx2.AsyncClient(
        transport=SafeTransport(on_session_gone), timeout=timeout, headers=headers
    )


def fault_of(data: object) -> tuple[bool, str] | None:
    """Read an error's data: (whether the request was sent, why it failed); None: not ours."""
    if isinstance(data, dict) and data.get("aicore") == _MARK:
        return bool(data["sent"]), str(data["why"])
    return None


class SafeTransport(httpx2.AsyncBaseTransport):
    """Answers a request that failed with a JSON-RPC error for just that request.

    `on_session_gone` is called when the server no longer knows a 2025 session.
    """

    def __init__(self, on_session_gone: Callable[[], None]) -> None:
        self._inner = httpx2.AsyncHTTPTransport(
            limits=httpx2.Limits(
                max_connections=100,
                max_keepalive_connections=20,
                keepalive_expiry=_KEEP_ALIVE_S,
            )
        )
        self._on_session_gone = on_session_gone

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send it; never raises a TransportError."""
        try:
            response = await self._inner.handle_async_request(request)
        except httpx2.TransportError as error:
            return _failed(request, _reason(error, request), sent=not isinstance(error, _NOT_SENT))
        status = response.status_code
        if status == 404 and "mcp-session-id" in request.headers:
            await response.aclose()
            self._on_session_gone()
            return _failed(request, "the server forgot the session", sent=False)
        content_type = response.headers.get("content-type", "").lower()
        if status >= 400 and request.method == "POST" and "json" not in content_type:
            await response.aclose()
            return _failed(request, _refusal(status), sent=status >= 500)
        if isinstance(response.stream, httpx2.AsyncByteStream):
            is_endless = content_type.startswith("text/event-stream")
            response.stream = _Body(response.stream, None if is_endless else _LARGEST_BODY_BYTES)
        return response

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


class _Body(httpx2.AsyncByteStream):
    """A body that breaks midway, or is too large, ends; it does not raise into mcp's tasks."""

    def __init__(self, stream: httpx2.AsyncByteStream, largest_bytes: int | None) -> None:
        self._stream = stream
        self._largest_bytes = largest_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size_bytes = 0
        try:
            async for chunk in self._stream:
                size_bytes += len(chunk)
                if self._largest_bytes is not None and size_bytes > self._largest_bytes:
                    return
                yield chunk
        except httpx2.TransportError:
            return

    async def aclose(self) -> None:
        await self._stream.aclose()


def _failed(request: httpx2.Request, why: str, *, sent: bool) -> httpx2.Response:
    error: dict[str, Any] = {
        "code": CONNECTION_CLOSED,
        "message": why,
        "data": {"aicore": _MARK, "sent": sent, "why": why},
    }
    body = {"jsonrpc": "2.0", "id": _call_id(request), "error": error}
    return httpx2.Response(503, json=body, request=request)


def _call_id(request: httpx2.Request) -> Any:
    try:
        return json.loads(request.content)["id"]
    except (ValueError, KeyError, TypeError, httpx2.RequestNotRead):
        return None


def _reason(error: httpx2.TransportError, request: httpx2.Request) -> str:
    if isinstance(error, httpx2.ConnectError):
        return f"no connection to {request.url.host} ({error})"
    if isinstance(error, httpx2.ConnectTimeout):
        return f"{request.url.host} did not accept a connection in time"
    return f"the connection broke ({type(error).__name__})"


def _refusal(status: int) -> str:
    if status in (401, 403):
        return f"the server refused our credentials (HTTP {status})"
    if status == 404:
        return "there is no MCP server at this URL (HTTP 404)"
    return f"the server answered HTTP {status}"
