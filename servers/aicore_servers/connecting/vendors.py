"""The vendors that can be connected: what each is asked, and which servers use it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from aicore_servers._tooling import Profile
from aicore_servers.connecting.asking import Asked, Person, say
from aicore_servers.connecting.google_signin import asked_google, google_fields, google_scopes
from aicore_servers.connecting.hubspot_signin import asked_hubspot, hubspot_fields
from aicore_tools.connections import Probe
from aicore_tools.errors import BackendConfigError

__all__ = ["VENDORS", "Vendor", "Wish"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a connection is for."""

    profile: Profile
    domains: Collection[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """One vendor. `backends` are the names of its backends by domain.

    `ask` asks a person; `fields` turns what was asked, or found in a file or the environment, into
    the fields of a connection, signing in where that is needed. `serves` tells which domains a
    connection is for. `whose` names the account in words that stay the same; empty where that
    cannot be told.
    """

    name: str
    title: str
    backends: Mapping[str, str]
    ask: Callable[[Person], Mapping[str, Any]]
    fields: Callable[[Mapping[str, Any], Wish], dict[str, str]]
    serves: Callable[[Mapping[str, str], str], bool] = lambda _fields, _domain: True
    whose: Callable[[Mapping[str, str], Probe], str] = lambda _fields, probe: probe.name


def _texts(given: Mapping[str, Any], needed: Sequence[str], vendor: str) -> dict[str, str]:
    fields = {name: str(value) for name, value in given.items() if isinstance(value, str | int)}
    missing = [name for name in needed if not fields.get(name)]
    if missing:
        raise BackendConfigError(f"A connection to {vendor} needs {', '.join(missing)}.")
    return fields


def _google(given: Mapping[str, Any], wish: Wish) -> dict[str, str]:
    return google_fields(given, google_scopes(wish.profile, wish.domains))


def _google_serves(fields: Mapping[str, str], domain: str) -> bool:
    """Tell it by the scopes; without any, the connection may be for everything."""
    scopes = fields.get("scopes", "")
    word = "mail" if domain == "mail" else "calendar"
    return not scopes or word in scopes


def _hubspot(given: Mapping[str, Any], wish: Wish) -> dict[str, str]:
    return hubspot_fields(given, wish.profile)


_STRIPE = (
    Asked(
        name="api_key",
        question="Restricted key, from Stripe's dashboard (rk_test_... or rk_live_...)",
        is_secret=True,
    ),
)


def _stripe(given: Mapping[str, Any], _: Wish) -> dict[str, str]:
    fields = _texts(given, ["api_key"], "stripe")
    if fields["api_key"].startswith("pk_"):
        raise BackendConfigError(
            "That is a publishable key: it can do nothing here.",
            hint="Make a restricted key (rk_...) in Stripe's dashboard.",
        )
    if fields["api_key"].startswith("sk_"):
        say("That is a full key: it may do everything. A restricted key (rk_...) is safer.")
    return fields


def _stripe_whose(_: Mapping[str, str], probe: Probe) -> str:
    """Give the id of the account; a restricted key may not be allowed to read it."""
    found = re.search(r"\((acct_\w+)\)", probe.name)
    return found[1] if found else ""


_ACCOUNT = (
    Asked(name="user", question="User, often the mail address"),
    Asked(name="password", question="Password, or app password", is_secret=True),
)
_HOSTS = (
    Asked(name="imap_host", question="IMAP server"),
    Asked(name="imap_port", question="IMAP port", default="993"),
    Asked(name="imap_tls", question="IMAP encryption: ssl, starttls or none", default="ssl"),
    Asked(name="smtp_host", question="SMTP server"),
    Asked(name="smtp_port", question="SMTP port", default="465"),
    Asked(name="smtp_tls", question="SMTP encryption: ssl, starttls or none", default="ssl"),
)


def _imap_whose(fields: Mapping[str, str], _: Probe) -> str:
    return f"{fields['user']} at {fields['imap_host']}"


def _ask_imap(person: Person) -> dict[str, str]:
    answers = person.answers(_ACCOUNT)
    domain = answers["user"].partition("@")[2]
    usual = {"imap_host": f"imap.{domain}", "smtp_host": f"smtp.{domain}"} if domain else {}
    return answers | {
        asked.name: person.answer(asked, usual.get(asked.name, "")) for asked in _HOSTS
    }


def _imap(given: Mapping[str, Any], _: Wish) -> dict[str, str]:
    usual = {asked.name: asked.default for asked in _HOSTS if asked.default}
    return usual | _texts(given, ["user", "password", "imap_host", "smtp_host"], "imap")


_CALDAV = (Asked(name="url", question="Address of the CalDAV server (https://...)"), *_ACCOUNT)


def _caldav(given: Mapping[str, Any], _: Wish) -> dict[str, str]:
    fields = _texts(given, ["url", "user", "password"], "caldav")
    address = urlsplit(fields["url"])
    if address.scheme not in ("https", "http") or not address.hostname:
        raise BackendConfigError("url: write the whole address, such as https://dav.example/.")
    if address.username or address.password:
        raise BackendConfigError("url: leave user and password out of the address.")
    if address.scheme == "http" and not _is_loopback(address.hostname):
        say(f"The address is http: the password goes to {address.hostname} in clear text.")
    return fields


def _caldav_whose(fields: Mapping[str, str], _: Probe) -> str:
    return f"{fields['user']} at {urlsplit(fields['url']).hostname}"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


VENDORS: Mapping[str, Vendor] = {
    vendor.name: vendor
    for vendor in (
        Vendor(
            name="google",
            title="Google: Gmail and Google Calendar",
            backends={"mail": "gmail", "calendars": "google"},
            ask=asked_google,
            fields=_google,
            serves=_google_serves,
        ),
        Vendor(
            name="hubspot",
            title="HubSpot: customers",
            backends={"crm": "hubspot"},
            ask=asked_hubspot,
            fields=_hubspot,
            whose=lambda _fields, _probe: "",  # the probe does not know which portal it is
        ),
        Vendor(
            name="stripe",
            title="Stripe: payments",
            backends={"payments": "stripe"},
            ask=lambda person: person.answers(_STRIPE),
            fields=_stripe,
            whose=_stripe_whose,
        ),
        Vendor(
            name="imap",
            title="Any mail account, over IMAP and SMTP",
            backends={"mail": "imap"},
            ask=_ask_imap,
            fields=_imap,
            whose=_imap_whose,
        ),
        Vendor(
            name="caldav",
            title="Any calendar, over CalDAV",
            backends={"calendars": "caldav"},
            ask=lambda person: person.answers(_CALDAV),
            fields=_caldav,
            whose=_caldav_whose,
        ),
    )
}
