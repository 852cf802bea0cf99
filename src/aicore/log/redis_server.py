"""A Redis or Valkey server as the log uses it: connections, deadlines, retries, errors."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import anyio

from aicore.errors import (
    AicoreError,
    ConfigError,
    CredentialError,
    CustomerError,
    NotOpenError,
    StoreBusy,
    StoreError,
)
from aicore.log.redis_scripts import Script

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

__all__ = ["RedisServer", "Word", "is_forbidden", "split_url"]

Word = str | int | bytes

PATIENCE_S = 5.0
"""How long a call is tried again while the server cannot be reached, starts or fails over."""
_ANSWER_S = 5.0
_CALLS_AT_ONCE = 16
_FIRST_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 0.5
# Of the client's options, those that cannot change what the log relies on.
_OPTIONS = ("db", "username", "password", "client_name", "socket_keepalive")
_SCHEMES = {
    "redis": "redis",
    "rediss": "rediss",
    "valkey": "redis",
    "valkeys": "rediss",
    "unix": "unix",
}


def split_url(url: str) -> tuple[str, str, bool]:
    """Give the url for the client, a name for messages, and whether it asserts durability.

    The name holds no user, password or option. Raises: ConfigError.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or 6379
    except ValueError as exc:
        raise ConfigError(
            "The url of a log on Redis is malformed: redis://HOST:PORT/DATABASE."
        ) from exc
    scheme = _SCHEMES.get(parts.scheme)
    if scheme is None:
        known = ", ".join(f"{name}://" for name in _SCHEMES)
        raise ConfigError(f"The url of a log on Redis begins with one of {known}.")
    database = parts.path.removeprefix("/")
    if scheme != "unix" and database and not database.isdecimal():
        # A password with a bare "/" ends up here, so it is not quoted.
        raise ConfigError(
            "The url of a log on Redis ends in the number of a database: redis://HOST:PORT/0. "
            "Write special characters of a password percent-encoded, / as %2F and @ as %40."
        )
    options = dict(parse_qsl(parts.query))
    durability = options.pop("durability", "checked")
    if durability not in ("checked", "asserted"):
        raise ConfigError("In the url of a log on Redis, durability is checked or asserted.")
    unknown = [name for name in options if name not in _OPTIONS and not name.startswith("ssl_")]
    if unknown:
        raise ConfigError(
            "The url of a log on Redis has an option that it cannot have. "
            f"Known are durability, {', '.join(_OPTIONS)} and those that begin with ssl_."
        )
    place = parts.path if scheme == "unix" else f"{parts.hostname or 'localhost'}:{port}"
    name = f"{parts.scheme}://{place}" + ("" if scheme == "unix" else parts.path)
    cleaned = parts._replace(scheme=scheme, query=urlencode(options))
    return urlunsplit(cleaned), name, durability == "asserted"


