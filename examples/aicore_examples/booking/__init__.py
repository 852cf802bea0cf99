"""Books an appointment once, even when the customer's message is delivered twice."""
