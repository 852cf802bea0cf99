"""`make conformance`: the official suite and foreign clients on our servers and our client.

Prints a table and each failure with its reason. Exits 1 on a failure that expected.toml does
not explain, and on an explained one that no longer happens. Works in conformance/out.
"""

from __future__ import annotations

import signal
import sys
import time
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from foreign import Target, command_of, foreign_outcomes
from suite import REVISIONS, Outcome, any_server_outcomes, client_outcomes, fixture_outcomes
from toolchain import HERE, OUT, Toolchain, prepare, serving

WHOLE_RUN_S = 1200


def run_all(tools: Toolchain) -> list[Outcome]:
    """Run every part; a server that does not start is a failure like any other."""
    outcomes = []
    fixture = [sys.executable, str(HERE / "fixture_server.py"), "--http", "--port", "0"]
    with serving(fixture, OUT / "fixture.log") as url:
        for revision in REVISIONS:
            say(f"suite against our serving code, {revision}")
            outcomes += fixture_outcomes(tools, url, revision)
    for revision in REVISIONS:
        say(f"suite against our client, {revision}")
        outcomes += client_outcomes(tools, revision)
    for name in server_names():
        say(f"suite and foreign clients against {name}")
        outcomes += server_outcomes(tools, name)
    return outcomes


def server_outcomes(tools: Toolchain, name: str) -> list[Outcome]:
    """Try one of our servers over HTTP and stdio."""
    try:
        command = command_of(name)
        with serving([*command, "--http", "--port", "0"], OUT / f"{name}.log") as url:
            generic = any_server_outcomes(tools, name, url)
            return [*generic, *foreign_outcomes(tools, Target(name, command, url))]
    except (OSError, RuntimeError) as error:
        failures = [str(error)]
        return [Outcome(part=name, revision="any", scenario="start", passed=0, failures=failures)]


def server_names() -> list[str]:
    """Give the commands of our servers, from pyproject."""
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text("utf-8"))["project"]
    return [
        name for name, target in project["scripts"].items() if target.startswith("aicore_servers.")
    ]


def expectation(outcome: Outcome, entries: Sequence[Mapping[str, Any]]) -> int | None:
    """Give the index of the entry that explains a scenario, if there is one."""
    for index, entry in enumerate(entries):
        if (
            fnmatchcase(outcome.part, entry["part"])
            and fnmatchcase(outcome.revision, entry["revision"])
            and any(fnmatchcase(outcome.scenario, name) for name in entry["scenarios"])
        ):
            return index
    return None


def table(outcomes: Sequence[Outcome], entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """Give one row per part and revision, counted in scenarios but for the last column."""
    lines = [
        "| part | revision | required, passed | not required, passed | nothing to check "
        "| expected failures | unexpected | checks passed |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    for part, revision in dict.fromkeys((o.part, o.revision) for o in outcomes):
        rows = [o for o in outcomes if (o.part, o.revision) == (part, revision)]
        failed = [o for o in rows if o.failures]
        explained = sum(expectation(o, entries) is not None for o in failed)
        checks = sum(o.passed for o in rows)
        cells = [
            part,
            revision,
            passed_of([o for o in rows if o.is_scored]),
            passed_of([o for o in rows if not o.is_scored]),
            len([o for o in rows if not o.passed and not o.failures]),
            explained,
            len(failed) - explained,
            f"{checks} of {checks + sum(len(o.failures) for o in rows)}",
        ]
        lines.append(f"| {' | '.join(str(cell) for cell in cells)} |")
    return lines


def passed_of(rows: Sequence[Outcome]) -> str:
    """Count what passed among scenarios."""
    return f"{sum(o.is_passed for o in rows)} of {len(rows)}" if rows else "-"


def failures(outcomes: Iterable[Outcome], entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """Name every failure: first the unexpected ones with their checks, then each reason."""
    unexpected, by_entry = [], dict[int, list[Outcome]]()
    for outcome in outcomes:
        index = expectation(outcome, entries)
        if not outcome.failures:
            continue
        if index is None:
            unexpected.append(f"- UNEXPECTED {outcome.part} {outcome.revision} {outcome.scenario}")
            unexpected += [f"    - {failure}" for failure in outcome.failures]
        else:
            by_entry.setdefault(index, []).append(outcome)
    explained = []
    for index, found in sorted(by_entry.items()):
        explained.append(f"- {entries[index]['reason']}")
        for part, revision in dict.fromkeys((o.part, o.revision) for o in found):
            names = [named(o) for o in found if (o.part, o.revision) == (part, revision)]
            explained.append(f"    - {part} {revision}: {', '.join(names)}")
    return [*unexpected, *explained]


def named(outcome: Outcome) -> str:
    """Give a failed scenario with how many of its checks failed."""
    failed = len(outcome.failures)
    scored = "" if outcome.is_scored else ", not scored"
    return f"{outcome.scenario} ({failed} of {outcome.passed + failed} checks{scored})"


def stale(outcomes: Sequence[Outcome], entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """Name what expected.toml explains although nothing of it fails."""
    failed = [outcome for outcome in outcomes if outcome.failures]
    return [
        f"- STALE in expected.toml: {entry['part']} {entry['revision']} {name}"
        for entry in entries
        for name in entry["scenarios"]
        if not any(
            expectation(outcome, [{**entry, "scenarios": [name]}]) is not None for outcome in failed
        )
    ]


def say(line: str) -> None:
    """Tell what is being done."""
    print(f"[{time.strftime('%H:%M:%S')}] {line}", file=sys.stderr, flush=True)


def out_of_time(*_: object) -> None:
    """End the run; what it started is ended on the way out."""
    raise TimeoutError(f"the whole run took longer than {WHOLE_RUN_S} s")


def main() -> int:
    """Run, report, and judge."""
    signal.signal(signal.SIGALRM, out_of_time)
    signal.alarm(WHOLE_RUN_S)
    say("installing node and the packages, unless they are there")
    tools = prepare()
    outcomes = run_all(tools)
    entries = tomllib.loads((HERE / "expected.toml").read_text("utf-8"))["expected"]
    lines = [*table(outcomes, entries), "", *failures(outcomes, entries)]
    lines += stale(outcomes, entries)
    report = "\n".join(lines) + "\n"
    (OUT / "report.md").write_text(report, "utf-8")
    print(report)
    return int("UNEXPECTED" in report or "STALE" in report)


if __name__ == "__main__":
    sys.exit(main())
