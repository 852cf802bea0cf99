"""A draft that is written as a message is read again as it was, whatever is in it."""

from datetime import UTC, datetime
from email import message_from_bytes, policy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aicore_tools.errors import InvalidInput
from aicore_tools.mail.addresses import parse_address
from aicore_tools.mail.messages import build, content_of, finished, parse
from aicore_tools.mail.records import Address, DraftContent, File, Threading

OWN = Address("office@lakeside.example", "Büro, Lakeside")
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
LINES = st.text(alphabet=st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), max_size=60)
BODIES = st.lists(LINES, max_size=6).map("\n".join)
NAMES = LINES.map(lambda name: name.replace("/", "").replace("\\", "").strip()).filter(bool)


def addressed(name: str) -> Address | None:
    try:
        return parse_address(f"{name} <ann@example.com>")
    except InvalidInput:
        return None


@given(subject=LINES, body=BODIES, name=LINES, file_name=NAMES, data=st.binary(max_size=80))
@settings(max_examples=200, deadline=None)
def test_a_draft_says_the_same_after_writing_and_reading(
    subject: str, body: str, name: str, file_name: str, data: bytes
) -> None:
    person = addressed(name) or Address("ann@example.com")
    files = [
        File(name=file_name, media_type="application/pdf", content=data),
        File(name="note.txt", media_type="text/plain", content=body.encode()),
    ]
    content = DraftContent(
        sender=OWN, to=[person], bcc=[person], subject=subject, body=body, files=files
    )
    raw = build(content, message_id="<d@lakeside.example>", at=NOW, is_draft=True)
    assert raw.isascii()
    read = content_of(raw)
    assert read.sender == OWN
    assert [each.email for each in (*read.to, *read.bcc)] == ["ann@example.com"] * 2
    assert read.to[0].name == " ".join(person.name.split())
    assert read.subject == " ".join(subject.split())
    assert read.body == body.strip()
    assert [each.content for each in read.files] == [data, body.encode()]
    sent = finished(raw, message_id="<s@lakeside.example>", at=NOW)
    parsed = parse(sent)
    assert (parsed.message_id, parsed.bcc) == ("<s@lakeside.example>", [])
    assert (parsed.text, parsed.subject) == (read.body, read.subject)
    assert [each.content for each in parsed.files] == [data, body.encode()]


def test_what_is_sent_has_each_header_once_and_none_of_the_drafts() -> None:
    threading = Threading(
        in_reply_to="<a@x.example>", references=["<r@x.example>", "<a@x.example>"]
    )
    content = DraftContent(sender=OWN, to=[OWN], bcc=[OWN], subject="S", threading=threading)
    raw = build(
        content,
        message_id="<d@lakeside.example>",
        at=NOW,
        headers=[("X-Aicore-Draft", "d1")],
        is_draft=True,
    )
    assert content_of(raw).threading == threading
    message = message_from_bytes(
        finished(raw, message_id="<s@lakeside.example>", at=NOW), policy=policy.default
    )
    names = [name.lower() for name in message]
    assert len(names) == len(set(names))
    assert not {"bcc", "x-aicore-draft"} & set(names)
    assert message["References"] == "<r@x.example> <a@x.example>"
    assert message["Message-ID"] == "<s@lakeside.example>"


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_a_header_in_the_body_is_left_alone(newline: bytes) -> None:
    lines = [b"From: a@x.example", b"Bcc: b@x.example,", b" c@x.example", b"", b"Bcc: in the body"]
    sent = finished(newline.join(lines), message_id="<s@x.example>", at=NOW)
    head, _, body = sent.partition(b"\r\n\r\n")
    assert b"Bcc" not in head
    assert b"c@x.example" not in head
    assert body == b"Bcc: in the body"


def test_a_mail_inside_a_mail_is_an_attachment() -> None:
    raw = (
        b"From: a@x.example\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
        b"--b\r\nContent-Type: text/plain\r\n\r\nouter\r\n"
        b"--b\r\nContent-Type: message/rfc822\r\n\r\n"
        b"From: c@x.example\r\nSubject: Inner\r\n\r\ninner words\r\n--b--\r\n"
    )
    parsed = parse(raw)
    assert parsed.text == "outer"
    (inner,) = parsed.files
    assert inner.media_type == "message/rfc822"
    assert b"Subject: Inner" in inner.content
    passed_on = DraftContent(sender=OWN, to=[OWN], body="x", files=parsed.files)
    (again,) = content_of(build(passed_on, message_id=None, at=NOW)).files
    assert b"inner words" in again.content


@pytest.mark.parametrize(
    ("header", "name"),
    [
        (b"=?utf-8?q?J=C3=BCrgen?= Smith <a@x.example>", "J\u00fcrgen Smith"),
        (b"=?utf-8?b?SsO8?= =?utf-8?b?cmdlbg==?= <a@x.example>", "J\u00fcrgen"),
        (b'"=?iso-8859-1?q?M=FCller=2C_A=2E?=" <a@x.example>', "M\u00fcller, A."),
        (b"J\xc3\xbcrgen <a@x.example>", "J\u00fcrgen"),
        (b"J\xfcrgen <a@x.example>", "J\u00fcrgen"),
        (b'"Lee, \\"Ann\\"" <a@x.example>', 'Lee, "Ann"'),
        (b"=?utf-7?q?+2AA-?= <a@x.example>", "?"),
        (b"=?no-such?q?x?= <a@x.example>", "x"),
    ],
)
def test_names_are_read_however_they_were_written(header: bytes, name: str) -> None:
    sender = parse(b"From: " + header + b"\r\n\r\nx").sender
    assert (sender.email, sender.name) == ("a@x.example", name)
