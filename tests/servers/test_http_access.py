"""A server over HTTP: who gets in, what each may do, and what is never written down."""

import base64
import hashlib
import json
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp.types import INVALID_PARAMS

from aicore_servers._serve import MAX_BODY_BYTES, Program, in_process, serve
from aicore_servers.crm import PROGRAM as CRM
from aicore_servers.http_access import Tokens, new_token
from aicore_tools.errors import BackendConfigError
from aicore_tools.mail.drafting import MAX_ATTACHMENT_BYTES

Http = Callable[..., AbstractContextManager[tuple[str, subprocess.Popen[str]]]]

ANN, BOB = "a" * 40, "b" * 40
PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
OPENING = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}
ACCEPT = {"Accept": "application/json, text/event-stream"}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def token_file(folder: Path, *lines: str) -> Path:
    path = folder / "tokens"
    path.write_text("\n".join(lines))
    path.chmod(0o600)
    return path


def post(url: str, **headers: str) -> httpx2.Response:
    return httpx2.post(url, json=PING, headers={**ACCEPT, **headers}, timeout=10)


@asynccontextmanager
async def connected(url: str, token: str, mode: str) -> AsyncIterator[Client]:
    async with (
        httpx2.AsyncClient(headers=bearer(token), timeout=10) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as client,
    ):
        yield client


def test_without_a_good_token_nobody_gets_in(http: Http, tmp_path: Path) -> None:
    path = token_file(tmp_path, f"ann {ANN}")
    with http("crm", tmp_path, "--token-file", str(path)) as (url, _):
        nobody = post(url)
        assert nobody.status_code == 401
        assert nobody.headers["WWW-Authenticate"] == 'Bearer realm="aicore"'
        for wrong in (bearer(BOB), bearer("x"), bearer(f"{ANN}x"), bearer("ä".encode().hex())):
            refused = post(url, **wrong)
            assert refused.status_code == 401
            assert 'error="invalid_token"' in refused.headers["WWW-Authenticate"]
            assert ANN not in refused.text
        assert post(url, Authorization=f"Basic {ANN}").status_code == 401
        for anywhere in (url.removesuffix("mcp"), f"{url}/x", f"{url}/"):
            assert post(anywhere).status_code == 401
        assert post(url, **bearer(ANN)).status_code not in (401, 403, 421)
        assert post(url, Authorization=f"bearer  {ANN}").status_code not in (401, 403, 421)


def test_a_good_token_of_a_foreign_page_gets_nowhere(http: Http, tmp_path: Path) -> None:
    path = token_file(tmp_path, f"ann {ANN}")
    options = ("--allowed-host", "mcp.example", "--allowed-origin", "https://desk.example")
    with http("crm", tmp_path, "--token-file", str(path), *options) as (url, _):
        port = url.rpartition(":")[2].partition("/")[0]
        for host in ("evil.example", f"evil.example:{port}", "mcp.example.evil.example"):
            assert post(url, Host=host, **bearer(ANN)).status_code == 421
        for origin in ("https://evil.example", "http://desk.example", "null"):
            assert post(url, Origin=origin, **bearer(ANN)).status_code == 403
        for host in ("mcp.example", f"mcp.example:{port}", f"localhost:{port}"):
            allowed = post(url, Host=host, Origin="https://desk.example", **bearer(ANN))
            assert allowed.status_code not in (401, 403, 421)


def test_a_page_that_is_let_in_may_read_the_answers(http: Http, tmp_path: Path) -> None:
    path = token_file(tmp_path, f"ann {ANN}")
    options = ("--token-file", str(path), "--allowed-origin", "https://desk.example")
    asked = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,mcp-protocol-version",
    }
    allowed = "Access-Control-Allow-Origin"
    with http("crm", tmp_path, *options) as (url, _):
        for origin, is_let_in in (("https://desk.example", True), ("https://evil.example", False)):
            before = httpx2.options(url, headers={**asked, "Origin": origin}, timeout=10)
            assert (before.headers.get(allowed) == origin) is is_let_in
            assert (before.status_code == 200) is is_let_in
            answer = post(url, Origin=origin, **bearer(ANN))
            assert (answer.headers.get(allowed) == origin) is is_let_in
            assert (answer.status_code == 403) is not is_let_in
        assert post(url, Origin="https://desk.example").status_code == 401


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_each_token_has_the_tools_of_its_profile(
    http: Http, tmp_path: Path, mode: str
) -> None:
    path = token_file(tmp_path, f"ann:read {ANN}", f"bob {BOB}")
    with http("crm", tmp_path, "--token-file", str(path)) as (url, _):
        async with connected(url, ANN, mode) as reader, connected(url, BOB, mode) as writer:
            few = {tool.name for tool in (await reader.list_tools()).tools}
            all_ = {tool.name for tool in (await writer.list_tools()).tools}
            assert "crm_search" in few
            assert "crm_log" in all_ - few
            found = await reader.call_tool("crm_search", {"type": "contact"})
            assert not found.is_error
            templates = (await reader.list_resource_templates()).resource_templates
            assert [template.uri_template for template in templates] == ["crm://{type}/{id}"]
            refused = await reader.call_tool("crm_log", {"kind": "note", "text": "x"})
            assert refused.is_error
            body: dict[str, Any] = json.loads(refused.content[0].text)  # type: ignore[union-attr] # ours is text
            assert body["code"] == "unknown_tool"
            planned = {"kind": "note", "text": "x", "dry_run": True}
            assert not (await writer.call_tool("crm_log", planned)).is_error


