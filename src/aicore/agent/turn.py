"""One turn: ask the model, carry out its calls, until it replies or waits for a person."""

from __future__ import annotations

import time
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import anyio

from aicore.agent.calls import CallRunner, Emit
from aicore.agent.compaction import Compaction, estimate_request
from aicore.agent.limits import Limits
from aicore.agent.own_tools import OwnTools
from aicore.agent.prompt import Prompt
from aicore.agent.replies import Reply, TextDelta, Waiting
from aicore.agent.session import Journal, Session, TurnState
from aicore.agent.tool_search import is_too_deep
from aicore.dispatch.dispatcher import Dispatcher
from aicore.errors import ContextOverflow, Interrupted, ModelError
from aicore.log.events import ModelReplied, ReplySent, TurnWaiting
from aicore.log.port import EventLog
from aicore.models.port import Completion, Origin, Price, Provider, Request
from aicore.models.prices import priced
from aicore.records import Conversation, Usage
from aicore.telemetry import ChatWatch, Telemetry, names
from aicore.trust.policy import Policy

if TYPE_CHECKING:
    from aicore.agent.labels import Labels
    from aicore.memory.memory import Memory
    from aicore.memory.port import Source

__all__ = ["Parts", "run_turn"]

WAITING_TEXT = (
    "I need a colleague's approval for this. I have asked, and will come back to you here."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What every turn of an agent works with."""

    provider: Provider
    dispatcher: Dispatcher
    policy: Policy
    log: EventLog
    limits: Limits
    prompt: Prompt
    compaction: Compaction
    own: OwnTools
    telemetry: Telemetry
    memory: Memory | None = None
    labels: Labels | None = None


async def _recall_for(parts: Parts, session: Session, turn: TurnState) -> str:
    """What is remembered that helps with a turn and that its prompt does not show anyway.

    It never makes a conversation more special than it is: then it were for own machines only.
    """
    if parts.memory is None:
        return ""
    is_special = session.data_class == "special" and parts.labels is not None
    stays_here = parts.provider.capabilities.locality != "managed"

    def is_in_view(source: Source) -> bool:
        return source.conversation == session.conversation and session.in_view(source.seq)

    return await parts.memory.recall(
        Conversation(session.conversation, turn.principal),
        turn.message.text,
        now_ms=time.time_ns() // 1_000_000,
        with_special=stays_here or is_special,
        in_view=is_in_view,
    )


async def run_turn(
    parts: Parts, session: Session, journal: Journal, turn: TurnState, emit: Emit | None
) -> Reply:
    """Continue a turn from wherever its events say it is, to its reply or to a wait.

    Every step is in the log before the next one begins, so this may be cancelled, or die, at
    any await and be called again.
    Raises: what the provider raises, LimitReached, Fenced, StoreBusy, StoreError.
    """
    return await _Turn(parts, session, journal, turn, emit).run()


class _Turn:
    def __init__(
        self, parts: Parts, session: Session, journal: Journal, turn: TurnState, emit: Emit | None
    ) -> None:
        self._parts = parts
        self._session = session
        self._journal = journal
        self._turn = turn
        self._emit = emit
        self._started = anyio.current_time()
        self._recalled: str | None = None
        self._origin = Origin(
            business=parts.log.business,
            conversation=session.conversation,
            turn=turn.id,
            task="reply",
        )
        self._calls = CallRunner(
            log=parts.log,
            dispatcher=parts.dispatcher,
            policy=parts.policy,
            session=session,
            journal=journal,
            turn=turn,
            emit=emit,
            own=parts.own,
            telemetry=parts.telemetry,
        )

    async def run(self) -> Reply:
        turn = self._turn
        if turn.said and self._emit is not None:
            self._emit(TextDelta("\n\n".join(turn.said)))
        while True:
            if any(call.is_ready for call in turn.calls):
                await self._calls.run()
            if turn.waiting:
                return await self._wait()
            await self._ask_model()
            if turn.is_replied:
                return turn.reply()

    async def _ask_model(self) -> None:
        turn, parts = self._turn, self._parts
        parts.limits.check(rounds=turn.rounds, usage=turn.usage or Usage())
        completion = await self._answer()
        calls = self._session.unique_calls(completion.calls, turn)
        if calls and any(is_too_deep(call.arguments) for call in calls):
            raise ModelError("The model called a tool with arguments that are nested too deeply.")
        was_cut = completion.finish == "length"
        if not (completion.text or calls) and (was_cut or not (turn.said or turn.calls)):
            raise ModelError(_nothing_said(completion))
        price = completion.price or parts.provider.capabilities.price
        replied = ModelReplied(
            text=completion.text,
            calls=calls,
            usage=_priced(completion.usage, price),
            provider=completion.provider or parts.provider.name,
            model=completion.model,
            finish=completion.finish,
            state=completion.state,
            price=None if price is None else price.to_json(),
            route=None if completion.route is None else completion.route.to_json(),
            data_class=None if parts.labels is None else self._session.data_class,
        )
        if calls:
            await self._journal.append(turn.id, replied)
        else:
            said = [*turn.said, completion.text] if completion.text else turn.said
            await self._journal.append(turn.id, replied, ReplySent(text="\n\n".join(said)))

    async def _answer(self) -> Completion:
        """Ask the model, with as much of the conversation as it can read."""
        session, compaction = self._session, self._parts.compaction
        if self._recalled is None:
            self._recalled = await _recall_for(self._parts, session, self._turn)
        request = self._request()
        estimate = estimate_request(session, request)
        if await compaction.make_room(session, self._journal, request, estimate):
            # What has just left the view may be what helps.
            self._recalled = await _recall_for(self._parts, session, self._turn)
            request = self._request()
            estimate = estimate_request(session, request)
        try:
            completion = await self._within_time(request)
        except ContextOverflow:
            if not await compaction.after_overflow(session, self._journal, request):
                raise
            request = self._request()
            estimate = estimate_request(session, request)
            completion = await self._within_time(request)
        compaction.note_answer(session, estimate, completion.usage)
        return completion

    def _request(self) -> Request:
        parts = self._parts
        request = parts.prompt.build(
            self._session.transcript,
            self._turn.id,
            parts.dispatcher.tools,
            parts.limits.output_tokens_per_request,
            self._recalled or "",
        )
        if parts.labels is None:
            return replace(request, origin=self._origin)
        return replace(request, data_class=self._session.data_class, origin=self._origin)

    async def _within_time(self, request: Request) -> Completion:
        limits = self._parts.limits
        if limits.wall_s is None:
            return await self._complete(request)
        with anyio.CancelScope(deadline=self._started + limits.wall_s):
            return await self._complete(request)
        raise limits.time_error(anyio.current_time() - self._started)

    async def _complete(self, request: Request) -> Completion:
        provider, telemetry = self._parts.provider, self._parts.telemetry
        if telemetry.is_silent:
            return await self._ask(provider, request, telemetry.unwatched)
        with telemetry.chat(self._about(request), request.tail) as watch:
            completion = await self._ask(provider, request, watch)
            watch.answered(
                text=completion.text,
                calls=completion.calls,
                finish=completion.finish,
                model=completion.model,
                provider=completion.provider,
            )
            price = completion.price or provider.capabilities.price
            watch.used(_priced(completion.usage, price))
            return completion

    def _about(self, request: Request) -> dict[str, Any]:
        about = {
            names.PROVIDER: self._parts.provider.name,
            names.REQUEST_STREAM: self._emit is not None,
            names.INSTRUCTIONS: request.prefix.instructions,
        }
        if request.max_output_tokens is not None:
            about[names.REQUEST_MAX_TOKENS] = request.max_output_tokens
        return about

    async def _ask(self, provider: Provider, request: Request, watch: ChatWatch) -> Completion:
        emit = self._emit
        if emit is None:
            return await provider.complete(request)
        shown = ""
        completion: Completion | None = None
        async with aclosing(provider.stream(request)) as parts:
            async for part in parts:
                if isinstance(part, Completion):
                    completion = part
                    continue
                if not shown:
                    watch.first_chunk()
                    if self._turn.said:
                        emit(TextDelta("\n\n"))
                shown += part.delta
                emit(part)
        if completion is None:
            message = f"{provider.name} ended its stream without a completion."
            raise Interrupted(message, text=shown)
        return completion

    async def _wait(self) -> Reply:
        turn = self._turn
        was_told = any(call.decision is not None for call in turn.calls)
        text = "" if was_told else WAITING_TEXT
        if text and self._emit is not None:
            self._emit(TextDelta(f"\n\n{text}" if turn.said else text))
        await self._journal.append(
            turn.id, TurnWaiting(approval_ids=tuple(turn.waiting), text=text)
        )
        if self._emit is not None:
            self._emit(Waiting(tuple(turn.waiting)))
        return turn.reply()


def _nothing_said(completion: Completion) -> str:
    if completion.finish == "length":
        return (
            "The model's answer was cut before it said anything. Raise "
            "Limits.output_tokens_per_request or the server's own output limit."
        )
    return "The model answered with neither text nor a tool call."


def _priced(usage: Usage, price: Price | None) -> Usage:
    return usage if usage.cost_usd is not None else priced(price, usage)
