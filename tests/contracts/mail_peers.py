"""Real mail servers for the tests: Dovecot, an SMTP server that delivers into it, and a cutter.

Loaded by conftest.py. Dovecot is a Debian package; where it is missing the tests skip and say so.
Any user name logs in with PASSWORD and has a mailbox of its own.
"""

from __future__ import annotations

import getpass
import imaplib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword, Session

from aicore_tools.connections import Connection
from aicore_tools.mail.backends.imap import ImapMailbox
from aicore_tools.mail.backends.imap_places import Place
from aicore_tools.mail.records import Address, MailId

PASSWORD = "wörd-secret"
OWN = Address("office@lakeside.example", "Lakeside")
_HOST = "127.0.0.1"
_START_S = 20.0

_CONFIG = """
protocols = imap
listen = 127.0.0.1
base_dir = {base}/run
state_dir = {base}/state
log_path = {base}/log
ssl = {ssl}
{certificate}
disable_plaintext_auth = no
auth_mechanisms = plain login
auth_username_chars =
auth_failure_delay = 0
default_internal_user = {internal}
default_internal_group = {group}
default_login_user = {login}
first_valid_uid = 1
first_valid_gid = 1
mail_location = maildir:~/Maildir
mail_fsync = never
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={base}/homes/%u
}}
service imap-login {{
  {chroot}
  process_min_avail = 1
  service_count = 0
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = {ssl_port}
  }}
}}
service anvil {{
  {chroot}
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service stats {{
  {chroot}
}}
namespace inbox {{
  inbox = yes
  separator = /
  mailbox Drafts {{
    auto = create
    special_use = \\Drafts
  }}
  mailbox "Gesendete Grüße" {{
    auto = create
    special_use = \\Sent
  }}
  mailbox Trash {{
    special_use = \\Trash
    auto = create
  }}
}}
"""


def free_port() -> int:
    with socket.socket() as found:
        found.bind((_HOST, 0))
        port: int = found.getsockname()[1]
        return port


@dataclass(frozen=True)
class Dovecot:
    """A running IMAP server."""

    port: int
    ssl_port: int
    base: Path

    @contextmanager
    def login(self, user: str) -> Iterator[imaplib.IMAP4]:
        client = imaplib.IMAP4(_HOST, self.port, timeout=10)
        client.authenticate("PLAIN", lambda _: f"\0{user}\0{PASSWORD}".encode())
        try:
            yield client
        finally:
            client.logout()

    def deliver(self, user: str, raw: bytes, *, age_s: float = 2.0) -> MailId:
        """Put a mail into the inbox, as having come a moment ago."""
        with self.login(user) as client:
            at = imaplib.Time2Internaldate(time.time() - age_s)
            status, _ = client.append("INBOX", "", at, raw)
            assert status == "OK"
            validity, uid = client.response("APPENDUID")[1][0].split()
            return Place("INBOX", int(validity), int(uid)).id

    def raws(self, user: str, folder: str) -> list[bytes]:
        """All mails of a folder."""
        with self.login(user) as client:
            client.select(f'"{folder}"', readonly=True)
            _, found = client.search(None, "ALL")
            numbers = found[0].split()
            return [client.fetch(number, "(BODY.PEEK[])")[1][0][1] for number in numbers]


@contextmanager
def _running_dovecot(certificate: Path | None) -> Iterator[Dovecot]:
    program = shutil.which("dovecot", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("there is no dovecot: apt-get install dovecot-imapd")
    base = Path(tempfile.mkdtemp(prefix="dovecot-"))
    is_root = os.getuid() == 0
    mail_user = pwd.getpwnam("nobody" if is_root else getpass.getuser())
    for folder in (base, base / "homes"):
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)
    if is_root:
        os.chown(base / "homes", mail_user.pw_uid, mail_user.pw_gid)
    port, ssl_port = free_port(), free_port()
    own = getpass.getuser()
    config = base / "dovecot.conf"
    config.write_text(
        _CONFIG.format(
            base=base,
            ssl="no" if certificate is None else "yes",
            certificate=""
            if certificate is None
            else f"ssl_cert = <{certificate}\nssl_key = <{certificate}",
            internal="dovecot" if is_root else own,
            group="dovecot" if is_root else pwd_group(),
            login="dovenull" if is_root else own,
            password=PASSWORD,
            uid=mail_user.pw_uid,
            gid=mail_user.pw_gid,
            port=port,
            ssl_port=0 if certificate is None else ssl_port,
            chroot="" if is_root else "chroot =",
        ),
        encoding="utf-8",
    )
    process = subprocess.Popen([program, "-F", "-c", str(config)], stderr=subprocess.PIPE)
    try:
        _wait_for(port, process, base / "log")
        yield Dovecot(port, ssl_port, base)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
        shutil.rmtree(base, ignore_errors=True)


