"""Signing in at HubSpot: the token of a private app, or consent in the browser."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from aicore_servers._tooling import Profile
from aicore_servers.connecting.asking import Asked, Person
from aicore_servers.connecting.loopback import Redirect, open_browser
from aicore_tools.errors import BackendConfigError
from aicore_tools.extras import needing

__all__ = ["REDIRECT_PORT", "asked_hubspot", "hubspot_fields", "hubspot_scopes"]

REDIRECT_PORT = 8976
"""HubSpot redirects only to addresses its app names: http://localhost:8976/ has to be one."""

_TOKEN = Asked(
    name="access_token",
    question="Access token of a private app (empty: sign in with an OAuth app)",
    is_secret=True,
    is_optional=True,
)
_CLIENT = (
    Asked(name="client_id", question="Client id of the OAuth app"),
    Asked(name="client_secret", question="Client secret of the OAuth app", is_secret=True),
)
# https://developers.hubspot.com/docs/apps/developer-platform/build-apps/authentication/scopes
_READ = (
    "oauth",
    "crm.objects.contacts.read",
    "crm.objects.companies.read",
    "crm.objects.deals.read",
    "crm.objects.owners.read",
    "crm.schemas.contacts.read",
    "crm.schemas.companies.read",
    "crm.schemas.deals.read",
)
_WRITE = (
    "crm.objects.contacts.write",
    "crm.objects.companies.write",
    "crm.objects.deals.write",
    # For the property by which an effect is found again: it is made before the first creation.
    "crm.schemas.contacts.write",
    "crm.schemas.companies.write",
    "crm.schemas.deals.write",
)
_OPTIONAL = ("tickets", "e-commerce", "crm.schemas.custom.read", "crm.objects.custom.read")
_OPTIONAL_WRITE = ("crm.objects.custom.write", "crm.schemas.custom.write")


def hubspot_scopes(profile: Profile) -> tuple[Sequence[str], Sequence[str]]:
    """Give the scopes that the tools of `profile` need, and those that not every account has."""
    if profile in ("read", "draft"):
        return _READ, _OPTIONAL
    return (*_READ, *_WRITE), (*_OPTIONAL, *_OPTIONAL_WRITE)


def asked_hubspot(person: Person) -> dict[str, Any]:
    """Ask for a token, or for an OAuth app."""
    return person.answers((_TOKEN,)) or person.answers(_CLIENT)


def hubspot_fields(
    given: Mapping[str, Any],
    profile: Profile,
    *,
    show: Callable[[str], None] = open_browser,
    port: int = REDIRECT_PORT,
) -> dict[str, str]:
    """Give the fields of the connection; signs in where there is neither kind of token.

    Raises:
        BackendConfigError: something is missing, or consent was not given.
    """
    fields = {name: str(value) for name, value in given.items() if isinstance(value, str | int)}
    if fields.get("access_token") or fields.get("refresh_token"):
        return fields
    if not (fields.get("client_id") and fields.get("client_secret")):
        raise BackendConfigError(
            "A connection to hubspot needs access_token, or client_id and client_secret."
        )
    needed, optional = hubspot_scopes(profile)
    base_url = fields.get("base_url", "").rstrip("/")
    state = secrets.token_urlsafe(32)
    with Redirect(host="localhost", port=port) as redirect:
        asked = {
            "client_id": fields["client_id"],
            "redirect_uri": redirect.url,
            "scope": " ".join(needed),
            "optional_scope": " ".join(optional),
            "state": state,
        }
        page = f"{base_url or 'https://app.hubspot.com'}/oauth/authorize?{urlencode(asked)}"
        code = redirect.code(page, state, show=show)
        return fields | {"refresh_token": _redeemed(fields, code, redirect.url)}


def _redeemed(fields: Mapping[str, str], code: str, redirect_url: str) -> str:
    with needing("hubspot"):
        import hubspot  # type: ignore[import-untyped]
        from hubspot.oauth import ApiException  # type: ignore[import-untyped]
        from urllib3.exceptions import HTTPError
    options = {"host": fields["base_url"]} if fields.get("base_url") else {}
    client = hubspot.Client.create(**options)
    try:
        token = client.oauth.tokens_api.create(
            grant_type="authorization_code",
            code=code,
            redirect_uri=redirect_url,
            client_id=fields["client_id"],
            client_secret=fields["client_secret"],
            _request_timeout=30,
        )
    except ApiException as error:
        raise BackendConfigError(
            f"HubSpot does not take the consent (HTTP {error.status}).",
            hint="See whether the client secret is right, and the app names the redirect address.",
        ) from error
    except HTTPError as error:
        raise BackendConfigError(
            f"{fields.get('base_url') or 'HubSpot'} cannot be reached; nothing was kept."
        ) from error
    return str(token.refresh_token)
