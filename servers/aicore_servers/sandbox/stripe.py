"""A stand-in for Stripe, made by us and not Stripe's. `aicore sandbox stripe` runs it.

Every request is held against Stripe's own request schemas first: what Stripe would refuse is
refused, and is listed in `GET /_sandbox/state` as a violation. Keys are `sk_test_NAME`,
`sk_live_NAME`, `rk_test_NAME…`: one account a NAME. A key with `revoked` in it is refused, one
with `readonly` may not write, one with `without-refunds` may not touch refunds.

What happens outside is done at `POST /outside/pay/{id}` (a customer pays a link, session or
invoice), `/outside/dispute/{payment intent}`, `/outside/payout/{account name}` and
`/outside/clock/{seconds}` (time goes by), `/outside/delete/{customer}` (somebody deletes one).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from aicore_servers.sandbox import stripe_billing as billing
from aicore_servers.sandbox import stripe_money as money
from aicore_servers.sandbox._faults import Sandboxed
from aicore_servers.sandbox.stripe_account import (
    Account,
    Params,
    Refused,
    StripeObject,
    kinds_of,
)
from aicore_servers.sandbox.stripe_schemas import RequestSchemas, UnknownOperation, decode_form

__all__ = ["StripeStandIn", "app"]

KEYS_KEPT_S = 24 * 3600
_KEY_PARTS = 3
_LISTS = {
    "/v1/customers": "customer",
    "/v1/prices": "price",
    "/v1/invoices": "invoice",
    "/v1/invoice_payments": "invoice_payment",
    "/v1/payment_links": "payment_link",
    "/v1/checkout/sessions": "checkout.session",
    "/v1/payment_intents": "payment_intent",
    "/v1/charges": "charge",
    "/v1/refunds": "refund",
    "/v1/subscriptions": "subscription",
    "/v1/balance_transactions": "balance_transaction",
    "/v1/disputes": "dispute",
    "/v1/payouts": "payout",
    "/v1/products": "product",
}
_Change = Callable[..., StripeObject]
_CHANGES: Mapping[str, _Change] = {
    "POST /v1/customers": billing.new_customer,
    "POST /v1/customers/{customer}": billing.update_customer,
    "POST /v1/products": billing.new_product,
    "POST /v1/products/{id}": billing.update_product,
    "POST /v1/prices": billing.new_price,
    "POST /v1/prices/{price}": billing.update_price,
    "POST /v1/invoices": billing.new_invoice,
    "POST /v1/invoices/{invoice}/add_lines": billing.add_lines,
    "POST /v1/invoices/{invoice}/finalize": billing.finalize,
    "POST /v1/invoices/{invoice}/send": billing.send,
    "POST /v1/invoices/{invoice}/void": billing.void,
    "POST /v1/invoices/{invoice}/pay": billing.pay_invoice,
    "DELETE /v1/invoices/{invoice}": billing.delete_invoice,
    "POST /v1/subscriptions": billing.new_subscription,
    "POST /v1/subscriptions/{subscription_exposed_id}": billing.update_subscription,
    "DELETE /v1/subscriptions/{subscription_exposed_id}": billing.cancel_subscription,
    "POST /v1/subscriptions/{subscription}/resume": billing.resume_subscription,
    "POST /v1/payment_links": money.new_link,
    "POST /v1/payment_links/{payment_link}": money.update_link,
    "POST /v1/checkout/sessions": money.new_session,
    "POST /v1/checkout/sessions/{session}/expire": money.expire_session,
    "POST /v1/refunds": money.new_refund,
}


_OUTSIDE: Mapping[str, _Change] = {
    "pay": money.pay,
    "dispute": money.dispute,
    "delete": billing.delete_customer,
}


@dataclass(frozen=True, slots=True)
class _Kept:
    """What was answered under an idempotency key."""

    at_s: int
    request: tuple[str, str, str]
    status: int
    body: StripeObject


@dataclass(slots=True)
class StripeStandIn:
    """The accounts, the idempotency keys, and what came in."""

    schemas: RequestSchemas = field(default_factory=RequestSchemas)
    accounts: dict[str, Account] = field(default_factory=dict)
    kept: dict[tuple[str, str], _Kept] = field(default_factory=dict)
    violations: list[dict[str, Any]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    advanced_s: int = 0

    def now_s(self) -> int:
        """Tell the time, as far as it was advanced."""
        return int(time.time()) + self.advanced_s

    def state(self) -> dict[str, Any]:
        """Show what is in it."""
        counts: dict[str, int] = {}
        for _, kind, _one in kinds_of(self.accounts):
            counts[kind] = counts.get(kind, 0) + 1
        return {
            "counts": counts,
            "mails": [mail for account in self.accounts.values() for mail in account.mails],
            "requests": self.requests,
            "violations": self.violations,
            "objects": {name: account.objects for name, account in self.accounts.items()},
        }

    def reset(self) -> None:
        """Forget everything."""
        for each in (self.accounts, self.kept, self.violations, self.requests):
            each.clear()
        self.advanced_s = 0

    async def outside(self, request: Request) -> JSONResponse:
        """Let something happen that no request of the business does."""
        what, target = request.path_params["what"], request.path_params["target"]
        if what == "clock":
            self.advanced_s += int(target)
            return JSONResponse({"now_s": self.now_s()})
        try:
            if what == "payout":
                return JSONResponse(money.payout(self.accounts[target]))
            owner = next(name for name, _, one in kinds_of(self.accounts) if one["id"] == target)
            return JSONResponse(_OUTSIDE[what](self.accounts[owner], target))
        except Refused as refused:
            return JSONResponse(refused.body, refused.status)

    async def answer(self, request: Request) -> JSONResponse:
        """Answer a request of the API."""
        method, path = request.method, request.url.path
        body = (await request.body()).decode()
        self.requests.append(f"{method} {path}")
        try:
            account = self._account(request, method, path)
            operation = self._checked(method, path, request.url.query, body)
        except Refused as refused:
            return JSONResponse(refused.body, refused.status)
        key = request.headers.get("idempotency-key")
        if key is None or method != "POST":  # Stripe keeps keys of POST alone
            return JSONResponse(*self._do(account, operation, request, body))
        return self._once(account, operation, request, body, key)

    def _once(
        self, account: Account, operation: str, request: Request, body: str, key: str
    ) -> JSONResponse:
        """Do what a key stands for once, and answer the same for a day, errors too."""
        asked = (request.method, request.url.path, f"{request.url.query}&{body}")
        known = self.kept.get((account.name, key))
        if known is not None and known.at_s + KEYS_KEPT_S > self.now_s():
            if known.request != asked:
                refused = Refused(
                    "Keys for idempotent requests can only be used with the same parameters they"
                    " were first used with.",
                    kind="idempotency_error",
                )
                return JSONResponse(refused.body, refused.status)
            return JSONResponse(known.body, known.status, {"Idempotent-Replayed": "true"})
        answer, status = self._do(account, operation, request, body)
        frozen = json.loads(json.dumps(answer))
        self.kept[account.name, key] = _Kept(self.now_s(), asked, status, frozen)
        return JSONResponse(answer, status)

    def _do(
        self, account: Account, operation: str, request: Request, body: str
    ) -> tuple[StripeObject, int]:
        params = decode_form(request.url.query) | decode_form(body)
        template = operation.partition(" ")[2].split("/")
        parts = request.url.path.split("/")
        named = [p for wanted, p in zip(template, parts, strict=True) if wanted.startswith("{")]
        try:
            if operation.startswith("GET "):
                return self._read(account, request.url.path, params, named), 200
            made = _CHANGES[operation](account, params, *named)
            return account.shown(made, params), 200
        except Refused as refused:
            return refused.body, refused.status

    def _read(self, account: Account, path: str, params: Params, named: list[str]) -> StripeObject:
        for one in account.objects.get("checkout.session", {}).values():
            money.session_now(account, one)
        if path == "/v1/account":
            return _about(account)
        if path == "/v1/balance":
            return money.balance(account)
        if path.endswith("/lines"):
            return _lines(account.get("invoice", named[0])["lines"], params, path)
        if path.endswith("/line_items"):
            kind = _LISTS[path.rsplit("/", 2)[0]]
            return _lines(account.get(kind, named[0])["line_items"], params, path)
        if named:
            kind = _LISTS[path.rpartition("/")[0]]
            return account.shown(account.get(kind, named[0]), params)
        if path.endswith("/search"):
            return account.searched(_LISTS[path.removesuffix("/search")], params, path)
        return account.listed(_LISTS[path], params, path)

    def _account(self, request: Request, method: str, path: str) -> Account:
        key = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
        parts = key.split("_", _KEY_PARTS - 1)
        is_key = len(parts) == _KEY_PARTS and parts[0] in ("sk", "rk")
        if not is_key or "revoked" in key:
            raise Refused(f"Invalid API Key provided: {key[:7]}****", status=401)
        name, _, limits = parts[2].partition("-")
        denied = limits.removeprefix("without-") if limits.startswith("without-") else None
        if (limits == "readonly" and method != "GET") or (denied and denied in path):
            resource = path.split("/")[2]
            raise Refused(
                f"The provided key '{key[:7]}****' does not have the required permissions for this"
                f" endpoint. Having the 'rak_{resource}_{'read' if method == 'GET' else 'write'}'"
                " permission would allow this request to continue.",
                status=403,
            )
        is_live = parts[1] == "live"
        return self.accounts.setdefault(name, Account(name, is_live, self.now_s))

    def _checked(self, method: str, path: str, query: str, body: str) -> str:
        """Hold a request against Stripe's schemas, and remember what is wrong with it."""
        try:
            problems = self.schemas.check(method, path, query=query, body=body)
        except UnknownOperation as error:
            self.violations.append({"request": f"{method} {path}", "param": None})
            raise Refused(f"Unrecognized request URL ({method}: {path}).", status=404) from error
        if problems:
            self.violations += [
                {"request": f"{method} {path}", "param": one.param, "message": one.message}
                for one in problems
            ]
            first = problems[0]
            raise Refused(first.message, code=first.code, param=first.param)
        return self.schemas.find(method, path)


