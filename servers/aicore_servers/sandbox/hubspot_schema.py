"""The schema that the HubSpot sandbox starts with: some of an account's default properties."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = [
    "ALIASES",
    "LABEL_TYPES",
    "OBJECTS",
    "OWNERS",
    "PIPELINES",
    "SCHEMAS",
    "SEARCHED",
    "SINCE",
]

SINCE = "2026-01-01T00:00:00.000Z"
_LIFECYCLE = ("subscriber", "lead", "opportunity", "customer", "evangelist", "other")
_PLACE = {"address": "string", "city": "string", "zip": "string", "country": "string"}
_OWNED = {"hubspot_owner_id": "enumeration:owner"}
_SYSTEM = {"hs_object_id": "number:read", "hs_merged_object_ids": "enumeration:read"}

# name → type, with `:read` for read-only, `:unique`, `:html`, `:owner`, or `:option,option`.
_CREATED = {"createdate": "datetime:read", "hs_lastmodifieddate": "datetime:read", **_SYSTEM}
_ENGAGED = {
    "hs_createdate": "datetime:read",
    "hs_lastmodifieddate": "datetime:read",
    "hs_timestamp": "datetime",
    **_OWNED,
    **_SYSTEM,
}
_PROPERTIES: Mapping[str, Mapping[str, str]] = {
    "contacts": {
        "firstname": "string",
        "lastname": "string",
        "email": "string:unique",
        "phone": "string",
        "company": "string",
        "jobtitle": "string",
        "lifecyclestage": "enumeration:" + ",".join(_LIFECYCLE),
        "hs_language": "enumeration:en,de,fr,es,it,nl,pl,pt",
        "date_of_birth": "string",
        "hs_full_name_or_email": "string:read",
        "lastmodifieddate": "datetime:read",
        **_PLACE,
        **_OWNED,
        **_CREATED,
    },
    "companies": {
        "name": "string",
        "domain": "string",
        "phone": "string",
        "industry": "enumeration:BANKING,DENTISTRY,RETAIL,RESTAURANTS",
        "lifecyclestage": "enumeration:" + ",".join(_LIFECYCLE),
        "description": "string",
        **_PLACE,
        **_OWNED,
        **_CREATED,
    },
    "deals": {
        "dealname": "string",
        "dealstage": "enumeration:appointmentscheduled,qualifiedtobuy,contractsent,"
        "closedwon,closedlost",
        "pipeline": "enumeration:default",
        "amount": "number",
        "deal_currency_code": "enumeration:EUR,USD,JPY",
        "closedate": "datetime",
        "description": "string",
        **_OWNED,
        **_CREATED,
    },
    "tickets": {
        "subject": "string",
        "content": "string",
        "hs_pipeline": "enumeration:0",
        "hs_pipeline_stage": "enumeration:1,2,3,4",
        "hs_ticket_priority": "enumeration:LOW,MEDIUM,HIGH,URGENT",
        **_OWNED,
        **_CREATED,
    },
    "products": {
        "name": "string",
        "hs_sku": "string",
        "description": "string",
        "price": "number",
        **_CREATED,
    },
    "notes": {"hs_note_body": "string:html", **_ENGAGED},
    "calls": {
        "hs_call_body": "string:html",
        "hs_call_status": "enumeration:COMPLETED,BUSY,NO_ANSWER",
        **_ENGAGED,
    },
    "meetings": {
        "hs_meeting_body": "string:html",
        "hs_meeting_start_time": "datetime",
        "hs_meeting_end_time": "datetime",
        **_ENGAGED,
    },
    "emails": {
        "hs_email_text": "string",
        "hs_email_direction": "enumeration:EMAIL,INCOMING_EMAIL,FORWARDED_EMAIL",
        **_ENGAGED,
    },
    "tasks": {
        "hs_task_subject": "string",
        "hs_task_body": "string:html",
        "hs_task_status": "enumeration:NOT_STARTED,IN_PROGRESS,WAITING,COMPLETED,DEFERRED",
        "hs_task_completion_date": "datetime:read",
        **_ENGAGED,
    },
    "2-1001": {
        "pet_name": "string",
        "chip_number": "string:unique",
        "weight": "number",
        "is_insured": "bool",
        "hs_createdate": "datetime:read",
        "hs_lastmodifieddate": "datetime:read",
        **_SYSTEM,
    },
}


def _property(object_type: str, name: str, spec: str) -> dict[str, Any]:
    kind, _, more = spec.partition(":")
    is_plain = more in ("read", "unique", "html", "owner", "")
    options = [] if is_plain else more.split(",")
    field_types = {"number": "number", "enumeration": "select", "bool": "booleancheckbox"}
    field_types |= {"date": "date", "datetime": "date"}
    return {
        "name": name,
        "label": name.replace("_", " "),
        "description": "",
        "groupName": f"{object_type}_information",
        "type": kind,
        "fieldType": "html" if more == "html" else field_types.get(kind, "text"),
        "options": [option(value, index) for index, value in enumerate(options)],
        "hasUniqueValue": more == "unique",
        "calculated": False,
        "externalOptions": more == "owner",
        "hidden": False,
        "hubspotDefined": True,
        "formField": True,
        "displayOrder": -1,
        "archived": False,
        "createdAt": SINCE,
        "updatedAt": SINCE,
        "modificationMetadata": {
            "archivable": False,
            "readOnlyDefinition": True,
            "readOnlyValue": more == "read",
        },
    }


def option(value: str, index: int) -> dict[str, Any]:
    """Give an option of an enumeration as the wire has it."""
    return {
        "label": value.replace("_", " ").capitalize(),
        "value": value,
        "displayOrder": index,
        "hidden": False,
    }


OBJECTS: Mapping[str, Mapping[str, dict[str, Any]]] = {
    object_type: {name: _property(object_type, name, spec) for name, spec in specs.items()}
    for object_type, specs in _PROPERTIES.items()
}

ALIASES: Mapping[str, str] = {
    **{name: name for name in _PROPERTIES},
    **{name.removesuffix("s"): name for name in _PROPERTIES if name != "companies"},
    "company": "companies",
    "0-1": "contacts",
    "0-2": "companies",
    "0-3": "deals",
    "0-5": "tickets",
    "pet": "2-1001",
    "p1_pet": "2-1001",
}

SEARCHED: Mapping[str, tuple[str, ...]] = {
    "contacts": ("firstname", "lastname", "email", "phone", "company"),
    "companies": ("name", "domain", "phone"),
    "deals": ("dealname",),
    "tickets": ("subject", "content"),
    "products": ("name", "hs_sku", "description"),
    "notes": ("hs_note_body",),
    "calls": ("hs_call_body",),
    "meetings": ("hs_meeting_body",),
    "emails": ("hs_email_text",),
    "tasks": ("hs_task_subject", "hs_task_body"),
    "2-1001": ("pet_name", "chip_number"),
}
"""What `query` looks at, by object."""

_UNASSOCIATED = ("products",)
_ASSOCIATED = [name for name in _PROPERTIES if name not in _UNASSOCIATED]
LABEL_TYPES: Mapping[tuple[str, str], int] = {
    (a, b): 1 + index
    for index, (a, b) in enumerate((a, b) for a in _ASSOCIATED for b in _ASSOCIATED)
}
"""The unlabelled association type of each pair of objects; the numbers are ours."""


def _stage(stage_id: str, label: str, index: int, **metadata: str) -> dict[str, Any]:
    return {
        "id": stage_id,
        "label": label,
        "displayOrder": index,
        "metadata": metadata,
        "archived": False,
        "createdAt": SINCE,
        "updatedAt": SINCE,
        "writePermissions": "CRM_PERMISSIONS_ENFORCEMENT",
    }


def _pipeline(pipeline_id: str, label: str, stages: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": pipeline_id,
        "label": label,
        "displayOrder": 0,
        "stages": stages,
        "archived": False,
        "createdAt": SINCE,
        "updatedAt": SINCE,
    }


PIPELINES: Mapping[str, list[dict[str, Any]]] = {
    "deals": [
        _pipeline(
            "default",
            "Sales Pipeline",
            [
                _stage("appointmentscheduled", "Appointment Scheduled", 0, isClosed="false"),
                _stage("qualifiedtobuy", "Qualified To Buy", 1, isClosed="false"),
                _stage("contractsent", "Contract Sent", 2, isClosed="false"),
                _stage("closedwon", "Closed Won", 3, isClosed="true"),
                _stage("closedlost", "Closed Lost", 4, isClosed="true"),
            ],
        )
    ],
    "tickets": [
        _pipeline(
            "0",
            "Support Pipeline",
            [
                _stage("1", "New", 0, ticketState="OPEN"),
                _stage("2", "Waiting on contact", 1, ticketState="OPEN"),
                _stage("3", "Waiting on us", 2, ticketState="OPEN"),
                _stage("4", "Closed", 3, ticketState="CLOSED"),
            ],
        )
    ],
}

OWNERS = [
    {
        "id": owner_id,
        "email": f"{name.lower()}@shop.example",
        "type": "PERSON",
        "firstName": name,
        "lastName": "Owner",
        "userId": int(owner_id),
        "userIdIncludingInactive": int(owner_id),
        "createdAt": SINCE,
        "updatedAt": SINCE,
        "archived": False,
    }
    for owner_id, name in (("501", "Eve"), ("502", "Max"), ("503", "Ida"))
]

SCHEMAS: list[dict[str, Any]] = [
    {
        "id": "1001",
        "name": "pet",
        "objectTypeId": "2-1001",
        "fullyQualifiedName": "p1_pet",
        "labels": {"singular": "Pet", "plural": "Pets"},
        "primaryDisplayProperty": "pet_name",
        "requiredProperties": ["pet_name"],
        "searchableProperties": ["pet_name"],
        "secondaryDisplayProperties": [],
        "properties": list(OBJECTS["2-1001"].values()),
        "associations": [],
        "archived": False,
        "createdAt": SINCE,
        "updatedAt": SINCE,
    }
]
