"""What is remembered of customers and of the business, beyond one conversation."""
