"""What a GGUF file says about itself, read before anything is loaded.

The library that loads such files says of every failure only that it failed, and a context that
does not fit into memory ends the process. So what can be known beforehand is looked at here.
Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from aicore.errors import ConfigError

__all__ = ["Header", "read_header"]

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)  # 1 was never written by anything that is still in use
_MAX_FIELDS = 100_000
_MAX_BYTES = 64 * 1024 * 1024
_STRING, _ARRAY = 8, 9
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q"}
_NUMBERS[12] = "d"
_CACHE_BYTES = 2  # a number of the key and value cache is 16 bits wide


class _BrokenError(Exception):
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """Facts of a model file. None where it does not say."""

    file_bytes: int
    trained_tokens: int | None
    cache_bytes_per_token: int | None

    def needed_bytes(self, tokens: int) -> int:
        """How much memory the weights and a context of so many tokens take, at least."""
        return self.file_bytes + tokens * (self.cache_bytes_per_token or 0)


def read_header(path: Path) -> Header:
    """Read the head of a file. Blocks. Raises: ConfigError that says what the file is instead."""
    try:
        with path.open("rb") as file:
            fields = _Reader(file).fields()
            return _header(fields, path.stat().st_size)
    except FileNotFoundError as exc:
        raise ConfigError(f"There is no file {str(path)!r}. Correct path.") from exc
    except OSError as exc:
        raise ConfigError(f"{str(path)!r} cannot be read: {exc.strerror}. Correct path.") from exc
    except _BrokenError as exc:
        raise ConfigError(
            f"{str(path)!r} is not a model file: {exc}. Name a whole .gguf file of version 2 or 3."
        ) from exc


def _header(fields: dict[str, int | str], file_bytes: int) -> Header:
    kind = fields.get("general.architecture", "")

    def number(name: str) -> int | None:
        value = fields.get(f"{kind}.{name}")
        return value if isinstance(value, int) and value > 0 else None

    heads, width, layers = (
        number(name) for name in ("attention.head_count", "embedding_length", "block_count")
    )
    cache_bytes = None
    if heads and width and layers:
        of_cache = number("attention.head_count_kv") or heads
        head_width = width // heads
        keys = number("attention.key_length") or head_width
        values = number("attention.value_length") or head_width
        cache_bytes = layers * of_cache * (keys + values) * _CACHE_BYTES
    return Header(
        file_bytes=file_bytes,
        trained_tokens=number("context_length"),
        cache_bytes_per_token=cache_bytes,
    )


class _Reader:
    """Reads the fields before the vocabulary; every length is doubted."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def fields(self) -> dict[str, int | str]:
        if self._bytes(4) != _MAGIC:
            raise _BrokenError("it does not begin with GGUF")
        version, _, count = struct.unpack("<IQQ", self._bytes(20))
        if version not in _VERSIONS:
            raise _BrokenError(f"its version is {version}")
        found: dict[str, int | str] = {}
        for _ in range(min(count, _MAX_FIELDS)):
            key = self._text()
            if key.startswith("tokenizer."):  # long, and written after what is wanted
                break
            value = self._value(*struct.unpack("<I", self._bytes(4)))
            if isinstance(value, int | str):
                found[key] = value
        return found

    def _value(self, kind: int) -> int | str | None:
        if kind == _STRING:
            return self._text()
        if kind == _ARRAY:
            of_kind, length = struct.unpack("<IQ", self._bytes(12))
            if of_kind == _ARRAY or length > _MAX_BYTES:
                raise _BrokenError("a list in its head cannot be")
            for _ in range(length):
                self._value(of_kind)
            return None
        if kind not in _NUMBERS:
            raise _BrokenError("its head holds a kind of value that does not exist")
        form = f"<{_NUMBERS[kind]}"
        (value,) = struct.unpack(form, self._bytes(struct.calcsize(form)))
        return value if isinstance(value, int) else None

    def _text(self) -> str:
        (length,) = struct.unpack("<Q", self._bytes(8))
        return self._bytes(length).decode("utf-8", "replace")

    def _bytes(self, count: int) -> bytes:
        data = self._file.read(count) if count <= _MAX_BYTES else b""
        if len(data) != count or count > _MAX_BYTES:
            raise _BrokenError("it ends in the middle of its head")
        return data
