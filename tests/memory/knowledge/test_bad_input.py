"""Documents that are broken, or made to break whoever reads them."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import anyio
import pytest

from aicore.memory.knowledge import reader as reader_module
from aicore.memory.knowledge.folders import Folders
from aicore.memory.knowledge.passages import MOST_PASSAGES, UnreadableError
from aicore.memory.knowledge.reader import DocumentReader
from aicore.memory.knowledge.reading import read_document

Read = Callable[[str, bytes | str], Any]
MakePdf = Callable[[list[str]], bytes]


def packed_pdf(make_pdf: MakePdf, content: bytes) -> bytes:
    """A PDF whose page unpacks to `content`."""
    packed = zlib.compress(content, 9)
    head, _, rest = make_pdf(["?"]).partition(b"5 0 obj")
    _, _, tail = rest.partition(b"endobj")
    stream = b"<< /Filter /FlateDecode /Length %d >>\nstream\n%s\nendstream" % (len(packed), packed)
    return head + b"5 0 obj\n" + stream + b"\nendobj" + tail


@pytest.mark.parametrize("end", [0.1, 0.5, 0.9])
def test_half_a_pdf(read: Read, make_pdf: MakePdf, end: float) -> None:
    whole = make_pdf(["Delivery takes two days."])
    found = read("a.pdf", whole[: int(len(whole) * end)])

    assert found.problem
    assert found.passages == []


@pytest.mark.parametrize("content", [b"", b"hello", b"%PDF-1.7\n%%EOF", b"PK\x03\x04" * 99])
def test_what_is_no_pdf(read: Read, content: bytes) -> None:
    assert read("a.pdf", content).problem


def test_a_pdf_with_a_password(read: Read, make_pdf: MakePdf, lock_pdf: Any) -> None:
    assert "password" in read("a.pdf", lock_pdf(make_pdf(["Secret."]), "s3cret")).problem


def test_a_scanned_pdf_is_called_so(read: Read, make_pdf: MakePdf) -> None:
    assert "scanned" in read("a.pdf", make_pdf(["", ""])).problem


def test_a_pdf_that_unpacks_without_end(read: Read, make_pdf: MakePdf) -> None:
    bomb = packed_pdf(make_pdf, b" " * 100_000_000)

    assert len(bomb) < 200_000
    assert read("a.pdf", bomb).problem


@pytest.mark.parametrize(
    "content",
    [
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(range(256)) * 20,
        bytes(1000),
        Random(1).randbytes(4096),
        b"\x7fELF" + b"\x00" * 400,
    ],
)
@pytest.mark.parametrize("name", ["a.md", "a.csv", "a.txt", "a.html"])
def test_what_is_no_text_whatever_its_name(read: Read, name: str, content: bytes) -> None:
    found = read(name, content)

    assert found.problem
    assert found.passages == []


@pytest.mark.parametrize("name", ["a.md", "a.csv", "a.txt", "a.html"])
@pytest.mark.parametrize("content", ["", " \n\n ", "\ufeff"])
def test_nothing_in_it(read: Read, name: str, content: str) -> None:
    assert read(name, content).problem


def test_a_table_of_names_alone(read: Read) -> None:
    assert read("a.csv", "article,price\n").problem


def test_a_cell_that_never_ends(read: Read) -> None:
    assert read("a.csv", 'article,price\n"open,' + "x" * 200_000).problem


def test_too_many_passages(read: Read) -> None:
    found = read("a.csv", "n\n" + "\n".join(map(str, range(MOST_PASSAGES + 1))))

    assert str(MOST_PASSAGES) in found.problem


def test_a_file_of_100_megabytes(read: Read, tmp_path: Path) -> None:
    with (tmp_path / "big.txt").open("wb") as file:
        file.truncate(100 * 1024 * 1024)
    [big] = read_document(tmp_path / "big.txt", "big.txt")
    assert isinstance(big, dict)
    assert "100 MB" in big["problem"]


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    [answer] = read_document(tmp_path / "a.md", "a.md")

    assert isinstance(answer, dict)
    assert answer["problem"]


async def test_what_takes_too_long_is_given_up_and_the_next_is_read(
    tmp_path: Path, make_pdf: MakePdf
) -> None:
    slow = tmp_path / "slow.pdf"
    slow.write_bytes(packed_pdf(make_pdf, b"BT /F1 9 Tf " + b"(x) Tj T* " * 4_000_000 + b"ET"))
    (tmp_path / "a.md").write_text("Marzipan.", encoding="utf-8")
    async with DocumentReader(deadline_s=50) as reader:
        await reader.read(tmp_path / "a.md", "a.md", "")
        reader._deadline_s = 1
        with pytest.raises(UnreadableError, match="longer"):
            await reader.read(slow, "slow.pdf", "")
        reader._deadline_s = 50
        read = await reader.read(tmp_path / "a.md", "a.md", "")

    assert [passage.text for passage in read.passages] == ["Marzipan."]


async def test_a_process_that_dies_is_a_broken_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.md").write_text("Marzipan.", encoding="utf-8")
    monkeypatch.setattr(reader_module, "_COMMAND", ("false",))
    async with DocumentReader(deadline_s=10) as reader:
        with pytest.raises(UnreadableError, match="broken"):
            await reader.read(tmp_path / "a.md", "a.md", "")


async def test_a_bad_document_costs_no_new_process(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_bytes(b"")
    async with DocumentReader(deadline_s=30) as reader:
        with pytest.raises(UnreadableError):
            await reader.read(tmp_path / "a.md", "a.md", "")
        process = reader._process
        with pytest.raises(UnreadableError):
            await reader.read(tmp_path / "a.md", "a.md", "")

        assert process is not None
        assert reader._process is process


async def test_a_cancelled_read_leaves_no_process(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("n\n" + "1\n" * 4000, encoding="utf-8")
    async with DocumentReader(deadline_s=30) as reader:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(reader.read, tmp_path / "a.csv", "a.csv", "")
            while reader._process is None:
                await anyio.lowlevel.checkpoint()
            process = reader._process
            tasks.cancel_scope.cancel()

        assert process.returncode is not None


def names(folder: Path) -> tuple[list[str], list[str]]:
    scan = Folders([folder]).scan()
    return sorted(scan.documents), sorted(scan.problems)


def test_links_that_leave_the_folder_are_left_out(tmp_path: Path) -> None:
    docs, outside = tmp_path / "docs", tmp_path / "outside"
    (docs / "sub").mkdir(parents=True)
    outside.mkdir()
    (outside / "secret.md").write_text("s", encoding="utf-8")
    (docs / "sub" / "a.md").write_text("a", encoding="utf-8")
    (docs / "out.md").symlink_to(outside / "secret.md")
    (docs / "out").symlink_to(outside)
    (docs / "round").symlink_to(docs)
    (docs / "self.md").symlink_to(docs / "self.md")
    (docs / "nowhere.md").symlink_to(docs / "nothing.md")
    (docs / "in.md").symlink_to(docs / "sub" / "a.md")

    assert names(docs) == (["in.md", "sub/a.md"], ["out.md"])


def test_hidden_files_and_other_formats_are_left_out(tmp_path: Path) -> None:
    for name in (".hidden.md", "~$open.md", "a.MD", "b.png", "no_ending", "c.docx", ".git/d.md"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x", encoding="utf-8")

    assert names(tmp_path) == (["a.MD"], ["c.docx"])


def test_names_of_any_characters(tmp_path: Path) -> None:
    (tmp_path / "Preise für März & co (neu).csv").write_text("x", encoding="utf-8")

    assert names(tmp_path)[0] == ["Preise für März & co (neu).csv"]


def test_a_name_that_is_no_unicode(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.md")).write_text("x", encoding="utf-8")

    assert names(tmp_path)[0] == ["caf\ufffd.md"]


def test_what_is_no_file_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "folder.md").mkdir()
    os.mkfifo(tmp_path / "pipe.md")

    assert names(tmp_path) == ([], [])


def test_two_names_that_read_alike_are_told_apart_or_one_is_left_out(tmp_path: Path) -> None:
    for name in (b"\xfe.md", b"\xff.md"):
        (tmp_path / os.fsdecode(name)).write_text(f"{name!r}", encoding="utf-8")
    found = Folders([tmp_path]).scan()

    assert list(found.documents) == ["\ufffd.md"]
    assert list(found.problems) == ["\ufffd.md"]


async def test_the_reading_process_knows_no_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_API_KEY", "sk_live_x")
    path = tmp_path / "a.md"
    path.write_text("Marzipan.", encoding="utf-8")
    async with DocumentReader(deadline_s=30) as reader:
        await reader.read(path, "a.md", "")
        assert reader._process is not None
        environment = await anyio.Path(f"/proc/{reader._process.pid}/environ").read_bytes()
    assert b"PATH=" in environment
    assert b"sk_live_x" not in environment
