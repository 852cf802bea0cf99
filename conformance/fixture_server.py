"""The tools, resources and prompts that the official suite asks for, on our serving code.

Only for `make conformance`. What is under test is `aicore_servers._serve`: transport, host
checks, both protocol eras. The fixtures are what the suite's scenarios describe, no more.

    python conformance/fixture_server.py --http --port 0
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

import anyio
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.prompts.base import Prompt, UserMessage
from mcp.server.mcpserver.tools import Tool
from mcp.shared.exceptions import MCPError
from mcp.types import (
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    AudioContent,
    Completion,
    CreateMessageRequest,
    CreateMessageRequestParams,
    CreateMessageResult,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    EmbeddedResource,
    EmptyResult,
    ImageContent,
    InputRequest,
    InputRequiredResult,
    ListRootsRequest,
    ListRootsResult,
    SamplingMessage,
    SetLevelRequestParams,
    SubscribeRequestParams,
    TextContent,
    TextResourceContents,
    UnsubscribeRequestParams,
)
from pydantic import BaseModel, Field

from aicore_servers._serve import Program, ServeSettings, serve

PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"
    "AAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
WAV = base64.b64encode(
    b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data\0\0\0\0"
).decode()

SCHEMA_2020_12: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}

Messages = list[UserMessage]


def text(value: str) -> TextContent:
    return TextContent(type="text", text=value)


def image() -> ImageContent:
    return ImageContent(type="image", data=PNG, mime_type="image/png")


def embedded(uri: str, mime_type: str, value: str) -> EmbeddedResource:
    contents = TextResourceContents(uri=uri, mime_type=mime_type, text=value)
    return EmbeddedResource(type="resource", resource=contents)


def question(message: str, field: str, kind: str = "string") -> ElicitRequest:
    schema = {"type": "object", "properties": {field: {"type": kind}}, "required": [field]}
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def sample(prompt: str, max_tokens: int) -> CreateMessageRequest:
    messages = [SamplingMessage(role="user", content=text(prompt))]
    return CreateMessageRequest(
        params=CreateMessageRequestParams(messages=messages, max_tokens=max_tokens)
    )


def answer(responses: Any, key: str, field: str) -> str | None:
    """Give the field of a person's answer, or None when it was not (rightly) given."""
    given = (responses or {}).get(key)
    if isinstance(given, ElicitResult) and given.content and field in given.content:
        return str(given.content[field])
    return None


# -- tools -----------------------------------------------------------------------------------


def test_simple_text() -> str:
    """Give one block of text."""
    return "This is a simple text response for testing."


def test_image_content() -> list[ImageContent]:
    """Give one image."""
    return [image()]


def test_audio_content() -> list[AudioContent]:
    """Give one sound."""
    return [AudioContent(type="audio", data=WAV, mime_type="audio/wav")]


def test_embedded_resource() -> list[EmbeddedResource]:
    """Give one embedded resource."""
    content = "This is an embedded resource content."
    return [embedded("test://embedded-resource", "text/plain", content)]


def test_multiple_content_types() -> list[TextContent | ImageContent | EmbeddedResource]:
    """Give text, an image and a resource."""
    data = json.dumps({"test": "data", "value": 123})
    mixed = embedded("test://mixed-content-resource", "application/json", data)
    return [text("Multiple content types test:"), image(), mixed]


def test_error_handling() -> str:
    """Fail."""
    raise RuntimeError("This tool intentionally returns an error for testing")


async def test_tool_with_logging(ctx: Context) -> str:
    """Send three log messages."""
    await ctx.info("Tool execution started")
    await anyio.sleep(0.05)
    await ctx.info("Tool processing data")
    await anyio.sleep(0.05)
    await ctx.info("Tool execution completed")
    return "done"


async def test_tool_with_progress(ctx: Context) -> str:
    """Report progress three times."""
    for progress in (0, 50, 100):
        await ctx.report_progress(progress, 100)
        await anyio.sleep(0.05)
    return "done"


