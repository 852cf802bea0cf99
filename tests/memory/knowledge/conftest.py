"""Documents for the tests of knowledge, and reading them as the program does."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfReader, PdfWriter

from aicore.memory.knowledge.reading import read_document


def _escaped(line: str) -> str:
    return line.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")


def pdf_of(pages: Iterable[str]) -> bytes:
    """A PDF as its specification's smallest example has it; a page's text may have lines."""
    contents = []
    for text in pages:
        shown = " ".join(f"({_escaped(line)}) Tj T*" for line in text.split("\n"))
        contents.append(f"BT /F1 12 Tf 14 TL 50 750 Td {shown} ET" if text else "")
    kids = " ".join(f"{4 + 2 * n} 0 R" for n in range(len(contents)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(contents)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    for number, content in enumerate(contents):
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {5 + 2 * number} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>"
        )
        length = len(content.encode("cp1252"))
        objects.append(f"<< /Length {length} >>\nstream\n{content}\nendstream")
    data = b"%PDF-1.4\n"
    offsets = []
    for number, one in enumerate(objects, start=1):
        offsets.append(len(data))
        data += f"{number} 0 obj\n{one}\nendobj\n".encode("cp1252")
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    end = f"trailer << /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{len(data)}\n%%EOF"
    head = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n"
    return data + (head + table + end).encode()


def locked(data: bytes, password: str) -> bytes:
    """The same PDF, encrypted."""
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(data)))
    writer.encrypt(password, "owner", algorithm="AES-128")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


@pytest.fixture
def make_pdf() -> Callable[[Iterable[str]], bytes]:
    return pdf_of


@pytest.fixture
def lock_pdf() -> Callable[[bytes, str], bytes]:
    return locked


class Answered:
    """What reading a document gave: `passages` as (text, place, context), or a problem."""

    def __init__(self, answers: list[Any]) -> None:
        *self.passages, last = answers
        self.problem: str = last.get("problem", "")
        self.notes: list[str] = last.get("notes", [])

    @property
    def texts(self) -> list[str]:
        return [text for text, _, _ in self.passages]

    @property
    def places(self) -> list[str]:
        return [place for _, place, _ in self.passages]


@pytest.fixture
def read(tmp_path: Path) -> Callable[[str, bytes | str], Answered]:
    """Read one document from its name and content."""

    def make(name: str, content: bytes | str) -> Answered:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return Answered(list(read_document(path, name)))

    return make
