"""A message as sentences in which somebody states something of themselves, and nothing else.

What is quoted, asked, supposed or reported is taken out here, before any rule looks for facts:
a fact that is missed can be told again, a wrong one is believed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Set
from functools import lru_cache
from typing import NamedTuple

from aicore.memory.candidates import simplified
from aicore.memory.rules_words import words_in

__all__ = [
    "Sentence",
    "affirmed",
    "is_denial",
    "is_supposed",
    "said_sentences",
    "sentence_of",
    "statements",
]

_LOOKED_AT_CHARS = 20_000
_SENTENCE_CHARS = 400
_ECHO_CHARS = 12
_LAST_CHARS = 16
_PART_CHARS = 8


class Sentence(NamedTuple):
    """A sentence without quotations, whether it denies something, and its words in lower case."""

    text: str
    is_denial: bool
    words: frozenset[str]


_REPLY_HEAD = re.compile(
    r"^(?:>|-{3,}|_{5,}|(?:on|am|le|el)\b.{5,120}\b(?:wrote|schrieb|écrit|escribió)\b.{0,80}:\s*$"
    r"|(?:from|von|de|gesendet|sent|enviado|envoyé)\s*:\s.*@)",
    re.IGNORECASE,
)
_QUOTED = re.compile(
    r"“[^”]{0,600}”|„[^“”]{0,600}[“”]|«[^»]{0,600}»|»[^«]{0,600}«|\"[^\"]{0,600}\"|`[^`]{0,600}`"
    r"|(?<!\w)'[^']{0,600}'(?!\w)"
)
_ABBREVIATION = re.compile(
    r"(?:\b(?:dr|mr|mrs|ms|st|prof|nr|no|tel|bzw|hr|fr|av|ave|rd|apt|sr|sra|mme|mlle|ca|ext|approx)"
    r"|str|\b[^\W\d_]|\bz\.\s?b|\be\.g|\bi\.e|(?<!\d)\d{1,2})\.$",
    re.IGNORECASE,
)
_PART = re.compile(r"[,;\u2013\u2014]\s+(?:but |sondern |mais |sino |pero |aber )?")
_WORD = re.compile(r"[^\W_]+")
_STOP = re.compile(r"(?<=[.!?…;])\s+|\n+|(?<=[.!?])(?=[A-ZÀ-Þ][^\W\d_]{2,}\s)")

_POLITE = re.compile(
    r"\b(?:if (?:possible|at all possible|you don't mind|that's ok(?:ay)?)|wenn möglich|"
    r"falls möglich"
    r"|si possible|bitte sagen sie|sagen sie bitte|si es posible|si'l vous plaît|s'il vous plaît|"
    r"s'il te plaît|would prefer|would like to"
    r"|would rather|'d prefer|'d rather|würde (?=\w+ bevorzugen)|hätte (?=(?:lieber|am liebsten)))",
    re.IGNORECASE,
)
_SUPPOSED = re.compile(
    r"\b(?:if|unless|suppose|supposing|imagine|pretend|would|wouldn't|could|might|maybe|perhaps|"
    r"let's say|stell(?:en sie sich| dir) vor|lets say|for example|for instance|e\.g|in case|"
    r"whether|wish|hope|hypothetically|"
    r"wenn|falls|angenommen|würde|würden|wäre|wären|hätte|hätten|könnte|vielleicht|ob|"
    r"zum beispiel|beispielsweise|"
    r"si|supposons|imaginons|imaginez|serais|serait|aurais|aurait|pourrait|peut-être|par exemple|"
    r"quand|ojalá|supongamos|imagina|sería|tendría|podría|quizás|quizá|tal vez|por ejemplo|"
    r"cuando)\b"
    r"|\bz\.\s?b\.",
    re.IGNORECASE,
)
_REPORTED = re.compile(
    r"\b(?:said|says|saying|told|tells|wrote|writes|asked|asks|claims?|claimed|according to|"
    r"apparently|joking|kidding|quote|pretending|thinks?|believes?|guess|"
    r"sagt|sagte|sagen|meint|meinte|schrieb|schreibt|erzählt|erzählte|behauptet|laut|angeblich|"
    r"glaube|glaubt|denke|denkt|"
    r"dit|disait|a écrit|prétend|selon|raconte|pense|croit|crois|"
    r"dice|dijo|decía|escribió|según|afirma|creo|cree|piensa)\b",
    re.IGNORECASE,
)
_QUESTION = re.compile(
    r"^\W*(?:and |so |but |und |aber |et |y )?(?!puede[ns]? (?:llamar|contactar|escribir|"
    r"localizar)me\b)(?:¿|(?:can|could|do|does|did|is|are|am i|was|were|"
    r"will|"
    r"would|should|may (?:i|we|he|she|they)|have you|has|what|which|who|whose|when|where|why|how|"
    r"don't|isn't|aren't|"
    r"kannst|können|könnten|haben sie|hast du|ist|sind|war|wird|werden|soll|darf|was|welche[rs]?|"
    r"wer|wann|wo|warum|wie|wieso|bin ich|stimmt|"
    r"est-ce|pouvez|peux|avez|as-tu|quel|quelle|quels|qui|où|pourquoi|comment|suis-je|"
    r"puedo|puede|puedes|tiene|tienes|cuál|qué|quién|cuándo|dónde|cómo)\b)",
    re.IGNORECASE,
)
_CORRECTION = re.compile(
    r"^\W*(?:(?:no|nein|nee|non|nope)\b\s*[,.!:\u2013-]|sorry\b[\s,.!:\u2013-])[\s,.!:\u2013-]*",
    re.IGNORECASE,
)
_DENIAL = re.compile(
    r"\b(?:not|no|never|none|cannot|neither|nor|without|nicht|kein|keine|keinen|keinem|keiner|nie|"
    r"niemals|weder|ohne|ne|pas|plus|jamais|aucun|aucune|ni|sans|nunca|jamás|ningún|ninguna|"
    r"tampoco|sin|dejé|gave up|quit|stopped|stop|former|formerly|previous|my old|meine? alte|"
    r"frühere|"
    r"ehemalige|ancien|ancienne|antigu[oa]|anterior|ex)\b|n't\b|\bn'",
    re.IGNORECASE,
)

# A sentence without any of these spares the patterns.
_SUPPOSING = words_in(
    """
    if unless suppose supposing imagine pretend would wouldn could might maybe perhaps let
    lets stellen stell example instance e case whether wish hope hypothetically wenn falls
    angenommen würde würden wäre wären hätte hätten könnte vielleicht ob zum beispielsweise
    si supposons imaginons imaginez serais serait aurais aurait pourrait être par quand
    ojalá supongamos imagina sería tendría podría quizás quizá tal por cuando z said says
    saying told tells wrote writes asked asks claim claims claimed according apparently
    joking kidding quote pretending think thinks believe believes guess sagt sagte sagen
    meint meinte schrieb schreibt erzählt erzählte behauptet laut angeblich glaube glaubt
    denke denkt dit disait écrit prétend selon raconte pense croit crois dice dijo decía
    escribió según afirma creo cree piensa
    """
)
_CORRECTING = words_in("no nein nee non nope sorry")
_DENYING = words_in(
    """
    not no never none cannot neither nor without nicht kein keine keinen keinem keiner nie
    niemals weder ohne ne pas plus jamais aucun aucune ni sans nunca jamás ningún ninguna
    tampoco sin dejé gave quit stopped stop former formerly previous old alte frühere
    ehemalige ancien ancienne antiguo antigua anterior ex t n
    """
)


def is_denial(text: str) -> bool:
    """Whether there is a word in it that denies."""
    return _DENIAL.search(text) is not None


def sentence_of(text: str) -> Sentence:
    """A sentence, or a part of one that can stand alone."""
    return Sentence(text, is_denial(text), frozenset(_WORD.findall(text.lower())))


def affirmed(sentence: Sentence) -> Iterator[Sentence]:
    """A sentence, and of one that denies something also its parts that deny nothing."""
    yield sentence
    if sentence.is_denial:
        for part in _PART.split(sentence.text):
            if len(part) >= _PART_CHARS and part != sentence.text and not is_denial(part):
                yield sentence_of(part)


def statements(text: str, said_before: tuple[str, ...] = ()) -> Iterator[Sentence]:
    """The sentences in which the writer states something.

    `said_before` is what the assistant said shortly before: a sentence that repeats some of it
    is the assistant's, not the customer's.
    """
    for raw in said_sentences(text, said_before):
        if raw.endswith("?") or _QUESTION.match(raw) is not None:
            continue
        words = frozenset(_WORD.findall(raw.lower()))
        if is_supposed(raw, words):
            continue
        own = raw if words.isdisjoint(_CORRECTING) else _CORRECTION.sub("", raw)
        yield Sentence(own, not words.isdisjoint(_DENYING) and is_denial(own), words)


def said_sentences(text: str, said_before: tuple[str, ...] = ()) -> Iterator[str]:
    """The writer's own sentences, questions too: not quoted, no echo, none that is too long."""
    for written in _sentences(text):
        raw = " ".join(written.split())
        if len(raw) <= _SENTENCE_CHARS and not (said_before and _is_echo(raw, said_before)):
            yield raw


