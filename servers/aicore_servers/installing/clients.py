"""The clients that can be given our servers: where each keeps its configuration, and its form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["CLIENTS", "Client", "Place"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A machine and its user, as far as paths depend on them. `platform` as in sys.platform."""

    platform: str
    home: Path
    folder: Path
    environment: Mapping[str, str]

    def configuration(self) -> Path:
        """Give the folder in which programs keep what a person has set."""
        if self.platform == "darwin":
            return self.home / "Library" / "Application Support"
        if self.platform == "win32":
            return Path(self.environment.get("APPDATA") or self.home / "AppData" / "Roaming")
        return Path(self.environment.get("XDG_CONFIG_HOME") or self.home / ".config")


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One client. `section` is the object that holds its servers; `then` is what to do after."""

    name: str
    title: str
    path: Callable[[Place], Path]
    section: str
    needs_type: bool
    then: str


def _desktop(place: Place) -> Path:
    """Claude Desktop; from the Windows store it sees a folder of its own as %APPDATA%."""
    folder = place.configuration() / "Claude"
    if place.platform == "win32" and not folder.exists():
        packages = Path(place.environment.get("LOCALAPPDATA") or place.home / "AppData" / "Local")
        found = sorted(packages.glob("Packages/Claude_*/LocalCache/Roaming/Claude"))
        folder = found[0] if found else folder
    return folder / "claude_desktop_config.json"


CLIENTS: Mapping[str, Client] = {
    client.name: client
    for client in (
        # https://modelcontextprotocol.io/docs/develop/connect-local-servers
        Client(
            name="claude",
            title="Claude Desktop",
            path=_desktop,
            section="mcpServers",
            needs_type=False,
            then="Quit Claude and start it again.",
        ),
        # https://code.claude.com/docs/en/mcp: the file of a project
        Client(
            name="claude-code",
            title="Claude Code, in this folder",
            path=lambda place: place.folder / ".mcp.json",
            section="mcpServers",
            needs_type=True,
            then="Start claude in this folder and approve the server.",
        ),
        # https://cursor.com/docs/mcp
        Client(
            name="cursor",
            title="Cursor",
            path=lambda place: place.home / ".cursor" / "mcp.json",
            section="mcpServers",
            needs_type=False,
            then="Restart Cursor and see that the server is switched on.",
        ),
        # https://code.visualstudio.com/docs/agents/reference/mcp-configuration
        Client(
            name="vscode",
            title="VS Code",
            path=lambda place: place.configuration() / "Code" / "User" / "mcp.json",
            section="servers",
            needs_type=True,
            then="Start the server from that file, or by MCP: List Servers.",
        ),
    )
}
