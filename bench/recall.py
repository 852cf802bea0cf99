"""How well and how fast the memory recalls.

python bench/recall.py                                   # speed, on generated text
python bench/recall.py --locomo locomo10.json            # recall@5/10/20 on LoCoMo
python bench/recall.py --locomo … --minilm FOLDER        # and with MiniLM's vectors beside
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import recall_locomo
import recall_speed

if TYPE_CHECKING:
    from aicore.memory.port import Embedder


async def _locomo(path: Path, embedder: Embedder | None) -> None:
    dialogues = recall_locomo.read(path)
    for half, numbers in recall_locomo.HALVES.items():
        with tempfile.TemporaryDirectory() as folder:
            chosen = [dialogues[number] for number in numbers]
            scores = await recall_locomo.measure(chosen, Path(folder), embedder)
        print(f"\nLoCoMo, the {half} half: recall in % of the turns that answer")
        print("| method | questions | n | @5 | @10 | @20 |\n|---|---|---|---|---|---|")
        for method, groups in scores.items():
            for group in ("all", "without adversarial", *recall_locomo.KINDS.values()):
                score = groups[group]
                cells = " | ".join(f"{score.percent(k):.1f}" for k in recall_locomo.PLACES)
                print(f"| {method} | {group} | {score.count} | {cells} |")


async def _speed(entries: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for row in await recall_speed.measure(Path(folder), entries):
            print(row)


def main(arguments: Sequence[str]) -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--locomo", type=Path, help="LoCoMo's data/locomo10.json")
    parser.add_argument("--minilm", type=Path, help="folder with MiniLM's model.safetensors")
    parser.add_argument("--entries", type=int, default=1_000_000, help="in total, for the speed")
    asked = parser.parse_args(arguments)
    if asked.locomo is None:
        anyio.run(_speed, asked.entries)
        return
    embedder = None
    if asked.minilm is not None:
        os.environ["OPENBLAS_NUM_THREADS"] = "1"
        from minilm import MiniLM  # numpy reads the variable when imported

        embedder = MiniLM(asked.minilm)
    anyio.run(_locomo, asked.locomo, embedder)


if __name__ == "__main__":
    main(sys.argv[1:])
