"""The common main of the servers: arguments, transports, and plain words when it cannot start."""

from __future__ import annotations

import argparse
import ipaddress
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn, get_args
from zoneinfo import ZoneInfo

import anyio
import uvicorn
from mcp.server import MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from starlette.types import ASGIApp

from aicore_servers._account_hints import hints_for
from aicore_servers._planned import ConfirmRule
from aicore_servers._resources import RecordServer
from aicore_servers._tooling import PROFILES, Rules
from aicore_servers.http_access import (
    TOKENS_VARIABLE,
    TokenGate,
    Tokens,
    for_pages,
    new_token,
    within_profile,
)
from aicore_tools.connection_stores import stored
from aicore_tools.connections import DEFAULT_ACCOUNT, Connect, named_account, not_connected
from aicore_tools.errors import BackendConfigError, ToolsError

__all__ = [
    "Option",
    "Program",
    "ServeSettings",
    "data_home",
    "in_process",
    "quiet_vendors",
    "serve",
    "settings_in_process",
]

MAX_BODY_BYTES = 16 * 1024 * 1024
"""Room for a mail's 10 MB of attachments in base64, and the JSON around them."""


def data_home() -> Path:
    """Give the folder for local databases: $AICORE_DATA, else the XDG data home."""
    if chosen := os.environ.get("AICORE_DATA"):
        return Path(chosen)
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "aicore"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeSettings:
    """What a server is told at start.

    `data_dir` holds one database per domain, e.g. `crm.db`. `business` is the tenant. `time_zone`
    is the IANA zone of times that come without one. `backend` is a name of the domain's registry,
    `account` which of its vendor's connections is used, `connect` gives that connection. `rules`
    say what callers may do. `options` are the server's own, by name; one that is missing has the
    server's default.
    """

    data_dir: Path = field(default_factory=data_home)
    business: str = "main"
    time_zone: str = "UTC"
    backend: str = "local"
    account: str = "default"
    connect: Connect = not_connected
    rules: Rules = field(default_factory=Rules)
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """A setting of one server alone; `--name` on its command line."""

    name: str
    help: str
    default: str

    def of(self, settings: ServeSettings) -> str:
        """Give what was set."""
        return settings.options.get(self.name, self.default)


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One server as a command: its name, what it says of itself, and how it is made.

    Without `backends` there is no --backend: the server's own options say it.
    """

    name: str
    description: str
    create: Callable[[ServeSettings], MCPServer[Any]]
    backends: Collection[str] = ("local",)
    options: Sequence[Option] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Door:
    """Where a server listens, and whom it lets in.

    Without `tokens` everybody who reaches it. `hosts` and `origins` are what requests may carry in
    these headers besides the names of loopback.
    """

    host: str
    port: int
    tokens: Tokens | None
    hosts: Sequence[str]
    origins: Sequence[str]


def serve(program: Program, argv: Sequence[str] | None = None) -> None:
    """Run `program` until its client leaves (stdio) or a signal ends it (HTTP).

    Raises:
        SystemExit: 2 with one sentence on stderr where it cannot start.
    """
    options = _parser(program).parse_args(argv)
    _log_plainly()
    with _plain_failure(program.name, options.account):
        settings = _settings(options, program)
        if options.new_token is not None:
            _show_new_token(options.new_token)
            return
        if not options.http:
            _refuse_door(options)
        server = _made(program, settings)
        if options.http:
            anyio.run(_serve_http, server, _door(options))
        else:
            if sys.stdin is not None and sys.stdin.isatty():
                # The thread that waits for a line cannot be ended before that line comes.
                signal.signal(signal.SIGINT, lambda *_: os._exit(130))
            anyio.run(server.run_stdio_async)


def _log_plainly() -> None:
    """Log to stderr; of others only warnings: at INFO vendors' libraries log whom we ask for."""
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    for ours in ("aicore_servers", "aicore_tools"):
        logging.getLogger(ours).setLevel(logging.INFO)
    quiet_vendors()


def quiet_vendors() -> None:
    """Leave what goes wrong at a vendor to our own words: Google's library warns of each answer."""
    logging.getLogger("googleapiclient.http").setLevel(logging.ERROR)


def in_process(program: Program, args: Sequence[str]) -> MCPServer[Any]:
    """Make the server as its command would with `args`, to be used in this process.

    Raises: BackendConfigError for arguments that the command would refuse, and for those that
    only concern a transport.
    """
    return _made(program, settings_in_process(program, args))


def settings_in_process(program: Program, args: Sequence[str]) -> ServeSettings:
    """Read `args` as the command would.

    Raises: BackendConfigError, as `in_process`.
    """
    options = _parser(program, _RaisingParser).parse_args(list(args))
    if options.http or options.new_token is not None:
        raise BackendConfigError(f"{program.name} --http is a process of its own; use its url.")
    _refuse_door(options)
    return _settings(options, program)


