"""How careful to be with a conversation: by where its texts come from, then by what they say.

A class rises and never falls: what was once said is in the prompt, in a summary, or in what the
model answered to it. "Nothing was found" is not "public": what customers say is personal.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase

from aicore.log.events import Body, MessageReceived, ModelReplied, Summarized, ToolFinished
from aicore.records import DataClass, PrincipalKind, Tool
from aicore.trust.data_classes import highest
from aicore.trust.special import data_class_of

__all__ = ["Labels"]

_SPEAKERS: Mapping[PrincipalKind, DataClass] = {
    "customer": "personal",
    "staff": "internal",
    "owner": "internal",
    "system": "internal",
}


class Labels:
    """Gives the data class of events. `find` gives a tool by its name, `tools` the owner's labels.

    `tools` maps names, in which `*` stands for anything, to a class; the first that fits counts.
    It can only raise what the tool's server says: where neither speaks, a result is personal.
    """

    def __init__(
        self, find: Callable[[str], Tool | None], tools: Mapping[str, DataClass] | None = None
    ) -> None:
        self._find = find
        self._tools = dict(tools or {})

    def of(self, body: Body) -> DataClass:
        """The class of what an event says: the higher of its source's and its words'."""
        match body:
            case MessageReceived(text=text, principal=principal):
                return _said(_SPEAKERS[principal.kind], text)
            case ToolFinished(tool=tool, text=text):
                return _said(self._of_tool(tool), text)
            case ModelReplied(text=text, calls=calls):
                asked = (json.dumps(dict(one.arguments), ensure_ascii=False) for one in calls)
                return highest("public", *(_said("public", one) for one in (text, *asked)))
            case Summarized(text=text):
                return _said("public", text)
        return "public"

    def _of_tool(self, name: str) -> DataClass:
        tool = self._find(name)
        claimed = None if tool is None else tool.data_class
        own = next((one for form, one in self._tools.items() if fnmatchcase(name, form)), None)
        said = [one for one in (claimed, own) if one is not None]
        return highest(*said) if said else "personal"


def _said(source: DataClass, text: str) -> DataClass:
    return "special" if source == "special" or data_class_of(text) == "special" else source
