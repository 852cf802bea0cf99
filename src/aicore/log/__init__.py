"""The event log: the only truth about conversations."""
