"""Build, buy or both: the four questions that decide it, answered from what is known.

The thresholds are published ones, to test a business's own figures against, not to repeat:
self-hosting is said to pay from about 50 to 100 million requests a month or $0.001 a request, or
from 10,000 conversations a month where technical staff is there. Where the own log, the own prices
and a measured throughput give a result, that result counts, and no threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from aicore.costs.economics import Best, Choice, Economics
from aicore.costs.wording import counted

__all__ = [
    "Advice",
    "Answers",
    "Finding",
    "Known",
    "StayRule",
    "advise",
    "configuration",
]

StayRule = Literal["all", "special", "none"]
"""Which data must not leave the premises, by law or contract."""

REQUESTS_PER_MONTH = (50_000_000, 100_000_000)
USD_PER_REQUEST = Decimal("0.001")
CONVERSATIONS_PER_MONTH = 10_000
_FEW_CONVERSATIONS = 200
"""Below this many usable conversations a fine-tuned model is not worth trying: a rule of thumb."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What the owner says; None: not asked, or they do not know."""

    must_stay: StayRule | None = None
    has_own_data: bool | None = None
    has_staff: bool | None = None
    sets_apart: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the log knows. `days` is its window; the rest is scaled to a month of 30 days.

    `cost_usd` is a month's, None where too few prices are known. `special_share` is the share of
    tokens in requests of class special (None: no request was labelled). `usable_conversations` is
    how many could at most be exported for fine-tuning. `economics` needs a measured throughput,
    and is to be reckoned with what the owner says must stay.
    """

    days: Decimal = Decimal(0)
    requests_per_month: int = 0
    conversations_per_month: int = 0
    cost_usd: Decimal | None = None
    special_share: Decimal | None = None
    usable_conversations: int = 0
    economics: Economics | None = None

    @property
    def usd_per_request(self) -> Decimal | None:
        """What a request costs on average; None where that is not known."""
        if self.cost_usd is None or not self.requests_per_month:
            return None
        return self.cost_usd / self.requests_per_month


@dataclass(frozen=True, slots=True)
class Finding:
    """One question, what answers it, where the answer is from, and what follows for placement.

    `speaks_for` is None where it decides nothing. A `binding` one leaves no choice.
    """

    question: str
    answer: str
    source: Literal["you", "your log", "measured", "not known"]
    speaks_for: Choice | None
    is_binding: bool = False


@dataclass(frozen=True, slots=True)
class Advice:
    """Where to run models, why, and what would make the answer surer."""

    placement: Choice
    reason: str
    findings: Sequence[Finding]
    to_find_out: Sequence[str]


def advise(answers: Answers, known: Known) -> Advice:
    """Answer the owner's question: the law first, then the own data, the bill, and what is core."""
    findings = (
        _law(answers, known),
        _own_data(answers, known),
        _bill(answers, known),
        _core(answers),
    )
    placement, reason = _decided(findings)
    to_find_out = _to_find_out(answers, known)
    if placement != "managed":
        to_find_out += _before_owning(answers, known)
    return Advice(placement, reason, findings, to_find_out)


def _law(answers: Answers, known: Known) -> Finding:
    question = "Must the data stay on your premises, by law or contract?"
    match answers.must_stay:
        case "all":
            answer = "All of it must: models with open weights, on machines of your own."
            return Finding(question, answer, "you", "self-hosted", is_binding=True)
        case "special":
            answer = "Special data must: it stays on machines of your own, the rest may leave."
            return Finding(question, answer, "you", "hybrid", is_binding=True)
        case "none":
            return Finding(question, "No.", "you", None)
    if known.special_share:
        answer = (
            f"You did not say, and {_percent(known.special_share)} of your tokens are in "
            "conversations about health, money, faith and the like. Ask somebody who knows the law."
        )
        return Finding(question, answer, "your log", "hybrid")
    return Finding(question, "You did not say.", "not known", None)


