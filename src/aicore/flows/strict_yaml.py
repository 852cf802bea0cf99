"""YAML without its traps: what looks like text stays text.

Booleans are only `true` and `false`, whole numbers only plain decimals: `no`, `10:30`, `0151`
and dates stay text. Keys are text and unique, tags are refused, aliases cannot blow a file up.
"""

from __future__ import annotations

import re
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from aicore.errors import FlowError

__all__ = ["Lines", "Path", "read_yaml"]

Path = tuple[str | int, ...]
Lines = dict[Path, int]
"""The line (from 1) of each value of a document, by its path."""

_MOST_CHARS = 1_000_000
_MOST_VALUES = 50_000
_DEEPEST = 60

_TAG = "tag:yaml.org,2002:"
_PLAIN = {_TAG + name for name in ("str", "int", "float", "bool", "null", "map", "seq")}


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader with implicit types of our own."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012


for _name, _pattern, _first in (
    ("bool", r"(?:true|false)\Z", "tf"),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)\Z", "-+0123456789"),
    ("float", r"[-+]?(?:0|[1-9][0-9]*)\.[0-9]+\Z", "-+0123456789"),
    ("null", r"(?:null|~|)\Z", ["n", "~", ""]),
):
    _StrictLoader.add_implicit_resolver(_TAG + _name, re.compile(_pattern), list(_first))


def read_yaml(text: str, *, path: str = "") -> tuple[Any, Lines]:
    """Parse one document; give its plain value and the lines of its parts.

    Raises: FlowError with the place of what cannot be read.
    """
    if len(text) > _MOST_CHARS:
        raise FlowError(f"The file is larger than {_MOST_CHARS:,} characters.", path=path)
    try:
        node = yaml.compose(text, Loader=_StrictLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}" if mark else ""
        raise FlowError(f"This is not YAML: {error.problem}.", path=path, where=where) from error
    except (yaml.YAMLError, ValueError) as error:
        raise FlowError("This is not YAML: it holds unreadable characters.", path=path) from error
    except RecursionError as error:
        raise FlowError("The file is nested too deeply.", path=path) from error
    reader = _Reader(path)
    return (reader.value(node, ()) if node else None), reader.lines


class _Reader:
    """Turns nodes into plain values; counts them, so that aliases stay bounded."""

    def __init__(self, path: str) -> None:
        self.lines: Lines = {}
        self._path = path
        self._scalars = yaml.constructor.SafeConstructor()

    def value(self, node: Node, at: Path) -> Any:
        if len(self.lines) >= _MOST_VALUES or len(at) > _DEEPEST:
            raise self._error("The file is too large once its aliases are followed.", node)
        if node.tag not in _PLAIN:
            raise self._error(f"The tag {node.tag!r} is not allowed here.", node)
        self.lines[at] = node.start_mark.line + 1
        if isinstance(node, MappingNode):
            return self._mapping(node, at)
        if isinstance(node, SequenceNode):
            return [self.value(item, (*at, n)) for n, item in enumerate(node.value)]
        return self._scalar(node)

    def _scalar(self, node: Node) -> Any:
        if isinstance(node, ScalarNode) and node.tag != _TAG + "str":
            try:
                return self._scalars.construct_object(node)
            except (yaml.YAMLError, ValueError, KeyError) as error:
                raise self._error(f"{node.value!r} cannot be read.", node) from error
        return node.value

    def _mapping(self, node: MappingNode, at: Path) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, item in node.value:
            if not isinstance(key, ScalarNode) or key.tag != _TAG + "str":
                raise self._error('A key must be text; put it in "quotes".', key)
            if key.value in result:
                raise self._error(f"The key {key.value!r} is there twice.", key)
            result[key.value] = self.value(item, (*at, key.value))
        return result

    def _error(self, message: str, node: Node) -> FlowError:
        return FlowError(message, path=self._path, where=f"line {node.start_mark.line + 1}")
