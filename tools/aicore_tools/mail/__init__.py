"""Drafts, sending, searching and reading mail."""

from aicore_tools.mail.addresses import parse_address
from aicore_tools.mail.port import Mailbox
from aicore_tools.mail.records import Address, Draft, Mail, MailPage, MailSearch, Sent
from aicore_tools.mail.registry import BACKENDS, mailbox
from aicore_tools.mail.service import DraftInput, MailService, Reading

__all__ = [
    "BACKENDS",
    "Address",
    "Draft",
    "DraftInput",
    "Mail",
    "MailPage",
    "MailSearch",
    "MailService",
    "Mailbox",
    "Reading",
    "Sent",
    "mailbox",
    "parse_address",
]
