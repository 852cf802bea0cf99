"""MCP servers over the business domains."""