def _lines(lines: StripeObject, params: Params, url: str) -> StripeObject:
    """Give a page of the lines of an invoice, a link or a session, the first one first."""
    rows, after = lines["data"], params.get("starting_after")
    start = next((n + 1 for n, row in enumerate(rows) if row["id"] == after), 0)
    limit = int(params.get("limit", 10))
    page = rows[start : start + limit]
    more = start + limit < len(rows)
    return {"object": "list", "url": url, "data": page, "has_more": more}


def _about(account: Account) -> StripeObject:
    return {
        "id": f"acct_{account.name}",
        "object": "account",
        "email": f"{account.name}@business.example",
        "business_profile": {"name": f"{account.name.title()} (sandbox)"},
        "settings": {"dashboard": {"display_name": f"{account.name.title()} (sandbox)"}},
        "charges_enabled": True,
        "payouts_enabled": True,
        "default_currency": "eur",
        "country": "DE",
    }


def app() -> ASGIApp:
    """Make an empty stand-in."""
    stand_in = StripeStandIn()
    routes = [
        Route("/outside/{what}/{target}", stand_in.outside, methods=["POST"]),
        Route("/v1/{path:path}", stand_in.answer, methods=["GET", "POST", "DELETE"]),
    ]
    return Sandboxed(Starlette(routes=routes), "stripe", stand_in.state, stand_in.reset)
