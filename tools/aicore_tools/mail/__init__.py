"""Drafts, sending, searching, reading and organizing mail."""

from aicore_tools.mail.addresses import parse_address
from aicore_tools.mail.drafting import AttachmentInput, DraftInput
from aicore_tools.mail.port import Mailbox
from aicore_tools.mail.reading import Opened, Reading
from aicore_tools.mail.recipients import Recipients
from aicore_tools.mail.records import (
    Address,
    Draft,
    Folder,
    Mail,
    MailPage,
    MailSearch,
    Organized,
    SavedDraft,
    Sent,
)
from aicore_tools.mail.registry import BACKENDS, MailboxSettings, mailbox
from aicore_tools.mail.service import MailService

__all__ = [
    "BACKENDS",
    "Address",
    "AttachmentInput",
    "Draft",
    "DraftInput",
    "Folder",
    "Mail",
    "MailPage",
    "MailSearch",
    "MailService",
    "Mailbox",
    "MailboxSettings",
    "Opened",
    "Organized",
    "Reading",
    "Recipients",
    "SavedDraft",
    "Sent",
    "mailbox",
    "parse_address",
]
