"""Broad excepts stand at named boundaries only: "never crash" must not become "never know"."""

import ast
from collections.abc import Iterator, Sequence
from typing import Any

BOUNDARIES = {
    "src/aicore/agent/agent.py:Agent._resume_in_background": "must not end the agent: logged",
    "src/aicore/agent/agent.py:Agent._learn_in_background": "must not end the agent: logged",
    "src/aicore/agent/agent.py:Agent._read_in_background": "must not end the agent: logged",
    "src/aicore/agent/agent.py:Agent._stream_into": "handed to the reader of the stream",
    "src/aicore/agent/build.py:_call": "foreign code named in settings: becomes a ConfigError",
    "src/aicore/agent/compaction.py:Compaction.compact": "background: logged, tried again",
    "src/aicore/agent/runner.py:Runner._resume_conversation": "one must not stop others: logged",
    "src/aicore/agent/runner.py:Runner._resume_turn": "one turn must not stop the others",
    "src/aicore/dispatch/functions.py:FunctionTool.call": "the function is the user's",
    "src/aicore/dispatch/link.py:ServerLink._connect_once": "background task: kept, retried",
    "src/aicore/dispatch/link.py:ServerLink._catalog": "whatever a server does: it is reopened",
    "src/aicore/dispatch/schemas.py:ArgumentChecker.faults": "a server's schema: told to the model",
    "src/aicore/dispatch/opening.py:Opening.send": "whatever a server does becomes CallFailed",
    "src/aicore/databases/sqlite_thread.py:_commit": "goes to the caller of the job",
    "src/aicore/log/postgres_listener.py:Listener._run": "background: logged, listens again",
    "src/aicore/memory/learner.py:Learner._learn_or_retry": "background: logged, tried again",
    "src/aicore/databases/sqlite_thread.py:SQLiteThread._main": "goes to the caller of `start`",
    "src/aicore/databases/sqlite_thread.py:one_by_one": "goes to the caller of the job",
    "src/aicore/models/router/hedging.py:_finish": "told to whoever asked for the race",
    "src/aicore/telemetry/spans.py:_harmless": "the SDK is not ours: logged, the turn goes on",
}
"""`file:function` to why everything is caught there; each logs or returns a typed failure."""

BROAD = {"Exception", "BaseException"}


def caught(expression: ast.expr | None) -> Iterator[str]:
    if expression is None:
        yield "BaseException"
    elif isinstance(expression, ast.Tuple):
        for part in expression.elts:
            yield from caught(part)
    elif isinstance(expression, ast.Name | ast.Attribute):
        yield ast.unparse(expression).removeprefix("builtins.")


def swallows_all(node: ast.AST) -> bool:
    """Tell whether a node stops every error: an except without a last bare raise, or suppress."""
    if isinstance(node, ast.ExceptHandler):
        last = node.body[-1]
        is_passed_on = isinstance(last, ast.Raise) and last.exc is None
        return bool(BROAD & set(caught(node.type))) and not is_passed_on
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress"):
        return any(BROAD & set(caught(argument)) for argument in node.args)
    return False


def broad_excepts(tree: ast.AST, function: str = "") -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        if swallows_all(node):
            yield function
        is_named = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        inner = f"{function}.{node.name}".lstrip(".") if is_named else function  # type: ignore[attr-defined] # is_named narrows it
        yield from broad_excepts(node, inner)


def test_everything_is_caught_at_named_boundaries_only(modules: Sequence[Any]) -> None:
    found = {f"{m.file}:{function}" for m in modules for function in broad_excepts(m.tree)}

    assert sorted(found - set(BOUNDARIES)) == []
    assert sorted(set(BOUNDARIES) - found) == [], "no longer there: take it off the list"


def test_broad_except_is_seen() -> None:
    """The check itself: what it must find and what it must leave alone."""
    source = """
def swallows():
    try: pass
    except (ValueError, Exception): return None
def passes_on():
    try: pass
    except BaseException:
        print()
        raise
class A:
    def suppresses(self):
        with contextlib.suppress(Exception): pass
def narrow():
    try: pass
    except OSError: pass
"""

    assert list(broad_excepts(ast.parse(source))) == ["swallows", "A.suppresses"]