def _own_data(answers: Answers, known: Known) -> Finding:
    question = "Do you have training data that nobody else has?"
    count = known.usable_conversations
    talks = counted(count, "conversation")
    if not answers.has_own_data:
        is_no = answers.has_own_data is False
        return Finding(
            question,
            "No." if is_no else "You did not say.",
            "you" if is_no else "not known",
            None,
        )
    if not known.requests_per_month:
        answer = "Yes. How much of it could be used is not known: there is no log of it yet."
        return Finding(question, answer, "not known", None)
    if count < _FEW_CONVERSATIONS:
        answer = (
            f"Yes, but the log holds at most {talks} that could be used, which is "
            "too few to fine-tune a model. Collect more first."
        )
        return Finding(question, answer, "your log", None)
    answer = (
        f"Yes, and the log holds up to {talks} that could be used: review them and "
        "write them with `aicore export --finetune`."
    )
    return Finding(question, answer, "your log", "self-hosted")


def _bill(answers: Answers, known: Known) -> Finding:
    question = "Is inference your largest running cost at this volume?"
    best = known.economics.best if known.economics is not None else None
    if best is not None:
        answer = (
            f"By your own log, prices and measured throughput {best.choice}{_on(best.boxes)} is "
            f"cheapest, at ${best.month_usd:,.2f} a month{_instead(known.economics, best)}."
        )
        return Finding(question, answer, "measured", best.choice)
    if not known.requests_per_month:
        return Finding(question, "The log holds no model requests yet.", "not known", None)
    return _by_thresholds(question, answers, known)


def _on(boxes: int) -> str:
    return "" if not boxes else f" on {boxes} machine{'s' * (boxes > 1)}"


def _instead(economics: Economics | None, best: Best) -> str:
    """What the other way would cost, where it is allowed."""
    if economics is None:
        return ""
    if best.choice == "managed":
        with_boxes = [
            amount
            for one in economics.options
            for amount in (one.self_usd, one.hybrid_usd)
            if one.boxes and amount is not None
        ]
        least = min(with_boxes, default=None)
        return "" if least is None else f"; with a machine of your own at least ${least:,.2f}"
    if not economics.is_managed_allowed or economics.managed_usd is None:
        return ""
    return f"; all of it at a vendor ${economics.managed_usd:,.2f}"


def _by_thresholds(question: str, answers: Answers, known: Known) -> Finding:
    """Compare with what is published, where nothing of the business's own decides."""
    each = known.usd_per_request
    cost = "of unknown cost" if each is None else f"at ${each:.5f} each"
    volume = (
        f"You make about {known.requests_per_month:,} requests a month {cost}, in "
        f"{known.conversations_per_month:,} conversations"
    )
    low, high = REQUESTS_PER_MONTH
    is_large = known.requests_per_month >= low
    is_staffed = (
        answers.has_staff is True and known.conversations_per_month >= CONVERSATIONS_PER_MONTH
    )
    is_dear = each is not None and each >= USD_PER_REQUEST
    published = (
        f"self-hosting is said to pay from {low // 10**6} to {high // 10**6} million requests "
        f"or ${USD_PER_REQUEST} each, or from {CONVERSATIONS_PER_MONTH:,} conversations with "
        "technical staff"
    )
    if is_large or is_staffed:
        answer = f"{volume}; {published}. You are there: measure before you decide."
        return Finding(question, answer, "your log", "hybrid")
    if is_dear:
        answer = f"{volume}; {published}. Your price a request is there, your volume is not."
        return Finding(question, answer, "your log", "managed")
    return Finding(question, f"{volume}; {published}. You are not.", "your log", "managed")


def _core(answers: Answers) -> Finding:
    question = "Is the model itself what sets your business apart?"
    if answers.sets_apart is None:
        return Finding(question, "You did not say.", "not known", None)
    if answers.sets_apart:
        return Finding(question, "Yes: then own it.", "you", "self-hosted")
    return Finding(question, "No: then rent it.", "you", "managed")


