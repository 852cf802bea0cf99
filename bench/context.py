"""What a conversation of a thousand turns costs per turn, and what of it can still be found.

    python bench/context.py             a thousand turns and one of 10,000 events, no model
    python bench/context.py --quick     fewer turns: shows that it works

The tables go to standard output and bench/out/context.md, the figures to context.json. Tokens are
counted by the rule that the agent itself counts by (`aicore.agent.tokens`), the same for all ways.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
from bills import PRICES, PRICES_FROM, bills
from long_talk import INSTRUCTIONS, KINDS, Asked, Recorder, Script, tools
from machine import describe_machine

from aicore import Agent
from aicore.agent.searching import SEARCH_CONVERSATION, search_conversation
from aicore.agent.session import Session
from aicore.agent.tokens import estimate
from aicore.log import MemoryLog, SQLiteLog
from aicore.log.events import Summarized
from aicore.records import ConversationId

OUT = Path(__file__).parent / "out"
TALK = ConversationId("web:1")
TURNS, LOADED_TURNS, REPEATS = 1_000, 2_900, 5
SHOWN_TURNS = (1, 10, 20, 40, 60, 100, 200, 400, 600, 800, 1_000)
WINDOW = 20


def main(arguments: Sequence[str]) -> int:
    """Measure, print and write the report; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few turns")
    parser.add_argument("--out", type=Path, default=OUT, help="where the figures are kept")
    options = parser.parse_args(arguments)
    turns, loaded = (160, 300) if options.quick else (TURNS, LOADED_TURNS)
    figures = anyio.run(_measure, turns, loaded, 2 if options.quick else REPEATS)
    figures["machine"] = describe_machine({"aicore": sys.executable})
    table = as_markdown(figures)
    print(table)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "context.md").write_text(table)
    (options.out / "context.json").write_text(json.dumps(figures, indent=1) + "\n")
    broken = broken_promises(figures)
    for promise in broken:
        print(f"Broken: {promise}", file=sys.stderr)
    return 1 if broken else 0


def broken_promises(figures: dict[str, Any]) -> list[str]:
    """What the figures must say, and do not."""
    prompt, found = figures["prompt"], figures["needles"]
    promises = {
        "no result without its call": prompt["orphans"] == 0,
        "the last turns cost no more than the first ones' peak": prompt["late_peak_tokens"]
        <= 1.1 * prompt["early_peak_tokens"],
        "at most five prefix breaks per hundred turns": prompt["breaks_per_100_turns"] <= 5,
        "every needle is found": all(one["found"] == one["planted"] for one in found.values()),
    }
    return [promise for promise, is_kept in promises.items() if not is_kept]


async def _measure(turns: int, loaded_turns: int, repeats: int) -> dict[str, Any]:
    log = MemoryLog()
    recorder = Recorder(Script(turns))
    async with log:
        await _talk(log, recorder, turns)
        whole = _whole(recorder)
        figures = {
            "prompt": _prompt_figures(recorder.asked, turns, await _summaries(log)),
            "curve": _curve(recorder.asked, whole, turns),
            "bill": {
                name: [vars_of(one) for one in bills(recorder.asked, whole, price)]
                for name, price in PRICES.items()
            },
            "needles": await _needles(log, recorder),
            "search_tool": _search_tool(recorder, turns),
        }
    figures["cpu"] = await _cpu(turns, repeats)
    figures["load"] = await _load(loaded_turns, repeats)
    return figures


def vars_of(record: Any) -> dict[str, Any]:
    """A record's fields by name."""
    return {name: getattr(record, name) for name in record.__slots__}


async def _talk(
    log: MemoryLog, recorder: Recorder, turns: int, window: int = 0
) -> list[tuple[float, float]]:
    """Run turns; CPU in ms per turn of each `window` of turns, with the compactions in it."""
    spent = []
    agent = Agent(
        provider=recorder,
        tools=tools(recorder.script, lambda: recorder.turn),
        instructions=INSTRUCTIONS,
        log=log,
    )
    async with agent:
        began = time.process_time()
        for turn in range(turns):
            recorder.turn = turn
            await agent.send(recorder.script.messages[turn], conversation=TALK)
            await _settle()
            if window and (turn + 1) % window == 0:
                now = time.process_time()
                spent.append((turn + 1, (now - began) * 1000 / window))
                began = now
    return spent


