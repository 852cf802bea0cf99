"""The ways in: customer chat, staff dashboard, HTTP API. Not built yet."""
