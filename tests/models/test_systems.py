"""Named systems: what their profiles say, and what a configuration makes of it."""

from collections.abc import Callable
from typing import Any

import anthropic
import openai
import pytest
from openai.providers.bedrock import bedrock
from pydantic import TypeAdapter
from tests.models.fake_openai import serving

from aicore.errors import ConfigError
from aicore.models import OpenAICompatible, Provider, Request, open_provider
from aicore.models.http_model import HTTPModel
from aicore.models.systems.profiles import Profile, known_systems
from aicore.models.systems.quirks import QUIRKS
from aicore.models.systems.regions import region_word

KEY = "sk-very-secret-key"
Ask = Callable[..., Request]
NAMED = {"ollama", "vllm", "llama-cpp", "lm-studio", "sglang", "ray-serve", "triton"}
NAMED |= {"openai", "azure", "bedrock", "anthropic", "gemini", "vertex", "sagemaker"}
NAMED |= {"openrouter", "litellm"}
PROFILES = list(known_systems().values())
LOCAL = [one for one in PROFILES if one.locality == "by-host"]
CHAT = [one for one in PROFILES if one.dialect == "openai-compatible"]


def by_kind(profile: Profile) -> str:
    return profile.kind


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for profile in PROFILES:
        if profile.key_variable and profile.key == "required":
            monkeypatch.setenv(profile.key_variable, KEY)
        elif profile.key_variable:
            monkeypatch.delenv(profile.key_variable, raising=False)


def opened(kind: str, **settings: Any) -> Provider:
    profile = known_systems()[kind]
    return open_provider(kind, {**profile.example, **settings})


def url_of(provider: Provider) -> str:
    url: str = provider._site.url  # type: ignore[attr-defined]
    return url


def test_every_named_system_has_a_profile() -> None:
    assert known_systems().keys() >= NAMED


@pytest.mark.parametrize("profile", PROFILES, ids=by_kind)
def test_profile_is_what_its_class_declares(profile: Profile) -> None:
    fields = {name: getattr(profile, name) for name in Profile.__slots__}

    assert TypeAdapter(Profile).validate_python(fields) == profile
    assert QUIRKS.keys() >= set(profile.quirks)
    assert list(profile.quirks) == sorted(set(profile.quirks))
    assert profile.docs.startswith("https://")
    assert {*profile.places, *profile.parts, "model"} <= profile.example.keys()
    assert (profile.key_variable is None) == (profile.auth == "none")
    assert bool(profile.start) == (profile.kind == "litellm" or profile.locality == "by-host")


def test_every_quirk_is_somebodys() -> None:
    assert {name for profile in PROFILES for name in profile.quirks} == QUIRKS.keys()


@pytest.mark.parametrize("profile", CHAT, ids=by_kind)
async def test_system_is_asked_in_its_way(profile: Profile, ask: Ask) -> None:
    async with (
        serving() as server,
        opened(profile.kind, base_url=server.base_url) as model,
    ):
        assert (await model.complete(ask("hi", max_output_tokens=9))).text == "You said: hi"
    (asked,) = server.requests
    has_key = profile.key == "required"

    assert asked.path == "/v1/chat/completions"
    assert asked.json[profile.limit_field or "max_tokens"] == 9
    assert asked.json["model"] == profile.example["model"]
    assert (asked.headers.get("authorization") == f"Bearer {KEY}") == (
        has_key and profile.auth == "bearer"
    )
    assert (asked.headers.get("api-key") == KEY) == (profile.auth == "api-key")
    assert (KEY in str(asked.headers)) == has_key
    assert model.name == f"{profile.kind}:{profile.example['model']}"
    assert model.capabilities.vendor == profile.vendor
    assert model.capabilities.schema is profile.json_schema


@pytest.mark.parametrize("profile", CHAT, ids=by_kind)
async def test_key_of_a_system_is_nowhere_to_be_read(profile: Profile, ask: Ask) -> None:
    model = opened(profile.kind)

    assert KEY not in f"{model!r} {vars(model)['_backend']!r}"


