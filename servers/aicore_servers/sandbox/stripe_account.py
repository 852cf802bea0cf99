"""One account of the Stripe stand-in: its objects, how they are listed, found and expanded."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Account", "Params", "Refused", "StripeObject", "rows_of"]

StripeObject = dict[str, Any]
Params = Mapping[str, Any]
MOST_ROWS = 100
FEW_ROWS = 10
_PREFIXES = {
    "customer": "cus",
    "product": "prod",
    "price": "price",
    "invoice": "in",
    "line_item": "il",
    "invoice_payment": "inpay",
    "payment_link": "plink",
    "checkout.session": "cs_test",
    "payment_intent": "pi",
    "charge": "ch",
    "refund": "re",
    "subscription": "sub",
    "subscription_item": "si",
    "balance_transaction": "txn",
    "dispute": "du",
    "payout": "po",
}
_CLAUSE = re.compile(r"""([\w.]+)(?:\["([^"]+)"\])?(:|~)["']((?:[^"'\\]|\\.)*)["']""")
_OWN_FILTERS = ("limit", "starting_after", "ending_before", "expand", "created", "page", "query")


class Refused(Exception):
    """An answer that is an error: its HTTP status, and Stripe's type, code and parameter."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        named = {"type": kind, "message": message, "code": code, "param": param}
        self.body = {"error": {name: value for name, value in named.items() if value is not None}}


def rows_of(given: Any) -> list[dict[str, Any]]:
    """Give a list that came as a form: `{"0": …, "1": …}`."""
    return [given[key] for key in sorted(given, key=int)] if isinstance(given, dict) else []


@dataclass(slots=True)
class Account:
    """The objects of one account, the oldest first, and the mails it sent."""

    name: str
    is_live: bool
    clock: Callable[[], int]
    objects: dict[str, dict[str, StripeObject]] = field(default_factory=dict)
    mails: list[str] = field(default_factory=list)
    invoice_count: int = 0

    def add(self, kind: str, body: StripeObject, own_id: str | None = None) -> StripeObject:
        """Keep a new object, with what every object has."""
        known = self.objects.setdefault(kind, {})
        made_id = own_id or f"{_PREFIXES[kind]}_{secrets.token_hex(8)}"
        made = {
            "id": made_id,
            "object": kind,
            "created": self.clock(),
            "livemode": self.is_live,
            **body,
        }
        known[made_id] = made
        return made

    def get(self, kind: str, object_id: str, param: str = "id") -> StripeObject:
        """Give an object.

        Raises:
            Refused: there is none (404).
        """
        found = self.objects.get(kind, {}).get(object_id)
        if found is None:
            raise Refused(
                f"No such {kind.replace('_', ' ')}: '{object_id}'",
                status=404,
                code="resource_missing",
                param=param,
            )
        return found

    def all(self, kind: str) -> list[StripeObject]:
        """Give all objects of a kind that are not deleted, the newest first."""
        there = self.objects.get(kind, {}).values()
        return [one for one in reversed(there) if not one.get("deleted")]

    def listed(self, kind: str, params: Params, url: str) -> StripeObject:
        """Give a page of a list, filtered by its other parameters.

        Raises:
            Refused: `starting_after` or `limit` is wrong.
        """
        rows = [one for one in self.all(kind) if _fits(one, params)]
        after = params.get("starting_after")
        if after is not None:
            self.get(kind, after, "starting_after")
            names = [one["id"] for one in self.all(kind)]
            later = set(names[names.index(after) + 1 :])
            rows = [one for one in rows if one["id"] in later]
        page = rows[: _limit(params)]
        return {
            "object": "list",
            "url": url,
            "has_more": len(page) < len(rows),
            "data": [self.shown(one, params, "data.") for one in page],
        }

    def searched(self, kind: str, params: Params, url: str) -> StripeObject:
        """Give a page of a search: clauses of Stripe's query language, all AND or all OR.

        Raises:
            Refused: the query cannot be read.
        """
        query = params["query"]
        clauses = _CLAUSE.findall(query)
        if not clauses:
            raise Refused("We were unable to parse your search query.", param="query")
        joined = any if " OR " in query else all
        rows = [one for one in self.all(kind) if joined(_holds(one, clause) for clause in clauses)]
        start, limit = int(params.get("page", 0)), _limit(params)
        page = rows[start : start + limit]
        more = start + limit < len(rows)
        return {
            "object": "search_result",
            "url": url,
            "has_more": more,
            "next_page": str(start + limit) if more else None,
            "data": [self.shown(one, params, "data.") for one in page],
        }

    def shown(self, one: StripeObject, params: Params, under: str = "") -> StripeObject:
        """Give an object as it is answered: `expand` fills in what is otherwise an id or left out.

        Line items of links and sessions are left out unless they are asked for.
        """
        expand = {str(path).removeprefix(under) for path in params.get("expand", {}).values()}
        hidden = {"line_items"} - expand if one["object"] != "invoice" else set()
        shown = {name: value for name, value in one.items() if name not in hidden}
        for name in expand & shown.keys():
            if isinstance(shown[name], str):
                shown[name] = self._anything(shown[name]) or shown[name]
        for name in ("lines", "line_items"):
            if name in shown and len(shown[name]["data"]) > FEW_ROWS:
                first = shown[name]["data"][:FEW_ROWS]
                shown[name] = {**shown[name], "data": first, "has_more": True}
        return shown

    def _anything(self, object_id: str) -> StripeObject | None:
        found = (one.get(object_id) for one in self.objects.values())
        return next((one for one in found if one is not None), None)

    def metadata(self, one: StripeObject, params: Params) -> None:
        """Change metadata as Stripe does: key by key, an empty text takes a key out."""
        given = params.get("metadata")
        if given == "":
            one["metadata"] = {}
        elif isinstance(given, dict):
            merged = {**one.get("metadata", {}), **given}
            one["metadata"] = {name: value for name, value in merged.items() if value != ""}


def _limit(params: Params) -> int:
    limit = int(params.get("limit", 10))
    if not 1 <= limit <= MOST_ROWS:
        raise Refused("Invalid limit: must be between 1 and 100.", param="limit")
    return limit


def _fits(one: StripeObject, params: Params) -> bool:
    for name, wanted in params.items():
        if name in _OWN_FILTERS:
            continue
        has = one.get(name)
        shown = str(has).lower() if isinstance(has, bool) else has
        if wanted not in (shown, "all"):
            return False
    return _is_in_time(one.get("created", 0), params.get("created"))


def _is_in_time(created: int, bounds: Any) -> bool:
    if not isinstance(bounds, dict):
        return bounds is None or created == int(bounds)
    return (
        int(bounds.get("gte", 0)) <= created
        and created > int(bounds.get("gt", -1))
        and created <= int(bounds.get("lte", 2**62))
        and created < int(bounds.get("lt", 2**62))
    )


def _holds(one: StripeObject, clause: tuple[str, str, str, str]) -> bool:
    name, key, operator, wanted = clause
    has = one.get(name)
    if key:
        has = (has or {}).get(key)
    text, wanted = str(has or "").casefold(), wanted.replace('\\"', '"').casefold()
    return wanted in text if operator == "~" else wanted == text


def kinds_of(accounts: Mapping[str, Account]) -> Iterator[tuple[str, str, StripeObject]]:
    """Go through every object of every account: account, kind, object."""
    for name, account in accounts.items():
        for kind, objects in account.objects.items():
            for one in objects.values():
                yield name, kind, one
