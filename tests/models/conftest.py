"""Requests and providers for the tests of models."""

import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from aicore.models import Completion, OpenAICompatible, Request
from aicore.records import Message, Prefix


@pytest.fixture
def ask() -> Callable[..., Request]:
    """Make a request from one user text."""

    def make(text: str = "hi", **changes: Any) -> Request:
        fields: dict[str, Any] = {
            "prefix": Prefix("Be kind."),
            "tail": [Message(role="user", text=text)],
        }
        return Request(**{**fields, **changes})

    return make


@pytest.fixture
def collect() -> Callable[..., Any]:
    """Run a stream to its end: gives the deltas and the completion."""

    async def run(provider: OpenAICompatible, request: Request) -> tuple[list[str], Completion]:
        *deltas, last = [item async for item in provider.stream(request)]
        assert isinstance(last, Completion)
        return [item.delta for item in deltas], last

    return run


@pytest.fixture
def self_signed(tmp_path: Path) -> ssl.SSLContext:
    """The server's side of TLS with a certificate that no machine trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    path = tmp_path / "certificate.pem"
    path.write_bytes(
        certificate.public_bytes(pem)
        + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context
