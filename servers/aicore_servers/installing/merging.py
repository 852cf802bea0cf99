"""Changing one entry of a JSON file that belongs to somebody else."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from aicore_tools.errors import BackendConfigError
from aicore_tools.whole_files import replace_whole

__all__ = ["Document", "is_ours", "read_document", "with_entry", "without_entry"]

_BACKUP = ".bak"
_NEW_MODE = 0o600
_INDENT = re.compile(r'^([ \t]+)"', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Document:
    """A JSON file: where it is, what it said, and what that means. `raw` None: it is not there."""

    path: Path
    raw: bytes | None
    content: Mapping[str, Any]

    def replace(self, content: Mapping[str, Any]) -> bool:
        """Write other content in its place, and what it said into a file beside it.

        A file of that name that is there already stays: the first copy is the one from before us.
        An empty object is no file. Returns False, and writes nothing, where nothing changes.

        Raises:
            BackendConfigError: it cannot be written, or has changed since it was read.
        """
        if content == self.content:
            return False
        try:
            if _bytes(self.path) != self.raw:
                raise BackendConfigError(f"{self.path} has just changed. Try again.")
            backup = self.path.with_name(self.path.name + _BACKUP)
            if self.raw is not None and not (backup.exists() or backup.is_symlink()):
                replace_whole(backup, self.raw)
            if content:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                mode = self.path.stat().st_mode & 0o777 if self.raw is not None else _NEW_MODE
                replace_whole(self.path, self._text(content), mode=mode)
            else:
                self.path.unlink(missing_ok=True)
        except OSError as error:
            why = error.strerror
            raise BackendConfigError(f"{self.path} cannot be written: {why}.") from error
        return True

    def _text(self, content: Mapping[str, Any]) -> bytes:
        before = (self.raw or b"").decode("utf-8-sig")
        found = _INDENT.search(before)
        indent = found[1] if found else "  "
        end = "" if before and not before.endswith("\n") else "\n"
        try:
            return (json.dumps(content, indent=indent, ensure_ascii=False) + end).encode()
        except UnicodeEncodeError:  # half of a surrogate pair: only an escape can say it
            return (json.dumps(content, indent=indent) + end).encode()


def read_document(path: Path) -> Document:
    """Read a JSON object; a file that is not there, or is empty, has nothing in it.

    Links are followed, so that the file itself is replaced and not the link.

    Raises:
        BackendConfigError: it cannot be read, or could not be written again without a loss:
            it has comments, says a name twice, or is no object.
    """
    path = path.resolve()
    try:
        raw = _bytes(path)
        text = (raw or b"").decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no UTF-8"
        raise BackendConfigError(f"{path} cannot be read: {why}.") from error
    if not text.strip():
        return Document(path, raw, {})
    try:
        content = json.loads(
            text, object_pairs_hook=_once, parse_constant=_refuse, parse_float=_finite
        )
    except (ValueError, RecursionError) as error:
        raise BackendConfigError(
            f"{path} is no JSON that can be kept as it is; it may have comments.",
            hint="Put the entry in by hand: --print shows it.",
        ) from error
    if not isinstance(content, dict):
        raise BackendConfigError(f"{path} is no JSON object.")
    return Document(path, raw, content)


def with_entry(
    document: Document, section: str, name: str, entry: Mapping[str, Any]
) -> dict[str, Any]:
    """Give the content with our entry in it, in the place of an earlier one of ours.

    What that one has besides, variables too, was put there by somebody and stays.

    Raises:
        BackendConfigError: somebody else's entry has that name.
    """
    servers = _section(document, section)
    if name in servers and not is_ours(servers[name]):
        raise BackendConfigError(
            f"{document.path} has a server {name!r} already that is not ours.",
            hint="Give it another name there.",
        )
    merged = _merged(servers.get(name, {}), entry)
    return {**document.content, section: {**servers, name: merged}}


def _merged(before: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**before, **entry}
    variables = before.get("env")
    if isinstance(variables, Mapping) and "env" in entry:
        merged["env"] = {**variables, **entry["env"]}
    return merged


def without_entry(document: Document, section: str, name: str) -> dict[str, Any]:
    """Give the content without our entry; a section that it leaves empty goes as well.

    Raises:
        BackendConfigError: the entry of that name is not ours.
    """
    servers = _section(document, section)
    if name not in servers:
        return dict(document.content)
    if not is_ours(servers[name]):
        raise BackendConfigError(f"The server {name!r} in {document.path} is not ours.")
    rest = {key: value for key, value in servers.items() if key != name}
    whole = {**document.content, section: rest}
    return whole if rest else {key: value for key, value in whole.items() if key != section}


def is_ours(entry: object) -> bool:
    """Tell whether an entry starts one of our servers."""
    if not isinstance(entry, Mapping):
        return False
    command, args = entry.get("command"), entry.get("args")
    if not isinstance(command, str):
        return False
    program = PurePath(command.replace("\\", "/")).name.removesuffix(".exe")
    is_module = isinstance(args, list) and "aicore_servers.business" in args[:2]
    return program.startswith("aicore-") or is_module


def _section(document: Document, section: str) -> Mapping[str, Any]:
    servers = document.content.get(section, {})
    if not isinstance(servers, dict):
        raise BackendConfigError(f"{section!r} in {document.path} is no object.")
    return servers


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a name is there twice")
    return made


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large")
    return number
