"""Who of an event's people is told about it, and whom this server may invite at all."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from aicore_tools.calendars.records import Attendee, Calendar, Event, Notify, Response, Terms
from aicore_tools.errors import InvalidInput, NotAllowed

__all__ = [
    "EVERYBODY",
    "NOBODY_TOLD",
    "InviteeRules",
    "answered",
    "is_own",
    "marked",
    "notices",
    "own_attendee",
    "to_tell",
    "unsent",
]

NOBODY_TOLD = "Nobody is notified: this calendar sends no mail."
_UNSENT = "The message is not sent: this calendar cannot pass it on. Write to them apart from it."
_PATTERN = re.compile(r"\*|(?:\*|[^\s@*,<>]+)@(?:\*\.)?[^\s@*,<>]+")


@dataclass(frozen=True, slots=True)
class InviteeRules:
    """The addresses that may be invited and written to.

    A pattern is an address, `*@example.com`, `*@*.example.com` (subdomains only) or `*`; no
    pattern at all allows nobody.

    Raises:
        InvalidInput: a pattern is none of these.
    """

    patterns: tuple[str, ...]

    def __post_init__(self) -> None:
        for pattern in self.patterns:
            if _PATTERN.fullmatch(pattern) is None:
                raise InvalidInput(
                    f"{pattern[:80]!r} is no pattern of addresses.",
                    hint="Write ann@example.com, *@example.com, *@*.example.com, or * (everybody).",
                )

    @classmethod
    def read(cls, text: str) -> InviteeRules:
        """Read patterns separated by commas.

        Raises:
            InvalidInput: one is no pattern.
        """
        return cls(tuple(part.strip().casefold() for part in text.split(",") if part.strip()))

    def check(self, addresses: Iterable[str]) -> None:
        """Refuse addresses that no pattern allows.

        Raises:
            NotAllowed: with code `recipient_not_allowed`.
        """
        for address in addresses:
            if not any(_matches(address.casefold(), pattern) for pattern in self.patterns):
                raise NotAllowed(
                    f"{address[:100]} is not among the people who may be invited here.",
                    hint="Leave them out, or ask a person of the business (--invitees).",
                    code="recipient_not_allowed",
                )


EVERYBODY = InviteeRules(("*",))


def is_own(address: str, own: Iterable[str]) -> bool:
    """Say whether `address` is one of the `own` ones, whatever its case."""
    return address.casefold() in {one.casefold() for one in own}


def marked(event: Event, own: Sequence[str]) -> Event:
    """Give the event with the attendee marked who has one of the `own` addresses."""
    if not (own and event.attendees):
        return event
    found = next((one for one in event.attendees if is_own(one.address, own)), None)
    people = tuple(replace(one, is_self=one is found) for one in event.attendees)
    return replace(event, attendees=people)


def own_attendee(event: Event) -> Attendee | None:
    """Give the attendee whose account this is."""
    return next((one for one in event.attendees if one.is_self), None)


def answered(event: Event, response: Response) -> Event:
    """Give the event with the own attendee's answer in it."""
    return replace(
        event,
        attendees=tuple(
            replace(one, response=response) if one.is_self else one for one in event.attendees
        ),
    )


def to_tell(attendees: Iterable[Attendee], notify: Notify, calendar: Calendar) -> tuple[str, ...]:
    """Give the addresses that `notify` means, without the calendar's own."""
    if notify == "none":
        return ()
    own, domain = calendar.address.casefold(), _domain(calendar.address)
    return tuple(
        one.address
        for one in attendees
        if not one.is_self
        and one.address.casefold() != own
        and (notify == "all" or not domain or _domain(one.address) != domain)
    )


def notices(
    attendees: Sequence[Attendee],
    terms: Terms,
    calendar: Calendar,
    *,
    before: Event | None = None,
    is_end: bool = False,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Give whom the backend tells, and warnings where that is not as `terms` want it.

    `before` is the event that is changed, or, if `is_end`, cancelled.
    """
    wanted = to_tell(attendees, terms.notify, calendar)
    if not calendar.tells_attendees:
        return (), (NOBODY_TOLD,) if wanted else ()
    if not calendar.keeps_telling:
        return wanted, ()
    invited = before.invited if before else ()
    told = invited if is_end else tuple(dict.fromkeys((*invited, *wanted)))
    warnings = []
    if set(told) - set(wanted):
        warnings.append("The calendar server tells those it invited, whatever is asked.")
    if left := [address for address in wanted if address not in told]:
        warnings.append(f"The calendar server did not invite and does not tell {', '.join(left)}.")
    return told, tuple(warnings)


def unsent(terms: Terms, calendar: Calendar) -> tuple[str, ...]:
    """Warn of the message of a cancellation where the backend does not send it along."""
    return (_UNSENT,) if terms.message and not calendar.sends_messages else ()


def _matches(address: str, pattern: str) -> bool:
    if pattern in ("*", address):
        return True
    local, _, domain = address.rpartition("@")
    wanted_local, _, wanted = pattern.rpartition("@")
    if wanted_local not in ("*", local):
        return False
    return domain.endswith(wanted[1:]) if wanted.startswith("*.") else domain == wanted


def _domain(address: str) -> str:
    return address.rpartition("@")[2].casefold() if "@" in address else ""
