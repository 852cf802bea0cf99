"""Whether text stays on a machine of the business: by the host, and by the model's name."""

from __future__ import annotations

import ipaddress
import re

__all__ = ["is_own_host", "is_passed_on"]

# Names that public DNS never answers: RFC 6761 (localhost), RFC 6762 (local), RFC 8375
# (home.arpa), and `internal`, reserved by ICANN in 2024.
_PRIVATE_SUFFIXES = (".localhost", ".local", ".home.arpa", ".internal")
# A single label (`ollama` in a compose file). Must begin with a letter: resolvers read
# `134744072` and `0x8080808` as public addresses. Two letters, or `xn--`, may be a country's
# domain, and some of those have addresses.
_SINGLE_LABEL = re.compile(r"(?!xn--)[a-z][a-z0-9_-]{2,}")
# Not `is_private`: that also holds for what is only reserved, and for IPv6 carried over the public
# internet (2001::/32), and differs between versions of Python.
_OWN_NETS = tuple(
    ipaddress.ip_network(net)
    for net in (
        *("0.0.0.0/32", "10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.168.0.0/16", "::/128", "::1/128", "fc00::/7", "fe80::/10"),
    )
)
# Ollama on this machine sends what such models are asked to its vendor: https://docs.ollama.com/cloud
_PASSED_ON = ("-cloud", ":cloud")


def is_own_host(host: str) -> bool:
    """Tell whether text sent to this host stays on a machine of the business.

    True for loopback, private and link-local addresses and for names that cannot be public.
    When in doubt the answer is False, because special data is routed by it.
    """
    host = host.lower()
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        # With a dot at its end, a single label is a top-level domain.
        name = host.removesuffix(".")
        is_label = bool(_SINGLE_LABEL.fullmatch(host)) or name == "localhost"
        return is_label or name.endswith(_PRIVATE_SUFFIXES)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return any((mapped or address) in net for net in _OWN_NETS)


def is_passed_on(model: str) -> bool:
    """Tell whether a server of one's own would pass on what this model is asked to its vendor."""
    return model.lower().endswith(_PASSED_ON)
