"""Conditions of `if` steps: a small, closed part of Python's expressions, never evaluated by it.

Names, constants, lists of constants, comparisons, `in`, `and`, `or`, `not`. No attributes, no
calls, no arithmetic. A comparison with something missing, or of things that have no order, is
false.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["Condition", "read_condition"]

_LONGEST = 300
_OPERATORS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda left, right: left in right,
    ast.NotIn: lambda left, right: left not in right,
}


@dataclass(frozen=True, slots=True)
class Condition:
    """A checked expression and the names it reads."""

    source: str
    names: frozenset[str]
    _tree: ast.expr

    def holds(self, lookup: Callable[[str], Any]) -> bool:
        """Say whether it is true; `lookup` gives a name's value, None where it has none."""
        return bool(_value(self._tree, lookup))


def read_condition(source: str) -> Condition:
    """Check an expression. Raises: ValueError with a sentence saying what is not allowed."""
    if len(source) > _LONGEST:
        raise ValueError(f"a condition has at most {_LONGEST} characters")
    try:
        tree = ast.parse(source.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"{source!r} is not a condition") from error
    names: set[str] = set()
    _check(tree, names)
    return Condition(source, frozenset(names), tree)


def _check(node: ast.expr, names: set[str]) -> None:
    if isinstance(node, ast.Name):
        names.add(node.id)
    elif isinstance(node, ast.BoolOp):
        for part in node.values:
            _check(part, names)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        _check(node.operand, names)
    elif isinstance(node, ast.Compare) and all(type(op) in _OPERATORS for op in node.ops):
        for part in (node.left, *node.comparators):
            _check(part, names)
    elif not _is_constant(node):
        raise ValueError(
            f"{ast.unparse(node)!r} is not allowed: only names, constants, comparisons, "
            "and, or, not, in"
        )


def _is_constant(node: ast.expr) -> bool:
    if isinstance(node, ast.List | ast.Tuple):
        return all(isinstance(part, ast.Constant) and _is_constant(part) for part in node.elts)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        node = node.operand
        return isinstance(node, ast.Constant) and type(node.value) in (int, float)
    return isinstance(node, ast.Constant) and (
        node.value is None or type(node.value) in (str, int, float, bool)
    )


def _value(node: ast.expr, lookup: Callable[[str], Any]) -> Any:
    if isinstance(node, ast.Name):
        return lookup(node.id)
    if isinstance(node, ast.BoolOp):
        found = (bool(_value(part, lookup)) for part in node.values)
        return all(found) if isinstance(node.op, ast.And) else any(found)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return not _value(node.operand, lookup)
    if isinstance(node, ast.Compare):
        return _compare(node, lookup)
    return ast.literal_eval(node)


def _compare(node: ast.Compare, lookup: Callable[[str], Any]) -> bool:
    left = _value(node.left, lookup)
    for op, part in zip(node.ops, node.comparators, strict=True):
        right = _value(part, lookup)
        if not _holds(op, left, right, (node.left, part)):
            return False
        left = right
    return True


def _holds(op: ast.cmpop, left: Any, right: Any, parts: tuple[ast.expr, ast.expr]) -> bool:
    for value, part in zip((left, right), parts, strict=True):
        if value is None and not isinstance(part, ast.Constant):
            none_meant = any(isinstance(p, ast.Constant) and p.value is None for p in parts)
            if not none_meant:
                return False
    try:
        return bool(_OPERATORS[type(op)](left, right))
    except TypeError:
        return False
