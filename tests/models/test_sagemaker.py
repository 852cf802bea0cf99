"""SageMaker at the wire: signatures and frames, checked with the vendor's own library."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.session import Session
from tests.models.fake_openai import (
    Asked,
    Play,
    call,
    event,
    json_play,
    serving,
    streamed,
    whole,
)
from tests.models.fake_sagemaker import failure, framed, origin, part

from aicore.errors import (
    ConfigError,
    ContextOverflow,
    CredentialError,
    Interrupted,
    ModelError,
    ProviderUnavailable,
)
from aicore.models import Provider, Request, TextDelta, open_provider

KEY, SECRET, TOKEN = "AKIATEST", "very/secret/key", "session-token"
REGION = "eu-central-1"
Ask = Callable[..., Request]
Collect = Callable[..., Any]


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.delenv("AWS_PROFILE", raising=False)


def provider(base_url: str, **settings: Any) -> Provider:
    plain = {"endpoint": "shop", "region": REGION, "model": "m"}
    return open_provider("sagemaker", {**plain, "base_url": base_url, **settings})


def signature(asked: Asked, url: str) -> str:
    """What the signature of this request must be, by the vendor's library."""
    signed = re.search(r"SignedHeaders=([^,]+)", asked.headers["authorization"])
    assert signed is not None
    headers = {name: asked.headers[name] for name in signed[1].split(";")}
    request = AWSRequest(method="POST", url=url, data=asked.body, headers=headers)
    request.context["timestamp"] = asked.headers["x-amz-date"]
    auth = SigV4Auth(Credentials(KEY, SECRET, TOKEN), "sagemaker", REGION)
    text = auth.string_to_sign(request, auth.canonical_request(request))
    made: str = auth.signature(text, request)
    return made


async def test_request_is_signed_as_the_vendors_library_does(ask: Ask) -> None:
    component = {"X-Amzn-SageMaker-Inference-Component": "blue"}
    async with (
        serving() as server,
        provider(origin(server.base_url), headers=component) as model,
    ):
        assert (await model.complete(ask())).text == "You said: hi"
    (asked,) = server.requests
    authorization = asked.headers["authorization"]

    assert asked.path == "/endpoints/shop/invocations"
    assert asked.headers["x-amz-security-token"] == TOKEN
    assert asked.headers["x-amzn-sagemaker-inference-component"] == "blue"
    assert "x-amzn-sagemaker-inference-component" in authorization
    assert f"Credential={KEY}/" in authorization
    assert authorization.endswith(signature(asked, origin(server.base_url) + asked.path))
    assert asked.json["model"] == "m"


async def test_each_request_has_a_signature_of_its_own(ask: Ask) -> None:
    async with serving() as server, provider(origin(server.base_url)) as model:
        await model.complete(ask("one"))
        await model.complete(ask("two"))
    one, two = (asked.headers["authorization"] for asked in server.requests)

    assert one != two


@pytest.mark.parametrize("size", [0, 1, 7])
async def test_frames_are_read_at_any_split(size: int, ask: Ask, collect: Collect) -> None:
    events = streamed("Hel", "lo", calls=[call(0, "find", '{"name": "Ann"}')], finish="tool_calls")
    data = b"".join(events)
    frames = [part(data[at : at + 50]) for at in range(0, len(data), 50)]
    async with (
        serving(framed(frames, size)) as server,
        provider(origin(server.base_url)) as model,
    ):
        deltas, completion = await collect(model, ask())

    assert server.requests[0].path == "/endpoints/shop/invocations-response-stream"
    assert "".join(deltas) == completion.text == "Hello"
    assert completion.calls[0].arguments == {"name": "Ann"}
    assert completion.usage.is_reported


async def test_what_follows_the_end_is_no_text(ask: Ask, collect: Collect) -> None:
    late = event({"choices": [{"index": 0, "delta": {"content": "late"}}]})
    frames = [part(b"".join(streamed("Hi"))), part(late), failure("ModelStreamError", "late")]
    async with serving(framed(frames)) as server, provider(origin(server.base_url)) as model:
        deltas, completion = await collect(model, ask())

    assert (deltas, completion.text, completion.finish) == (["Hi"], "Hi", "stop")


