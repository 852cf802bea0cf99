"""Addresses as people write them, checked so that no header can be smuggled in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from aicore_tools.errors import InvalidInput
from aicore_tools.mail.records import Address

__all__ = ["parse_address", "unique", "without"]

MAX_CHARS = 500
_LOCAL = r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}"
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_EMAIL = re.compile(rf"({_LOCAL})@({_LABEL}(?:\.{_LABEL})+)")
_NAMED = re.compile(r'\s*(?:"([^"]*)"|([^<>"]*?))\s*<([^<>]+)>\s*')
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def parse_address(text: str) -> Address:
    """Read `ann@example.com` or `Ann Lee <ann@example.com>`.

    Raises:
        InvalidInput: it is none, or it is more than one.
    """
    if len(text) > MAX_CHARS:
        raise InvalidInput(f"An address has at most {MAX_CHARS} characters, not {len(text)}.")
    if _CONTROL.search(text):
        raise InvalidInput("An address holds a line break or another control character.")
    named = _NAMED.fullmatch(text)
    name = (named[1] or named[2] or "").strip() if named else ""
    email = (named[3] if named else text).strip()
    local, _, domain = email.rpartition("@")
    try:
        ascii_domain = domain.lower().encode("idna").decode()
    except UnicodeError:
        ascii_domain = ""
    match = _EMAIL.fullmatch(f"{local}@{ascii_domain}")
    if match is None or ".." in local or local.startswith(".") or local.endswith("."):
        raise InvalidInput(
            f"{text!r} is no e-mail address.",
            hint="Give one address an item, as ann@example.com or Ann Lee <ann@example.com>.",
        )
    return Address(match[0], name)


def unique(addresses: Iterable[Address]) -> list[Address]:
    """Drop repeated mailboxes, keeping the first."""
    return list({address.email.lower(): address for address in reversed(list(addresses))}.values())[
        ::-1
    ]


def without(addresses: Iterable[Address], dropped: Sequence[Address]) -> list[Address]:
    """Drop the mailboxes that are in `dropped`."""
    gone = {address.email.lower() for address in dropped}
    return [address for address in addresses if address.email.lower() not in gone]