def pwd_group() -> str:
    import grp

    return grp.getgrgid(os.getgid()).gr_name


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        with suppress(OSError), socket.create_connection((_HOST, port), timeout=1) as found:
            if found.recv(100).startswith(b"* OK"):
                return
        if process.poll() is not None or time.monotonic() > deadline:
            said = log.read_text() if log.exists() else (process.stderr or "")
            raise AssertionError(f"dovecot did not start: {said}")
        threading.Event().wait(0.02)


@dataclass
class Post:
    """What an SMTP server of ours did, and what it is to do next.

    What is addressed to one of `own` goes to whoever sends, else to the one of `users`.
    `refuses` are recipients with the answer they get. `at_data` is the answer to the mail itself,
    or `drop_before` or `drop_after`: the connection is cut before or after the mail was taken.
    """

    taken: list[Envelope] = field(default_factory=list)
    refuses: dict[str, str] = field(default_factory=dict)
    at_data: list[str] = field(default_factory=list)
    deliver: Callable[[str, bytes], object] | None = None
    own: frozenset[str] = frozenset({OWN.email})
    users: dict[str, str] = field(default_factory=dict)
    at_mail: Callable[[], object] = lambda: None

    @property
    def subjects(self) -> list[str]:
        from email import message_from_bytes, policy

        return [
            message_from_bytes(each.original_content or b"", policy=policy.default)["Subject"]
            for each in self.taken
        ]

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: Any, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if not session.authenticated:
            return "530 log in first"
        if address in self.refuses:
            return self.refuses[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, server: Any, session: Session, envelope: Envelope
    ) -> str:
        self.at_mail()
        what = self.at_data.pop(0) if self.at_data else "250 OK"
        if what == "drop_before":
            server.transport.abort()
            return "250 never seen"
        if not what.startswith(("4", "5")):
            self.taken.append(envelope)
            for address in envelope.rcpt_tos:
                is_own = address.lower() in self.own
                user = session.auth_data if is_own else self.users.get(address.lower())
                if self.deliver is not None and user is not None:
                    self.deliver(user, envelope.original_content or b"")
        if what == "drop_after":
            server.transport.abort()
            return "250 never seen"
        return what


