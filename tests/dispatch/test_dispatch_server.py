"""Servers are checked where they are written, and hide their secrets."""

from __future__ import annotations

import subprocess
import sys

import pytest
from mcp.server import MCPServer

from aicore.dispatch.limits import DispatchLimits
from aicore.dispatch.server import Server
from aicore.errors import ConfigError


def test_names_come_from_command_host_and_server() -> None:
    assert Server.stdio("/usr/bin/aicore-crm", "--verbose").name == "aicore-crm"
    assert Server.http("https://Mail.Example.com:8443/mcp").name == "mail.example.com"
    assert Server.local(MCPServer("shop")).name == "shop"
    assert Server.http("https://example.com/mcp", name="mail").name == "mail"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com/mcp",
        "ftp://example.com",
        "http://",
        "http:///mcp",
        "http://exa mple.com/",
        "http://example.com:port/",
        "http://[::1/mcp",
        "http://example.com/\r\nx",
        "https://ann:secret@example.com/mcp",
    ],
)
def test_a_bad_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Server.http(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Server.stdio(""),
        lambda: Server.stdio("  "),
        lambda: Server.stdio("a\0b"),
        lambda: Server.stdio("crm", env={"KEY": "a\nb"}),
        lambda: Server.stdio("crm", env={"KEY": 5}),
        lambda: Server.stdio("crm", name="two words"),
        lambda: Server.http("https://example.com", headers={"x": "a\r\nb: c"}),
        lambda: Server.local(object()),
        lambda: DispatchLimits(call_s=0),
    ],
)
def test_a_bad_setting_is_refused(make: object) -> None:
    with pytest.raises(ConfigError):
        make()


def test_secrets_are_not_shown() -> None:
    servers = [
        Server.http("https://example.com/mcp?key=hunter2", headers={"authorization": "hunter2"}),
        Server.stdio("crm", env={"KEY": "hunter2"}),
    ]
    assert "hunter2" not in repr(servers)


def test_nothing_heavy_is_loaded_before_a_server_opens() -> None:
    program = (
        "import sys, aicore.dispatch.server, aicore.dispatch.dispatcher as d\n"
        "from aicore.dispatch.server import Server\n"
        "d.Dispatcher([Server.stdio('crm'), Server.http('https://example.com')])\n"
        "heavy = {'mcp', 'mcp_types', 'httpx2', 'jsonschema', 'pydantic'} & set(sys.modules)\n"
        "sys.exit(' '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
