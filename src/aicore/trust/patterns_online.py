"""Addresses of the net: mail, machines, links that open something, and passwords said aloud."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from aicore.trust.marks import Marked

__all__ = ["find_online"]

# From the sign outwards: a pattern that begins with the name is slow on long texts without one.
_AT = re.compile(r"@|\uff20|\s?[(\[{]\s?(?:at|arroba|ät|a)\s?[)\]}]\s?", re.IGNORECASE)
_LOCAL = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}\Z")
_DOT = r"(?:\.|\s?[(\[{]\s?(?:dot|punkt|point|punto)\s?[)\]}]\s?)"
_DOMAIN = re.compile(rf"[\w-]{{1,63}}(?:{_DOT}[\w-]{{1,63}}){{1,8}}", re.IGNORECASE)
_URL = re.compile(r"\b(?:https?://|www\.)[^\s<>\"']{3,2000}", re.IGNORECASE)
_OPENS = re.compile(
    r"[?&#;/](?:access_|auth_|api_?|reset_?|session_?|id_)?"
    r"(?:token|key|code|secret|sig(?:nature)?|auth|password|pwd|jwt|otp|sid)[=/][^&\s]{6,}"
    r"|//[^/\s@]{1,200}:[^/\s@]{1,200}@|[/=](?=[A-Za-z0-9_-]*\d)[A-Za-z0-9_-]{24,}",
    re.IGNORECASE,
)
_V4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)")
_V6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:])")
_SECRET = re.compile(
    r"\b(?:pass(?:word|wort|code|phrase)|pwd|kennwort|mot de passe|mdp|contrase[ñn]a|clave|pin|tan"
    r"|cvv|cvc)(?:\s(?:is|ist|lautet|est|es)\b\s?:?|\s?[:=])\s?[\"'`]?([^\s\"'`]{3,100})",
    re.IGNORECASE,
)


def find_online(text: str) -> Iterator[Marked]:
    """Find mail addresses, IP addresses, links with a token in them, and passwords."""
    for sign in _AT.finditer(text):
        local = _LOCAL.search(text, max(0, sign.start() - 64), sign.start())
        domain = _DOMAIN.match(text, sign.end())
        if local is not None and domain is not None:
            yield Marked(local.start(), domain.end(), "EMAIL")
    for found in _URL.finditer(text):
        if _OPENS.search(found[0]):
            yield Marked(found.start(), found.start() + len(found[0].rstrip(".,;:!?)")), "URL")
    for pattern in (_V4, _V6):
        for found in pattern.finditer(text):
            if _is_somewhere(found[0]):
                yield Marked(found.start(), found.end(), "IP")
    for found in _SECRET.finditer(text):
        if any(char.isdigit() or not char.isalpha() for char in found[1].rstrip(".,;!?")):
            yield Marked(found.start(1), found.start(1) + len(found[1].rstrip(".,;!?")), "SECRET")


def _is_somewhere(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return not (parsed.is_loopback or parsed.is_unspecified)
