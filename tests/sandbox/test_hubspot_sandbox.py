"""The HubSpot sandbox speaks what HubSpot's own SDK understands, and behaves."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

import httpx2
import hubspot
import pytest
from hubspot.crm.objects.exceptions import ApiException

from aicore_servers.sandbox._running import running


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with running("hubspot") as url:
        yield url


@pytest.fixture
def url(address: str) -> str:
    httpx2.post(f"{address}/_sandbox/reset").raise_for_status()
    return address


@pytest.fixture
def http(url: str) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=url, headers={"Authorization": "Bearer any"}) as client:
        yield client


@pytest.fixture
def sdk(url: str) -> Any:
    return hubspot.Client.create(access_token="any", host=url)


def batch(sdk: Any, method: str, object_type: str, *inputs: dict[str, Any], **more: Any) -> Any:
    call = getattr(sdk.crm.objects.batch_api, method)
    return call(object_type, {"inputs": list(inputs), **more})


def made(sdk: Any, object_type: str, **properties: str) -> str:
    answer = sdk.crm.objects.basic_api.create(object_type, {"properties": properties})
    return str(answer.id)


def lost(sent: Any, kept: Any, place: str = "") -> list[str]:
    """Name what of an answer the SDK's models do not keep."""
    if isinstance(sent, dict):
        if not isinstance(kept, dict):
            return [place]
        return [
            each
            for name, value in sent.items()
            if value is not None
            for each in (
                lost(value, kept[name], f"{place}.{name}") if name in kept else [f"{place}.{name}"]
            )
        ]
    if isinstance(sent, list):
        pairs = zip(sent, kept, strict=True)
        return [each for a, b in pairs for each in lost(a, b, f"{place}[]")]
    return []


def reads(contact: str, deal: str) -> list[tuple[str, Any, str, list[str]]]:
    """Requests as raw HTTP, and as methods of the SDK with their arguments."""
    read = {
        "inputs": [{"id": contact}],
        "properties": ["email", "firstname"],
        "propertiesWithHistory": ["firstname"],
    }
    missing = {**read, "inputs": [{"id": contact}, {"id": "7"}]}
    search = {"limit": 1, "sorts": ["hs_object_id"], "properties": ["email"], "filterGroups": []}
    upsert = {
        "inputs": [
            {
                "id": "new@example.com",
                "idProperty": "email",
                "objectWriteTraceId": "0",
                "properties": {"firstname": "New"},
            }
        ]
    }
    pair = {"inputs": [{"from": {"id": contact}, "to": {"id": deal}}]}
    ends = {"inputs": [{"id": contact}]}
    contacts, links = "/crm/v3/objects/contacts", "crm.associations.v4"
    one = f"/crm/v4/objects/contacts/{contact}/associations"
    both = "/crm/v4/associations/contacts/deals"
    pairs = ("contacts", "deals")
    ask = "crm.objects.batch_api"
    return [
        ("GET /crm/v3/properties/contacts", None, "crm.properties.core_api.get_all", ["contacts"]),
        (
            "GET /crm/v3/properties/contacts/email",
            None,
            "crm.properties.core_api.get_by_name",
            ["contacts", "email"],
        ),
        ("GET /crm/v3/pipelines/deals", None, "crm.pipelines.pipelines_api.get_all", ["deals"]),
        ("GET /crm/v3/owners/", None, "crm.owners.owners_api.get_page", []),
        ("GET /crm-object-schemas/v3/schemas", None, "crm.schemas.core_api.get_all", []),
        (f"GET {contacts}/{contact}", None, "crm.contacts.basic_api.get_by_id", [contact]),
        (f"POST {contacts}/batch/read", read, f"{ask}.read", ["contacts"]),
        (f"POST {contacts}/batch/read", missing, f"{ask}.read", ["contacts"]),
        (f"POST {contacts}/search", search, "crm.objects.search_api.do_search", ["contacts"]),
        (f"POST {contacts}/batch/upsert", upsert, f"{ask}.upsert", ["contacts"]),
        (
            f"PUT {one}/default/deals/{deal}",
            None,
            f"{links}.basic_api.create_default",
            ["contacts", contact, "deals", deal],
        ),
        (
            f"POST {both}/batch/associate/default",
            pair,
            f"{links}.batch_api.create_default",
            [*pairs],
        ),
        (f"POST {both}/batch/read", ends, f"{links}.batch_api.get_page", [*pairs]),
        (f"GET {both}/labels", None, f"{links}.schema.definitions_api.get_all", [*pairs]),
    ]


def test_the_sdks_models_lose_nothing_of_any_answer(sdk: Any, http: httpx2.Client) -> None:
    contact = made(sdk, "contacts", firstname="Ann", email="ann@example.com")
    made(sdk, "contacts", firstname="Ben")
    deal = made(sdk, "deals", dealname="Big")
    plain = sdk.crm.objects.basic_api.api_client
    for request, body, name, arguments in reads(contact, deal):
        call = operator.attrgetter(name)(sdk)
        kept = plain.sanitize_for_serialization(call(*arguments, *([body] if body else [])))
        method, path = request.split(" ")
        answer = http.request(method, path, json=body)
        assert answer.status_code in (200, 207), (path, answer.text)
        assert answer.headers["x-aicore-sandbox"].startswith("hubspot")
        assert lost(answer.json(), kept) == [], path


def test_an_email_is_unique_and_the_refusal_names_who_has_it(sdk: Any) -> None:
    ann = made(sdk, "contacts", email="ann@example.com")
    with pytest.raises(ApiException) as refused:
        made(sdk, "contacts", email="ANN@example.com")
    assert refused.value.status == 409
    assert f"Existing ID: {ann}" in refused.value.body


