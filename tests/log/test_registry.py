"""A url gives its log; what is no url of one says so and shows no password."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from aicore.errors import ConfigError
from aicore.log import MemoryLog, SQLiteLog
from aicore.log.postgres import PostgresLog
from aicore.log.redis import RedisLog
from aicore.log.registry import file_of, open_log


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("memory:", MemoryLog),
        ("talk.db", SQLiteLog),
        ("sqlite:///talk.db", SQLiteLog),
        ("SQLite:////tmp/talk.db", SQLiteLog),
        ("postgresql://ann:secret@127.0.0.1/shop", PostgresLog),
        ("postgres://ann:secret@127.0.0.1/shop", PostgresLog),
        ("redis://:secret@127.0.0.1/0", RedisLog),
        ("rediss://127.0.0.1/0", RedisLog),
        ("valkey://127.0.0.1/0", RedisLog),
    ],
)
def test_the_scheme_of_a_url_decides(url: str, kind: type) -> None:
    log = open_log(url, business="shop")
    assert isinstance(log, kind)
    assert log.business == "shop"


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("talk.db", "talk.db"),
        ("./a:b.db", "./a:b.db"),
        ("sqlite:///talk.db", "talk.db"),
        ("sqlite:////var/talk.db", "/var/talk.db"),
        ("C:/talk.db", "C:/talk.db"),
        ("postgresql://127.0.0.1/shop", None),
        ("memory:", None),
    ],
)
def test_what_means_a_file_is_known(url: str, path: str | None) -> None:
    assert file_of(url) == (None if path is None else Path(path))


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("postgre://ann:secret@127.0.0.1/shop", "postgres"),
        ("sqlit:///secret.db", "sqlite"),
        ("valky://:secret@127.0.0.1", "valkey"),
        ("mongodb://ann:secret@127.0.0.1", "Known are"),
        ("postgres//ann:secret@127.0.0.1/shop", "postgres://"),
        ("redis//secret", "redis://"),
        ("sqlite://secret.db", "sqlite:///"),
        ("sqlite:///", "sqlite:///"),
        ("", "sqlite:///"),
    ],
)
def test_what_is_no_log_is_told_with_the_nearest_and_without_the_rest(url: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=hint) as refused:
        open_log(url)
    assert "secret" not in str(refused.value)


def test_a_log_loads_the_client_of_no_other_store() -> None:
    program = (
        "import sys; from aicore.log.registry import open_log; open_log('talk.db'); "
        "print([one for one in ('psycopg', 'redis') if one in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert ended.stdout.decode().strip() == "[]"