class Cutter:
    """A proxy in front of a server that cuts the connection at a command, when told.

    `cut("MOVE", "before")`: the next such command never reaches the server. `"after"`: it does,
    and the answer never reaches the client.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server((_HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self._command = b""
        self._when = ""
        self.cuts = 0
        self.is_down = False
        self.at_cut: Callable[[], object] = lambda: None
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, command: str, when: str) -> None:
        self._command, self._when = command.encode(), when

    def drop(self) -> None:
        """Cut every connection now."""
        for each in self._open:
            _shut(each)
        self._open.clear()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self.is_down:
                    client.close()
                    continue
                server = socket.create_connection((_HOST, self._target))
                self._open += [client, server]
                waiting: list[bytes] = []
                for work in (self._forward, self._back):
                    threading.Thread(
                        target=work, args=(client, server, waiting), daemon=True
                    ).start()

    def _forward(self, client: socket.socket, server: socket.socket, waiting: list[bytes]) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                line = data.partition(b"\r\n")[0]
                words = line.split(b" ")
                is_meant = bool(self._when) and self._command in words[1:3]
                if is_meant and self._when == "before":
                    break
                if is_meant:
                    waiting.append(words[0])
                server.sendall(data)
        if self._when == "before":
            self._cut()
        _shut(client)
        _shut(server)

    def _cut(self) -> None:
        self._when = ""
        self.cuts += 1
        self.at_cut()

    def _back(self, client: socket.socket, server: socket.socket, waiting: list[bytes]) -> None:
        with suppress(OSError):
            while data := server.recv(65536):
                if waiting and waiting[0] + b" OK" in data:
                    self._cut()
                    break
                client.sendall(data)
        _shut(client)
        _shut(server)


def _shut(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()


class ReachableImap(ImapMailbox):
    """An ImapMailbox into which a test can put mail from outside."""

    def __init__(self, dovecot: Dovecot, user: str, path: Path, **given: Any) -> None:
        super().__init__(path, **given)
        self._dovecot = dovecot
        self.user = user

    async def deliver(self, raw: bytes) -> MailId:
        from anyio import to_thread

        return await to_thread.run_sync(self._dovecot.deliver, self.user, raw)


@dataclass
class MailPeers:
    """An IMAP and an SMTP server, and mailboxes on them."""

    dovecot: Dovecot
    post: Post
    smtp_port: int
    folder: Path
    cutter: Cutter
    token: str = field(default_factory=lambda: uuid4().hex[:8])

    def connection(self, business: str = "main", **fields: str) -> Connection:
        given = {
            "user": self.user(business),
            "password": PASSWORD,
            "imap_host": _HOST,
            "imap_port": str(self.cutter.port),
            "imap_tls": "none",
            "smtp_host": _HOST,
            "smtp_port": str(self.smtp_port),
            "smtp_tls": "none",
        }
        return Connection(vendor="imap", fields={**given, **fields})

    def user(self, business: str = "main") -> str:
        return f"{business}-{self.token}"

    def mailbox(self, business: str = "main", **fields: str) -> ReachableImap:
        return ReachableImap(
            self.dovecot,
            self.user(business),
            self.folder / f"{business}.db",
            business=business,
            connection=self.connection(business, **fields),
            addresses=[OWN],
        )

    def set_writable(self, folder: str, is_writable: bool) -> None:
        """Let the IMAP server write to a folder, named as IMAP writes it, or not."""
        home = self.dovecot.base / "homes" / self.user() / "Maildir" / f".{folder}"
        for path in (*home.iterdir(), home):
            if path.is_dir():
                path.chmod(0o700 if is_writable else 0o500)

    def count(self, folder: str, business: str = "main") -> int:
        return len(self.dovecot.raws(self.user(business), folder))


def _authenticated(
    server: Any, session: Session, envelope: Envelope, mechanism: str, data: Any
) -> AuthResult:
    if not isinstance(data, LoginPassword) or data.password.decode() != PASSWORD:
        return AuthResult(success=False, handled=False)
    return AuthResult(success=True, auth_data=data.login.decode())


@contextmanager
def running_post(post: Post, **options: Any) -> Iterator[int]:
    """Run an SMTP server; gives its port."""
    port = free_port()
    controller = Controller(
        post,
        hostname=_HOST,
        port=port,
        authenticator=_authenticated,
        auth_require_tls=False,
        **options,
    )
    controller.start()
    try:
        yield port
    finally:
        controller.stop()


@pytest.fixture(scope="session")
def dovecot() -> Iterator[Dovecot]:
    with _running_dovecot(None) as running:
        yield running


@dataclass(frozen=True)
class Tls:
    """A certificate of 127.0.0.1 with its key, in one file that is its own authority too."""

    path: Path
    dovecot: Dovecot


@pytest.fixture(scope="session")
def mail_tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tls]:
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    _write_certificate(path)
    with _running_dovecot(path) as running:
        yield Tls(path, running)


def _write_certificate(path: Path) -> None:
    from datetime import UTC, datetime, timedelta
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mail test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address(_HOST))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )


@pytest.fixture
def mail_peers(dovecot: Dovecot, tmp_path: Path) -> Iterator[MailPeers]:
    with ExitStack() as stack:
        post = Post(deliver=dovecot.deliver)
        port = stack.enter_context(running_post(post))
        cutter = Cutter(dovecot.port)
        stack.callback(cutter.close)
        yield MailPeers(dovecot, post, port, tmp_path, cutter)


@pytest.fixture
def imap_mailboxes(mail_peers: MailPeers) -> Callable[[str], ReachableImap]:
    def open_one(business: str = "main") -> ReachableImap:
        return mail_peers.mailbox(business)

    return open_one
