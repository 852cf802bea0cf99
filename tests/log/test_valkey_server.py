"""The Valkey that the tests start."""

from __future__ import annotations

from typing import Any

import pytest
import redis

used: list[str] = []


def test_a_database_is_empty_and_scripts_run(valkey: Any) -> None:
    url = valkey.new_url()
    used.append(url)
    assert valkey.ask("DBSIZE", url=url) == 0
    valkey.ask("EVAL", "return redis.call('SET', KEYS[1], 'x')", 1, "k", url=url)
    assert valkey.new_url() != url


def test_the_databases_of_an_earlier_test_are_empty(valkey: Any) -> None:
    for url in used:
        assert valkey.ask("DBSIZE", url=url) == 0


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_what_was_written_outlives_a_stop(valkey: Any, how: str) -> None:
    url = valkey.new_url()
    valkey.ask("SET", "k", "v", url=url)
    getattr(valkey, how)()
    with pytest.raises(redis.ConnectionError):
        valkey.ask("GET", "k", url=url)
    valkey.launch()
    assert valkey.ask("GET", "k", url=url) == b"v"


def test_another_server_has_other_settings_and_other_data(valkey: Any) -> None:
    valkey.ask("SET", "k", "v")
    with valkey.start(appendonly="no", rename_command=["CONFIG", ""]) as other:
        assert other.port != valkey.port
        assert other.ask("GET", "k") is None
        with pytest.raises(redis.ResponseError):
            other.ask("CONFIG", "GET", "appendonly")
    valkey.ask("DEL", "k")


def test_a_server_that_cannot_start_says_why(valkey: Any) -> None:
    with pytest.raises(AssertionError, match="no-such-setting"), valkey.start(no_such_setting="1"):
        pass