async def _settle() -> None:
    """Let a compaction behind the reply get to its end, as it does while a customer types."""
    for _ in range(30):
        await anyio.lowlevel.checkpoint()


async def _summaries(log: MemoryLog) -> list[Summarized]:
    return [e.body for e in await log.read(TALK) if isinstance(e.body, Summarized)]


def _whole(recorder: Recorder) -> list[int]:
    """Tokens of each request if all that was said before were in it."""
    script, sums, said = recorder.script, [], 0
    for number, one in enumerate(recorder.asked):
        is_first = not number or recorder.asked[number - 1].turn != one.turn
        call = script.calls[one.turn]
        if is_first:
            said += estimate(script.messages[one.turn]) + 6
        elif call is not None:
            said += estimate(str(call)) + estimate(script.results[one.turn]) + 18
        sums.append(one.prefix_tokens + said + 12)
        is_last = number + 1 == len(recorder.asked) or recorder.asked[number + 1].turn != one.turn
        if is_last:
            said += estimate(script.replies[one.turn]) + 6
    return sums


def _prompt_figures(
    asked: Sequence[Asked], turns: int, summaries: Sequence[Summarized]
) -> dict[str, Any]:
    later = asked[1:]
    breaks = [one for one in later if one.common_bytes < one.stable_bytes]
    early = [one.tokens for one in asked if one.turn < 60]
    late = [one.tokens for one in asked if one.turn >= turns - 60]
    return {
        "turns": turns,
        "requests": len(asked),
        "compactions": len(summaries),
        "breaks_per_100_turns": 100 * len(breaks) / turns,
        "repeated_share": sum(one.common_bytes for one in later)
        / sum(one.stable_bytes for one in later),
        "median_repeated_share": statistics.median(
            one.common_bytes / one.stable_bytes for one in later
        ),
        "orphans": sum(one.orphans for one in asked),
        "early_peak_tokens": max(early),
        "late_peak_tokens": max(late),
        "peak_tokens": max(one.tokens for one in asked),
        "early_mean_tokens": statistics.mean(early),
        "late_mean_tokens": statistics.mean(late),
        "longest_summary_tokens": max((estimate(one.text) for one in summaries), default=0),
    }


def _curve(asked: Sequence[Asked], whole: Sequence[int], turns: int) -> list[list[int]]:
    """Turn number, tokens of its first request, tokens with the whole history."""
    first: dict[int, list[int]] = {}
    for one, tokens in zip(asked, whole, strict=True):
        first.setdefault(one.turn + 1, [one.turn + 1, one.tokens, tokens])
    return [first[turn] for turn in SHOWN_TURNS if turn <= turns]


async def _needles(log: MemoryLog, recorder: Recorder) -> dict[str, dict[str, int]]:
    """Where each needle is at the end: shown, in the summary, or found by its words."""
    session = Session(TALK)
    session.apply(await log.read(TALK))
    transcript = session.transcript
    summary = transcript.summary.text if transcript.summary else ""
    shown = "\n".join(
        f"{message.text}{[call.arguments for call in message.calls]}"
        for message in transcript.messages
    )
    found = {
        kind: {"planted": 0, "shown": 0, "in_summary": 0, "by_search": 0, "found": 0}
        for kind in KINDS
    }
    for needle in recorder.script.needles:
        counts = found[needle.kind]
        result = await search_conversation(log, session, {"words": needle.words})
        places = {
            "shown": needle.code in shown,
            "in_summary": needle.code in summary,
            "by_search": needle.code in result.text,
        }
        for place, is_there in places.items():
            counts[place] += is_there
        counts["planted"] += 1
        counts["found"] += any(places.values())
    return found


