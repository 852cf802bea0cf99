"""One guarded connection to an IMAP server: opened when needed, opened again when it broke.

Everything here blocks and runs in one worker thread at a time. What the server or the network does
is told in the errors of the tools.
"""

from __future__ import annotations

import imaplib
import re
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TypeVar

from imap_tools.errors import ImapToolsError, MailboxLoginError, UnexpectedCommandStatusError
from imap_tools.folder import FolderInfo
from imap_tools.mailbox import BaseMailBox, MailBox, MailBoxUnencrypted

from aicore_tools.connections import Connection
from aicore_tools.errors import (
    BackendConfigError,
    BackendUnavailable,
    Conflict,
    NotAllowed,
    NotFound,
    OutcomeUnknown,
)
from aicore_tools.mail.backends.imap_places import Folders
from aicore_tools.mail.backends.mail_hosts import MailHost
from aicore_tools.mail.records import Role

__all__ = ["DEADLINE_S", "ImapLink", "ImapSession"]

T = TypeVar("T")

SOCKET_TIMEOUT_S = 20.0
DEADLINE_S = 50.0
_KNOWN_S = 30.0
_CODE = re.compile(r"\[([A-Z0-9-]+)")
_NOT_NOW = ("UNAVAILABLE", "INUSE", "LIMIT", "SERVERBUG")


@dataclass(slots=True)
class ImapSession:
    """A logged-in connection, and what is known of the account while it lasts.

    `can` are the extensions that the server offers whoever is logged in.
    """

    box: BaseMailBox
    can: frozenset[str]
    validity: int = 0
    known: Folders | None = None
    known_s: float = 0.0

    @property
    def client(self) -> imaplib.IMAP4:
        """The connection itself."""
        return self.box.client

    def select(self, folder: str, *, to_change: bool = False) -> int:
        """Open a folder, for reading only unless `to_change`; gives its UIDVALIDITY.

        Raises:
            NotFound: there is no such folder.
        """
        # Opened anew each time: only so does every server show what came in meanwhile.
        self.client.untagged_responses.clear()
        try:
            self.box.folder.set(folder, readonly=not to_change)
        except UnexpectedCommandStatusError as error:
            raise NotFound(f"There is no folder {folder!r}.") from error
        self.validity = int(self.told("UIDVALIDITY") or 0)
        return self.validity

    @property
    def next_uid(self) -> int:
        """The UID that the next mail in the open folder will have, or a bound above all."""
        return int(self.told("UIDNEXT") or 2**32 - 1)

    def told(self, name: str) -> bytes:
        """Give what the server last said under that name, b"" where it said nothing."""
        said = self.client.untagged_responses.get(name) or [b""]
        return said[-1] if isinstance(said[-1], bytes) else b""

    def folders(self) -> Folders:
        """Give the folders that can hold mail."""
        if self.known is None or time.monotonic() - self.known_s > _KNOWN_S:
            infos: Sequence[FolderInfo] = self.box.folder.list()
            usable = [i for i in infos if "\\noselect" not in {f.lower() for f in i.flags}]
            self.known, self.known_s = Folders(usable), time.monotonic()
        return self.known

    def folder_for(self, role: Role) -> str:
        """Give the folder with that role, and make it where there is none."""
        folders = self.folders()
        name = folders.named(role)
        return self.made(folders.usual_name(role)) if name is None else name

    def made(self, name: str) -> str:
        """Give the folder of that name or role, and make it where there is none."""
        folders = self.folders()
        if name in folders.names:
            return name
        delim = next((info.delim for info in folders.infos if info.delim), "/")
        self.known = None
        try:
            self.box.folder.create(name)
        except UnexpectedCommandStatusError:
            name = f"INBOX{delim}{name}"  # where all folders hang below the inbox
            if name not in folders.names:
                self.box.folder.create(name)
        with suppress(UnexpectedCommandStatusError):
            self.box.folder.subscribe(name, value=True)
        return name

    def uids(self, criteria: str, *, with_deleted: bool = False) -> list[int]:
        """Search the open folder; gives UIDs in ascending order."""
        asked = criteria if with_deleted else f"UNDELETED {criteria}"
        found = self.box.uids(asked.encode(), charset=None if asked.isascii() else "UTF-8")
        return sorted(int(uid) for uid in found)

    def command(self, *words: str) -> list[object]:
        """Give a UID command to the open folder, and what it answered.

        Raises:
            UnexpectedCommandStatusError: it was refused.
        """
        status, data = self.client.uid(words[0], *words[1:])
        if status != "OK":
            raise UnexpectedCommandStatusError((status, data), "OK")
        return list(data)


