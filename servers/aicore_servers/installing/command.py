"""The command `aicore install`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from aicore_servers._serve import ServeSettings, data_home, settings_in_process
from aicore_servers._tooling import PROFILES
from aicore_servers.business import PROGRAM, backends_of, create
from aicore_servers.connecting.vendors import VENDORS
from aicore_servers.installing.clients import CLIENTS, Client, Place
from aicore_servers.installing.merging import read_document, with_entry, without_entry
from aicore_tools.connection_file import PASSPHRASE_VARIABLE
from aicore_tools.connection_stores import EnvironmentStore, open_stores, secrets_home
from aicore_tools.connections import connect_command
from aicore_tools.errors import BackendConfigError, ToolsError

__all__ = ["main"]

NAME = "aicore"
_PROGRAM = "aicore-business"


def main(argv: Sequence[str] | None = None) -> int:
    """Write, print or take out the configuration of a client.

    Returns:
        0, or 2 with one sentence on stderr where it cannot be done.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    more: list[str] = []
    if "--" in words:
        words, more = words[: words.index("--")], words[words.index("--") + 1 :]
    options = _parser().parse_args(words)
    try:
        _run(options, more)
    except ToolsError as error:
        hint = f" {error.hint}" if error.hint else ""
        sys.stderr.write(f"aicore install: {error}{hint}\n")
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="aicore install",
        description="Gives the servers, as one program, to a client. What else is in the client's"
        " file stays as it is. Options after -- go to the program as they are:"
        f" see {_PROGRAM} --help.",
    )
    parser.add_argument("client", choices=tuple(CLIENTS), metavar="CLIENT")
    parser.add_argument("--print", action="store_true", help="show the entry, write nothing")
    parser.add_argument("--remove", action="store_true", help="take our entry out again")
    parser.add_argument("--path", type=Path, metavar="FILE", help="the client's file")
    parser.add_argument("--servers", help="some of crm,mail,calendars,payments (default: all)")
    parser.add_argument("--data", metavar="DIR", help="folder of the databases")
    parser.add_argument("--tz", metavar="ZONE", help="time zone of the business, as in IANA")
    parser.add_argument("--profile", choices=PROFILES, help="which tools there are (default: all)")
    parser.add_argument(
        "--backend",
        action="append",
        default=[],
        metavar="SERVER=NAME",
        help="such as crm=hubspot; for several, several times",
    )
    parser.add_argument("--account", help="which connection of the backends")
    parser.epilog = "CLIENT: " + "; ".join(
        f"{client.name} ({client.title})" for client in CLIENTS.values()
    )
    return parser


def _run(options: argparse.Namespace, more: Sequence[str]) -> None:
    client = CLIENTS[options.client]
    if options.remove:
        _remove(client, _path(options, client))
        return
    args = [*_arguments(options), *more]
    settings = settings_in_process(PROGRAM, args)
    create(settings)  # refuses what the program would refuse, before anything is written
    entry = _entry(client, args)
    if options.print:
        sys.stdout.write(json.dumps({client.section: {NAME: entry}}, indent=2) + "\n")
        return
    path = _path(options, client)
    document = read_document(path)
    is_new = document.replace(with_entry(document, client.section, NAME, entry))
    _say(f"{'Written to' if is_new else 'Already in'} {document.path}. {client.then}")
    for note in _missing_connections(settings):
        _say(note)
    if options.tz is None:
        _say("Times are UTC; say --tz for the time zone of the business.")
    if os.environ.get(PASSPHRASE_VARIABLE):
        _say(f"${PASSPHRASE_VARIABLE} was not written there: without it, connections stay locked.")


def _missing_connections(settings: ServeSettings) -> Iterator[str]:
    """Say which vendors have no connection where the program will look for it.

    That is not the environment of this command: clients pass no variables on.
    """
    domains = backends_of(settings).items()
    used = [
        vendor.name
        for vendor in VENDORS.values()
        if any(vendor.backends.get(domain) == backend for domain, backend in domains)
    ]
    if not used:
        return
    stores = open_stores()
    places = [*stores.given, *stores.writable]
    places = [place for place in places if not isinstance(place, EnvironmentStore)]
    try:
        known = {name for place in places for name in place.known()}
    except BackendConfigError as error:
        yield f"Whether there are connections cannot be told. {error} {error.hint or ''}".rstrip()
        return
    for vendor in used:
        if (vendor, settings.account) not in known:
            command = connect_command(vendor, settings.account)
            yield f"No connection {vendor} ({settings.account}) yet: run {command}."


def _remove(client: Client, path: Path) -> None:
    document = read_document(path)
    is_gone = document.replace(without_entry(document, client.section, NAME))
    _say(f"{'Taken out of' if is_gone else 'Not in'} {document.path}.")


def _path(options: argparse.Namespace, client: Client) -> Path:
    if options.path is not None:
        return Path(options.path)
    return client.path(
        Place(platform=sys.platform, home=Path.home(), folder=Path.cwd(), environment=os.environ)
    )


def _arguments(options: argparse.Namespace) -> Iterator[str]:
    """Give the arguments of the program; paths are whole, as clients start it anywhere."""
    if options.data is not None and not options.data.strip():
        raise BackendConfigError("--data is empty. Name a folder, or leave it out.")
    data = data_home() if options.data is None else Path(options.data)
    yield from ("--data", str(data.expanduser().absolute()))
    for name in ("tz", "profile", "servers", "account"):
        value = getattr(options, name)
        if value is not None:
            yield from (f"--{name}", value)
    for choice in options.backend:
        server, equals, backend = choice.partition("=")
        if not (server and equals and backend):
            raise BackendConfigError(f"--backend {choice!r}: write it as crm=hubspot.")
        yield from (f"--{server}-backend", backend)


def _entry(client: Client, args: Sequence[str]) -> dict[str, Any]:
    # Not resolved: the link of a virtual environment is what makes its packages seen.
    python = Path(sys.executable)
    program = python.with_name(_PROGRAM + python.suffix)
    entry: dict[str, Any] = {"type": "stdio"} if client.needs_type else {}
    if program.exists():
        entry |= {"command": str(program), "args": list(args)}
    else:
        entry |= {"command": str(python), "args": ["-m", "aicore_servers.business", *args]}
    environment = dict(_environment())
    return entry | {"env": environment} if environment else entry


def _environment() -> Iterator[tuple[str, str]]:
    """Name where secrets are, if not where they usually are: clients pass no variables on."""
    if os.environ.get("AICORE_SECRETS") or os.environ.get("XDG_CONFIG_HOME"):
        yield "AICORE_SECRETS", str(secrets_home().absolute())
    if credentials := os.environ.get("AICORE_CREDENTIALS"):
        yield "AICORE_CREDENTIALS", str(Path(credentials).absolute())


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
