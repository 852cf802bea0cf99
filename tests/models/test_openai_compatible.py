"""The provider against a server on loopback: requests, streams, deadlines, connections."""

import json
import logging
import ssl
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.tls import TLSListener
from tests.models.fake_openai import (
    DONE,
    Play,
    chunk,
    event,
    free_port,
    json_play,
    serving,
    stream_play,
    streamed,
    whole,
)

from aicore.errors import (
    ConfigError,
    CredentialError,
    ModelError,
    NotOpenError,
    OperatorError,
    ProviderUnavailable,
)
from aicore.models import OpenAICompatible, Price, Request

KEY = "sk-very-secret-key"
Ask = Callable[..., Request]
Collect = Callable[..., Any]
HELLO = event(chunk({"content": "Hello"}))


def provider(base_url: str, **settings: Any) -> OpenAICompatible:
    return OpenAICompatible(**{"base_url": base_url, "model": "m", **settings})


async def test_request_carries_key_headers_and_extra_fields(ask: Ask) -> None:
    settings = {"api_key": KEY, "headers": {"X-Team": "a"}, "extra_body": {"temperature": 0}}
    async with serving() as server, provider(server.base_url, **settings) as model:
        await model.complete(ask("hi", max_output_tokens=50))
    (asked,) = server.requests

    assert asked.path == "/v1/chat/completions"
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.headers["x-team"] == "a"
    assert asked.headers["content-type"] == "application/json"
    assert asked.json == {
        "model": "m",
        "temperature": 0,
        "stream": False,
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "hi"},
        ],
        "max_tokens": 50,
    }


