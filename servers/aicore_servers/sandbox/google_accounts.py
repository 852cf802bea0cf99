"""Accounts and tokens of Google's sandbox: consent, code, refresh, service account.

A refresh token of the sandbox says whose it is: `office@lakeside.example` may do everything, and
`office@lakeside.example gmail.readonly calendar.events` only that. The refresh token `revoked` is
refused as a revoked one.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from aicore_servers.sandbox.google_wire import Refusal

__all__ = ["ALL_SCOPES", "Accounts", "TokenRefused"]

_SCOPE = "https://www.googleapis.com/auth/"
ALL_SCOPES = frozenset({"https://mail.google.com/", _SCOPE + "calendar"})
_LIFETIME_S = 3599
_JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_UNAUTHENTICATED = (
    "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie "
    "or other valid authentication credential."
)


@dataclass(frozen=True, slots=True)
class _Grant:
    account: str
    scopes: frozenset[str]
    ends_s: float


class TokenRefused(Exception):
    """The token endpoint refuses; `error` is the word of RFC 6749, section 5.2."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error = error
        self.description = description


class Accounts:
    """Gives tokens and knows them again."""

    def __init__(self) -> None:
        self._tokens: dict[str, _Grant] = {}
        self._codes: dict[str, dict[str, str]] = {}
        self.refreshes = 0

    def account_of(self, authorization: str, scopes: frozenset[str]) -> str:
        """Say whose the bearer token is.

        Raises:
            Refusal: it is none of ours or is over (401), or has none of `scopes` (403).
        """
        grant = self._tokens.get(authorization.removeprefix("Bearer "))
        if grant is None or grant.ends_s < time.monotonic():
            raise Refusal(401, "authError", _UNAUTHENTICATED)
        if not grant.scopes & scopes:
            message = "Request had insufficient authentication scopes."
            raise Refusal(403, "insufficientPermissions", message)
        return grant.account

    def consent(self, asked: Mapping[str, str]) -> str:
        """Agree to everything that is asked, and give the address to go back to."""
        code = "4/" + secrets.token_urlsafe(16)
        self._codes[code] = dict(asked)
        answer = {"code": code, "state": asked.get("state", ""), "scope": asked.get("scope", "")}
        return f"{asked['redirect_uri']}?{urlencode(answer)}"

    def token(self, form: Mapping[str, str]) -> dict[str, Any]:
        """Answer the token endpoint.

        Raises:
            TokenRefused: the grant is revoked, used, or not of a known kind.
        """
        kind = form.get("grant_type")
        if kind == "refresh_token":
            self.refreshes += 1
            return self._refreshed(form.get("refresh_token", ""))
        if kind == "authorization_code":
            return self._redeemed(form)
        if kind == _JWT_GRANT:
            return self._asserted(form.get("assertion", ""))
        raise TokenRefused("unsupported_grant_type", f"Invalid grant_type: {kind}")

    def end_tokens(self) -> None:
        """Let every access token be over, as after an hour."""
        self._tokens.clear()

    def _refreshed(self, refresh_token: str) -> dict[str, Any]:
        account, *scopes = refresh_token.split()
        if "@" not in account:
            raise TokenRefused("invalid_grant", "Token has been expired or revoked.")
        return self._given(account, frozenset(_full(each) for each in scopes) or ALL_SCOPES)

    def _redeemed(self, form: Mapping[str, str]) -> dict[str, Any]:
        asked = self._codes.pop(form.get("code", ""), None)
        if asked is None or asked.get("redirect_uri") != form.get("redirect_uri"):
            raise TokenRefused("invalid_grant", "Bad Request")
        verifier = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(verifier).decode().rstrip("=")
        if asked.get("code_challenge", challenge) != challenge:
            raise TokenRefused("invalid_grant", "Invalid code verifier.")
        account = asked.get("login_hint") or "owner@example.com"
        scopes = asked.get("scope", "").split()
        answer = self._given(account, frozenset(scopes))
        if asked.get("access_type") == "offline":
            answer["refresh_token"] = " ".join([account, *scopes])
        return answer

    def _asserted(self, assertion: str) -> dict[str, Any]:
        """Believe a service account; its signature is not checked here."""
        try:
            payload = assertion.split(".")[1]
            claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
            account, scopes = claims.get("sub") or claims["iss"], claims["scope"].split()
        except (ValueError, KeyError, IndexError) as error:
            raise TokenRefused("invalid_grant", "Invalid JWT.") from error
        if account.startswith("revoked@"):
            raise TokenRefused("unauthorized_client", "Client is unauthorized for these scopes.")
        return self._given(account, frozenset(scopes))

    def _given(self, account: str, scopes: frozenset[str]) -> dict[str, Any]:
        token = "ya29." + secrets.token_urlsafe(24)
        self._tokens[token] = _Grant(account, scopes, time.monotonic() + _LIFETIME_S)
        return {
            "access_token": token,
            "expires_in": _LIFETIME_S,
            "scope": " ".join(sorted(scopes)),
            "token_type": "Bearer",
        }


def _full(scope: str) -> str:
    return scope if scope.startswith("https://") else _SCOPE + scope
