"""A provider that is given placeholders for personal values, which are put back in its answers.

Every position of a request is masked: instructions, tools, summary, messages with their calls and
results, volatile text, the schema of the answer. Restored are text, also in a stream, and arguments
of calls, by value after they are parsed.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from types import TracebackType
from typing import Any, Self, TypeVar

from aicore.errors import AicoreError, Interrupted, ModelError, ProviderUnavailable
from aicore.models.port import (
    Capabilities,
    Completion,
    Origin,
    Provider,
    Request,
    TextDelta,
)
from aicore.records import Message, Tail
from aicore.trust.labelled import labelled_in
from aicore.trust.masked_parts import (
    Part,
    Prefixes,
    States,
    message_part,
    schema_part,
    text_part,
)
from aicore.trust.pseudonyms import Detector, Pseudonyms
from aicore.trust.vault import Vault, Vaults

__all__ = ["Masked"]

T = TypeVar("T")

_PREFIX = "masked:"
_CONVERSATIONS = 256
_SPARE_PARTS = 64
_TAILS = 8


class Masked:
    """Asks `provider` with placeholders in place of personal values.

    Values of the fields that tools label as personal are known from their results on. Its name is
    `masked:` and the provider's, so that what one of them wants to see again is never
    given to the other. Wrap the providers of a router, not the router. `mangled` counts answers in
    which a placeholder came back in a form that could not be read; in a call that is an error.
    """

    def __init__(
        self, provider: Provider, vaults: Vaults, *, detector: Detector | None = None
    ) -> None:
        self.mangled = 0
        self._provider = provider
        self._vaults = vaults
        self._detector = detector or Detector()
        self._capabilities = replace(provider.capabilities, masks=True)
        self._states = States(_PREFIX)
        self._prefixes = Prefixes()
        self._talks: OrderedDict[tuple[Origin, str], _Talk] = OrderedDict()
        self._entered = AsyncExitStack()

    def __repr__(self) -> str:
        return f"Masked({self._provider!r})"

    @property
    def name(self) -> str:
        """`masked:` and the provider's name."""
        return self._states.outward(self._provider.name)

    @property
    def capabilities(self) -> Capabilities:
        """The provider's, with `masks`."""
        return self._capabilities

    async def complete(self, request: Request) -> Completion:
        """Answer in one piece.

        Raises: as the provider does; ModelError when the answer holds a placeholder that is not
        known; StoreBusy and StoreError of the vault, before anything is sent.
        """
        masked, pseudonyms = await self._mask(request)
        completion = await self._provider.complete(masked)
        return self._restored(completion, pseudonyms, is_json=request.output_schema is not None)

    async def stream(self, request: Request) -> AsyncGenerator[TextDelta | Completion, None]:
        """Answer as text deltas, then the Completion. Raises as `complete` does.

        Only what may be the beginning of a placeholder is held back. An answer that is to be JSON
        comes in one delta, since values are put back into JSON once it is parsed.
        """
        masked, pseudonyms = await self._mask(request)
        is_json = request.output_schema is not None
        restorer = pseudonyms.unmask_stream()
        shown: list[str] = []
        async with aclosing(self._provider.stream(masked)) as items:
            try:
                async for item in items:
                    if isinstance(item, Completion):
                        completion = self._restored(item, pseudonyms, is_json=is_json)
                        rest = completion.text if is_json else restorer.finish()
                        if rest:
                            yield TextDelta(rest)
                        yield completion
                    elif not is_json and (ready := restorer.feed(item.delta)):
                        shown.append(ready)
                        yield TextDelta(ready)
            except Interrupted as exc:
                raise _interrupted(exc, "".join(shown)) from exc

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as entering:
            await entering.enter_async_context(self._vaults)
            await entering.enter_async_context(self._provider)
            self._entered = entering.pop_all()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._talks.clear()
        await self._entered.__aexit__(exc_type, exc, traceback)

    async def _mask(self, request: Request) -> tuple[Request, Pseudonyms]:
        origin = request.origin
        vault = await self._vaults.open(origin.conversation, business=origin.business)
        pseudonyms = Pseudonyms(vault, self._detector)
        return await self._talk(request.origin, vault).masked(request, pseudonyms), pseudonyms

    def _talk(self, origin: Origin, vault: Vault) -> _Talk:
        """What is kept of a conversation; nothing of what belongs to none."""
        key = (Origin(business=origin.business, conversation=origin.conversation), vault.nonce)
        talk = self._talks.get(key)
        if talk is None:
            talk = _Talk(self._states, self._prefixes, vault.nonce)
        if origin.conversation:
            self._talks[key] = talk
            self._talks.move_to_end(key)
            if len(self._talks) > _CONVERSATIONS:
                self._talks.popitem(last=False)
        return talk

    def _restored(
        self, completion: Completion, pseudonyms: Pseudonyms, *, is_json: bool
    ) -> Completion:
        try:
            text = _restored_text(completion.text, pseudonyms, is_json=is_json)
            self.mangled += pseudonyms.has_remains(text)
            calls = tuple(
                replace(call, arguments=pseudonyms.unmask_value(dict(call.arguments)))
                for call in completion.calls
            )
        except ModelError as exc:
            exc.was_answered = True
            raise
        provider = completion.provider
        return replace(
            completion,
            text=text,
            calls=calls,
            state=self._states.mark(completion.state, pseudonyms.vault.nonce),
            provider=self._states.outward(provider) if provider else "",
        )


