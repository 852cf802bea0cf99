"""What the requests in OpenAI's formats have in common: where they go, under which headers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

from aicore.errors import ConfigError

__all__ = ["checked_url", "request_headers"]

_OWN_HEADERS = frozenset(
    {"accept-encoding", "connection", "content-length", "content-type", "host"}
    | {"transfer-encoding"}
)
_HEADER_NAME = re.compile(r"[A-Za-z0-9_-]+")
_HEADER_VALUE = re.compile(r"[!-~]+( +[!-~]+)*")
_SECRET_PARTS = re.compile(r"(?<=//)[^/]*@|[?#].*", re.DOTALL)
_URL_TEXT = re.compile(r"[!-~]+")


def checked_url(base_url: str, path: str) -> SplitResult:
    """Take apart the address that `path` will be added to. Raises: ConfigError."""
    try:
        url = urlsplit(base_url)
        is_good = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        is_good = False
    if not is_good or not _URL_TEXT.fullmatch(base_url):
        raise ConfigError(
            f"base_url {_shown(base_url)!r} is no address of a model server. "
            "Give one such as http://127.0.0.1:11434/v1."
        )
    if url.username is not None or url.query or url.fragment:
        raise ConfigError(
            "base_url must hold no user, query or fragment. Give a key by api_key or headers."
        )
    if url.path.rstrip("/").endswith(path):
        raise ConfigError(f"base_url must end before {path}. Remove that part.")
    return url


def _shown(base_url: str) -> str:
    """Leave out where somebody may have put a key."""
    return _SECRET_PARTS.sub("", base_url)


def request_headers(api_key: str | None, extra: Mapping[str, str]) -> dict[str, str]:
    """Give the headers of every request, lower case. Raises: ConfigError."""
    headers = {"accept-encoding": "identity", "content-type": "application/json"}
    headers["user-agent"] = "aicore"
    if api_key:
        if not _HEADER_VALUE.fullmatch(api_key):
            raise ConfigError("api_key holds characters that no key has. Check for line breaks.")
        headers["authorization"] = f"Bearer {api_key}"
    for name, value in extra.items():
        if name.lower() in _OWN_HEADERS or not _HEADER_NAME.fullmatch(name):
            raise ConfigError(f"headers cannot set {name!r}. Remove it.")
        if not _HEADER_VALUE.fullmatch(value):
            raise ConfigError(f"The value of the header {name!r} is not printable ASCII text.")
        headers[name.lower()] = value
    return headers
