"""The doctor names where the stores are, and no password."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.postgres_server import PostgresServer
from tests.valkey_server import ValkeyServer


def test_the_doctor_names_the_database_and_not_the_password(
    tmp_path: Path, aicore_here: Any, postgres: PostgresServer
) -> None:
    url = f"{postgres.new_database()}&password=geheim"
    text = f'[log]\nurl = "{url}"\n[memory]\nurl = "{url}"\n'
    (tmp_path / "aicore.toml").write_text(text, encoding="utf-8")
    done = aicore_here(tmp_path, "doctor")
    lines = [line for line in done.stdout.splitlines() if "PostgreSQL at" in line]
    assert [line.split(":")[0] for line in lines] == ["ok    log", "ok    memory"], done.stdout
    assert "geheim" not in done.stdout + done.stderr


def test_the_doctor_names_the_server_of_a_log_on_redis(
    tmp_path: Path, aicore_here: Any, valkey: ValkeyServer
) -> None:
    (tmp_path / "aicore.toml").write_text(f'[log]\nurl = "{valkey.url}"\n', encoding="utf-8")
    done = aicore_here(tmp_path, "doctor")
    assert f"ok    log: {valkey.url}" in done.stdout
