"""The four servers as one process: each tool answers as it does in its own server."""

import json
import os
import subprocess
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from anyio import from_thread
from mcp import Client

from aicore_servers._serve import Program, ServeSettings
from aicore_servers._tooling import Rules
from aicore_servers.business import PROGRAM, create
from aicore_servers.calendars import PROGRAM as CALENDARS
from aicore_servers.crm import PROGRAM as CRM
from aicore_servers.mail import PROGRAM as MAIL
from aicore_servers.payments import PROGRAM as PAYMENTS
from aicore_tools.connections import Connection
from aicore_tools.errors import BackendConfigError

Connect = Callable[..., Any]
PARTS = (CRM, MAIL, CALENDARS, PAYMENTS)


@asynccontextmanager
async def listed(program: Program, folder: Path, **given: Any) -> AsyncIterator[list[Any]]:
    async with Client(program.create(ServeSettings(data_dir=folder, **given))) as client:
        yield (await client.list_tools()).tools


async def test_it_has_the_tools_of_all_four_as_they_are(tmp_path: Path) -> None:
    apart: list[Any] = []
    for program in PARTS:
        async with listed(program, tmp_path) as tools:
            apart += tools
    async with listed(PROGRAM, tmp_path) as together:
        assert together == apart
    names = [tool.name for tool in together]
    assert len(set(names)) == len(names) == 32


async def test_each_call_reaches_its_own_service(in_process: Connect) -> None:
    async with in_process(create) as desk:
        ann = {"set": {"name": "Ann Lee", "email": "ann@example.com"}}
        saved = await desk("crm_upsert", key="k1", type="contact", records=[ann])
        assert not saved.is_error
        draft = await desk("mail_draft", key="k2", to=["ann@example.com"], subject="S", body="B")
        assert not draft.is_error
        customer = await desk("payments_customer", key="k3", email="ann@example.com", set={})
        assert not customer.is_error
        for tool in ("mail_folders", "calendar_calendars"):
            assert not (await desk(tool)).is_error
        (row,) = (await desk("crm_search", type="contact"))["rows"]
        assert row["email"] == "ann@example.com"


async def test_an_effect_happens_once_per_key_and_tool(in_process: Connect) -> None:
    async with in_process(create) as desk:
        first = await desk("crm_log", key="k", kind="note", text="once")
        again = await desk("crm_log", key="k", kind="note", text="once")
        assert again.body == {**first.body, "replayed": True}
        other = await desk("payments_customer", key="k", email="ann@example.com", set={})
        assert "replayed" not in other.body


async def test_what_cannot_be_undone_is_confirmed_here_as_there(in_process: Connect) -> None:
    async with in_process(create) as desk:
        await desk("crm_upsert", key="a", type="contact", records=[{"set": {"name": "Ann"}}])
        asked = await desk("crm_archive", key="b", type="contact", ids=["1"])
        assert asked["needs_confirmation"] is True
        done = await desk(
            "crm_archive", key="b", type="contact", ids=["1"], confirm=asked["confirm"]
        )
        assert not done.is_error
        assert (await desk("crm_search", type="contact"))["rows"] == []


async def test_it_shares_its_files_with_the_single_servers(in_process: Connect) -> None:
    async with in_process(create) as desk:
        await desk("crm_log", key="k", kind="note", text="seen by both")
    async with in_process(CRM.create) as crm:
        (row,) = (await crm("crm_search", type="note"))["rows"]
        assert row["text"] == "seen by both"


async def test_it_may_have_some_of_them_only(in_process: Connect, tmp_path: Path) -> None:
    async with in_process(create, options={"servers": "calendars, crm"}) as desk:
        names = {tool.name.partition("_")[0] for tool in (await desk.client.list_tools()).tools}
        assert names == {"crm", "calendar"}
        refused = await desk("mail_search")
        assert refused["code"] == "unknown_tool"
    assert sorted(os.listdir(tmp_path)) == ["calendars.db", "crm.db"]  # noqa: PTH208  no wait in an async test


async def test_options_of_the_parts_reach_them(in_process: Connect) -> None:
    options = {"payments-currency": "JPY", "calendars-calendars": "anna,room"}
    async with in_process(create, options=options, time_zone="Europe/Berlin") as desk:
        link = await desk("payments_link", key="k", lines=[{"description": "Cut", "amount": 5}])
        assert link["link"]["currency"] == "JPY"
        calendars = (await desk("calendar_calendars"))["calendars"]
        assert [each["id"] for each in calendars] == ["anna", "room"]
        assert {each["tz"] for each in calendars} == {"Europe/Berlin"}


