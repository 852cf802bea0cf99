"""The official suite, run against a server's URL or against our client."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from toolchain import HERE, OUT, Toolchain

REVISIONS = ("2025-11-25", "2026-07-28")
SERVER_S = 180.0
SCENARIO_S = 60.0
CLIENT_MS = 30_000
AT_ONCE = 2
ANY_SERVER = {
    "2025-11-25": (
        "server-initialize",
        "server-session-lifecycle",
        "ping",
        "tools-list",
        "tools-call-error",
        "resources-list",
        "prompts-list",
        "dns-rebinding-protection",
        "server-sse-multiple-streams",
    ),
    "2026-07-28": (
        "server-stateless",
        "tools-list",
        "tools-call-error",
        "resources-list",
        "prompts-list",
        "sep-2164-resource-not-found",
        "dns-rebinding-protection",
        "caching",
        "http-header-validation",
        "server-sse-multiple-streams",
    ),
}
"""What a server can be asked without the suite's fixtures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one scenario. `failures` are the names of failed checks, with their reason.

    `is_scored` is False where the revision does not require the scenario.
    """

    part: str
    revision: str
    scenario: str
    passed: int
    failures: Sequence[str]
    is_scored: bool = True

    @property
    def is_passed(self) -> bool:
        """Whether something was checked and nothing failed."""
        return self.passed > 0 and not self.failures


def fixture_outcomes(tools: Toolchain, url: str, revision: str) -> Iterator[Outcome]:
    """Run all that a revision asks of a server, in one go."""
    folder = _fresh("fixture", revision)
    arguments = ("server", "--url", url, "--requirements", revision, "-o", str(folder))
    tools.run("conformance", *arguments, timeout_s=SERVER_S)
    required, unscored = _required(tools, revision, "server")
    found = {}
    for checks in folder.glob("*/checks.json"):
        name = re.sub(r"^server-(.+)-\d{4}-\d\d-\d\dT[\d-]+Z$", r"\1", checks.parent.name)
        found[name] = _checks(checks)
    for scenario in [*required, *unscored]:
        passed, failures = found.get(scenario, (0, ["no result was written"]))
        yield Outcome(
            part="server",
            revision=revision,
            scenario=scenario,
            passed=passed,
            failures=failures,
            is_scored=scenario in required,
        )


def any_server_outcomes(tools: Toolchain, name: str, url: str) -> list[Outcome]:
    """Run on a server what needs no fixtures, in both revisions."""

    def one(job: tuple[str, str]) -> Outcome:
        revision, scenario = job
        return _one(tools, name, revision, scenario, ("server", "--url", url))

    return _pooled(one, [(r, s) for r in REVISIONS for s in ANY_SERVER[r]])


def client_outcomes(tools: Toolchain, revision: str) -> list[Outcome]:
    """Run all that a revision asks of a client, each scenario alone: its timing is its own."""
    required, unscored = _required(tools, revision, "client")
    command = shlex.join([sys.executable, str(HERE / "conf_client.py")])
    start = ("client", "--command", command, "--timeout", str(CLIENT_MS))

    def one(scenario: str) -> Outcome:
        return _one(tools, "client", revision, scenario, start, is_scored=scenario in required)

    return _pooled(one, [*required, *unscored])


def _pooled(one: Any, jobs: Sequence[Any]) -> list[Outcome]:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(one, jobs))


def _one(
    tools: Toolchain,
    part: str,
    revision: str,
    scenario: str,
    start: Sequence[str],
    *,
    is_scored: bool = True,
) -> Outcome:
    folder = _fresh(part, revision, scenario.replace("/", "_"))
    options = ("--scenario", scenario, "--spec-version", revision, "-o", str(folder))
    done = tools.run("conformance", *start, *options, timeout_s=SCENARIO_S)
    (folder / "log.txt").write_text(done.out + done.err, "utf-8")
    written = list(folder.rglob("checks.json"))
    why = "ended at its deadline" if done.code is None else "no result was written"
    passed, failures = _checks(written[0]) if written else (0, [why])
    return Outcome(
        part=part,
        revision=revision,
        scenario=scenario,
        passed=passed,
        failures=failures,
        is_scored=is_scored,
    )


def _fresh(*parts: str) -> Path:
    folder = OUT.joinpath("results", *parts)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _checks(file: Path) -> tuple[int, list[str]]:
    """Give how many checks passed, and the failed ones; a warning is neither."""
    checks: Sequence[Mapping[str, Any]] = json.loads(file.read_text("utf-8"))
    failed = [check for check in checks if check["status"] == "FAILURE"]
    reasons = [
        f"{check['id']}: {check.get('errorMessage') or check.get('description') or ''}"
        for check in failed
    ]
    return sum(check["status"] == "SUCCESS" for check in checks), reasons


def _required(tools: Toolchain, revision: str, leg: str) -> tuple[list[str], list[str]]:
    """Give the scenarios a revision requires of a leg, and those run but not scored."""
    package = tools.folder / "node_modules" / "@modelcontextprotocol" / "conformance"
    text = (package / "requirements" / f"{revision}.yaml").read_text("utf-8")
    data = yaml.safe_load(text)
    unscored = [entry["scenario"] for entry in data["not_scored"] if entry["leg"] == leg]
    return list(data[leg]), unscored
