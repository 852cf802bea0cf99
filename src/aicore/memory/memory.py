"""The Memory: what an agent remembers of those it talks to, and of its business."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import anyio

from aicore.errors import AicoreError, ConfigError, CustomerError, NotOpenError, TemporaryError
from aicore.log.port import EventLog
from aicore.memory.candidates import simplified
from aicore.memory.episodes import subject_of
from aicore.memory.erasing import Forgotten, Spoken, erase_conversation, spoken_by
from aicore.memory.extraction import Extraction, RuleExtraction
from aicore.memory.facts import correct
from aicore.memory.forgetting import forget_entries, says_again
from aicore.memory.learner import Learner
from aicore.memory.places import Places
from aicore.memory.port import (
    KNOWLEDGE,
    Embedder,
    Entry,
    Found,
    MemoryStore,
    Namespace,
    Source,
    VectorIndex,
)
from aicore.memory.recall import Recall, show
from aicore.memory.speakers import Speakers
from aicore.memory.telling import worth_telling
from aicore.records import Conversation, ConversationId, DataClass

if TYPE_CHECKING:
    from aicore.memory.knowledge.knowledge import Knowledge, Refreshed
    from aicore.trust.vault import Vaults

__all__ = ["Forgotten", "Memory", "MemoryLimits"]

_log = logging.getLogger(__name__)

_NOT_SPECIAL: frozenset[DataClass] = frozenset({"public", "internal", "personal"})
_ALL: frozenset[DataClass] = _NOT_SPECIAL | {"special"}
_FEW_FACTS = 200
_RECALL_S = 3.0
_OPEN_AGAIN_S = 5.0
_LOOKED_FOR_CHARS = 4_000
_PAGE = 1000
_WATCH_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryLimits:
    """What a memory may tell, and when it learns.

    `budget_tokens` bounds what a prompt is told, `quiet_s` is how long the end of a conversation
    waits to be learned for what may follow it.
    """

    budget_tokens: int = 600
    quiet_s: float = 600.0


class Memory:
    """What is remembered of one business and its customers, in a store and maybe vectors.

    Use it as an async context manager, once; an Agent that it is given to does that. It owns
    the store, the vectors and the embedder. `extraction` finds facts (None: by rules).
    """

    def __init__(
        self,
        store: MemoryStore,
        *,
        business: str = "main",
        vectors: VectorIndex | None = None,
        embedder: Embedder | None = None,
        extraction: Extraction | None = None,
        limits: MemoryLimits | None = None,
    ) -> None:
        if (vectors is None) != (embedder is None):
            raise ConfigError("A Memory needs vectors and an embedder together, or neither.")
        self.business = business
        self.store = store
        self._places = Places(store, Recall(store, vectors, embedder), vectors, embedder)
        self._extraction = RuleExtraction() if extraction is None else extraction
        self._limits = MemoryLimits() if limits is None else limits
        self._learner: Learner | None = None
        self._speakers: Speakers | None = None
        self._knowledge: Knowledge | None = None
        self._stack: AsyncExitStack | None = None
        self._is_open = anyio.Event()

    async def __aenter__(self) -> Self:
        if self._is_open.is_set():
            raise NotOpenError("A memory is entered once: make a new one.")
        async with AsyncExitStack() as stack:
            for part in (self._places.embedder, self._places.vectors, self.store):
                if part is not None:
                    await stack.enter_async_context(part)
            self._stack = stack.pop_all()
        self._is_open.set()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        stack, self._stack = self._stack, None
        if stack is None:
            return None
        return await stack.__aexit__(exc_type, exc, traceback)

    @asynccontextmanager
    async def patient(self) -> AsyncGenerator[Self, None]:
        """As `async with memory`, but what cannot be reached now is opened later.

        That is what an agent does, which answers meanwhile without; `learn_from` opens it.
        Raises: StoreError, ConfigError and CredentialError, which no waiting mends.
        """
        try:
            await self.__aenter__()
        except TemporaryError as error:
            _log.warning("memory_not_open error=<%s> | tried again later", error.code)
        try:
            yield self
        finally:
            await self.__aexit__(None, None, None)

    async def recall(
        self,
        conversation: Conversation,
        text: str,
        *,
        now_ms: int,
        with_special: bool,
        in_view: Callable[[Source], bool],
    ) -> str:
        """What is worth telling a model that answers `text`, "" if nothing is.

        From the memory of who speaks and from what the business knows, nobody else's: what
        answers the text, then the facts that hold of who speaks, where they are few. Where staff
        speak in a conversation with a customer it is the customer's memory instead of theirs,
        and nobody's if there are several: what others told staff is not for this one. What is
        special is told only `with_special`. What is `in_view` of the prompt is left out, and so
        is `text` itself where it was said before.
        Never raises for a store or an embedder that is down, and takes seconds at most.
        """
        if self._stack is None:
            return ""
        data_classes = _ALL if with_special else _NOT_SPECIAL
        business = Namespace(self.business, KNOWLEDGE)
        try:
            with anyio.fail_after(_RECALL_S):
                subject = await self._subject(conversation)
                own = None if subject is None else Namespace(self.business, subject)
                facts = [] if own is None else await self._facts(own)
                found = await self._places.recall.find(
                    [business] if own is None else [own, business],
                    text[:_LOOKED_FOR_CHARS],
                    now_ms=now_ms,
                    data_classes=data_classes,
                    leave_out=in_view,
                )
        except (AicoreError, TimeoutError) as error:
            code = error.code if isinstance(error, AicoreError) else "timeout"
            _log.warning("not_recalled error=<%s> | the turn goes on without", code)
            return ""
        told = worth_telling(
            _without(found, text), facts, now_ms=now_ms, data_classes=data_classes, in_view=in_view
        )
        return show(told, now_ms=now_ms, budget_tokens=self._limits.budget_tokens) if told else ""

    async def _subject(self, conversation: Conversation) -> str | None:
        """Whose memory a turn is told of besides the business's; None: nobody's."""
        subject = subject_of(conversation.principal)
        if conversation.principal.kind == "customer":
            return subject
        if self._speakers is None:
            return None  # With whom the conversation is, only its log tells.
        customers = await self._speakers.customers(conversation.id)
        return customers.only if customers else subject

    async def _facts(self, namespace: Namespace) -> Sequence[Entry]:
        """All facts of somebody, past ones too, where they are few enough to need no search."""
        facts = await self.store.list(namespace, kind="fact", limit=_FEW_FACTS + 1)
        return facts if len(facts) <= _FEW_FACTS else []

    def learn_later(self, conversation: ConversationId, born_ms: int) -> None:
        """Have a conversation learned from in the background; `born_ms` as in Claim."""
        if self._learner is not None:
            self._learner.learn_later(conversation, born_ms)

    async def learn_from(self, log: EventLog) -> None:
        """Learn from a log until cancelled, first what came while nobody did.

        Raises: ConfigError when the log is another business's; as `patient`.
        """
        self.check_log(log)
        self._speakers = Speakers(log)
        while self._stack is None:
            try:
                await self.__aenter__()
            except TemporaryError:
                await anyio.sleep(_OPEN_AGAIN_S)
        self._learner = Learner(log, self._places, self._extraction, quiet_s=self._limits.quiet_s)
        await self._learner.run()

    async def settled(self) -> None:
        """Wait until all that can be learned now has been. Raises: NotOpenError."""
        if self._learner is None:
            raise NotOpenError("Nobody learns: enter the agent that has this memory.")
        await self._learner.settled()

    def know(self, folders: Sequence[Path]) -> None:
        """Have the documents in these folders, and no others, be what the business knows.

        An agent reads them when it starts, and again whenever they change. Raises: ConfigError
        for two folders of one name.
        """
        from aicore.memory.knowledge.knowledge import Knowledge

        self._knowledge = Knowledge(folders, self._places, self.business)

    async def read_documents(self) -> None:
        """Keep what the business knows as its documents are, until cancelled."""
        await self._is_open.wait()
        if self._knowledge is not None:
            await self._knowledge.watch(_WATCH_S)

    async def ingest(self, folder: Path) -> Refreshed:
        """Read a folder of documents now: see `aicore.memory.knowledge.ingest`."""
        from aicore.memory.knowledge.ingest import run_ingest

        return await run_ingest(folder, self._places, self.business, self._knowledge)

    def check_log(self, log: EventLog) -> None:
        """Refuse the log of another business. Raises: ConfigError."""
        if log.business != self.business:
            raise ConfigError(
                f"The memory is of business {self.business!r}, the log of {log.business!r}. "
                "Give both the same."
            )

    async def subjects(self) -> Sequence[str]:
        """Everybody of whom something is remembered."""
        found: list[str] = []
        while page := await self.store.subjects(self.business, found[-1] if found else None, _PAGE):
            found += page
        return found

    async def entries(self, subject: str) -> Sequence[Entry]:
        """All that is remembered of somebody, in the order of the ids: the oldest first."""
        namespace = Namespace(self.business, subject)
        found: list[Entry] = []
        while page := await self.store.list(
            namespace, after=found[-1].id if found else None, limit=_PAGE
        ):
            found += page
        return found

    async def find(self, entry_id: str, subject: str | None = None) -> tuple[str, Entry] | None:
        """An entry by its id, and whose it is; None if there is none."""
        for one in [subject] if subject is not None else await self.subjects():
            entry = (await self.store.get(Namespace(self.business, one), [entry_id])).get(entry_id)
            if entry is not None:
                return one, entry
        return None

    async def correct(
        self, subject: str, entry_id: str, text: str, *, now_ms: int, by: str = "staff"
    ) -> Entry:
        """Put what staff say in the place of a fact, which ends. Returns the new one.

        Raises: CustomerError when there is no such fact, it has ended, or the text is not one
        line.
        """
        if len(text.strip().splitlines()) != 1:
            raise CustomerError("A fact is one line of text. Give what holds now, or forget it.")
        namespace = Namespace(self.business, subject)
        earlier = (await self.store.get(namespace, [entry_id])).get(entry_id)
        if earlier is None or earlier.kind != "fact":
            raise CustomerError(
                f"{entry_id} is no fact of {subject}; see `aicore memory list --subject {subject}`."
            )
        label = earlier.text.partition(": ")[0]
        said = text if text.startswith(f"{label}: ") else f"{label}: {text}"
        later = await correct(self.store, namespace, earlier, said, by=by, now_ms=now_ms)
        if later is None:
            raise CustomerError(
                f"{entry_id} has ended already. `aicore memory show {entry_id}` names what took "
                "its place; correct that."
            )
        await self._places.embed(namespace, [later])
        return later

    async def forget(self, subject: str, ids: Sequence[str]) -> int:
        """Delete entries for good: they are not learned again. Returns how many.

        With a fact go the message it comes from and what else was said that has its value, such as
        a reply that repeats it, which would tell it again; with a message the facts in it. What
        others say of it, and the conversation in the log, stay; see `forget_all`.
        """
        return await forget_entries(self._places, Namespace(self.business, subject), set(ids))

    async def repeating(self, subject: str, entries: Sequence[Entry]) -> Sequence[Entry]:
        """What else is remembered of somebody that says the same: the text, or a fact's value."""
        return [one for one in await self.entries(subject) if says_again(one, entries)]

    async def forget_all(
        self, subject: str, log: EventLog, *, vaults: Vaults | None = None
    ) -> Forgotten:
        """Delete somebody for good: all that is remembered, and every conversation they spoke in.

        With `vaults`, the pseudonyms of these conversations, too.

        Conversations that another process has under way stay; see `Forgotten.held`. Do it again
        when they are at rest: what is in them is learned again meanwhile. Do it again as well
        after an error or a crash: what is left is found again from the log, deleted last.
        Raises: ConfigError for KNOWLEDGE, or the log of another business; StoreBusy, StoreError.
        """
        if subject == KNOWLEDGE:
            raise ConfigError("What the business knows comes from its documents: change those.")
        self.check_log(log)
        spoken = await spoken_by(log, subject)
        # Not after the log: only that tells, after a crash, what others' memories hold of it.
        entries = await self._forget_said(subject, spoken)
        theirs = [one.conversation for one in spoken]
        if vaults is not None:
            for one in theirs:
                await vaults.erase(one, business=self.business)
        held = [one for one in theirs if not await erase_conversation(log, one)]
        # What was learned meanwhile. What still is being learned finds its conversation gone.
        entries += await self._forget_said(subject, spoken)
        return Forgotten(subject, entries, len(spoken) - len(held), tuple(held))

    async def _forget_said(self, subject: str, spoken: Sequence[Spoken]) -> int:
        """Delete a memory, and what others remember of these conversations, for good."""
        gone: dict[str, set[str]] = {}
        for one in spoken:
            for other, ids in one.others.items():
                gone.setdefault(other, set()).update(ids)
        conversations = {one.conversation for one in spoken}
        count = 0
        for other, said in sorted(gone.items()):
            entries = await self.entries(other)
            learned = {one.id for one in entries if one.source.conversation in conversations}
            count += await self._places.forget(Namespace(self.business, other), said | learned)
        return count + await self._places.erase(Namespace(self.business, subject))


def _without(found: Sequence[Found], text: str) -> list[Found]:
    """What was found but for the same text, said before."""
    words = simplified(text)
    return [
        one for one in found if one.entry.kind != "episode" or simplified(one.entry.text) != words
    ]
