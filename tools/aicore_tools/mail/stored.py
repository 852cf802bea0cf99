"""What effects gave, as the plain JSON that is kept for their repeats."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any, TypeVar

from aicore_tools.errors import Conflict
from aicore_tools.mail.port import Done
from aicore_tools.mail.records import Address, Attachment, Organized, SavedDraft, Sent
from aicore_tools.operations import Effect

__all__ = ["done", "expect", "kept"]

D = TypeVar("D", SavedDraft, Sent, Organized)


def kept(result: Done) -> dict[str, Any]:
    """Give the JSON of a result; `done` reads it."""
    fields = asdict(result)
    if isinstance(result, Sent) and result.send_at is not None:
        fields["send_at"] = result.send_at.isoformat()
    return {"kind": type(result).__name__, **fields}


def done(stored: dict[str, Any]) -> Done:
    """Read what `kept` gave."""
    fields = {name: value for name, value in stored.items() if name != "kind"}
    if stored["kind"] == "SavedDraft":
        people = {name: [Address(**each) for each in fields[name]] for name in ("to", "cc", "bcc")}
        files = [Attachment(**each) for each in fields["attachments"]]
        sender = Address(**fields["sender"])
        return SavedDraft(**{**fields, **people, "attachments": files, "sender": sender})
    if stored["kind"] == "Sent":
        at = fields["send_at"]
        return Sent(**{**fields, "send_at": None if at is None else datetime.fromisoformat(at)})
    return Organized(**fields)


def expect(kind: type[D], effect: Effect[dict[str, Any]]) -> Effect[D]:
    """Read the stored result of an effect of that kind.

    Raises:
        Conflict: the operation key was used for another kind of effect.
    """
    result = done(effect.result)
    if not isinstance(result, kind):
        raise Conflict(
            "This operation key was used before, for something else.",
            hint="Send a new key for a new effect.",
            code="operation_key_reused",
        )
    return Effect(result=result, is_replay=effect.is_replay)
