"""What the tools cost in every request: counted as the models of 2026 count."""

import json
import warnings
from pathlib import Path
from typing import Any

from mcp import Client

from aicore_servers._serve import ServeSettings
from aicore_servers.business import create

TOOLS_TOKENS = 5_000
INSTRUCTIONS_TOKENS = 700


def tokens(text: str) -> int:
    with warnings.catch_warnings():
        # How it reads its own data, on Python 3.11 and 3.12: nothing we could change.
        warnings.filterwarnings("ignore", "open_binary is deprecated", DeprecationWarning)
        import bpe_openai

        encoding = bpe_openai.get_encoding("o200k_base")
    return len(encoding.encode(text))


async def test_all_tools_together_stay_under_their_budget(tmp_path: Path) -> None:
    async with Client(create(ServeSettings(data_dir=tmp_path))) as client:
        listed = (await client.list_tools()).model_dump(
            mode="json", by_alias=True, exclude_none=True
        )
        instructions = client.instructions or ""
    by_domain: dict[str, int] = {}
    tools: list[dict[str, Any]] = listed["tools"]
    for tool in tools:
        del tool["_meta"]  # is for programs: no client shows it to a model
        domain = tool["name"].partition("_")[0]
        cost = tokens(json.dumps(tool, separators=(",", ":"), ensure_ascii=False))
        by_domain[domain] = by_domain.get(domain, 0) + cost
    whole = tokens(json.dumps(tools, separators=(",", ":"), ensure_ascii=False))
    assert whole < TOOLS_TOKENS, by_domain
    assert tokens(instructions) < INSTRUCTIONS_TOKENS
    assert all("outputSchema" not in tool for tool in tools)
