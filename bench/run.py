"""What aicore itself costs, beside a bare loop of httpx2 and mcp.Client, measured in one run.

    make bench                        everything, under five minutes
    make bench PEER=pydantic-ai       the same with a peer, in an environment of its own
    python bench/run.py --only C,A    some of C, A, B, D, S, F, L, import, cold
    python bench/run.py --quick       few turns: shows that it works, not how fast it is

The table goes to standard output and bench/out/latest.md, the figures to bench/out/latest.json.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from machine import describe_machine
from measure import cold_starts, imports, side_by_side
from processes import ModelServer, WorkerFailed, model_server
from report import Results, as_json, as_markdown
from scenarios import LOGGED, SCENARIOS, Scenario, WrongAnswer

OUT = Path(__file__).parent / "out"
EXTRA_PARTS = ("L", "import", "cold")
PARTS = (*dict.fromkeys(key.split("-")[0] for key in SCENARIOS), *EXTRA_PARTS)
PEERS = {
    "pydantic-ai": ("pydantic-ai-slim[openai,mcp]==2.68.0", "from pydantic_ai import Agent"),
}
USED_AICORE = "from aicore import Agent, Server; from aicore.models import OpenAICompatible"


def main(arguments: Sequence[str]) -> int:
    """Measure, print and write the report; 1 when a contender was wrong."""
    options = _options(arguments)
    pythons = {"aicore": sys.executable, "raw": sys.executable}
    if options.peer:
        pythons[options.peer] = str(peer_python(options.peer, PEERS[options.peer][0]))
    results = Results(machine=describe_machine(pythons), is_quick=options.quick)
    try:
        with model_server() as model:
            _measure(options.only, results, pythons, model)
    except (WrongAnswer, WorkerFailed) as error:
        print(f"The bench stopped: {error}", file=sys.stderr)
        return 1
    table = as_markdown(results)
    print(table)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "latest.md").write_text(table)
    (options.out / "latest.json").write_text(as_json(results))
    return 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few turns")
    parser.add_argument("--only", type=_parts, default=PARTS, metavar="C,A,…", help="some parts")
    parser.add_argument(
        "--peer", choices=PEERS, default=os.environ.get("PEER") or None, help="measure it as well"
    )
    parser.add_argument("--out", type=Path, default=OUT, help="where the figures are kept")
    return parser.parse_args(arguments)


def _parts(text: str) -> tuple[str, ...]:
    wanted = tuple(text.split(","))
    unknown = [part for part in wanted if part not in PARTS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no part {unknown[0]!r}: use {','.join(PARTS)}")
    return wanted


def peer_python(peer: str, package: str) -> Path:
    """The interpreter of the peer's own environment, which is made on first use."""
    home = OUT / "peers" / peer
    python = home / "bin" / "python"
    if not (home / "ready").exists():
        print(f"Installing {package} into {home.relative_to(OUT.parent)}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)
        install = ["-m", "pip", "install", "-q", "--disable-pip-version-check", package]
        subprocess.run([str(python), *install], check=True)
        (home / "ready").touch()
    return python


def _measure(
    parts: Sequence[str], results: Results, pythons: dict[str, str], model: ModelServer
) -> None:
    for key, scenario in SCENARIOS.items():
        if key.split("-")[0] in parts:
            _progress(f"{key}: {scenario.title}")
            sized = _sized(scenario, quick=results.is_quick, peer=len(pythons) > 2)
            results.turns[key] = side_by_side(sized, pythons, model)
    if "L" in parts:
        logs = dict.fromkeys(("aicore", "aicore-sqlite"), sys.executable)
        for key in LOGGED:
            _progress(f"L: SQLite against memory, {SCENARIOS[key].title}")
            sized = _sized(SCENARIOS[key], quick=results.is_quick)
            results.logs[key] = side_by_side(sized, logs, model)
    repeats = 1 if results.is_quick else 5
    if "import" in parts:
        _progress("import")
        results.imports = imports(_import_statements(pythons), repeats)
    if "cold" in parts:
        for key in ("C", "A-stdio"):
            _progress(f"cold start, {SCENARIOS[key].title}")
            results.cold[key] = cold_starts(key, pythons, model, repeats)


def _sized(scenario: Scenario, *, quick: bool, peer: bool = False) -> Scenario:
    """The scenario with as many turns as this run has time for."""
    if quick:
        turns = max(scenario.at_once, 2 * scenario.segments)
        return replace(scenario, turns=turns, repeats=2, warm_up=min(scenario.warm_up, 2))
    if peer and scenario.is_growing:
        return replace(scenario, repeats=1)  # a peer may take a hundred times as long
    return scenario


def _import_statements(pythons: dict[str, str]) -> dict[str, tuple[str, str]]:
    mine = {
        title: (sys.executable, title)
        for title in ("import aicore", USED_AICORE, "import httpx2", "import mcp")
    }
    peers = {
        PEERS[name][1]: (python, PEERS[name][1])
        for name, python in pythons.items()
        if name in PEERS
    }
    return mine | peers


def _progress(what: str) -> None:
    print(f"  {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
