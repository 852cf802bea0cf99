"""What a model server really does: its throughput, with as many requests at once as are tried.

Two loads per level. Reading: answers of one token, so that the time goes into prompts. Answering:
the load as asked for. The speeds of reading and writing are those two that explain both, so
`input / tokens_per_s_in + output / tokens_per_s_out` is the time that the box was seen to need.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

import anyio

from aicore.errors import ModelError, OperatorError, TemporaryError
from aicore.models.port import Completion, Origin, Provider, Request, TextDelta
from aicore.records import Message, Prefix, Usage

__all__ = ["LEAST_REQUESTS", "Level", "Load", "Measurement", "measure"]

LEAST_REQUESTS = 20
"""Fewer answers say nothing about the slowest twentieth, and little about the rest."""
_MOST_FAILED = 0.01
_MOST_REQUESTS = 10_000
_MOST_ERRORS = 20
_WARM_UP_SHARE = 0.05
_READING_SHARE = 0.25
_LEAST_WRITING_SHARE = 0.3
_LEAST_READING_SHARE = 0.001
_GRACE_S = 120.0
_CHARS_PER_TOKEN = 4
_WORDS = (
    *("appointment", "invoice", "Tuesday", "garden", "silver", "window", "teacher", "river"),
    *("morning", "kitchen", "seven", "letter", "doctor", "blue", "market", "station", "summer"),
    *("paper", "friend", "bridge", "winter", "coffee", "mountain", "ticket", "yellow"),
)
_TASK = "Retell this as a long story, sentence by sentence, and do not stop early."


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is tried. `seconds` are spent on each level of `at_once`, without its warm-up."""

    at_once: Sequence[int] = (1, 2, 4, 8)
    seconds: float = 60.0
    prompt_tokens: int = 500
    output_tokens: int = 150


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """What was seen with so many requests at once. None: cannot be said.

    Counts and first-token times are of the answering load, `seconds` from its first request to
    the end of its last answer. Rates are tokens per second: `stream_rate` of one answer, its wait
    included (median), `output_rate` and `input_rate` of all together; `reading_rate` of prompts
    alone, without what a cache held (None: too fast to be seen), `writing_rate` of answers alone.
    `reading_requests` and `reading_errors` are of the reading load.
    """

    at_once: int
    requests: int
    errors: int
    seconds: float
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    is_reported: bool
    first_token_p50_s: float | None
    first_token_p95_s: float | None
    stream_rate: float | None
    output_rate: float
    input_rate: float
    reading_rate: float | None
    writing_rate: float | None
    reading_requests: int = 0
    reading_errors: int = 0

    @property
    def refusals(self) -> list[str]:
        """Why this is no throughput; empty when it is."""
        reasons = []
        if self.errors > self.requests * _MOST_FAILED:
            reasons.append(f"{self.errors} of {self.requests} requests failed")
        if self.reading_errors > self.reading_requests * _MOST_FAILED:
            reasons.append(
                f"{self.reading_errors} of {self.reading_requests} requests for one token failed"
            )
        if self.requests - self.errors < LEAST_REQUESTS:
            reasons.append(
                f"only {self.requests - self.errors} answers came, and {LEAST_REQUESTS} are needed:"
                " give more --seconds"
            )
        if not self.is_reported:
            reasons.append("the server does not report its tokens: the figures are estimated")
        if self.writing_rate is None:
            reasons.append(
                "reading took most of the time: give fewer --prompt-tokens or more --output-tokens"
            )
        return reasons


@dataclass(slots=True, kw_only=True)
class Measurement:
    """The levels so far. `is_complete` once all were done."""

    provider: str
    model: str
    at: str
    levels: list[Level] = field(default_factory=list)
    is_complete: bool = False

    @property
    def best(self) -> Level | None:
        """The level with the most output in total, of those that are a throughput."""
        sound = [level for level in self.levels if not level.refusals]
        return max(sound, key=lambda level: level.output_rate, default=None)

    def to_json(self) -> dict[str, Any]:
        """The file that `aicore cost --measured` reads; rates are null where there is no best."""
        best = self.best
        shown = best or max(self.levels, key=lambda level: level.output_rate, default=None)
        return {
            "provider": self.provider,
            "model": self.model,
            "at": self.at,
            "tokens_per_s_out": best and best.writing_rate,
            "tokens_per_s_in": best and best.reading_rate,
            "at_once": shown and shown.at_once,
            "seconds": shown.seconds if shown else 0.0,
            "requests": shown.requests if shown else 0,
            "errors": shown.errors if shown else 0,
            "is_reported": bool(shown and shown.is_reported),
            "is_throughput": best is not None,
            "is_complete": self.is_complete,
            "levels": [{**asdict(level), "refusals": level.refusals} for level in self.levels],
        }


async def measure(
    provider: Provider,
    load: Load,
    measurement: Measurement,
    *,
    clock: Callable[[], float],
    seed: int,
    told: Callable[[Level], None],
) -> None:
    """Try every level on an entered provider; add each to `measurement` when done, and tell it.

    `clock` gives seconds. Raises: what the provider raises at the first request of a level, and
    OperatorError at any time; other failures are counted.
    """
    for at_once in load.at_once:
        bench = _Bench(provider, load, clock, random.Random(f"{seed}:{at_once}"))  # noqa: S311 # no secret
        level = await bench.level(at_once)
        measurement.levels.append(level)
        measurement.model = bench.model
        told(level)
    measurement.is_complete = True


@dataclass(frozen=True, slots=True)
class _Seen:
    usage: Usage
    first_s: float | None
    whole_s: float
    ended_s: float


