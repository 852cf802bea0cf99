"""`aicore connect`: connects the servers to what a business already uses."""