@pytest.mark.parametrize("profile", [one for one in CHAT if one.key == "required"], ids=by_kind)
def test_key_that_is_missing_is_named(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    assert profile.key_variable is not None
    monkeypatch.delenv(profile.key_variable)

    with pytest.raises(ConfigError, match=profile.key_variable):
        opened(profile.kind)
    monkeypatch.setenv("SHOP_KEY", "sk-2")
    assert opened(profile.kind, api_key_env="SHOP_KEY")


async def test_optional_key_is_sent_where_it_is_set(
    monkeypatch: pytest.MonkeyPatch, ask: Ask
) -> None:
    monkeypatch.setenv("VLLM_API_KEY", KEY)
    async with serving() as server, opened("vllm", base_url=server.base_url) as model:
        await model.complete(ask())

    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("kind", "settings", "url"),
    [
        ("ollama", {}, "http://127.0.0.1:11434/v1"),
        ("vllm", {}, "http://127.0.0.1:8000/v1"),
        ("llama-cpp", {}, "http://127.0.0.1:8080/v1"),
        ("lm-studio", {}, "http://127.0.0.1:1234/v1"),
        ("sglang", {}, "http://127.0.0.1:30000/v1"),
        ("ray-serve", {}, "http://127.0.0.1:8000/v1"),
        ("triton", {}, "http://127.0.0.1:9000/v1"),
        ("litellm", {}, "http://127.0.0.1:4000/v1"),
        ("openai", {}, "https://api.openai.com/v1"),
        ("openrouter", {}, "https://openrouter.ai/api/v1"),
        ("azure", {"resource": "shop"}, "https://shop.openai.azure.com/openai/v1"),
        (
            "bedrock",
            {"region": "us-east-1"},
            "https://bedrock-runtime.us-east-1.amazonaws.com/openai/v1",
        ),
        ("ollama", {"base_url": "http://gpu-box:11434/v1"}, "http://gpu-box:11434/v1"),
    ],
)
def test_address_comes_from_the_profile(kind: str, settings: dict[str, Any], url: str) -> None:
    assert url_of(opened(kind, **settings)) == f"{url}/chat/completions"


@pytest.mark.parametrize("value", ["", "a/b", "a.com#", "a@b", "..", "a b", 5])
def test_part_that_would_lead_elsewhere_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match="resource"):
        opened("azure", resource=value)


