"""How the HubSpot sandbox words objects, batches and errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import JSONResponse, Response

from aicore_servers.sandbox.hubspot_store import Refused, Store, Stored, stamp

__all__ = ["batch", "shown", "worded"]

_SHOWN = ("hs_object_id", "createdate", "lastmodifieddate", "hs_createdate", "hs_lastmodifieddate")


def shown(
    stored: Stored, wanted: Sequence[str], history: Sequence[str] = (), **more: Any
) -> dict[str, Any]:
    """Give an object with its system properties and those that are wanted."""
    names = [*_SHOWN, *wanted]
    body: dict[str, Any] = {
        "id": stored.id,
        "properties": {
            name: stored.properties.get(name) or None
            for name in names
            if name in wanted or name in stored.properties
        },
        "createdAt": stored.created,
        "updatedAt": stored.updated,
        "archived": stored.archived_at is not None,
    }
    if stored.archived_at is not None:
        body["archivedAt"] = stored.archived_at
    if history:
        body["propertiesWithHistory"] = {name: stored.history.get(name, []) for name in history}
    return {**body, **more}


def batch(
    store: Store, results: list[Any], errors: Sequence[Mapping[str, Any]] = (), status: int = 200
) -> Response:
    """Give the answer of a batch: 207 where there are errors."""
    at = stamp(store.now())
    body: dict[str, Any] = {
        "status": "COMPLETE",
        "results": results,
        "startedAt": at,
        "completedAt": at,
    }
    if errors:
        body |= {"numErrors": len(errors), "errors": list(errors)}
    return JSONResponse(body, 207 if errors else status)


def worded(refused: Refused, trace: str | None = None, **context: list[str]) -> dict[str, Any]:
    """Give an error of one input of a batch."""
    traced = {} if trace is None else {"objectWriteTraceId": [trace]}
    return {
        "status": "error",
        "category": refused.body["category"],
        "message": refused.body["message"],
        "context": {**refused.body.get("context", {}), **traced, **context},
        "errors": [],
        "links": {},
    }
