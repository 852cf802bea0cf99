"""One conversation over an own model and a rented one: who answers what, and why."""
