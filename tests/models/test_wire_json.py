"""JSON of model servers: mended where it can be, refused where it is nested without an end."""

import json

import pytest

from aicore.models.wire_json import parse_json, to_json


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b'{"a": [1, 2.5, null, true]}', {"a": [1, 2.5, None, True]}),
        (b'{"a": "\xff"}', {"a": "\ufffd"}),
        ('{"a": "b\nc"}', {"a": "b\nc"}),
        ('["\\ud800"]', ["?"]),
        ('["\\ud83d\\ude00"]', ["\U0001f600"]),
    ],
)
def test_what_servers_get_wrong_is_mended(data: bytes | str, value: object) -> None:
    assert parse_json(data) == value


@pytest.mark.parametrize("data", ["", "{", '{"a"', "[1,]", b"\xff", "<html>", "{'a': 1}"])
def test_what_is_no_json_is_refused(data: bytes | str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_json(data)


@pytest.mark.parametrize("inner", ["1", '"b\nc"'])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_depth_has_a_limit(opening: str, closing: str, inner: str) -> None:
    """Also where it has to be mended, which is done by another parser."""

    def nested(depth: int) -> str:
        return opening * depth + inner + closing * depth

    assert parse_json(nested(199))
    for depth in (205, 900, 100_000):
        with pytest.raises(ValueError, match=r".+"):
            parse_json(nested(depth))


def test_what_is_written_can_be_read() -> None:
    value = {"a": ["\U0001f600", 1, {"b": None}]}

    assert parse_json(to_json(value)) == json.loads(to_json(value)) == value
