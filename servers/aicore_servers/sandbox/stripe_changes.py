"""What changed in Stripe's requests between the schema file and the SDK that we use.

`NEWER` and `ADDED` are read from the parameter types of stripe-python 16.1 (API 2026-10-28), which
is MIT; only what our backend sends is in them, all else is reported as unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

__all__ = ["ADDED", "NEWER", "Schema"]

Schema: TypeAlias = dict[str, Any]

STR: Schema = {"type": "string"}
INT: Schema = {"type": "integer"}
DECIMAL: Schema = {"type": "string", "format": "decimal"}
MAP: Schema = {"type": "object", "additionalProperties": STR}
UNSET: Schema = {"type": "string", "enum": [""]}


def _obj(required: tuple[str, ...] = (), **properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(required)}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _or_unset(schema: Schema) -> Schema:
    return {"anyOf": [schema, UNSET]}


DISCOUNTS = _or_unset(_list(_obj(coupon=STR, discount=STR, promotion_code=STR)))
PRICING = _obj(price=STR)
PRODUCT_DATA = _obj(
    ("name",), name=STR, description=STR, metadata=MAP, tax_code=STR, unit_label=STR
)
PRICE_DATA = _obj(
    ("currency",),
    currency=STR,
    product=STR,
    product_data=PRODUCT_DATA,
    tax_behavior={"type": "string", "enum": ["exclusive", "inclusive", "unspecified"]},
    unit_amount=INT,
    unit_amount_decimal=DECIMAL,
)
RECURRING = _obj(
    ("interval",),
    interval={"type": "string", "enum": ["day", "week", "month", "year"]},
    interval_count=INT,
)
LINE = _obj(
    amount=INT,
    description=STR,
    discountable={"type": "boolean"},
    discounts=DISCOUNTS,
    invoice_item=STR,
    metadata=_or_unset(MAP),
    period=_obj(("start", "end"), start=INT, end=INT),
    price_data=PRICE_DATA,
    pricing=PRICING,
    quantity=INT,
    quantity_decimal=DECIMAL,
    tax_rates=_or_unset(_list(STR)),
)
RENDERING = _obj(
    amount_tax_display=STR,
    pdf=_obj(page_size=STR),
    template=STR,
    template_version={"anyOf": [INT, UNSET]},
)
INVOICE_ADD = {
    "number": STR,
    "rendering": RENDERING,
    "automatically_finalizes_at": INT,
    "discounts": DISCOUNTS,
}
CREATED: Schema = {"anyOf": [INT, _obj(gt=INT, gte=INT, lt=INT, lte=INT)]}
PAGE: dict[str, Schema] = {
    "ending_before": STR,
    "expand": _list(STR),
    "limit": INT,
    "starting_after": STR,
}

NEWER: Mapping[str, tuple[dict[str, Schema], tuple[str, ...]]] = {
    "POST /v1/customers": (
        {"business_name": _or_unset(STR), "individual_name": _or_unset(STR)},
        ("coupon", "promotion_code"),
    ),
    "POST /v1/customers/{customer}": (
        {"business_name": _or_unset(STR), "individual_name": _or_unset(STR)},
        (
            "bank_account",
            "card",
            "coupon",
            "default_alipay_account",
            "default_bank_account",
            "default_card",
            "promotion_code",
        ),
    ),
    "POST /v1/products": (
        {"marketing_features": _list(_obj(("name",), name=STR))},
        ("features",),
    ),
    "POST /v1/products/{id}": (
        {"marketing_features": _or_unset(_list(_obj(("name",), name=STR)))},
        ("features",),
    ),
    "POST /v1/prices": (
        {"recurring.meter": STR, "recurring.trial_period_days": INT},
        ("recurring.aggregate_usage",),
    ),
    "POST /v1/invoices": (INVOICE_ADD, ("rendering_options",)),
    "POST /v1/payment_links": (
        {
            "inactive_message": STR,
            "restrictions": _obj(
                ("completed_sessions",), completed_sessions=_obj(("limit",), limit=INT)
            ),
            "line_items[].price_data": {
                **PRICE_DATA,
                "properties": {**PRICE_DATA["properties"], "recurring": RECURRING},
            },
            "payment_intent_data.description": STR,
            "payment_intent_data.metadata": MAP,
            "subscription_data.metadata": MAP,
        },
        ("line_items[].price!",),  # "!": stays allowed, no longer required
    ),
    "POST /v1/payment_links/{payment_link}": (
        {
            "inactive_message": _or_unset(STR),
            "restrictions": _or_unset(
                _obj(("completed_sessions",), completed_sessions=_obj(("limit",), limit=INT))
            ),
        },
        (),
    ),
    "POST /v1/subscriptions": (
        {"discounts": DISCOUNTS, "items[].discounts": DISCOUNTS},
        ("coupon", "promotion_code"),
    ),
    "POST /v1/subscriptions/{subscription_exposed_id}": (
        {"discounts": DISCOUNTS, "items[].discounts": DISCOUNTS},
        ("coupon", "promotion_code"),
    ),
    "POST /v1/subscriptions/{subscription}/resume": (
        {
            "payment_behavior": {
                "type": "string",
                "enum": ["resume_on_payment_attempt", "resume_on_payment_success"],
            }
        },
        (),
    ),
}
"""Operation to the parameters to add ("a.b" and "a[].b" reach inside) and to remove."""

ADDED: Mapping[str, dict[str, Schema]] = {
    "GET /v1/account": {"query": {"expand": _list(STR)}},
    "GET /v1/balance_transactions": {
        "query": {**PAGE, "created": CREATED, "currency": STR, "source": STR, "type": STR},
    },
    "GET /v1/charges/{charge}": {"query": {"expand": _list(STR)}},
    "GET /v1/checkout/sessions": {
        "query": {
            **PAGE,
            "created": CREATED,
            "customer": STR,
            "payment_intent": STR,
            "payment_link": STR,
            "status": {"type": "string", "enum": ["complete", "expired", "open"]},
        },
    },
    "GET /v1/checkout/sessions/{session}": {"query": {"expand": _list(STR)}},
    "GET /v1/invoice_payments": {
        "query": {
            **PAGE,
            "created": CREATED,
            "invoice": STR,
            "payment": _obj(("type",), type=STR, payment_intent=STR, payment_record=STR),
            "status": {"type": "string", "enum": ["canceled", "open", "paid"]},
        },
    },
    "GET /v1/checkout/sessions/{session}/line_items": {"query": PAGE},
    "GET /v1/invoices/{invoice}/lines": {"query": PAGE},
    "GET /v1/payment_links/{payment_link}/line_items": {"query": PAGE},
    "GET /v1/payouts": {
        "query": {**PAGE, "arrival_date": CREATED, "created": CREATED, "status": STR}
    },
    "GET /v1/payouts/{payout}": {"query": {"expand": _list(STR)}},
    "POST /v1/checkout/sessions": {
        "body": _obj(
            ("mode", "success_url", "line_items"),
            mode={"type": "string", "enum": ["payment", "setup", "subscription"]},
            success_url=STR,
            cancel_url=STR,
            customer=STR,
            customer_email=STR,
            client_reference_id=STR,
            expires_at=INT,
            expand=_list(STR),
            metadata=MAP,
            payment_intent_data=_obj(description=STR, metadata=MAP),
            line_items=_list(
                _obj(
                    price=STR,
                    price_data={
                        **PRICE_DATA,
                        "properties": {**PRICE_DATA["properties"], "recurring": RECURRING},
                    },
                    quantity=INT,
                )
            ),
        ),
    },
    "POST /v1/checkout/sessions/{session}/expire": {"body": _obj(expand=_list(STR))},
    "POST /v1/invoices/{invoice}/add_lines": {
        "body": _obj(
            ("lines",),
            lines=_list(LINE),
            invoice_metadata=_or_unset(MAP),
            expand=_list(STR),
        ),
    },
}
"""Operations that the schema file does not cover."""
