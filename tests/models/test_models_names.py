"""`aicore.models` gives its names and imports only what is used."""

import subprocess
import sys

import pytest

import aicore.models


@pytest.mark.parametrize("name", aicore.models.__all__)
def test_every_name_is_there(name: str) -> None:
    assert getattr(aicore.models, name) is not None
    assert name in dir(aicore.models)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        _ = aicore.models.nonsense


@pytest.mark.parametrize(
    ("statement", "heavy"),
    [
        ("import aicore.models", {"httpx2", "pydantic", "pydantic_core", "mcp"}),
        ("from aicore.models import ScriptedProvider", {"httpx2", "pydantic_core", "mcp"}),
        ("from aicore.models import OpenAICompatible", {"httpx2", "pydantic", "mcp"}),
        ("from aicore.models import find_local, open_provider", {"httpx2", "pydantic", "mcp"}),
    ],
)
def test_import_loads_nothing_heavy(statement: str, heavy: set[str]) -> None:
    source = f"import sys; {statement}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=True
    ).stdout.split()

    assert set(loaded) & heavy == set()
