"""Contacts, companies, deals, tickets, products, tasks and notes."""

from aicore_tools.crm.port import CustomerDirectory
from aicore_tools.crm.records import Entry, Filter, Page, Record, Ref, Search, UpsertResult
from aicore_tools.crm.registry import BACKENDS, CrmSettings, directory
from aicore_tools.crm.service import CrmService, RecordInput

__all__ = [
    "BACKENDS",
    "CrmService",
    "CrmSettings",
    "CustomerDirectory",
    "Entry",
    "Filter",
    "Page",
    "Record",
    "RecordInput",
    "Ref",
    "Search",
    "UpsertResult",
    "directory",
]