class ImapLink:
    """Keeps one session to the account of `connection` and runs work on it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._host = MailHost.of(connection, "imap", default_port=993)
        self._session: ImapSession | None = None

    @property
    def host(self) -> str:
        """The name of the server."""
        return self._host.name

    def read(self, work: Callable[[ImapSession], T]) -> T:
        """Run work that changes nothing; once more on a fresh connection where the old one broke.

        Raises:
            BackendUnavailable, BackendConfigError: the server cannot be used.
        """
        was_open = self._session is not None
        try:
            return self._run(work)
        except BackendUnavailable:
            if not was_open:
                raise
        return self._run(work)

    def change(self, work: Callable[[ImapSession], T]) -> T:
        """Run work that changes something, after proving the connection.

        Raises:
            OutcomeUnknown: the connection broke in the middle.
            BackendUnavailable, BackendConfigError: nothing was begun.
        """
        self.read(lambda session: session.client.noop())
        try:
            return self._run(work)
        except BackendUnavailable as error:
            raise OutcomeUnknown(
                "The connection to the mail server broke in the middle.",
                hint="Repeat the call with the same operation key.",
            ) from error

    def close(self) -> None:
        """End the session."""
        session, self._session = self._session, None
        if session is not None:
            with suppress(imaplib.IMAP4.error, ImapToolsError, OSError):
                session.box.logout()

    def _run(self, work: Callable[[ImapSession], T]) -> T:
        with self._translated():
            if self._session is None:
                self._session = self._open()
            return work(self._session)

    def _connected(self) -> BaseMailBox:
        host = self._host
        if host.tls == "ssl":
            context = ssl.create_default_context()
            return MailBox(host.name, host.port, SOCKET_TIMEOUT_S, ssl_context=context)
        box = MailBoxUnencrypted(host.name, host.port, SOCKET_TIMEOUT_S)
        if host.tls == "starttls":
            with _shut_on_failure(box):
                if "STARTTLS" not in box.client.capabilities:
                    raise BackendConfigError(
                        f"The mail server {host.name} offers no STARTTLS.",
                        hint="Look at imap_tls and imap_port.",
                    )
                box.client.starttls(ssl.create_default_context())
        return box

    def _open(self) -> ImapSession:
        box, connection = self._connected(), self._connection
        user, password = connection.need("user"), connection.need("password")
        login = box.login if (user + password).isascii() else box.login_utf8
        with _shut_on_failure(box):
            try:
                login(user, password, initial_folder=None)
            except imaplib.IMAP4.abort:
                raise
            except imaplib.IMAP4.error as error:
                raise MailboxLoginError(("NO", [str(error)]), "OK") from error
            # Asked again: before the login a server names only some of them.
            _, named = box.client.capability()
        return ImapSession(box, can=frozenset(named[-1].decode("ascii", "replace").upper().split()))

    def _drop(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            with suppress(OSError, imaplib.IMAP4.error):
                session.client.shutdown()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except ssl.SSLCertVerificationError as error:
            raise BackendConfigError(
                f"The certificate of {self._host.name} is not trusted."
            ) from error
        except MailboxLoginError as error:
            raise self._not_logged_in(error) from error
        except UnexpectedCommandStatusError as error:
            raise _refused(error) from error
        except (imaplib.IMAP4.abort, OSError) as error:
            self._drop()
            raise BackendUnavailable(
                f"The mail server {self._host.name} does not answer."
            ) from error
        except (imaplib.IMAP4.error, ImapToolsError) as error:
            self._drop()
            raise Conflict(f"The mail server {self._host.name} refused the command.") from error

    def _not_logged_in(self, error: Exception) -> BackendConfigError | BackendUnavailable:
        self._drop()
        code = _CODE.search(str(error))
        if code is not None and code[1] in _NOT_NOW:
            return BackendUnavailable(f"The mail server {self._host.name} lets nobody in now.")
        return BackendConfigError(
            f"The mail server {self._host.name} refused user or password.",
            hint="Run `aicore connect imap` again.",
        )


@contextmanager
def _shut_on_failure(box: BaseMailBox) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with suppress(OSError, imaplib.IMAP4.error):
            box.client.shutdown()
        raise


def _refused(error: UnexpectedCommandStatusError) -> Exception:
    code = _CODE.search(str(error.command_result[1]))
    named = code[1] if code is not None else str(error.command_result[0])
    if named in _NOT_NOW:
        return BackendUnavailable("The mail server cannot do it now.", retry_after_s=5.0)
    if named in ("NOPERM", "OVERQUOTA", "READ-ONLY"):
        return NotAllowed(f"The mail server does not allow it ({named}).")
    return Conflict(f"The mail server refused it ({named}).")
