"""Which documents there are: folders, without what is hidden or leads out of them."""

from __future__ import annotations

import logging
import os
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aicore.errors import ConfigError
from aicore.memory.knowledge.reading import suffixes

__all__ = ["Document", "Folders", "Scan", "Stamp"]

_log = logging.getLogger(__name__)

Stamp = tuple[int, int, int, int]
"""What tells cheaply that a file changed: inode, size, when written, when anything of it changed.

The last sees a file that was replaced by one of the same size and time, as copying tools do.
"""

_OFFICE = frozenset((".doc", ".docx", ".odt", ".rtf", ".ppt", ".pptx", ".xls", ".xlsx", ".ods"))
_MOST_DOCUMENTS = 10_000


@dataclass(frozen=True, slots=True)
class Document:
    """A file to read. `name` is what is cited; `written_ms` since 1970 UTC."""

    name: str
    path: Path
    stamp: Stamp
    written_ms: int


@dataclass(slots=True)
class Scan:
    """What is in the folders now. `missing` are beginnings of names that nothing is known of."""

    documents: dict[str, Document] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    def is_gone(self, name: str) -> bool:
        """Whether a document is known to be there no longer."""
        return name not in self.documents and not name.startswith(tuple(self.missing))


class Folders:
    """Folders of documents. With several, the folder's name stands before each document's.

    Raises: ConfigError when two of them are called alike.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        names = Counter(folder.resolve().name for folder in folders)
        if double := [name for name, count in names.items() if count > 1]:
            raise ConfigError(
                f"Two folders of documents are called {double[0]!r}: their documents could not be "
                "told apart. Rename one, or put both into one folder."
            )
        is_alone = len(folders) == 1
        self._roots = {
            "" if is_alone else f"{folder.resolve().name}/": folder for folder in folders
        }

    def has(self, folder: Path) -> bool:
        """Whether a folder is one of these."""
        return folder.resolve() in {root.resolve() for root in self._roots.values()}

    def scan(self) -> Scan:
        """Look at all folders; reads no document. Blocks on the disk."""
        found = Scan()
        for prefix, folder in self._roots.items():
            try:
                if folder.is_dir():
                    for path in _files(folder, found, prefix):
                        self._take(path, folder, prefix, found)
                    continue
            except OSError:
                _log.exception("folder_scan_failed | what was read of it stays")
            found.problems[prefix or folder.name] = (
                f"is no folder that can be found ({folder}). What was read of it stays."
            )
            found.missing.append(prefix)
        return found

    def _take(self, path: Path, folder: Path, prefix: str, found: Scan) -> None:
        name = prefix + _shown(path.relative_to(folder))
        suffix = path.suffix.lower()
        if suffix in _OFFICE:
            found.problems[name] = "is in no format that is read. Save it as PDF or CSV."
        if suffix not in suffixes():
            return
        if name in found.documents:
            found.problems[name] = "is there twice: another name reads the same. Rename one."
            return
        if len(found.documents) >= _MOST_DOCUMENTS:
            found.problems[name] = f"is left out: there are more than {_MOST_DOCUMENTS} documents."
            return
        try:
            if path.is_symlink() and not path.resolve(strict=True).is_relative_to(folder.resolve()):
                found.problems[name] = "is a link that leaves its folder: left out."
                return
            status = path.stat()
        except (FileNotFoundError, RuntimeError):  # gone meanwhile, or a link to itself
            return
        except OSError as exc:
            found.problems[name] = (
                f"cannot be looked at: {exc.strerror}. What was read of it stays."
            )
            found.missing.append(name)
            return
        if not stat.S_ISREG(status.st_mode):
            return
        stamp = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        found.documents[name] = Document(name, path, stamp, status.st_mtime_ns // 1_000_000)


def _files(folder: Path, found: Scan, prefix: str) -> Iterator[Path]:
    """What is below a folder in order of its names, but nothing hidden and no linked folders."""

    def unreadable(error: OSError) -> None:
        name = prefix + _shown(Path(error.filename).relative_to(folder))
        found.problems[name] = "cannot be looked into. What was read of it stays."
        found.missing.append(prefix if name == prefix + "." else f"{name}/")

    for parent, subfolders, names in os.walk(folder, onerror=unreadable):
        subfolders[:] = sorted(name for name in subfolders if not _is_hidden(name))
        for name in sorted(names):
            if not _is_hidden(name):
                yield Path(parent, name)


def _is_hidden(name: str) -> bool:
    """Begins with a dot, or as what an office program keeps beside an open document."""
    return name.startswith((".", "~$"))


def _shown(path: Path) -> str:
    """A path as text; bytes that are none become U+FFFD."""
    return os.fsencode(path.as_posix()).decode("utf-8", "replace")
