"""The doctor asks each of several models, and says which a budget leaves out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.models.fake_openai import free_port


def _server(name: str, more: str = "") -> str:
    address = f"http://127.0.0.1:{free_port()}/v1"
    kind = 'kind = "openai-compatible"\nmodel = "qwen3"'
    return f'[providers.{name}]\n{kind}\nbase_url = "{address}"\n{more}\n'


def _failures(done: Any) -> list[str]:
    return [line for line in done.stdout.splitlines() if line.startswith("FAIL ")]


def test_each_of_several_is_asked_though_the_first_is_down(
    tmp_path: Path, aicore_here: Any
) -> None:
    text = _server("one") + _server("two")
    (tmp_path / "aicore.toml").write_text(text, encoding="utf-8")
    done = aicore_here(tmp_path, "doctor")
    assert done.returncode == 1
    assert [line.split(": ")[1] for line in _failures(done)] == ["one", "two"]
    assert "special data may go to one, two" in done.stdout


def test_a_provider_that_a_budget_leaves_out_is_named(tmp_path: Path, aicore_here: Any) -> None:
    free = 'price = { input_usd = "0", output_usd = "0" }'
    text = _server("unknown") + _server("free", free) + '[budget]\nday_usd = "5"\n'
    (tmp_path / "aicore.toml").write_text(text, encoding="utf-8")
    left_out = [one for one in _failures(aicore_here(tmp_path, "doctor")) if "budget" in one]
    assert len(left_out) == 1
    assert "unknown" in left_out[0].split(":")[1]


@pytest.mark.parametrize("more", ["", '[budget]\nday_usd = "5"\npath = "budget.db"\n'])
def test_nothing_is_said_of_a_budget_that_is_kept_or_none(
    tmp_path: Path, aicore_here: Any, more: str
) -> None:
    text = _server("free", 'price = { input_usd = "0", output_usd = "0" }') + more
    (tmp_path / "aicore.toml").write_text(text, encoding="utf-8")
    assert "budget" not in aicore_here(tmp_path, "doctor").stdout


def test_a_key_in_the_place_of_its_name_is_not_repeated(tmp_path: Path, aicore_here: Any) -> None:
    text = '[provider]\nkind = "openai"\nmodel = "gpt-5"\napi_key_env = "sk-geheim"\n'
    (tmp_path / "aicore.toml").write_text(text, encoding="utf-8")
    for words in (["doctor"], ["models"]):
        done = aicore_here(tmp_path, *words)
        assert "api_key_env" in done.stdout
        assert "geheim" not in done.stdout + done.stderr


def test_a_misspelt_setting_is_named_and_not_the_one_that_it_should_be(
    tmp_path: Path, aicore_here: Any
) -> None:
    text = '[provider]\nkind = "ollama"\nmodle = "llama3.3"\n'
    (tmp_path / "aicore.toml").write_text(text, encoding="utf-8")
    assert "provider.modle" in aicore_here(tmp_path, "doctor").stdout


def test_models_wants_the_configuration_that_was_named(tmp_path: Path, aicore_here: Any) -> None:
    done = aicore_here(tmp_path, "models", "--config", "other.toml")
    assert done.returncode == 2
    assert "other.toml" in done.stderr
