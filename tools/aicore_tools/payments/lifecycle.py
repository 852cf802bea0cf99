"""Which step leads where in the life of a link or an invoice."""

from __future__ import annotations

from aicore_tools.errors import Conflict, InvalidInput
from aicore_tools.payments.records import Action, Document

__all__ = ["next_status"]

_STEPS: dict[tuple[Document, Action], tuple[frozenset[str], str]] = {
    ("invoice", "finalize"): (frozenset({"draft"}), "open"),
    ("invoice", "send"): (frozenset({"draft", "open"}), "open"),
    ("invoice", "remind"): (frozenset({"open"}), "open"),
    ("invoice", "mark_paid"): (frozenset({"open"}), "paid"),
    ("invoice", "void"): (frozenset({"draft", "open"}), "void"),
    # Money that comes after the date is still money.
    ("link", "mark_paid"): (frozenset({"open", "expired"}), "paid"),
    ("link", "void"): (frozenset({"open", "expired"}), "void"),
}


def next_status(kind: Document, status: str, action: Action) -> str:
    """Give the status after `action`; the present one if the step was taken already.

    Raises:
        InvalidInput: nothing of that kind can be done so.
        Conflict: not from this status.
    """
    step = _STEPS.get((kind, action))
    if step is None:
        raise InvalidInput(f"A {kind} cannot be treated with {action} here.")
    allowed, target = step
    if status not in allowed and status != target:
        raise Conflict(
            f"The {kind} is {status}; {action} needs it to be {' or '.join(sorted(allowed))}.",
            hint="Finalize it first." if status == "draft" else None,
        )
    return target
