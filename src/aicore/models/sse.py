"""Server-sent events, as bytes: https://html.spec.whatwg.org/multipage/server-sent-events.html."""

from __future__ import annotations

__all__ = ["EventSplitter"]

_BOM = b"\xef\xbb\xbf"


class EventSplitter:
    """Cuts a byte stream into the data of its events, however the bytes were split.

    Only `data` matters to the dialects spoken here: other fields and comments are dropped.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._ends_in_cr = False

    def feed(self, part: bytes) -> list[bytes]:
        """Give the data of the events that `part` completes; empty when it completes none."""
        if self._ends_in_cr or b"\r" in part:
            part = self._with_newlines(part)
        buffer = self._buffer
        if not buffer and part.endswith(b"\n\n"):
            return _data_of(part)
        start = max(len(buffer) - 1, 0)
        buffer += part
        end = buffer.rfind(b"\n\n", start)
        if end < 0:
            return []
        whole = bytes(buffer[: end + 2])
        del buffer[: end + 2]
        return _data_of(whole)

    def finish(self) -> list[bytes]:
        """Give the data of a last event whose blank line never came.

        The standard drops it; servers that end their stream with one newline exist.
        """
        rest = bytes(self._buffer)
        self._buffer.clear()
        return _data_of(rest)

    def _with_newlines(self, part: bytes) -> bytes:
        # A trailing CR may be half of a CRLF: it waits for the next part.
        if self._ends_in_cr:
            part = b"\r" + part
        self._ends_in_cr = part.endswith(b"\r")
        if self._ends_in_cr:
            part = part[:-1]
        return part.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _data_of(events: bytes) -> list[bytes]:
    found = []
    for event in events.split(b"\n\n"):
        if event.startswith(b"data:") and b"\n" not in event:
            found.append(event[5:])
        elif event:
            lines = event.removeprefix(_BOM).split(b"\n")
            data = [_value(line) for line in lines if line.startswith(b"data:")]
            if data:
                found.append(b"\n".join(data))
    return found


def _value(line: bytes) -> bytes:
    return line[5:].removeprefix(b" ")
