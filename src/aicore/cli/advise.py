"""`aicore advise`: build, buy or both, by the owner's answers and the owner's log."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from decimal import Decimal

from aicore.cli.cost import Findings, NoLogError, read_findings
from aicore.cli.screen import Screen
from aicore.costs.advice import Advice, Answers, Known, StayRule, advise, configuration
from aicore.costs.economics import LEAST_PRICED, Choice
from aicore.records import DataClass
from aicore.trust.data_classes import DATA_CLASSES

__all__ = ["run_advise"]

_HOURS_PER_MONTH = 720
_FEWEST_HOURS = 24
_Classes = tuple[DataClass | None, ...]
_KEPT_HERE: Mapping[StayRule, _Classes] = {
    "all": (None, *DATA_CLASSES),
    "special": ("special",),
    "none": (),
}
_IN_WORDS: Mapping[Choice, str] = {
    "managed": "rent models from a vendor, and buy no machine.",
    "self-hosted": "run models on machines of your own, and send nothing to a vendor.",
    "hybrid": "run models on a machine of your own, and rent the rest from a vendor.",
}
_QUESTIONS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "must_stay": (
        "Which data must stay on your premises, by law or contract?",
        ("all", "special", "none"),
    ),
    "own_data": ("Do you have training data that nobody else has?", ("yes", "no")),
    "staff": ("Do you have technical staff?", ("yes", "no")),
    "sets_apart": ("Is the model itself what sets your business apart?", ("yes", "no")),
}


def run_advise(options: argparse.Namespace) -> int:
    """Ask what was not said, at a terminal, and answer. Returns 0.

    Raises: ConfigError, StoreBusy, StoreError.
    """
    screen = Screen()
    given = {name: _answer(options, name, screen) for name in _QUESTIONS}
    stay: StayRule | None = given["must_stay"]  # type: ignore[assignment] # one of its choices
    answers = Answers(
        must_stay=stay,
        has_own_data=_yes(given["own_data"]),
        has_staff=_yes(given["staff"]),
        sets_apart=_yes(given["sets_apart"]),
    )
    known = _figures(options, screen, stay)
    _show(screen, advise(answers, known), known, stay)
    return 0


def _figures(options: argparse.Namespace, screen: Screen, stay: StayRule | None) -> Known:
    if options.url is None and not options.config.exists():
        screen.line(f"There is no {options.config}, so no figures of your own.", style="dim")
        return Known()
    try:
        return _known(read_findings(options, None if stay is None else _KEPT_HERE[stay]))
    except NoLogError as error:
        screen.line(f"No figures of your own yet: {error}", style="dim")
        return Known()


def _answer(options: argparse.Namespace, name: str, screen: Screen) -> str | None:
    """What was said as an argument, else what is typed; None where nothing is."""
    given: str | None = getattr(options, name)
    if given is not None or not sys.stdin.isatty():
        return given
    question, choices = _QUESTIONS[name]
    while True:
        try:
            word = input(f"{question} [{'/'.join(choices)}, Enter: not known] ")
        except EOFError:
            return None
        word = word.strip().casefold()
        if not word:
            return None
        found = [one for one in choices if one.startswith(word)]
        if len(found) == 1:
            return found[0]


def _yes(word: str | None) -> bool | None:
    return None if word is None else word == "yes"


def _known(findings: Findings) -> Known:
    report = findings.report
    hours = max(report.window_hours, _FEWEST_HOURS)
    labelled = {one: tokens for one, tokens in report.tokens_of_class.items() if one}
    all_labelled = sum(labelled.values())
    coverage = report.coverage
    is_priced = coverage.priced_tokens >= LEAST_PRICED * coverage.tokens
    cost_usd = report.total.cost_usd if is_priced else None
    return Known(
        days=Decimal(report.window_hours) / 24,
        requests_per_month=report.total.requests * _HOURS_PER_MONTH // hours,
        conversations_per_month=report.conversations * _HOURS_PER_MONTH // hours,
        cost_usd=None if cost_usd is None else cost_usd * _HOURS_PER_MONTH / hours,
        special_share=(
            Decimal(labelled.get("special", 0)) / all_labelled if all_labelled else None
        ),
        usable_conversations=report.learnable_conversations,
        economics=findings.economics,
    )


def _show(screen: Screen, advice: Advice, known: Known, stay: StayRule | None) -> None:
    if known.requests_per_month:
        screen.line(f"From {known.days:.1f} days of your log, scaled to a month of 30 days.")
    for finding in advice.findings:
        screen.line()
        screen.line(finding.question, style="bold")
        screen.line(f"  {finding.answer} [{finding.source}]")
        if finding.speaks_for is not None:
            word = "decides for" if finding.is_binding else "speaks for"
            screen.line(f"  This {word}: {finding.speaks_for}.")
    screen.line()
    screen.line(f"Advice: {advice.placement}", style="bold")
    screen.line(f"  That is: {_IN_WORDS[advice.placement]}")
    screen.line(f"  {advice.reason}")
    for missing in advice.to_find_out:
        screen.line(f"  To be surer: {missing}")
    screen.line()
    screen.line("The configuration that does it (fill in the names of the models):")
    screen.line()
    for line in configuration(advice.placement, stay).splitlines():
        screen.line(f"    {line}".rstrip())
