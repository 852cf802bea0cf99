"""Which hosts are machines of the business: sensitive data is routed by the answer."""

import pytest

from aicore.models.locality import is_own_host, is_passed_on

OWN = """localhost LOCALHOST shop.localhost 127.0.0.1 127.9.9.9 ::1 10.1.2.3 172.16.0.1 192.168.0.9
fd00::1 fe80::1 fe80::1%eth0 169.254.1.1 ollama gpu-box llm_1 nas.local gpu.home.arpa gpu.internal
::ffff:10.0.0.1 localhost."""
OTHERS = """api.openai.com 8.8.8.8 2606:4700::1111 172.32.0.1 ::ffff:8.8.8.8 local.example.com
localhost.example.com 10.example.com 134744072 0x8080808 1.1 evil-localhost.com 100.64.0.1
example.com. internal.example.com
ai cm ai. com. ollama. xn--p1ai
2001:0:808:808::1 64:ff9b::808:808 2002:808:808::1 192.0.2.1 198.18.0.1 240.0.0.1"""


@pytest.mark.parametrize("host", OWN.split())
def test_own_machines(host: str) -> None:
    assert is_own_host(host)


@pytest.mark.parametrize("host", [*OTHERS.split(), ""])
def test_machines_of_others(host: str) -> None:
    assert not is_own_host(host)


def test_models_that_a_local_server_passes_on() -> None:
    assert is_passed_on("gpt-oss:120b-cloud")
    assert is_passed_on("GLM-4.6:Cloud")
    assert not is_passed_on("cloudy:8b")
    assert not is_passed_on("llama3.3")
