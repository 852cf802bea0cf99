"""Google's sandbox: Gmail v1, Calendar v3 and the OAuth endpoints, made by us, in memory.

Every request and every answer is checked against Google's own discovery documents; what does not
fit them is answered 400 and counted in `violations`, an answer of ours that does not is a crash.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from aicore_servers.sandbox._faults import Sandboxed
from aicore_servers.sandbox.google_accounts import Accounts, TokenRefused
from aicore_servers.sandbox.google_calendar import GoogleCalendar
from aicore_servers.sandbox.google_discovery import Method, documents
from aicore_servers.sandbox.google_fields import selected
from aicore_servers.sandbox.google_mail import GoogleMail
from aicore_servers.sandbox.google_wire import Call, Handler, Refusal, invalid

__all__ = ["app"]


def app() -> ASGIApp:
    """Make a fresh sandbox.

    Beside Google's paths there is `POST /_google/settings` with any of `rewrites_message_ids`
    (true or false), `alias` (`[account, address]`), `calendars` (`{account: {id: zone}}`, the
    primary one first), `forgets_deleted` (true or false: of a deleted event no more is left than
    Google promises) and `end_tokens` (true).
    """
    google = _Google()
    routes = [
        Route("/token", google.token, methods=["POST"]),
        Route("/o/oauth2/v2/auth", google.consent, methods=["GET"]),
        Route("/_google/settings", google.settings, methods=["POST"]),
        Route("/{path:path}", google.call, methods=["GET", "POST", "PUT", "PATCH", "DELETE"]),
    ]
    return Sandboxed(Starlette(routes=routes), "google", google.state, google.reset)


class _Google:
    def __init__(self) -> None:
        self._documents = documents()
        self.reset()

    def reset(self) -> None:
        """Empty everything."""
        self._accounts = Accounts()
        self._mail = GoogleMail()
        self._calendar = GoogleCalendar()
        self._handlers: Mapping[str, Handler] = {**self._mail.handlers, **self._calendar.handlers}
        self._violations: list[str] = []
        self._calls: dict[str, int] = {}

    def state(self) -> dict[str, Any]:
        """Give what a test looks at."""
        return {
            "calls": self._calls,
            "violations": self._violations,
            "refreshes": self._accounts.refreshes,
            "mail": self._mail.state(),
            "calendar": self._calendar.state(),
        }

    async def token(self, request: Request) -> Response:
        async with request.form() as form:
            given = {name: str(value) for name, value in form.items()}
        try:
            return JSONResponse(self._accounts.token(given))
        except TokenRefused as refused:
            body = {"error": refused.error, "error_description": refused.description}
            return JSONResponse(body, 400)

    async def consent(self, request: Request) -> Response:
        return RedirectResponse(self._accounts.consent(request.query_params))

    async def settings(self, request: Request) -> Response:
        given = await request.json()
        if "rewrites_message_ids" in given:
            self._mail.rewrites_message_ids = given["rewrites_message_ids"]
        if "alias" in given:
            self._mail.add_alias(*given["alias"])
        for account, calendars in given.get("calendars", {}).items():
            self._calendar.seed(account, calendars)
        if "forgets_deleted" in given:
            self._calendar.forgets_deleted = given["forgets_deleted"]
        if given.get("end_tokens"):
            self._accounts.end_tokens()
        return JSONResponse({})

    async def call(self, request: Request) -> Response:
        try:
            return await self._answer(request)
        except Refusal as refusal:
            return JSONResponse(refusal.body(), refusal.status)

    async def _answer(self, request: Request) -> Response:
        found = [each.match(request.method, request.url.path) for each in self._documents]
        method, path = next((each for each in found if each), (None, {}))
        if method is None:
            raise Refusal(404, "notFound", f"There is no {request.method} {request.url.path}.")
        authorization = request.headers.get("authorization", "")
        account = self._accounts.account_of(authorization, method.scopes)
        self._calls[method.id] = self._calls.get(method.id, 0) + 1
        handler = self._handlers.get(method.id)
        if handler is None:
            raise Refusal(501, "notImplemented", f"The sandbox does not know {method.id}.")
        parameters = self._parameters(method, request, path)
        body, media = await self._body(method, request)
        answer = handler(
            Call(
                account=account,
                parameters=parameters,
                body=body,
                media=media,
                if_match=request.headers.get("if-match", ""),
            )
        )
        return self._checked(method, answer, parameters.get("fields", ""))

    def _parameters(
        self, method: Method, request: Request, path: Mapping[str, str]
    ) -> dict[str, Any]:
        given: dict[str, Any] = dict(path)
        for name in request.query_params:
            if name not in method.parameters and name != "uploadType":
                self._violation(f"{method.id}: there is no parameter {name}")
            values = request.query_params.getlist(name)
            given[name] = values if name in method.repeated else values[-1]
        for name, value in given.items():
            schema = method.parameters.get(name, {})
            if schema.get("type") == "boolean" and value in {"true", "false"}:
                given[name] = value == "true"
            elif schema.get("type") == "integer" and value.isdigit():
                given[name] = int(value)
            for each in given[name] if name in method.repeated else [given[name]]:
                self._check(method, Draft202012Validator(schema), each, name)
        return given

    async def _body(self, method: Method, request: Request) -> tuple[dict[str, Any], bytes | None]:
        raw = await request.body()
        media, kind = None, request.headers.get("content-type", "")
        if request.url.path.startswith("/upload/"):
            raw, media = _uploaded(raw, kind)
        if not raw:
            return {}, media
        if method.body is None:
            self._violation(f"{method.id}: takes no body")
        body = json.loads(raw)
        # null in a patch takes a field out; no schema of Google's has it.
        shown = _without_null(body) if request.method == "PATCH" else body
        if request.method == "PATCH" and method.body is not None:
            self._check(method, Draft202012Validator({**_schema(method), "required": []}), shown)
        elif method.body is not None:
            self._check(method, method.body, shown)
        return body, media

    def _check(
        self, method: Method, validator: Draft202012Validator, given: object, name: str = "body"
    ) -> None:
        for error in validator.iter_errors(given):
            where = ".".join([name, *map(str, error.absolute_path)])
            self._violation(f"{method.id}: {where}: {error.message}")

    def _violation(self, what: str) -> None:
        self._violations.append(what)
        raise invalid(what)

    def _checked(self, method: Method, answer: dict[str, Any] | None, fields: str) -> Response:
        if method.answer is None or answer is None:
            if (method.answer is None) != (answer is None):
                raise AssertionError(f"{method.id} answers a body or none, as Google does")
            return Response(status_code=204)
        for error in method.answer.iter_errors(answer):
            raise AssertionError(f"our answer to {method.id} is none of Google's: {error.message}")
        return JSONResponse(selected(answer, fields) if fields else answer)


def _uploaded(raw: bytes, kind: str) -> tuple[bytes, bytes]:
    """Part an upload into its JSON and the message; a plain one has no JSON."""
    found = re.search(r'boundary="?([^";]+)', kind)
    if found is None:
        return b"", raw
    parts = raw.split(f"--{found[1]}".encode())[1:3]
    bodies = [re.split(rb"\r?\n\r?\n", part, maxsplit=1)[-1] for part in parts]
    return bodies[0].strip(), re.sub(rb"\r?\n\Z", b"", bodies[1])


def _schema(method: Method) -> Mapping[str, Any]:
    schema = method.body.schema if method.body is not None else {}
    return schema if isinstance(schema, Mapping) else {}


def _without_null(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_null(each) for name, each in value.items() if each is not None}
    return value
