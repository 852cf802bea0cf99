"""Backends of the mailbox, one file each."""
