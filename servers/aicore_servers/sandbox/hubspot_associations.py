"""Associations in the HubSpot sandbox, as in version 4 of its API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from aicore_servers.sandbox.hubspot_answers import batch, worded
from aicore_servers.sandbox.hubspot_store import Refused, Store

__all__ = ["associate", "associate_one", "association", "labels", "read_associations"]

MAX_ENDS = 500


def _pair(store: Store, request: Request) -> tuple[str, str]:
    a = store.object_type(request.path_params["a"])
    b = store.object_type(request.path_params["b"])
    if (a, b) not in store.labels:
        raise Refused(400, "VALIDATION_ERROR", f"{a} and {b} cannot be associated.")
    return a, b


def _ends(
    store: Store, a: str, b: str, a_id: str, b_id: str
) -> tuple[tuple[str, str], tuple[str, str]]:
    for object_type, wanted in ((a, a_id), (b, b_id)):
        if store.find(object_type, wanted) is None:
            raise Refused(404, "OBJECT_NOT_FOUND", f"There is no {object_type} {wanted}.")
    return (a, a_id), (b, b_id)


def association(store: Store, request: Request, body: Any) -> Response:
    """Set an association's labels, or take it away."""
    a, b = _pair(store, request)
    a_id, b_id = request.path_params["a_id"], request.path_params["b_id"]
    if request.method == "DELETE":
        store.dissociate((a, a_id), (b, b_id))
        return Response(status_code=204)
    one, two = _ends(store, a, b, a_id, b_id)
    kinds = {int(each["associationTypeId"]) for each in body}
    labels = {each["typeId"]: each["label"] for each in store.labels[(a, b)]}
    if not kinds <= set(labels):
        raise Refused(400, "VALIDATION_ERROR", "There is no such association type.")
    store.associate(one, two, kinds)
    return JSONResponse(
        {
            "fromObjectTypeId": a,
            "fromObjectId": a_id,
            "toObjectTypeId": b,
            "toObjectId": b_id,
            "labels": [labels[kind] for kind in kinds if labels[kind]],
        },
        201,
    )


def associate_one(store: Store, request: Request, _: Mapping[str, Any]) -> Response:
    """Associate two objects."""
    pair = {
        "from": {"id": request.path_params["a_id"]},
        "to": {"id": request.path_params["b_id"]},
    }
    return associate(store, request, {"inputs": [pair]})


def associate(store: Store, request: Request, body: Mapping[str, Any]) -> Response:
    """Associate pairs of objects."""
    a, b = _pair(store, request)
    results = []
    for each in body["inputs"]:
        one, two = _ends(store, a, b, str(each["from"]["id"]), str(each["to"]["id"]))
        there = store.associations.get(one, {}).get(two, set())
        store.associate(one, two, there)
        kind = store.labels[(a, b)][0]["typeId"]
        spec = {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": kind}
        results.append({"from": {"id": one[1]}, "to": {"id": two[1]}, "associationSpec": spec})
    return batch(store, results)


def read_associations(store: Store, request: Request, body: Mapping[str, Any]) -> Response:
    """Give what objects are associated with."""
    a, b = _pair(store, request)
    kinds = {each["typeId"]: each for each in store.labels[(a, b)]}
    results, errors = [], []
    for each in body["inputs"]:
        ends = store.associations.get((a, str(each["id"])), {})
        there = [(other_id, kind) for (other, other_id), kind in ends.items() if other == b]
        start = int(each.get("after") or 0)
        row: dict[str, Any] = {
            "from": {"id": str(each["id"])},
            "to": [
                {
                    "toObjectId": int(other_id),
                    "associationTypes": [kinds[kind] for kind in sorted(found)],
                }
                for other_id, found in there[start : start + MAX_ENDS]
            ],
        }
        if start + MAX_ENDS < len(there):
            row["paging"] = {"next": {"after": str(start + MAX_ENDS)}}
        if there:
            results.append(row)
        else:
            none = Refused(404, "OBJECT_NOT_FOUND", "No association was found.")
            errors.append(worded(none, fromObjectId=[str(each["id"])]))
    return batch(store, results, errors)


def labels(store: Store, request: Request, body: Mapping[str, Any]) -> Response:
    """Give the labels between two objects, or define one."""
    a, b = _pair(store, request)
    if request.method == "GET":
        return JSONResponse({"results": store.labels[(a, b)]})
    return JSONResponse({"results": store.add_label(a, b, str(body["label"]))})
