"""Drafts a follow-up newsletter mail from a CRM segment and leaves it for review."""
