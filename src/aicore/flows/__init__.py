"""Declared dialogues, and the provider that follows them without a model.

The names below are loaded on first use: `import aicore` stays free of YAML and date grammars.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aicore.flows.assistant import Assistant, load_assistant
    from aicore.flows.provider import FlowProvider
    from aicore.flows.rehearsal import FlowTestResult, run_flow_tests

__all__ = ["Assistant", "FlowProvider", "FlowTestResult", "load_assistant", "run_flow_tests"]

_HOMES = {
    "Assistant": "aicore.flows.assistant",
    "FlowProvider": "aicore.flows.provider",
    "FlowTestResult": "aicore.flows.rehearsal",
    "load_assistant": "aicore.flows.assistant",
    "run_flow_tests": "aicore.flows.rehearsal",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home), name)
