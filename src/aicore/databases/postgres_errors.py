"""What PostgreSQL's errors mean, in the errors of this program."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aicore.errors import (
    AicoreError,
    ConfigError,
    CredentialError,
    CustomerError,
    StoreBusy,
    StoreError,
)

__all__ = ["MayRetry", "describe", "translate", "translated"]


_MALFORMED = (
    "That is no PostgreSQL url. Write postgresql://user:password@host:5432/database, with special "
    "characters of the password percent-encoded: / as %2F, @ as %40."
)


class MayRetry(Exception):  # never leaves the databases' modules
    """Another writer won: nothing was written, and the same again may work at once."""


def describe(url: str) -> str:
    """Say where a url points, without user, password or any option.

    Raises: ConfigError for what is no connection string, and when psycopg is missing.
    """
    try:
        from psycopg import ProgrammingError
        from psycopg.conninfo import conninfo_to_dict
    except ImportError as exc:
        raise ConfigError(
            "PostgreSQL needs psycopg: install the extra aicore-mcp[postgres]."
        ) from exc
    try:
        parts: dict[str, Any] = conninfo_to_dict(url)
    except ProgrammingError:
        # libpq's message may quote the password.
        raise ConfigError(_MALFORMED) from None
    ports = str(parts.get("port") or "0").split(",")
    if not all(one.isdecimal() for one in ports) or any(
        "@" in str(parts.get(name) or "") for name in ("host", "dbname")
    ):
        raise ConfigError(_MALFORMED)  # a part of the password may be in these
    place = parts.get("host") or parts.get("hostaddr") or parts.get("service") or "this machine"
    port = f":{parts['port']}" if parts.get("port") else ""
    name = parts.get("dbname")
    return f"{place}{port}/{name}" if name else f"{place}{port}"


# The first characters of SQLSTATE codes: https://www.postgresql.org/docs/current/errcodes-appendix.html
_LOST = ("08", "57P", "53300", "58")
_RETRIED = ("40001", "40P01", "23505")
_REMEDIES = {
    "53100": "The disk of its server is full. Free space, then try again.",
    "25006": "It is read-only, a standby perhaps. Name the primary server in the url.",
    "28": "The server refuses the user. Check user and password in the url.",
    "3D000": "There is no such database. Create it, or correct the url.",
    "42501": "The user lacks a right. Grant CREATE on the database, and all on our schema.",
    "XX": "The server finds its files damaged. Restore a backup.",
}
# A refused connection brings no SQLSTATE, only the server's sentence: in its own language, and
# then it counts as an outage.
_FULL = "The server has no free connection. Raise its max_connections."
_SENTENCES: tuple[tuple[str, type[AicoreError], str], ...] = (
    ("too many", StoreBusy, _FULL),
    ("remaining connection", StoreBusy, _FULL),
    ("database system is", StoreBusy, "The server is starting or stopping."),
    ("permission denied", StoreError, _REMEDIES["42501"]),
    ("password", CredentialError, _REMEDIES["28"]),
    ("authentication failed", CredentialError, _REMEDIES["28"]),
    ("pg_hba.conf", CredentialError, _REMEDIES["28"]),
    ("role ", CredentialError, _REMEDIES["28"]),
    ("does not exist", StoreError, _REMEDIES["3D000"]),
)


@contextmanager
def translated(where: str, *, may_write: bool = False) -> Iterator[None]:
    """Raise what `translate` gives for errors of the block."""
    import psycopg

    try:
        yield
    except (psycopg.Error, OSError, UnicodeEncodeError) as exc:
        raise translate(exc, where, may_write=may_write) from exc


def translate(exc: Exception, where: str, *, may_write: bool = False) -> Exception:
    """Give the error to raise for one of psycopg's; those of this program come back as they are.

    `where` names the database without secrets, as in "the log at db.example.com/shop". With
    `may_write` something may have been sent that is done or not when the connection is lost.
    """
    import psycopg
    from psycopg_pool import PoolClosed, PoolTimeout

    if isinstance(exc, (AicoreError, MayRetry)):
        return exc
    if isinstance(exc, UnicodeEncodeError):
        return CustomerError("An id is not valid Unicode text.")
    if isinstance(exc, (PoolTimeout, PoolClosed)):
        return _busy(f"All connections to {where} are in use. Try again.")
    if isinstance(exc, TimeoutError):
        return _busy(
            f"The {where} did not answer in time; whether it did what it was asked is not known. "
            "Try again."
        )
    if isinstance(exc, OSError):
        return _of_sentence("", where, may_write)
    if not isinstance(exc, psycopg.Error):
        return exc
    if exc.sqlstate is not None:
        return _of_state(exc.sqlstate, exc, where)
    if isinstance(exc, (psycopg.OperationalError, psycopg.InterfaceError)):
        return _of_sentence(str(exc), where, may_write)
    return StoreError(f"The {where} cannot be used: {type(exc).__name__}.")


def _of_state(state: str, exc: Any, where: str) -> Exception:
    if state in _RETRIED:
        return MayRetry()
    if state == "54000":
        return CustomerError("An id or a text is too long for the database.")
    if state.startswith(_LOST) or state in {"57014", "55P03", "53200"}:
        return _busy(f"The {where} is not available now (SQLSTATE {state}). Try again.")
    for start, remedy in _REMEDIES.items():
        if state.startswith(start):
            kind = CredentialError if start == "28" else StoreError
            return kind(f"The {where} cannot be used. {remedy}")
    # Only the primary message: the detail may quote values, which are customers' texts.
    said = exc.diag.message_primary if state.startswith(("42", "3F")) else f"SQLSTATE {state}"
    return StoreError(f"The {where} cannot be used. PostgreSQL says: {said}.")


def _of_sentence(said: str, where: str, may_write: bool) -> Exception:
    _, is_refused, reason = said.partition("FATAL:")
    if is_refused:
        for words, kind, remedy in _SENTENCES:
            if words in reason:
                message = f"The {where} cannot be used. {remedy}"
                return _busy(message) if kind is StoreBusy else kind(message)
    if "no password supplied" in said:
        return CredentialError(f"The {where} cannot be used. {_REMEDIES['28']}")
    unknown = "; what was under way may or may not have been done" if may_write else ""
    return _busy(
        f"The {where} cannot be reached. Start the server, or correct the address in the url"
        f"{unknown}."
    )


def _busy(message: str) -> StoreBusy:
    return StoreBusy(message, retry_after_s=1.0)
