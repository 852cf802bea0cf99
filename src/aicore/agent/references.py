"""Identifiers in what tools and people say: booking numbers, ids, links, order numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

__all__ = ["references_in", "references_of"]

_MOST = 6
_DEEPEST = 5
_LONGEST = 80
_KEY = re.compile(
    r"(?:^|_|(?<=[a-z]))(?:id|uid|uuid|ref|reference|number|no|nr|code|key|url|link|confirmation)$",
    re.IGNORECASE,
)
_PAIR = re.compile(r"(?<!\w)(\w{2,40})[\"']?\s{0,3}[:=]\s{0,3}[\"']?([\w./:@+-]{1,80})")
# INV-2024-77, bk_93ab1, #4711, 7Q2-XX9: letters and digits together, as no word or date has them.
_LOOSE = re.compile(
    r"(?<![\w/@.-])(?:#\d{2,12}|(?=[\w-]{0,40}\d)(?:[A-Z]{2,10}[-_]?|[A-Z][-_]|[A-Z](?=\d{4}))\d[\w-]{0,32}"
    r"|[a-z]{2,12}_(?=\w{0,30}\d)\w{3,40}|(?=[A-Z0-9-]{0,20}[A-Z])\d[A-Z0-9]{1,8}-[A-Z0-9-]{2,16})"
    r"(?![\w@])"
)
_SAFE = re.compile(r"[^\w./:@+#-]")


def references_of(structured: Any, text: str) -> list[str]:
    """Identifiers in a tool's result, as `key value`; the text counts where there is no JSON."""
    if structured is not None:
        found = (f"{key} {value}" for key, value in _pairs(structured, 0))
    else:
        pairs = (match.groups() for match in _PAIR.finditer(text))
        found = (f"{key} {value}" for key, value in pairs if _KEY.search(key))
    named = list(dict.fromkeys(islice(found, _MOST)))
    return named or references_in(text)


def references_in(text: str) -> list[str]:
    """What looks like an identifier in free text."""
    # Nearly every word is of letters alone: only the others are worth a closer look.
    odd = " ".join([word for word in text.split() if not word.isalpha()])
    found = (_SAFE.sub("", match[0]) for match in _LOOSE.finditer(odd))
    return list(dict.fromkeys(islice(found, _MOST)))


def _pairs(value: Any, depth: int) -> Iterator[tuple[str, str]]:
    if depth > _DEEPEST:
        return
    if isinstance(value, Mapping):
        for key, one in value.items():
            is_plain = isinstance(one, str | int) and not isinstance(one, bool)
            if is_plain and _KEY.search(str(key)) and 0 < len(str(one)) <= _LONGEST:
                yield _SAFE.sub("", str(key))[:40], _SAFE.sub("", str(one))
            else:
                yield from _pairs(one, depth + 1)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for one in value:
            yield from _pairs(one, depth + 1)
