"""The vendors that can be connected: what each is asked, and which servers use it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from aicore_servers._tooling import Profile
from aicore_servers.connecting.asking import Asked, Person, say
from aicore_servers.connecting.google_signin import asked_google, google_fields, google_scopes
from aicore_servers.connecting.hubspot_signin import asked_hubspot, hubspot_fields
from aicore_tools.connections import Probe, is_loopback, refuse_base_url
from aicore_tools.errors import BackendConfigError
from aicore_tools.extras import refuse_missing

__all__ = ["VENDORS", "Vendor", "Wish", "checked_fields"]


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
    connection is for. `known` are the fields it may have. `modules` belong to the extra of its
    name. `whose` names the account in words that stay the same; empty where that
    cannot be told.
    """

    name: str
    title: str
    backends: Mapping[str, str]
    ask: Callable[[Person], Mapping[str, Any]]
    fields: Callable[[Mapping[str, Any], Wish], dict[str, str]]
    known: Collection[str]
    modules: Sequence[str]
    serves: Callable[[Mapping[str, str], str], bool] = lambda _fields, _domain: True
    whose: Callable[[Mapping[str, str], Probe], str] = lambda _fields, probe: probe.name

    def refuse_missing_library(self) -> None:
        """See whether its libraries are there, before anybody is asked anything.

        Raises:
            BackendConfigError: one is not installed.
        """
        refuse_missing(self.name, self.modules)


def checked_fields(vendor: Vendor, given: Mapping[str, Any], wish: Wish) -> dict[str, str]:
    """Give the fields of a connection; signs in where that is needed.

    Raises:
        BackendConfigError: a field is not one of the vendor's, is no text, or cannot be right.
    """
    plain = _without_console_file(given) if vendor.name == "google" else given
    for name, value in plain.items():
        if name not in vendor.known:
            raise _unknown_field(vendor, name)
        if not isinstance(value, str | int) or isinstance(value, bool):
            raise BackendConfigError(f"{name} must be a text.")
    refuse_base_url({name: str(value) for name, value in plain.items()})
    return vendor.fields(given, wish)


def _unknown_field(vendor: Vendor, name: str) -> BackendConfigError:
    near = difflib.get_close_matches(name, vendor.known, n=1)
    meant = f"Did you mean {near[0]}? " if near else ""
    return BackendConfigError(
        f"A connection to {vendor.name} has no field {name[:80]!r}.",
        hint=f"{meant}It may have: {', '.join(vendor.known)}.",
    )


def _without_console_file(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Leave out what a JSON file of Google's console has."""
    if given.get("type") == "service_account":
        return {name: value for name, value in given.items() if name not in _SERVICE_ACCOUNT}
    return {name: value for name, value in given.items() if name not in ("installed", "web")}


# https://developers.google.com/workspace/guides/create-credentials#service-account
_SERVICE_ACCOUNT = (
    "type",
    "project_id",
    "private_key_id",
    "private_key",
    "client_email",
    "client_id",
    "auth_uri",
    "token_uri",
    "auth_provider_x509_cert_url",
    "client_x509_cert_url",
    "universe_domain",
)


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


def _refuse_port(text: str) -> None:
    if not (text.isascii() and text.isdigit() and 0 < int(text[:9]) < 65536):
        raise BackendConfigError(f"{text[:40]!r} is no port.", hint="Give 1 to 65535.")


def _refuse_tls(text: str) -> None:
    if text not in ("ssl", "starttls", "none"):
        raise BackendConfigError(f"{text[:40]!r} is none.", hint="Give ssl, starttls or none.")


_TLS = "encryption: ssl, starttls or none"
_HOSTS = (
    Asked(name="imap_host", question="IMAP server"),
    Asked(name="imap_port", question="IMAP port", default="993", check=_refuse_port),
    Asked(name="imap_tls", question=f"IMAP {_TLS}", default="ssl", check=_refuse_tls),
    Asked(name="smtp_host", question="SMTP server"),
    Asked(name="smtp_port", question="SMTP port", default="465", check=_refuse_port),
    Asked(name="smtp_tls", question=f"SMTP {_TLS}", default="ssl", check=_refuse_tls),
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
    fields = usual | _texts(given, ["user", "password", "imap_host", "smtp_host"], "imap")
    for asked in _HOSTS:
        asked.refuse(fields[asked.name])
    return fields


def _refuse_address(text: str) -> None:
    try:
        address = urlsplit(text)
        is_whole = address.scheme in ("https", "http") and address.hostname and address.port != 0
    except ValueError:
        is_whole = False
    if not is_whole:
        raise BackendConfigError("url: write the whole address, such as https://dav.example/.")
    if address.username or address.password:
        raise BackendConfigError("url: leave user and password out of the address.")


_CALDAV = (
    Asked(name="url", question="Address of the CalDAV server (https://...)", check=_refuse_address),
    *_ACCOUNT,
)


def _caldav(given: Mapping[str, Any], _: Wish) -> dict[str, str]:
    fields = _texts(given, ["url", "user", "password"], "caldav")
    _refuse_address(fields["url"])
    address = urlsplit(fields["url"])
    if address.scheme == "http" and not is_loopback(address.hostname or ""):
        say(f"The address is http: the password goes to {address.hostname} in clear text.")
    return fields


def _caldav_whose(fields: Mapping[str, str], _: Probe) -> str:
    return f"{fields['user']} at {urlsplit(fields['url']).hostname}"


_CLIENT = ("client_id", "client_secret", "refresh_token")
_HOST_FIELDS = tuple(asked.name for asked in _HOSTS)
_IMAP_MORE = ("smtp_user", "smtp_password", "addresses", "self_bcc", "allow_unencrypted")

VENDORS: Mapping[str, Vendor] = {
    vendor.name: vendor
    for vendor in (
        Vendor(
            name="google",
            title="Google: Gmail and Google Calendar",
            backends={"mail": "gmail", "calendars": "google"},
            ask=asked_google,
            fields=_google,
            known=(*_CLIENT, "scopes", "service_account", "subject", "base_url"),
            modules=("googleapiclient", "google_auth_httplib2", "google_auth_oauthlib"),
            serves=_google_serves,
        ),
        Vendor(
            name="hubspot",
            title="HubSpot: customers",
            backends={"crm": "hubspot"},
            ask=asked_hubspot,
            fields=_hubspot,
            known=("access_token", *_CLIENT, "base_url"),
            modules=("hubspot",),
            whose=lambda _fields, _probe: "",  # the probe does not know which portal it is
        ),
        Vendor(
            name="stripe",
            title="Stripe: payments",
            backends={"payments": "stripe"},
            ask=lambda person: person.answers(_STRIPE),
            fields=_stripe,
            known=("api_key", "base_url"),
            modules=("stripe", "httpx"),
            whose=_stripe_whose,
        ),
        Vendor(
            name="imap",
            title="Any mail account, over IMAP and SMTP",
            backends={"mail": "imap"},
            ask=_ask_imap,
            fields=_imap,
            known=("user", "password", *_HOST_FIELDS, *_IMAP_MORE),
            modules=("imap_tools", "aiosmtplib"),
            whose=_imap_whose,
        ),
        Vendor(
            name="caldav",
            title="Any calendar, over CalDAV",
            backends={"calendars": "caldav"},
            ask=lambda person: person.answers(_CALDAV),
            fields=_caldav,
            known=("url", "user", "password"),
            modules=("icalendar",),
            whose=_caldav_whose,
        ),
    )
}
