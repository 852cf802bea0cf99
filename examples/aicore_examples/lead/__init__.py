"""Captures a lead: a contact in the CRM and a task for a person to call back."""