@dataclass(slots=True)
class _Run:
    """One load, from its first request to its last answer."""

    started_s: float
    seen: list[_Seen] = field(default_factory=list)
    begun: int = 0
    failure: OperatorError | None = None

    @property
    def errors(self) -> int:
        return self.begun - len(self.seen)  # what did not end in time is no answer either

    @property
    def seconds(self) -> float:
        return max((one.ended_s for one in self.seen), default=self.started_s) - self.started_s

    @property
    def total(self) -> Usage:
        return sum((one.usage for one in self.seen), Usage())

    def rate(self, tokens: int) -> float:
        return tokens / self.seconds if self.seconds > 0 else 0.0


class _Bench:
    def __init__(
        self, provider: Provider, load: Load, clock: Callable[[], float], random: random.Random
    ) -> None:
        self._provider = provider
        self._load = load
        self._clock = clock
        self._random = random
        self.model = ""

    async def level(self, at_once: int) -> Level:
        await self._ask(self._load.output_tokens)  # says plainly why nothing works at all
        warm_up_s = self._load.seconds * _WARM_UP_SHARE
        await self._run(at_once, warm_up_s, self._load.output_tokens)
        reading_s = self._load.seconds * _READING_SHARE
        reading = await self._run(at_once, reading_s, 1)
        answering = await self._run(
            at_once, self._load.seconds - reading_s, self._load.output_tokens
        )
        return _level(at_once, reading, answering)

    async def _run(self, at_once: int, seconds: float, output_tokens: int) -> _Run:
        run = _Run(self._clock())
        with anyio.move_on_after(seconds + _GRACE_S) as scope:
            async with anyio.create_task_group() as tasks:
                for _ in range(at_once):
                    tasks.start_soon(self._work, run, run.started_s + seconds, output_tokens, scope)
        if run.failure is not None:
            raise run.failure
        return run

    async def _work(
        self, run: _Run, until_s: float, output_tokens: int, scope: anyio.CancelScope
    ) -> None:
        failed = 0
        while self._clock() < until_s and run.begun < _MOST_REQUESTS and failed < _MOST_ERRORS:
            run.begun += 1
            try:
                run.seen.append(await self._ask(output_tokens))
            except (TemporaryError, ModelError):
                failed += 1
            except OperatorError as exc:
                run.failure = exc
                scope.cancel()
                return

    async def _ask(self, output_tokens: int) -> _Seen:
        started_s, first_s, completion = self._clock(), None, None
        async with aclosing(self._provider.stream(self._request(output_tokens))) as items:
            async for item in items:
                if isinstance(item, Completion):
                    completion = item
                elif isinstance(item, TextDelta) and first_s is None:
                    first_s = self._clock()
        ended_s = self._clock()
        if completion is None:
            raise ModelError(f"{self._provider.name} gave no answer.")
        self.model = completion.model
        return _Seen(
            usage=completion.usage,
            first_s=None if first_s is None else first_s - started_s,
            whole_s=ended_s - started_s,
            ended_s=ended_s,
        )

    def _request(self, output_tokens: int) -> Request:
        # Different from the first word on: what a cache holds of another prompt is of no use.
        words = [f"{self._random.getrandbits(40):x}"]
        chars = self._load.prompt_tokens * _CHARS_PER_TOKEN - len(_TASK)
        while chars > 0:
            words.append(self._random.choice(_WORDS))
            chars -= len(words[-1]) + 1
        return Request(
            prefix=Prefix(""),
            tail=[Message(role="user", text=f"{' '.join(words)}\n\n{_TASK}")],
            max_output_tokens=output_tokens,
            data_class="public",
            origin=Origin(task="other"),
        )


def _level(at_once: int, reading: _Run, answering: _Run) -> Level:
    total = answering.total
    reading_rate, writing_rate = _rates(reading, answering)
    firsts = sorted(one.first_s for one in answering.seen if one.first_s is not None)
    streams = [one.usage.output_tokens / one.whole_s for one in answering.seen if one.whole_s > 0]
    return Level(
        at_once=at_once,
        requests=answering.begun,
        errors=answering.errors,
        seconds=answering.seconds,
        input_tokens=total.input_tokens,
        cached_tokens=total.cached_tokens,
        output_tokens=total.output_tokens,
        is_reported=bool(answering.seen) and total.is_reported and reading.total.is_reported,
        first_token_p50_s=_quantile(firsts, 0.5),
        first_token_p95_s=_quantile(firsts, 0.95),
        stream_rate=median(streams) if streams else None,
        output_rate=answering.rate(total.output_tokens),
        input_rate=answering.rate(total.input_tokens),
        reading_rate=reading_rate,
        writing_rate=writing_rate,
        reading_requests=reading.begun,
        reading_errors=reading.errors,
    )


def _rates(reading: _Run, answering: _Run) -> tuple[float | None, float | None]:
    """Solve `new input / reading rate + output / writing rate = seconds` for both loads."""
    read, wrote = reading.total, answering.total
    read_in, wrote_in = (one.input_tokens - one.cached_tokens for one in (read, wrote))
    determinant = read_in * wrote.output_tokens - wrote_in * read.output_tokens
    if determinant <= 0 or answering.seconds <= 0:
        return None, None
    per_input_s = (
        reading.seconds * wrote.output_tokens - answering.seconds * read.output_tokens
    ) / determinant
    reading_s = max(wrote_in * per_input_s, 0.0)
    writing_s = answering.seconds - reading_s
    if writing_s < answering.seconds * _LEAST_WRITING_SHARE:
        return None, None
    is_seen = reading_s > answering.seconds * _LEAST_READING_SHARE
    return 1 / per_input_s if is_seen else None, wrote.output_tokens / writing_s


def _quantile(ordered: Sequence[float], share: float) -> float | None:
    """The smallest that is not below so many of them (nearest rank)."""
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1] if ordered else None