async def test_reconnection(ctx: Context) -> str:
    """Close the stream in the middle of the call."""
    await ctx.close_sse_stream()
    await anyio.sleep(0.2)
    return "Reconnection test completed"


def test_x_mcp_header(region: str) -> str:
    """Take an argument that is mirrored into a header."""
    return region


async def test_sampling(prompt: str, ctx: Context) -> str:
    """Ask the client's model."""
    messages = [SamplingMessage(role="user", content=text(prompt))]
    result = await ctx.session.create_message(
        messages=messages, max_tokens=100, related_request_id=ctx.request_id
    )
    return f"LLM response: {result.content}"


class UserResponse(BaseModel):
    username: str = Field(description="User's response")
    email: str = Field(description="User's email address")


class Defaults(BaseModel):
    name: str = "John Doe"
    age: int = 30
    score: float = 95.5
    status: str = Field("active", json_schema_extra={"enum": ["active", "inactive", "pending"]})
    verified: bool = True


def titled(*names: str) -> list[dict[str, str]]:
    return [{"const": f"value{n}", "title": name} for n, name in enumerate(names, 1)]


OPTIONS = ["option1", "option2", "option3"]
OLD_STYLE = {"enum": ["opt1", "opt2", "opt3"], "enumNames": ["Option One", "Two", "Three"]}


class Choices(BaseModel):
    untitledSingle: str = Field(json_schema_extra={"enum": [*OPTIONS]})  # noqa: N815 # the suite's
    titledSingle: str = Field(json_schema_extra={"oneOf": titled("A", "B", "C")})  # noqa: N815 # same
    legacyEnum: str = Field(json_schema_extra={**OLD_STYLE})  # noqa: N815 # same
    untitledMulti: list[str] = Field(  # noqa: N815 # same
        json_schema_extra={"items": {"type": "string", "enum": [*OPTIONS]}}
    )
    titledMulti: list[str] = Field(  # noqa: N815 # same
        json_schema_extra={"items": {"anyOf": titled("A", "B", "C")}}
    )


async def ask(ctx: Context, message: str, schema: type[BaseModel]) -> str:
    result = await ctx.elicit(message=message, schema=schema)
    content = result.data.model_dump() if result.action == "accept" else {}
    return f"action={result.action}, content={json.dumps(content)}"


async def test_elicitation(message: str, ctx: Context) -> str:
    """Ask the person at the client."""
    return "User response: " + await ask(ctx, message, UserResponse)


async def test_elicitation_sep1034_defaults(ctx: Context) -> str:
    """Ask with defaults."""
    return "Elicitation completed: " + await ask(ctx, "Please confirm", Defaults)


async def test_elicitation_sep1330_enums(ctx: Context) -> str:
    """Ask with every kind of choice."""
    return "Elicitation completed: " + await ask(ctx, "Please choose", Choices)


async def test_missing_capability(ctx: Context) -> str:
    """Need a client that declares sampling."""
    capabilities = ctx.client_capabilities
    if capabilities is None or capabilities.sampling is None:
        raise MCPError(
            code=MISSING_REQUIRED_CLIENT_CAPABILITY,
            message="This tool needs a client with sampling.",
            data={"requiredCapabilities": {"sampling": {}}},
        )
    return "ok"


async def test_input_required_result_elicitation(ctx: Context) -> str | InputRequiredResult:
    """Ask for a name."""
    name = answer(ctx.input_responses, "user_name", "name")
    if name is not None:
        return f"Hello, {name}!"
    return InputRequiredResult(input_requests={"user_name": question("What is your name?", "name")})


async def test_input_required_result_sampling(ctx: Context) -> str | InputRequiredResult:
    """Ask the client's model for a capital."""
    given = (ctx.input_responses or {}).get("capital_question")
    if isinstance(given, CreateMessageResult):
        return f"Model said: {given.content}"
    return InputRequiredResult(
        input_requests={"capital_question": sample("What is the capital of France?", 100)}
    )