async def test_frames_are_those_the_vendors_client_reads() -> None:
    """The encoder above is ours; botocore's client must understand what it makes."""
    frames = [part(b"one "), part(b"two")]

    def read(url: str) -> bytes:
        client = Session().create_client("sagemaker-runtime", REGION, endpoint_url=url)
        answer = client.invoke_endpoint_with_response_stream(EndpointName="shop", Body=b"{}")
        parts = [one["PayloadPart"]["Bytes"] for one in answer["Body"]]
        client.close()
        return b"".join(parts)

    async with serving(framed(frames, framing="close")) as server:
        assert await anyio.to_thread.run_sync(read, origin(server.base_url)) == b"one two"
        (asked,) = server.requests

    assert asked.path == "/endpoints/shop/invocations-response-stream"


async def test_failure_in_the_stream_may_be_tried_again_before_text(
    ask: Ask, collect: Collect
) -> None:
    play = framed([failure("ModelStreamError", "broke")])
    async with serving(play) as server, provider(origin(server.base_url)) as model:
        with pytest.raises(ProviderUnavailable):
            await collect(model, ask())


async def test_failure_in_the_stream_after_text_is_an_interruption(ask: Ask) -> None:
    hello = event({"choices": [{"index": 0, "delta": {"content": "Hello"}}]})
    play = framed([part(hello), failure("InternalStreamFailure", "broke")], size=200)
    async with serving(play) as server, provider(origin(server.base_url)) as model:
        stream = model.stream(ask())
        assert await anext(stream) == TextDelta("Hello")
        with pytest.raises(Interrupted):
            await anext(stream)


async def test_damaged_frame_is_a_broken_answer(ask: Ask, collect: Collect) -> None:
    broken = bytearray(part(b"".join(streamed("Hi"))))
    broken[20] ^= 1
    async with (
        serving(framed([bytes(broken)])) as server,
        provider(origin(server.base_url)) as model,
    ):
        with pytest.raises(ProviderUnavailable):
            await collect(model, ask())


async def test_stream_cut_in_a_frame_is_broken_off(ask: Ask, collect: Collect) -> None:
    data = part(b"".join(streamed("Hi")))[:-5]
    async with serving(framed([data])) as server, provider(origin(server.base_url)) as model:
        with pytest.raises(ProviderUnavailable):
            await collect(model, ask())


def model_error(status: int, said: Any) -> Play:
    body = {"OriginalStatusCode": status, "OriginalMessage": json.dumps(said), "Message": "x"}
    return json_play(body, status=424)


@pytest.mark.parametrize(
    ("play", "kind"),
    [
        (model_error(400, {"error": {"message": "maximum context length"}}), ContextOverflow),
        (model_error(503, {"error": {"message": "busy"}}), ProviderUnavailable),
        (json_play({"message": "Endpoint shop of account 1 not found."}, status=400), ConfigError),
        (json_play({"message": "The signature does not match."}, status=403), CredentialError),
        (json_play({"Message": "not ready"}, status=429), ProviderUnavailable),
        (json_play({"Message": "dependency"}, status=530), ProviderUnavailable),
        (Play([b"[" * 100_000], status=424), ModelError),
        (Play([b"[" * 100_000], headers={"content-type": "application/json"}), ProviderUnavailable),
    ],
)
async def test_errors_say_who_must_act(
    play: Play, kind: type[Exception], ask: Ask, collect: Collect
) -> None:
    async with serving(play, play) as server, provider(origin(server.base_url)) as model:
        for asking in (model.complete(ask()), collect(model, ask())):
            with pytest.raises(kind) as caught:
                await asking
            if kind is CredentialError:
                assert "AWS_ACCESS_KEY_ID" in str(caught.value)


def test_key_comes_from_the_shared_file_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    with pytest.raises(CredentialError, match="AWS_ACCESS_KEY_ID"):
        provider("http://127.0.0.1:9")
    (tmp_path / "none").write_text(
        f"[shop]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n"
    )
    monkeypatch.setenv("AWS_PROFILE", "shop")
    assert provider("http://127.0.0.1:9").name == "sagemaker:m"

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    with pytest.raises(CredentialError):
        provider("http://127.0.0.1:9")


async def test_answer_in_one_piece_is_priced_and_placed(ask: Ask) -> None:
    price = {"input_usd": "1", "output_usd": "1"}
    async with (
        serving(json_play(whole("Hi"))) as server,
        provider(origin(server.base_url), price=price, name="house") as model,
    ):
        completion = await model.complete(ask())
    facts = model.capabilities

    assert completion.usage.cost_usd is not None
    assert (model.name, facts.locality, facts.vendor, facts.region) == (
        "house",
        "managed",
        "aws",
        "eu",
    )


def test_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "botocore.auth", None)

    with pytest.raises(ConfigError, match=r"aicore-mcp\[aws\]"):
        provider("http://127.0.0.1:9")
