"""Who may do what: the policy asked before every call."""
