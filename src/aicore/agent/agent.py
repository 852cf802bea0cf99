"""The Agent: what developers hold."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import anyio
import anyio.abc

from aicore.agent.compaction import Compaction
from aicore.agent.context import ContextLimits
from aicore.agent.feed import Feed
from aicore.agent.limits import Limits
from aicore.agent.own_tools import OwnTools
from aicore.agent.prompt import Prompt
from aicore.agent.replies import Replied, Reply, StreamEvent
from aicore.agent.runner import Resumed, Runner
from aicore.agent.tool_search import ToolSearch
from aicore.agent.turn import Parts
from aicore.dispatch.dispatcher import Dispatcher, ServerHealth
from aicore.dispatch.limits import DispatchLimits
from aicore.dispatch.server import Server
from aicore.errors import ApprovalError, ConfigError, CustomerError, NotOpenError
from aicore.log.events import ApprovalDecided, MessageReceived
from aicore.log.memory import MemoryLog
from aicore.log.port import EventLog
from aicore.models.port import Provider
from aicore.records import ApprovalId, ConversationId, DataClass, Principal
from aicore.telemetry import Telemetry
from aicore.telemetry.listening import whoever_listens
from aicore.trust.policy import AllowAll, Policy

if TYPE_CHECKING:
    from aicore.agent.labels import Labels
    from aicore.memory.memory import Memory

__all__ = ["Agent"]

_log = logging.getLogger(__name__)


class Agent:
    """Instructions, a provider, servers and a policy; runs turns of many conversations at once.

    Use it as an async context manager, once: entering opens the log, the provider and the servers,
    and continues what a crash left open (`resume_on_enter`); leaving closes them. A server that
    is down does not stop the agent; its tools appear when it comes up.

    Messages of one conversation are handled one after the other. A call that is cancelled
    leaves a turn that the next message, or `resume`, continues.

    `tool_classes` are the owner's labels of what tools give, by name, in which `*` stands for
    anything; they raise what a tool's server says, and count where the provider is a router.
    """

    def __init__(
        self,
        *,
        provider: Provider,
        servers: Sequence[Server] = (),
        tools: Sequence[Callable[..., Any]] = (),
        instructions: str = "",
        log: EventLog | None = None,
        policy: Policy | None = None,
        limits: Limits | None = None,
        context: ContextLimits | None = None,
        memory: Memory | None = None,
        call_limits: DispatchLimits | None = None,
        zone: str | None = None,
        telemetry: Telemetry | None = None,
        tool_classes: Mapping[str, DataClass] | None = None,
        resume_on_enter: bool = True,
    ) -> None:
        limits = Limits() if limits is None else limits
        facts = provider.capabilities
        if limits.cost_usd is not None and facts.price is None:
            who = "a provider of the router" if facts.reads_class else provider.name
            raise ConfigError(
                f"Limits.cost_usd is set, but the price of {who} is not known. "
                "Give it a price, 0 where it costs nothing, or limit tokens instead."
            )
        self._log: EventLog = MemoryLog() if log is None else log
        if memory is not None:
            memory.check_log(self._log)
        self._dispatcher = Dispatcher(servers, tools, call_limits)
        context = context or ContextLimits()
        search = ToolSearch(context.most_tools)
        self._parts = Parts(
            provider=provider,
            dispatcher=self._dispatcher,
            policy=AllowAll() if policy is None else policy,
            log=self._log,
            limits=limits,
            prompt=Prompt(instructions, _clock(zone), search, has_memory=memory is not None),
            compaction=Compaction(context, provider, self._log),
            own=OwnTools(self._log, self._dispatcher, search),
            memory=memory,
            labels=self._labels(tool_classes or {}) if facts.reads_class else None,
            telemetry=whoever_listens("aicore") if telemetry is None else telemetry,
        )
        self._runner = Runner(self._parts)
        self._resume_on_enter = resume_on_enter
        self._was_entered = False
        self._stack: AsyncExitStack | None = None
        self._tasks: anyio.abc.TaskGroup | None = None

    def _labels(self, tool_classes: Mapping[str, DataClass]) -> Labels:
        from aicore.agent.labels import Labels  # its word lists take 50 ms to load

        return Labels(self._dispatcher.find, tool_classes)

    @classmethod
    def from_config(cls, path: str | Path = "aicore.toml") -> Agent:
        """Build an agent from a configuration file. Reads the file and the environment now.

        Raises: ConfigError, FlowError.
        """
        from aicore.agent.build import build_agent

        return build_agent(Path(path))

    async def __aenter__(self) -> Self:
        if self._was_entered:
            raise NotOpenError("An agent is entered once: make a new one.")
        self._was_entered = True
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._parts.telemetry)
            await stack.enter_async_context(self._log)
            if self._parts.memory is not None:
                await stack.enter_async_context(self._parts.memory.patient())
            await stack.enter_async_context(self._parts.provider)
            await stack.enter_async_context(self._dispatcher)
            tasks = await anyio.create_task_group().__aenter__()
            stack.push_async_exit(partial(_end, tasks))
            self._tasks = self._runner.background = tasks
            self._stack = stack.pop_all()
        if self._parts.memory is not None:
            tasks.start_soon(self._learn_in_background, self._parts.memory)
            tasks.start_soon(self._read_in_background, self._parts.memory)
        if self._resume_on_enter:
            tasks.start_soon(self._resume_in_background)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        stack, self._stack, self._tasks = self._stack, None, None
        self._runner.background = None
        if stack is None:
            return None
        return await stack.__aexit__(exc_type, exc, traceback)

    def health(self) -> Sequence[ServerHealth]:
        """How each MCP server is doing."""
        return self._dispatcher.health()

    async def send(
        self,
        text: str,
        *,
        conversation: str,
        principal: Principal | None = None,
        channel: str = "api",
        message_id: str | None = None,
    ) -> Reply:
        """Handle one message and return how its turn came out.

        The message is in the log before anything else happens. `message_id` is the channel's
        own id: the same one again never runs twice, it gives the recorded reply, or retries a
        turn that had failed. `principal` defaults to the customer of this conversation.

        Raises: CustomerError (an empty message, or one that came in another conversation before),
        LimitReached, ProviderUnavailable,
        CredentialError, ModelError, StoreBusy, StoreError, Fenced; ConfigError for an empty id.
        After any of them the conversation is usable. After StoreBusy, StoreError and Fenced the
        turn stays open for the next message, or `resume`; the others end it.
        """
        message = _inbound(text, conversation, principal, channel, message_id)
        self._opened()
        return await self._runner.handle(ConversationId(conversation), message, None)

    async def stream(
        self,
        text: str,
        *,
        conversation: str,
        principal: Principal | None = None,
        channel: str = "api",
        message_id: str | None = None,
    ) -> AsyncGenerator[StreamEvent, None]:
        """Handle one message, yielding events as they happen; the last is `Replied`.

        The deltas joined are the reply's text. Closing the generator early cancels the turn.
        Raises as `send` does, and NotOpenError when the agent is left meanwhile.
        """
        message = _inbound(text, conversation, principal, channel, message_id)
        feed = Feed()
        scope = anyio.CancelScope()
        self._opened().start_soon(
            self._stream_into, feed, scope, ConversationId(conversation), message
        )
        try:
            while (event := await feed.get()) is not None:
                yield event
        finally:
            scope.cancel()

    async def decide(self, approval_id: str, *, approved: bool, by: str, reason: str = "") -> Reply:
        """Decide on a call that waits, and continue its turn; works after any restart.

        `by` names who decided, e.g. `staff:ann`; `reason` is told to the model on a refusal.
        The reply's text is what is said from here on.
        Raises: ApprovalError when there is no such approval or it was decided already;
        otherwise as `send`.
        """
        conversation, separator, _ = approval_id.rpartition("#")
        if not separator:
            raise ApprovalError(f"{approval_id!r} is not an approval id; see Reply.waiting.")
        self._opened()
        decided = ApprovalDecided(
            approval_id=ApprovalId(approval_id), is_approved=approved, by=by, reason=reason
        )
        return await self._runner.decide(ConversationId(conversation), decided)

    async def resume(self) -> Sequence[Resumed]:
        """Continue every turn that a crash or a cancelled call left open.

        Turns that cannot be continued now (model or store not reachable, another process at
        work) stay open for the next time; other failures end their turn. Effects that were
        sent before are sent again only with the same operation key.
        """
        self._opened()
        return await self._runner.resume()

    async def _resume_in_background(self) -> None:
        try:
            await self._runner.resume()
        except Exception:  # noqa: BLE001  boundary: must not end the agent
            _log.exception("resume_failed | open turns stay open")

    async def _learn_in_background(self, memory: Memory) -> None:
        try:
            await memory.learn_from(self._log)
        except Exception:  # noqa: BLE001  boundary: must not end the agent
            _log.exception("learning_stopped | nothing is lost: the next start learns it")

    async def _read_in_background(self, memory: Memory) -> None:
        try:
            await memory.read_documents()
        except Exception:  # noqa: BLE001  boundary: must not end the agent
            _log.exception("reading_stopped | what was read stays; the next start reads on")

    def _opened(self) -> anyio.abc.TaskGroup:
        if self._tasks is None:
            raise NotOpenError("Use the agent inside `async with agent:`.")
        return self._tasks

    async def _stream_into(
        self,
        feed: Feed,
        scope: anyio.CancelScope,
        conversation: ConversationId,
        message: MessageReceived,
    ) -> None:
        with scope:
            try:
                reply = await self._runner.handle(conversation, message, feed.put)
                feed.put(Replied(reply))
                feed.end()
            except Exception as error:  # noqa: BLE001  boundary: handed to the reader of the stream
                feed.end(error)
            finally:
                feed.end(NotOpenError("The agent was left during this turn, which stays open."))


async def _end(
    tasks: anyio.abc.TaskGroup,
    exc_type: type[BaseException] | None,
    exc: BaseException | None,
    traceback: TracebackType | None,
) -> bool | None:
    """End the tasks of an agent that is left."""
    tasks.cancel_scope.cancel()
    if isinstance(exc, anyio.get_cancelled_exc_class()):
        return await tasks.__aexit__(exc_type, exc, traceback)
    # The task group is no business of whoever raised: it would wrap the error in a group.
    await tasks.__aexit__(None, None, None)
    return None


def _inbound(
    text: str,
    conversation: str,
    principal: Principal | None,
    channel: str,
    message_id: str | None,
) -> MessageReceived:
    if not text.strip():
        raise CustomerError("The message is empty.")
    for what, value in (("conversation", conversation), ("message_id", message_id or "")):
        if not value.isascii() and not _is_unicode(value):
            raise CustomerError(f"The {what} {value!r} is no valid Unicode text.")
    if not conversation:
        raise ConfigError("conversation is empty: give each thread an id of its own.")
    if message_id == "":
        raise ConfigError("message_id is empty: give the channel's own id, or None.")
    return MessageReceived(
        text=text,
        principal=principal or Principal("customer", conversation),
        channel=channel,
        message_id=message_id,
    )


def _is_unicode(text: str) -> bool:
    """Whether it has a UTF-8 form, as every store and server needs: no half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _clock(zone: str | None) -> Callable[[], datetime]:
    if zone is None:
        return lambda: datetime.now().astimezone()
    try:
        info = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigError(
            f"zone {zone!r} is not an IANA time zone such as Europe/Berlin."
        ) from error
    return lambda: datetime.now(info)
