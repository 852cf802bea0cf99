"""The figures as a Markdown table and as JSON, each beside what was aimed at."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass, field

from measure import Row
from scenarios import SCENARIOS

__all__ = ["Results", "as_json", "as_markdown"]

IMPORT_AIM_MS = 150.0
LOG_AIM_MS = 1.0


@dataclass(slots=True)
class Results:
    """All rows of a run: by scenario and contender, or by import statement."""

    machine: dict[str, str]
    is_quick: bool
    turns: dict[str, dict[str, Row]] = field(default_factory=dict)
    logs: dict[str, dict[str, Row]] = field(default_factory=dict)
    imports: dict[str, Row] = field(default_factory=dict)
    cold: dict[str, dict[str, Row]] = field(default_factory=dict)


def as_json(results: Results) -> str:
    """Everything that was measured, round by round."""
    return json.dumps(asdict(results), indent=1) + "\n"


def as_markdown(results: Results) -> str:
    """The tables."""
    parts = [_heading(results)]
    if results.turns:
        parts.append(_turns(results.turns))
    if "F" in results.turns:
        parts.append(_growth(results.turns["F"]))
    if "B" in results.turns:
        parts.append(_throughput(results.turns["B"]))
    if results.logs:
        parts.append(_logs(results.logs))
    if results.imports:
        parts.append(_imports(results.imports))
    if results.cold:
        parts.append(_cold(results.cold))
    return "\n\n".join(parts) + "\n"


def _heading(results: Results) -> str:
    lines = ["# Bench", ""]
    if results.is_quick:
        lines += ["A quick run: it shows that everything works. Do not quote its figures.", ""]
    return "\n".join(lines + [f"- {name}: {text}" for name, text in results.machine.items()])


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---", *("--:" for _ in header[1:])], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _spread(values: list[float], digits: int = 2) -> str:
    """Median, and the middle half of the rounds."""
    if len(values) < 2:
        return f"{values[0]:.{digits}f}"
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def _ratios(row: Row, yardstick: Row) -> list[float]:
    """Round by round, so that what slows the machine for a while slows both."""
    return [mine / its for mine, its in zip(row.cpu_ms, yardstick.cpu_ms, strict=True)]


def _turns(turns: dict[str, dict[str, Row]]) -> str:
    peers = [name for name in next(iter(turns.values())) if name not in ("aicore", "raw")]
    header = ["CPU per turn", "aim", "aicore / raw", "best", "aicore ms", "raw ms"]
    header += [f"{peer} / raw" for peer in peers] + ["requests a turn", "aim met"]
    lines = []
    for key, rows in turns.items():
        scenario, raw, mine = SCENARIOS[key], rows["raw"], rows["aicore"]
        ratio = statistics.median(_ratios(mine, raw))
        lines.append(
            [
                f"{key}: {scenario.title}",
                f"{scenario.aim:g}",
                _spread(_ratios(mine, raw)),
                f"{min(mine.cpu_ms) / min(raw.cpu_ms):.2f}",
                f"{statistics.median(mine.cpu_ms):.2f}",
                f"{statistics.median(raw.cpu_ms):.2f}",
                *(_spread(_ratios(rows[peer], raw), 1) for peer in peers),
                f"{mine.requests_per_turn:g}",
                _met(ratio <= scenario.aim),
            ]
        )
    note = (
        "CPU of the client process only. Median of the rounds; in brackets the middle half. "
        "`best` compares the two cheapest rounds, which a busy machine disturbs least."
    )
    return f"## Turns\n\n{note}\n\n{_table(header, lines)}"


def _met(is_met: bool) -> str:
    return "yes" if is_met else "**no**"


def _growth(rows: dict[str, Row]) -> str:
    """How a conversation's turns grow dearer: CPU per turn of its first and last part."""
    lines = []
    growths: dict[str, float] = {}
    for name, row in rows.items():
        first = statistics.median(parts[0] for parts in row.segments_ms)
        last = statistics.median(parts[-1] for parts in row.segments_ms)
        growths[name] = last - first
        lines.append([name, f"{first:.2f}", f"{last:.2f}", f"{last - first:+.2f}"])
        lines[-1].append(f"{row.rss_mb:.0f}")
    header = ["F: CPU ms per turn", "first eighth", "last eighth", "growth", "peak RSS MB"]
    verdict = f"No steeper than raw: {_met(growths['aicore'] <= growths['raw'])}"
    return f"## Growth\n\n{_table(header, lines)}\n\n{verdict}"


def _throughput(rows: dict[str, Row]) -> str:
    lines = [
        [name, f"{1e3 / statistics.median(row.wall_ms):.0f}", f"{row.rss_mb:.0f}"]
        for name, row in rows.items()
    ]
    header = ["B: one client process", "turns/s", "peak RSS MB"]
    return f"## Throughput\n\nServers share the cores.\n\n{_table(header, lines)}"


def _logs(logs: dict[str, dict[str, Row]]) -> str:
    lines = []
    for key, rows in logs.items():
        memory, sqlite = rows["aicore"], rows["aicore-sqlite"]
        pairs = zip(sqlite.cpu_ms, memory.cpu_ms, strict=True)
        added = [dear - cheap for dear, cheap in pairs]
        pairs = zip(sqlite.wall_ms, memory.wall_ms, strict=True)
        waited = [dear - cheap for dear, cheap in pairs]
        lines.append(
            [
                f"L: {SCENARIOS[key].title}",
                f"{LOG_AIM_MS:g}",
                _spread(added),
                f"{statistics.median(waited):.2f}",
                _met(statistics.median(added) <= LOG_AIM_MS),
            ]
        )
    header = ["SQLite log added to memory log", "aim, CPU ms", "CPU ms a turn", "wall ms", "met"]
    return f"## Durable log\n\n{_table(header, lines)}"


def _imports(rows: dict[str, Row]) -> str:
    lines = []
    for statement, row in rows.items():
        cpu = statistics.median(row.cpu_ms)
        has_aim = "aicore" in statement
        lines.append(
            [
                f"`{statement}`",
                f"{IMPORT_AIM_MS:g}" if has_aim else "",
                _spread(row.cpu_ms, 0),
                f"{row.rss_mb:.0f}",
                _met(cpu <= IMPORT_AIM_MS) if has_aim else "",
            ]
        )
    header = ["fresh process", "aim, CPU ms", "CPU ms", "peak RSS MB", "met"]
    return f"## Import\n\n{_table(header, lines)}"


def _cold(cold: dict[str, dict[str, Row]]) -> str:
    lines = [
        [
            f"{SCENARIOS[key].title}, {name}",
            _spread(row.wall_ms, 0),
            _spread(row.cpu_ms, 0),
            f"{row.rss_mb:.0f}",
        ]
        for key, rows in cold.items()
        for name, row in rows.items()
    ]
    header = ["from start to first answer", "wall ms", "CPU ms", "peak RSS MB"]
    return f"## Cold start\n\n{_table(header, lines)}"