async def test_a_token_is_offered_the_jobs_it_has_the_tools_for(http: Http, tmp_path: Path) -> None:
    path = token_file(tmp_path, f"ann:read {ANN}", f"bob {BOB}")
    with http("business", tmp_path, "--token-file", str(path)) as (url, _):
        async with connected(url, ANN, "auto") as reader, connected(url, BOB, "auto") as writer:
            (few,) = (await reader.list_prompts()).prompts
            assert few.name == "prepare_for_a_meeting"
            assert len((await writer.list_prompts()).prompts) == 5
            arguments = {"customer": "Ann", "work": "a cut"}
            assert (await writer.get_prompt("invoice_a_customer", arguments)).messages
            with pytest.raises(MCPError) as hidden:
                await reader.get_prompt("invoice_a_customer", arguments)
            with pytest.raises(MCPError) as missing:
                await reader.get_prompt("no_such_prompt", arguments)
            assert hidden.value.error.code == missing.value.error.code == INVALID_PARAMS
            assert (await reader.get_prompt(few.name, {"meeting": "Monday"})).messages
            refused = await reader.call_tool("payments_refund", {"payment": "x"})
            assert refused.is_error
            assert "unknown_tool" in refused.content[0].text  # type: ignore[union-attr] # ours is text


async def test_the_servers_own_profile_is_the_most_there_is(http: Http, tmp_path: Path) -> None:
    path = token_file(tmp_path, f"bob:money {BOB}")
    with http("crm", tmp_path, "--token-file", str(path), "--profile", "read") as (url, _):
        async with connected(url, BOB, "auto") as client:
            assert "crm_log" not in {tool.name for tool in (await client.list_tools()).tools}


def test_a_session_is_for_the_token_that_opened_it(http: Http, tmp_path: Path) -> None:
    path = token_file(tmp_path, f"ann {ANN}", f"bob {BOB}")
    with http("crm", tmp_path, "--token-file", str(path)) as (url, _):
        opened = httpx2.post(url, json=OPENING, headers={**ACCEPT, **bearer(ANN)}, timeout=10)
        session = {"Mcp-Session-Id": opened.headers["mcp-session-id"]}
        assert post(url, **session, **bearer(BOB)).status_code == 404
        assert post(url, **session, **bearer(ANN)).status_code == 200


def test_a_revoked_token_is_refused_at_once(http: Http, tmp_path: Path) -> None:
    path = token_file(tmp_path, f"ann {ANN}", f"bob {BOB}")
    with http("crm", tmp_path, "--token-file", str(path)) as (url, _):
        assert post(url, **bearer(ANN)).status_code != 401
        token_file(tmp_path, f"bob {BOB}")
        assert post(url, **bearer(ANN)).status_code == 401
        assert post(url, **bearer(BOB)).status_code != 401
        path.write_text("nonsense")
        assert post(url, **bearer(BOB)).status_code == 401
        token_file(tmp_path, f"bob {BOB}")
        assert post(url, **bearer(BOB)).status_code != 401
        path.unlink()
        assert post(url, **bearer(BOB)).status_code == 401


MODERN = "2026-07-28"
LISTENING = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "subscriptions/listen",
    "params": {
        "notifications": {"toolsListChanged": True},
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        },
    },
}


