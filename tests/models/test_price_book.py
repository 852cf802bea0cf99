"""What a model costs: as the user says, else as genai-prices does, else unknown."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import genai_prices
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aicore.models.port import Price, PriceTier
from aicore.models.price_book import PriceBook
from aicore.models.prices import cached_saving_usd, priced
from aicore.models.settings import PriceSettings
from aicore.records import Usage

NOVEMBER = datetime(2026, 11, 21, 12, tzinfo=UTC)
MODELS = [
    ("openai", "gpt-5"),
    ("openai", "gpt-5-2025-08-07"),
    ("openai", "gpt-4o"),
    ("openai", "ft:gpt-4o-mini-2024-07-18:acme::abc"),
    ("anthropic", "claude-opus-5-5"),
    ("anthropic", "claude-haiku-4-5"),
    ("anthropic", "claude-haiku-5-5"),  # dearer above 100,000 tokens
    ("anthropic", "claude-sonnet-4-5-20250929"),  # dearer above 200,000
    ("anthropic", "claude-2"),  # no price of its own for cached input
    ("google", "gemini-3.1-flash-lite"),
    ("google", "gemini-2.5-pro"),
    ("google", "claude-sonnet-4-5@20250929"),
    ("azure", "gpt-5"),
    ("aws", "anthropic.claude-sonnet-4-5-20250929-v1:0"),
    ("aws", "eu.amazon.nova-lite-v1:0"),
    ("openrouter", "openai/gpt-5"),
    ("openrouter", "anthropic/claude-sonnet-4.5"),
    ("deepseek", "deepseek-chat"),  # cheaper at night
    ("mistral", "mistral-small-latest"),
    ("groq", "llama-3.3-70b-versatile"),
]
USAGES = [
    Usage(),
    Usage(input_tokens=1000, output_tokens=100),
    Usage(input_tokens=1000, cached_tokens=900, output_tokens=1),
    Usage(input_tokens=1000, cached_tokens=300, cache_write_tokens=700, output_tokens=7),
    Usage(input_tokens=100_000, output_tokens=1),
    Usage(input_tokens=100_001, cached_tokens=1, output_tokens=1),
    Usage(input_tokens=200_000, cache_write_tokens=200_000, output_tokens=64_000),
    Usage(input_tokens=200_001, cached_tokens=200_000, output_tokens=3),
    Usage(input_tokens=1_000_000, cached_tokens=1, cache_write_tokens=1, output_tokens=8192),
]


def ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def theirs(vendor: str, model: str, usage: Usage, at: datetime) -> Decimal:
    """The same by genai-prices' own arithmetic."""
    counted = genai_prices.Usage(
        input_tokens=usage.input_tokens,
        cache_read_tokens=usage.cached_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        output_tokens=usage.output_tokens,
    )
    return genai_prices.calc_price(
        counted, model, provider_id=vendor, genai_request_timestamp=at
    ).total_price


@pytest.mark.parametrize(("vendor", "model"), MODELS)
def test_cost_is_that_of_genai_prices(vendor: str, model: str) -> None:
    price = PriceBook().price(vendor, model, at_ms=ms(NOVEMBER))
    assert price is not None
    for usage in USAGES:
        assert priced(price, usage).cost_usd == theirs(vendor, model, usage, NOVEMBER)


@given(st.data())
def test_cost_is_that_of_genai_prices_for_any_usage_at_any_time(data: st.DataObject) -> None:
    vendor, model = data.draw(st.sampled_from(MODELS))
    total = data.draw(st.integers(0, 1_200_000))
    cached = data.draw(st.integers(0, total))
    usage = Usage(
        input_tokens=total,
        cached_tokens=cached,
        cache_write_tokens=data.draw(st.integers(0, total - cached)),
        output_tokens=data.draw(st.integers(0, 100_000)),
    )
    at = data.draw(
        st.datetimes(datetime(2025, 1, 1), datetime(2027, 6, 1), timezones=st.just(UTC))  # noqa: DTZ001
    ).replace(microsecond=0)
    price = PriceBook().price(vendor, model, at_ms=ms(at))
    assert price is not None
    assert priced(price, usage).cost_usd == theirs(vendor, model, usage, at)


def test_a_price_goes_by_the_time_asked_for() -> None:
    book = PriceBook()
    day = book.price("deepseek", "deepseek-chat", at_ms=ms(datetime(2025, 3, 1, 12, tzinfo=UTC)))
    night = book.price("deepseek", "deepseek-chat", at_ms=ms(datetime(2025, 3, 1, 20, tzinfo=UTC)))
    assert day is not None
    assert night is not None
    assert night.input_usd < day.input_usd


def test_the_users_own_price_comes_first_and_says_so() -> None:
    mine = Price(input_usd=Decimal(9), output_usd=Decimal(99), as_of="2026-11-01")
    given_source = replace(mine, source="contract 7")
    book = PriceBook(
        {"openai:gpt-5": mine, "llama3.3:70b": mine, "gpt-5": given_source, "free": given_source}
    )
    assert book.price("openai", "gpt-5") == replace(mine, source="own")
    assert book.price("azure", "gpt-5") == given_source
    assert book.price(None, "llama3.3:70b") == replace(mine, source="own")
    assert book.price("nobody", "free") == given_source


