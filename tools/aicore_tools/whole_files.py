"""Writing a file whole or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

__all__ = ["replace_whole"]


def replace_whole(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Put `content` in the place of a file: a reader, and a crash, sees the old or the new one.

    Raises:
        OSError: it cannot be written; the old file is as it was.
    """
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(file, "wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        fresh.chmod(mode)
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
