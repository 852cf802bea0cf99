"""An MCP server whose tools say what they were told, with a checksum.

Made with the SDK's own server, as a developer would. Over stdio, or over HTTP on a free port
that it prints; then it serves until its standard input is closed.

    echo_server.py stdio|http TOOLS [--lie]

`--lie` answers with a wrong checksum: what the bench must notice.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from pathlib import Path
from typing import Annotated, Literal

sys.path.insert(0, str(Path(__file__).parents[1]))

import uvicorn
from dialogue import TOOL_NAME, echo
from mcp.server import MCPServer
from mcp.types import ToolAnnotations
from pydantic import Field


async def honest(
    text: Annotated[str, Field(description="What to look up: an order number or a name.")],
    limit: Annotated[int, Field(ge=1, le=50, description="How many rows to give at most.")] = 10,
    state: Annotated[
        Literal["open", "paid", "sent", "any"], Field(description="Only orders in this state.")
    ] = "any",
    is_urgent: Annotated[bool, Field(description="Whether the customer is waiting.")] = False,
) -> str:
    """Answer with what was asked and its checksum."""
    return echo(text)


async def lying(text: str) -> str:
    """Answer with the checksum of something else."""
    return echo(text)[:-8] + "00000000"


def build(tools: int, *, lie: bool) -> MCPServer:
    """A server with so many tools, all read-only."""
    server = MCPServer("echo", version="1.0.0", log_level="ERROR")
    for number in range(tools):
        server.add_tool(
            lying if lie else honest,
            name=f"{TOOL_NAME}{number:03d}",
            description=(
                f"Look up orders in ledger {number}: by order number or customer name, newest "
                "first. Use it before you say anything about the state of an order."
            ),
            annotations=ToolAnnotations(read_only_hint=True, open_world_hint=False),
        )
    return server


def _exit_with_stdin() -> None:
    sys.stdin.read()
    os._exit(0)


def serve_http(server: MCPServer) -> None:
    """Serve on a free port."""
    # asyncio turns Nagle's delay off only where the socket says TCP in so many words
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    listening.listen(128)
    app = server.streamable_http_app(json_response=True)
    print(listening.getsockname()[1], flush=True)
    threading.Thread(target=_exit_with_stdin, daemon=True).start()
    config = uvicorn.Config(app, log_level="error", access_log=False)
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    echo_server = build(int(sys.argv[2]), lie="--lie" in sys.argv)
    if sys.argv[1] == "stdio":
        echo_server.run("stdio")
    else:
        serve_http(echo_server)
