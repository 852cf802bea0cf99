"""The payments behind the port, one file a system."""
