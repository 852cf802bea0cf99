"""Vertex AI at the wire: Gemini's format under a project's address, with Google's tokens."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import anyio
import anyio.to_thread
import google.auth.jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google import genai
from google.auth.credentials import Credentials
from tests.models.fake_openai import Asked, Play, event, json_play, serving, stream_play

from aicore.errors import ConfigError, CredentialError, ProviderUnavailable
from aicore.models import Completion, Provider, Request, open_provider

ASK_PATH = "/v1/projects/my-shop/locations/europe-west4/publishers/google/models/gemini-x"
TOKEN_PATH = "/token"
Ask = Callable[..., Request]
Collect = Callable[..., Any]


def reply(text: str) -> dict[str, Any]:
    content = {"role": "model", "parts": [{"text": text}]}
    return {
        "candidates": [{"content": content, "finishReason": "STOP", "index": 0}],
        "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 2, "totalTokenCount": 7},
        "modelVersion": "gemini-x",
    }


class Google:
    """Gives tokens `token-1`, `token-2`… and answers."""

    def __init__(self, *, expires_s: int = 3600, play: Play | None = None) -> None:
        self.tokens = 0
        self._expires_s = expires_s
        self._play = play

    def __call__(self, asked: Asked) -> Play:
        if asked.path == TOKEN_PATH:
            self.tokens += 1
            token = {"access_token": f"token-{self.tokens}", "token_type": "Bearer"}
            return json_play({**token, "expires_in": self._expires_s})
        if self._play:
            return self._play
        if "stream" in asked.path:
            return stream_play(event(reply("Hel")), event(reply("lo")))
        return json_play(reply("Hello"))


@pytest.fixture(scope="module")
def private_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def account(
    tmp_path: Path, private_key: rsa.RSAPrivateKey, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], None]:
    """Write a service account whose tokens come from this address, and name it."""
    pem = private_key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()

    def write(base_url: str) -> None:
        token_uri = base_url.removesuffix("/v1") + TOKEN_PATH
        path = tmp_path / "account.json"
        data = {
            "type": "service_account",
            "client_email": "shop@example.com",
            "private_key": pem,
            "private_key_id": "1",
            "project_id": "my-shop",
            "token_uri": token_uri,
        }
        path.write_text(json.dumps(data))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    return write


def provider(base_url: str, **settings: Any) -> Provider:
    plain = {"project": "my-shop", "region": "europe-west4", "model": "gemini-x"}
    return open_provider("vertex", {**plain, "base_url": base_url.removesuffix("/v1"), **settings})


async def test_asks_under_the_projects_address_with_a_token(
    ask: Ask, collect: Collect, account: Callable[[str], None], private_key: rsa.RSAPrivateKey
) -> None:
    async with serving(otherwise=Google()) as server:
        account(server.base_url)
        async with provider(server.base_url) as model:
            whole = await model.complete(ask())
            deltas, streamed = await collect(model, ask())
    token, one, two = server.requests
    public = private_key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    assertion = parse_qs(token.body.decode())["assertion"][0]

    assert whole.text == streamed.text == "".join(deltas) == "Hello"
    assert one.path == f"{ASK_PATH}:generateContent"
    assert two.path == f"{ASK_PATH}:streamGenerateContent?alt=sse"
    assert one.headers["authorization"] == two.headers["authorization"] == "Bearer token-1"
    claims = google.auth.jwt.decode(assertion, certs=public)
    assert claims["iss"] == "shop@example.com"


async def test_token_is_fetched_once_for_many_requests_at_once(
    ask: Ask, account: Callable[[str], None]
) -> None:
    google_side = Google()
    answers: list[Completion] = []
    async with serving(otherwise=google_side) as server:
        account(server.base_url)
        async with provider(server.base_url) as model:

            async def one() -> None:
                answers.append(await model.complete(ask()))

            async with anyio.create_task_group() as tasks:
                for _ in range(10):
                    tasks.start_soon(one)

    assert len(answers) == 10
    assert google_side.tokens == 1


async def test_token_that_expires_soon_is_replaced_before_it_does(
    ask: Ask, account: Callable[[str], None]
) -> None:
    async with serving(otherwise=Google(expires_s=60)) as server:
        account(server.base_url)
        async with provider(server.base_url) as model:
            await model.complete(ask())
            await model.complete(ask())
    used = [asked.headers["authorization"] for asked in server.requests if "models" in asked.path]

    assert used == ["Bearer token-1", "Bearer token-2"]


@pytest.mark.parametrize(
    ("play", "kind"),
    [
        (json_play({"error": "invalid_grant"}, status=400), CredentialError),
        (Play(drop=True), ProviderUnavailable),
    ],
)
async def test_no_token_says_who_must_act(
    play: Play, kind: type[Exception], ask: Ask, account: Callable[[str], None]
) -> None:
    async with serving(otherwise=lambda _: play) as server:
        account(server.base_url)
        async with provider(server.base_url) as model:
            with pytest.raises(kind) as caught:
                await model.complete(ask())

    assert kind is ProviderUnavailable or "GOOGLE_APPLICATION_CREDENTIALS" in str(caught.value)


@pytest.mark.parametrize("is_stream", [False, True])
async def test_token_that_does_not_come_is_given_up(
    ask: Ask,
    collect: Collect,
    account: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    is_stream: bool,
) -> None:
    monkeypatch.setattr("aicore.models.google_token._ANSWER_S", 0.3)
    async with serving(otherwise=lambda _: Play(waits=True)) as server:
        account(server.base_url)
        timeouts = {"first_token_s": 0.1, "total_s": 0.1}
        async with provider(server.base_url, timeouts=timeouts) as model:
            with anyio.fail_after(5), pytest.raises(ProviderUnavailable):
                await (collect(model, ask()) if is_stream else model.complete(ask()))
            with anyio.fail_after(5):
                await server.gone.wait()


async def test_file_that_is_missing_is_named_by_its_variable(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    async with provider("http://127.0.0.1:9") as model:
        with pytest.raises(CredentialError, match="GOOGLE_APPLICATION_CREDENTIALS"):
            await model.complete(ask())


@pytest.mark.parametrize("content", [None, b"[1]", b"[" * 100_000, b"\xff\xfe", b"{}"])
async def test_file_that_is_no_account_is_named_by_its_variable(
    content: bytes | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ask: Ask
) -> None:
    """None: a folder, as good as any file that cannot be read."""
    path = tmp_path / "account.json"
    path.mkdir() if content is None else path.write_bytes(content)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    async with provider("http://127.0.0.1:9") as model:
        with pytest.raises(CredentialError, match="GOOGLE_APPLICATION_CREDENTIALS"):
            await model.complete(ask())


async def test_token_that_is_refused_names_the_variable(
    ask: Ask, account: Callable[[str], None]
) -> None:
    refusal = json_play({"error": {"code": 403, "message": "no"}}, status=403)
    async with serving(otherwise=Google(play=refusal)) as server:
        account(server.base_url)
        async with provider(server.base_url) as model:
            with pytest.raises(CredentialError, match="GOOGLE_APPLICATION_CREDENTIALS"):
                await model.complete(ask())


class Known(Credentials):
    """A token that needs no refreshing, for Google's own SDK."""

    def __init__(self) -> None:
        super().__init__()
        self.token = "known"

    def refresh(self, request: Any) -> None:
        raise AssertionError(request)