async def test_input_required_result_list_roots(ctx: Context) -> str | InputRequiredResult:
    """Ask for the client's roots."""
    given = (ctx.input_responses or {}).get("client_roots")
    if isinstance(given, ListRootsResult):
        return f"Roots: {', '.join(str(root.uri) for root in given.roots)}"
    return InputRequiredResult(input_requests={"client_roots": ListRootsRequest()})


async def test_input_required_result_request_state(ctx: Context) -> str | InputRequiredResult:
    """Keep a state over the question."""
    if ctx.request_state == "waiting" and answer(ctx.input_responses, "confirm", "ok"):
        return "state-ok"
    return InputRequiredResult(
        input_requests={"confirm": question("Please confirm", "ok", "boolean")},
        request_state="waiting",
    )


async def test_input_required_result_tampered_state(ctx: Context) -> str | InputRequiredResult:
    """Refuse a state that was changed on the way; the SDK's boundary does."""
    return await test_input_required_result_request_state(ctx)


async def test_input_required_result_multiple_inputs(ctx: Context) -> str | InputRequiredResult:
    """Ask three things at once."""
    requests: dict[str, InputRequest] = {
        "user_name": question("What is your name?", "name"),
        "greeting": sample("Generate a greeting", 50),
        "client_roots": ListRootsRequest(),
    }
    if set(requests) <= set(ctx.input_responses or {}):
        return "all given"
    return InputRequiredResult(input_requests=requests, request_state="three")


async def test_input_required_result_multi_round(ctx: Context) -> str | InputRequiredResult:
    """Ask twice, and remember the first answer in the state."""
    state = json.loads(ctx.request_state or "{}")
    color = answer(ctx.input_responses, "step2", "color")
    if "name" in state and color is not None:
        return f"{state['name']} likes {color}."
    name = answer(ctx.input_responses, "step1", "name")
    if name is not None:
        return InputRequiredResult(
            input_requests={"step2": question("Step 2: What is your favorite color?", "color")},
            request_state=json.dumps({"name": name}),
        )
    return InputRequiredResult(
        input_requests={"step1": question("Step 1: What is your name?", "name")},
        request_state=json.dumps({"round": 1}),
    )


async def test_input_required_result_capabilities(ctx: Context) -> InputRequiredResult:
    """Ask only what the client has declared."""
    declared = ctx.client_capabilities
    requests: dict[str, InputRequest] = {}
    if declared is not None and declared.sampling is not None:
        requests["sample"] = sample("Say hello", 50)
    if declared is not None and declared.elicitation is not None:
        requests["ask"] = question("What is your name?", "name")
    return InputRequiredResult(input_requests=requests, request_state="declared")


async def test_trigger_tool_change(ctx: Context) -> str:
    """Change the list of tools and say so."""
    ctx.mcp_server.add_tool(test_simple_text, name="test_dynamic_tool")
    ctx.mcp_server.remove_tool("test_dynamic_tool")
    await ctx.notify_tools_changed()
    return "changed"


async def test_trigger_prompt_change(ctx: Context) -> str:
    """Change the list of prompts and say so."""
    ctx.mcp_server.add_prompt(Prompt.from_function(test_simple_prompt, name="test_dynamic_prompt"))
    ctx.mcp_server.remove_prompt("test_dynamic_prompt")
    await ctx.notify_prompts_changed()
    return "changed"


def schema_tools() -> Sequence[Tool]:
    """Two tools whose schemas Python annotations cannot say."""
    wide = Tool.from_function(
        test_simple_text, name="json_schema_2020_12_tool", description="Has a wide schema."
    )
    wide.parameters = SCHEMA_2020_12
    header = Tool.from_function(test_x_mcp_header)
    header.parameters["properties"]["region"]["x-mcp-header"] = "Region"
    return [wide, header]


# -- prompts ---------------------------------------------------------------------------------


def test_simple_prompt() -> Messages:
    """Take nothing."""
    return [UserMessage(role="user", content=text("This is a simple prompt for testing."))]


