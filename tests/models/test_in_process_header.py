"""The head of a model file, whole and broken."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.models.tiny_gguf import TRAINED_TOKENS, write_tiny_gguf

from aicore.errors import ConfigError
from aicore.models.in_process_header import read_header


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gguf(tmp_path_factory.mktemp("models") / "tiny.gguf")


def test_facts_are_read(tiny: Path) -> None:
    header = read_header(tiny)

    assert header.file_bytes == tiny.stat().st_size
    assert header.trained_tokens == TRAINED_TOKENS
    # 2 layers, 2 heads of 16 numbers for keys and for values, 2 bytes each
    assert header.cache_bytes_per_token == 2 * 2 * (16 + 16) * 2
    assert header.needed_bytes(1000) == header.file_bytes + 256_000


def test_head_that_is_cut_anywhere_is_a_config_error(tiny: Path, tmp_path: Path) -> None:
    whole, path = tiny.read_bytes(), tmp_path / "cut.gguf"
    for length in range(0, whole.index(b"tokenizer."), 3):
        path.write_bytes(whole[:length])
        with pytest.raises(ConfigError):
            read_header(path)


@settings(max_examples=200, deadline=None)
@given(where=st.integers(4, 700), junk=st.binary(min_size=1, max_size=16))
def test_damage_is_a_config_error_or_harmless(tiny: Path, where: int, junk: bytes) -> None:
    path = tiny.with_name("damaged.gguf")
    whole = tiny.read_bytes()[:4000]
    path.write_bytes(whole[:where] + junk + whole[where + len(junk) :])
    try:
        header = read_header(path)
    except ConfigError:
        return
    assert header.trained_tokens is None or header.trained_tokens > 0
