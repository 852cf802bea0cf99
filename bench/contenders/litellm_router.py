"""LiteLLM's Router as its documentation shows it: a peer, in an environment of its own."""

from __future__ import annotations

import os
from typing import Any, Self

from dialogue import INSTRUCTIONS, MODEL

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else its import asks the network
os.environ["REPEATED_STREAMING_CHUNK_LIMIT"] = "100000"  # the stand-in says one word all the time

from litellm import Router


class LiteLLMRouter:
    """A Router over two deployments of one model; the caller keeps the history."""

    def __init__(self, model_url: str) -> None:
        deployment = {"model": f"openai/{MODEL}", "api_base": model_url, "api_key": "none"}
        one = {"model_name": "bench", "litellm_params": deployment}
        self._router = Router(model_list=[one, {**one, "litellm_params": {**deployment}}])
        self._history: dict[str, list[dict[str, Any]]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        pass

    def _ask(self, conversation: str, text: str) -> list[dict[str, Any]]:
        system = {"role": "system", "content": INSTRUCTIONS}
        messages = self._history.setdefault(conversation, [system])
        messages.append({"role": "user", "content": text})
        return messages

    async def send(self, conversation: str, text: str) -> str:
        """One turn."""
        messages = self._ask(conversation, text)
        response = await self._router.acompletion(model="bench", messages=messages)
        answer: str = response.choices[0].message.content
        messages.append({"role": "assistant", "content": answer})
        return answer

    async def stream(self, conversation: str, text: str) -> str:
        """One turn, streamed."""
        messages = self._ask(conversation, text)
        response = await self._router.acompletion(model="bench", messages=messages, stream=True)
        answer = "".join([chunk.choices[0].delta.content or "" async for chunk in response])
        messages.append({"role": "assistant", "content": answer})
        return answer
