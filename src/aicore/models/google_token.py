"""A token of Google Cloud for each request, from Application Default Credentials (extra `google`).

They are the file that GOOGLE_APPLICATION_CREDENTIALS names, else what `gcloud auth
application-default login` left, else the account of the Google machine this runs on.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import anyio
import anyio.to_thread

from aicore.errors import ConfigError, CredentialError, ProviderUnavailable

__all__ = ["KEY_REMEDY", "GoogleToken"]

KEY_REMEDY = (
    "Name the file of an account that may use it in GOOGLE_APPLICATION_CREDENTIALS, or run "
    "`gcloud auth application-default login`."
)
# google-auth lets these through, of a file that cannot be read or holds no account.
_NO_ACCOUNT = (AttributeError, LookupError, OSError, RecursionError, TypeError, ValueError)
_ANSWER_S = 20.0
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"


class GoogleToken:
    """Gives the header of one account; refreshes its token in a thread, before it expires.

    Nothing is read before the first request. Raises: ConfigError without the extra.
    """

    def __init__(self) -> None:
        try:
            import google.auth  # noqa: F401 - only asks whether it is there
        except ImportError as exc:
            raise ConfigError(
                "Google's tokens come from google-auth. Install aicore-mcp[google]."
            ) from exc
        self._credentials: Any = None
        self._refreshing = anyio.Lock()

    async def authorize(self, url: str, body: bytes) -> dict[str, str]:
        """The header that carries a token which is still good for some minutes.

        Raises: CredentialError where there is no account or Google refuses it,
        ProviderUnavailable where Google does not answer.
        """
        if self._is_stale():
            async with self._refreshing:
                if self._is_stale():  # another request may have refreshed it meanwhile
                    await anyio.to_thread.run_sync(self._refresh, abandon_on_cancel=True)
        return {"authorization": f"Bearer {self._credentials.token}"}

    def _is_stale(self) -> bool:
        # `valid` ends some minutes before the token does.
        return self._credentials is None or not self._credentials.valid

    def _refresh(self) -> None:
        import google.auth
        from google.auth.exceptions import GoogleAuthError, TransportError
        from google.auth.transport.requests import Request

        request = Request()
        try:
            credentials = self._credentials
            if credentials is None:
                credentials, _ = google.auth.default(scopes=[_SCOPE])
            # Also when nobody waits any more, the thread ends, and with it the connection.
            credentials.refresh(partial(request, timeout=_ANSWER_S))
        except TransportError as exc:
            raise ProviderUnavailable("Google gives no token now: it does not answer.") from exc
        except (GoogleAuthError, *_NO_ACCOUNT):
            # Not `from exc`: it may quote the answer, and that the assertion.
            raise CredentialError(f"Google gives no token for this account. {KEY_REMEDY}") from None
        finally:
            request.session.close()
        self._credentials = credentials