def is_supposed(text: str, words: Set[str]) -> bool:
    """Whether a sentence of these words only supposes something, or reports what somebody says."""
    if words.isdisjoint(_SUPPOSING):
        return False
    own = _POLITE.sub(" ", text)
    return _SUPPOSED.search(own) is not None or _REPORTED.search(own) is not None


def _is_echo(text: str, said_before: tuple[str, ...]) -> bool:
    plain = simplified(text)
    return len(plain) >= _ECHO_CHARS and any(plain in _plain(one) for one in said_before)


# What was said before one message was said before the next ones as well.
@lru_cache(maxsize=64)
def _plain(text: str) -> str:
    return simplified(text)


def _sentences(text: str) -> Iterator[str]:
    own = _own_lines(text[:_LOOKED_AT_CHARS].replace("\u2019", "'"))
    pending = ""
    for part in _STOP.split(_QUOTED.sub("□", own)):
        joined = f"{pending} {part}".strip() if pending else part.strip()
        pending = ""
        if len(joined) <= _SENTENCE_CHARS and _ABBREVIATION.search(joined[-_LAST_CHARS:]):
            pending = joined
        elif joined:
            yield joined
    if pending:
        yield pending


def _own_lines(text: str) -> str:
    """Without the lines that a mail program quotes, and all that follows them."""
    kept = []
    for line in text.splitlines():
        if _REPLY_HEAD.match(line.strip()):
            if line.lstrip().startswith(">"):
                continue
            break
        kept.append(line)
    return "\n".join(kept)
