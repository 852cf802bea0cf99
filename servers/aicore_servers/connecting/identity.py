"""Whose account was proved: servers remember effects by our name for it, so it has to stay one.

Kept with a connection, in its field `proved_as`: for each domain `test` or `live`, and where the
vendor tells whose account it is, a colon and a hash of that. No secret, and nothing to show.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from aicore_servers.connecting.proving import Proof
from aicore_servers.connecting.vendors import Vendor
from aicore_tools.connections import Connection

__all__ = ["Identity", "another", "identity_of", "kept_identity", "with_identity"]

_FIELD = "proved_as"
_DIGITS = 16

Identity = Mapping[str, str]
"""What is known of whose account it is, by domain: `live:9f86d081884c7d65`, or `live` alone."""


def identity_of(vendor: Vendor, fields: Mapping[str, str], proofs: Sequence[Proof]) -> Identity:
    """Give what the proofs say; nothing of a domain that was not proved."""
    found = {}
    for proof in proofs:
        if proof.probe is None:
            continue
        whose = vendor.whose(fields, proof.probe).strip().casefold()
        hashed = hashlib.sha256(f"{vendor.name} {proof.domain} {whose}".encode()).hexdigest()
        kind = "test" if proof.probe.is_test else "live"
        found[proof.domain] = f"{kind}:{hashed[:_DIGITS]}" if whose else kind
    return found


def kept_identity(connection: Connection | None) -> Identity:
    """Give what a connection was proved as when it was kept; empty for one that never was."""
    words = connection.get(_FIELD).split() if connection is not None else []
    return {domain: said for domain, _, said in (word.partition("=") for word in words)}


def another(before: Identity, now: Identity) -> list[str]:
    """Give the domains in which it is certainly not the account that it was."""
    return [domain for domain in now if _differ(before.get(domain, now[domain]), now[domain])]


def with_identity(fields: Mapping[str, str], before: Identity, now: Identity) -> dict[str, str]:
    """Give the fields with what is known of the account, from before too if it is the same."""
    known = {**now}
    if not another(before, now):
        known |= before
        known |= {domain: said for domain, said in now.items() if ":" in said}
    rest = {name: value for name, value in fields.items() if name != _FIELD}
    said = " ".join(f"{domain}={known[domain]}" for domain in sorted(known))
    return {**rest, _FIELD: said} if said else rest


def _differ(before: str, now: str) -> bool:
    kind_before, _, whose_before = before.partition(":")
    kind_now, _, whose_now = now.partition(":")
    is_told = bool(whose_before and whose_now)
    return kind_before != kind_now or (is_told and whose_before != whose_now)