async def test_googles_own_sdk_asks_at_the_same_address() -> None:
    def asking(base_url: str) -> str | None:
        options = genai.types.HttpOptions(base_url=base_url, api_version="v1")
        with genai.Client(
            vertexai=True,
            project="my-shop",
            location="europe-west4",
            credentials=Known(),
            http_options=options,
        ) as client:
            text: str | None = client.models.generate_content(model="gemini-x", contents="hi").text
            return text

    async with serving(otherwise=Google()) as server:
        base_url = server.base_url.removesuffix("/v1")
        assert await anyio.to_thread.run_sync(asking, base_url) == "Hello"

    assert server.requests[0].path == f"{ASK_PATH}:generateContent"
    assert server.requests[0].headers["authorization"] == "Bearer known"


@pytest.mark.parametrize(
    ("region", "host", "word"),
    [
        ("europe-west4", "europe-west4-aiplatform.googleapis.com", "eu"),
        ("europe-west2", "europe-west2-aiplatform.googleapis.com", "uk"),
        ("global", "aiplatform.googleapis.com", None),
        ("eu", "aiplatform.eu.rep.googleapis.com", "eu"),
    ],
)
def test_address_and_region_follow_the_place(region: str, host: str, word: str | None) -> None:
    model = open_provider("vertex", {"project": "p", "region": region, "model": "gemini-x"})

    assert model._site.url.startswith(f"https://{host}/v1/projects/p/locations/{region}/")  # type: ignore[attr-defined]
    assert (model.capabilities.region, model.capabilities.locality) == (word, "managed")


def test_project_that_is_missing_is_named() -> None:
    with pytest.raises(ConfigError, match="project"):
        open_provider("vertex", {"region": "europe-west4", "model": "gemini-x"})


def test_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google.auth", None)

    with pytest.raises(ConfigError, match=r"aicore-mcp\[google\]"):
        provider("http://127.0.0.1:9/v1")
