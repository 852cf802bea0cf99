"""A practice for rehearsals: its tools as colleagues' servers answer them, with a state."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from aicore.flows import FlowProvider
from aicore.flows.rehearsal import Rehearsal, stub_tool
from aicore.records import Tool, ToolCall

ZONE = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 23, 10, 0, tzinfo=ZONE)  # a Monday
FILE = Path(__file__).parents[2] / "examples" / "aicore_examples" / "lakeside" / "assistant.yaml"
READS = ("calendar_free", "calendar_events", "payments_search")
WRITES = (
    "calendar_create",
    "calendar_update",
    "calendar_cancel",
    "crm_upsert",
    "crm_log",
    "mail_draft",
    "mail_send",
    "payments_link",
)


def tools() -> list[Tool]:
    """The tools of the practice."""
    return [stub_tool(name, read_only=name in READS) for name in (*READS, *WRITES)]


def moment(text: str) -> datetime:
    """`2026-11-24 15:00` in the practice's zone."""
    return datetime.fromisoformat(text).replace(tzinfo=ZONE)


class Practice:
    """Calendar, customers, mails and payment requests; tools in `broken` fail."""

    def __init__(self) -> None:
        self.events: dict[str, dict[str, Any]] = {}
        self.contacts: list[dict[str, Any]] = []
        self.log: list[dict[str, Any]] = []
        self.mails: list[dict[str, Any]] = []
        self.payments: list[dict[str, Any]] = []
        self.broken: dict[str, str] = {}
        self.sneaky: list[tuple[str, int]] = []
        self.now = NOW

    def book(self, start: str, minutes: int = 60, title: str = "busy", email: str = "") -> str:
        """Put something into the calendar."""
        begin = moment(start)
        return self._add(title, begin, begin + timedelta(minutes=minutes), [email])

    def _add(self, title: str, start: datetime, end: datetime, attendees: list[str]) -> str:
        key = f"ev{len(self.events) + 1}"
        self.events[key] = {"id": key, "title": title, "start": start, "end": end, "who": attendees}
        return key

    def answer(self, call: ToolCall) -> Any:
        """Answer a tool call."""
        if call.name in self.broken:
            return {"error": self.broken[call.name]}
        handler: Callable[..., Any] = getattr(self, f"_{call.name}")
        return handler(**call.arguments)

    def _is_free(self, start: datetime, end: datetime, but: str = "") -> bool:
        return not any(
            one["start"] < end and start < one["end"]
            for key, one in self.events.items()
            if key != but
        )

    def _slots(self, start: datetime, end: datetime, minutes: int, hours: str) -> list[Any]:
        length, found, day = timedelta(minutes=minutes), [], start.date()
        step = min(length, timedelta(minutes=30))
        spans = dict(part.split(" ") for part in hours.split(","))
        while day <= end.date() and len(found) < 20:
            span = spans.get(f"{day:%a}")
            if span:
                opens = moment(f"{day} {span[:5]}")
                at, closes = opens, min(end, moment(f"{day} {span[6:]}"))
                earliest = max(start, self.now)
                if earliest > at:
                    ahead = -(-(earliest - opens) // step) * step
                    at = earliest if earliest == start and not start.minute % 5 else opens + ahead
                while at + length <= closes:
                    if self._is_free(at, at + length):
                        found.append({"start": at.isoformat(), "end": (at + length).isoformat()})
                        at += length
                        at = opens + -(-(at - opens) // step) * step
                    else:
                        at = opens + ((at - opens) // step + 1) * step
            day += timedelta(days=1)
        return found

    def _calendar_free(
        self, start: str, end: str, minutes: int, tz: str, hours: str = "", limit: int = 5
    ) -> Any:
        hours = hours or "Mon 09:00-17:00,Tue 09:00-17:00,Wed 09:00-17:00,Thu 09:00-17:00"
        begin, until = datetime.fromisoformat(start), datetime.fromisoformat(end)
        slots = self._slots(begin.astimezone(ZONE), until.astimezone(ZONE), minutes, hours)
        body = {"slots": slots[:limit], "tz": tz}
        if not slots:
            later = until.astimezone(ZONE)
            body["next_free"] = self._slots(later, later + timedelta(days=60), minutes, hours)[:5]
        for sneaky, length in self.sneaky:  # somebody else is quicker
            self.book(sneaky, length)
        self.sneaky = []
        return body

    def _calendar_create(
        self, title: str, start: str, end: str, tz: str, on_clash: str, **more: Any
    ) -> Any:
        begin, until = datetime.fromisoformat(start), datetime.fromisoformat(end)
        if not self._is_free(begin, until):
            return {"error": "slot_taken"}
        key = self._add(title, begin, until, more.get("attendees", []))
        return {"event": {"id": key, "title": title}, "clashes": []}

    def _calendar_events(self, query: str, start: str, end: str, limit: int) -> Any:
        found = [
            {
                "id": key,
                "title": one["title"],
                "start": one["start"].isoformat(),
                "end": one["end"].isoformat(),
            }
            for key, one in self.events.items()
            if query in one["who"]
        ]
        return {"events": found[:limit], "next_cursor": None}

    def _calendar_cancel(self, id: str, **more: Any) -> Any:
        event = self.events.pop(id)
        return {"event": {"id": id, "title": event["title"]}}

    def _calendar_update(self, id: str, set: dict[str, str], on_clash: str) -> Any:
        event = self.events[id]
        start = datetime.fromisoformat(set["start"])
        end = start + (event["end"] - event["start"])
        if not self._is_free(start, end, but=id):
            return {"error": "slot_taken"}
        event.update(start=start, end=end)
        return {"event": {"id": id}, "clashes": []}

    def _crm_upsert(
        self, type: str, records: list[dict[str, Any]], on_match: str = "update"
    ) -> Any:
        self.contacts += [one["set"] for one in records]
        return {"results": [{"id": str(len(self.contacts)), "status": "created"}]}

    def _crm_log(self, kind: str, text: str, about: list[str] | None = None) -> Any:
        self.log.append({"kind": kind, "text": text, "about": about})
        return {"id": str(len(self.log))}

    def _mail_draft(self, to: list[str], subject: str, body: str) -> Any:
        self.mails.append({"to": to, "subject": subject, "body": body, "sent": False})
        return {"draft_id": str(len(self.mails))}

    def _mail_send(self, draft_id: str) -> Any:
        self.mails[int(draft_id) - 1]["sent"] = True
        return {"message_id": f"<{draft_id}@example.com>", "status": "sent"}

    def _payments_search(self, kind: str, query: str, limit: int, **more: Any) -> Any:
        if kind == "customer":
            found = [{"id": query} for one in self.payments if one["customer"] == query]
        else:
            links = [one["link"] for one in self.payments if one["customer"] == more["customer"]]
            found = [link for link in links if query in link["for"]]
        return {"rows": found[:limit]}

    def _payments_link(self, lines: list[dict[str, Any]], currency: str, customer: str) -> Any:
        amount = sum(one["amount"] * one["quantity"] for one in lines)
        link = {
            "id": "l1",
            "reference": f"PR-2026-{len(self.payments) + 1:04}",
            "for": lines[0]["description"],
            "amount_minor": amount,
            "amount_text": f"{amount / 100:.2f} EUR",
            "currency": currency,
            "url": None,
            "instructions": "Pay at the desk or by bank transfer, quoting the reference.",
        }
        self.payments.append({"amount": amount, "customer": customer, "link": link})
        return {"link": link}


def visit(practice: Practice, provider: FlowProvider | None = None) -> Rehearsal:
    """A new conversation with the practice's assistant."""
    provider = provider or FlowProvider(FILE, now=lambda: practice.now)
    return Rehearsal(provider, tools(), practice.answer)


def happen(practice: Practice, line: str) -> None:
    """Do what a `!` line says."""
    what, *words = line.split()
    if what == "busy":
        practice.book(" ".join(words[:2]), int(words[2]) if len(words) > 2 else 60)
    elif what == "booked":
        practice.book(" ".join(words[:2]), 45, "Cleaning: Ann Lee", words[2])
    elif what == "sneaky":
        practice.sneaky = [(" ".join(words), 30)]
    else:
        practice.broken[words[0]] = "unavailable"


async def play(practice: Practice, script: str) -> Rehearsal:
    """Play a script and check it line by line.

    A script is lines: `>` what the customer types, `<` what the reply holds, `-` what it must not
    hold, `=` all calls of the reply, `!` something that happens in the practice first.
    """
    rehearsal, reply, called = visit(practice), "", 0
    for line in script.strip().splitlines():
        mark, text = line.strip()[0], line.strip()[2:]
        if mark == ">":
            called = len(rehearsal.calls)
            last, reply = reply, await rehearsal.say(text)
            assert reply, text
            assert reply != last or "Goodbye" in reply, f"said twice: {reply}"
        elif mark == "=":
            names = [call.name for call in rehearsal.calls[called:]]
            assert names == text.split(), f"called {names}, not {text}"
        elif mark == "!":
            happen(practice, text)
        else:
            assert (text in reply) is (mark == "<"), "\n".join([*rehearsal.transcript, line])
    return rehearsal
