"""Signing in at Google: consent in the browser, or a service account."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from aicore_servers._tooling import Profile
from aicore_servers.connecting.asking import Asked, Person, from_file, say
from aicore_servers.connecting.loopback import Redirect, open_browser
from aicore_tools.errors import BackendConfigError
from aicore_tools.extras import needing

__all__ = ["asked_google", "google_fields", "google_scopes"]

_AUTH = "https://www.googleapis.com/auth/"
# https://developers.google.com/workspace/gmail/api/auth/scopes
_MAIL: Mapping[Profile, Sequence[str]] = {
    "read": ("gmail.readonly",),
    "draft": ("gmail.readonly", "gmail.compose"),
    "write": ("gmail.modify",),
    "money": ("gmail.modify",),
}
# https://developers.google.com/workspace/calendar/api/auth
_CALENDAR_READ = (
    "calendar.calendarlist.readonly",
    "calendar.events.readonly",
    "calendar.freebusy",
)
_CALENDAR_WRITE = ("calendar.calendarlist.readonly", "calendar.events", "calendar.freebusy")
_CALENDAR: Mapping[Profile, Sequence[str]] = {
    "read": _CALENDAR_READ,
    "draft": _CALENDAR_READ,
    "write": _CALENDAR_WRITE,
    "money": _CALENDAR_WRITE,
}
_FILE = Asked(
    name="file",
    question="File of an OAuth client (desktop app) or of a service account, from Google's console",
)
_SUBJECT = Asked(
    name="subject",
    question="Whose mailbox and calendar (address; the domain's administrator must allow it)",
)


def google_scopes(profile: Profile, domains: Collection[str]) -> list[str]:
    """Give the least scopes that the tools of `profile` need in these domains."""
    names = (*(_MAIL[profile] if "mail" in domains else ()),)
    names += (*(_CALENDAR[profile] if "calendars" in domains else ()),)
    return [_AUTH + name for name in names]


def asked_google(person: Person) -> dict[str, Any]:
    """Ask for the file from Google's console, and give what is in it."""
    given = dict(from_file(Path(person.answer(_FILE)).expanduser()))
    if given.get("type") == "service_account":
        return {"service_account": json.dumps(given), "subject": person.answer(_SUBJECT)}
    return given


def google_fields(
    given: Mapping[str, Any],
    scopes: Sequence[str],
    *,
    show: Callable[[str], None] = open_browser,
) -> dict[str, str]:
    """Give the fields of the connection; signs in where there is no refresh token yet.

    Args:
        given: what was asked, or a file has: fields of a connection, or what Google's console
            gives for an OAuth client (`installed`) or a service account (`type`).
        scopes: the ones to ask for.
        show: shows the consent page.

    Raises:
        BackendConfigError: something is missing, or not all was granted.
    """
    if given.get("type") == "service_account":
        ours = {name: given[name] for name in ("subject", "base_url") if name in given}
        account = {name: value for name, value in given.items() if name not in ours}
        given = {"service_account": json.dumps(account), **ours}
    client = given.get("installed") or given.get("web")
    fields = {name: str(value) for name, value in given.items() if isinstance(value, str | int)}
    if isinstance(client, Mapping):
        fields |= {name: str(client.get(name, "")) for name in ("client_id", "client_secret")}
    if fields.get("service_account"):
        if not fields.get("subject"):
            raise BackendConfigError(
                "A service account needs a subject: the address it works for.",
                hint="Add it to the file as `subject`, or set AICORE_GOOGLE_SUBJECT.",
            )
        return fields | {"scopes": " ".join(scopes)}
    if not (fields.get("client_id") and fields.get("client_secret")):
        raise BackendConfigError(
            "That has neither an OAuth client nor a service account in it.",
            hint="Download the JSON file of a client of the type desktop app.",
        )
    if fields.get("refresh_token"):
        return fields
    return fields | {
        "refresh_token": _consent(fields, scopes, show),
        "scopes": " ".join(scopes),
    }


def _consent(fields: Mapping[str, str], scopes: Sequence[str], show: Callable[[str], None]) -> str:
    with needing("google"):
        from google_auth_oauthlib.flow import InstalledAppFlow  # type: ignore[import-untyped]
        from oauthlib.oauth2 import OAuth2Error  # type: ignore[import-untyped]
    base_url = fields.get("base_url", "").rstrip("/")
    client = {
        "client_id": fields["client_id"],
        "client_secret": fields["client_secret"],
        "auth_uri": f"{base_url or 'https://accounts.google.com'}/o/oauth2/v2/auth",
        "token_uri": f"{base_url or 'https://oauth2.googleapis.com'}/token",
    }
    flow = InstalledAppFlow.from_client_config({"installed": client}, scopes=list(scopes))
    with Redirect() as redirect:
        flow.redirect_uri = redirect.url
        # A new consent each time: Google gives a refresh token with no other.
        url, state = flow.authorization_url(access_type="offline", prompt="consent")
        code = redirect.code(url, state, show=show)
        try:
            token = flow.fetch_token(code=code, timeout=30)
        except OAuth2Error as error:
            raise BackendConfigError(
                f"Google does not take the consent ({error.error})."
            ) from error
        except OSError as error:  # what requests, which that library speaks through, raises
            raise BackendConfigError(
                f"{base_url or 'Google'} cannot be reached; nothing was kept."
            ) from error
        except Warning as error:  # what oauthlib raises for other scopes than those asked for
            raise BackendConfigError(
                "Not everything that was asked for was granted; nothing was kept.",
                hint="Connect again and leave all ticked, or ask for less by --profile or --only.",
            ) from error
    refresh_token = token.get("refresh_token")
    if not refresh_token:
        raise BackendConfigError("Google gave no refresh token; nothing was kept.")
    say("If the OAuth app is in testing, Google ends this connection after 7 days: publish it.")
    return str(refresh_token)
