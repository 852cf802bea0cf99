"""Fields that a server labels give their values, at any depth, and nothing else does."""

from typing import Any

import pytest

from aicore.records import Message, Tool, ToolCall
from aicore.trust.labelled import labelled_in, labelled_values

FIELDS = {"name": "NAME", "email": "EMAIL", "from": "PARTY", "to": "PARTY", "customer": "NAME"}


@pytest.mark.parametrize(
    ("structured", "expected"),
    [
        ({"name": "Ann Lee", "city": "Bath"}, [("NAME", "Ann Lee")]),
        ({"rows": [{"name": "Ann"}, {"name": "Bo"}]}, [("NAME", "Ann"), ("NAME", "Bo")]),
        (
            {"from": "Ann Lee <ann@example.com>"},
            [("NAME", "Ann Lee"), ("EMAIL", "ann@example.com")],
        ),
        (
            {"to": "Ann Lee <ann@b.example>, bo@b.example; Cy Young <cy@b.example>"},
            [
                ("NAME", "Ann Lee"),
                ("EMAIL", "ann@b.example"),
                ("EMAIL", "bo@b.example"),
                ("NAME", "Cy Young"),
                ("EMAIL", "cy@b.example"),
            ],
        ),
        ({"name": 15123456789, "rows": [{"email": True}]}, [("NAME", "15123456789")]),
        ({"to": ["bo@example.com", "7"]}, [("EMAIL", "bo@example.com")]),
        ({"to": ["Ann Lee", "2026-11-02 09:00"]}, [("NAME", "Ann Lee")]),
        ({"customer": {"id": "7", "email": "a@b.example"}}, [("EMAIL", "a@b.example")]),
        ({"name": None, "email": 7}, []),
        ({"name": " "}, []),
        ({"name": "x" * 500}, []),
        ("name", []),
        (None, []),
    ],
)
def test_labelled_fields_give_their_values(
    structured: Any, expected: list[tuple[str, str]]
) -> None:
    assert list(labelled_values(structured, FIELDS)) == expected


def test_deep_nesting_ends() -> None:
    deep: Any = {"name": "Ann"}
    for _ in range(5_000):
        deep = {"in": deep}
    assert list(labelled_values(deep, FIELDS)) == []


def test_a_transcript_gives_what_labelled_tools_gave() -> None:
    def tool(name: str, fields: dict[str, str]) -> Tool:
        return Tool(
            name=name,
            description="",
            parameters={},
            server="s",
            remote_name=name,
            personal_fields=fields,
        )

    calls = (ToolCall("c1", "crm_get", {}), ToolCall("c2", "plain", {}))
    tail = [
        Message(role="user", text="hi"),
        Message(role="assistant", calls=calls),
        Message(role="tool", call_id="c1", text="", structured={"name": "Ann"}),
        Message(role="tool", call_id="c2", text="", structured={"name": "Bo"}),
        Message(role="tool", call_id="c9", text="", structured={"name": "Cy"}),
    ]
    tools = [tool("crm_get", FIELDS), tool("plain", {})]
    assert list(labelled_in(tail, tools)) == [("NAME", "Ann")]
