"""Small enough to be read: the budgets of CONTRIBUTING, counted."""

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

MODULE_LINES = 500
TEST_LINES = 600
FUNCTION_LINES = 80
USUAL_FUNCTION_LINES = 45
PARAMETERS = 6

MANY_PARAMETERS = {
    "src/aicore/agent/agent.py:Agent.__init__",
    "src/aicore/agent/calls.py:CallRunner.__init__",
    "src/aicore/models/anthropic.py:Anthropic.__init__",
    "src/aicore/models/gemini.py:Gemini.__init__",
    "src/aicore/models/openai_compatible.py:OpenAICompatible.__init__",
    "src/aicore/models/router/router.py:Router.__init__",
}
"""`file:function`: constructors that read like a settings record. May only shrink."""

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


def functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, FunctionNode]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield prefix + node.name, node
            yield from functions(node, f"{prefix}{node.name}.")
        elif isinstance(node, ast.ClassDef):
            yield from functions(node, f"{prefix}{node.name}.")
        else:
            yield from functions(node, prefix)


def lines_of(node: FunctionNode) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def parameters_of(node: FunctionNode) -> int:
    args = node.args
    named = [arg.arg for arg in (*args.posonlyargs, *args.args, *args.kwonlyargs)]
    stars = sum(arg is not None for arg in (args.vararg, args.kwarg))
    return len([name for name in named if name not in {"self", "cls"}]) + stars


def is_mcp_tool(node: FunctionNode) -> bool:
    """A tool's parameters are its schema: the model's business, not a reader's."""
    return any(ast.unparse(decorator).startswith("_toolbox.") for decorator in node.decorator_list)


def test_modules_fit_in_500_lines(modules: Sequence[Any]) -> None:
    long = {m.file: count for m in modules if (count := m.text.count("\n")) > MODULE_LINES}

    assert long == {}


def test_test_modules_and_scripts_fit_in_600_lines(repository: Path, files: Sequence[Path]) -> None:
    long = [
        path.relative_to(repository).as_posix()
        for path in files
        if path.suffix == ".py"
        and path.relative_to(repository).parts[0] in {"tests", "bench", "conformance"}
        and path.read_text(encoding="utf-8").count("\n") > TEST_LINES
    ]

    assert long == []


def test_no_function_is_longer_than_80_lines(modules: Sequence[Any]) -> None:
    long = {
        f"{module.file}:{name}": lines_of(node)
        for module in modules
        for name, node in functions(module.tree)
        if lines_of(node) > FUNCTION_LINES
    }

    assert long == {}


def test_95_percent_of_functions_fit_in_45_lines(modules: Sequence[Any]) -> None:
    lengths = {
        f"{module.file}:{name}": lines_of(node)
        for module in modules
        for name, node in functions(module.tree)
    }
    long = {name: count for name, count in lengths.items() if count > USUAL_FUNCTION_LINES}

    assert len(long) <= len(lengths) * 0.05, long


def test_functions_take_at_most_6_parameters(modules: Sequence[Any]) -> None:
    """More become a frozen record. The exceptions are listed, and each must still be needed."""
    many = {
        f"{module.file}:{name}"
        for module in modules
        for name, node in functions(module.tree)
        if parameters_of(node) > PARAMETERS and not is_mcp_tool(node)
    }

    assert sorted(many - MANY_PARAMETERS) == []
    assert sorted(MANY_PARAMETERS - many) == [], "no longer there: take it off the list"