@pytest.mark.parametrize("era", ["modern", "legacy"])
def test_an_open_stream_ends_with_its_token(http: Http, tmp_path: Path, era: str) -> None:
    path = token_file(tmp_path, f"ann {ANN}", f"bob {BOB}")
    with http("crm", tmp_path, "--token-file", str(path)) as (url, process):
        headers = {**ACCEPT, **bearer(ANN)}
        if era == "legacy":
            opened = httpx2.post(url, json=OPENING, headers=headers, timeout=10)
            headers["Mcp-Session-Id"] = opened.headers["mcp-session-id"]
            how: dict[str, Any] = {"method": "GET"}
        else:
            headers |= {"Mcp-Protocol-Version": MODERN, "Mcp-Method": "subscriptions/listen"}
            how = {"method": "POST", "json": LISTENING}
        with httpx2.stream(url=url, headers=headers, timeout=20, **how) as stream:
            assert stream.status_code == 200
            token_file(tmp_path, f"bob {BOB}")
            stream.read()  # to its end, else this takes too long
        process.terminate()
        _, said = process.communicate(timeout=10)
    assert "Traceback" not in said
    assert "ASGI" not in said


def test_a_body_that_is_too_long_is_refused(http: Http, tmp_path: Path) -> None:
    with http("crm", tmp_path) as (url, _):
        long = b'{"a":"' + b"x" * MAX_BODY_BYTES + b'"}'
        headers = {**ACCEPT, "Content-Type": "application/json"}
        assert httpx2.post(url, content=long, headers=headers, timeout=10).status_code == 413
        parts = iter([long[:1000], long[1000:]])
        assert httpx2.post(url, content=parts, headers=headers, timeout=10).status_code == 413


async def test_attachments_as_large_as_promised_fit(http: Http, tmp_path: Path) -> None:
    largest = base64.b64encode(b"x" * MAX_ATTACHMENT_BYTES).decode()
    mail: dict[str, Any] = {"to": ["ann@example.com"], "subject": "Plan", "body": "Here."}
    with http("mail", tmp_path) as (url, _):
        async with Client(url) as client:
            for content, is_refused in ((largest, False), (f"{largest}eA==", True)):
                mail["attachments"] = [{"name": "plan.bin", "base64": content}]
                result = await client.call_tool("mail_draft", mail)
                assert bool(result.is_error) is is_refused


def test_neither_bodies_nor_tokens_are_logged(http: Http, tmp_path: Path) -> None:
    path = token_file(tmp_path, f"ann {ANN}")
    marker = "Ann Lee has a cold"
    call = {**PING, "method": "tools/call"}
    wrong = [
        f'{{"x": "{marker}"',
        json.dumps({**PING, "params": {"x": marker}}),
        json.dumps({**call, "params": {"name": 5, "arguments": {"text": marker}}}),
        json.dumps({**call, "params": {"name": "crm_log", "arguments": marker}}),
        json.dumps({**call, "params": marker}),
        json.dumps({**call, "method": marker}),
        json.dumps([marker]),
    ]
    eras = [{}, {"Mcp-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call"}]
    with http("crm", tmp_path, "--token-file", str(path)) as (url, process):
        session = httpx2.post(url, json=OPENING, headers={**ACCEPT, **bearer(ANN)}, timeout=10)
        eras.append({"Mcp-Session-Id": session.headers["mcp-session-id"]})
        for content in wrong:
            for token in (ANN, BOB):
                for era in eras:
                    headers = {**ACCEPT, "Content-Type": "application/json", **bearer(token), **era}
                    httpx2.post(url, content=content.encode(), headers=headers, timeout=10)
        process.terminate()
        _, said = process.communicate(timeout=10)
    assert marker not in said
    assert ANN not in said
    assert BOB not in said


