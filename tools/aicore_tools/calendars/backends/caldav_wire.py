"""CalDAV over HTTP: requests to one account, and the one place that translates its errors.

The password goes to the host that was named and to hosts beside it (`caldav.example.com` may
send to `p42.example.com`), over https, or to this machine.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urljoin, urlsplit

import anyio
import httpx2

from aicore_tools.calendars.backends.caldav_xml import BadXml, Found, found_in
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
from aicore_tools.retries import Patience, patiently

__all__ = ["Answered", "Dav", "Stale", "Unauthorized", "checked_url", "joined", "strong"]

DEADLINE_S = 20.0
MAX_ANSWER_BYTES = 20_000_000
MAX_OBJECT_BYTES = 1_000_000
_MOST_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_PATIENCE = Patience(attempts=3, deadline_s=DEADLINE_S, first_pause_s=0.1)
_FULL = 507
"""Nothing was stored: https://www.rfc-editor.org/rfc/rfc4918#section-11.5"""
_EFFECTS = ("PUT", "DELETE")


class Stale(Conflict):
    """The object is not in the state that the request named (412); nothing was done."""

    code = "changed_meanwhile"


class Unauthorized(BackendConfigError):
    """The server does not take user and password (401)."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What came back: `url` is where it was found after redirects."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str

    @property
    def etag(self) -> str:
        """The state of what was read."""
        return strong(self.headers.get("etag", ""))


def strong(etag: str) -> str:
    """Give an etag without the W/ of web servers that compress, as If-Match wants it."""
    return etag.strip().removeprefix("W/")


class Dav:
    """One account on a CalDAV server; open in its `async with`."""

    def __init__(self, url: str, *, user: str, password: str) -> None:
        self.url = checked_url(url)
        self._auth = httpx2.BasicAuth(user, password)
        self._client: httpx2.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        # On this machine, without https, there is no certificate to check and none to load.
        is_https = urlsplit(self.url).scheme == "https"
        self._client = httpx2.AsyncClient(auth=self._auth, timeout=DEADLINE_S, verify=is_https)
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._client is not None:
            await self._client.__aexit__(kind, error, trace)
            self._client = None

    async def propfind(self, url: str, body: bytes, *, depth: int) -> tuple[str, list[Found]]:
        """Read properties; gives where it was answered, and the resources."""
        return await self._resources("PROPFIND", url, body, depth)

    async def report(self, url: str, body: bytes) -> list[Found]:
        """Search a calendar."""
        _, found = await self._resources("REPORT", url, body, 1)
        return found

    async def text_report(self, url: str, body: bytes) -> bytes:
        """Search a calendar where the answer is a calendar itself."""
        headers = {"Depth": "1", "Content-Type": "application/xml; charset=utf-8"}
        answered = await patiently(
            lambda: self._ask("REPORT", url, headers, body), patience=_PATIENCE
        )
        return answered.body

    async def options(self, url: str) -> set[str]:
        """Give what the server says that it can (the DAV header)."""
        answered = await patiently(lambda: self._ask("OPTIONS", url, {}), patience=_PATIENCE)
        return {one.strip().lower() for one in answered.headers.get("dav", "").split(",")}

    async def get(self, url: str) -> Answered:
        """Read one object, uncompressed: web servers that compress give it another etag.

        Raises:
            NotFound: it is not there.
        """
        headers = {"Accept-Encoding": "identity"}
        answered = await patiently(lambda: self._ask("GET", url, headers), patience=_PATIENCE)
        if not answered.etag:
            raise BackendConfigError("The calendar server gives no ETag: nothing can be changed.")
        return answered

    async def put(self, url: str, body: bytes, *, if_match: str | None) -> None:
        """Write an object: a new one, or over the state that `if_match` names.

        Raises:
            Stale: it is there already, or is in another state; nothing was done.
            OutcomeUnknown: it may have been written.
        """
        if len(body) > MAX_OBJECT_BYTES:
            raise InvalidInput(f"The event is larger than {MAX_OBJECT_BYTES:,} bytes.")
        match = {"If-None-Match": "*"} if if_match is None else {"If-Match": if_match}
        headers = {"Content-Type": "text/calendar; charset=utf-8", **match}
        await patiently(lambda: self._ask("PUT", url, headers, body), patience=_PATIENCE)

    async def delete(self, url: str, *, if_match: str, is_silent: bool) -> None:
        """Take an object away that is in the state `if_match` names.

        `is_silent`: the server must not tell its organizer (RFC 6638, section 8.1).

        Raises:
            Stale: it is in another state.
            NotFound: it is not there.
            OutcomeUnknown: it may have been taken away.
        """
        headers = {"If-Match": if_match} | ({"Schedule-Reply": "F"} if is_silent else {})
        await patiently(lambda: self._ask("DELETE", url, headers), patience=_PATIENCE)

    async def _resources(
        self, method: str, url: str, body: bytes, depth: int
    ) -> tuple[str, list[Found]]:
        headers = {"Depth": str(depth), "Content-Type": "application/xml; charset=utf-8"}
        answered = await patiently(
            lambda: self._ask(method, url, headers, body), patience=_PATIENCE
        )
        try:
            return answered.url, list(found_in(answered.body))
        except BadXml as error:
            raise BackendConfigError(
                f"What answers at {_shown(url)} is no CalDAV server: {error}.",
                hint="Check the url with `aicore connect caldav`.",
            ) from error

    async def _ask(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes = b""
    ) -> Answered:
        """Send one request, following where the server points to."""
        asked = url
        with _translated(method, asked):
            with anyio.fail_after(DEADLINE_S):
                for _ in range(_MOST_REDIRECTS):
                    answered = await self._send(method, url, headers, body)
                    if answered.status not in _REDIRECTS:
                        _check(answered, method)
                        return answered
                    url = self.beside(joined(url, answered.headers.get("location", "")))
        raise BackendConfigError(f"{_shown(asked)} sends in circles.")

    async def _send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> Answered:
        if self._client is None:
            raise RuntimeError("Dav is used outside its `async with`.")
        request = self._client.build_request(method, url, headers=dict(headers), content=body)
        response = await self._client.send(request, stream=True)
        try:
            parts, size = [], 0
            async for part in response.aiter_bytes():
                size += len(part)
                if size > MAX_ANSWER_BYTES:
                    raise InvalidInput(
                        f"The calendar's answer is larger than {MAX_ANSWER_BYTES:,} bytes.",
                        hint="Ask for a shorter window.",
                    )
                parts.append(part)
        finally:
            await response.aclose()
        lower = {key.lower(): value for key, value in response.headers.items()}
        return Answered(response.status_code, lower, b"".join(parts), url)

    def beside(self, url: str) -> str:
        """Give a url that the server named, if the password may go there.

        Raises:
            BackendConfigError: it may not.
        """
        there, here = urlsplit(checked_url(url)), urlsplit(self.url)
        if there.scheme != here.scheme:
            raise BackendConfigError(
                f"The calendar server sends on to {there.scheme}.",
                hint=f"Connect to it with {there.scheme}: `aicore connect caldav`.",
            )
        if there.hostname != here.hostname:
            domain = (here.hostname or "").partition(".")[2]
            is_near = "." in domain and (there.hostname or "").endswith(f".{domain}")
            if not is_near or _is_loopback(here.hostname or ""):
                raise BackendConfigError(
                    f"The calendar server sends on to {there.hostname}.",
                    hint="If that is right, connect to it: `aicore connect caldav`.",
                )
        return url


def checked_url(url: str) -> str:
    """Give the url, if a password may be sent there.

    Raises:
        BackendConfigError: it is none, is not https, or holds a password itself.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port  # is read now to find that it is none
    except ValueError as error:
        raise BackendConfigError(
            "The url of the calendar server cannot be read.",
            hint="Give https://calendar.example.com/, as the calendar's provider names it.",
        ) from error
    if not parts.hostname or parts.scheme not in ("http", "https") or parts.username:
        raise BackendConfigError(
            f"{_shown(url)} is no url of a calendar server.",
            hint="Give https://calendar.example.com/, and user and password apart from it.",
        )
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise BackendConfigError(
            f"{_shown(url)} is not https: the password could be read on the way."
        )
    return url


