"""What effects gave, as the plain JSON that is kept for repeats, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aicore_tools.crm.records import Archived, Logged, RecordId, UpsertResult

__all__ = ["archived", "is_changed", "logged", "read", "results"]


def read(done: Mapping[str, Any]) -> Any:
    """Read what any effect of the CRM gave, told apart by what is in it."""
    if "results" in done:
        return results(done)
    if "changed" in done:
        return is_changed(done)
    return archived(done) if "ids" in done else logged(done)


def results(done: Mapping[str, Any]) -> Sequence[UpsertResult]:
    """Read what an upsert gave."""
    return [UpsertResult(**row) for row in done["results"]]


def logged(done: Mapping[str, Any]) -> Logged:
    """Read what a log gave."""
    return Logged(**done)


def is_changed(done: Mapping[str, Any]) -> bool:
    """Read what a link gave."""
    return bool(done["changed"])


def archived(done: Mapping[str, Any]) -> Archived:
    """Read what an archive gave."""
    return Archived(
        type=done["type"],
        ids=[RecordId(each) for each in done["ids"]],
        merged_into=done["merged_into"],
    )
