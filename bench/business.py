"""What the business tools cost on their local backends, measured beside a bare MCP server.

    python bench/business.py                      everything; `make bench` runs it too
    python bench/business.py --only tools         some of tools, search, servers
    python bench/business.py --quick              few calls and small stores: shows that it works

The table goes to standard output and bench/out/business.md, the figures to business.json.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import anyio
from business_report import as_markdown
from crowds import SEARCHES, search_times
from jobs import WrongAnswer
from machine import describe_machine
from tool_times import tool_times
from weights import server_weights

OUT = Path(__file__).parent / "out"
PARTS = ("tools", "search", "servers")


def main(arguments: Sequence[str]) -> int:
    """Measure, print and write the report; 1 when a tool was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few calls, small stores")
    parser.add_argument("--only", default=",".join(PARTS), help="some parts, by commas")
    parser.add_argument("--out", type=Path, default=OUT, help="where the figures are kept")
    options = parser.parse_args(arguments)
    parts = options.only.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"no part {', '.join(unknown)}: use {','.join(PARTS)}")
    figures: dict[str, object] = {
        "machine": describe_machine({"aicore": sys.executable}),
        "is_quick": options.quick,
    }
    try:
        with tempfile.TemporaryDirectory(prefix="aicore-bench-") as folder:
            _measure(parts, figures, Path(folder), is_quick=options.quick)
    except (WrongAnswer, ExceptionGroup) as error:
        print(f"The bench stopped: {_first(error)!r}", file=sys.stderr)
        return 1
    table = as_markdown(figures)
    print(table)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "business.md").write_text(table)
    (options.out / "business.json").write_text(json.dumps(figures, indent=1) + "\n")
    return 0


def _measure(
    parts: Sequence[str], figures: dict[str, object], folder: Path, *, is_quick: bool
) -> None:
    if "tools" in parts:
        _progress("tools")
        figures["tools"] = anyio.run(tool_times, folder / "tools", 5 if is_quick else 200)
    if "search" in parts:
        figures["search"] = {}
        for search in SEARCHES:
            _progress(f"search: {search.title}")
            size = search.quick_size if is_quick else search.size
            calls = 20 if is_quick else 300
            measured = anyio.run(search_times, search, folder, size, calls)
            figures["search"] |= measured  # type: ignore[operator] # made two lines above
    if "servers" in parts:
        _progress("servers")
        figures["servers"] = server_weights(folder / "servers", 1 if is_quick else 5)


def _first(error: BaseException) -> BaseException:
    """Take an error out of the groups that its task groups put round it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _progress(what: str) -> None:
    print(f"  {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
