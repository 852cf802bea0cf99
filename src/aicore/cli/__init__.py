"""The `aicore` command."""
