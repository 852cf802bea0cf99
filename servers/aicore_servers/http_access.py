"""Who may use a server over HTTP: bearer tokens, and what each of them may do.

A token file has one token a line, `NAME[:PROFILE] TOKEN`; empty lines and lines with # are left
out. TOKEN is `sha256:` and the hash of the token in hexadecimal, or the token itself. Two lines of
one name are two tokens of one caller, to change from one to the other without a pause. A change of
the file counts from the next request on.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import anyio
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aicore_servers._tooling import PROFILES, Profile, granted
from aicore_tools.errors import BackendConfigError

__all__ = [
    "TOKENS_VARIABLE",
    "Holder",
    "TokenGate",
    "Tokens",
    "for_pages",
    "new_token",
    "within_profile",
]

TOKENS_VARIABLE = "AICORE_SERVER_TOKENS"
_PREFIX = "sha256:"
_SHORTEST = 32
_LOOK_AGAIN_S = 2.0
_LISTEN = "subscriptions/listen"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{64}")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Holder:
    """Somebody with a token. `digest` is the SHA-256 of it; the token itself is kept nowhere."""

    name: str
    profile: Profile
    digest: bytes = field(repr=False)


class Tokens:
    """The tokens that are good right now."""

    def __init__(self, source: Callable[[], tuple[object, str]], where: str) -> None:
        self._source = source
        self._where = where
        self._stamp, text = source()
        self._holders = _parsed(text, where)
        if not self._holders:
            raise BackendConfigError(f"{where} has no token in it.")

    @classmethod
    def of_text(cls, text: str, where: str) -> Tokens:
        """Take tokens that do not change, one a line.

        Raises:
            BackendConfigError: a line cannot be read, or there is no token.
        """
        return cls(lambda: (None, text), where)

    @classmethod
    def of_file(cls, path: Path) -> Tokens:
        """Take the tokens of a file, and follow its changes.

        Raises:
            BackendConfigError: it cannot be read, has no token, or others may read it.
        """

        def read() -> tuple[object, str]:
            try:
                state = path.stat()
                text = path.read_text("utf-8")
            except (OSError, ValueError) as error:
                why = getattr(error, "strerror", None) or "it is no text"
                raise BackendConfigError(f"{path} cannot be read: {why}.") from error
            if os.name == "posix" and state.st_mode & 0o007:
                raise BackendConfigError(f"{path} can be read by others.", hint=f"chmod 600 {path}")
            return (state.st_mtime_ns, state.st_size, state.st_ino), text

        return cls(read, str(path))

    def holder(self, token: str) -> Holder | None:
        """Give whose token it is, None if it is nobody's or is not good any more."""
        self._follow()
        digest = hashlib.sha256(token.encode()).digest()
        found = None
        for holder in self._holders:  # all of them, so that the time tells nothing
            if hmac.compare_digest(digest, holder.digest):
                found = holder
        return found

    def _follow(self) -> None:
        try:
            stamp, text = self._source()
            if stamp != self._stamp:
                self._stamp, self._holders = stamp, _parsed(text, self._where)
        except BackendConfigError as error:
            # Who takes a file away or breaks it may want to shut somebody out: nobody is let in.
            if self._holders:
                _log.error("tokens_unreadable: %s Nobody is let in.", error)
            self._stamp, self._holders = object(), ()


def _parsed(text: str, where: str) -> Sequence[Holder]:
    holders = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        holder = _holder(words)
        if holder is None:
            raise BackendConfigError(
                f"{where}, line {number}: not NAME[:PROFILE] TOKEN.",
                hint=f"PROFILE is one of {', '.join(PROFILES)}; TOKEN has at least {_SHORTEST}"
                f" characters, or is {_PREFIX} and 64 hexadecimal digits. Make one with"
                " --new-token NAME.",
            )
        holders.append(holder)
    return tuple(holders)


def _holder(words: Sequence[str]) -> Holder | None:
    if len(words) != 2:
        return None
    name, colon, profile = words[0].partition(":")
    token = words[1]
    if not _NAME.fullmatch(name) or (colon and profile not in PROFILES):
        return None
    if token.startswith(_PREFIX):
        hexadecimal = token.removeprefix(_PREFIX).lower()
        if not _DIGEST.fullmatch(hexadecimal):
            return None
        digest = bytes.fromhex(hexadecimal)
    elif len(token) < _SHORTEST:
        return None
    else:
        digest = hashlib.sha256(token.encode()).digest()
    return Holder(name, cast("Profile", profile or "money"), digest)


def new_token(holder: str) -> tuple[str, str]:
    """Make a token: what the client gets, and the line of the token file.

    Raises:
        BackendConfigError: `holder` is not NAME[:PROFILE].
    """
    token = secrets.token_urlsafe(32)
    line = f"{holder} {_PREFIX}{hashlib.sha256(token.encode()).hexdigest()}"
    _parsed(line, "--new-token")
    return token, line


class TokenGate:
    """An ASGI app that lets requests with a good token through to another, and no others.

    A stream of messages ends within seconds of its token; a call that has begun is finished.
    """

    def __init__(self, app: ASGIApp, tokens: Tokens) -> None:
        self._app = app
        self._tokens = tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        kind, _, token = Headers(scope=scope).get("authorization", "").partition(" ")
        is_bearer = kind.lower() == "bearer"
        holder = self._tokens.holder(token.strip()) if is_bearer else None
        if holder is None:
            # https://www.rfc-editor.org/rfc/rfc6750#section-3: no error code where none was sent
            why = 'Bearer realm="aicore", error="invalid_token"'
            refusal = JSONResponse(
                {"error": "invalid_token" if is_bearer else "token_needed"},
                status_code=401,
                headers={"WWW-Authenticate": why if is_bearer else 'Bearer realm="aicore"'},
            )
            await refusal(scope, receive, send)
            return
        # As mcp's own: it binds a session to whoever opened it.
        access = AccessToken(token="", client_id=holder.name, scopes=[holder.profile])
        scope = {**scope, "user": AuthenticatedUser(access)}
        if scope["method"] == "GET" or Headers(scope=scope).get("mcp-method") == _LISTEN:
            await self._while_good(token.strip(), scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _while_good(self, token: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that may stay open; its caller counts as gone once its token is."""
        is_good, is_open = True, False

        async def receive_while_good() -> Message:
            nonlocal is_good
            while is_good:
                with anyio.move_on_after(_LOOK_AGAIN_S):
                    return await receive()
                is_good = self._tokens.holder(token) is not None
            return {"type": "http.disconnect"}

        async def send_noting(message: Message) -> None:
            nonlocal is_open
            is_open = message["type"] == "http.response.start" or message.get("more_body", False)
            await send(message)

        await self._app(scope, receive_while_good, send_noting)
        if is_open and not is_good:
            await send({"type": "http.response.body"})


def for_pages(app: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """Let browsers show the answers of `app` to pages of these origins, and to no others.

    https://fetch.spec.whatwg.org/#http-cors-protocol
    """
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=["*"],
        expose_headers=["Mcp-Session-Id", "WWW-Authenticate"],
    )


async def within_profile(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """Answer a message with what its token may do; middleware of an MCP server behind a gate."""
    user = ctx.request.scope.get("user") if ctx.request is not None else None
    # No message comes without a request; should one, it may do the least.
    profile = user.scopes[0] if isinstance(user, AuthenticatedUser) else PROFILES[0]
    with granted(cast("Profile", profile)):
        return await call_next(ctx)
