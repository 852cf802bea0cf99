"""Who may do what: the policy asked before every call."""

from aicore.trust.policy import Allow, AllowAll, Ask, Decision, Deny, Policy

__all__ = ["Allow", "AllowAll", "Ask", "Decision", "Deny", "Policy"]
