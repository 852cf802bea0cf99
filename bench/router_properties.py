"""Random requests through a real Router under random failure, load, hedging and bursts.

    python bench/router_properties.py                      100,000 requests in 250 worlds
    python bench/router_properties.py --requests 5000      fewer
    python bench/router_properties.py --seed 7             other worlds

0 violations is the aim: no model sees data of a class that its rule forbids, no budget is passed
while models stay within the estimate, no word is lost or doubled, no failure is untyped. What
models that do not stay within it can overshoot is measured beside. Ends with 1 for a violation.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Sequence
from decimal import Decimal

from router_world import OVERSHOOT_DAY_USD, Tally, play

A_WORLD = 400


def main(arguments: Sequence[str]) -> int:
    """Live through the worlds and print what was seen."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0, help="where the worlds begin")
    options = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)  # a world is full of warnings
    began = time.perf_counter()
    total = Tally()
    for seed in range(options.seed, options.seed - (-options.requests // A_WORLD)):
        total.add(play(seed, A_WORLD))
        if sys.stderr.isatty():
            print(f"\r  {total.requests:,} requests", end="", file=sys.stderr)
    print(_report(total, time.perf_counter() - began))
    print(_overshoot(max(1, options.requests // 20_000)))
    for violation in total.violations[:20]:
        print(f"VIOLATION {violation}")
    return 1 if total.violations else 0


def _report(total: Tally, seconds: float) -> str:
    ends = ", ".join(f"{end} {count:,}" for end, count in total.ends.most_common())
    return (
        f"{total.requests:,} requests, {total.calls:,} calls, "
        f"{sum(total.faults.values()):,} faults of {len(total.faults)} kinds, "
        f"{total.hedges:,} hedges, {total.bursts:,} bursts, {total.joined:,} answers gone on with: "
        f"{len(total.violations)} violations ({seconds:.0f} s)\n  {ends}"
    )


def _overshoot(worlds: int) -> str:
    """How far models that bill more than was reserved can pass a limit, by requests at once."""
    lines = [f"Models that bill more than was reserved, with {OVERSHOOT_DAY_USD} dollars a day:"]
    for at_once in (1, 12):
        total = Tally()
        for seed in range(worlds):
            total.add(play(seed, A_WORLD, is_honest=False, at_once=at_once))
        lines.append(
            f"  {at_once} at once: over by {_usd(total.worst_overshoot)} at most; the dearest call "
            f"cost {_usd(total.dearest)} more than was reserved for it"
        )
    return "\n".join(lines)


def _usd(amount: Decimal) -> str:
    return f"{amount:.4f}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
