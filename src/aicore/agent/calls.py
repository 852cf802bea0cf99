"""Carrying out the calls of a model's reply: policy, approval, reads at once, effects in order."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass

import anyio

from aicore.agent.own_tools import OwnTools
from aicore.agent.replies import CallFinished, CallStarted, StreamEvent
from aicore.agent.session import CallState, Journal, Session, TurnState
from aicore.dispatch.dispatcher import CallContext, Dispatcher
from aicore.log.events import ApprovalRequested, ToolFinished, ToolStarted
from aicore.log.port import EventLog
from aicore.records import (
    ApprovalId,
    Conversation,
    OperationKey,
    Tool,
    ToolResult,
)
from aicore.telemetry import Telemetry
from aicore.trust.policy import Allow, Ask, Deny, Policy

__all__ = ["CallRunner", "Emit"]

Emit = Callable[[StreamEvent], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Done:
    state: CallState
    result: ToolResult
    elapsed_ms: int


def operation_key(business: str, session: Session, turn: TurnState, index: int) -> OperationKey:
    """The key of one call: made once, and recorded before the call is sent.

    Different for any other call, also where numbers come again: in a conversation that begins
    anew after it was erased, and after an older backup was restored. There a message that is
    delivered again, by its id, has the keys it had, so what it did is not done again.
    """
    message = turn.message
    if message.message_id is not None:
        arrival = ("id", message.channel, message.message_id)
    else:
        arrival = ("at", str(session.born_ms), f"{turn.id} {turn.at_ms}")
    identity = "\x1f".join((business, session.conversation, *arrival, str(index)))
    return OperationKey(hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:40])


def _refused(text: str) -> ToolResult:
    return ToolResult(text=text, is_error=True, outcome="none")


def _unknown(state: CallState) -> ToolResult:
    return ToolResult(
        text=(
            "It is not known whether this was done: the call was cut off and its server cannot "
            f"tell. Do not repeat it; a colleague must check (operation {state.operation_key})."
        ),
        is_error=True,
        outcome="unknown",
    )


class CallRunner:
    """Runs the calls of one turn that are neither finished nor waiting for a person."""

    def __init__(
        self,
        *,
        log: EventLog,
        dispatcher: Dispatcher,
        policy: Policy,
        session: Session,
        journal: Journal,
        turn: TurnState,
        emit: Emit | None,
        own: OwnTools,
        telemetry: Telemetry,
    ) -> None:
        self._own = own
        self._telemetry = telemetry
        self._log = log
        self._dispatcher = dispatcher
        self._policy = policy
        self._session = session
        self._journal = journal
        self._turn = turn
        self._emit = emit

    async def run(self) -> None:
        """Run every ready call: neighbouring reads at once, effects one by one, in order.

        Each call is judged just before it runs, so that a policy can take earlier results of
        the same turn into account.
        """
        reads: list[CallState] = []
        for state in [one for one in self._turn.calls if one.is_ready]:
            tool = self._find(state.call.name)
            is_read = tool is not None and tool.read_only
            if not is_read:
                await self._run_reads(reads)
                reads = []
            if state.operation_key is None and not await self._may_run(state, tool):
                continue
            if is_read:
                reads.append(state)
            else:
                await self._run_effect(state, tool)
        await self._run_reads(reads)

    def _find(self, name: str) -> Tool | None:
        return self._own.find(name) or self._dispatcher.find(name)

    async def _may_run(self, state: CallState, tool: Tool | None) -> bool:
        """Judge a call that has not been sent; when it may not run, record why."""
        if state.decision is not None and not state.decision.is_approved:
            reason = state.decision.reason or "no reason given"
            await self._finish(
                state, _refused(f"Refused by {state.decision.by}: {reason}. It was not done.")
            )
            return False
        if tool is not None and tool is self._own.find(tool.name):
            return True
        mistake = self._dispatcher.check(state.call)
        if mistake is not None or tool is None:
            await self._finish(state, mistake or _refused(f"There is no tool {state.call.name}."))
            return False
        if state.decision is not None:
            return True
        return await self._ask_policy(state, tool)

    async def _ask_policy(self, state: CallState, tool: Tool) -> bool:
        conversation = Conversation(self._session.conversation, self._turn.principal)
        decision = await self._policy.decide(state.call, tool, conversation)
        match decision:
            case Allow():
                return True
            case Deny(reason):
                await self._finish(state, _refused(f"Not allowed: {reason}"))
            case Ask(reason):
                approval_id = ApprovalId(f"{self._session.conversation}#{state.call.id}")
                await self._journal.append(
                    self._turn.id,
                    ApprovalRequested(approval_id=approval_id, call=state.call, reason=reason),
                )
        return False

    async def _run_reads(self, reads: list[CallState]) -> None:
        if not reads:
            return
        done: list[_Done] = []
        if len(reads) == 1:
            done.append(await self._send(reads[0]))
        else:

            async def run_one(state: CallState) -> None:
                done.append(await self._send(state))

            try:
                async with anyio.create_task_group() as group:
                    for state in reads:
                        group.start_soon(run_one, state)
            except ExceptionGroup as errors:
                # The first cancelled the others; callers see it as they would see a single one.
                raise errors.exceptions[0] from None
        done.sort(key=lambda one: one.state.index)
        await self._journal.append(self._turn.id, *map(_finished, done))

    async def _run_effect(self, state: CallState, tool: Tool | None) -> None:
        was_sent = state.operation_key is not None
        if was_sent and not (tool is not None and (tool.honours_key or tool.idempotent)):
            await self._finish(state, _unknown(state))
            return
        if not was_sent:
            key = operation_key(self._log.business, self._session, self._turn, state.index)
            await self._journal.append(
                self._turn.id,
                ToolStarted(call_id=state.call.id, tool=state.call.name, operation_key=key),
            )
        done = await self._send(state)
        if was_sent and done.result.is_error and done.result.structured is None:
            # Nobody answered this time, so the first sending is as unknown as before.
            done = _Done(state=state, result=_unknown(state), elapsed_ms=done.elapsed_ms)
        await self._journal.append(self._turn.id, _finished(done))

    async def _send(self, state: CallState) -> _Done:
        if self._emit is not None:
            self._emit(CallStarted(state.call))
        started = time.perf_counter()
        tool = self._find(state.call.name)
        with self._telemetry.tool(state.call, tool.server if tool else "") as watch:
            result = await self._carry_out(state)
            watch.ended(result)
        elapsed_ms = int((time.perf_counter() - started) * 1000)
        if self._emit is not None:
            self._emit(CallFinished(state.call, result))
        return _Done(state=state, result=result, elapsed_ms=elapsed_ms)

    async def _carry_out(self, state: CallState) -> ToolResult:
        if self._own.find(state.call.name) is not None:
            return await self._own.call(state.call, self._session)
        context = CallContext(
            operation_key=state.operation_key,
            principal=self._turn.principal,
            conversation=self._session.conversation,
        )
        return await self._dispatcher.call(state.call, context)

    async def _finish(self, state: CallState, result: ToolResult) -> None:
        await self._journal.append(
            self._turn.id, _finished(_Done(state=state, result=result, elapsed_ms=0))
        )
        if self._emit is not None:
            self._emit(CallFinished(state.call, result))


def _finished(done: _Done) -> ToolFinished:
    result = done.result
    return ToolFinished(
        call_id=done.state.call.id,
        tool=done.state.call.name,
        text=result.text,
        is_error=result.is_error,
        structured=result.structured,
        outcome=result.outcome,
        full_text=result.full_text,
        elapsed_ms=done.elapsed_ms,
    )
