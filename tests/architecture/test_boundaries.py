"""Broad excepts stand at named boundaries only: "never crash" must not become "never know"."""

import ast
from collections.abc import Iterator, Sequence
from typing import Any

BOUNDARIES: dict[str, str] = {}
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

    assert found == set(BOUNDARIES)


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
