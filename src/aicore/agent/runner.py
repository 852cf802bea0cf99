"""Runs turns: claims a conversation, continues what is open, then the turn that was asked for."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import anyio
import anyio.abc

from aicore.agent.calls import Emit
from aicore.agent.replies import Reply, TextDelta, Waiting
from aicore.agent.session import Journal, Session, Sessions, TurnState
from aicore.agent.turn import Parts, run_turn
from aicore.errors import (
    AicoreError,
    ApprovalError,
    CustomerError,
    Fenced,
    NotOpenError,
    StoreBusy,
    StoreError,
    TemporaryError,
)
from aicore.log.events import ApprovalDecided, MessageReceived, TurnFailed, TurnRetried
from aicore.log.port import Received
from aicore.records import ApprovalId, ConversationId

__all__ = ["Resumed", "Runner"]

_log = logging.getLogger(__name__)

_RESUME_AT_ONCE = 8
_LOG_ERRORS = (Fenced, StoreBusy, StoreError, NotOpenError)
"""After these nothing can be recorded: a turn stays open, however far its calls had come."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Resumed:
    """A turn that was continued after a crash: its reply, or the error that ended it."""

    conversation: ConversationId
    turn: int
    reply: Reply | None
    error: Exception | None = None


class Runner:
    """Turns of many conversations at once, of one conversation one after the other."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._log = parts.log
        self._sessions = Sessions(parts.labels)
        self.background: anyio.abc.TaskGroup | None = None
        """Where compactions run, while the agent is open."""

    async def handle(
        self, conversation: ConversationId, message: MessageReceived, emit: Emit | None
    ) -> Reply:
        """Record a message, run its turn after any older open one, return how it came out."""
        received = await self._log.receive(conversation, message)

        async def work(session: Session, journal: Journal) -> Reply:
            await self._continue_others(session, journal, received.seq)
            turn = session.turns.get(received.seq)
            if turn is None:
                turn = await self._read_back(conversation, received.seq)
            if turn is None or not _is_same(turn.message, message):
                raise _not_here(received, message)
            if not turn.is_open:
                if turn.is_replied or turn.waiting:
                    return _show(turn.reply(), emit)
                if not session.transcript.awaits(turn.id):
                    await journal.read_back_to(turn.id)
                session.turns[turn.id] = turn
                await journal.append(turn.id, TurnRetried())
            return await self._run(session, journal, turn, emit)

        session = self._sessions.get(conversation)
        if received.is_new:
            session.note(received.seq, message)
        session.attended.add(received.seq)
        try:
            return await self._with_claim(session, work)
        except StoreBusy as error:
            raise _recorded(error) from error
        finally:
            session.attended.discard(received.seq)

    async def decide(self, conversation: ConversationId, decided: ApprovalDecided) -> Reply:
        """Record a decision and continue the turn that waits for it. Raises: ApprovalError."""

        async def work(session: Session, journal: Journal) -> Reply:
            turn = _turn_waiting_for(session, decided.approval_id)
            await self._continue_others(session, journal, turn.id)
            await journal.append(turn.id, decided)
            return await self._run(session, journal, turn, None)

        return await self._with_claim(self._sessions.get(conversation), work)

    async def resume(self) -> Sequence[Resumed]:
        """Continue every open turn; see `Agent.resume`."""
        limiter = anyio.CapacityLimiter(_RESUME_AT_ONCE)
        resumed: list[Resumed] = []

        async def resume_one(conversation: ConversationId) -> None:
            async with limiter:
                resumed.extend(await self._resume_conversation(conversation))

        conversations = dict.fromkeys(one.conversation for one in await self._log.open_turns())
        async with anyio.create_task_group() as group:
            for conversation in conversations:
                group.start_soon(resume_one, conversation)
        return resumed

    async def _with_claim(
        self, session: Session, work: Callable[[Session, Journal], Awaitable[T]]
    ) -> T:
        """Do `work` with the conversation for us alone, here and among processes."""
        async with session.lock:
            journal = Journal(self._log, session, await self._log.claim(session.conversation))
            try:
                await journal.catch_up()
                result = await work(session, journal)
            except BaseException:
                with anyio.move_on_after(2, shield=True):
                    await _release(journal)
                self._end_later(session)
                raise
            await _release(journal)
        self._end_later(session)
        return result

    def _end_later(self, session: Session) -> None:
        """Have done in the background what follows a turn."""
        if self._parts.memory is not None:
            self._parts.memory.learn_later(session.conversation, session.born_ms)
        self._compact_later(session)

    def _compact_later(self, session: Session) -> None:
        compaction, prefix = self._parts.compaction, self._parts.prompt.prefix
        if self.background is not None and compaction.is_due(session, prefix):
            session.is_compacting = True
            self.background.start_soon(compaction.compact, session, prefix, self._with_claim)

    async def _continue_others(self, session: Session, journal: Journal, turn: int) -> None:
        """First finish turns that came earlier, or were cut off in the middle."""
        for other in session.open_turns():
            if other.id < turn or (other.id > turn and other.rounds):
                await self._resume_turn(session, journal, other, Fenced)

    async def _run(
        self,
        session: Session,
        journal: Journal,
        turn: TurnState,
        emit: Emit | None,
        stays_open_on: type[AicoreError] = Fenced,
    ) -> Reply:
        """Run a turn. Its errors end it, recorded, but for those of the log and one kind more."""
        try:
            with self._parts.telemetry.turn(session.conversation, turn.id) as watch:
                reply = await run_turn(self._parts, session, journal, turn, emit)
                watch.ended("waiting" if reply.waiting else "replied")
                return reply
        except (*_LOG_ERRORS, stays_open_on):
            raise
        except AicoreError as error:
            route = None if error.route is None else error.route.to_json()
            failed = TurnFailed(code=error.code, message=str(error), route=route)
            await journal.append(turn.id, failed)
            raise
        except Exception as error:
            # Boundary of a turn: recorded, so that the conversation stays usable, and raised.
            _log.exception("turn_failed turn=<%d>", turn.id)
            await journal.append(turn.id, TurnFailed(code="internal", message=type(error).__name__))
            raise

    async def _resume_conversation(self, conversation: ConversationId) -> list[Resumed]:
        resumed: list[Resumed] = []

        async def work(session: Session, journal: Journal) -> None:
            for turn in session.open_turns():
                if turn.id in session.attended:
                    continue
                resumed.append(await self._resume_turn(session, journal, turn, TemporaryError))
                if turn.is_open:
                    return  # later messages are answered after this one

        try:
            await self._with_claim(self._sessions.get(conversation), work)
        except AicoreError as error:
            _log.info("conversation_not_resumed error=<%s> | it stays open", error.code)
        except Exception:  # noqa: BLE001  boundary of a conversation: must not end the others
            _log.exception("conversation_not_resumed | it stays open")
        return resumed

    async def _resume_turn(
        self,
        session: Session,
        journal: Journal,
        turn: TurnState,
        stays_open_on: type[AicoreError],
    ) -> Resumed:
        """Run a turn that nobody waits for. Raises errors of the log only."""
        try:
            reply = await self._run(session, journal, turn, None, stays_open_on)
        except _LOG_ERRORS:
            raise
        except Exception as error:  # noqa: BLE001  boundary of a turn: `_run` recorded it
            _log.warning("turn_not_resumed turn=<%d> error=<%s>", turn.id, type(error).__name__)
            return Resumed(session.conversation, turn.id, None, error)
        return Resumed(session.conversation, turn.id, reply)

    async def _read_back(self, conversation: ConversationId, turn_id: int) -> TurnState | None:
        """A turn at rest, folded from the log; None if there is none of this number."""
        turn: TurnState | None = None
        for event in await self._log.read(conversation, turn_id - 1):
            body = event.body
            if event.seq == turn_id and isinstance(body, MessageReceived):
                turn = TurnState(turn_id, body, event.at_ms)
            elif turn is not None and event.turn == turn_id:
                turn.apply(body)
        return turn


def _is_same(one: MessageReceived, other: MessageReceived) -> bool:
    return (one.channel, one.message_id) == (other.channel, other.message_id)


def _not_here(received: Received, message: MessageReceived) -> AicoreError:
    """Why a message is not where it was recorded."""
    if received.is_new:
        return Fenced("The conversation was erased while this message waited for its turn.")
    return CustomerError(
        f"Message {message.message_id} was delivered before, in another conversation. "
        "Give every message of a channel an id of its own."
    )


def _recorded(error: StoreBusy) -> StoreBusy:
    """The same error, saying what has become of the message."""
    return StoreBusy(
        f"{error} The message is recorded and stays open: the next one of its conversation, or "
        "`resume`, answers it. Deliver it again only with the same message_id.",
        retry_after_s=error.retry_after_s,
    )


def _turn_waiting_for(session: Session, approval_id: ApprovalId) -> TurnState:
    for turn in session.turns.values():
        if approval_id in turn.waiting:
            return turn
    raise ApprovalError(
        f"Nothing waits for approval {approval_id!r}: it is unknown, or was decided already. "
        "Reply.waiting names those that are open."
    )


def _show(reply: Reply, emit: Emit | None) -> Reply:
    if emit is not None and reply.text:
        emit(TextDelta(reply.text))
    if emit is not None and reply.waiting:
        emit(Waiting(reply.waiting))
    return reply


async def _release(journal: Journal) -> None:
    """Give the conversation back: other processes must not wait for a lease to run out."""
    try:
        await journal.release()
    except AicoreError as error:
        _log.warning("release_failed error=<%s>", error.code)
