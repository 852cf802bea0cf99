"""Writes a tiny llama of random weights as GGUF: under 500 KB, the same for the same seed.

llama.cpp loads it and speaks its real protocol; what it says is noise. One thing is not random: the
last number of every embedding is a constant, so a weight in the last column of an output row makes
its token likely. Thus a tool call is opened as soon as the grammar allows one, JSON ends soon, and
the model stops. That is a device for tests; it says nothing of how a model chooses.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np

WIDTH, LAYERS, HEADS, KV_HEADS, FEED_FORWARD = 64, 2, 4, 2, 128
TRAINED_TOKENS = 8192
SPREAD = 0.05
SIGNAL = 4.0
CALL_OPEN, CALL_CLOSE, END = "<tool_call>", "</tool_call>", "<|im_end|>"
BIASES = {CALL_OPEN: 2.0, END: 1.9, '"': 0.35, "}": 0.35, "]": 0.35}
"""A call before the end, and the end before anything else."""
ENDLESS = {"a": 1.0, END: -20.0}
"""For a model that never stops of itself."""

# The grammar of calls is derived from how past calls are printed: without that branch there are
# none, and a line break between tag and JSON keeps the model from opening one.
TEMPLATE = """\
{%- if tools %}<|im_start|>system
{%- for tool in tools %}
{{ tool | tojson }}
{%- endfor %}
Call: <tool_call>{"name": <name>, "arguments": <object>}</tool_call><|im_end|>
{% endif %}
{%- for message in messages %}
{%- if message.role == "assistant" and message.tool_calls %}<|im_start|>assistant
{%- if message.content %}
{{ message.content }}
{%- endif %}
{%- for call in message.tool_calls %}
<tool_call>{"name": "{{ call.function.name }}", \
"arguments": {{ call.function.arguments | tojson }}}</tool_call>
{%- endfor %}<|im_end|>
{% elif message.role == "tool" %}<|im_start|>user
<tool_response>{{ message.content }}</tool_response><|im_end|>
{% else %}<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


@dataclass(frozen=True)
class Vocabulary:
    """Tokens with their kinds: control tokens, all bytes, printable ASCII, the tags of calls."""

    tokens: list[str]
    kinds: list[int]
    scores: list[float]


def vocabulary() -> Vocabulary:
    control = ["<s>", "</s>", "<|im_start|>", END]
    single_bytes = [f"<0x{value:02X}>" for value in range(256)]
    plain = [chr(code) for code in range(33, 127)] + ["\u2581"]  # this one is a space
    tags = [CALL_OPEN, CALL_CLOSE]
    kind = gguf.TokenType
    kinds = [kind.UNKNOWN] + [kind.CONTROL] * len(control) + [kind.BYTE] * len(single_bytes)
    kinds += [kind.NORMAL] * len(plain) + [kind.USER_DEFINED] * len(tags)
    scores = [0.0] * (1 + len(control)) + [-1000.0] * len(single_bytes)
    scores += [-float(rank) for rank in range(len(plain) + len(tags))]
    return Vocabulary(
        ["<unk>", *control, *single_bytes, *plain, *tags], [int(one) for one in kinds], scores
    )


def write_tiny_gguf(path: Path, *, seed: int = 0, biases: Mapping[str, float] = BIASES) -> Path:
    """Write the model; gives its path."""
    words = vocabulary()
    writer = gguf.GGUFWriter(str(path), "llama")
    _describe(writer, words)
    _weigh(writer, words.tokens, np.random.default_rng(seed), biases)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _describe(writer: Any, words: Vocabulary) -> None:
    writer.add_name("tiny")
    writer.add_context_length(TRAINED_TOKENS)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(words.tokens))
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(words.tokens)
    writer.add_token_scores(words.scores)
    writer.add_token_types(words.kinds)
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(words.tokens.index(END))
    writer.add_add_bos_token(True)
    writer.add_add_space_prefix(False)  # with it no grammar can be primed: every call is a 400
    writer.add_chat_template(TEMPLATE)


def _weigh(
    writer: Any, tokens: list[str], random: np.random.Generator, biases: Mapping[str, float]
) -> None:
    def noise(rows: int, columns: int) -> np.ndarray:
        return (random.standard_normal((rows, columns)) * SPREAD).astype(np.float32)

    ones = np.ones(WIDTH, np.float32)
    embedding, output = noise(len(tokens), WIDTH), noise(len(tokens), WIDTH)
    embedding[:, -1] = SIGNAL
    output[:, -1] = 0.0
    for token, bias in biases.items():
        output[tokens.index(token), -1] = bias
    writer.add_tensor("token_embd.weight", embedding)
    writer.add_tensor("output_norm.weight", ones)
    writer.add_tensor("output.weight", output)
    kv_width = KV_HEADS * (WIDTH // HEADS)
    shapes = {"attn_q": (WIDTH, WIDTH), "attn_k": (kv_width, WIDTH), "attn_v": (kv_width, WIDTH)}
    shapes |= {"attn_output": (WIDTH, WIDTH), "ffn_gate": (FEED_FORWARD, WIDTH)}
    shapes |= {"ffn_up": (FEED_FORWARD, WIDTH), "ffn_down": (WIDTH, FEED_FORWARD)}
    for layer in range(LAYERS):
        writer.add_tensor(f"blk.{layer}.attn_norm.weight", ones)
        writer.add_tensor(f"blk.{layer}.ffn_norm.weight", ones)
        for name, shape in shapes.items():
            writer.add_tensor(f"blk.{layer}.{name}.weight", noise(*shape))