def _made(program: Program, settings: ServeSettings) -> MCPServer[Any]:
    server = program.create(settings)
    if isinstance(server, RecordServer):
        server.backend = settings.backend
        if settings.account != DEFAULT_ACCOUNT:
            server.middleware.append(hints_for(settings.account))
    return server


class _RaisingParser(argparse.ArgumentParser):
    """Leaves it to the caller to end the process."""

    def error(self, message: str) -> NoReturn:
        raise BackendConfigError(f"{self.prog}: {message}.")


def _parser(
    program: Program, kind: type[argparse.ArgumentParser] = argparse.ArgumentParser
) -> argparse.ArgumentParser:
    parser = kind(
        prog=program.name,
        description=f"{program.description} Speaks MCP on stdin and stdout, or over HTTP at /mcp.",
    )
    parser.add_argument("--version", action="version", version=version("aicore-mcp"))
    parser.add_argument("--http", action="store_true", help="serve streamable HTTP, not stdio")
    _add_door(parser.add_argument_group("over HTTP"))
    parser.add_argument("--data", help="folder of the databases (default: $AICORE_DATA, else XDG)")
    parser.add_argument("--business", default="main", help="whose rows to use (default: main)")
    parser.add_argument("--tz", default="UTC", help="zone of times given without one, as in IANA")
    if program.backends:
        names = ", ".join(program.backends)
        parser.add_argument("--backend", default="local", help=f"one of: {names}")
    parser.add_argument("--account", default="default", help="which connection of the backend")
    parser.add_argument(
        "--profile", choices=PROFILES, default="money", help="which tools there are (default: all)"
    )
    parser.add_argument(
        "--confirm",
        choices=get_args(ConfirmRule),
        default="irreversible",
        help="effects whose plan has to be confirmed by a second call (default: irreversible)",
    )
    for option in program.options:
        parser.add_argument(f"--{option.name}", default=option.default, help=option.help)
    return parser


def _add_door(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--host", help="loopback, unless there are tokens (default: 127.0.0.1)")
    group.add_argument("--port", type=int, help="0 picks a free one (default: 8000)")
    group.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help=f"who may use it: lines of NAME[:PROFILE] TOKEN; or in ${TOKENS_VARIABLE}",
    )
    group.add_argument(
        "--new-token", metavar="NAME[:PROFILE]", help="make a token, show it and its line, and end"
    )
    group.add_argument(
        "--allowed-host", action="append", default=[], metavar="HOST", help="a name it is called by"
    )
    group.add_argument(
        "--allowed-origin",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="a web page that may call it, such as https://desk.example",
    )


def _refuse_door(options: argparse.Namespace) -> None:
    """Let nobody believe that it listens, or that tokens are asked for, where that is not so."""
    given = [options.host, options.port, options.token_file]
    if any(one is not None for one in given) or options.allowed_host or options.allowed_origin:
        raise BackendConfigError(
            "--host, --port, --token-file, --allowed-host and --allowed-origin are for --http."
        )


def _door(options: argparse.Namespace) -> _Door:
    given = os.environ.get(TOKENS_VARIABLE, "")
    tokens = None
    if options.token_file is not None:
        tokens = Tokens.of_file(options.token_file)
    elif given.strip():
        tokens = Tokens.of_text(given, f"${TOKENS_VARIABLE}")
    for host in options.allowed_host:
        if not host or "/" in host or "*" in host:
            raise BackendConfigError(
                f"--allowed-host {host!r} is no host. Write a name alone, such as mcp.example."
            )
    for origin in options.allowed_origin:
        if not origin.startswith(("https://", "http://")) or origin.count("/") != 2:
            raise BackendConfigError(
                f"--allowed-origin {origin!r} is none. Write it as https://desk.example."
            )
    return _Door(
        host="127.0.0.1" if options.host is None else options.host,
        port=8000 if options.port is None else options.port,
        tokens=tokens,
        hosts=options.allowed_host,
        origins=options.allowed_origin,
    )


def _show_new_token(holder: str) -> None:
    token, line = new_token(holder)
    sys.stdout.write(f"Token, for the client, shown only now:\n{token}\n")
    sys.stdout.write(f"Line, for the file of --token-file:\n{line}\n")


