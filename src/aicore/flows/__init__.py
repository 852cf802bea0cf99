"""Declared dialogues, and the provider that follows them without a model."""
