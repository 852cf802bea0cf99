"""Facts of a business: a Markdown file and given answers, found by the words of a question."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from aicore.flows.words import content_words, similar, stem, words

__all__ = ["Fact", "Facts", "Found", "read_markdown"]

_HEADING = re.compile(r"\A(?P<level>#{1,6})\s+(?P<title>.+?)\s*#*\s*\Z")
_KEYWORDS = re.compile(
    r"<!--\s*(?:asked as|keywords)\s*:(?P<words>.*?)-->", re.IGNORECASE | re.DOTALL
)
_URGENT = re.compile(r"<!--\s*urgent\s*-->", re.IGNORECASE)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_BULLET = re.compile(r"\A\s*[-*]\s+")
_LONGEST = 900


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact: its heading (what is cited), its text, and other ways in which it is asked for.

    `is_urgent`: it is told whenever it is spoken of, also beside another errand.
    """

    title: str
    text: str
    asked: tuple[str, ...] = ()
    is_urgent: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """A fact that answers a question.

    `score` tells how much of the question it covers; `by_name`: its title or a keyword was said.
    """

    text: str
    source: str
    score: float
    by_name: bool
    is_urgent: bool = False


@dataclass(slots=True)
class _Entry:
    fact: Fact
    title: list[str]
    asked: list[list[str]]
    body: list[str] = field(default_factory=list)


def read_markdown(text: str) -> list[Fact]:
    """Split a Markdown text at its headings; a comment `<!-- asked as: a, b -->` adds keywords.

    A comment `<!-- urgent -->` makes a fact urgent. The heading of the whole (`#`) is no fact.
    """
    sections: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        heading = _HEADING.match(line)
        if heading is not None:
            title = heading["title"] if len(heading["level"]) > 1 else ""
            sections.append((title, []))
        elif sections:
            sections[-1][1].append(line)
    facts = (_fact(title, "\n".join(lines)) for title, lines in sections)
    return [fact for fact in facts if fact is not None]


def _fact(title: str, body: str) -> Fact | None:
    asked = [word.strip() for found in _KEYWORDS.findall(body) for word in found.split(",")]
    is_urgent = bool(_URGENT.search(body))
    body = re.sub(r"\n{3,}", "\n\n", _COMMENT.sub("", body)).strip()
    body = re.sub(r"(?<![\n])\n(?!\n|\s*[-*]\s)", " ", body)  # unwrap paragraphs
    if not title or not body:
        return None
    return Fact(title, body.replace("**", ""), tuple(word for word in asked if word), is_urgent)


class Facts:
    """All facts, indexed by their words."""

    def __init__(self, facts: Iterable[Fact]) -> None:
        self._entries = [
            _Entry(
                fact,
                content_words(fact.title),
                [content_words(phrase) for phrase in fact.asked if not _is_fixed(phrase)],
                content_words(fact.text),
            )
            for fact in facts
        ]
        self._rarity: dict[str, float] = {}
        for entry in self._entries:
            for word in {stem(word) for word in (*entry.title, *entry.body)}:
                self._rarity[word] = self._rarity.get(word, 0) + 1
        count = max(1, len(self._entries))
        self._rarity = {word: math.log(1 + count / n) for word, n in self._rarity.items()}
        self._default = math.log(1 + count)

    @property
    def titles(self) -> list[str]:
        """What there are facts about, in the order of the file."""
        return [entry.fact.title for entry in self._entries]

    def is_keyword(self, said: Sequence[str]) -> bool:
        """Say whether these words are what a fact is about, to the letter."""
        return any(
            words(phrase) == list(said)
            for entry in self._entries
            for phrase in (entry.fact.title, *entry.fact.asked)
        )

    def search(self, question: str) -> Found | None:
        """Find the fact that answers best, or None where none does."""
        question = re.sub(r"\S*@\S*", " ", question)
        said, every = content_words(question), words(question)
        if not every:
            return None
        best: tuple[float, bool, _Entry] | None = None
        for entry in self._entries:
            score, by_name = self._score(entry, said, every)
            if score > 0 and (best is None or (by_name, score) > (best[1], best[0])):
                best = score, by_name, entry
        if best is None or (not best[1] and (best[0] < 0.5 or len(said) < 2)):
            return None  # a single word in passing is no subject
        score, by_name, entry = best
        subject = [*entry.title, *(word for phrase in entry.asked for word in phrase)]
        rest = [word for word in said if not any(similar(word, other) for other in subject)]
        fact = entry.fact
        return Found(_passage(fact.text, rest), fact.title, score, by_name, fact.is_urgent)

    def _score(
        self, entry: _Entry, said: Sequence[str], every: Sequence[str]
    ) -> tuple[float, bool]:
        named = max((_covered(phrase, every) for phrase in entry.asked), default=0)
        named = max(named, _verbatim(entry.fact.asked, every))
        title = sum(1 for word in entry.title if any(similar(word, other) for other in said))
        by_name = named > 0 or (bool(entry.title) and title == len(entry.title))
        total = sum(self._weight(word) for word in said) or 1.0
        hit = 0.0
        for word in said:
            if any(similar(word, other) for other in entry.title):
                hit += self._weight(word)
            elif any(similar(word, other) for other in entry.body):
                hit += self._weight(word) * 0.8
            elif named and any(similar(word, other) for phrase in entry.asked for other in phrase):
                hit += self._weight(word)
        return hit / total + named, by_name

    def _weight(self, word: str) -> float:
        return self._rarity.get(stem(word), self._default)


def _is_fixed(phrase: str) -> bool:
    """A phrase whose words mean too little alone: who are you, what to bring."""
    content = content_words(phrase)
    return not content or (len(content) == 1 and len(words(phrase)) > 1)


def _verbatim(phrases: Sequence[str], said: Sequence[str]) -> int:
    """As `_covered`, for phrases that count only word for word."""
    joined = f" {' '.join(said)} "
    plain = [phrase for phrase in phrases if _is_fixed(phrase)]
    return max(
        (len(words(one)) for one in plain if f" {' '.join(words(one))} " in joined), default=0
    )


def _covered(phrase: Sequence[str], said: Sequence[str]) -> int:
    """How many words a keyword has, if all were said; else 0."""
    if phrase and all(any(similar(word, other) for other in said) for word in phrase):
        return len(phrase)
    return 0


def _passage(text: str, said: Sequence[str]) -> str:
    """The lines of a list that were asked about, with the text around it; else all, bounded."""
    lines = text.split("\n")
    bullets = [line for line in lines if _BULLET.match(line)]
    hits = [
        line
        for line in bullets
        if any(similar(word, other) for word in said for other in content_words(line))
    ]
    if hits and len(hits) < len(bullets):
        lines = [line for line in lines if line not in bullets or line in hits]
    kept = "\n".join(_BULLET.sub("- ", line) for line in lines).strip()
    return kept if len(kept) <= _LONGEST else kept[:_LONGEST].rsplit(" ", 1)[0] + " …"