async def test_stream_asks_for_usage(ask: Ask, collect: Collect) -> None:
    async with serving() as server, provider(server.base_url) as model:
        await collect(model, ask())

    assert server.requests[0].json["stream"] is True
    assert server.requests[0].json["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize("host", ["api.openai.com", "shop.openai.azure.com"])
def test_openai_itself_is_told_the_limit_by_its_new_name(host: str) -> None:
    assert provider(f"https://{host}/v1")._dialect._limit_field == "max_completion_tokens"
    assert provider("https://api.example.com/v1")._dialect._limit_field == "max_tokens"


async def test_one_connection_serves_request_after_request(ask: Ask, collect: Collect) -> None:
    async with serving() as server, provider(server.base_url) as model:
        for _ in range(3):
            await model.complete(ask())
            await collect(model, ask())

    assert len(server.requests) == 6
    assert server.connections == 1


async def test_many_requests_at_once(ask: Ask, collect: Collect) -> None:
    seen: dict[str, str] = {}
    async with serving() as server, provider(server.base_url) as model:

        async def one(text: str) -> None:
            seen[text] = (await collect(model, ask(text)))[1].text

        async with anyio.create_task_group() as tasks:
            for number in range(150):
                tasks.start_soon(one, f"message {number}")

    assert seen == {f"message {n}": f"You said: message {n}" for n in range(150)}


async def test_events_that_arrive_together_are_one_delta(ask: Ask, collect: Collect) -> None:
    play = stream_play(b"".join(streamed("a", "b", "c")), framing="close")
    async with serving(play) as server, provider(server.base_url) as model:
        deltas, completion = await collect(model, ask())

    assert deltas == ["abc"]
    assert completion.text == "abc"


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8"])
async def test_server_that_ignores_stream_is_understood(
    kind: str, ask: Ask, collect: Collect
) -> None:
    play = json_play(whole("Hi"), headers={"content-type": kind})
    async with serving(play) as server, provider(server.base_url) as model:
        deltas, completion = await collect(model, ask())

    assert deltas == ["Hi"]
    assert completion.text == "Hi"


async def test_compressed_answer_is_read(ask: Ask, collect: Collect) -> None:
    """We ask for none, but proxies compress all the same."""
    import gzip

    headers = {"content-type": "text/event-stream", "content-encoding": "gzip"}
    play = Play([gzip.compress(b"".join(streamed("Hi", "!")))], headers=headers)
    async with serving(play) as server, provider(server.base_url) as model:
        completion = (await collect(model, ask()))[1]

    assert server.requests[0].headers["accept-encoding"] == "identity"
    assert completion.text == "Hi!"


async def test_answer_is_priced(ask: Ask) -> None:
    price = Price(input_usd=Decimal(1), output_usd=Decimal(2))
    async with serving() as server, provider(server.base_url, price=price) as model:
        usage = (await model.complete(ask())).usage

    assert usage.cost_usd == Decimal("0.000034")


# Connections


async def test_nobody_listening(ask: Ask, collect: Collect) -> None:
    async with provider(f"http://127.0.0.1:{free_port()}/v1") as model:
        with pytest.raises(ProviderUnavailable):
            await model.complete(ask())
        with pytest.raises(ProviderUnavailable):
            await collect(model, ask())


async def test_kept_connection_that_the_server_closed_is_replaced(
    ask: Ask, collect: Collect
) -> None:
    plays = [json_play(whole("one")), Play(drop=True), json_play(whole("two"))]
    async with serving(*plays) as server, provider(server.base_url) as model:
        assert (await model.complete(ask())).text == "one"
        assert (await model.complete(ask())).text == "two"


async def test_fresh_connection_that_is_closed_is_not_tried_again(ask: Ask) -> None:
    async with serving(Play(drop=True)) as server, provider(server.base_url) as model:
        with pytest.raises(ProviderUnavailable):
            await model.complete(ask())

    assert len(server.requests) == 1


async def test_server_that_drops_every_time_is_asked_twice_at_most(ask: Ask) -> None:
    plays = [json_play(whole()), *[Play(drop=True)] * 5]
    async with serving(*plays) as server, provider(server.base_url) as model:
        await model.complete(ask())
        with pytest.raises(ProviderUnavailable):
            await model.complete(ask())

    assert len(server.requests) == 3


async def test_use_outside_is_refused(ask: Ask, collect: Collect) -> None:
    model = provider("http://127.0.0.1:9/v1")
    with pytest.raises(NotOpenError):
        await model.complete(ask())
    with pytest.raises(NotOpenError):
        await collect(model, ask())
    async with model:
        pass
    with pytest.raises(NotOpenError):
        await model.complete(ask())


async def test_provider_can_be_entered_again(ask: Ask) -> None:
    async with serving() as server:
        model = provider(server.base_url)
        for _ in range(2):
            async with model:
                assert (await model.complete(ask())).text


async def test_proxy_of_the_environment_is_not_used_for_own_machines(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    async with serving() as server, provider(server.base_url) as model:
        assert (await model.complete(ask())).text


async def test_proxy_of_the_environment_is_used_for_vendors(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving() as proxy:
        monkeypatch.setenv("http_proxy", proxy.base_url.removesuffix("/v1"))
        async with provider("http://api.vendor.invalid/v1") as model:
            assert (await model.complete(ask())).text

    assert proxy.requests[0].path == "http://api.vendor.invalid/v1/chat/completions"


@pytest.mark.parametrize("proxy", ["gopher://127.0.0.1:9", "socks5://127.0.0.1:9"])
async def test_proxy_that_cannot_be_used_is_named(
    proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    with pytest.raises(ConfigError, match="http_proxy"):
        await provider("http://api.vendor.invalid/v1").__aenter__()


async def test_certificate_that_nobody_vouches_for_is_the_operators_matter(
    ask: Ask, self_signed: ssl.SSLContext
) -> None:
    async def leave(stream: SocketStream) -> None:
        await stream.aclose()

    plain = await anyio.create_tcp_listener(local_host="127.0.0.1")
    listener = TLSListener(plain, self_signed)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, leave)
        port = plain.extra(SocketAttribute.local_port)
        async with provider(f"https://127.0.0.1:{port}/v1") as model:
            with pytest.raises(ConfigError, match="certificate"):
                await model.complete(ask())
        tasks.cancel_scope.cancel()


# Errors


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (301, ConfigError),
        (400, ModelError),
        (401, CredentialError),
        (402, OperatorError),
        (403, CredentialError),
        (404, ConfigError),
        (405, ConfigError),
        (408, ProviderUnavailable),
        (409, ProviderUnavailable),
        (413, ModelError),
        (422, ModelError),
        (425, ProviderUnavailable),
        (429, ProviderUnavailable),
        (500, ProviderUnavailable),
        (503, ProviderUnavailable),
        (529, ProviderUnavailable),
    ],
)
async def test_status_becomes_the_error_of_who_must_act(
    status: int, kind: type[Exception], ask: Ask, collect: Collect
) -> None:
    body = {"error": {"message": f"no {KEY} \n for you", "type": "x", "code": None}}
    plays = [json_play(body, status=status, headers={"retry-after": "3"}) for _ in range(2)]
    async with serving(*plays) as server, provider(server.base_url, api_key=KEY) as model:
        for asking in (model.complete(ask()), collect(model, ask())):
            with pytest.raises(kind) as caught:
                await asking
            assert type(caught.value) is kind
            assert KEY not in str(caught.value)
            if isinstance(caught.value, ProviderUnavailable):
                assert (caught.value.status, caught.value.retry_after_s) == (status, 3.0)


async def test_unknown_model_names_the_model_and_the_address(ask: Ask) -> None:
    async with (
        serving(json_play({"error": {"message": "pull it"}}, status=404)) as server,
        provider(server.base_url, model="lama9") as model,
    ):
        with pytest.raises(ConfigError, match="lama9") as caught:
            await model.complete(ask())

    assert server.base_url.removesuffix("/v1") in str(caught.value)


async def test_content_filter_of_the_vendor_is_a_refusal(ask: Ask, collect: Collect) -> None:
    body = {"error": {"message": "filtered", "code": "content_filter"}}
    plays = [json_play(body, status=400) for _ in range(2)]
    async with serving(*plays) as server, provider(server.base_url) as model:
        assert (await model.complete(ask())).finish == "refused"
        assert (await collect(model, ask()))[1].finish == "refused"


@pytest.mark.parametrize("body", [b"<html>Hello</html>", b""])
async def test_web_page_says_that_base_url_is_wrong(
    body: bytes, ask: Ask, collect: Collect
) -> None:
    headers = {"content-type": "text/html; charset=utf-8"}
    plays = [Play([body] if body else [], headers=headers) for _ in range(2)]
    async with serving(*plays) as server, provider(server.base_url) as model:
        with pytest.raises(ConfigError, match="base_url"):
            await model.complete(ask())
        with pytest.raises(ConfigError, match="base_url"):
            await collect(model, ask())


async def test_key_is_nowhere_to_be_read(ask: Ask, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    settings = {"api_key": KEY, "headers": {"x-other": "other-secret"}}
    async with serving() as server, provider(server.base_url, **settings) as model:
        await model.complete(ask())
        described = f"{model!r} {model} {vars(model)['_backend']!r} {model.site!r}"

    assert server.requests
    for secret in (KEY, "other-secret"):
        assert secret not in caplog.text
        assert secret not in described


# Settings


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "localhost:11434/v1",
        "ftp://host/v1",
        "http://",
        "http:///v1",
        "http://host:99999/v1",
        "http://host:port/v1",
        "http://ho st/v1",
        "http://host/v1\r\nX: 1",
        "http://ann:secret@host/v1",
        "http://host/v1?key=secret",
        "http://host/v1#x",
        "http://[::1/v1",
        "http://host/v1/chat/completions",
    ],
)
def test_address_that_cannot_be_is_refused(base_url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        provider(base_url)

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"model": ""},
        {"api_key": "sk\nx"},
        {"api_key": " sk"},
        {"api_key": "sk-ü"},
        {"headers": {"X-A": "a\r\nb"}},
        {"headers": {"X A": "a"}},
        {"headers": {"Host": "a"}},
        {"headers": {"Content-Length": "1"}},
        {"extra_body": {"messages": []}},
        {"extra_body": {"stream": True}},
        {"extra_body": {"max_tokens": 5}},
        {"extra_body": {"n": 2}},
        {"extra_body": {"x": float("nan")}},
        {"extra_body": {"x": object()}},
    ],
)
def test_setting_that_cannot_be_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        provider("http://127.0.0.1:9/v1", **settings)


