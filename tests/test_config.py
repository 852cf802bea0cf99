"""aicore.toml: what is read, and what a mistake is told."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from aicore.agent.build import build_agent, build_log, build_provider, build_server
from aicore.config import ServerSettings, load
from aicore.errors import ConfigError


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "aicore.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_an_empty_file_gives_the_defaults(tmp_path: Path) -> None:
    settings = load(written(tmp_path, ""))
    assert settings.log.path is None
    assert settings.limits.rounds == 12
    assert settings.servers == {}


def test_paths_are_relative_to_the_file_and_here_is_its_folder(tmp_path: Path) -> None:
    settings = load(
        written(
            tmp_path,
            '[log]\npath = "talk.db"\n[agent]\ninstructions_file = "who.md"\n'
            '[provider]\nfile = "a.yaml"\n'
            '[servers.crm]\nlocal = "m:f"\nargs = ["--data", "{here}/data"]\n',
        )
    )
    assert settings.log.path == tmp_path / "talk.db"
    assert settings.agent.instructions_file == tmp_path / "who.md"
    assert settings.provider["file"] == str(tmp_path / "a.yaml")
    assert settings.servers["crm"].args == ["--data", f"{tmp_path}/data"]


@pytest.mark.parametrize(
    ("given", "placed"),
    [
        ("talk.db", "{here}/talk.db"),
        ("sqlite:///talk.db", "sqlite:///{here}/talk.db"),
        ("sqlite:////var/talk.db", "sqlite:////var/talk.db"),
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        ("postgres//127.0.0.1/shop", "postgres//127.0.0.1/shop"),
        ("data//talk.db", "{here}/data/talk.db"),
    ],
)
def test_a_logs_url_is_relative_to_the_file_where_it_means_one(
    tmp_path: Path, given: str, placed: str
) -> None:
    settings = load(written(tmp_path, f'[log]\nurl = "{given}"\n'))
    assert settings.log.url == placed.format(here=tmp_path)


async def test_the_logs_url_can_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AICORE_LOG__URL", "sqlite:///talk.db")
    settings = load(written(tmp_path, '[log]\nbusiness = "shop"\n'))
    async with build_log(settings) as log:
        assert log.business == "shop"
    assert (tmp_path / "talk.db").exists()


def test_a_log_is_in_one_place(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="path and url"):
        load(written(tmp_path, '[log]\nurl = "memory:"\npath = "talk.db"\n'))


@pytest.mark.parametrize("section", ["log", "memory"])
@pytest.mark.parametrize(("here", "there"), [("url", "path"), ("path", "url")])
def test_a_place_in_the_environment_takes_the_place_of_the_other_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, section: str, here: str, there: str
) -> None:
    file = written(tmp_path, f'[{section}]\n{there} = "file.db"\n')
    monkeypatch.setenv(f"AICORE_{section.upper()}__{here.upper()}", "variable.db")
    settings = getattr(load(file), section)
    assert Path(getattr(settings, here)) == tmp_path / "variable.db"
    assert getattr(settings, there) is None

    monkeypatch.setenv(f"AICORE_{section.upper()}__{there.upper()}", "another.db")
    with pytest.raises(ConfigError, match=f"AICORE_{section.upper()}__PATH"):
        load(file)


def test_a_mistake_in_the_environment_names_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AICORE_LIMITS__ROUNDS", "many")
    with pytest.raises(ConfigError, match="AICORE_LIMITS__ROUNDS"):
        load(written(tmp_path, ""))


SEVERAL = '[providers.gpu]\nkind = "vllm"\nmodel = "q"\n[providers.cloud]\nkind = "anthropic"\n'


def test_providers_rules_and_who_is_used_can_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AICORE_PROVIDERS__GPU__MODEL", "zz")
    monkeypatch.setenv("AICORE_ROUTER__USE", '["gpu"]')
    monkeypatch.setenv("AICORE_PRIVACY__SPECIAL__LOCAL_ONLY", "true")
    settings = load(written(tmp_path, SEVERAL))
    assert settings.providers["gpu"] == {"kind": "vllm", "model": "zz"}
    assert settings.router.use == ["gpu"]
    assert settings.privacy.special is not None
    assert settings.privacy.special.local_only


def test_a_mistake_about_the_whole_names_the_file_and_what_is_near(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        load(written(tmp_path, SEVERAL + '[router]\nuse = ["cluod"]\n'))
    assert "AICORE_" not in str(refused.value)
    assert "aicore.toml" in str(refused.value)
    assert "'cloud'" in str(refused.value)


@pytest.mark.parametrize("value", ['"yes"', '"on"', "1", '"1"'])
def test_only_a_plain_true_adds_what_was_said_to_telemetry(tmp_path: Path, value: str) -> None:
    with pytest.raises(ConfigError, match=r"telemetry\.content must be true or false"):
        load(written(tmp_path, f"[telemetry]\ncontent = {value}\n"))


def test_the_environment_can_add_what_was_said_to_telemetry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AICORE_TELEMETRY__CONTENT", "true")
    assert load(written(tmp_path, "")).telemetry.content is True


def test_the_environment_wins_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AICORE_PROVIDER__MODEL", "other")
    monkeypatch.setenv("AICORE_LIMITS__ROUNDS", "3")
    settings = load(written(tmp_path, '[provider]\nmodel = "one"\nkind = "openai-compatible"\n'))
    assert settings.provider == {"model": "other", "kind": "openai-compatible"}
    assert settings.limits.rounds == 3


async def test_deadlines_of_tool_calls_can_be_set(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        '[provider]\nkind = "openai-compatible"\nbase_url = "http://127.0.0.1:1/v1"\nmodel = "m"\n'
        "[calls]\nconnect_s = 0.2\n"
        '[servers.silent]\ncommand = ["sleep", "60"]\n',
    )
    with anyio.fail_after(5):
        async with build_agent(path) as agent:
            assert agent.health()[0].state != "connected"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[agent\n", ["TOML"]),
        ('[agent]\ninstruction = "x"\n', ["agent.instruction", "instructions"]),
        ("[limits]\nround = 3\n", ["limits.round", "rounds"]),
        ("[limits]\nrounds = -3\n", ["limits.rounds"]),
        ("[calls]\ncall_s = 0\n", ["calls.call_s"]),
        ('[limits]\nrounds = "many"\n', ["limits.rounds"]),
        ('[servers.crm]\nurl = "http://x"\nlocal = "a:b"\n', ["servers.crm", "exactly one"]),
        ("[servers.crm]\n", ["servers.crm", "exactly one"]),
        ('[serverz.crm]\nurl = "http://x"\n', ["serverz", "servers"]),
        ('policy = "none"\n', ["policy must be"]),
        ('[memory]\npath = "m.db"\nknowledge = "docs"\n', ["memory.knowledge must be a list"]),
        ('[memory]\npath = "m.db"\nextract = "x"\n', ["memory.extract must be 'rules'"]),
        ("[log]\npath = 3\n", ["log.path must be a path"]),
        ("log = 3\n", ["log must be a section"]),
        ('[memory]\npath = "m.db"\nvectors = "rows"\n', ["memory: give vectors and embedder"]),
        ("[context]\nkeep_turns = 0\n", ["context.keep_turns must be 1 or more"]),
        ("_cli_parse_args = true\n", ["_cli_parse_args"]),
        ('_env_file = "x"\n', ["_env_file"]),
    ],
)
def test_a_mistake_is_named_with_what_to_do(tmp_path: Path, text: str, words: list[str]) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    message = str(caught.value)
    assert str(path) in message
    assert all(word in message for word in words), message
    assert "\n" not in message


@pytest.mark.parametrize("value", ["7", "[", '"x"', "{"])
def test_an_environment_variable_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("AICORE_LIMITS", value)
    with pytest.raises(ConfigError, match="limits"):
        load(written(tmp_path, ""))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml"):
        load(tmp_path / "nowhere.toml")


def test_a_folder_or_binary_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        load(tmp_path)
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError):
        load(tmp_path / "b.toml")


@pytest.mark.parametrize(
    "provider",
    [
        {},
        {"kind": "nonsense"},
        {"kind": "flows"},
        {"kind": "flows", "file": "x.yaml", "model": "y"},
        {"kind": "flows", "file": "does-not-exist.yaml"},
        {"kind": "openai-compatible"},
        {"kind": "openai-compatible", "base_url": "nonsense", "model": "m"},
        {"kind": "openai-compatible", "base_url": "http://127.0.0.1:1/v1", "model": "m", "key": 1},
    ],
)
def test_a_provider_that_cannot_be_is_refused(provider: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        build_provider(provider)


@pytest.mark.parametrize(
    "server",
    [
        {"local": "no_such_module:server"},
        {"local": "json:no_such_function"},
        {"local": "json"},
        {"local": "json:loads", "args": ["{"]},
        {"url": "http://x/mcp", "headers_env": {"Authorization": "NOT_SET_ANYWHERE"}},
        {"url": "ftp://x"},
    ],
)
def test_a_server_that_cannot_be_is_refused_by_name(server: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"shop|ftp"):
        build_server("shop", ServerSettings.model_validate(server))


def test_a_missing_instructions_file_is_named(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        '[agent]\ninstructions_file = "gone.md"\n[provider]\nkind = "openai-compatible"\n'
        'base_url = "http://127.0.0.1:1/v1"\nmodel = "m"\n',
    )
    with pytest.raises(ConfigError, match=r"gone\.md"):
        build_agent(path)