def _search_tool(recorder: Recorder, turns: int) -> dict[str, float]:
    """Offering the search always, against offering it once something was compacted."""
    tokens = estimate(
        f"{SEARCH_CONVERSATION.name}{SEARCH_CONVERSATION.description}"
        f"{json.dumps(SEARCH_CONVERSATION.parameters)}"
    )
    price = PRICES["gpt-5"]
    asked = recorder.asked
    requests, prefix = len(asked), asked[0].prefix_tokens
    breaks = [at for at, one in enumerate(asked) if at and one.common_bytes < one.stable_bytes]
    after = requests - breaks[0] if breaks else 0
    return {
        "tokens": tokens,
        "always_usd": tokens * requests * price.cached_usd / 1e6,
        "once_compacted_usd": (prefix * price.input_usd + tokens * after * price.cached_usd) / 1e6,
        "prefix_tokens": prefix,
        "always_usd_20_turns": tokens * requests * 20 / turns * price.cached_usd / 1e6,
    }


async def _cpu(turns: int, repeats: int) -> dict[str, Any]:
    """CPU per turn around turn 20 and at the end; the least of several conversations."""
    early, settled, late = [], [], []
    script = Script(turns)
    for number in range(repeats + 1):
        log = MemoryLog()
        async with log:
            spent = await _talk(log, Recorder(script, is_measuring=False), turns, WINDOW)
        if not number:
            continue  # the first imports what is imported late
        # Windows that hold a compaction and those that do not: several of each.
        early.append(statistics.mean(ms for turn, ms in spent if turn <= 4 * WINDOW))
        late.append(statistics.mean(ms for turn, ms in spent if turn > turns - 4 * WINDOW))
        settled.append(
            statistics.mean(ms for turn, ms in spent if 4 * WINDOW < turn <= 12 * WINDOW)
        )
    return {
        "early_ms": min(early),
        "late_ms": min(late),
        "settled_ms": min(settled),
        "ratio": min(late) / min(early),
        "settled_ratio": min(late) / min(settled),
    }


async def _load(turns: int, repeats: int) -> dict[str, Any]:
    """From a cold start to the first request of a long conversation in a SQLite file."""
    memory = MemoryLog()
    async with memory:
        await _talk(memory, Recorder(Script(turns), is_measuring=False), turns)
        (stored,) = await memory.conversations()
        events = await memory.read(TALK)
    figures: dict[str, Any] = {"events": len(events)}
    with tempfile.TemporaryDirectory(prefix="aicore-bench-") as folder:
        path = Path(folder) / "log.db"
        async with SQLiteLog(path) as log:
            await log.restore(stored, events)
        figures["answer_ms"] = await _median(repeats, _first_answer, path)
        figures["short_ms"] = await _median(repeats, _first_answer, path, "web:new")
        figures["whole_ms"] = await _median(repeats, _read_whole, path)
        figures["search_ms"] = await _median(repeats, _search, path)
    return figures


async def _median(repeats: int, measure: Any, *arguments: Any) -> dict[str, float]:
    times = [await measure(*arguments) for _ in range(repeats)]
    walls, cpus = zip(*times, strict=True)
    return {"wall": statistics.median(walls) * 1000, "cpu": statistics.median(cpus) * 1000}


async def _first_answer(path: Path, conversation: str = TALK) -> tuple[float, float]:
    recorder = Recorder(Script(1), is_measuring=False)
    recorder.script.calls[0] = None
    async with Agent(provider=recorder, instructions=INSTRUCTIONS, log=SQLiteLog(path)) as agent:
        wall, cpu = time.perf_counter(), time.process_time()
        await agent.send("Are you there?", conversation=conversation)
        return time.perf_counter() - wall, time.process_time() - cpu


async def _read_whole(path: Path) -> tuple[float, float]:
    async with SQLiteLog(path) as log:
        wall, cpu = time.perf_counter(), time.process_time()
        Session(TALK).apply(await log.read(TALK))
        return time.perf_counter() - wall, time.process_time() - cpu


async def _search(path: Path) -> tuple[float, float]:
    async with SQLiteLog(path) as log:
        session = Session(TALK)
        session.apply(await log.read(TALK))
        wall, cpu = time.perf_counter(), time.process_time()
        await search_conversation(log, session, {"words": "code of the walrus yak locker"})
        return time.perf_counter() - wall, time.process_time() - cpu


