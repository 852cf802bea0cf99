"""`aicore models`: what is configured and answers, what does not and why, what is known."""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.models.fake_openai import Asked, Play, free_port, json_play, serving
from tests.models.tiny_gguf import write_tiny_gguf

from aicore.models.systems.profiles import known_systems

KEY = "sk-very-secret-key"


async def aicore(folder: Path, *words: str) -> tuple[int, str]:
    done = await anyio.run_process(
        [sys.executable, "-m", "aicore", "models", *words], cwd=folder, check=False
    )
    said = done.stdout.decode() + done.stderr.decode()
    assert "Traceback" not in said
    return done.returncode, said


async def rows(folder: Path, url: str = "") -> dict[str, dict[str, Any]]:
    """By name; what runs at `url` and has none, by its model."""
    code, said = await aicore(folder, "--json")
    assert code == 0
    told = [row for row in json.loads(said) if row["name"] or row["url"] == url]
    found = {row["name"] or row["model"]: row for row in told}
    assert len(found) == len(told), "something is told twice"
    return found


def answering(answers: Mapping[str, Any]) -> Callable[[Asked], Play]:
    def answer(asked: Asked) -> Play:
        found = answers.get(asked.path)
        return json_play({}, status=404) if found is None else json_play(found)

    return answer


OLLAMA = {
    "/v1/models": {
        "object": "list",
        "data": [
            {"id": "llama3.3:latest", "owned_by": "library"},
            {"id": "gpt-oss:120b-cloud", "owned_by": "library"},
        ],
    },
    "/api/ps": {"models": [{"name": "llama3.3:latest", "context_length": 16384}]},
    "/api/show": {"model_info": {"llama.context_length": 131072}},
}


async def test_configured_models_are_told_with_context_price_and_place(tmp_path: Path) -> None:
    async with serving(otherwise=answering(OLLAMA)) as server:
        (tmp_path / "aicore.toml").write_text(
            f"""
            [providers.house]
            kind = "ollama"
            model = "llama3.3"
            base_url = "{server.base_url}"
            [providers.other]
            kind = "ollama"
            model = "qwen3"
            base_url = "{server.base_url}"
            [providers.down]
            kind = "vllm"
            model = "qwen3"
            base_url = "http://127.0.0.1:{free_port()}/v1"
            price = {{ input_usd = "0.1", output_usd = "0.2" }}
            [providers.rented]
            kind = "openai"
            model = "gpt-5"
            """
        )
        found = await rows(tmp_path, server.base_url.removesuffix("/v1"))

    house, other, down, rented = (found[name] for name in ("house", "other", "down", "rented"))
    assert set(found) == {"house", "other", "down", "rented", "gpt-oss:120b-cloud"}
    assert found["gpt-oss:120b-cloud"]["locality"] == "managed"
    assert (house["answers"], house["context_tokens"], house["most_tokens"]) == (
        True,
        16384,
        131072,
    )
    assert (house["locality"], house["price"], house["system"]) == ("local", None, "ollama")
    assert other["answers"] is False
    assert "llama3.3:latest" in other["error"]
    assert down["answers"] is False
    assert down["price"]["input_usd"] == "0.1"
    assert "127.0.0.1" in down["error"]
    assert (rented["answers"], rented["locality"]) == (False, "managed")
    assert "OPENAI_API_KEY" in rented["error"]
    assert not [asked for asked in server.requests if "chat" in asked.path]


async def test_vendor_is_asked_for_its_list_only_and_the_price_is_looked_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", KEY)
    answers = {"/v1/models": {"object": "list", "data": [{"id": "gpt-5", "owned_by": "openai"}]}}
    async with serving(otherwise=answering(answers)) as server:
        (tmp_path / "aicore.toml").write_text(
            f"""
            [providers.rented]
            kind = "openai"
            model = "gpt-5"
            region = "eu"
            base_url = "{server.base_url}"
            [providers.frankfurt]
            kind = "bedrock"
            region = "eu-central-1"
            model = "openai.gpt-oss-120b-1:0"
            """
        )
        found = await rows(tmp_path)
        code, said = await aicore(tmp_path)

    rented, frankfurt = found["rented"], found["frankfurt"]
    assert (rented["answers"], rented["locality"], rented["region"]) == (True, "managed", "eu")
    assert rented["price"]["source"].startswith("genai-prices")
    assert (frankfurt["answers"], frankfurt["region"]) == (None, "eu")
    assert [asked.path for asked in server.requests] == ["/v1/models"] * 2
    assert code == 0
    assert "not asked" in said
    assert KEY not in said + json.dumps(found)


async def test_model_in_this_process_is_its_file(tmp_path: Path) -> None:
    write_tiny_gguf(tmp_path / "tiny.gguf")
    (tmp_path / "aicore.toml").write_text(
        """
        [providers.here]
        kind = "in-process"
        path = "tiny.gguf"
        [providers.gone]
        kind = "in-process"
        path = "gone.gguf"
        """
    )
    found = await rows(tmp_path)
    here, gone = found["here"], found["gone"]

    assert (here["answers"], here["model"], here["most_tokens"]) == (True, "tiny.gguf", 8192)
    assert here["locality"] == "in_process"
    assert gone["answers"] is False
    assert "gone.gguf" in gone["error"]


async def test_one_provider_and_flows_are_told_too(tmp_path: Path) -> None:
    (tmp_path / "aicore.toml").write_text('[provider]\nkind = "flows"\nfile = "shop.yaml"\n')
    code, said = await aicore(tmp_path)

    assert code == 0
    assert "flows" in said
    assert "in_process" in said


async def test_name_that_would_steer_the_terminal_is_shown_as_text(tmp_path: Path) -> None:
    answers = {"/v1/models": {"data": [{"id": "bad\x1b[2Jname"}]}}
    async with serving(otherwise=answering(answers)) as server:
        (tmp_path / "aicore.toml").write_text(
            f'[provider]\nkind = "vllm"\nmodel = "m"\nbase_url = "{server.base_url}"\n'
        )
        code, said = await aicore(tmp_path)

    assert code == 0
    assert "\x1b" not in said
    assert "bad?[2Jname" in said


async def test_without_a_configuration_this_machine_is_looked_at(tmp_path: Path) -> None:
    code, said = await aicore(tmp_path)

    assert code == 0
    assert said.strip()


async def test_known_systems_are_listed_with_how_to_start_them(tmp_path: Path) -> None:
    code, said = await aicore(tmp_path, "--systems")
    known = json.loads((await aicore(tmp_path, "--systems", "--json"))[1])

    assert code == 0
    assert [one["kind"] for one in known] == list(known_systems())
    for profile in known_systems().values():
        assert profile.title in said
        assert all(line in said for line in profile.start)
    assert all(sentence for one in known for sentence in one["quirks"].values())
