"""How well personal values are masked: `python bench/privacy.py [--messages N] [--seed N]`.

Messages come from privacy_corpus. Told by half of the sentences (tuning: looked at while the
patterns were made; held out: not), language and kind: which part of the values is masked whole,
with the patterns alone, and with what a CRM has on file of who writes as well. And how many false
marks 1,000 messages without any value get, whether every message comes back exactly, in pieces of
one to six characters, and the time a message takes.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import anyio
from privacy_corpus import HALVES, LANGUAGES, Half, Sample, samples

from aicore.trust.marks import Marked
from aicore.trust.patterns import find
from aicore.trust.pseudonyms import Detector, Pseudonyms
from aicore.trust.vault import Vaults
from aicore.trust.vault_key import VaultKey
from aicore.trust.vault_store import MemoryVaultStore

CORPUS_KINDS = (
    "NAME EMAIL PHONE STREET TOWN BIRTH IBAN CARD ID IP URL PLATE".split()  # noqa: SIM905
)
OUT = Path(__file__).with_name("out") / "privacy.json"


@dataclass
class Score:
    """What came of the messages of one half."""

    values: Counter[tuple[str, str]] = field(default_factory=Counter)
    by_patterns: Counter[tuple[str, str]] = field(default_factory=Counter)
    with_known: Counter[tuple[str, str]] = field(default_factory=Counter)
    messages: int = 0
    exact: int = 0
    clean: int = 0
    false_marks: int = 0
    falsely_marked: int = 0
    beside: int = 0
    pattern_ms: float = 0.0
    mask_ms: float = 0.0
    unmask_ms: float = 0.0


async def score(half: Half, count: int, seed: int) -> Score:
    """Measure so many messages with values, and as many without, of each language."""
    scored = Score()
    chance = random.Random(seed)
    vaults = Vaults(MemoryVaultStore(), VaultKey.random())
    for language in LANGUAGES:
        for sample in samples(count, seed=seed, language=language, half=half):
            await _take(scored, sample, vaults, chance)
        clean = samples(count, seed=seed, language=language, half=half, has_values=False)
        for sample in clean:
            marks = find(sample.text)
            scored.clean += 1
            scored.false_marks += len(marks)
            scored.falsely_marked += bool(marks)
    return scored


async def _take(scored: Score, sample: Sample, vaults: Vaults, chance: random.Random) -> None:
    began = time.process_time()
    marks = find(sample.text)
    scored.pattern_ms += 1000 * (time.process_time() - began)
    vault = await vaults.open("")
    for kind, value in sample.known:
        await vault.remember(kind, value)
    pseudonyms = Pseudonyms(vault, Detector())
    began = time.process_time()
    masked = await pseudonyms.mask(sample.text)
    scored.mask_ms += 1000 * (time.process_time() - began)
    scored.beside += sum(
        not any(value.start < mark.end and mark.start < value.end for value in sample.values)
        for mark in marks
    )
    known = [*marks, *vault.known.find(sample.text)]
    for value in sample.values:
        key = sample.language, value.kind
        scored.values[key] += 1
        scored.by_patterns[key] += _is_covered(sample.text, value.start, value.end, marks)
        scored.with_known[key] += _is_covered(sample.text, value.start, value.end, known)
    began = time.process_time()
    restorer = pseudonyms.unmask_stream()
    back = "".join([*map(restorer.feed, _pieces(masked, chance)), restorer.finish()])
    scored.unmask_ms += 1000 * (time.process_time() - began)
    scored.messages += 1
    scored.exact += back == sample.text


def _is_covered(text: str, start: int, end: int, marks: Sequence[Marked]) -> bool:
    """Whether every letter and digit of a value is masked."""
    hidden = {at for mark in marks for at in range(mark.start, mark.end)}
    return all(at in hidden for at in range(start, end) if text[at].isalnum())


def _pieces(text: str, chance: random.Random) -> Iterator[str]:
    at = 0
    while at < len(text):
        size = chance.randint(1, 6)
        yield text[at : at + size]
        at += size


def recall(values: Counter[tuple[str, str]], found: Counter[tuple[str, str]]) -> float:
    """The share of values that were found."""
    return found.total() / max(values.total(), 1)


def table(half: str, scored: Score) -> list[str]:
    """The figures of a half, as lines of Markdown."""
    lines = [
        f"{half}: {scored.messages} messages with {scored.values.total()} values, "
        f"{scored.clean} without any",
        "",
        f"| kind | {' | '.join(LANGUAGES)} | all | all, with known values |",
        f"|---|{'---|' * (len(LANGUAGES) + 2)}",
    ]
    for kind in CORPUS_KINDS:
        keys = [(language, kind) for language in LANGUAGES if scored.values[language, kind]]
        if keys:
            cells = [
                f"{scored.by_patterns[language, kind] / total:.3f}"
                if (total := scored.values[language, kind])
                else "-"
                for language in LANGUAGES
            ]
            lines.append(f"| {kind} | {' | '.join(cells)} | {_shares(scored, keys)} |")
    cells = [
        _share(scored.by_patterns, scored.values, [(language, kind) for kind in CORPUS_KINDS])
        for language in LANGUAGES
    ]
    every = list(scored.values)
    lines.append(f"| **all** | {' | '.join(cells)} | {_shares(scored, every)} |")
    each = scored.messages
    return [
        *lines,
        "",
        f"- false marks per 1,000 messages without values: "
        f"{1000 * scored.false_marks / scored.clean:.0f}, in "
        f"{1000 * scored.falsely_marked / scored.clean:.0f} of them",
        f"- marks beside the values per 1,000 messages with values: "
        f"{1000 * scored.beside / each:.0f}",
        f"- came back exactly, in pieces of 1 to 6 characters: {scored.exact} of {each}",
        f"- CPU ms per message: patterns {scored.pattern_ms / each:.2f}, whole masking "
        f"{scored.mask_ms / each:.2f}, putting back {scored.unmask_ms / each:.2f}",
    ]


def _shares(scored: Score, keys: Sequence[tuple[str, str]]) -> str:
    shares = [
        _share(found, scored.values, keys) for found in (scored.by_patterns, scored.with_known)
    ]
    return " | ".join(shares)


def _share(
    found: Counter[tuple[str, str]],
    values: Counter[tuple[str, str]],
    keys: Sequence[tuple[str, str]],
) -> str:
    return f"{sum(found[key] for key in keys) / max(sum(values[key] for key in keys), 1):.3f}"


def main() -> None:
    """Measure both halves, print tables, keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=1000, help="per language and half")
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    kept = {}
    for half in HALVES:
        scored = anyio.run(score, half, given.messages, given.seed)
        print("\n".join(table(half, scored)), end="\n\n")
        kept[half] = {
            "recall": recall(scored.values, scored.by_patterns),
            "recall_with_known": recall(scored.values, scored.with_known),
            "false_marks_per_1000": 1000 * scored.false_marks / scored.clean,
            "marks_beside_per_1000": 1000 * scored.beside / scored.messages,
            "exact": scored.exact / scored.messages,
            "mask_ms": scored.mask_ms / scored.messages,
        }
    given.out.parent.mkdir(exist_ok=True)
    given.out.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