async def test_what_vendors_are_asked_is_not_logged(
    http: Http,
    tmp_path: Path,
    sandbox: Callable[[str], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Their libraries log addresses with everything in them, and say them in their errors."""
    stripe, google = sandbox("stripe"), sandbox("google")
    monkeypatch.setenv("AICORE_STRIPE_API_KEY", "rk_test_any")
    monkeypatch.setenv("AICORE_STRIPE_BASE_URL", stripe.url)
    monkeypatch.setenv("AICORE_GOOGLE_CLIENT_ID", "c")
    monkeypatch.setenv("AICORE_GOOGLE_CLIENT_SECRET", "s")
    monkeypatch.setenv("AICORE_GOOGLE_REFRESH_TOKEN", "office@lakeside.example")
    monkeypatch.setenv("AICORE_GOOGLE_BASE_URL", google.url)
    options = ("--servers", "mail,payments", "--mail-backend", "gmail")
    with http("business", tmp_path, *options, "--payments-backend", "stripe") as (url, process):
        async with Client(url) as client:
            ann = "ann.lee@example.com"
            await client.call_tool("payments_search", {"kind": "invoice", "customer": ann})
            await client.call_tool("payments_get", {"id": "cus_marker77"})
            await client.call_tool("mail_search", {"sender": ann})
            forbidden = {"error": {"code": 403, "errors": [{"reason": "accessNotConfigured"}]}}
            fault = {"on": "GET .*messages", "kind": "status", "status": 403, "times": 9}
            httpx2.post(f"{google.url}/_sandbox/faults", json={**fault, "body": forbidden})
            refused = await client.call_tool("mail_search", {"sender": ann})
            assert refused.is_error
        process.terminate()
        _, said = process.communicate(timeout=10)
    assert "tool_failed tool=mail_search" in said
    assert "ann.lee" not in said
    assert "marker77" not in said


def refusal(program: Program, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as exit_:
        serve(program, ["--http", "--port", "0", *arguments])
    said = capsys.readouterr()
    assert (exit_.value.code, said.out) == (2, "")
    (line,) = said.err.splitlines()
    return line


def test_other_machines_only_with_tokens_and_a_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ("--data", str(tmp_path / "data"))
    path = str(token_file(tmp_path, f"ann {ANN}"))
    line = refusal(CRM, capsys, *data, "--host", "0.0.0.0", "--allowed-host", "mcp.example")
    assert "--token-file" in line
    line = refusal(CRM, capsys, *data, "--host", "0.0.0.0", "--token-file", path)
    assert "--allowed-host" in line
    for wrong in ("https://mcp.example", "*", ""):
        assert "--allowed-host" in refusal(CRM, capsys, *data, "--allowed-host", wrong)
    for wrong in ("desk.example", "https://desk.example/x", ""):
        assert "--allowed-origin" in refusal(CRM, capsys, *data, "--allowed-origin", wrong)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("option", ["--token-file", "--allowed-host", "--allowed-origin"])
def test_without_http_nobody_believes_that_tokens_are_asked_for(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        serve(CRM, ["--data", str(tmp_path), option, "x"])
    assert exit_.value.code == 2
    assert "--http" in capsys.readouterr().err
    with pytest.raises(BackendConfigError):
        in_process(CRM, ["--data", str(tmp_path), option, "x"])


def test_with_tokens_and_a_name_other_machines_may_call(http: Http, tmp_path: Path) -> None:
    path = token_file(tmp_path, f"ann {ANN}")
    options = ("--host", "0.0.0.0", "--token-file", str(path), "--allowed-host", "mcp.example")
    with http("crm", tmp_path, *options) as (url, process):
        here = url.replace("0.0.0.0", "127.0.0.1")
        assert process.stderr is not None
        assert "TLS" in process.stderr.readline()
        assert post(here).status_code == 401
        assert post(here, Host="mcp.example", **bearer(ANN)).status_code not in (401, 421)


@pytest.mark.parametrize(
    "line",
    [
        "ann",
        "ann short",
        f"ann:boss {ANN}",
        f"ann: {ANN}",
        f"a/b {ANN}",
        f"ann {ANN} more",
        "ann sha256:abc",
        "",
        "# nothing",
    ],
)
def test_a_token_file_that_cannot_be_used_is_refused(line: str, tmp_path: Path) -> None:
    with pytest.raises(BackendConfigError) as refused:
        Tokens.of_file(token_file(tmp_path, line))
    assert ANN not in f"{refused.value} {refused.value.hint}"


def test_a_token_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = token_file(tmp_path, f"ann {ANN}")
    path.chmod(0o644)
    with pytest.raises(BackendConfigError):
        Tokens.of_file(path)
    with pytest.raises(BackendConfigError):
        Tokens.of_file(tmp_path / "gone")


def test_tokens_may_be_kept_as_hashes_and_changed_without_a_pause() -> None:
    hashed = hashlib.sha256(BOB.encode()).hexdigest()
    tokens = Tokens.of_text(f"# who\n\nann:draft {ANN}\nann:draft sha256:{hashed}\n", "here")
    for token in (ANN, BOB):
        holder = tokens.holder(token)
        assert holder is not None
        assert (holder.name, holder.profile) == ("ann", "draft")
        assert token not in repr(holder)
    assert tokens.holder(hashed) is None
    assert tokens.holder("") is None


def test_a_new_token_fits_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    serve(CRM, ["--new-token", "ann:read"])
    _, token, _, line = capsys.readouterr().out.splitlines()
    holder = Tokens.of_text(line, "here").holder(token)
    assert holder is not None
    assert (holder.name, holder.profile) == ("ann", "read")
    assert token not in line
    assert new_token("ann")[0] != new_token("ann")[0]
    with pytest.raises(BackendConfigError):
        new_token("ann:boss")


def test_tokens_may_come_from_the_environment(
    http: Http, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AICORE_SERVER_TOKENS", f"ann {ANN}\nbob:read {BOB}")
    with http("crm", tmp_path) as (url, _):
        assert post(url).status_code == 401
        assert post(url, **bearer(BOB)).status_code != 401
