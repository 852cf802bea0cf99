"""The calendars behind the port, one file a system."""
