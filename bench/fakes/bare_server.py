"""The least MCP server there is, over stdio: what any server costs before it does anything."""

from __future__ import annotations

from mcp.server import MCPServer

server = MCPServer("bare", version="1.0.0", log_level="ERROR")


@server.tool()
async def echo(text: str) -> str:
    """Say it back."""
    return text


if __name__ == "__main__":
    server.run("stdio")
