"""A server that says of its connection what it is told: the text, or `FAIL`."""

import sys

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ResourceError

server = MCPServer("odd", version="1")


@server.resource("aicore://connection")
def connection() -> str:
    if sys.argv[1] == "FAIL":
        raise ResourceError("the vendor does not answer")
    return sys.argv[1]


@server.tool()
def nothing() -> str:
    """Do nothing."""
    return ""


server.run("stdio")
