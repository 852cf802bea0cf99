"""A sandbox for HubSpot's CRM API: made by us, in memory. It is not HubSpot.

It behaves as HubSpot does for the calls the CRM backend makes: unique properties, 409, 207 with
errors, archived and merged records, search and its limits, associations of version 4. Tokens: any
will do, but `revoked` is refused (401), and `lacks:SCOPE,SCOPE` has every scope but those (403).
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from aicore_servers.sandbox._faults import Sandboxed
from aicore_servers.sandbox.hubspot_answers import batch, shown, worded
from aicore_servers.sandbox.hubspot_associations import (
    associate,
    associate_one,
    association,
    labels,
    read_associations,
)
from aicore_servers.sandbox.hubspot_schema import SINCE, option
from aicore_servers.sandbox.hubspot_search import found
from aicore_servers.sandbox.hubspot_store import Refused, Store

__all__ = ["app"]

MAX_BATCH = 100
_READS = ("GET",)
_OWN_SCOPES = {"tickets": "tickets", "products": "e-commerce"}
_READING = ("/search", "/batch/read")

_Answer = Callable[[Store, Request, Mapping[str, Any]], Response]


class _Sandbox:
    """Answers requests out of one store."""

    def __init__(self) -> None:
        self.store = Store()

    def state(self) -> Mapping[str, Any]:
        """Show what there is: live objects, counts, requests so far."""
        return {
            "counts": {name: len(self.store.live(name)) for name in self.store.objects},
            "objects": {
                name: {each.id: each.properties for each in self.store.live(name)}
                for name in self.store.objects
            },
            "associations": {
                f"{kind}:{one}": [f"{other}:{two}" for other, two in ends]
                for (kind, one), ends in self.store.associations.items()
                if ends
            },
            "requests": self.store.requests,
        }

    def routed(self, answer: _Answer) -> Callable[[Request], Awaitable[Response]]:
        """Give an endpoint that checks the token and words refusals."""

        async def endpoint(request: Request) -> Response:
            called = f"{request.method} {request.url.path}"
            self.store.requests[called] = self.store.requests.get(called, 0) + 1
            raw = await request.body()
            try:
                self._authorise(request)
                body = json.loads(raw) if raw else {}
                return answer(self.store, request, body)
            except Refused as refused:
                return JSONResponse(refused.body, refused.status)

        return endpoint

    def _authorise(self, request: Request) -> None:
        token = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
        if not token or token == "revoked":  # noqa: S105 - the word that the sandbox refuses
            raise Refused(
                401, "INVALID_AUTHENTICATION", "Authentication credentials not found or expired."
            )
        if not token.startswith("lacks:"):
            return
        needed = _scope(self.store, request)
        if needed in token.removeprefix("lacks:").split(","):
            raise Refused(
                403,
                "MISSING_SCOPES",
                "This app hasn't been granted all required scopes to make this call.",
                errors=[
                    {
                        "message": "One or more of the following scopes are required.",
                        "context": {"requiredGranularScopes": [needed]},
                    }
                ],
            )


def _scope(store: Store, request: Request) -> str:
    """Name the scope that a request needs."""
    path = request.url.path
    is_read = request.method in _READS or path.endswith(_READING)
    act = "read" if is_read else "write"
    if "/owners" in path:
        return "crm.objects.owners.read"
    named = request.path_params.get("type") or request.path_params.get("a") or "contacts"
    object_type = store.object_type(str(named))
    if object_type in _OWN_SCOPES:
        return _OWN_SCOPES[object_type]
    what = "custom" if "-" in object_type else object_type
    if "hs_timestamp" in store.properties[object_type]:
        what = "contacts"  # activities go with contacts
    if "/properties/" in path or "/schemas" in path or path.endswith("/labels"):
        # Whoever may read an object may read its schema.
        return f"crm.objects.{what}.read" if is_read else f"crm.schemas.{what}.write"
    return f"crm.objects.{what}.{act}"


def _inputs(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    inputs = list(body.get("inputs") or ())
    if not 1 <= len(inputs) <= MAX_BATCH:
        raise Refused(400, "VALIDATION_ERROR", f"Give 1 to {MAX_BATCH} inputs.")
    ids = [each["id"] for each in inputs if isinstance(each.get("id"), str)]
    if len(ids) != len(set(ids)):
        raise Refused(400, "VALIDATION_ERROR", "Duplicate IDs found in batch input.")
    return inputs


def _create(store: Store, request: Request, body: Mapping[str, Any]) -> Response:
    object_type = store.object_type(request.path_params["type"])
    made = store.create(object_type, body["properties"])
    return JSONResponse(shown(made, list(body["properties"])), 201)


def _get(store: Store, request: Request, _: Mapping[str, Any]) -> Response:
    object_type = store.object_type(request.path_params["type"])
    wanted, id_property = request.path_params["id"], request.query_params.get("idProperty")
    if id_property is None:
        stored = store.survivor(object_type, wanted)
    else:
        stored = store.find(object_type, wanted, id_property)
    if stored is None:
        raise Refused(404, "OBJECT_NOT_FOUND", "Object not found.")
    return JSONResponse(shown(stored, _listed(request, "properties")))


def _listed(request: Request, name: str) -> list[str]:
    return [each for part in request.query_params.getlist(name) for each in part.split(",") if each]


def _batch_read(store: Store, request: Request, body: Mapping[str, Any]) -> Response:
    object_type = store.object_type(request.path_params["type"])
    is_archived = request.query_params.get("archived", "").lower() == "true"
    results, errors = [], []
    for each in _inputs(body):
        wanted = str(each["id"])
        if is_archived:
            stored = store.objects[object_type].get(wanted)
            stored = stored if stored is not None and stored.archived_at else None
        else:
            stored = store.find(object_type, wanted, body.get("idProperty"))
        if stored is None:
            missing = Refused(404, "OBJECT_NOT_FOUND", "Could not get some objects.")
            errors.append(worded(missing, ids=[wanted]))
        else:
            history = body.get("propertiesWithHistory") or []
            results.append(shown(stored, body.get("properties") or [], history))
    return batch(store, results, errors)


def _batch_upsert(store: Store, request: Request, body: Mapping[str, Any]) -> Response:
    object_type = store.object_type(request.path_params["type"])
    inputs = _inputs(body)
    for each in inputs:  # what is malformed refuses the whole batch
        store.checked(object_type, each["properties"])
    results, errors = [], []
    for each in inputs:
        trace = each.get("objectWriteTraceId")
        try:
            results.append(_upserted(store, object_type, each))
        except Refused as refused:
            errors.append(worded(refused, trace))
    return batch(store, results, errors)


def _upserted(store: Store, object_type: str, given: Mapping[str, Any]) -> dict[str, Any]:
    unique = given.get("idProperty")
    stored = store.find(object_type, str(given["id"]), unique)
    if stored is None and unique is None:
        raise Refused(404, "OBJECT_NOT_FOUND", "Object not found.")
    properties = {**given["properties"], **({unique: given["id"]} if unique else {})}
    is_new = stored is None
    if stored is None:
        stored = store.create(object_type, properties)
    else:
        store.update(stored, properties)
    return shown(stored, list(properties), new=is_new, **_traced(given))


def _traced(given: Mapping[str, Any]) -> dict[str, str]:
    trace = given.get("objectWriteTraceId")
    return {} if trace is None else {"objectWriteTraceId": trace}


def _batch_update(store: Store, request: Request, body: Mapping[str, Any]) -> Response:
    object_type = store.object_type(request.path_params["type"])
    inputs = _inputs(body)
    for each in inputs:
        store.checked(object_type, each["properties"])
    results, errors = [], []
    for each in inputs:
        try:
            results.append(_updated(store, object_type, each))
        except Refused as refused:
            errors.append(worded(refused, each.get("objectWriteTraceId")))
    return batch(store, results, errors)


def _updated(store: Store, object_type: str, given: Mapping[str, Any]) -> dict[str, Any]:
    stored = store.find(object_type, str(given["id"]), given.get("idProperty"))
    if stored is None:
        raise Refused(404, "OBJECT_NOT_FOUND", "Object not found.")
    store.update(stored, given["properties"])
    return shown(stored, list(given["properties"]), **_traced(given))


def _batch_archive(store: Store, request: Request, body: Mapping[str, Any]) -> Response:
    object_type = store.object_type(request.path_params["type"])
    for each in _inputs(body):
        stored = store.find(object_type, str(each["id"]))
        if stored is not None:
            store.archive(stored)
    return Response(status_code=204)


def _search(store: Store, request: Request, body: Mapping[str, Any]) -> Response:
    object_type = store.object_type(request.path_params["type"])
    page, total, after = found(store, object_type, body)
    answer: dict[str, Any] = {
        "total": total,
        "results": [shown(each, body.get("properties") or []) for each in page],
    }
    if after:
        answer["paging"] = {"next": {"after": str(after)}}
    return JSONResponse(answer)


def _merge(store: Store, request: Request, body: Mapping[str, Any]) -> Response:
    object_type = store.object_type(request.path_params["type"])
    if object_type not in ("contacts", "companies", "deals", "tickets"):
        raise Refused(404, "NOT_FOUND", "These objects cannot be merged.")
    primary = store.find(object_type, str(body["primaryObjectId"]))
    other = store.find(object_type, str(body["objectIdToMerge"]))
    if primary is None or other is None or primary is other:
        raise Refused(400, "VALIDATION_ERROR", "Both records must exist and differ.")
    return JSONResponse(shown(store.merge(object_type, primary, other), []))


def _properties(store: Store, request: Request, body: Mapping[str, Any]) -> Response:
    object_type = store.object_type(request.path_params["type"])
    known = store.properties[object_type]
    if request.method == "GET":
        return JSONResponse({"results": list(known.values())})
    name = str(body["name"])
    if name in known:
        raise Refused(409, "OBJECT_ALREADY_EXISTS", f"A property named '{name}' already exists.")
    made = {
        "description": "",
        "hidden": False,
        "hasUniqueValue": False,
        "formField": False,
        "displayOrder": -1,
        **body,
        "options": [
            option(each["value"], index) for index, each in enumerate(body.get("options") or ())
        ],
        "calculated": False,
        "externalOptions": False,
        "archived": False,
        "createdAt": SINCE,
        "updatedAt": SINCE,
        "modificationMetadata": {
            "archivable": True,
            "readOnlyDefinition": False,
            "readOnlyValue": False,
        },
    }
    known[name] = made
    return JSONResponse(made, 201)


def _property(store: Store, request: Request, _: Mapping[str, Any]) -> Response:
    object_type = store.object_type(request.path_params["type"])
    known = store.properties[object_type].get(request.path_params["name"])
    if known is None:
        raise Refused(404, "OBJECT_NOT_FOUND", "Property not found.")
    return JSONResponse(known)


def _pipelines(store: Store, request: Request, _: Mapping[str, Any]) -> Response:
    object_type = store.object_type(request.path_params["type"])
    return JSONResponse({"results": store.pipelines.get(object_type, [])})


def _owners(store: Store, request: Request, _: Mapping[str, Any]) -> Response:
    limit = int(request.query_params.get("limit", "100"))
    after = int(request.query_params.get("after", "0"))
    page = store.owners[after : after + limit]
    answer: dict[str, Any] = {"results": page}
    if after + limit < len(store.owners):
        answer["paging"] = {"next": {"after": str(after + limit)}}
    return JSONResponse(answer)


def _schemas(store: Store, _request: Request, _: Mapping[str, Any]) -> Response:
    return JSONResponse({"results": store.schemas})


async def _token(request: Request) -> Response:
    """Give a new access token for a refresh token; `revoked` is refused."""
    form = await request.form()
    if form.get("grant_type") != "refresh_token" or form.get("refresh_token") == "revoked":
        body = {"status": "BAD_REFRESH_TOKEN", "message": "missing or invalid refresh token"}
        return JSONResponse({**body, "category": "BAD", "correlationId": "0"}, 400)
    return JSONResponse(
        {
            "access_token": f"refreshed-{form.get('refresh_token')}",
            "refresh_token": form.get("refresh_token"),
            "token_type": "bearer",
            "expires_in": 1800,
        }
    )


def app() -> ASGIApp:
    """Make a fresh sandbox."""
    sandbox = _Sandbox()
    objects = "/crm/v3/objects/{type}"
    pair = "/crm/v4/associations/{a}/{b}"
    one = "/crm/v4/objects/{a}/{a_id}/associations"
    table: Sequence[tuple[str, str, _Answer]] = (
        ("POST", f"{objects}/batch/read", _batch_read),
        ("POST", f"{objects}/batch/upsert", _batch_upsert),
        ("POST", f"{objects}/batch/update", _batch_update),
        ("POST", f"{objects}/batch/archive", _batch_archive),
        ("POST", f"{objects}/search", _search),
        ("POST", f"{objects}/merge", _merge),
        ("POST", objects, _create),
        ("GET", f"{objects}/{{id}}", _get),
        ("GET,POST", "/crm/v3/properties/{type}", _properties),
        ("GET", "/crm/v3/properties/{type}/{name}", _property),
        ("PUT", f"{one}/default/{{b}}/{{b_id}}", associate_one),
        ("PUT,DELETE", f"{one}/{{b}}/{{b_id}}", association),
        ("POST", f"{pair}/batch/read", read_associations),
        ("POST", f"{pair}/batch/associate/default", associate),
        ("GET,POST", f"{pair}/labels", labels),
        ("GET", "/crm/v3/pipelines/{type}", _pipelines),
        ("GET", "/crm/v3/owners", _owners),
        ("GET", "/crm/v3/owners/", _owners),
        ("GET", "/crm-object-schemas/v3/schemas", _schemas),
    )
    routes = [
        Route(path, sandbox.routed(answer), methods=methods.split(","))
        for methods, path, answer in table
    ]
    routes.append(Route("/oauth/v1/token", _token, methods=["POST"]))
    return Sandboxed(
        Starlette(routes=routes), "hubspot", state=sandbox.state, reset=sandbox.store.reset
    )
