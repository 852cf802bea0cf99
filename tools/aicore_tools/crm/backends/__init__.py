"""Backends of the CRM, one file each."""
