"""Model backends behind the Provider port, one file a dialect."""
