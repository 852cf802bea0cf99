"""The public surface is a list: internals move without breaking anyone."""

import importlib
from collections.abc import Sequence
from typing import Any

import pytest

PUBLIC = {
    "aicore": [
        "Agent",
        "AicoreError",
        "CallFinished",
        "CallRecord",
        "CallStarted",
        "ContextLimits",
        "DispatchLimits",
        "Limits",
        "Principal",
        "Replied",
        "Reply",
        "Server",
        "StreamEvent",
        "TextDelta",
        "Waiting",
        "tool",
    ],
    "aicore.cli": [
        "main",
    ],
    "aicore.config": [
        "AgentSettings",
        "BudgetSettings",
        "CallSettings",
        "ClassSettings",
        "ContextSettings",
        "EmbedderSettings",
        "LimitSettings",
        "LogSettings",
        "MemorySettings",
        "OwnPrice",
        "PrivacySettings",
        "RouterSettings",
        "ServerSettings",
        "Settings",
        "TelemetrySettings",
        "load",
    ],
    "aicore.flows": [
        "Assistant",
        "FlowProvider",
        "FlowTestResult",
        "load_assistant",
        "run_flow_tests",
    ],
    "aicore.log": [
        "Claim",
        "Event",
        "EventLog",
        "MemoryLog",
        "OpenTurn",
        "Received",
        "SQLiteLog",
        "Stored",
    ],
    "aicore.memory": ["Memory", "MemoryLimits", "PostgresMemory", "SQLiteMemory"],
    "aicore.telemetry": ["ChatWatch", "Telemetry", "ToolWatch", "names"],
    "aicore.models": [
        "Anthropic",
        "Capabilities",
        "Completion",
        "FoundServer",
        "Gemini",
        "InProcess",
        "OpenAICompatible",
        "OutputSchema",
        "Price",
        "Provider",
        "Request",
        "Router",
        "ScriptedProvider",
        "TextDelta",
        "Timeouts",
        "complete_as",
        "find_local",
        "open_provider",
    ],
    "aicore.models.budget": [
        "Budget",
        "BudgetLimits",
        "Ledger",
        "MemoryLedger",
        "PostgresLedger",
        "Reservation",
        "SQLiteLedger",
        "Spent",
        "open_ledger",
    ],
    "aicore.models.router": [
        "Clock",
        "DataRule",
        "DataRules",
        "Member",
        "Router",
        "RouterLimits",
        "SystemClock",
    ],
    "aicore.trust": [
        "Allow",
        "AllowAll",
        "Ask",
        "Decision",
        "Deny",
        "Policy",
    ],
    "aicore_tools.calendars": [
        "Agenda",
        "AgendaSettings",
        "Answer",
        "Attendee",
        "BACKENDS",
        "Booked",
        "Booking",
        "Calendar",
        "CalendarService",
        "CancelPlan",
        "CreatePlan",
        "Edit",
        "Event",
        "EventsAsked",
        "EventsGiven",
        "FreeAsked",
        "FreeTimes",
        "InviteeRules",
        "NewEvent",
        "OpeningHours",
        "RespondPlan",
        "Span",
        "Terms",
        "TimeGiven",
        "Timing",
        "UpdatePlan",
        "agenda",
    ],
    "aicore_tools.crm": [
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
    ],
    "aicore_tools.mail": [
        "Address",
        "AttachmentInput",
        "BACKENDS",
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
    ],
    "aicore_tools.payments": [
        "BACKENDS",
        "Bill",
        "Customer",
        "CustomerPlan",
        "DayLimit",
        "Dispute",
        "Entry",
        "FindAsked",
        "Found",
        "Invoice",
        "Ledger",
        "LedgerSettings",
        "Line",
        "LineGiven",
        "Link",
        "Payment",
        "PaymentRules",
        "PaymentService",
        "Payout",
        "Product",
        "ProductGiven",
        "ProductPlan",
        "Refund",
        "RefundGiven",
        "RefundPlan",
        "ReportAsked",
        "ReportMade",
        "StepPlan",
        "Subscription",
        "SubscriptionGiven",
        "SubscriptionPlan",
        "amount_text",
        "currency_code",
        "ledger",
    ],
}
"""Every package that declares public names, and the names. Adding one is a decision."""


def declared(modules: Sequence[Any]) -> list[str]:
    return [module.name for module in modules if "__all__" in module.text]


@pytest.mark.parametrize("package", PUBLIC)
def test_public_names_are_the_listed_ones(package: str) -> None:
    assert sorted(importlib.import_module(package).__all__) == PUBLIC[package]


def test_packages_with_public_names_are_the_listed_ones(modules: Sequence[Any]) -> None:
    packages = {m.name for m in modules if m.path.name == "__init__.py" and "__all__" in m.text}

    assert packages == PUBLIC.keys()


def test_every_public_name_exists(modules: Sequence[Any]) -> None:
    missing = [
        f"{name}.{public}"
        for name in declared(modules)
        for public in importlib.import_module(name).__all__
        if not hasattr(importlib.import_module(name), public)
    ]

    assert missing == []


def test_public_names_say_what_they_do() -> None:
    """A public class or function has a docstring of its own."""
    silent = [
        f"{package}.{public}"
        for package, names in PUBLIC.items()
        for public in names
        if callable(getattr(importlib.import_module(package), public))
        and not getattr(importlib.import_module(package), public).__doc__
    ]

    assert silent == []
