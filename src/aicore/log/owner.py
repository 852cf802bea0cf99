"""Who holds a conversation across processes, and whether that process still lives."""

from __future__ import annotations

import json
import os
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Owner", "this_process"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """One open log of one process.

    `boot` names the machine's run and `namespace` its set of process numbers, `started` is the
    process's start in the system's own unit; all three are "" where the system does not tell.
    `instance` is this log alone: two logs in one process are two owners.
    """

    host: str
    boot: str
    namespace: str
    pid: int
    started: str
    instance: str

    def __str__(self) -> str:
        fields = [self.host, self.boot, self.namespace, self.pid, self.started, self.instance]
        return json.dumps(fields)

    @classmethod
    def parse(cls, text: str) -> Owner | None:
        """Rebuild an owner from its text; None for a text of some other form."""
        try:
            host, boot, namespace, pid, started, instance = json.loads(text)
            return cls(
                host=str(host),
                boot=str(boot),
                namespace=str(namespace),
                pid=int(pid),
                started=str(started),
                instance=str(instance),
            )
        except (TypeError, ValueError):
            return None

    def is_dead(self) -> bool:
        """Tell whether its process has certainly ended; False where that cannot be known.

        Known only on its own host. A restart of the machine ends every process. Processes of
        another container cannot be seen and count as alive.
        """
        if self.host != socket.gethostname():
            return False
        if self.boot != _boot():
            return bool(self.boot and _boot())
        if self.namespace != _namespace():
            return False
        stat = _stat(self.pid)
        if stat is None:
            # Hidden from us (hidepid), or a system without /proc.
            return not _exists(self.pid)
        is_zombie, started = stat
        return is_zombie or started != self.started

    def is_dead_here(self) -> bool:
        """Tell whether it was a process of this very run of this machine, and has ended.

        For stores that several machines share: these may have the same name, so another boot
        may well be another machine that lives.
        """
        return bool(self.boot) and self.boot == _boot() and self.is_dead()


def this_process() -> Owner:
    """A new owner: this process, with an instance id of its own."""
    pid = os.getpid()
    _, started = _stat(pid) or (False, "")
    return Owner(
        host=socket.gethostname(),
        boot=_boot(),
        namespace=_namespace(),
        pid=pid,
        started=started,
        instance=secrets.token_hex(8),
    )


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _stat(pid: int) -> tuple[bool, str] | None:
    """Whether a process is a zombie, and when it started; None where /proc does not show it.

    Fields 3 and 22 of /proc/<pid>/stat. Field 2, the name, may contain anything, so they are
    counted from its closing bracket: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    fields = stat.rpartition(b")")[2].split()
    return fields[0] in (b"Z", b"X"), fields[19].decode("ascii")


def _exists(pid: int) -> bool:
    if os.name != "posix":
        return True  # on Windows, os.kill would end it
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
