"""Import every module named in the arguments, each as the first one, with nothing allowed.

Run by test_imports.py in a process of its own. Libraries of others and our five packages
themselves are loaded once, as they come before any module of theirs; then each module is imported
in a fork: it can be the first of ours, it reaches for no network, starts no program or thread,
opens no database and prints nothing.
"""

import importlib
import os
import sys
import threading
import traceback

FORBIDDEN = ("socket.connect", "socket.getaddrinfo", "socket.sendto", "socket.bind")
FORBIDDEN += ("subprocess.Popen", "sqlite3.connect", "os.system", "os.mkdir", "os.remove")
FOREIGN = ("anyio", "dateparser", "httpx2", "jsonschema", "mcp", "mcp.server", "phonenumbers")
FOREIGN += ("pydantic", "pydantic_settings", "rapidfuzz", "starlette.applications", "uvicorn")
FOREIGN += ("yaml",)


def refuse(event: str, args: tuple[object, ...]) -> None:
    if event in FORBIDDEN and "__pycache__" not in str(args[0]):
        raise RuntimeError(f"importing did {event}{args!r:.200}")


def import_alone(name: str) -> int:
    """Import one module in a fork. Returns 0, or 1 with the reason on stderr."""
    if child := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    failed = 1
    try:
        importlib.import_module(name)
        failed = int(threading.active_count() > 1)
        if failed:
            sys.stderr.write(f"{name}: threads are left: {threading.enumerate()}\n")
    except BaseException:  # noqa: BLE001 # the child's only exit: reported, then it ends
        sys.stderr.write(f"{name}:\n{traceback.format_exc()}\n")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(failed)


def main() -> None:
    for name in FOREIGN:
        importlib.import_module(name)
    sys.addaudithook(refuse)
    for name in sys.argv[1:]:
        if "." not in name:
            importlib.import_module(name)
    failures = [import_alone(name) for name in sys.argv[1:]]
    sys.exit(1 if any(failures) else 0)


if __name__ == "__main__":
    main()
