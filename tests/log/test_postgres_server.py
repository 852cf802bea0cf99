"""The PostgreSQL that the tests start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest

made: list[str] = []


def test_a_database_is_fresh_and_knows_vectors(postgres: Any) -> None:
    url = postgres.new_database()
    made.append(url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION vector")
        connection.execute("CREATE TABLE t (v vector(2))")
    assert postgres.new_database() != url


def test_the_databases_of_an_earlier_test_are_gone(postgres: Any) -> None:
    postgres.new_database()
    for url in made:
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(url)


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_what_was_committed_outlives_a_stop(postgres: Any, how: str) -> None:
    url = postgres.new_database()
    database = Path(url.partition("?")[0]).name
    postgres.execute("CREATE TABLE t AS SELECT 7 AS n", database=database)
    getattr(postgres, how)()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)
    postgres.start()
    assert postgres.execute("SELECT n FROM t", database=database) == [(7,)]
