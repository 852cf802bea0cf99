"""How our fields are kept in HubSpot unless a mapping file says otherwise.

Names of properties as in HubSpot's default properties, read 2026-11. What an account does not
have is left out; `firstname+lastname` is one field of ours in two of HubSpot's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from aicore_tools.crm.mapping import FieldRule
from aicore_tools.crm.records import LogKind

__all__ = ["DEFAULTS", "FULL_NAME", "OPERATION", "Default"]

OPERATION = "aicore_op"
"""The property with unique values by which a repeated creation is recognised."""
FULL_NAME = "hs_full_name_or_email"
"""The calculated property by which contacts are found and sorted by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Default:
    """One type of ours as one object of HubSpot's.

    `written` is set on every creation. `title` names a record in links.
    """

    type: str
    object: str
    title: tuple[str, ...]
    fields: Mapping[str, FieldRule]
    kind: LogKind | None = None
    created: str = "hs_createdate"
    updated: str = "hs_lastmodifieddate"
    written: Mapping[str, str] = field(default_factory=dict)


def _rules(**properties: str | FieldRule) -> Mapping[str, FieldRule]:
    return {
        name: FieldRule(property=rule) if isinstance(rule, str) else rule
        for name, rule in properties.items()
    }


_PLACE = {"address": "address", "city": "city", "postcode": "zip", "country": "country"}
_OWNER = "hubspot_owner_id"
_DONE = FieldRule(property="hs_task_status", kind="flag")


def _activity(kind: LogKind, plural: str, body: str, **written: str) -> Default:
    return Default(
        type="note",
        kind=kind,
        object=plural,
        title=(body,),
        fields=_rules(text=body, at="hs_timestamp", owner=_OWNER),
        written=written,
    )


DEFAULTS = (
    Default(
        type="contact",
        object="contacts",
        title=("firstname", "lastname", "email"),
        created="createdate",
        updated="lastmodifieddate",
        fields=_rules(
            name="firstname+lastname",
            email="email",
            phone="phone",
            company="company",
            title="jobtitle",
            status="lifecyclestage",
            language="hs_language",
            birthday="date_of_birth",
            owner=_OWNER,
            **_PLACE,
        ),
    ),
    Default(
        type="company",
        object="companies",
        title=("name",),
        created="createdate",
        fields=_rules(
            name="name",
            domain="domain",
            phone="phone",
            industry="industry",
            status="lifecyclestage",
            remarks="description",
            owner=_OWNER,
            **_PLACE,
        ),
    ),
    Default(
        type="deal",
        object="deals",
        title=("dealname",),
        created="createdate",
        fields=_rules(
            name="dealname",
            stage="dealstage",
            pipeline="pipeline",
            amount_minor=FieldRule(property="amount", kind="integer", decimals=2),
            currency="deal_currency_code",
            close_date=FieldRule(property="closedate", kind="date"),
            remarks="description",
            owner=_OWNER,
        ),
    ),
    Default(
        type="ticket",
        object="tickets",
        title=("subject",),
        created="createdate",
        fields=_rules(
            subject="subject",
            description="content",
            status="hs_pipeline_stage",
            pipeline="hs_pipeline",
            priority="hs_ticket_priority",
            owner=_OWNER,
        ),
    ),
    Default(
        type="product",
        object="products",
        title=("name",),
        created="createdate",
        fields=_rules(
            name="name",
            sku="hs_sku",
            description="description",
            price_minor=FieldRule(property="price", kind="integer", decimals=2),
        ),
    ),
    Default(
        type="task",
        object="tasks",
        kind="task",
        title=("hs_task_subject",),
        fields=_rules(
            text="hs_task_subject",
            due="hs_timestamp",
            is_done=_DONE,
            done_at=FieldRule(property="hs_task_completion_date", read_only=True),
            owner=_OWNER,
        ),
    ),
    _activity("note", "notes", "hs_note_body"),
    _activity("call", "calls", "hs_call_body", hs_call_status="COMPLETED"),
    _activity("meeting", "meetings", "hs_meeting_body"),
    _activity("email", "emails", "hs_email_text", hs_email_direction="EMAIL"),
)
