"""Requests to AWS, signed with Signature Version 4 by botocore (extra `aws`)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aicore.errors import ConfigError, CredentialError

__all__ = ["KEY_REMEDY", "Signer", "with_botocore"]

KEY_REMEDY = (
    "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN) to a key that may "
    "use it, or name a profile of the shared credentials file in AWS_PROFILE. A signature also "
    "needs the right time: look at the machine's clock."
)
_DEFAULT_FILE = "~/.aws/credentials"


def with_botocore() -> None:
    """Raise ConfigError unless botocore is installed."""
    try:
        import botocore.auth  # noqa: F401 - only asks whether it is there
    except ImportError as exc:
        raise ConfigError(
            "Requests to AWS are signed by botocore. Install aicore-mcp[aws]."
        ) from exc


class Signer:
    """Signs POSTs of JSON for one service in one region.

    The key is read once, here: from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and
    AWS_SESSION_TOKEN, else from the profile AWS_PROFILE of AWS_SHARED_CREDENTIALS_FILE. Nothing
    is asked of the machine's cloud. `headers` are signed as well.
    Raises: ConfigError without botocore, CredentialError without a key.
    """

    def __init__(self, *, service: str, region: str, headers: Mapping[str, str]) -> None:
        with_botocore()
        from botocore.auth import SigV4Auth

        credentials = _credentials()
        self.secrets: tuple[str, ...] = tuple(
            str(one) for one in (credentials.secret_key, credentials.token) if one
        )
        self._headers = {"content-type": "application/json", **headers}
        self._signature = SigV4Auth(credentials, service, region)

    async def sign(self, url: str, body: bytes) -> dict[str, str]:
        """Headers of a signed POST; everything is computed here."""
        from botocore.awsrequest import AWSRequest

        request = AWSRequest(method="POST", url=url, data=body, headers=dict(self._headers))
        self._signature.add_auth(request)
        return {
            name.lower(): value
            for name, value in request.headers.items()
            if name.lower() not in self._headers
        }


def _credentials() -> Any:
    from botocore.credentials import EnvProvider, SharedCredentialProvider
    from botocore.exceptions import BotoCoreError

    file = os.environ.get("AWS_SHARED_CREDENTIALS_FILE", _DEFAULT_FILE)
    providers = (
        EnvProvider(),
        SharedCredentialProvider(str(Path(file).expanduser()), os.environ.get("AWS_PROFILE")),
    )
    try:
        for provider in providers:
            if credentials := provider.load():
                return credentials
    except BotoCoreError as exc:
        raise CredentialError(f"The key for AWS is not whole. {KEY_REMEDY}") from exc
    raise CredentialError(f"There is no key for AWS. {KEY_REMEDY}")
