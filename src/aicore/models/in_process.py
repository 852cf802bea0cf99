"""A model in this process: a GGUF file that the user names, by llama.cpp.

The library answers on a port of loopback, with a key that is made for each start and known to
this process alone, in OpenAI's format: so all that is known of that format holds here too. Its
call interface was measured as the alternative: both give up a request at the same moments.

Every request is asked for as a stream, with the progress of reading its prompt. Only then does the
library notice between two batches, and between two tokens, that nobody waits any more.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from decimal import Decimal
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import anyio
import anyio.to_thread

from aicore.errors import ConfigError, Interrupted, NotOpenError, ProviderUnavailable
from aicore.models.openai_compatible import OpenAICompatible
from aicore.models.port import Capabilities, Completion, Price, Request, TextDelta
from aicore.models.timeouts import Timeouts

if TYPE_CHECKING:
    from aicore.models.in_process_server import LoadedModel

__all__ = ["InProcess"]

# A processor without a graphics card may need minutes to read a long prompt.
_TIMEOUTS = Timeouts(connect_s=5.0, first_token_s=300.0, idle_s=120.0, total_s=1800.0)
_CLOSE_S = 60.0
_MIN_CONTEXT_TOKENS = 256
# Nobody charges for tokens here. What the machine costs is counted by the hour: `aicore cost`.
_OWN_MACHINE = Price(input_usd=Decimal(0), output_usd=Decimal(0), source="own machine")


class InProcess:
    """A Provider that runs the model file `path` in this process. Extra `local`.

    `context_tokens` is what one request may hold, `at_once` how many are answered at the same
    time (more wait for their turn), `threads` the processor's threads that generate (None: the
    library's choice). Memory: the file, and `at_once` contexts. Entering loads it.

    Raises: ConfigError for a setting that cannot be, and when entered, for a file that cannot be
    loaded, too little memory, or the extra not installed.
    """

    def __init__(
        self,
        *,
        path: Path,
        context_tokens: int = 8192,
        at_once: int = 2,
        threads: int | None = None,
        name: str | None = None,
    ) -> None:
        _check("context_tokens", context_tokens, _MIN_CONTEXT_TOKENS)
        _check("at_once", at_once, 1)
        if threads is not None:
            _check("threads", threads, 1)
        self._path = Path(path)
        self._at_once = at_once
        self._threads = threads
        self._name = name or f"in-process:{self._path.stem}"
        self._capabilities = Capabilities(
            locality="in_process", context_tokens=context_tokens, price=_OWN_MACHINE, schema=True
        )
        self._places = anyio.Semaphore(at_once)
        self._loaded: LoadedModel | None = None
        self._asked: OpenAICompatible | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self._name!r})"

    @property
    def name(self) -> str:
        """Stable name: the one given, else `in-process:` and the file's name."""
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        """What was configured. The price is zero: nobody charges for tokens here."""
        return self._capabilities

    async def complete(self, request: Request) -> Completion:
        """Answer in one piece. Raises as `stream` does, but never Interrupted."""
        completion: Completion | None = None
        try:
            async with aclosing(self.stream(request)) as items:
                async for item in items:
                    if isinstance(item, Completion):
                        completion = item
        except Interrupted as exc:
            raise ProviderUnavailable(f"The answer of {self._name} broke off.") from exc
        if completion is None:
            raise ProviderUnavailable(f"{self._name} gave no answer.")
        return completion

    async def stream(self, request: Request) -> AsyncGenerator[TextDelta | Completion, None]:
        """Answer as text deltas, then the Completion. Waits while `at_once` others are answered.

        Closing the iterator stops the work at the next token, or the next batch of the prompt.

        Raises: ProviderUnavailable (what the model wrote cannot be read as calls: may be tried
        again), ContextOverflow, ModelError, Interrupted.
        """
        self._entered()
        async with self._places, aclosing(self._entered().stream(request)) as items:
            async for item in items:
                yield item

    async def __aenter__(self) -> Self:
        try:
            self._loaded = await anyio.to_thread.run_sync(self._load)
            self._asked = OpenAICompatible(
                base_url=self._loaded.base_url,
                model=self._path.stem,
                api_key=self._loaded.api_key,
                name=self._name,
                price=_OWN_MACHINE,
                context_tokens=self._capabilities.context_tokens,
                timeouts=_TIMEOUTS,
                extra_body={"return_progress": True},
            )
            await self._asked.__aenter__()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        asked, self._asked = self._asked, None
        try:
            if asked is not None:
                await asked.__aexit__(exc_type, exc, traceback)
        finally:
            await self._close()

    def _load(self) -> LoadedModel:
        from aicore.models.in_process_server import LoadedModel, Loading

        return LoadedModel(
            Loading(
                path=self._path,
                context_tokens=self._capabilities.context_tokens or 0,
                at_once=self._at_once,
                threads=self._threads,
                alias=self._path.stem,
            )
        )

    async def _close(self) -> None:
        loaded, self._loaded = self._loaded, None
        self._asked = None
        if loaded is not None:
            with anyio.CancelScope(shield=True):  # memory and port are given back in any case
                await anyio.to_thread.run_sync(partial(loaded.close, within_s=_CLOSE_S))

    def _entered(self) -> OpenAICompatible:
        if self._asked is None:
            raise NotOpenError(f"Enter {self._name} first: async with provider: ...")
        return self._asked


def _check(setting: str, value: int, least: int) -> None:
    if value < least:
        raise ConfigError(f"{setting} is {value}. Set it to {least} or more.")
