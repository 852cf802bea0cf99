"""Handing a mail to an SMTP server: what it took, what it refused, and what cannot be known."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio

from aicore_tools.connections import Connection
from aicore_tools.errors import (
    BackendConfigError,
    BackendUnavailable,
    NotAllowed,
    OutcomeUnknown,
    ToolsError,
)
from aicore_tools.mail.backends.mail_hosts import MailHost

if TYPE_CHECKING:
    from aiosmtplib import SMTP, SMTPResponse

__all__ = ["Submission"]

_TIMEOUT_S = 30.0
_SLOWEST_BYTES_PER_S = 50_000
_FAREWELL_S = 2.0


class Submission:
    """Sends mails by the SMTP fields of `connection`; each over a connection of its own."""

    def __init__(self, connection: Connection) -> None:
        self._host = MailHost.of(connection, "smtp", default_port=465)
        self._user = connection.get("smtp_user", connection.need("user"))
        self._password = connection.get("smtp_password", connection.need("password"))

    async def probe(self) -> str:
        """Log in and leave; gives the server's name.

        Raises:
            BackendUnavailable, BackendConfigError: it cannot be used.
        """
        async with self._connected("localhost"):
            return self._host.name

    async def send(
        self,
        sender: str,
        recipients: Sequence[str],
        raw: bytes,
        *,
        copies: Sequence[str] = (),
        before_data: Callable[[], Awaitable[None]],
        after_data: Callable[[dict[str, str]], Awaitable[None]],
    ) -> None:
        """Send one mail; `copies` are recipients whose refusal does not matter.

        `before_data` is awaited when everything is agreed and nothing was sent yet, `after_data`
        when the server took it, with the recipients it refused and its code for each. What lies
        between is not cancelled: broken off, nobody could tell what became of it.

        Raises:
            NotAllowed: the server refused it, or every recipient; nothing was sent.
            BackendUnavailable, BackendConfigError: nothing was sent.
            OutcomeUnknown: all or part was sent, and there was no answer.
        """
        domain = sender.rpartition("@")[2]
        async with self._connected(domain) as smtp:
            options = ["BODY=8BITMIME"] if not raw.isascii() else []
            if smtp.supports_extension("size"):
                options.append(f"SIZE={len(raw)}")
            await smtp.mail(sender, options=options)
            refused = await self._offered(smtp, recipients)
            await self._refused(smtp, copies)
            with anyio.CancelScope(shield=True):
                await before_data()
                await self._handed_over(smtp, raw)
                await after_data(refused)

    async def _offered(self, smtp: SMTP, recipients: Sequence[str]) -> dict[str, str]:
        """Name the recipients; gives those that are refused, and raises where all are."""
        refused = await self._refused(smtp, recipients)
        if len(refused) < len(recipients):
            return refused
        named = ", ".join(f"{who} ({code})" for who, code in refused.items())
        if all(code.startswith("4") for code in refused.values()):
            raise BackendUnavailable(
                f"The mail server takes nothing for {named} now.", retry_after_s=60.0
            )
        raise NotAllowed(f"The mail server refused every recipient: {named}.", code="refused")

    async def _refused(self, smtp: SMTP, recipients: Sequence[str]) -> dict[str, str]:
        from aiosmtplib import SMTPRecipientRefused

        refused: dict[str, str] = {}
        for recipient in recipients:
            try:
                await smtp.rcpt(recipient)
            except SMTPRecipientRefused as error:
                refused[recipient] = str(error.code)
        return refused

    async def _handed_over(self, smtp: SMTP, raw: bytes) -> SMTPResponse:
        from aiosmtplib import SMTPServerDisconnected, SMTPTimeoutError

        try:
            return await smtp.data(raw, timeout=_TIMEOUT_S + len(raw) / _SLOWEST_BYTES_PER_S)
        except (SMTPServerDisconnected, SMTPTimeoutError, OSError) as error:
            raise OutcomeUnknown(
                "The connection broke while the mail was handed over.",
                hint="Look among the sent mails, or ask a recipient, before sending it again.",
            ) from error

    @asynccontextmanager
    async def _connected(self, domain: str) -> AsyncIterator[SMTP]:
        from aiosmtplib import SMTP

        host = self._host
        smtp = SMTP(
            hostname=host.name,
            port=host.port,
            local_hostname=domain,
            timeout=_TIMEOUT_S,
            use_tls=host.tls == "ssl",
            start_tls=host.tls == "starttls",
            tls_context=None if host.tls == "none" else ssl.create_default_context(),
        )
        async with self._translated():
            try:
                await smtp.connect()
                await smtp.ehlo()
                if smtp.supports_extension("auth"):
                    await smtp.login(self._user, self._password)
                yield smtp
                await self._farewell(smtp)
            finally:
                smtp.close()

    async def _farewell(self, smtp: SMTP) -> None:
        """Say goodbye; whatever comes of it changes nothing."""
        from aiosmtplib import SMTPException

        try:
            await smtp.quit(timeout=_FAREWELL_S)
        except (SMTPException, OSError):
            return

    @asynccontextmanager
    async def _translated(self) -> AsyncIterator[None]:
        from aiosmtplib import (
            SMTPAuthenticationError,
            SMTPConnectError,
            SMTPException,
            SMTPResponseException,
            SMTPServerDisconnected,
        )

        name = self._host.name
        try:
            yield
        except ToolsError:
            raise
        except SMTPAuthenticationError as error:
            raise BackendConfigError(
                f"The mail server {name} refused user or password.",
                hint="Run `aicore connect imap` again.",
            ) from error
        except SMTPResponseException as error:
            if error.code < 500:
                raise BackendUnavailable(
                    f"The mail server {name} takes no mail now ({error.code}).", retry_after_s=60.0
                ) from error
            raise NotAllowed(
                f"The mail server {name} refused the mail ({error.code}).", code="refused"
            ) from error
        except (SMTPServerDisconnected, SMTPConnectError, OSError) as error:
            if _is_distrust(error) or _is_distrust(error.__cause__):
                raise BackendConfigError(f"The certificate of {name} is not trusted.") from error
            raise BackendUnavailable(f"The mail server {name} does not answer.") from error
        except SMTPException as error:
            raise BackendConfigError(
                f"The mail server {name} lacks what the connection asks for.",
                hint="Look at smtp_tls and smtp_port.",
            ) from error


def _is_distrust(error: BaseException | None) -> bool:
    return isinstance(error, ssl.SSLCertVerificationError)
