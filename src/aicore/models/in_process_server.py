"""Loads and unloads a model in this process, by xllamacpp. All of it blocks: call it in threads.

Found by measuring version 2026.10: loading and unloading hold Python's lock, so the file is read
into the system's cache before (which does not), and nothing is unloaded while it still generates.
"""

from __future__ import annotations

import re
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aicore.errors import ConfigError, ProviderUnavailable
from aicore.models.in_process_header import Header, read_header

__all__ = ["LoadedModel", "Loading"]

_READ_BYTES = 16 * 1024 * 1024
_BATCH_TOKENS = 256
"""A request is only given up between two batches of its prompt: smaller is sooner, and slower."""
_CACHE_MIB = 512
"""Memory for the prompts of conversations that are not being answered right now; it grows to it."""
_SPARE_BYTES = 256 * 1024 * 1024
_BUSY = re.compile(r"^llamacpp:requests_(?:processing|deferred) (\S+)", re.MULTILINE)
_POLL_S = 0.02
_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True, kw_only=True)
class Loading:
    """What is loaded, and how. `context_tokens` is for each of `at_once` requests."""

    path: Path
    context_tokens: int
    at_once: int
    threads: int | None
    alias: str


class LoadedModel:
    """A model in memory that answers at `base_url`, on loopback, to whoever knows `api_key`."""

    def __init__(self, loading: Loading) -> None:
        """Load it. Raises: ConfigError with the remedy."""
        library = _library()
        header = read_header(loading.path)
        _check_fits(header, loading, has_gpu=_has_gpu(library))
        _read_through(loading.path)
        self.api_key = secrets.token_urlsafe(32)
        params = _params(library, loading, self.api_key)
        try:
            self._server: Any = library.Server(params)
        except (RuntimeError, ValueError) as exc:
            raise ConfigError(
                f"{str(loading.path)!r} could not be loaded. The file may be cut off or of a "
                "kind that this version of xllamacpp does not know, or memory was too little: "
                "lower context_tokens or at_once."
            ) from exc
        self.base_url = f"{self._server.listening_address}/v1"

    def close(self, *, within_s: float) -> None:
        """Give memory and port back, once what it still does has ended.

        Raises: ProviderUnavailable when that takes longer than `within_s`; it is unloaded then
        as soon as Python drops it.
        """
        deadline = time.monotonic() + within_s
        is_busy = self._is_busy()
        while is_busy and time.monotonic() < deadline:
            time.sleep(_POLL_S)
            is_busy = self._is_busy()
        self._server = None
        if is_busy:
            raise ProviderUnavailable("The model in this process did not stop its work in time.")

    def _is_busy(self) -> bool:
        return any(float(count) > 0 for count in _BUSY.findall(self._server.handle_metrics()))


def _library() -> Any:
    try:
        import xllamacpp  # type: ignore[import-untyped] # it ships no types
    except ImportError as exc:
        raise ConfigError(
            "A model in this process needs xllamacpp. Install aicore-mcp[local]."
        ) from exc
    return xllamacpp


def _params(library: Any, loading: Loading, api_key: str) -> Any:
    params = library.CommonParams()
    params.model.path = str(loading.path)
    params.model_alias = {loading.alias}
    params.port = 0  # any free one, on 127.0.0.1
    params.api_keys = [api_key]
    params.ui = False
    params.endpoint_slots = False  # they show what is being said
    params.endpoint_metrics = True
    params.use_jinja = True  # else tools are refused
    params.warmup = False
    params.verbosity = 0  # else it fills standard error
    params.n_parallel = loading.at_once
    params.n_ctx = loading.context_tokens * loading.at_once  # it is divided among them
    params.n_batch = params.n_ubatch = _BATCH_TOKENS
    params.cache_ram_mib = _CACHE_MIB
    params.n_threads_http = loading.at_once + 4
    if loading.threads is not None:
        params.cpuparams.n_threads = loading.threads
    return params


def _check_fits(header: Header, loading: Loading, *, has_gpu: bool) -> None:
    trained = header.trained_tokens
    if trained is not None and loading.context_tokens > trained:
        raise ConfigError(
            f"{loading.alias} reads at most {trained} tokens. Set context_tokens to that or less."
        )
    available = None if has_gpu else _available_bytes()
    needed = header.needed_bytes(loading.context_tokens * loading.at_once) + _SPARE_BYTES
    if available is not None and needed > available:
        raise ConfigError(
            f"{loading.alias} needs about {_gb(needed)} GB of memory and {_gb(available)} GB are "
            "free. Lower context_tokens or at_once, or take a smaller model."
        )


def _has_gpu(library: Any) -> bool:
    kinds = library.ggml_backend_dev_type
    gpus = {kinds.GGML_BACKEND_DEVICE_TYPE_GPU, kinds.GGML_BACKEND_DEVICE_TYPE_IGPU}
    return any(device["type"] in gpus for device in library.get_device_info())


def _available_bytes() -> int | None:
    """Give the memory that can still be taken, by Linux and its control group; else None."""
    known = [_free_of_machine(), _free_of_group()]
    return min((one for one in known if one is not None), default=None)


def _free_of_machine() -> int | None:
    try:
        found = re.search(r"^MemAvailable:\s+(\d+) kB", _MEMINFO.read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None


def _free_of_group() -> int | None:
    try:
        limit = (_CGROUP / "memory.max").read_text().strip()
        used = int((_CGROUP / "memory.current").read_text())
    except (OSError, ValueError):
        return None
    return max(int(limit) - used, 0) if limit.isdecimal() else None


def _read_through(path: Path) -> None:
    with path.open("rb", buffering=0) as file:
        while file.read(_READ_BYTES):
            pass


def _gb(count: int) -> str:
    return f"{count / 1e9:.1f}"