class _Talk:
    """The masked parts of one conversation, as far as they may be sent again."""

    def __init__(self, states: States, prefixes: Prefixes, nonce: str) -> None:
        self._states = states
        self._prefixes = prefixes
        self._nonce = nonce
        self._parts: dict[int, Part[Any]] = {}
        # By the cache of a clear tail, which is the same object while that is only appended to.
        self._joined: OrderedDict[int, tuple[object, dict[str, tuple[int, bytes]]]] = OrderedDict()

    async def masked(self, request: Request, pseudonyms: Pseudonyms) -> Request:
        """The request with all parts masked. Raises as Pseudonyms.settle does."""
        if any(one.role == "tool" and id(one) not in self._parts for one in request.tail):
            await pseudonyms.vault.assign(labelled_in(request.tail, request.prefix.tools))
        prefix = self._part(request.prefix, self._prefixes.part)
        summary = None if request.summary is None else self._message(request.summary)
        messages = [self._message(message) for message in request.tail]
        volatile = text_part(request.volatile)
        schema = request.output_schema
        shape = None if schema is None else self._part(schema, schema_part)
        parts = [part for part in (prefix, summary, volatile, shape, *messages) if part]
        await pseudonyms.settle([text for part in parts for text in part.texts])
        before = [part.last for part in messages]
        tail = [part.made() for part in messages]
        if any(old is not new for old, new in zip(before, tail, strict=True) if old is not None):
            self._joined.clear()  # an older message is masked in another way now
        self._prune(parts)
        return replace(
            request,
            prefix=prefix.made(),
            summary=None if summary is None else summary.made(),
            tail=self._tail(request.tail, tail),
            volatile=volatile.made(),
            output_schema=None if shape is None else shape.made(),
        )

    def _message(self, message: Message) -> Part[Message]:
        return self._part(message, lambda one: message_part(one, self._states, self._nonce))

    def _part(self, source: T, make: Callable[[T], Part[Any]]) -> Part[Any]:
        part = self._parts.get(id(source))
        if part is None:
            part = self._parts[id(source)] = make(source)
        return part

    def _tail(self, clear: Sequence[Message], masked: Sequence[Message]) -> Sequence[Message]:
        """The masked tail, with a cache of its own that lives as long as the clear one's."""
        if not isinstance(clear, Tail):
            return masked
        key = id(clear.joined)
        if key not in self._joined:
            self._joined[key] = (clear.joined, {})
            if len(self._joined) > _TAILS:
                self._joined.popitem(last=False)
        self._joined.move_to_end(key)
        return Tail(masked, self._joined[key][1])

    def _prune(self, used: Sequence[Part[Any]]) -> None:
        """Forget parts of earlier requests, once they are more than those of this one."""
        if len(self._parts) > 2 * len(used) + _SPARE_PARTS:
            kept = {id(part.source) for part in used}
            self._parts = {key: part for key, part in self._parts.items() if key in kept}


def _restored_text(text: str, pseudonyms: Pseudonyms, *, is_json: bool) -> str:
    if is_json:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return pseudonyms.unmask(text)
        restored = pseudonyms.unmask_value(value)
        return text if restored == value else json.dumps(restored, ensure_ascii=False)
    return pseudonyms.unmask(text)


def _interrupted(exc: Interrupted, shown: str) -> AicoreError:
    """The same with the text that was really shown; where none was, it may be tried again."""
    error: AicoreError = (
        Interrupted(str(exc), text=shown) if shown else ProviderUnavailable(str(exc))
    )
    error.route = exc.route
    return error
