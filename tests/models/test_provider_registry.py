"""Providers opened by name, from the settings of a file."""

from decimal import Decimal
from typing import Any

import pytest

from aicore.errors import ConfigError
from aicore.models import OpenAICompatible, Price, Timeouts, open_provider

PLAIN = {"base_url": "http://127.0.0.1:11434/v1", "model": "llama3.3"}


def test_openai_compatible_is_opened() -> None:
    provider = open_provider("openai-compatible", PLAIN)

    assert isinstance(provider, OpenAICompatible)
    assert provider.name == "openai:llama3.3"


def test_every_setting_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_KEY", "sk-1\n")
    provider = open_provider(
        "openai-compatible",
        {
            **PLAIN,
            "api_key_env": "SHOP_KEY",
            "name": "house",
            "locality": "managed",
            "price": {"input_usd": "1.25", "output_usd": "10"},
            "context_tokens": "8192",
            "headers": {"X-Team": "a"},
            "timeouts": {"idle_s": 20},
            "extra_body": {"temperature": 0},
        },
    )
    facts = provider.capabilities
    assert isinstance(provider, OpenAICompatible)

    assert (provider.name, facts.locality, facts.context_tokens) == ("house", "managed", 8192)
    assert facts.price == Price(input_usd=Decimal("1.25"), output_usd=Decimal(10))
    assert provider._site.headers["authorization"] == "Bearer sk-1"
    assert provider._site.headers["x-team"] == "a"
    assert provider._timeouts == Timeouts(idle_s=20)
    assert b'"temperature":0' in provider._dialect._heads[True]


@pytest.mark.parametrize(
    ("kind", "named"),
    [("openai-compatibel", "openai-compatible"), ("olama", "ollama"), ("zzz", "openai-compatible")],
)
def test_unknown_kind_names_a_known_one(kind: str, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        open_provider(kind, PLAIN)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({**PLAIN, "base_ulr": "x"}, "base_url"),
        ({**PLAIN, "api_key": "sk-secret"}, "api_key_env"),
        ({**PLAIN, "price": {"input_usd": "1", "output_usd": "1", "cache_usd": "1"}}, "cached_usd"),
        ({**PLAIN, "timeouts": {"idle": 1}}, "idle_s"),
        ({"base_url": "http://a/v1"}, "model"),
        ({**PLAIN, "price": {"input_usd": "cheap", "output_usd": "1"}}, "price.input_usd"),
        ({**PLAIN, "price": {"input_usd": "-1", "output_usd": "1"}}, "price.input_usd"),
        ({**PLAIN, "timeouts": {"idle_s": 0}}, "timeouts.idle_s"),
        ({**PLAIN, "locality": "moon"}, "locality"),
        ({**PLAIN, "context_tokens": "many"}, "context_tokens"),
        ({**PLAIN, "headers": {"X-A": 1}}, "headers"),
        ({**PLAIN, "api_key_env": "NOT_SET"}, "NOT_SET"),
        ({**PLAIN, "base_url": "nowhere"}, "base_url"),
        ({**PLAIN, "zzzzzz": 1}, "zzzzzz"),
    ],
)
def test_wrong_setting_is_named(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named) as caught:
        open_provider("openai-compatible", settings)

    assert "sk-secret" not in f"{caught.value!r} {caught.value.__cause__!r}"
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
