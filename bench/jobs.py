"""One job per business tool: how a call of it is made ready, and which answer is right."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mcp import Client

__all__ = ["JOBS", "Desk", "Job", "WrongAnswer"]


class WrongAnswer(Exception):
    """A tool answered with an error, or something else than it was asked for."""


@dataclass(slots=True)
class Desk:
    """Four servers and what was made in them so far."""

    clients: Mapping[str, Client]
    made: dict[str, Any] = field(default_factory=dict)
    keys: int = 0

    async def call(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Call a tool as an agent does, with an operation key of its own.

        Raises: WrongAnswer.
        """
        self.keys += 1
        client = self.clients[tool.partition("_")[0]]
        meta: Any = {"aicore/operation-key": f"bench:{self.keys}"}
        result = await client.call_tool(tool, arguments, meta=meta)
        text = getattr(result.content[0], "text", "")
        if result.is_error:
            raise WrongAnswer(f"{tool} {arguments}: {text}")
        answer: dict[str, Any] = json.loads(text)
        return answer


Arguments = Callable[[Desk, int], Awaitable[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Job:
    """A tool, and the arguments of its n-th call; making them is not timed."""

    tool: str
    arguments: Arguments


def _fixed(**arguments: Any) -> Arguments:
    async def same(_: Desk, __: int) -> dict[str, Any]:
        return arguments

    return same


async def _contact(desk: Desk, number: int) -> dict[str, Any]:
    given = {"name": f"Person {number}", "email": f"person{number}@example.com"}
    return {"type": "contact", "records": [{"set": given}]}


async def _new_contact(desk: Desk, number: int) -> str:
    made = await desk.call("crm_upsert", await _contact(desk, 100_000 + desk.keys))
    return str(made["results"][0]["id"])


async def _archive(desk: Desk, number: int) -> dict[str, Any]:
    return {"type": "contact", "ids": [await _new_contact(desk, number)]}


async def _link(desk: Desk, number: int) -> dict[str, Any]:
    if "company" not in desk.made:
        given = {"type": "company", "records": [{"set": {"name": "Bench Ltd"}}]}
        desk.made["company"] = (await desk.call("crm_upsert", given))["results"][0]["id"]
    contact = await _new_contact(desk, number)
    return {"a": f"contact:{contact}", "b": f"company:{desk.made['company']}"}


async def _get_contact(desk: Desk, number: int) -> dict[str, Any]:
    if "contact" not in desk.made:
        desk.made["contact"] = await _new_contact(desk, number)
    return {"type": "contact", "ids": [desk.made["contact"]], "include": ["links", "activity"]}


async def _note(desk: Desk, number: int) -> dict[str, Any]:
    about = (await _get_contact(desk, number))["ids"][0]
    return {"kind": "note", "about": [f"contact:{about}"], "text": f"Called, {number}."}


async def _draft(desk: Desk, number: int) -> dict[str, Any]:
    return {"to": ["ann@example.com"], "subject": f"Offer {number}", "body": "As agreed.\n" * 20}


async def _send(desk: Desk, number: int) -> dict[str, Any]:
    return {"draft_id": (await desk.call("mail_draft", await _draft(desk, number)))["draft_id"]}


async def _mail(desk: Desk) -> str:
    """A mail in the inbox: what goes to the business's own address."""
    if "mail" not in desk.made:
        attached = [{"name": "offer.txt", "text": "One hundred." * 50}]
        draft = {"to": ["office@main.example"], "subject": "Offer", "body": "See the file."}
        made = await desk.call("mail_draft", draft | {"attachments": attached})
        await desk.call("mail_send", {"draft_id": made["draft_id"]})
        found = await desk.call("mail_search", {"query": "Offer", "folder": "inbox"})
        desk.made["mail"] = found["rows"][0]["id"]
    return str(desk.made["mail"])


async def _read(desk: Desk, _: int) -> dict[str, Any]:
    return {"id": await _mail(desk)}


async def _attachment(desk: Desk, _: int) -> dict[str, Any]:
    return {"message_id": await _mail(desk), "attachment": "offer.txt"}


async def _organize(desk: Desk, number: int) -> dict[str, Any]:
    return {"ids": [await _mail(desk)], "action": "star" if number % 2 else "unstar"}


def _at(number: int) -> tuple[str, str]:
    """An hour of its own for each number, from 2030 on."""
    day, hour = divmod(number, 8)
    month, day = divmod(day, 28)
    year, month = divmod(month, 12)
    date = f"{2030 + year}-{month + 1:02d}-{day + 1:02d}"
    return f"{date}T{9 + hour:02d}:00:00", f"{date}T{9 + hour:02d}:45:00"


async def _event(desk: Desk, number: int) -> dict[str, Any]:
    start, end = _at(desk.keys)
    return {"title": f"Check-up {number}", "start": start, "end": end, "on_clash": "ignore"}


async def _new_event(desk: Desk, number: int) -> str:
    made = await desk.call("calendar_create", await _event(desk, number))
    return str(made["event"]["id"])


async def _move(desk: Desk, number: int) -> dict[str, Any]:
    return {"id": await _new_event(desk, number), "set": {"title": "Check-up, moved"}}


async def _cancel(desk: Desk, number: int) -> dict[str, Any]:
    return {"id": await _new_event(desk, number), "notify": "none"}


async def _respond(desk: Desk, number: int) -> dict[str, Any]:
    invited = {**await _event(desk, number), "attendees": ["office@main.example"]}
    made = await desk.call("calendar_create", invited)
    return {"id": made["event"]["id"], "response": "accepted"}


async def _customer(desk: Desk, number: int) -> dict[str, Any]:
    return {"email": f"payer{desk.keys}@example.com", "set": {"name": f"Payer {number}"}}


async def _product(desk: Desk, number: int) -> dict[str, Any]:
    return {"name": f"Cleaning {number}", "amount": 9000, "currency": "EUR"}


async def _bill(desk: Desk, number: int) -> dict[str, Any]:
    lines = [{"description": "Check-up", "amount": 100}, {"description": "X-ray", "amount": 50}]
    return {"customer": "payer@example.com", "lines": lines}


async def _new_invoice(desk: Desk, number: int) -> str:
    made = await desk.call("payments_invoice", await _bill(desk, number))
    return str(made["invoice"]["id"])


async def _finalize(desk: Desk, number: int) -> dict[str, Any]:
    return {"id": await _new_invoice(desk, number), "action": "finalize"}


async def _refund(desk: Desk, number: int) -> dict[str, Any]:
    invoice = await _new_invoice(desk, number)
    for action in ("finalize", "mark_paid"):
        await desk.call("payments_invoice_act", {"id": invoice, "action": action})
    return {"payment": invoice, "amount": 50}


async def _subscription(desk: Desk, number: int) -> dict[str, Any]:
    if "price" not in desk.made:
        monthly = {"name": "Plan", "amount": 100, "currency": "EUR", "every": "month"}
        desk.made["price"] = (await desk.call("payments_catalog", monthly))["product"]["id"]
    given = await _customer(desk, number)
    made = await desk.call("payments_customer", given)
    customer = made["customer"]["id"]
    return {"action": "create", "customer": customer, "price": desk.made["price"]}


async def _get_invoice(desk: Desk, number: int) -> dict[str, Any]:
    if "invoice" not in desk.made:
        desk.made["invoice"] = await _new_invoice(desk, number)
    return {"id": desk.made["invoice"]}


JOBS = (
    Job("crm_search", _fixed(type="contact", query="person")),
    Job("crm_get", _get_contact),
    Job("crm_describe", _fixed(type="contact")),
    Job("crm_upsert", _contact),
    Job("crm_link", _link),
    Job("crm_log", _note),
    Job("crm_archive", _archive),
    Job("crm_report", _fixed(kind="new_records", since="2020-01-01")),
    Job("mail_search", _fixed(query="offer")),
    Job("mail_read", _read),
    Job("mail_attachment", _attachment),
    Job("mail_draft", _draft),
    Job("mail_send", _send),
    Job("mail_organize", _organize),
    Job("mail_folders", _fixed()),
    Job("calendar_calendars", _fixed()),
    Job("calendar_events", _fixed(start="2030-01-01", end="2030-01-08")),
    Job("calendar_free", _fixed(start="2030-01-01", end="2030-01-08", minutes=30)),
    Job("calendar_create", _event),
    Job("calendar_update", _move),
    Job("calendar_cancel", _cancel),
    Job("calendar_respond", _respond),
    Job("payments_search", _fixed(kind="invoice")),
    Job("payments_get", _get_invoice),
    Job("payments_report", _fixed(kind="revenue", after="2020-01-01")),
    Job("payments_customer", _customer),
    Job("payments_catalog", _product),
    Job("payments_invoice", _bill),
    Job("payments_invoice_act", _finalize),
    Job("payments_link", _bill),
    Job("payments_refund", _refund),
    Job("payments_subscription", _subscription),
)
