"""Whom the business lets its mail go to: a list of its own, checked before anything is sent."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from aicore_tools.errors import BackendConfigError, NotAllowed
from aicore_tools.mail.records import Address

__all__ = ["Recipients"]

_PATTERN = re.compile(r"\*|(?:\*|[^\s@*,<>]+)@(?:\*\.)?[^\s@*,<>]+")


@dataclass(frozen=True, slots=True)
class Recipients:
    """Patterns of allowed addresses; None allows everybody, an empty list nobody.

    A pattern is an address, `*@example.com`, `*@*.example.com` (subdomains only) or `*`.

    Raises:
        BackendConfigError: a pattern is none of these.
    """

    patterns: Sequence[str] | None = None

    def __post_init__(self) -> None:
        for pattern in self.patterns or ():
            if _PATTERN.fullmatch(pattern) is None:
                raise BackendConfigError(
                    f"{pattern!r} is no pattern of recipients.",
                    hint="Write ann@example.com, *@example.com or *@*.example.com.",
                )

    def check(self, addresses: Sequence[Address]) -> None:
        """Refuse a mail to anybody who is not allowed.

        Raises:
            NotAllowed: `recipient_not_allowed`, naming them.
        """
        refused = [each.email for each in addresses if not self._allows(each.email.lower())]
        if refused:
            raise NotAllowed(
                f"This business does not let mail be sent to {', '.join(refused)}.",
                hint="Take them off the draft, or let a person of the business send it.",
                code="recipient_not_allowed",
            )

    def _allows(self, email: str) -> bool:
        if self.patterns is None:
            return True
        return any(_matches(pattern.lower(), email) for pattern in self.patterns)


def _matches(pattern: str, email: str) -> bool:
    if pattern in ("*", email):
        return True
    wanted_local, _, wanted = pattern.rpartition("@")
    local, _, domain = email.rpartition("@")
    if wanted_local not in ("*", local):
        return False
    return domain.endswith(wanted[1:]) if wanted.startswith("*.") else domain == wanted
