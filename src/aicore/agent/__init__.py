"""The turn: from an incoming message to the reply, or to a wait."""
