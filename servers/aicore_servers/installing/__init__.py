"""`aicore install`: gives the servers to Claude, Cursor or VS Code."""
