"""A server's throughput: exact on a model whose speed is known, and sane on a real one."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest
from tests.models.tiny_gguf import ENDLESS, write_tiny_gguf

from aicore.costs.measuring import LEAST_REQUESTS, Level, Load, Measurement, measure
from aicore.errors import AicoreError, CredentialError, ModelError, ProviderUnavailable
from aicore.models import Capabilities, Completion, InProcess, Provider, Request, TextDelta
from aicore.records import Usage

READS_PER_S, WRITES_PER_S = 1000.0, 10.0
LOAD = Load(at_once=(1,), seconds=100, prompt_tokens=100, output_tokens=20)


class Metronome:
    """A model of known speed, one request at a time; the time it takes is its own `now_s`."""

    name = "metronome"
    capabilities = Capabilities(locality="local")

    def __init__(
        self, *, cached: int = 0, is_reported: bool = True, reads_per_s: float = READS_PER_S
    ) -> None:
        self.now_s = 0.0
        self.asked: list[Request] = []
        self.cached = cached
        self.is_reported = is_reported
        self.reads_per_s = reads_per_s
        self.fault: Callable[[int], AicoreError | None] = lambda count: None

    async def complete(self, request: Request) -> Completion:
        raise NotImplementedError

    async def stream(self, request: Request) -> AsyncIterator[TextDelta | Completion]:
        self.asked.append(request)
        if error := self.fault(len(self.asked)):
            self.now_s += 1
            raise error
        written = request.max_output_tokens or 0
        self.now_s += (100 - self.cached) / self.reads_per_s + 1 / WRITES_PER_S
        yield TextDelta("a")
        self.now_s += (written - 1) / WRITES_PER_S
        usage = Usage(
            input_tokens=100,
            cached_tokens=self.cached,
            output_tokens=written,
            is_reported=self.is_reported,
        )
        yield Completion(text="a", usage=usage, model="m-1")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass


async def measured(provider: Metronome, load: Load = LOAD) -> Measurement:
    measurement = Measurement(provider=provider.name, model="", at="2026-11-20T10:00:00+00:00")
    await measure(
        provider,
        load,
        measurement,
        clock=lambda: provider.now_s,
        seed=1,
        told=lambda level: None,
    )
    return measurement


async def test_known_speed_is_found_again() -> None:
    provider = Metronome()
    measurement = await measured(provider)
    (level,) = measurement.levels

    assert measurement.best is level
    assert (measurement.model, measurement.is_complete) == ("m-1", True)
    assert level.errors == 0
    assert level.requests >= LEAST_REQUESTS
    # 0.1 s to read, 2 s to write 20 tokens; the first of them after 0.2 s
    assert level.first_token_p50_s == level.first_token_p95_s == pytest.approx(0.2)
    assert level.stream_rate == pytest.approx(20 / 2.1)
    assert level.output_rate == pytest.approx(20 / 2.1)
    assert level.input_rate == pytest.approx(100 / 2.1)
    assert level.reading_rate == pytest.approx(READS_PER_S)
    assert level.writing_rate == pytest.approx(WRITES_PER_S)


async def test_both_speeds_together_give_the_time_that_was_needed() -> None:
    (level,) = (await measured(Metronome(cached=40))).levels
    assert level.reading_rate is not None
    assert level.writing_rate is not None
    new_tokens = level.input_tokens - level.cached_tokens

    assert level.cached_tokens == level.input_tokens * 0.4
    assert new_tokens / level.reading_rate + level.output_tokens / level.writing_rate == (
        pytest.approx(level.seconds)
    )


async def test_warm_up_is_left_out() -> None:
    provider = Metronome()
    (level,) = (await measured(provider)).levels
    counted = [one for one in provider.asked if one.max_output_tokens == 20]

    assert level.requests < len(counted)
    assert level.output_tokens == 20 * level.requests


async def test_prompts_differ_from_their_first_word_on() -> None:
    provider = Metronome()
    await measured(provider)
    firsts = [one.tail[-1].text.split()[0] for one in provider.asked]

    assert len(set(firsts)) == len(firsts)
    assert 300 < len(provider.asked[0].tail[-1].text) < 500


async def test_prompts_differ_from_run_to_run_by_the_seed_alone() -> None:
    one, same = Metronome(), Metronome()
    await measured(one)
    await measured(same)

    assert [r.tail[-1].text for r in one.asked] == [r.tail[-1].text for r in same.asked]


def refused(measurement: Measurement) -> Level:
    (level,) = measurement.levels
    data = measurement.to_json()
    assert measurement.best is None
    assert (data["tokens_per_s_out"], data["tokens_per_s_in"]) == (None, None)
    assert data["is_throughput"] is False
    assert data["levels"][0]["refusals"] == level.refusals
    assert level.refusals
    return level


async def test_failures_of_short_answers_count_as_well() -> None:
    provider = Metronome()

    def refuse_short(count: int) -> AicoreError | None:
        return ModelError("no") if provider.asked[-1].max_output_tokens == 1 and count % 2 else None

    provider.fault = refuse_short
    level = refused(await measured(provider))
    assert level.errors == 0
    assert level.reading_errors > level.reading_requests // 3


async def test_more_than_one_failure_in_a_hundred_is_no_throughput() -> None:
    provider = Metronome()
    provider.fault = lambda count: ModelError("no") if count % 20 == 0 else None

    assert 0 < refused(await measured(provider)).errors < 10


async def test_rare_failure_is_counted_and_shown() -> None:
    provider = Metronome()
    provider.fault = lambda count: ProviderUnavailable("full") if count == 700 else None
    measurement = await measured(provider, Load(at_once=(1,), seconds=500, output_tokens=20))

    assert measurement.levels[0].errors == 1
    assert measurement.best is measurement.levels[0]


async def test_server_that_only_fails_is_not_asked_for_ever() -> None:
    provider = Metronome()
    provider.fault = lambda count: ProviderUnavailable("full") if count > 1 else None
    level = refused(await measured(provider))

    assert level.requests == level.errors
    assert len(provider.asked) < 100
    assert level.first_token_p95_s is None


async def test_few_answers_are_no_throughput() -> None:
    level = refused(await measured(Metronome(), Load(at_once=(1,), seconds=20, output_tokens=20)))

    assert 0 < level.requests < LEAST_REQUESTS


async def test_tokens_that_were_not_reported_are_no_throughput() -> None:
    level = refused(await measured(Metronome(is_reported=False)))

    assert not level.is_reported
    assert level.output_rate > 0


async def test_time_spent_on_reading_is_no_throughput_of_writing() -> None:
    provider = Metronome(reads_per_s=100)
    level = refused(await measured(provider, Load(at_once=(1,), seconds=100, output_tokens=2)))

    assert level.writing_rate is None


async def test_reading_too_fast_to_be_seen_takes_no_time() -> None:
    measurement = await measured(Metronome(reads_per_s=float("inf")))

    assert measurement.to_json()["tokens_per_s_in"] is None
    assert measurement.to_json()["tokens_per_s_out"] == pytest.approx(WRITES_PER_S)


@pytest.mark.parametrize("when", [1, 40])
async def test_refused_key_ends_it_at_once(when: int) -> None:
    provider = Metronome()
    provider.fault = lambda count: CredentialError("no") if count == when else None

    with pytest.raises(CredentialError):
        await measured(provider)
    assert len(provider.asked) == when


async def test_unreachable_server_is_said_at_once() -> None:
    provider = Metronome()
    provider.fault = lambda count: ProviderUnavailable("nobody there")

    with pytest.raises(ProviderUnavailable):
        await measured(provider)
    assert len(provider.asked) == 1


async def test_real_model_is_measured_at_every_level(tmp_path: Path) -> None:
    from time import monotonic

    provider: Provider = InProcess(
        path=write_tiny_gguf(tmp_path / "endless.gguf", biases=ENDLESS), threads=1
    )
    measurement = Measurement(provider=provider.name, model="", at="2026-11-20T10:00:00+00:00")
    told: list[Level] = []
    load = Load(at_once=(1, 2), seconds=0.5, prompt_tokens=30, output_tokens=20)
    async with provider:
        await measure(provider, load, measurement, clock=monotonic, seed=1, told=told.append)

    assert [level.at_once for level in measurement.levels] == [1, 2]
    assert told == measurement.levels
    for level in told:
        assert level.errors == 0
        assert level.is_reported
        assert level.output_tokens == 20 * level.requests
        assert level.cached_tokens < level.input_tokens / 2
        assert level.seconds >= 0.3
