"""How well tools are found among 300, and what their definitions cost.

Offline, no model: a need stands for what a model writes into `find_tools`. One half of the needs
is for tuning; the figures to quote are of the other half.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from aicore.agent.tokens import estimate_prefix
from aicore.agent.tool_index import ToolIndex
from aicore.agent.tool_search import ToolSearch
from aicore.records import Prefix, Tool

SET = Path(__file__).with_name("tool_set")


def lines_of(name: str) -> list[str]:
    lines = (SET / name).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def read_tools() -> list[Tool]:
    return [made(*[part.strip() for part in line.split("|")]) for line in lines_of("tools.txt")]


def made(server: str, name: str, description: str, parameters: str) -> Tool:
    properties = {one.strip(): {"type": "string"} for one in parameters.split(",") if one.strip()}
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return Tool(
        name=name, description=description, parameters=schema, server=server, remote_name=name
    )


def read_needs() -> list[tuple[str, set[str]]]:
    needs = []
    for line in lines_of("needs.txt"):
        need, _, wanted = line.partition("=>")
        needs.append((need.strip(), {one.strip() for one in wanted.split("|")}))
    return needs


def named_rate(tools: Sequence[Tool], needs: Sequence[tuple[str, set[str]]]) -> float:
    search = ToolSearch(40)
    hits = 0
    for need, wanted in needs:
        text = search.find(tools, {"query": need}).text
        names = set(text.replace(",", " ").split())
        hits += bool(wanted & names)
    return 100 * hits / len(needs)


def hit_rate(index: ToolIndex, needs: Sequence[tuple[str, set[str]]], k: int) -> float:
    hits = sum(bool(wanted & {t.name for t in index.search(need, k)}) for need, wanted in needs)
    return 100 * hits / len(needs)


def main() -> None:
    tools, needs = read_tools(), read_needs()
    index = ToolIndex(tools)
    tuning, reporting = needs[::2], needs[1::2]
    print(f"{len(tools)} tools, {len(reporting)} needs (and {len(tuning)} for tuning)")
    print("| found among the first | 1 | 3 | 5 | or named beside them |")
    print("|---|---|---|---|---|")
    for name, half in (("reporting half", reporting), ("tuning half", tuning)):
        rates = " | ".join(f"{hit_rate(index, half, k):.0f} %" for k in (1, 3, 5))
        print(f"| {name} | {rates} | {named_rate(tools, half):.0f} % |")
    search = ToolSearch(40)
    whole = estimate_prefix(Prefix("", tools))
    small = estimate_prefix(Prefix("", tools, offered=search.offered(tools)))
    results = [search.find(tools, {"query": need}).text for need, _ in reporting]
    mean = sum(len(text) for text in results) / len(results) / 3.5
    print(f"\ntokens of definitions in every request: all {whole}, with search {small}")
    print(f"tokens of a search's result, once: {mean:.0f}")
    start = time.process_time()
    ToolIndex(tools)
    built_ms = 1000 * (time.process_time() - start)
    start = time.process_time()
    for need, _ in needs:
        index.search(need, 5)
    each_ms = 1000 * (time.process_time() - start) / len(needs)
    print(f"CPU: {built_ms:.1f} ms to index a changed catalog, {each_ms:.2f} ms a search")


if __name__ == "__main__":
    main()
