"""The names under which tools are offered: unique, and accepted by every model API."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Container, Iterable, Mapping

__all__ = ["RESERVED", "Key", "assign", "plain"]

Key = tuple[str, str]
"""(name of the server, the server's own name of the tool)"""

RESERVED = frozenset({"call_tool", "find_tools", "read_result", "search_conversation"})
"""Names the agent itself offers; a tool of a server never gets one."""

_LONGEST = 64
_DIGEST = 8
_OUTSIDE = re.compile(r"[^A-Za-z0-9_-]")


def plain(remote_name: str) -> str:
    """Give a tool's name on its own: other characters become `_`; too long ends in a hash."""
    name = _OUTSIDE.sub("_", remote_name) or "_"
    return name if len(name) <= _LONGEST else _hashed(name, ("", remote_name))


def assign(keys: Iterable[Key], given: Mapping[Key, str]) -> dict[Key, str]:
    """Name the tools `keys`, in any order of them alike.

    The rule, in this order:
    1. A name once given (`given`) stays with its tool, and never goes to another: neither a
       server that comes later nor one that changes can take a name over.
    2. A tool whose plain name nobody else wants keeps it.
    3. Tools that want the same name each get their server's name before it, `server_tool`.
    4. Where that is taken or too long, it is cut and ends in a hash of server and tool.
    """
    names = {key: given[key] for key in keys if key in given}
    fresh = sorted({key for key in keys if key not in given})
    taken = {*RESERVED, *given.values()}
    wanted = {key: plain(key[1]) for key in fresh}
    count = Counter(wanted.values())
    for key in fresh:
        if count[wanted[key]] == 1 and wanted[key] not in taken:
            names[key] = wanted[key]
    taken.update(names.values())
    rest = [key for key in fresh if key not in names]
    prefixed = {key: _OUTSIDE.sub("_", f"{key[0]}_{key[1]}") for key in rest}
    count = Counter(prefixed.values())
    for key in rest:
        name = prefixed[key]
        if count[name] > 1 or name in taken or len(name) > _LONGEST:
            name = _hashed(name, key, taken)
        names[key] = name
        taken.add(name)
    return names


def _hashed(name: str, key: Key, taken: Container[str] = ()) -> str:
    head, digest = name[: _LONGEST - _DIGEST - 1], hashlib.sha256(repr(key).encode())
    while (result := f"{head}_{digest.hexdigest()[:_DIGEST]}") in taken:
        digest.update(b"again")
    return result
