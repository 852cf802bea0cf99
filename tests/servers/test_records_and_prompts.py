"""What clients show besides tools: records by address, and prompts for the usual jobs."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from mcp import MCPError
from mcp.types import INVALID_PARAMS

from aicore_servers._tooling import Rules
from aicore_servers.business import create as business
from aicore_servers.calendars import create as calendars
from aicore_servers.crm import create as crm
from aicore_servers.mail import create as mail
from aicore_servers.payments import create as payments

Connect = Callable[..., Any]

TEMPLATES = {
    crm: "crm://{type}/{id}",
    mail: "mail://message/{id}",
    calendars: "calendar://event/{id}",
    payments: "payments://{kind}/{id}",
}


async def text_of(desk: Any, uri: str) -> str:
    (content,) = (await desk.client.read_resource(uri)).contents
    assert content.mime_type == "application/json"
    text: str = content.text
    return text


@pytest.mark.parametrize("create", TEMPLATES)
async def test_a_server_names_the_addresses_of_its_records(
    create: Any, in_process: Connect
) -> None:
    async with in_process(create) as desk:
        listed = (await desk.client.list_resource_templates()).resource_templates
        assert [template.uri_template for template in listed] == [TEMPLATES[create]]
        (connection,) = (await desk.client.list_resources()).resources
        assert str(connection.uri) == "aicore://connection"


async def added(desk: Any) -> dict[str, tuple[str, str, dict[str, Any]]]:
    """Make one record of each domain; gives its address and the tool call that reads it."""
    await desk("crm_upsert", key="1", type="contact", records=[{"set": {"name": "Ann Lee"}}])
    await desk("mail_draft", key="2", to=["ann@example.com"], subject="Hi", body="Hello")
    mail_id = (await desk("mail_search", folder="drafts"))["rows"][0]["id"]
    event = await desk(
        "calendar_create",
        key="3",
        title="Talk",
        start="2030-01-07T10:00",
        end="2030-01-07T11:00",
    )
    event_id = event["event"]["id"]
    customer = (await desk("payments_customer", key="4", email="ann@example.com", set={}))[
        "customer"
    ]
    return {
        "crm": ("crm://contact/1", "crm_get", {"type": "contact", "ids": ["1"]}),
        "mail": (f"mail://message/{mail_id}", "mail_read", {"id": mail_id}),
        "calendar": (
            f"calendar://event/{event_id}",
            "calendar_events",
            {"id": event_id, "detail": "full"},
        ),
        "payments": (
            f"payments://customer/{customer['id']}",
            "payments_get",
            {"id": customer["id"]},
        ),
    }


async def test_a_record_has_the_json_of_its_tool(in_process: Connect) -> None:
    async with in_process(business) as desk:
        for uri, tool, arguments in (await added(desk)).values():
            assert json.loads(await text_of(desk, uri)) == (await desk(tool, **arguments)).body


async def test_records_and_jobs_are_there_over_every_transport(over_the_wire: Connect) -> None:
    async with over_the_wire("business") as desk:
        await desk("crm_upsert", key="1", type="contact", records=[{"set": {"name": "Ann Lee"}}])
        (record,) = json.loads(await text_of(desk, "crm://contact/1"))["records"]
        assert record["name"] == "Ann Lee"
        assert len(json.loads(await text_of(desk, "aicore://connection"))["connections"]) == 4
        got = await desk.client.get_prompt("answer_the_inbox", {"limit": "3"})
        assert "3" in got.messages[0].content.text


@pytest.mark.parametrize(
    "uri",
    [
        "crm://contact/99",
        "crm://nothing/1",
        "mail://message/99",
        "calendar://event/99",
        "payments://invoice/in_99",
        "payments://invoice/..%2F..%2Fetc",
        "aicore://nothing",
        "crm://contact",
    ],
)
async def test_a_record_that_is_not_there_is_said(uri: str, in_process: Connect) -> None:
    async with in_process(business) as desk:
        with pytest.raises(MCPError) as missing:
            await desk.client.read_resource(uri)
        assert missing.value.code == INVALID_PARAMS


async def test_a_record_of_another_kind_is_not_there(in_process: Connect) -> None:
    async with in_process(payments) as desk:
        customer = await desk("payments_customer", key="k", email="ann@example.com", set={})
        with pytest.raises(MCPError):
            await desk.client.read_resource(f"payments://invoice/{customer['customer']['id']}")


@pytest.mark.parametrize("create", TEMPLATES)
async def test_a_server_proves_its_own_connection(create: Any, in_process: Connect) -> None:
    async with in_process(create) as desk:
        (proof,) = json.loads(await text_of(desk, "aicore://connection"))["connections"]
        assert proof["backend"] == "local"
        assert proof["name"]
        assert proof["can"]


@pytest.mark.parametrize(
    ("create", "expected"),
    [
        (crm, []),
        (mail, ["answer_the_inbox"]),
        (calendars, ["book_an_appointment"]),
        (payments, ["chase_overdue_invoices", "invoice_a_customer"]),
        (
            business,
            [
                "prepare_for_a_meeting",
                "chase_overdue_invoices",
                "answer_the_inbox",
                "book_an_appointment",
                "invoice_a_customer",
            ],
        ),
    ],
)
async def test_a_server_offers_the_jobs_it_has_the_tools_for(
    create: Any, expected: list[str], in_process: Connect
) -> None:
    async with in_process(create) as desk:
        prompts = (await desk.client.list_prompts()).prompts
        assert [prompt.name for prompt in prompts] == expected
        assert all(prompt.title and prompt.description for prompt in prompts)


async def test_who_may_only_read_is_offered_no_job_that_writes(in_process: Connect) -> None:
    async with in_process(business, rules=Rules(profile="read")) as desk:
        prompts = (await desk.client.list_prompts()).prompts
        assert [prompt.name for prompt in prompts] == ["prepare_for_a_meeting"]


async def test_a_job_names_only_tools_that_exist(in_process: Connect) -> None:
    async with in_process(business) as desk:
        tools = {tool.name for tool in (await desk.client.list_tools()).tools}
        for prompt in (await desk.client.list_prompts()).prompts:
            arguments = {argument.name: "X" for argument in prompt.arguments or ()}
            got = await desk.client.get_prompt(prompt.name, arguments)
            (message,) = got.messages
            words = message.content.text.replace(",", " ").replace(".", " ").split()
            named = {word.strip("()") for word in words if word.startswith(tuple(DOMAINS))}
            assert named - tools == set()
            assert message.content.text.count("X") >= len(arguments)


DOMAINS = ("crm_", "mail_", "calendar_", "payments_")