def _settings(options: argparse.Namespace, program: Program) -> ServeSettings:
    backend = getattr(options, "backend", "local")
    if program.backends and backend not in program.backends:
        raise BackendConfigError(
            f"There is no backend {backend!r}. Use one of: {', '.join(program.backends)}."
        )
    if not options.business.strip():
        raise BackendConfigError("--business is empty. Name the business, or leave it out.")
    if options.data is not None and not options.data.strip():
        raise BackendConfigError("--data is empty. Name a folder, or leave it out.")
    try:
        ZoneInfo(options.tz)
    except (ValueError, OSError, KeyError) as error:
        raise BackendConfigError(
            f"There is no time zone {options.tz!r}. Use an IANA name, such as Europe/Berlin."
        ) from error
    return ServeSettings(
        data_dir=data_home() if options.data is None else Path(options.data),
        business=options.business,
        time_zone=options.tz,
        backend=backend,
        account=options.account,
        connect=stored(options.account),
        rules=Rules(profile=options.profile, confirm=options.confirm),
        options={
            option.name: getattr(options, option.name.replace("-", "_"))
            for option in program.options
        },
    )


async def _serve_http(server: MCPServer[Any], door: _Door) -> None:
    listener = _listen(door)
    host, port = listener.getsockname()[:2]
    app = server.streamable_http_app(
        json_response=True,  # 40 % less CPU with clients of 2025; these tools ask nobody back
        max_request_body_size=MAX_BODY_BYTES,
        transport_security=_allowed(door, port),
        host=host,
    )
    guarded: ASGIApp = app
    if door.tokens is not None:
        guarded = TokenGate(app, door.tokens)
        server.middleware.append(within_profile)
    if door.origins:
        guarded = for_pages(guarded, door.origins)
    web = uvicorn.Server(
        uvicorn.Config(
            guarded,
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
        )
    )
    # Entered here and not by uvicorn, so that what fails at opening reaches _plain_failure.
    with listener, _ended_by_sigterm(web):
        async with app.router.lifespan_context(app):
            shown = f"[{host}]" if ":" in host else host
            sys.stderr.write(f"Serving {server.name} at http://{shown}:{port}/mcp\n")
            if not ipaddress.ip_address(host).is_loopback:
                sys.stderr.write("This is plain HTTP: put TLS in front, tokens travel in it.\n")
            sys.stderr.flush()
            await web.serve(sockets=[listener])


def _allowed(door: _Door, port: int) -> TransportSecuritySettings:
    """Name the hosts and origins of requests: without, any web page could call a local server."""
    names = ["127.0.0.1", "localhost", "[::1]"]
    hosts = [f"{name}:{port}" for name in (*names, *door.hosts)]
    return TransportSecuritySettings(
        allowed_hosts=[*hosts, *door.hosts],
        allowed_origins=[*(f"http://{name}:{port}" for name in names), *door.origins],
    )


@contextmanager
def _ended_by_sigterm(web: uvicorn.Server) -> Iterator[None]:
    """Let SIGTERM end `web`, also before it listens, and let the database close after it.

    uvicorn's own handler comes later, and raises the signal again when it has shut down.
    """

    def end(*_: object) -> None:
        web.should_exit = True

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _listen(door: _Door) -> socket.socket:
    """Bind before anything else is opened."""
    host, port = door.host, door.port
    if not 0 <= port <= 65535:  # getaddrinfo would take it modulo 65536
        raise BackendConfigError(f"There is no port {port}. Use 1 to 65535, or 0 for a free one.")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise BackendConfigError(f"Cannot listen on {host} port {port}: {error}.") from error
    if not ipaddress.ip_address(address[0]).is_loopback:
        _refuse_open_door(door)
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise BackendConfigError(
            f"Cannot listen on {host} port {port}: {error.strerror}. Stop the program that uses"
            " it, or choose another with --port."
        ) from error
    listener.setblocking(False)
    return listener


def _refuse_open_door(door: _Door) -> None:
    """Let nobody listen to other machines without tokens, or without knowing its own name."""
    if door.tokens is None:
        raise BackendConfigError(
            f"{door.host} is not a loopback address, and there are no tokens. Use 127.0.0.1, or"
            " say with --token-file who may use it."
        )
    if not door.hosts:
        raise BackendConfigError(
            f"Say with --allowed-host by which name other machines call {door.host}."
        )


@contextmanager
def _plain_failure(name: str, account: str) -> Iterator[None]:
    """Turn a failure to start into one sentence and exit code 2, without a traceback."""
    try:
        yield
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except BaseExceptionGroup as group:
        ours = group.subgroup(ToolsError)
        if ours is None:
            raise
        _give_up(name, _first(ours), account)
    except ToolsError as error:
        _give_up(name, error, account)


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _give_up(name: str, error: BaseException, account: str) -> None:
    hint = getattr(error, "hint", None)
    said = named_account(f"{error}{' ' + hint if hint else ''}", account)
    sys.stderr.write(f"{name}: {said}\n")
    raise SystemExit(2) from None
