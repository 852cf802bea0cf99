"""Answers from the business's own facts, and hands over to a person when they end."""