def _decided(findings: Sequence[Finding]) -> tuple[Choice, str]:
    law, data, bill, core = findings
    if law.is_binding and law.speaks_for is not None:
        owns_all = bill.source == "measured" and bill.speaks_for == "self-hosted"
        if law.speaks_for == "hybrid" and owns_all:
            return "self-hosted", "Special data must stay, and owning is cheaper for the rest."
        return law.speaks_for, law.answer
    if bill.source == "measured" and bill.speaks_for is not None:
        return _with_wishes(bill.speaks_for, data, core, bill.answer)
    wishes = {one.speaks_for for one in (law, data, core)} - {None}
    if wishes <= {"managed"} and bill.speaks_for == "hybrid":
        return "hybrid", (
            "Your volume is where owning is said to pay, and nothing forbids renting: measure a "
            "machine before you buy one, and rent until then."
        )
    if wishes == {"managed"} or not wishes:
        return "managed", (
            "Nothing that is known demands machines of your own: rent, and look again when the "
            "volume or the law changes."
        )
    if wishes == {"self-hosted"} and bill.speaks_for != "managed":
        return "self-hosted", "What you said and your volume speak for owning."
    return "hybrid", (
        "Some of it speaks for machines of your own and some against: own what must be owned, "
        "and rent the rest."
    )


def _with_wishes(cheapest: Choice, data: Finding, core: Finding, reason: str) -> tuple[Choice, str]:
    """The cheapest, unless the business wants a model of its own: that is never all rented."""
    wants_own = "self-hosted" in (data.speaks_for, core.speaks_for)
    if cheapest == "managed" and wants_own:
        return "hybrid", (
            f"{reason} You want a model of your own as well: run that beside the rented one."
        )
    return cheapest, reason


def _to_find_out(answers: Answers, known: Known) -> list[str]:
    missing = []
    if answers.must_stay is None:
        missing.append("Ask whether the law or a contract keeps your data on your premises.")
    if known.economics is None:
        missing.append(
            "Measure a machine with `aicore measure`, and give the result and the machine's price "
            "to `aicore advise --measured FILE --box-usd-per-hour PRICE`."
        )
    elif known.economics.best is None:
        missing += [f"{one.reason} {one.remedy}" for one in known.economics.refusals]
    if known.requests_per_month and known.cost_usd is None:
        missing.append("Give prices in [prices]: what your models cost is not known.")
    if answers.has_staff is None:
        missing.append("Say whether you have technical staff, by --staff yes or --staff no.")
    return missing


def _before_owning(answers: Answers, known: Known) -> list[str]:
    """What to see to where a machine is to be owned."""
    missing = list(known.economics.caveats) if known.economics is not None else []
    if answers.has_staff is False:
        missing.append(
            "You have no technical staff: find who keeps the machine running, and count what that "
            "costs by --ops-hours-per-month and --ops-usd-per-hour."
        )
    return missing


_OWN = """\
[providers.own]
kind = "vllm"                       # or ollama, llama-cpp, sglang
base_url = "http://127.0.0.1:8000/v1"
model = "NAME"
"""
_RENTED = """\
[providers.rented]
kind = "anthropic"                  # or openai, gemini, azure, bedrock
model = "NAME"
"""
_STAYS = "[privacy.{}]\nlocal_only = true\n"
_MASKED = "[privacy.{}]\npseudonymise = true\n"
_VAULT = """\
[privacy]
vault = "sqlite:///vault.db"
key_file = "vault.key"
"""
_UNDECIDED = """\
# Special data (health, money, faith) is sent to nobody until you know that it may leave. Then:
# [privacy.special]
# pseudonymise = true
"""


def configuration(placement: Choice, must_stay: StayRule | None = None) -> str:
    """The lines of `aicore.toml` that make it so; the names of models are left to fill in.

    Special data leaves only where the owner said that nothing must stay, and masked.
    """
    match placement:
        case "self-hosted":
            parts = [_OWN, '[router]\nuse = ["own"]\n']
            parts += [_STAYS.format("personal"), _STAYS.format("special")]
        case "managed":
            parts = [_RENTED, '[router]\nuse = ["rented"]\n']
            parts += [_VAULT, _MASKED.format("personal")]
            parts += [_MASKED.format("special") if must_stay == "none" else _UNDECIDED]
        case "hybrid":
            parts = [_OWN, _RENTED, '[router]\nuse = ["own", "rented"]\n']
            parts += [_VAULT, _MASKED.format("personal"), _STAYS.format("special")]
    return "\n".join(parts)


def _percent(share: Decimal) -> str:
    return f"{share * 100:.1f} %"