@pytest.mark.parametrize(
    ("vendor", "model"),
    [
        (None, "gpt-5"),
        ("", "gpt-5"),
        ("nobody", "gpt-5"),
        ("openai", "gpt-99"),
        ("azure", "our-own-deployment"),
        ("openrouter", "openai/gpt-5:free"),
        ("openrouter", "meta-llama/llama-3.3-70b-instruct:free"),  # listed, without any price
        ("openai", "text-embedding-3-small"),  # no price for output
        ("perplexity", "sonar"),  # charged by request as well
        ("perplexity", "sonar-deep-research"),  # charged by kinds of output as well
    ],
)
def test_unknown_is_never_zero(vendor: str | None, model: str) -> None:
    book = PriceBook()
    assert book.price(vendor, model) is None
    assert book.price(vendor, model) is None


@pytest.mark.parametrize(
    ("vendor", "model", "taken_as"),
    [
        ("openai", "gpt-5", ""),
        ("openai", "GPT-5-2025-08-07", ""),
        ("openrouter", "openai/gpt-5", ""),
        ("anthropic", "claude-haiku-4-5", ""),
        ("google", "models/gemini-3.1-flash-lite", ""),
        ("anthropic", "claude-sonnet-4-5-20250929", "anthropic:claude-sonnet-4-5"),
        ("azure", "gpt-5", "openai:gpt-5"),
        ("google", "claude-opus-4-1", "google:claude-4-opus"),
        ("my-openai-proxy", "gpt-5", "openai:gpt-5"),
        ("litellm", "openai/gpt-5", "openai:gpt-5"),
        ("aws", "eu.amazon.nova-lite-v1:0", "aws:amazon.nova-lite-v1:0"),
    ],
)
def test_a_model_that_is_only_alike_is_named(vendor: str, model: str, taken_as: str) -> None:
    price = PriceBook().price(vendor, model)
    assert price is not None
    package, _, alike = price.source.partition(", taken as ")
    assert package == f"genai-prices {genai_prices.__version__}"
    assert alike == taken_as


def test_as_of_is_the_newest_change_that_had_come() -> None:
    price = PriceBook().price("openai", "gpt-5", at_ms=ms(datetime(2026, 11, 4, tzinfo=UTC)))
    assert price is not None
    assert price.as_of == "2026-11-03"
    ancient = PriceBook().price("openai", "gpt-5", at_ms=0)
    assert ancient is not None
    assert ancient.as_of == ""


def test_a_newer_snapshot_of_somebody_else_is_not_looked_at() -> None:
    from genai_prices.data_snapshot import DataSnapshot, set_custom_snapshot

    set_custom_snapshot(DataSnapshot(providers=[], from_auto_update=True))
    try:
        assert PriceBook().price("openai", "gpt-5") is not None
    finally:
        set_custom_snapshot(None)


def test_genai_prices_is_loaded_with_the_first_price_only() -> None:
    program = (
        "import sys; from decimal import Decimal; from aicore.models.port import Price;"
        "from aicore.models.price_book import PriceBook;"
        "book = PriceBook({'m': Price(input_usd=Decimal(1), output_usd=Decimal(1))});"
        "assert book.price('openai', 'm'); assert book.price(None, 'gpt-5') is None;"
        "assert 'genai_prices' not in sys.modules;"
        "assert book.price('openai', 'gpt-5'); assert 'genai_prices' in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=50)


TIERED = Price(
    input_usd=Decimal(2),
    output_usd=Decimal(10),
    cached_usd=Decimal("0.2"),
    cache_write_usd=Decimal("2.5"),
    source="own",
    as_of="2026-11-01",
    tiers=(
        PriceTier(above_tokens=1000, input_usd=Decimal(4), output_usd=Decimal(15)),
        PriceTier(above_tokens=5000, input_usd=Decimal(8), output_usd=Decimal(20)),
    ),
)


@pytest.mark.parametrize(
    ("usage", "micro_usd"),
    [
        # 500 x 2 + 300 x 0.2 + 200 x 2.5 + 9 x 10
        (
            Usage(input_tokens=1000, cached_tokens=300, cache_write_tokens=200, output_tokens=10),
            1660,
        ),
        # all at the tier's: 1001 x 4 + 10 x 15; it has no price of its own for cached input
        (Usage(input_tokens=1001, cached_tokens=300, output_tokens=10), 4154),
        (Usage(input_tokens=5001, output_tokens=0), 40_008),
        # more cached than there is: 100 x 0.2, nothing is taken off
        (Usage(input_tokens=10, cached_tokens=100), 20),
    ],
)
def test_tiers_and_caches_by_hand(usage: Usage, micro_usd: int) -> None:
    assert priced(TIERED, usage).cost_usd == Decimal(micro_usd) / 1_000_000


def test_a_price_is_read_back_from_the_log_as_it_was() -> None:
    assert Price.from_json(TIERED.to_json()) == TIERED
    plain = Price(input_usd=Decimal("0.10"), output_usd=Decimal(3))
    assert Price.from_json(plain.to_json()) == plain
    of_before = {key: value for key, value in plain.to_json().items() if key != "tiers"}
    assert Price.from_json(of_before) == plain


def test_a_configuration_can_say_all_of_it_but_tiers() -> None:
    told = {"input_usd": "2", "output_usd": "10", "cached_usd": "0.2", "cache_write_usd": "2.5"}
    price = PriceSettings.model_validate(told).price()
    assert price == replace(TIERED, source="", as_of="", tiers=())


def test_what_a_cache_saves_is_less_what_filling_it_costs() -> None:
    usage = Usage(input_tokens=1000, cached_tokens=300, cache_write_tokens=200)
    # 300 x (2 - 0.2) - 200 x (2.5 - 2) = 540 - 100
    assert cached_saving_usd(TIERED, usage) == Decimal("0.00044")
    assert cached_saving_usd(TIERED, Usage(input_tokens=2000, cached_tokens=2000)) == 0