@pytest.mark.parametrize("profile", ["read", "draft", "write"])
async def test_profiles_prune_it_as_they_prune_the_parts(tmp_path: Path, profile: Any) -> None:
    rules = Rules(profile=profile)
    apart: list[Any] = []
    for program in PARTS:
        async with listed(program, tmp_path, rules=rules) as tools:
            apart += tools
    async with listed(PROGRAM, tmp_path, rules=rules) as together:
        assert together == apart
    async with listed(PROGRAM, tmp_path) as all_:
        assert len(together) < len(all_)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"servers": "crm,post"}, "post"),
        ({"servers": " "}, "--servers"),
        ({"crm-backend": "hubspott"}, "--crm-backend"),
        ({"mail-address": "nobody"}, "--address"),
    ],
)
def test_a_wrong_option_is_refused(tmp_path: Path, options: dict[str, str], word: str) -> None:
    with pytest.raises(BackendConfigError) as refused:
        create(ServeSettings(data_dir=tmp_path, options=options))
    assert word in refused.value.message
    assert list(tmp_path.iterdir()) == []


async def test_each_connection_is_proved(in_process: Connect) -> None:
    async with in_process(create) as desk:
        (content,) = (await desk.client.read_resource("aicore://connection")).contents
        proofs: Sequence[dict[str, Any]] = json.loads(content.text)["connections"]
        assert [(each["server"], each["backend"]) for each in proofs] == [
            (program.name, "local") for program in PARTS
        ]
        assert all(each["can"] for each in proofs)


@pytest.mark.parametrize(
    ("program", "backend", "vendor"),
    [
        (CRM, "hubspot", "hubspot"),
        (MAIL, "imap", "imap"),
        (MAIL, "gmail", "google"),
        (CALENDARS, "caldav", "caldav"),
        (CALENDARS, "google", "google"),
        (PAYMENTS, "stripe", "stripe"),
    ],
)
async def test_a_keyring_that_takes_its_time_holds_nobody_up(
    program: Program, backend: str, vendor: str, tmp_path: Path
) -> None:
    asked: list[str] = []

    def connect(name: str) -> Connection:
        from_thread.run_sync(asked.append, name)  # refused in the thread of the loop
        raise BackendConfigError("locked")

    server = program.create(ServeSettings(data_dir=tmp_path, backend=backend, connect=connect))
    with pytest.raises(BackendConfigError):
        async with Client(server):
            pass
    assert asked == [vendor]


async def test_a_part_that_cannot_open_says_so_and_the_others_work(in_process: Connect) -> None:
    async with in_process(create, options={"payments-backend": "stripe"}) as desk:
        assert not (await desk("crm_log", key="k", kind="note", text="x")).is_error
        calls = {"payments_search": {"kind": "invoice"}, "payments_get": {"id": "x"}}
        for tool, arguments in calls.items():
            refused = await desk(tool, **arguments)
            assert refused.is_error
            assert refused["code"] == "backend_config"
            assert refused["hint"] == "Run `aicore connect stripe`."
        (content,) = (await desk.client.read_resource("aicore://connection")).contents
        proofs = {each["server"]: each for each in json.loads(content.text)["connections"]}
        assert proofs["aicore-payments"]["error"]["code"] == "backend_config"
        assert proofs["aicore-crm"]["can"]


def test_with_nothing_that_opens_it_does_not_start(
    run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    options = ("--servers", "payments", "--payments-backend", "stripe")
    done = run("business", "--data", str(tmp_path), *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert "aicore connect stripe" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


async def test_it_serves_over_every_transport(over_the_wire: Connect) -> None:
    async with over_the_wire("business") as desk:
        saved = await desk("crm_log", key="k", kind="note", text="x")
        assert not saved.is_error
        assert not (await desk("calendar_calendars")).is_error


def test_its_help_names_the_options_of_its_parts(
    run: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = run("business", "--help")
    assert done.returncode == 0
    assert "--crm-backend" in done.stdout
    assert "--payments-currency" in done.stdout
    assert " --backend" not in done.stdout
