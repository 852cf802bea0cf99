"""Connections to MCP servers, the tool catalog and the dispatcher."""
