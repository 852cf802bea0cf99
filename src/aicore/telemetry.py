"""Names of spans, metrics and attributes, in one place."""
