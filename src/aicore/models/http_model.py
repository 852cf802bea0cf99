"""A model behind HTTP: what the dialects have in common, from request to completion.

A dialect says how a request is written and how an answer is read; connections, deadlines, streams
that break and the meaning of failures are the same for all of them.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, Self

from aicore.errors import (
    AicoreError,
    ConfigError,
    Interrupted,
    NotOpenError,
    ProviderUnavailable,
)
from aicore.models.http_faults import Backend, error_for_body, error_for_status, is_refusal
from aicore.models.port import Capabilities, Completion, Price, Request, TextDelta
from aicore.models.timeouts import Timeouts

if TYPE_CHECKING:
    from aicore.models.endpoint import Answer, Endpoint

__all__ = [
    "Asked",
    "Authorize",
    "BrokenOffError",
    "Dialect",
    "ErrorInReply",
    "HTTPModel",
    "ReplyReader",
    "Site",
]


class ErrorInReply(Exception):
    """The server put an error object where its answer should be."""

    def __init__(self, error: Any) -> None:
        super().__init__("The reply holds an error.")
        self.error = error


class BrokenOffError(Exception):
    """What came is no answer, or not a whole one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a reply is completed with: the question it belongs to."""

    model: str
    body_bytes: int
    price: Price | None
    request: Request | None = None


Authorize = Callable[[str, bytes], Awaitable[Mapping[str, str]]]
"""Gives headers of a request from its URL and body. Raises: CredentialError, ProviderUnavailable,
ConfigError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where a model is asked. `url` answers in one piece, `stream_url` in events.

    `is_own`: a machine of the business, which is never asked through a proxy. `secrets` never
    appear in errors. `authorize` gives the headers that each request needs of its own, from its
    URL and body: a signature, a token that expires. `key_remedy` says what to do about a key
    that is refused, "" for `api_key` and `api_key_env`.
    """

    url: str
    stream_url: str
    headers: Mapping[str, str] = field(repr=False)
    is_own: bool
    secrets: tuple[str, ...] = field(default=(), repr=False)
    authorize: Authorize | None = None
    key_remedy: str = ""


class ReplyReader(Protocol):
    """Collects one answer. It is given the parts, then gives the completion."""

    has_begun: bool
    is_done: bool

    @property
    def is_complete(self) -> bool:
        """Whether there is an answer and the server said, in some way, that this is all."""

    def refuse(self) -> None:
        """Note that a content filter answered instead of the model."""

    def add_part(self, part: bytes) -> str:
        """Take bytes of a stream, b"" for its end; gives the text in the events they complete.

        Raises: ErrorInReply, BrokenOffError.
        """

    def add_whole(self, body: bytes) -> str:
        """Take a whole answer; gives its text. Raises: ErrorInReply, BrokenOffError."""

    def check_complete(self) -> None:
        """Raise BrokenOffError unless the server said that this is all."""

    def completion(self, asked: Asked) -> Completion:
        """Give what was collected."""


class Dialect(Protocol):
    """How a request is written and an answer read."""

    def encode(self, request: Request, *, is_stream: bool) -> bytes:
        """The body of a request. Raises: ValueError for a request that cannot be."""

    def reader(self) -> ReplyReader:
        """What collects one answer."""


class HTTPModel:
    """A provider that speaks a dialect to a site. Never retries, but for a stale connection.

    Dialects derive from it only to have a constructor of their own.
    """

    def __init__(
        self,
        *,
        name: str,
        model: str,
        site: Site,
        dialect: Dialect,
        capabilities: Capabilities,
        timeouts: Timeouts,
    ) -> None:
        self._name = name
        self._site = site
        self._dialect = dialect
        self._capabilities = capabilities
        self._timeouts = timeouts
        origin = "/".join(site.url.split("/", 3)[:3])
        self._backend = Backend(
            url=origin, model=model, secrets=site.secrets, key_remedy=site.key_remedy
        )
        self._endpoints: dict[bool, Endpoint] = {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self._name!r}, base_url={self._backend.url!r})"

    @property
    def name(self) -> str:
        """Stable name: the one given, else the dialect's word and the model."""
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        """What was configured; nothing is asked of the server."""
        return self._capabilities

    @property
    def model(self) -> str:
        """The name under which the site knows the model."""
        return self._backend.model

    @property
    def site(self) -> Site:
        """Where it is asked; the headers hold the key."""
        return self._site

    def set_price(self, price: Price | None) -> None:
        """Say what it costs, where its maker did not know; before it is entered."""
        self._capabilities = replace(self._capabilities, price=price)

    async def complete(self, request: Request) -> Completion:
        """Answer in one piece, by one POST.

        Raises: ProviderUnavailable, CredentialError, ConfigError (no such model or address),
        ModelError; its `code` is `context_overflow` when the request is too long.
        """
        endpoint = self._endpoint(is_stream=False)
        body = self._dialect.encode(request, is_stream=False)
        fetched = await endpoint.fetch(body)
        reply = self._dialect.reader()
        try:
            self._take_whole(reply, fetched.status, fetched.headers, fetched.body)
        except (ErrorInReply, BrokenOffError) as exc:
            raise self._translated(exc) from exc
        return reply.completion(self._asked(request, body))

    async def stream(self, request: Request) -> AsyncGenerator[TextDelta | Completion, None]:
        """Answer as text deltas, one per read at most, then the Completion.

        Closing the iterator closes the connection, which stops the server's work. Raises as
        `complete` does before the first delta, and Interrupted after it.
        """
        endpoint = self._endpoint(is_stream=True)
        body = self._dialect.encode(request, is_stream=True)
        reply = self._dialect.reader()
        shown: list[str] = []
        try:
            async with await endpoint.start(body) as answer:
                if _is_whole(answer.status, answer.headers) and (
                    text := await self._read_whole(reply, answer)
                ):
                    yield TextDelta(text)
                part = b"?"
                while part and not reply.is_done:
                    part = await answer.part()
                    if text := reply.add_part(part):
                        shown.append(text)
                        yield TextDelta(text)
                    answer.has_begun = reply.has_begun
                await answer.drain()
            reply.check_complete()
        except (AicoreError, ErrorInReply, BrokenOffError) as exc:
            if not reply.is_complete:
                self._fail(exc, "".join(shown))
        yield reply.completion(self._asked(request, body))

    async def __aenter__(self) -> Self:
        from aicore.models.endpoint import Endpoint  # imports httpx2

        site = self._site
        urls = {False: site.url, True: site.stream_url}
        made: dict[str, Endpoint] = {}
        try:
            for url in dict.fromkeys(urls.values()):
                made[url] = Endpoint(
                    url,
                    headers=site.headers,
                    timeouts=self._timeouts,
                    is_own=site.is_own,
                    authorize=site.authorize,
                )
                await made[url].open()
        except BaseException:
            for endpoint in made.values():
                await endpoint.close()
            raise
        self._endpoints = {is_stream: made[url] for is_stream, url in urls.items()}
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        endpoints, self._endpoints = self._endpoints, {}
        for endpoint in endpoints.values():
            await endpoint.close()

    def _endpoint(self, *, is_stream: bool) -> Endpoint:
        try:
            return self._endpoints[is_stream]
        except KeyError:
            message = f"Enter {self._name} first: async with provider: ..."
            raise NotOpenError(message) from None

    def _asked(self, request: Request, body: bytes) -> Asked:
        return Asked(
            model=self._backend.model,
            body_bytes=len(body),
            price=self._capabilities.price,
            request=request,
        )

    async def _read_whole(self, reply: ReplyReader, answer: Answer) -> str:
        return self._take_whole(reply, answer.status, answer.headers, await answer.rest())

    def _take_whole(
        self, reply: ReplyReader, status: int, headers: Mapping[str, str], body: bytes
    ) -> str:
        if is_refusal(status, body):
            reply.refuse()
            return ""
        if status != 200:
            raise error_for_status(status, headers, body, self._backend)
        if _content_type(headers).startswith("text/html"):
            raise ConfigError(
                f"{self._site.url} answers with a web page. Correct base_url; most end with /v1."
            )
        return reply.add_whole(body)

    def _translated(self, exc: ErrorInReply | BrokenOffError) -> AicoreError:
        if isinstance(exc, ErrorInReply):
            return error_for_body(exc.error, self._backend)
        return ProviderUnavailable(
            f"The answer of the model server at {self._backend.url} broke off."
        )

    def _fail(self, exc: AicoreError | ErrorInReply | BrokenOffError, shown: str) -> NoReturn:
        if shown:
            raise Interrupted(
                f"The answer of {self._name} broke off after it had begun.", text=shown
            ) from exc
        if isinstance(exc, AicoreError):
            raise exc
        raise self._translated(exc) from exc


def _is_whole(status: int, headers: Mapping[str, str]) -> bool:
    # A server may answer a request for a stream in one piece.
    return status != 200 or _content_type(headers).startswith(("application/json", "text/html"))


def _content_type(headers: Mapping[str, str]) -> str:
    return headers.get("content-type", "").lower()
