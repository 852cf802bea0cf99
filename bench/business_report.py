"""The figures of the business tools as a Markdown table."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["as_markdown", "percentile"]

SEARCH_AIM_MS = 10.0


def as_markdown(figures: Mapping[str, Any]) -> str:
    """The tables."""
    parts = ["# Bench of the business tools"]
    if figures["is_quick"]:
        parts.append("A quick run: it shows that everything works. Do not quote its figures.")
    parts.append("\n".join(f"- {name}: {text}" for name, text in figures["machine"].items()))
    if "tools" in figures:
        parts.append(_tools(figures["tools"]))
    if "search" in figures:
        parts.append(_search(figures["search"]))
    if "servers" in figures:
        parts.append(_servers(figures["servers"]))
    return "\n\n".join(parts) + "\n"


def percentile(values: Sequence[float], percent: float) -> float:
    """Give the value that `percent` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---", *("--:" for _ in header[1:])], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _tools(taken: Mapping[str, Sequence[float]]) -> str:
    echo = statistics.median(taken["echo"])
    rows = [
        [
            f"`{name}`",
            f"{statistics.median(values):.2f}",
            f"{percentile(values, 99):.2f}",
            f"{1e3 / statistics.fmean(values):.0f}",
            f"{statistics.median(values) / echo:.1f}",
        ]
        for name, values in taken.items()
    ]
    note = (
        "In process, one call after another; an effect waits for the disk. `echo` is a tool of a "
        "bare MCP server in the same run."
    )
    header = ["tool", "p50 ms", "p99 ms", "calls/s", "p50 / echo"]
    return f"## Each tool\n\n{note}\n\n{_table(header, rows)}"


def _search(measured: Mapping[str, Sequence[float]]) -> str:
    rows = []
    for title, values in measured.items():
        p99 = percentile(values, 99)
        met = "yes" if p99 <= SEARCH_AIM_MS else "**no**"
        rows.append([title, f"{statistics.median(values):.2f}", f"{p99:.2f}", met])
    header = ["search", "p50 ms", "p99 ms", f"p99 under {SEARCH_AIM_MS:g} ms"]
    return f"## Search in big stores\n\n{_table(header, rows)}"


def _servers(weights: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    bare = weights["bare mcp server"]
    rows = [
        [
            f"`{name}`",
            f"{statistics.median(weight['start_ms']):.0f}",
            f"{_ratio(weight['start_ms'], bare['start_ms']):.2f}",
            f"{statistics.median(weight['rss_mb']):.0f}",
            f"{_ratio(weight['rss_mb'], bare['rss_mb']):.2f}",
        ]
        for name, weight in weights.items()
    ]
    header = ["server, over stdio", "start to tools/list, ms", "/ bare", "peak RSS MB", "/ bare"]
    return f"## Servers\n\n{_table(header, rows)}"


def _ratio(mine: Sequence[float], its: Sequence[float]) -> float:
    return statistics.median(mine) / statistics.median(its)