@pytest.mark.parametrize(("kind", "part"), [("azure", "resource"), ("bedrock", "region")])
def test_part_that_is_missing_is_named(kind: str, part: str) -> None:
    with pytest.raises(ConfigError, match=part):
        open_provider(kind, {"model": "m"})


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"modle": "m"}, "model"),
        ({"headers": 5}, "headers"),
        ({"timeouts": 5}, "timeouts"),
        ({"region": 5}, "region"),
        ({"base_url": "nowhere"}, "base_url"),
    ],
)
def test_wrong_setting_is_named(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        opened("azure", **settings)


def test_setting_of_the_user_wins() -> None:
    model = opened(
        "ollama",
        name="house",
        base_url="https://gpu.example.com/v1",
        locality="local",
        limit_field="max_completion_tokens",
        timeouts={"first_token_s": 7},
        context_tokens=4096,
    )
    assert isinstance(model, OpenAICompatible)

    assert model.name == "house"
    assert model.capabilities.locality == "local"
    assert model.capabilities.context_tokens == 4096
    assert model._dialect._limit_field == "max_completion_tokens"
    assert model._timeouts.first_token_s == 7


@pytest.mark.parametrize(
    ("kind", "url", "header"),
    [
        ("anthropic", "https://api.anthropic.com/v1/messages", ("x-api-key", KEY)),
        (
            "gemini",
            "https://generativelanguage.googleapis.com/v1beta/models/m:generateContent",
            ("x-goog-api-key", KEY),
        ),
        (
            "bedrock-anthropic",
            "https://bedrock-mantle.eu-central-1.api.aws/anthropic/v1/messages",
            ("authorization", f"Bearer {KEY}"),
        ),
    ],
)
def test_other_formats_are_spoken_at_their_address_with_their_header(
    kind: str, url: str, header: tuple[str, str]
) -> None:
    model = opened(kind, model="m")
    assert isinstance(model, HTTPModel)
    keys = {name for name, value in model.site.headers.items() if KEY in value}

    assert model.site.url == url
    assert model.site.headers[header[0]] == header[1]
    assert keys == {header[0]}
    assert model.name == f"{kind}:m"
    assert (model.capabilities.locality, model.capabilities.vendor) == (
        "managed",
        known_systems()[kind].vendor,
    )


def test_addresses_on_bedrock_are_those_of_the_vendors_sdks() -> None:
    region = "eu-central-1"
    openai_side = openai.OpenAI(provider=bedrock(endpoint="runtime", region=region, api_key=KEY))
    anthropic_side = anthropic.AnthropicBedrockMantle(aws_region=region, api_key=KEY)
    base_urls = {
        "bedrock": f"{openai_side.base_url}chat/completions",
        "bedrock-anthropic": f"{anthropic_side.base_url}v1/messages",
    }
    openai_side.close()
    anthropic_side.close()

    assert anthropic_side.auth_headers == {"Authorization": f"Bearer {KEY}"}
    assert {kind: url_of(opened(kind, region=region)) for kind in base_urls} == base_urls


# Where text goes


@pytest.mark.parametrize("profile", LOCAL, ids=by_kind)
def test_own_system_is_local_on_own_hosts_only(profile: Profile) -> None:
    elsewhere = opened(profile.kind, base_url="https://gpu.example.com/v1")

    assert opened(profile.kind).capabilities.locality == "local"
    assert elsewhere.capabilities.locality == "managed"


@pytest.mark.parametrize("kind", ["openai", "azure", "bedrock", "openrouter"])
def test_vendor_is_managed_whatever_the_address(kind: str) -> None:
    tunnel = "http://127.0.0.1:9/v1"

    assert opened(kind, base_url=tunnel).capabilities.locality == "managed"
    with pytest.raises(ConfigError, match="locality"):
        opened(kind, base_url=tunnel, locality="local")


def test_proxy_counts_as_managed_unless_the_user_says_otherwise() -> None:
    assert opened("litellm").capabilities.locality == "managed"
    assert opened("litellm", locality="local").capabilities.locality == "local"


@pytest.mark.parametrize("model", ["gpt-oss:120b-cloud", "glm-4.6:cloud", "GPT-OSS:120B-CLOUD"])
def test_cloud_model_of_a_local_server_is_managed(model: str) -> None:
    assert opened("ollama", model=model).capabilities.locality == "managed"
    assert opened("ollama", model="cloudy:8b").capabilities.locality == "local"
    plain = {"base_url": "http://127.0.0.1:11434/v1", "model": model}
    assert open_provider("openai-compatible", plain).capabilities.locality == "managed"


@pytest.mark.parametrize(
    ("region", "word"),
    [
        ("eu-central-1", "eu"),
        ("eu-west-1", "eu"),
        ("eu-west-2", "uk"),
        ("eu-central-2", "ch"),
        ("eusc-de-east-1", "eu"),
        ("europe-west4", "eu"),
        ("europe-west12", "eu"),
        ("europe-west2", "uk"),
        ("europe-west6", "ch"),
        ("us-east-1", "us"),
        ("us-gov-west-1", "us"),
        ("us-central1", "us"),
        ("ca-central-1", "ca"),
        ("northamerica-northeast1", "ca"),
        ("northamerica-south1", "northamerica-south1"),
        ("sa-east-1", "br"),
        ("southamerica-west1", "southamerica-west1"),
        ("ap-southeast-2", "ap-southeast-2"),
        ("EU-West-1", "eu"),
        ("eu", "eu"),
        ("global", None),
    ],
)
def test_region_is_the_word_that_rules_use(region: str, word: str | None) -> None:
    assert region_word(region) == word


def test_region_of_a_vendor_is_claimed_only_where_it_holds() -> None:
    assert opened("bedrock", region="eu-central-1").capabilities.region == "eu"
    assert opened("bedrock", model="global.x").capabilities.region is None
    assert opened("azure").capabilities.region is None
    assert opened("azure", region="eu").capabilities.region == "eu"
    assert opened("openai").capabilities.region is None
    profile = "arn:aws:bedrock:eu-central-1:1:inference-profile/global.x"
    assert opened("bedrock", model=profile).capabilities.region is None


@pytest.mark.parametrize(
    ("kind", "base_url"),
    [
        ("bedrock", "https://bedrock-mantle.us-east-1.api.aws/v1"),
        ("bedrock-anthropic", "https://bedrock-mantle.us-east-1.api.aws/anthropic"),
        ("vertex", "https://us-central1-aiplatform.googleapis.com"),
    ],
)
def test_address_of_another_region_is_refused(kind: str, base_url: str) -> None:
    """The one says where text goes, the other what rules are told."""
    with pytest.raises(ConfigError, match="region"):
        opened(kind, base_url=base_url)


def test_address_of_the_same_region_or_of_a_tunnel_is_taken() -> None:
    for base_url in ("https://bedrock-mantle.eu-central-1.api.aws/v1", "https://us-east-1.example"):
        assert opened("bedrock", base_url=base_url).capabilities.region == "eu"