def test_a_batch_says_of_each_input_what_became_of_it(sdk: Any) -> None:
    ann = made(sdk, "contacts", email="ann@example.com")
    ben = made(sdk, "contacts", email="ben@example.com")
    answer = batch(
        sdk,
        "update",
        "contacts",
        {"id": ann, "properties": {"city": "Ulm"}, "objectWriteTraceId": "0"},
        {"id": ben, "properties": {"email": "ann@example.com"}, "objectWriteTraceId": "1"},
        {"id": "7", "properties": {"city": "Ulm"}, "objectWriteTraceId": "2"},
    )
    assert [each.object_write_trace_id for each in answer.results] == ["0"]
    assert [each.context["objectWriteTraceId"] for each in answer.errors] == [["1"], ["2"]]
    assert answer.num_errors == 2


def test_an_upsert_says_which_are_new(sdk: Any) -> None:
    one = {"id": "ann@example.com", "idProperty": "email", "properties": {"city": "Ulm"}}
    assert [each.new for each in batch(sdk, "upsert", "contacts", one).results] == [True]
    assert [each.new for each in batch(sdk, "upsert", "contacts", one).results] == [False]


@pytest.mark.parametrize(
    "properties",
    [{"nmae": "x"}, {"createdate": "2026-01-01"}, {"lifecyclestage": "friend"}],
)
def test_a_bad_property_refuses_the_whole_batch(sdk: Any, properties: dict[str, str]) -> None:
    one = {"id": "ann@example.com", "idProperty": "email", "properties": {}}
    two = {"id": "ben@example.com", "idProperty": "email", "properties": properties}
    with pytest.raises(ApiException) as refused:
        batch(sdk, "upsert", "contacts", one, two)
    assert refused.value.status == 400
    search = sdk.crm.objects.search_api.do_search("contacts", {"filterGroups": []})
    assert search.total == 0


def test_search_goes_on_after_a_page_and_ends_at_ten_thousand(sdk: Any) -> None:
    ids = [made(sdk, "contacts", firstname=f"n{i}") for i in range(3)]
    ask = sdk.crm.objects.search_api.do_search
    first = ask("contacts", {"limit": 2, "sorts": ["hs_object_id"]})
    second = ask(
        "contacts", {"limit": 2, "sorts": ["hs_object_id"], "after": first.paging.next.after}
    )
    assert [each.id for each in [*first.results, *second.results]] == ids
    assert second.paging is None
    for body in ({"limit": 201}, {"after": "9990", "limit": 20}, {"sorts": ["email", "phone"]}):
        with pytest.raises(ApiException) as refused:
            ask("contacts", body)
        assert refused.value.status == 400


def test_an_archived_object_is_read_only_as_archived(sdk: Any) -> None:
    ann = made(sdk, "contacts", email="ann@example.com")
    for _ in range(2):
        batch(sdk, "archive", "contacts", {"id": ann})
    assert (
        batch(sdk, "read", "contacts", {"id": ann}, properties=[], propertiesWithHistory=[]).results
        == []
    )
    body = {"inputs": [{"id": ann}], "properties": [], "propertiesWithHistory": []}
    (gone,) = sdk.crm.objects.batch_api.read("contacts", body, archived=True).results
    assert gone.archived
    made(sdk, "contacts", email="ann@example.com")


def test_a_merge_makes_a_third_and_the_old_ids_lead_to_it(sdk: Any) -> None:
    ann = made(sdk, "contacts", email="ann@example.com")
    annie = made(sdk, "contacts", phone="1234567")
    body = {"primaryObjectId": ann, "objectIdToMerge": annie}
    merged = sdk.crm.contacts.basic_api.merge(body)
    assert merged.id not in (ann, annie)
    for old in (ann, annie):
        found = sdk.crm.objects.basic_api.get_by_id("contacts", old, properties=["email", "phone"])
        assert found.id == merged.id
        assert (found.properties["email"], found.properties["phone"]) == (
            "ann@example.com",
            "1234567",
        )
    with pytest.raises(hubspot.crm.contacts.exceptions.ApiException):
        sdk.crm.contacts.basic_api.merge(body)


def test_labels_are_defined_set_and_taken_away(sdk: Any) -> None:
    ann, deal = made(sdk, "contacts", firstname="Ann"), made(sdk, "deals", dealname="Big")
    links = sdk.crm.associations.v4
    defined = links.schema.definitions_api.create(
        "contacts", "deals", {"label": "decides", "name": "decides"}
    )
    spec = {
        "associationCategory": "USER_DEFINED",
        "associationTypeId": defined.results[0].type_id,
    }
    links.basic_api.create("contacts", ann, "deals", deal, [spec])
    (row,) = links.batch_api.get_page("deals", "contacts", {"inputs": [{"id": deal}]}).results
    assert [kind.label for kind in row.to[0].association_types] == [None, "decides"]
    links.basic_api.archive("contacts", ann, "deals", deal)
    assert links.batch_api.get_page("deals", "contacts", {"inputs": [{"id": deal}]}).results == []


@pytest.mark.parametrize(
    ("token", "status", "category"),
    [
        ("revoked", 401, "INVALID_AUTHENTICATION"),
        ("lacks:crm.objects.deals.read", 403, "MISSING_SCOPES"),
    ],
)
def test_a_token_that_does_not_do_is_refused_as_hubspot_words_it(
    url: str, token: str, status: int, category: str
) -> None:
    sdk = hubspot.Client.create(access_token=token, host=url)
    with pytest.raises(ApiException) as refused:
        sdk.crm.objects.search_api.do_search("deals", {})
    assert refused.value.status == status
    assert f'"category":"{category}"' in refused.value.body