class RedisServer:
    """Sends commands and scripts over a few connections, each with a deadline.

    Used inside the event loop that made it. A call whose answer was lost is repeated, and says
    so in its scripts' ARGV[1]. A call that is cancelled before it was sent is not done; one that
    was sent is waited for.
    """

    def __init__(self, url: str, name: str) -> None:
        self.name = name
        self._errors: Any = _load()
        self._raised = (self._errors.RedisError, OSError, UnicodeEncodeError)
        self._new_connection = _factory(url)
        self._loop = asyncio.get_running_loop()
        self._idle: list[AbstractConnection] = []
        self._slots = anyio.Semaphore(_CALLS_AT_ONCE)

    async def run(self, script: Script, keys: Sequence[str], *values: Word) -> Any:
        """Run a script, once in effect even if it must be asked for twice."""

        async def ask(connection: AbstractConnection, *, is_again: bool) -> Any:
            words = (len(keys), *keys, int(is_again), *values)
            try:
                await connection.send_command("EVALSHA", script.sha, *words)
                return await connection.read_response()
            except self._errors.NoScriptError:
                # The server has started anew, or a person flushed its scripts.
                await connection.send_command("EVAL", script.text, *words)
                return await connection.read_response()

        return await self._persist(ask)

    async def ask(self, *command: Word) -> Any:
        """Send a command that may be repeated, and give its answer: bytes, int, None or a list."""

        async def ask(connection: AbstractConnection, *, is_again: bool) -> Any:
            await connection.send_command(*command)
            return await connection.read_response()

        return await self._persist(ask)

    async def wait_for(self, *command: Word) -> Any:
        """Send a command that blocks, outside the limit of calls; nothing is tried again.

        Cancelling it closes its connection. Its own deadline must be shorter than 5 seconds.
        """
        connection = None
        try:
            connection = await self._connection()
            await connection.send_command(*command)
            answer = await connection.read_response()
        except self._raised as exc:
            await self._drop(connection)
            raise self._meaning(self._reason(exc)) from exc
        except BaseException:
            await self._drop(connection)
            raise
        self._idle.append(connection)
        return answer

    async def stop(self) -> None:
        """Close the connections."""
        while self._idle:
            await self._drop(self._idle.pop())

    async def _persist(self, ask: Any) -> Any:
        if asyncio.get_running_loop() is not self._loop:
            raise NotOpenError(
                f"{self.name} was opened in another event loop. Open it in this one."
            )
        give_up_s = anyio.current_time() + PATIENCE_S
        pause_s = _FIRST_PAUSE_S
        attempt = _Attempt()
        while True:
            try:
                async with self._slots:
                    return await self._attempt(ask, attempt)
            except self._raised as raised:
                exc = self._reason(raised)
                is_late = anyio.current_time() + pause_s > give_up_s
                if is_late or not self._is_passing(exc):
                    raise self._meaning(exc) from exc
            await anyio.sleep(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    async def _attempt(self, ask: Any, attempt: _Attempt) -> Any:
        connection = await self._connection()
        with anyio.CancelScope(shield=True):
            try:
                answer = await ask(connection, is_again=attempt.was_sent)
            except (self._errors.ResponseError, UnicodeEncodeError) as exc:
                if self._is_passing(exc):
                    await self._drop(connection)  # a proxy or a name may lead elsewhere next time
                else:
                    self._idle.append(connection)
                raise
            except BaseException:
                attempt.was_sent = True
                await self._drop(connection)
                await self.stop()  # the others are as dead, if the server has started anew
                raise
        self._idle.append(connection)
        return answer

    async def _connection(self) -> AbstractConnection:
        if self._idle:
            return self._idle.pop()
        connection = self._new_connection()
        try:
            await connection.connect()  # type: ignore[no-untyped-call]  # the client's own
        except BaseException:
            await self._drop(connection)
            raise
        return connection

    async def _drop(self, connection: AbstractConnection | None) -> None:
        if connection is not None:
            with anyio.CancelScope(shield=True):
                await connection.disconnect(nowait=True)

    def _reason(self, exc: Exception) -> Exception:
        """What the server said, where the client has made a lost connection of it.

        It does so with a refused password on a unix socket.
        """
        while type(exc) is self._errors.ConnectionError:
            if not isinstance(exc.__cause__, self._errors.RedisError):
                break
            exc = exc.__cause__
        return exc

    def _is_passing(self, exc: Exception) -> bool:
        """Tell whether the same call may work in a moment."""
        errors = self._errors
        if isinstance(exc, errors.AuthenticationError):
            return False
        return isinstance(
            exc,
            OSError
            | errors.ConnectionError
            | errors.TimeoutError
            | errors.ReadOnlyError
            | errors.TryAgainError
            | errors.ClusterDownError,
        )

    def _meaning(self, exc: Exception) -> AicoreError:
        """Turn what the client raises into an error of ours."""
        if isinstance(exc, UnicodeEncodeError):
            return CustomerError("A conversation or message id is not valid Unicode text.")
        if isinstance(exc, self._errors.AuthenticationError):
            return CredentialError(
                f"{self.name} refused the user or the password of the url. Check both."
            )
        if self._is_passing(exc):
            return StoreBusy(
                f"{self.name} cannot be reached. Start the server, or correct the address in the "
                "url; nothing written is lost.",
                retry_after_s=1.0,
            )
        return _refusal(exc, self.name, self._errors)


class _Attempt:
    """Whether a call may have reached the server."""

    def __init__(self) -> None:
        self.was_sent = False


def _refusal(exc: Exception, name: str, errors: Any) -> AicoreError:
    """The meaning of an error that the server answered with.

    Its first word is its code: https://redis.io/docs/latest/develop/reference/protocol-spec/
    """
    text = str(exc)
    if isinstance(exc, errors.NoPermissionError) or text.startswith("ACL failure"):
        return ConfigError(f"The user of {name} may not do this; allow it in its ACL: {text}.")
    if isinstance(exc, errors.AskError):
        return ConfigError(
            f"{name} is a node of a cluster that does not hold this business. Name the node or "
            "proxy that does; a log needs no cluster, one business lives in one slot."
        )
    if isinstance(exc, errors.OutOfMemoryError):
        return StoreError(f"{name} has reached its maxmemory. Give it more; nothing was written.")
    if "DB index" in text:
        return StoreError(
            f"{name} has no database of this number. End the url in a smaller one; most servers "
            "have 0 to 15."
        )
    if text.startswith("MISCONF"):
        return StoreError(
            f"{name} cannot write to its disk and takes no writes. Free space or repair the disk; "
            "it goes on by itself then."
        )
    if text.startswith(("BUSY", "NOREPLICAS")):
        return StoreBusy(f"{name} takes no writes now: {text}", retry_after_s=1.0)
    if text.startswith("WRONGTYPE"):
        return StoreError(
            f"Another program uses the keys of the log in {name}. Name another database number."
        )
    return StoreError(f"{name} refuses the log's commands: {text}")


def is_forbidden(exc: AicoreError) -> bool:
    """Tell whether a command was refused because of who asks, or because it is renamed."""
    return isinstance(exc, ConfigError) or "unknown command" in str(exc)


def _load() -> Any:
    try:
        return importlib.import_module("redis.exceptions")
    except ImportError as exc:
        raise ConfigError(
            "A log on Redis needs its client. Install it: pip install 'aicore-mcp[redis]'."
        ) from exc


def _factory(url: str) -> Callable[[], AbstractConnection]:
    """What makes connections; the pool itself is not used: it repeats what we must not."""
    from redis.asyncio.connection import ConnectionPool

    try:
        pool: Any = ConnectionPool.from_url(
            url,
            protocol=2,
            socket_timeout=_ANSWER_S,
            socket_connect_timeout=_ANSWER_S,
        )
        pool.make_connection()
    except (TypeError, ValueError) as exc:
        raise ConfigError(
            f"The url of a log on Redis has an option that cannot be: {exc}."
        ) from exc
    make: Callable[[], AbstractConnection] = pool.make_connection
    return make