def test_trailing_slash_makes_no_difference() -> None:
    assert provider("http://a/v1/")._site == provider("http://a/v1")._site


@pytest.mark.parametrize(
    ("settings", "locality"),
    [
        ({"base_url": "http://127.0.0.1:1/v1"}, "local"),
        ({"base_url": "http://192.168.1.5/v1"}, "local"),
        ({"base_url": "https://api.openai.com/v1"}, "managed"),
        ({"base_url": "https://gpu.example.com/v1", "locality": "local"}, "local"),
        ({"base_url": "http://127.0.0.1:1/v1", "locality": "managed"}, "managed"),
    ],
)
def test_locality_is_derived_unless_given(settings: dict[str, Any], locality: str) -> None:
    model = OpenAICompatible(model="m", context_tokens=8192, **settings)

    assert model.capabilities.locality == locality
    assert model.capabilities.context_tokens == 8192
    assert model.capabilities is model.capabilities


def test_name_is_derived_unless_given() -> None:
    assert provider("http://a/v1").name == "openai:m"
    assert provider("http://a/v1", name="house").name == "house"


async def test_done_marker_alone_is_no_answer(ask: Ask, collect: Collect) -> None:
    async with serving(stream_play(DONE)) as server, provider(server.base_url) as model:
        with pytest.raises(ProviderUnavailable):
            await collect(model, ask())


async def test_requests_of_a_conversation_share_their_bytes_on_the_wire(ask: Ask) -> None:
    async with serving() as server, provider(server.base_url) as model:
        first = ask("hi")
        await model.complete(first)
        await model.complete(
            ask(prefix=first.prefix, tail=[*first.tail, *ask("there").tail], volatile="now")
        )
    one, two = (asked.body for asked in server.requests)

    assert two.startswith(one.removesuffix(b"]}"))
    assert json.loads(two)


@pytest.mark.parametrize(
    "base_url",
    ["http://ann:s3cret@ho st/v1", "ftp://ann:s3cret@host/v1", "http://ho st/?key=s3cret"],
)
def test_key_in_a_bad_address_is_not_repeated(base_url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        provider(base_url)

    assert "s3cret" not in str(caught.value)
