"""What every sandbox has: a label on each answer, faults on demand, and a look inside."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["CUT", "Sandboxed"]

LABEL = "x-aicore-sandbox"
CUT = "cut"
"""In the ASGI scope's state: closes the connection at once. The server under a sandbox gives it."""


class _Fault(BaseModel):
    """One kind of failure, for requests whose `METHOD /path` matches the pattern `on`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    on: str
    kind: Literal["drop_before", "drop_after", "status"]
    status: int = 500
    headers: dict[str, str] = {}
    body: dict[str, Any] = {}
    times: int = 1


_FAULTS = TypeAdapter(_Fault)


@dataclass(slots=True)
class Sandboxed:
    """An ASGI app around a sandbox's own.

    `state` gives what `GET /_sandbox/state` shows, `reset` empties the sandbox. A fault (`POST
    /_sandbox/faults`, the fields of `_Fault`) acts on the next `times` requests that match `on`,
    a regular expression over `METHOD /path`: `drop_before` closes the connection without acting,
    `drop_after` acts and closes it, `status` answers so without acting.
    """

    app: ASGIApp
    name: str
    state: Callable[[], Mapping[str, Any]]
    reset: Callable[[], None]
    _faults: list[_Fault] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        labelled = self._labelled(send)
        if scope["path"].startswith("/_sandbox/"):
            answer = await self._control(Request(scope, receive))
            await answer(scope, receive, labelled)
            return
        fault = self._next_fault(f"{scope['method']} {scope['path']}")
        if fault is None:
            await self.app(scope, receive, labelled)
        elif fault.kind == "status":
            answer = JSONResponse(fault.body, fault.status, fault.headers)
            await answer(scope, receive, labelled)
        else:
            if fault.kind == "drop_after":
                await self.app(scope, receive, _nowhere)
            scope["state"][CUT]()
            while (await receive())["type"] != "http.disconnect":
                pass

    def _labelled(self, send: Send) -> Send:
        label = (LABEL.encode(), f"{self.name} (not the vendor)".encode())

        async def labelled(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), label]
            await send(message)

        return labelled

    def _next_fault(self, request: str) -> _Fault | None:
        for fault in self._faults:
            if re.search(fault.on, request):
                fault.times -= 1
                if fault.times <= 0:
                    self._faults.remove(fault)
                return fault
        return None

    async def _control(self, request: Request) -> Response:
        match request.method, request.url.path:
            case "GET", "/_sandbox/state":
                return JSONResponse(dict(self.state()))
            case "POST", "/_sandbox/reset":
                self._faults.clear()
                self.reset()
                return JSONResponse({})
            case "POST", "/_sandbox/faults":
                try:
                    self._faults.append(_FAULTS.validate_json(await request.body()))
                except ValidationError as error:
                    return JSONResponse({"error": json.loads(error.json())}, 400)
                return JSONResponse({})
        return JSONResponse({"error": "There are state, faults and reset."}, 404)


async def _nowhere(_: Message) -> None:
    """Take an answer that nobody gets."""
