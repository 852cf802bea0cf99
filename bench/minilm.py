"""all-MiniLM-L6-v2 in numpy, from a folder of its weights: an Embedder for measuring recall.

The model of https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2: six BERT layers, the
mean of the last over all tokens, of length 1. Set OPENBLAS_NUM_THREADS=1 before numpy is
imported: threads only cost time at this size.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
from tokenizers import Tokenizer

_HEADS = 12
_LAYERS = 6
_MOST_TOKENS = 256


class MiniLM:
    """`folder` holds model.safetensors and tokenizer.json."""

    name = "minilm"
    model = "all-MiniLM-L6-v2"
    locality: Literal["in_process", "local", "managed"] = "in_process"

    def __init__(self, folder: Path) -> None:
        self._weights = _read_safetensors(folder / "model.safetensors")
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(_MOST_TOKENS)

    async def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """One vector of 384 numbers a text."""
        return [self._embed(text) for text in texts]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        return None

    def _embed(self, text: str) -> list[float]:
        ids = self._tokenizer.encode(text).ids
        state = self._norm(
            self._weights["embeddings.word_embeddings.weight"][ids]
            + self._weights["embeddings.position_embeddings.weight"][: len(ids)]
            + self._weights["embeddings.token_type_embeddings.weight"][0],
            "embeddings.LayerNorm",
        )
        for number in range(_LAYERS):
            state = self._layer(state, f"encoder.layer.{number}")
        mean = state.mean(axis=0)
        vector: list[float] = (mean / np.linalg.norm(mean)).tolist()
        return vector

    def _layer(self, state: Any, name: str) -> Any:
        size = state.shape[1] // _HEADS
        query, key, value = (
            self._linear(state, f"{name}.attention.self.{part}")
            .reshape(-1, _HEADS, size)
            .swapaxes(0, 1)
            for part in ("query", "key", "value")
        )
        scores = query @ key.swapaxes(1, 2) / np.sqrt(size)
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        mixed = (weights @ value).swapaxes(0, 1).reshape(state.shape)
        mixed = self._linear(mixed, f"{name}.attention.output.dense")
        state = self._norm(state + mixed, f"{name}.attention.output.LayerNorm")
        inner = _gelu(self._linear(state, f"{name}.intermediate.dense"))
        inner = self._linear(inner, f"{name}.output.dense")
        return self._norm(state + inner, f"{name}.output.LayerNorm")

    def _linear(self, state: Any, name: str) -> Any:
        return state @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]

    def _norm(self, state: Any, name: str) -> Any:
        centred = state - state.mean(axis=-1, keepdims=True)
        spread = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-12)
        return centred / spread * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]


def _gelu(values: Any) -> Any:
    # 0.5 x (1 + erf(x / sqrt 2)) by Abramowitz and Stegun 7.1.26, exact to 1.5e-7.
    at = np.abs(values) * np.float32(1 / np.sqrt(2))
    part = 1 / (1 + np.float32(0.3275911) * at)
    terms = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)
    total = np.zeros_like(values)
    for term in terms:
        total = (total + np.float32(term)) * part
    erf = np.sign(values) * (1 - total * np.exp(-at * at))
    return 0.5 * values * (1 + erf)


def _read_safetensors(path: Path) -> dict[str, Any]:
    """Read tensors: https://github.com/huggingface/safetensors#format."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    tensors = {}
    for name, told in header.items():
        if name != "__metadata__" and told["dtype"] == "F32":
            start, end = (8 + size + offset for offset in told["data_offsets"])
            tensors[name] = np.frombuffer(data[start:end], "<f4").reshape(told["shape"])
    return tensors
