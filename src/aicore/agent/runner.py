"""Runs turns: claims a conversation, continues what is open, then the turn that was asked for."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import anyio

from aicore.agent.calls import Emit
from aicore.agent.replies import Reply, TextDelta
from aicore.agent.session import Journal, Session, Sessions, TurnState
from aicore.agent.turn import Parts, run_turn
from aicore.errors import (
    AicoreError,
    ApprovalError,
    CustomerError,
    Fenced,
    StoreBusy,
    TemporaryError,
)
from aicore.log.events import ApprovalDecided, MessageReceived, TurnFailed, TurnRetried
from aicore.records import ApprovalId, ConversationId

__all__ = ["Resumed", "Runner"]

_log = logging.getLogger(__name__)

_RESUME_AT_ONCE = 8


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
        self._sessions = Sessions()

    async def handle(
        self, conversation: ConversationId, message: MessageReceived, emit: Emit | None
    ) -> Reply:
        """Record a message, run its turn after any older open one, return how it came out."""
        received = await self._log.receive(conversation, message)
        session = self._sessions.get(conversation)
        async with session.lock:
            journal = await self._claim(session)
            try:
                for older in session.open_turns():
                    if older.id < received.seq:
                        await self._resume_turn(session, journal, older)
                turn = session.turns.get(received.seq)
                if turn is None:
                    return await self._recorded(conversation, received.seq, message, emit)
                if turn.waiting and not turn.is_open:
                    return _show(turn.reply(), emit)
                if not turn.is_open:
                    await journal.append(turn.id, TurnRetried())
                return await self._run(session, journal, turn, emit)
            except BaseException:
                await _release(journal)
                raise

    async def decide(self, conversation: ConversationId, decided: ApprovalDecided) -> Reply:
        """Record a decision and continue the turn that waits for it. Raises: ApprovalError."""
        session = self._sessions.get(conversation)
        async with session.lock:
            journal = await self._claim(session)
            try:
                turn = _turn_waiting_for(session, decided.approval_id)
                await journal.append(turn.id, decided)
                return await self._run(session, journal, turn, None)
            except BaseException:
                await _release(journal)
                raise

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

    async def _claim(self, session: Session) -> Journal:
        journal = Journal(self._log, session, await self._log.claim(session.conversation))
        await journal.catch_up()
        return journal

    async def _run(
        self,
        session: Session,
        journal: Journal,
        turn: TurnState,
        emit: Emit | None,
        stays_open_on: type[AicoreError] = Fenced,
    ) -> Reply:
        """Run a turn; any error but `stays_open_on` ends it, recorded, and is raised."""
        try:
            return await run_turn(self._parts, session, journal, turn, emit)
        except stays_open_on:
            raise
        except AicoreError as error:
            await journal.append(turn.id, TurnFailed(code=error.code, message=str(error)))
            raise
        except Exception as error:
            # Boundary of a turn: recorded, so that the conversation stays usable, and raised.
            _log.exception("turn_failed turn=<%d>", turn.id)
            await journal.append(turn.id, TurnFailed(code="internal", message=type(error).__name__))
            raise

    async def _resume_conversation(self, conversation: ConversationId) -> list[Resumed]:
        session = self._sessions.get(conversation)
        async with session.lock:
            try:
                journal = await self._claim(session)
            except StoreBusy:
                return []
            try:
                return [
                    await self._resume_turn(session, journal, turn) for turn in session.open_turns()
                ]
            finally:
                await _release(journal)

    async def _resume_turn(self, session: Session, journal: Journal, turn: TurnState) -> Resumed:
        """Run a turn that nobody waits for: what may pass leaves it open for the next time."""
        try:
            reply = await self._run(session, journal, turn, None, TemporaryError)
        except Fenced:
            raise
        except Exception as error:  # noqa: BLE001  boundary of a turn: `_run` recorded it
            _log.warning("turn_not_resumed turn=<%d> error=<%s>", turn.id, type(error).__name__)
            return Resumed(session.conversation, turn.id, None, error)
        return Resumed(session.conversation, turn.id, reply)

    async def _recorded(
        self,
        conversation: ConversationId,
        turn_id: int,
        message: MessageReceived,
        emit: Emit | None,
    ) -> Reply:
        """The reply of a turn that was finished before."""
        turn: TurnState | None = None
        for event in await self._log.read(conversation, turn_id - 1):
            body = event.body
            if event.seq == turn_id and isinstance(body, MessageReceived):
                turn = TurnState(turn_id, body)
            elif turn is not None and event.turn == turn_id:
                turn.apply(body)
        if turn is None or turn.message.message_id != message.message_id:
            raise CustomerError(
                f"Message {message.message_id} was delivered before, in another conversation."
            )
        return _show(turn.reply(), emit)


def _turn_waiting_for(session: Session, approval_id: ApprovalId) -> TurnState:
    for turn in session.turns.values():
        if approval_id in turn.waiting:
            return turn
    raise ApprovalError(f"Nothing waits for approval {approval_id}: unknown, or decided already.")


def _show(reply: Reply, emit: Emit | None) -> Reply:
    if emit is not None and reply.text:
        emit(TextDelta(reply.text))
    return reply


async def _release(journal: Journal) -> None:
    """Give the conversation back after a failure, even while being cancelled."""
    with anyio.move_on_after(2, shield=True):
        try:
            await journal.release()
        except AicoreError as error:
            _log.warning("release_failed error=<%s>", error.code)
