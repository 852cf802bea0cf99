"""How to reach one MCP server: a value, cheap to make, checked where it is written."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from aicore.errors import ConfigError

if TYPE_CHECKING:
    from mcp.server import MCPServer

__all__ = ["Server"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Server:
    """One MCP server. Made by `Server.stdio`, `Server.http` or `Server.local`.

    `name` is unique in an agent; it stands before a tool's name where two servers offer the
    same one, and as the source of what its tools return. The URL is not shown either: its query
    may hold a key.
    """

    name: str
    transport: Literal["stdio", "http", "local"]
    command: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    cwd: str | None = None
    url: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    peer: Any = field(default=None, repr=False)

    @classmethod
    def stdio(
        cls,
        command: str,
        *args: str,
        env: Mapping[str, str] | None = None,
        cwd: str | Path | None = None,
        name: str | None = None,
    ) -> Server:
        """Start a program and speak MCP over its standard input and output.

        The program gets `env` and the few variables MCP names (HOME, PATH, ...), nothing else of
        ours. Without `name`, the file name of the command.

        Raises: ConfigError for an empty command or a NUL in it.
        """
        words = (command, *args)
        if not command.strip():
            raise ConfigError(
                "Server.stdio needs a command, for example Server.stdio('aicore-crm')"
            )
        if any("\0" in word for word in words):
            raise ConfigError(f"The command of Server.stdio({command!r}) contains a NUL character")
        _check_texts("env", env)
        return cls(
            name=_checked(name or Path(command).stem, command),
            transport="stdio",
            command=words,
            env=dict(env or {}),
            cwd=os.fspath(cwd) if cwd is not None else None,
        )

    @classmethod
    def http(
        cls, url: str, *, headers: Mapping[str, str] | None = None, name: str | None = None
    ) -> Server:
        """Reach a server by streamable HTTP. Without `name`, the host of the URL.

        Credentials belong into `headers`, which are never shown or logged.

        Raises: ConfigError for a URL that is not http(s), has no host, or holds credentials.
        """
        host = _host(url)
        _check_texts("headers", headers)
        return cls(
            name=_checked(name or host, host),
            transport="http",
            url=url,
            headers=dict(headers or {}),
        )

    @classmethod
    def local(cls, server: MCPServer[Any], *, name: str | None = None) -> Server:
        """Call a server that lives in this process. Without `name`, its own.

        A tool of it that is not async and blocks cannot be cut off at its deadline: run such a
        server with `stdio`.

        Raises: ConfigError for something that is not a server of the `mcp` package.
        """
        # By module name: importing mcp here would cost every start half a second.
        if not any(base.__module__.startswith("mcp.server") for base in type(server).__mro__):
            raise ConfigError(
                f"Server.local needs an mcp.server.MCPServer, not {type(server).__name__}"
            )
        return cls(name=_checked(name or server.name, "local"), transport="local", peer=server)


def _checked(name: str, shown: str) -> str:
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} cannot be the name of the server {shown!r}: give name=, letters, digits "
            "and _ . : - only, at most 64"
        )
    return name


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(f"{url.split('?')[0]!r} is not a URL: {error}") from error
    if parts.scheme not in ("http", "https") or not host or not url.isprintable() or " " in url:
        raise ConfigError(
            f"{url.split('?')[0]!r} is not the URL of a server: it must look like https://host/mcp"
        )
    if "@" in parts.netloc:
        raise ConfigError(
            f"The URL of the server {host} holds credentials: pass them as headers= instead"
        )
    return host


def _check_texts(what: str, values: Mapping[str, str] | None) -> None:
    for key, value in (values or {}).items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise ConfigError(f"{what}[{key!r}] of a server must be text")
        if any(character in key + value for character in "\0\r\n"):
            raise ConfigError(f"{what}[{key!r}] of a server contains a line break or NUL")