def as_markdown(figures: dict[str, Any]) -> str:
    """The report."""
    parts = [
        _prompt_table(figures),
        _bill_table(figures["bill"]),
        _needle_table(figures["needles"]),
        _time_table(figures),
    ]
    machine = "\n".join(f"- {name}: {text}" for name, text in figures.get("machine", {}).items())
    return "\n\n".join(["# Context", *parts, machine]) + "\n"


def _prompt_table(figures: dict[str, Any]) -> str:
    prompt, tool = figures["prompt"], figures["search_tool"]
    rows = ["| turn | prompt tokens | whole history |", "|---|---|---|"]
    rows += [f"| {turn:,} | {sent:,} | {whole:,} |" for turn, sent, whole in figures["curve"]]
    return "\n".join(
        [
            *rows,
            "",
            f"{prompt['turns']:,} turns, {prompt['requests']:,} requests, "
            f"{prompt['compactions']} compactions.",
            f"- Peak: {prompt['early_peak_tokens']:,} tokens in the first 60 turns, "
            f"{prompt['late_peak_tokens']:,} in the last 60; mean "
            f"{prompt['early_mean_tokens']:,.0f} and {prompt['late_mean_tokens']:,.0f}.",
            f"- Longest summary: {prompt['longest_summary_tokens']:,} tokens.",
            f"- Of a request's bytes up to its volatile end, the next repeats "
            f"{prompt['repeated_share']:.1%} (median {prompt['median_repeated_share']:.1%}).",
            f"- Prefix breaks per 100 turns: {prompt['breaks_per_100_turns']:.1f}. "
            f"Orphan results: {prompt['orphans']}.",
            f"- search_conversation is always offered: {tool['tokens']:.0f} tokens, "
            f"${tool['always_usd']:.4f} in all these turns (${tool['always_usd_20_turns']:.5f} in "
            f"20) at gpt-5's cache price. Offered from the first compaction on, with the prefix of "
            f"{tool['prefix_tokens']:,} tokens written anew: ${tool['once_compacted_usd']:.4f}.",
        ]
    )


def _bill_table(all_bills: dict[str, list[dict[str, Any]]]) -> str:
    rows = [f"Simulated bill, {PRICES_FROM}:", ""]
    rows += [
        "| prices of | way | US dollars | if the cache was gone at every turn |",
        "|---|---|---|---|",
    ]
    rows += [
        f"| {model} | {bill['name']} | {bill['usd']:.2f} | {bill['cold_usd']:.2f} |"
        for model, found in all_bills.items()
        for bill in found
    ]
    return "\n".join(rows)


def _needle_table(needles: dict[str, dict[str, int]]) -> str:
    rows = ["| needles in a | planted | shown | in the summary | by search | found |"]
    rows.append("|---|---|---|---|---|---|")
    for kind, one in needles.items():
        counts = [one[name] for name in ("planted", "shown", "in_summary", "by_search", "found")]
        rows.append(f"| {kind} | {' | '.join(map(str, counts))} |")
    return "\n".join(rows)


def _time_table(figures: dict[str, Any]) -> str:
    cpu, load = figures["cpu"], figures["load"]
    names = {
        "answer_ms": "cold start to the first answer, with its writes",
        "short_ms": "the same for a new conversation",
        "whole_ms": "reading and folding every event instead",
        "search_ms": "one search_conversation",
    }
    rows = [f"| {load['events']:,} events in a SQLite file | wall ms | CPU ms |", "|---|---|---|"]
    rows += [
        f"| {text} | {load[name]['wall']:.1f} | {load[name]['cpu']:.1f} |"
        for name, text in names.items()
    ]
    turns = figures["prompt"]["turns"]
    return "\n".join(
        [
            f"CPU per turn, compactions included: {cpu['early_ms']:.2f} ms in turns 1 to "
            f"{4 * WINDOW} (short prompts at first), {cpu['settled_ms']:.2f} ms in the next "
            f"{8 * WINDOW}, {cpu['late_ms']:.2f} ms in the last {4 * WINDOW} of {turns:,}: "
            f"{cpu['ratio']:.2f} and {cpu['settled_ratio']:.2f} times as much.",
            "",
            *rows,
        ]
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
