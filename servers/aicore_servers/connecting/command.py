"""The command `aicore connect`."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio

from aicore_servers._serve import quiet_vendors
from aicore_servers._tooling import PROFILES
from aicore_servers.connecting.asking import Person, from_file, printable, say
from aicore_servers.connecting.identity import (
    Identity,
    another,
    identity_of,
    kept_identity,
    with_identity,
)
from aicore_servers.connecting.proving import Proof, prove
from aicore_servers.connecting.vendors import VENDORS, Vendor, Wish, checked_fields
from aicore_tools.connection_stores import (
    DEFAULT_ACCOUNT,
    ConnectionStores,
    EncryptedFile,
    EnvironmentStore,
    account_name,
    open_stores,
)
from aicore_tools.connections import Connection, named_account
from aicore_tools.errors import BackendConfigError, ToolsError
from aicore_tools.extras import refuse_missing

__all__ = ["main"]


def main(argv: Sequence[str] | None = None, *, person: Person | None = None) -> int:
    """Connect, check, list or forget.

    Returns:
        0, or 1 where the connection does not work, or 2 with one sentence on stderr where it
        cannot be done.
    """
    options = _parser().parse_args(argv)
    quiet_vendors()
    try:
        return _run(options, person or Person())
    except ToolsError as error:
        sys.stderr.write(printable(f"aicore connect: {_whole(error, _account(options))}") + "\n")
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="aicore connect",
        description="Connects the servers to what a business uses already. Secrets are asked for,"
        " never taken from the command line, kept in the keyring of the system or an encrypted"
        " file, and shown nowhere.",
    )
    parser.add_argument("vendor", nargs="?", choices=tuple(VENDORS), metavar="VENDOR")
    deed = parser.add_mutually_exclusive_group()
    deed.add_argument("--list", action="store_true", help="show what is connected, and end")
    deed.add_argument(
        "--check", action="store_true", help="prove what is connected; without VENDOR, all of it"
    )
    deed.add_argument("--forget", action="store_true", help="take a connection out")
    parser.add_argument("--account", help="a name for one of several (default: default)")
    parser.add_argument(
        "--profile", choices=PROFILES, default="money", help="what it is for (default: all)"
    )
    parser.add_argument("--only", choices=("mail", "calendars"), help="with google: one of them")
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--from-env", action="store_true", help="take the fields from AICORE_VENDOR_FIELD"
    )
    source.add_argument("--from-file", type=Path, metavar="FILE", help="take them from JSON, TOML")
    parser.add_argument("--store", choices=("file",), help="the encrypted file, not the keyring")
    parser.add_argument(
        "--anyway",
        action="store_true",
        help="keep it though it does not work, or is not the account that had this name",
    )
    parser.epilog = "VENDOR: " + "; ".join(
        f"{vendor.name} ({vendor.title})" for vendor in VENDORS.values()
    )
    return parser


def _run(options: argparse.Namespace, person: Person) -> int:
    stores = open_stores(vendors=tuple(VENDORS), only_file=options.store == "file")
    if options.list:
        return _list(stores)
    if options.vendor is None and options.check:
        return _check_all(stores, options)
    if options.vendor is None:
        raise BackendConfigError(f"Say what to connect: {', '.join(VENDORS)}, or --list.")
    vendor, account = VENDORS[options.vendor], account_name(_account(options))
    if options.forget:
        return _forget(stores, vendor, account)
    backends = _backends(vendor, options.only)
    if options.check:
        return 0 if _check(stores.find(vendor.name, account), backends) else 1
    vendor.refuse_missing_library()
    if isinstance(stores.writable[0], EncryptedFile):
        refuse_missing("connect", ["cryptography"])
    given = _given(options, vendor, person)
    wish = Wish(profile=options.profile, domains=tuple(backends))
    fields = checked_fields(vendor, given, wish)
    connection = Connection(vendor=vendor.name, account=account, fields=fields)
    return _proved_and_kept(stores, connection, backends, is_forced=options.anyway)


def _account(options: argparse.Namespace) -> str:
    return DEFAULT_ACCOUNT if options.account is None else str(options.account)


def _check(connection: Connection, backends: Mapping[str, str]) -> bool:
    """Prove a connection for what it is for; tells whether all could read."""
    vendor = VENDORS[connection.vendor]
    served = {
        domain: backend
        for domain, backend in backends.items()
        if vendor.serves(connection.fields, domain)
    }
    return _shown(anyio.run(prove, connection, served), connection.account)


def _check_all(stores: ConnectionStores, options: argparse.Namespace) -> int:
    """Prove every connection that is used, or those of one account."""
    names = {(known.vendor, known.account) for known in stores.known() if known.vendor in VENDORS}
    if options.account is not None:
        names = {name for name in names if name[1] == account_name(options.account)}
    if not names:
        say("Nothing is connected.")
    works = True
    for vendor, account in sorted(names):
        say(f"{vendor} {account}:")
        backends = _backends(VENDORS[vendor], options.only)
        try:
            works &= _check(stores.find(vendor, account), backends)
        except BackendConfigError as error:
            say(f"FAILED. {_whole(error, account)}")
            works = False
    return 0 if works else 1


def _proved_and_kept(
    stores: ConnectionStores,
    connection: Connection,
    backends: Mapping[str, str],
    *,
    is_forced: bool,
) -> int:
    """Prove a connection and keep it, if it works and is the account that has this name."""
    vendor = VENDORS[connection.vendor]
    proofs = anyio.run(prove, connection, backends)
    works = _shown(proofs, connection.account)
    if not works and not is_forced:
        say("Nothing was kept. Use --anyway to keep a connection that does not work yet.")
        return 1
    before = _identity_before(stores, connection)
    now = identity_of(vendor, connection.fields, proofs)
    if domains := another(before, now):
        say(
            f"This is another account than {connection.account!r} was, or live instead of test:"
            f" {', '.join(domains)}. By that name the servers remember what they did there, and"
            " would take it for done here, unless they get another --data folder."
        )
        if not is_forced:
            say("Nothing was kept. Give it a name of its own with --account, or use --anyway.")
            return 1
    fields = with_identity(connection.fields, before, now)
    _keep(stores, dataclasses.replace(connection, fields=fields))
    _say_how_to_use(vendor, connection.account, backends)
    return 0 if works else 1


def _identity_before(stores: ConnectionStores, connection: Connection) -> Identity:
    for place in stores.writable:
        found = place.load(connection.vendor, connection.account)
        if found is not None:
            return kept_identity(found)
    return {}


def _keep(stores: ConnectionStores, connection: Connection) -> None:
    say(f"Kept in {stores.save(connection)}.")
    for place in stores.given:
        if place.load(connection.vendor, connection.account) is not None:
            say(f"It is not used as long as {place.where} has one as well.")


def _backends(vendor: Vendor, only: str | None) -> Mapping[str, str]:
    if only is None:
        return vendor.backends
    if only not in vendor.backends or len(vendor.backends) == 1:
        raise BackendConfigError(f"--only {only} is for google, which has several.")
    return {only: vendor.backends[only]}


def _given(options: argparse.Namespace, vendor: Vendor, person: Person) -> Mapping[str, Any]:
    if options.from_file is not None:
        return from_file(options.from_file)
    if not options.from_env:
        return vendor.ask(person)
    found = EnvironmentStore(os.environ).load(vendor.name, DEFAULT_ACCOUNT)
    if found is None:
        prefix = f"AICORE_{vendor.name.upper()}_"
        names = ", ".join(prefix + field.upper() for field in vendor.known)
        raise BackendConfigError(f"No variable {prefix}... is set.", hint=f"There are: {names}.")
    return found.fields


def _whole(error: ToolsError, account: str) -> str:
    return named_account(f"{error} {error.hint or ''}".rstrip(), account)


def _shown(proofs: Sequence[Proof], account: str) -> bool:
    """Say what the backends found; tells whether all could read."""
    for proof in proofs:
        if proof.failure is not None:
            say(f"{proof.domain}: FAILED. {_whole(proof.failure, account)}")
        if proof.probe is None:
            continue
        kind = " (a test account: nothing real happens)" if proof.probe.is_test else ""
        say(f"{proof.domain}: {proof.probe.name}{kind}")
        for line in proof.probe.can:
            say(f"  can: {line}")
        for line in proof.probe.warnings:
            say(f"  warning: {line}")
    return all(proof.probe is not None for proof in proofs)


def _say_how_to_use(vendor: Vendor, account: str, backends: Mapping[str, str]) -> None:
    named = "" if account == DEFAULT_ACCOUNT else f" --account {account}"
    for domain, backend in backends.items():
        say(f"Use it: aicore-{domain} --backend {backend}{named}")


def _list(stores: ConnectionStores) -> int:
    seen: set[tuple[str, str]] = set()
    for known in stores.known():
        name = (known.vendor, known.account)
        hidden = " (not used: an earlier place has it)" if name in seen else ""
        seen.add(name)
        say(f"{known.vendor} {known.account}: in {known.where}{hidden}")
    if not seen:
        say("Nothing is connected.")
    return 0


def _forget(stores: ConnectionStores, vendor: Vendor, account: str) -> int:
    places = stores.forget(vendor.name, account)
    if not places:
        say(f"There is no connection to {vendor.name} ({account}) that could be taken out.")
        return 1
    say(f"Taken out of {', '.join(places)}. {vendor.name} itself still knows it: revoke it there.")
    return 0
