"""Asks servers which models they have and how much those can read. No model is asked anything.

What tells a model's context: `max_model_len` in the list of vLLM and SGLang, `/props` of
llama.cpp, `/api/v0/models` of LM Studio, `/api/ps` and `/api/show` of Ollama, and fields of the
lists of OpenRouter, Anthropic and Gemini.
"""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

import anyio

from aicore.errors import AicoreError, ConfigError, ProviderUnavailable
from aicore.models.discovery import WELL_KNOWN_PORTS, can_chat
from aicore.models.http_faults import Backend, error_for_status
from aicore.models.http_model import HTTPModel
from aicore.models.systems.profiles import Profile, known_systems
from aicore.models.wire_json import parse_json

__all__ = ["Asking", "Listed", "Listing", "asking_of", "local_systems", "survey"]

_MAX_BODY_BYTES = 8 * 1024 * 1024
_FURTHER_SHARE = 0.5
"""What further questions to a server may take of the time for all."""
_NUM_CTX = re.compile(r"^num_ctx\s+([0-9]{1,9})\b", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A model that a server has.

    `context_tokens` is how much it reads as it is served, `most_tokens` how much it could; None
    where the server does not tell.
    """

    model: str
    context_tokens: int | None = None
    most_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What a server answered: its models, or why there are none. `kind` is its profile's."""

    models: tuple[Listed, ...] = ()
    kind: str = ""
    error: AicoreError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """Where to ask for a list of models, and as what. `secrets` never appear in errors."""

    url: str
    model: str = ""
    kind: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    is_own: bool = True

    @property
    def origin(self) -> str:
        """The server without a path."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"


def asking_of(kind: str, provider: HTTPModel) -> Asking | None:
    """How a provider's server is asked for its models; None where it has no list, or no free one.

    `kind` is the one of its configuration.
    """
    profile = known_systems().get(kind)
    if profile is not None and not profile.lists_models:
        return None
    site = provider.site
    for end, path in (
        ("/chat/completions", "/models"),
        ("/v1/messages", "/v1/models?limit=1000"),
        (":generateContent", ""),
    ):
        if site.url.endswith(end):
            unneeded = ("content-type", "accept-encoding")
            return Asking(
                url=site.url.removesuffix(end) + path,
                model=provider.model,
                kind=kind,
                headers={key: one for key, one in site.headers.items() if key not in unneeded},
                secrets=site.secrets,
                is_own=site.is_own,
            )
    return None


def local_systems(ports: Mapping[int, str] | None = None) -> list[Asking]:
    """The usual ports of this machine: those of the profiles, and of a few more programs."""
    if ports is None:
        own = (urlsplit(one.base_url) for one in known_systems().values() if one.start)
        ports = {**WELL_KNOWN_PORTS, **{one.port: "" for one in own if one.port}}
    return [Asking(url=f"http://127.0.0.1:{port}/v1/models") for port in ports]


async def survey(askings: Sequence[Asking], *, timeout_s: float = 2.0) -> list[Listing]:
    """Ask all of them at once, for at most `timeout_s` altogether. Answers in their order."""
    late = ProviderUnavailable("The server took too long to list its models.")
    found = [Listing(kind=one.kind, error=late) for one in askings]

    async def ask(place: int, asking: Asking) -> None:
        try:
            found[place] = await _Server(asking, timeout_s * _FURTHER_SHARE).listing()
        except AicoreError as error:
            found[place] = Listing(kind=asking.kind, error=error)

    with anyio.move_on_after(timeout_s):
        async with anyio.create_task_group() as tasks:
            for place, asking in enumerate(askings):
                tasks.start_soon(ask, place, asking)
    return found


class _Server:
    """One server while it is asked."""

    def __init__(self, asking: Asking, further_s: float) -> None:
        self._asking = asking
        self._further_s = further_s
        self._backend = Backend(url=asking.origin, model=asking.model, secrets=asking.secrets)

    async def listing(self) -> Listing:
        """Its models. Raises: ProviderUnavailable, CredentialError, ConfigError, ModelError."""
        data = await self._get(self._asking.url)
        entries = _entries(data)
        if not entries:
            raise ConfigError(f"{self._asking.url} lists no models. Correct base_url.")
        kind = self._asking.kind or _kind(entries, urlsplit(self._asking.url).port)
        listed = [one for one in map(_listed, entries) if one is not None and can_chat(one.model)]
        profile = known_systems().get(kind)
        if profile is not None:
            listed = await self._with_contexts(listed, profile)
        return Listing(models=tuple(listed), kind=kind)

    async def _with_contexts(self, listed: list[Listed], profile: Profile) -> list[Listed]:
        """Ask further where the list does not tell; what fails there is only left out."""
        ask = {
            "ollama": self._of_ollama,
            "llama-cpp": self._of_llama_cpp,
            "lm-studio": self._of_lm_studio,
        }.get(profile.context_from or "")
        if ask is None:
            return listed
        with anyio.move_on_after(self._further_s), suppress(AicoreError):
            return await ask(listed)
        return listed

    async def _of_llama_cpp(self, listed: list[Listed]) -> list[Listed]:
        props = await self._get(f"{self._asking.origin}/props")
        size = _number(_table(_table(props).get("default_generation_settings")).get("n_ctx"))
        return [replace(one, context_tokens=size) for one in listed]

    async def _of_lm_studio(self, listed: list[Listed]) -> list[Listed]:
        data = await self._get(f"{self._asking.origin}/api/v0/models")
        told = {str(entry.get("id")): entry for entry in _entries(data)}
        return [
            replace(
                one,
                context_tokens=_number(told.get(one.model, {}).get("loaded_context_length")),
                most_tokens=_number(told.get(one.model, {}).get("max_context_length")),
            )
            for one in listed
        ]

    async def _of_ollama(self, listed: list[Listed]) -> list[Listed]:
        running = _table(await self._get(f"{self._asking.origin}/api/ps")).get("models")
        loaded = {
            str(_table(entry).get("name")): _number(_table(entry).get("context_length"))
            for entry in (running if isinstance(running, list) else ())
        }
        found = list(listed)

        async def show(place: int, one: Listed) -> None:
            url = f"{self._asking.origin}/api/show"
            shown = _table(await self._get(url, {"model": one.model}))
            told = _NUM_CTX.search(str(shown.get("parameters") or ""))
            most = [
                _number(value)
                for key, value in _table(shown.get("model_info")).items()
                if str(key).endswith(".context_length")
            ]
            used = loaded.get(one.model) or (int(told[1]) if told else None)
            found[place] = replace(one, context_tokens=used, most_tokens=most[0] if most else None)

        for place, one in enumerate(listed):
            await show(place, one)
        return found

    async def _get(self, url: str, body: Mapping[str, Any] | None = None) -> Any:
        import httpx2

        asking = self._asking
        # A context of its own for http: reading the machine's certificates takes 30 ms.
        plain = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        verify: ssl.SSLContext | bool = plain if url.startswith("http:") else True
        method, content, headers = "GET", None, dict(asking.headers)
        if body is not None:
            method, content = "POST", json.dumps(body).encode()
            headers["content-type"] = "application/json"
        try:
            async with (
                httpx2.AsyncClient(
                    headers=headers, verify=verify, trust_env=not asking.is_own
                ) as client,
                client.stream(method, url, content=content) as response,
            ):
                answer = bytearray()
                async for part in response.aiter_bytes():
                    answer += part
                    if len(answer) > _MAX_BODY_BYTES:
                        raise ConfigError(f"{url} sends more than a list of models.")
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as exc:
            raise ProviderUnavailable(
                f"No model server answers at {asking.origin}. Start it, or correct base_url; if it "
                "is not yours, look at the network."
            ) from exc
        if response.status_code != 200:
            raise error_for_status(
                response.status_code, response.headers, bytes(answer), self._backend
            )
        try:
            return parse_json(bytes(answer))
        except ValueError as exc:
            raise ConfigError(f"{url} answers with no list of models. Correct base_url.") from exc


def _entries(data: Any) -> list[Mapping[str, Any]]:
    """The models of a list; an answer about one model (Gemini's) is a list of one."""
    listed = _table(data).get("data")
    if listed is None and isinstance(_table(data).get("name"), str):
        listed = [{"id": data["name"].removeprefix("models/"), **data}]
    return [one for one in (listed if isinstance(listed, list) else ()) if isinstance(one, dict)]


def _listed(entry: Mapping[str, Any]) -> Listed | None:
    model = entry.get("id")
    if not isinstance(model, str) or not model:
        return None
    told = ("max_model_len", "context_length", "max_input_tokens", "inputTokenLimit")
    sizes = [size for size in (_number(entry.get(key)) for key in told) if size]
    meta = _number(_table(entry.get("meta")).get("n_ctx_train"))
    return Listed(model=model, context_tokens=sizes[0] if sizes else None, most_tokens=meta)


def _kind(entries: Iterable[Mapping[str, Any]], port: int | None) -> str:
    """Which system it is: by what it calls itself, else by its usual port, where that is one's."""
    names = {str(entry.get("owned_by")).lower() for entry in entries}
    for profile in known_systems().values():
        if names.intersection(profile.owned_by):
            return profile.kind
    there = [
        one.kind
        for one in known_systems().values()
        if one.start and urlsplit(one.base_url).port == port
    ]
    return there[0] if len(there) == 1 else ""


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
