"""From the blocks of a document to passages: small enough to be told, whole enough to be read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

__all__ = [
    "MOST_CHARACTERS",
    "MOST_PASSAGES",
    "Block",
    "Contents",
    "Passage",
    "UnreadableError",
    "passages_of",
]

MOST_CHARACTERS = 1200
"""How long the text of a passage may be, without the heading that stands above it."""

MOST_PASSAGES = 5000
"""How many passages a document may give."""

_LONGEST_LINE = 250
_QUESTION_ENDS = ("?", "\uff1f", "\u061f")
_BOUNDARY = re.compile(r"(?<=[.!?\u3002])\s+|\n")
# What nobody sees: soft hyphens, zero widths, directions, tags (words are hidden in them), and
# halves of characters, which no store takes.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_SPACES = re.compile(r"[^\S\n]+")
_LINES = re.compile(r" ?\n[ \n]*")


class UnreadableError(Exception):
    """A document that cannot be taken in; the text says why, for whoever put it there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A paragraph, a row or a list item, as a format gives it.

    `section` is the path of headings above it. `place` is what is cited behind it, such as
    "row 3"; where there is neither, it is the number of the paragraph. `lead` is repeated when the
    block is too long for one passage. A block that `is_alone` (a row) becomes a passage of its own.
    """

    text: str
    section: tuple[str, ...] = ()
    place: str = ""
    lead: str = ""
    is_alone: bool = False


@dataclass(frozen=True, slots=True)
class Contents:
    """A document as blocks. `notes` say what of it could not be read."""

    blocks: Sequence[Block]
    title: str = ""
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Passage:
    """What is kept: the text with its heading, where it stands, and the document's title."""

    text: str
    place: str
    context: str


@dataclass(slots=True)
class _Group:
    """Blocks that will be one passage, or more where they are too long."""

    first: Block
    section: tuple[str, ...]
    number: int
    lead: str
    texts: list[str] = field(default_factory=list)

    def takes(self, block: Block, section: tuple[str, ...]) -> bool:
        if self.first.is_alone or block.is_alone:
            return False
        if section != self.section or block.place != self.first.place:
            return False
        if _question(block.text):
            return False
        # An answer stays with its question however long it is: the question is repeated.
        return bool(self.lead) or self._length() + len(block.text) <= MOST_CHARACTERS

    def _length(self) -> int:
        return sum(map(len, self.texts)) + len(self.texts)


def passages_of(contents: Contents, name: str) -> Iterator[Passage]:
    """Cut a document into passages. `name` is the document's, whose words are searched too."""
    blocks = [block for block in map(_cleaned, contents.blocks) if block.text]
    title, depth = _title(blocks, _line(contents.title))
    context = " ".join(filter(None, (re.sub(r"[\W_]+", " ", name.rpartition(".")[0]), title)))
    for group in _grouped(blocks, depth):
        above = " > ".join(group.section)
        place = ", ".join(filter(None, (above, group.first.place)))
        place = place or title or f"paragraph {group.number}"
        if group.first.is_alone:
            above = ""  # a row says what it is by the names of its columns
        for part in _split("\n".join(group.texts), group.lead):
            has_heading = not above or part.startswith(above)
            text = part if has_heading else f"{above}\n{part}"
            yield Passage(text, place, context)


def tidied(text: str) -> str:
    """Without characters that nobody sees, and with single spaces and line ends."""
    return _LINES.sub("\n", _SPACES.sub(" ", _UNSEEN.sub("", text))).strip()


def _cleaned(block: Block) -> Block:
    return Block(
        text=tidied(block.text),
        section=tuple(filter(None, map(_line, block.section))),
        place=_line(block.place),
        lead=_line(block.lead),
        is_alone=block.is_alone,
    )


def _line(text: str) -> str:
    return tidied(text).replace("\n", " ")[:_LONGEST_LINE]


def _title(blocks: Sequence[Block], title: str) -> tuple[str, int]:
    """The document's title, and how many headings of every path are the title."""
    sections = [block.section for block in blocks if block.section]
    firsts = {section[0] for section in sections}
    if len(firsts) == 1:
        is_only = all(len(section) == 1 for section in sections)
        return firsts.pop(), 0 if is_only else 1
    return title, 0


def _grouped(blocks: Iterable[Block], depth: int) -> Iterator[_Group]:
    group: _Group | None = None
    for number, block in enumerate(blocks, start=1):
        section = block.section[depth:]
        if group is not None and group.takes(block, section):
            group.texts.append(block.text)
            continue
        if group is not None:
            yield group
        lead = block.lead or _question(block.text)
        group = _Group(block, section, number, lead, [block.text])
    if group is not None:
        yield group


def _question(text: str) -> str:
    """The question that a block begins with, as in a list of frequent questions; or ""."""
    first = text.partition("\n")[0].strip()
    is_one = first.endswith(_QUESTION_ENDS) and len(first) <= _LONGEST_LINE
    return first if is_one else ""


def _split(text: str, lead: str) -> Iterator[str]:
    if len(text) <= MOST_CHARACTERS:
        yield text
        return
    part = ""
    for piece in _pieces(text, MOST_CHARACTERS - len(lead) - 1):
        if part and len(part) + 1 + len(piece) > MOST_CHARACTERS:
            yield part
            part = lead
        part = f"{part}\n{piece}" if part else piece
    if part:
        yield part


def _pieces(text: str, most: int) -> Iterator[str]:
    """Sentences and lines, none longer than `most` characters."""
    for sentence in _BOUNDARY.split(text):
        rest = sentence
        while len(rest) > most:
            cut = rest.rfind(" ", most // 2, most) + 1 or most
            yield rest[:cut].strip()
            rest = rest[cut:]
        if rest.strip():
            yield rest.strip()
