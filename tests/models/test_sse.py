"""Events are found however the bytes arrive."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aicore.models.sse import EventSplitter


def split(*parts: bytes) -> list[bytes]:
    splitter = EventSplitter()
    found = [data for part in parts for data in splitter.feed(part)]
    return [data.strip() for data in [*found, *splitter.finish()]]


@pytest.mark.parametrize(
    ("stream", "data"),
    [
        (b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
        (b"data: a\r\rdata: b\r\r", [b"a", b"b"]),
        (b"data:a\n\n", [b"a"]),
        (b"data: a\ndata: b\n\n", [b"a\nb"]),
        (b": ping\n\ndata: a\n\n: ping\n\n", [b"a"]),
        (b": ping\ndata: a\nid: 7\n\n", [b"a"]),
        (b"event: x\ndata: a\nretry: 5\n\n", [b"a"]),
        (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
        (b"\n\n\ndata: a\n\n\n\n", [b"a"]),
        (b"data: a\n\ndata: b", [b"a", b"b"]),
        (b"data: a\n\ndata: b\n", [b"a", b"b"]),
        (b"event: ping\n\n", []),
        (b"", []),
    ],
)
def test_data_of_each_event_is_found_at_any_split(stream: bytes, data: list[bytes]) -> None:
    assert split(stream) == data
    assert split(*(stream[at : at + 1] for at in range(len(stream)))) == data
    for at in range(len(stream)):
        assert split(stream[:at], stream[at:]) == data


@given(st.lists(st.sampled_from([b"data: x\n\n", b": c\r\n\r\n", b"data: y\r\n\r\n"])), st.data())
def test_any_chunking_gives_the_same_events(events: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(events)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)))))
    parts = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]

    assert split(*parts) == split(stream)


def test_event_is_given_as_soon_as_it_is_whole() -> None:
    splitter = EventSplitter()

    assert splitter.feed(b"data: a\n") == []
    assert splitter.feed(b"\ndata: b") == [b" a"]


def test_large_event_in_small_parts_takes_no_quadratic_time() -> None:
    splitter = EventSplitter()
    splitter.feed(b"data: ")
    for _ in range(100_000):
        splitter.feed(b"x" * 100)

    assert len(splitter.feed(b"\n\n")[0]) == 10_000_001
