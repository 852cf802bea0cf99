"""The core's own tools, which no server has: what each is, and how it is carried out."""

from __future__ import annotations

from collections.abc import Sequence

from aicore.agent.pages import READ_RESULT, read_result
from aicore.agent.searching import SEARCH_CONVERSATION, search_conversation
from aicore.agent.session import Session
from aicore.agent.tool_search import CALL_TOOL, FIND_TOOLS, ToolSearch, malformed
from aicore.dispatch.dispatcher import Dispatcher
from aicore.log.port import EventLog
from aicore.records import Tool, ToolCall, ToolResult

__all__ = ["OWN_TOOLS", "OwnTools"]

OWN_TOOLS: Sequence[Tool] = (READ_RESULT, SEARCH_CONVERSATION, FIND_TOOLS, CALL_TOOL)
"""None of them changes anything, so no policy is asked; none needs a key."""


class OwnTools:
    """Carries out calls of OWN_TOOLS."""

    def __init__(self, log: EventLog, dispatcher: Dispatcher, search: ToolSearch) -> None:
        self._log = log
        self._dispatcher = dispatcher
        self._search = search
        self._by_name = {tool.name: tool for tool in OWN_TOOLS}

    def find(self, name: str) -> Tool | None:
        """Give one of OWN_TOOLS by its name."""
        return self._by_name.get(name)

    async def call(self, call: ToolCall, session: Session) -> ToolResult:
        """Carry out a call within one conversation. Raises: StoreBusy, StoreError."""
        if call.name == READ_RESULT.name:
            return await read_result(self._log, session, call.arguments)
        if call.name == SEARCH_CONVERSATION.name:
            return await search_conversation(self._log, session, call.arguments)
        if call.name == FIND_TOOLS.name:
            return self._search.find(self._dispatcher.tools, call.arguments)
        return malformed()