def joined(base: str, href: str) -> str:
    """Give where the server points to from `base`.

    Raises:
        BackendConfigError: that is no url.
    """
    try:
        return urljoin(base, href)
    except ValueError as error:
        raise BackendConfigError(f"{_shown(base)} points to what is no url.") from error


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _shown(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"[:200]


@contextmanager
def _translated(method: str, url: str) -> Iterator[None]:
    """Turn what the connection raises into the tools' errors."""
    host = urlsplit(url).hostname
    try:
        yield
    except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
        raise BackendUnavailable(f"The calendar server {host} cannot be reached.") from error
    except httpx2.InvalidURL as error:
        raise BackendConfigError(f"The calendar server {host} points to what is no url.") from error
    except (httpx2.RequestError, TimeoutError) as error:
        if method in _EFFECTS:
            raise OutcomeUnknown(
                f"The connection to the calendar server {host} broke; it may have acted.",
                hint="Repeat the call with the same operation key: it is looked up first.",
            ) from error
        raise BackendUnavailable(f"The calendar server {host} does not answer.") from error


def _check(answered: Answered, method: str) -> None:
    status = answered.status
    if status < 300:
        return
    if status >= 500 and status != _FULL and method in _EFFECTS:
        raise OutcomeUnknown(f"The calendar server failed ({status}); it may have acted.")
    if status == 429 or status >= 500:
        after = answered.headers.get("retry-after", "")
        raise BackendUnavailable(
            f"The calendar server is not able to answer now ({status}).",
            retry_after_s=float(after) if after.isdecimal() else None,
        )
    raise _refusal(status)


def _refusal(status: int) -> ToolsError:
    if status == 401:
        return Unauthorized(
            "The calendar server does not take this user and password.",
            hint="Run `aicore connect caldav` again.",
        )
    if status == 403:
        return NotAllowed("The calendar server does not allow that.")
    if status in (404, 410):
        return NotFound("That is not on the calendar server.")
    if status == 412:
        return Stale("The event was changed meanwhile.", hint="Read it again, then change it.")
    if status == 409:
        return Conflict("The calendar server has something in the way of that (409).")
    return InvalidInput(f"The calendar server refuses that ({status}).")
