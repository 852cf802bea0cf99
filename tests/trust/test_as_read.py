"""Values that are hidden by how they are written: none goes out, and all come back."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.trust.test_masked import EMAIL, NAME, masking, placeholders, request, user

from aicore.dispatch.fencing import fence
from aicore.records import Message, ToolCall
from aicore.trust.as_read import AsRead
from aicore.trust.known_values import KnownValues
from aicore.trust.patterns import find
from aicore.trust.special import data_class_of


def known(*names: str) -> KnownValues:
    values = KnownValues()
    for name in names:
        values.add("NAME", name)
    return values


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("Mül\u200bler was here", "Mül\u200bler"),
        ("Mü\u00adller was here", "Mü\u00adller"),
        ("\u202eMüller\u202c", "Müller"),
        (unicodedata.normalize("NFD", "to Müller!"), unicodedata.normalize("NFD", "Müller")),
        ("\uff2d\uff35\uff2c\uff2c\uff25\uff32", "\uff2d\uff35\uff2c\uff2c\uff25\uff32"),
        (r'{"note":"see\nMüller"', "Müller"),
        (r'{"note":"see\\nM\\u00fcller"', r"M\\u00fcller"),
        ("/customers/M%C3%BCller", "M%C3%BCller"),
        ("M&uuml;ller", "M&uuml;ller"),
        ("_Müller_", "Müller"),
        ("mueller_anna.pdf", "mueller"),
        ("Anna\u00a0\u00a0Müller-Lee", "Anna\u00a0\u00a0Müller-Lee"),
        ("Anna\nMüller-Lee", "Anna\nMüller-Lee"),
    ],
)
def test_known_name_is_found_however_it_is_written(text: str, written: str) -> None:
    marks = list(known("Anna Müller-Lee").find(text))
    assert written in [text[mark.start : mark.end] for mark in marks]


def test_name_that_is_kept_without_umlauts_is_found_with_them() -> None:
    assert [mark.start for mark in known("Mueller").find("Is Müller in?")] == [3]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("IBAN", "DE89\u202f3704\u202f0044\u202f0532\u202f0130\u202f00"),
        ("IBAN", "DE89  3704  0044  0532  0130  00"),
        ("CARD", "4111\u00a01111\u00a01111\u00a01111"),
        ("PHONE", "0170\u200b1234567"),
        ("PHONE", "0170\u20131234567"),
        ("PHONE", "0170\u2011123\u20114567"),
        ("EMAIL", "ann\uff20mail.example"),
        ("EMAIL", "ann%40mail.example"),
        ("EMAIL", "ann@\u200bmail.example"),
    ],
)
def test_pattern_is_found_however_it_is_written(kind: str, value: str) -> None:
    text = f"here {value} there"
    assert (kind, value) in [(one.kind, text[one.start : one.end]) for one in find(text)]


@pytest.mark.parametrize(
    "text",
    [
        r'{"notes":"seen\ndiabetes"}',
        "dia\u200bbetes",
        "4111\u00a01111\u00a01111\u00a01111",
        "DE89\u202f3704\u202f0044\u202f0532\u202f0130\u202f00",
    ],
)
def test_special_text_is_special_however_it_is_written(text: str) -> None:
    assert data_class_of(text) == "special"


async def test_line_breaks_in_the_json_of_a_server_hide_nothing() -> None:
    notes = json.dumps({"notes": f"Called.\n{NAME} is ill\tQuokka:\nMy name is Bert Brecht"})
    made = Message(role="assistant", calls=(ToolCall("c1", "book", {}),))
    for text in (fence(notes, "crm"), fence(notes, "crm")[:-12]):
        async with masking("ok") as (provider, inner, _):
            await provider.complete(
                request(user("hi"), made, Message(role="tool", call_id="c1", text=text))
            )
        sent = inner.requests[0].tail[-1].text
        assert [one for one in ("Annabel", "Quokka", "Brecht") if one in sent] == []


async def test_what_a_program_wrote_with_codes_comes_back_as_a_person_writes_it() -> None:
    text = fence(json.dumps({"at": "Zoë Ünlü", "mail": EMAIL}), "crm")[:-12]
    made = Message(role="assistant", calls=(ToolCall("c1", "book", {}),))
    async with masking("ok", "ok") as (provider, _, vaults):
        await vaults.remember("web:1", [("NAME", "Zoë Ünlü")], business="shop")
        asked = request(user("hi"), made, Message(role="tool", call_id="c1", text=text))
        await provider.complete(asked)
        (known_as,) = await placeholders(vaults, "Zoë Ünlü")
        assert known_as in provider._provider.requests[0].tail[-1].text  # type: ignore[attr-defined]


async def test_password_and_link_come_back_as_they_were_written() -> None:
    link = "https://shop.example/reset?token=a1b2%2Fc3d4e5f6"
    async with masking(lambda asked: asked.tail[-1].text) as (provider, inner, _):
        reply = await provider.complete(request(user(f"{link} password: pa%41s1")))
    assert link not in inner.requests[0].tail[-1].text
    assert reply.text == f"{link} password: pa%41s1"


@given(
    st.text(st.sampled_from("ab \n\t\\nu0041%&;@[\u200bé\u0301\u00a0\uff20\u2014`"), max_size=60)
)
def test_every_place_as_read_is_one_as_written(text: str) -> None:
    read = AsRead(text)
    before = 0
    for at in range(len(read.text)):
        start, end = read.place(at, at + 1)
        assert before <= end <= len(text)
        assert start < end
        before = start
        if end - start == 1 and text[start].isascii() and text[start] not in "\t`":
            assert text[start] == read.text[at]
