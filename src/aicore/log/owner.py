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

    `boot` names the machine's run (boot id and PID namespace; "" where the system does not
    tell), `started` the process's start in the system's own unit, `instance` this log alone:
    two logs in one process are two owners.
    """

    host: str
    boot: str
    pid: int
    started: str
    instance: str

    def __str__(self) -> str:
        return json.dumps([self.host, self.boot, self.pid, self.started, self.instance])

    @classmethod
    def parse(cls, text: str) -> Owner:
        """Rebuild an owner from its text. Raises ValueError for any other text."""
        try:
            host, boot, pid, started, instance = json.loads(text)
        except TypeError as exc:
            raise ValueError(text) from exc
        return cls(
            host=str(host),
            boot=str(boot),
            pid=int(pid),
            started=str(started),
            instance=str(instance),
        )

    def is_dead(self) -> bool:
        """Tell whether its process has certainly ended; False where that cannot be known.

        Certain only on its own host. After a restart of the machine every owner of before is
        dead. Another container's processes cannot be seen: they count as alive, and so does
        everything where the system has no safe question (Windows).
        """
        if self.host != socket.gethostname():
            return False
        boot = _boot()
        if boot and self.boot and boot != self.boot:
            return _boot_id(boot) != _boot_id(self.boot)
        if boot:
            return _started(self.pid) != self.started
        return os.name == "posix" and not _exists(self.pid)


def this_process() -> Owner:
    """A new owner: this process, with an instance id of its own."""
    return Owner(
        host=socket.gethostname(),
        boot=_boot(),
        pid=os.getpid(),
        started=_started(os.getpid()),
        instance=secrets.token_hex(8),
    )


def _boot() -> str:
    """Linux's boot id and the PID namespace, as `boot/namespace`; "" elsewhere."""
    try:
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot_id}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _boot_id(boot: str) -> str:
    return boot.partition("/")[0]


def _started(pid: int) -> str:
    """Linux's start time of a live process; "" for a dead one, a zombie, or elsewhere.

    Field 22 of /proc/<pid>/stat; the name in field 2 may contain anything, so count from its
    closing bracket: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return ""
    fields = stat.rpartition(b")")[2].split()
    return "" if fields[0] in (b"Z", b"X") else fields[19].decode("ascii")


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
