"""The bench of long conversations keeps the promises it measures, on a short one as well."""

from __future__ import annotations

import anyio
import bills
import context
import long_talk
import pytest


@pytest.fixture(scope="module")
def figures() -> dict[str, object]:
    return anyio.run(context._measure, 240, 60, 1)


def test_the_promises_are_kept(figures: dict[str, object]) -> None:
    assert context.broken_promises(figures) == []


def test_every_kind_of_needle_is_planted_and_most_have_left_the_view(
    figures: dict[str, dict[str, dict[str, int]]],
) -> None:
    for one in figures["needles"].values():
        assert one["planted"] == 10
        assert one["shown"] <= 2
        assert one["by_search"] >= 8


def test_a_report_is_written(figures: dict[str, object]) -> None:
    report = context.as_markdown(figures)
    assert "| turn | prompt tokens | whole history |" in report
    assert "whole history, perfect cache" in report


def test_a_bill_is_of_what_was_sent() -> None:
    price = bills.Price(input_usd=2, cached_usd=0.2, write_usd=3, output_usd=10)
    asked = [
        long_talk.Asked(
            turn=turn,
            tokens=10_000,
            prefix_tokens=1000,
            output_tokens=100,
            size=40_000,
            stable_bytes=common,
            common_bytes=common,
            orphans=0,
        )
        for turn, common in ((0, 0), (0, 20_000), (1, 20_000))
    ]
    compacted, cached, naive = bills.bills(asked, [10_000, 11_000, 12_000], price)
    output = 300 * 10
    assert compacted.usd * 1e6 == pytest.approx(output + 20_000 * 3 + 10_000 * 0.2)
    assert compacted.cold_usd * 1e6 == pytest.approx(output + 25_000 * 3 + 5_000 * 0.2)
    assert cached.usd * 1e6 == pytest.approx(output + 12_000 * 3 + 21_000 * 0.2)
    assert naive.usd == naive.cold_usd == pytest.approx((output + 33_000 * 2) / 1e6)
