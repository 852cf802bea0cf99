"""Whether text stays on a machine of the business: by the host, and by the model's name."""

from __future__ import annotations

import ipaddress
import re

__all__ = ["is_own_host", "is_passed_on"]

# Names that public DNS never answers: RFC 6761 (localhost), RFC 6762 (local), RFC 8375
# (home.arpa), and `internal`, reserved by ICANN in 2024.
_PRIVATE_SUFFIXES = (".localhost", ".local", ".home.arpa", ".internal")
# A single label (`ollama` in a compose file). Must begin with a letter: resolvers read
# `134744072` and `0x8080808` as public addresses.
_SINGLE_LABEL = re.compile(r"[a-z][a-z0-9_-]*")
# Ollama on this machine sends what such models are asked to its vendor: https://docs.ollama.com/cloud
_PASSED_ON = ("-cloud", ":cloud")


def is_own_host(host: str) -> bool:
    """Tell whether text sent to this host stays on a machine of the business.

    True for loopback, private and link-local addresses and for names that cannot be public.
    When in doubt the answer is False, because special data is routed by it.
    """
    host = host.lower().rstrip(".")
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return bool(_SINGLE_LABEL.fullmatch(host)) or host.endswith(_PRIVATE_SUFFIXES)
    return address.is_private or address.is_loopback or address.is_link_local


def is_passed_on(model: str) -> bool:
    """Tell whether a server of one's own would pass on what this model is asked to its vendor."""
    return model.lower().endswith(_PASSED_ON)