def test_prompt_with_arguments(arg1: str, arg2: str) -> Messages:
    """Take two arguments."""
    content = f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"
    return [UserMessage(role="user", content=text(content))]


def test_prompt_with_embedded_resource(resourceUri: str) -> Messages:  # noqa: N803 # the suite's name
    """Embed a resource."""
    resource = embedded(resourceUri, "text/plain", "Embedded resource content for testing.")
    please = text("Please process the embedded resource above.")
    return [UserMessage(role="user", content=part) for part in (resource, please)]


def test_prompt_with_image() -> Messages:
    """Hold an image."""
    please = text("Please analyze the image above.")
    return [UserMessage(role="user", content=part) for part in (image(), please)]


async def test_input_required_result_prompt(ctx: Context) -> Messages | InputRequiredResult:
    """Ask before the prompt is given."""
    context = answer(ctx.input_responses, "user_context", "context")
    if context is not None:
        return [UserMessage(role="user", content=text(f"Use this context: {context}"))]
    asked = question("What context should the prompt use?", "context")
    return InputRequiredResult(input_requests={"user_context": asked})


# -- the server ------------------------------------------------------------------------------

TOOLS = [
    test_simple_text,
    test_image_content,
    test_audio_content,
    test_embedded_resource,
    test_multiple_content_types,
    test_error_handling,
    test_tool_with_logging,
    test_tool_with_progress,
    test_reconnection,
    test_sampling,
    test_elicitation,
    test_elicitation_sep1034_defaults,
    test_elicitation_sep1330_enums,
    test_missing_capability,
    test_input_required_result_elicitation,
    test_input_required_result_sampling,
    test_input_required_result_list_roots,
    test_input_required_result_request_state,
    test_input_required_result_tampered_state,
    test_input_required_result_multiple_inputs,
    test_input_required_result_multi_round,
    test_input_required_result_capabilities,
    test_trigger_tool_change,
    test_trigger_prompt_change,
]
PROMPTS = [
    test_simple_prompt,
    test_prompt_with_arguments,
    test_prompt_with_embedded_resource,
    test_prompt_with_image,
    test_input_required_result_prompt,
]


async def accept(_ctx: Any, _params: Any) -> EmptyResult:
    """Acknowledge a request of 2025 that needs no work here."""
    return EmptyResult()


def add_resources(server: MCPServer[Any]) -> None:
    """Add the four resources."""

    @server.resource("test://static-text", mime_type="text/plain")
    def static_text() -> str:
        """Text."""
        return "This is the content of the static text resource."

    @server.resource("test://static-binary", mime_type="image/png")
    def static_binary() -> bytes:
        """An image."""
        return base64.b64decode(PNG)

    @server.resource("test://template/{id}/data", mime_type="application/json")
    def template(id: str) -> str:
        """Data for an id."""
        return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})

    @server.resource("test://watched-resource", mime_type="text/plain")
    def watched() -> str:
        """Text to subscribe to."""
        return "Watched resource content"


def create(_: ServeSettings) -> MCPServer[Any]:
    """Make the fixture server."""
    server: MCPServer[Any] = MCPServer("aicore-conformance", version="0", tools=[*schema_tools()])
    for tool in TOOLS:
        server.add_tool(tool)
    for prompt in PROMPTS:
        server.add_prompt(Prompt.from_function(prompt))
    add_resources(server)

    @server.completion()
    async def complete(_ref: Any, _argument: Any, _context: Any) -> Completion:
        return Completion(values=[], total=0, has_more=False)

    for method, params in (
        ("logging/setLevel", SetLevelRequestParams),
        ("resources/subscribe", SubscribeRequestParams),
        ("resources/unsubscribe", UnsubscribeRequestParams),
    ):
        # mcp 2.3 has no public way to add these three; our own servers do not offer them.
        server._lowlevel_server.add_request_handler(method, params, accept)
    return server


if __name__ == "__main__":
    serve(Program(name="aicore-conformance", description="The suite's fixtures.", create=create))
