"""The stand-in for Stripe behaves as Stripe documents it, seen over HTTP alone."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture
def stripe(sandbox: Callable[[str], Any]) -> Iterator["Wire"]:
    with httpx2.Client(base_url=sandbox("stripe").url, timeout=5) as client:
        yield Wire(client)


class Wire:
    """Speaks to it as curl would."""

    def __init__(self, client: httpx2.Client) -> None:
        self.client = client

    def __call__(self, method: str, path: str, body: str = "", **headers: str) -> Any:
        given = {"authorization": "Bearer sk_test_main", **FORM, **headers}
        given = {name.replace("_", "-"): value for name, value in given.items()}
        return self.client.request(method, path, content=body, headers=given)

    def made(self, path: str, body: str, **headers: str) -> Any:
        answer = self("POST", path, body, **headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def refused(self, method: str, path: str, body: str = "", **headers: str) -> tuple[int, Any]:
        answer = self(method, path, body, **headers)
        return answer.status_code, answer.json()["error"]

    @property
    def state(self) -> Any:
        return self.client.get("/_sandbox/state").json()

    def outside(self, what: str, target: str) -> Any:
        return self.client.post(f"/outside/{what}/{target}")

    def invoice(self, days: int = 14) -> Any:
        customer = self.made("/v1/customers", "email=a%40b.de")["id"]
        body = f"customer={customer}&collection_method=send_invoice&days_until_due={days}"
        invoice = self.made("/v1/invoices", body)["id"]
        lines = "lines[0][description]=x&lines[0][amount]=500"
        return self.made(f"/v1/invoices/{invoice}/add_lines", lines)


def test_every_answer_says_that_it_is_not_stripe(stripe: Wire) -> None:
    for answer in (stripe("GET", "/v1/account"), stripe("GET", "/v1/nothing")):
        assert answer.headers["x-aicore-sandbox"] == "stripe (not the vendor)"


def test_what_stripe_would_refuse_is_refused_and_remembered(stripe: Wire) -> None:
    cases = [
        ("POST", "/v1/customers", "emial=a", "emial", "parameter_unknown"),
        ("POST", "/v1/customers", "address[zip]=1", "address[zip]", "parameter_unknown"),
        ("POST", "/v1/refunds", "amount=abc", "amount", "parameter_invalid_integer"),
        ("POST", "/v1/products", "", "name", "parameter_missing"),
        ("GET", "/v1/invoices?state=open", "", "state", "parameter_unknown"),
        ("POST", "/v1/invoices/in_1/add_lines", "", "lines", "parameter_missing"),
        ("POST", "/v1/refunds", "amount=5&amount=50", "amount", None),
        ("POST", "/v1/invoices", "customer=cus_1&rendering_options[x]=1", None, None),
    ]
    for method, path, body, param, code in cases:
        status, error = stripe.refused(method, path, body)
        assert (status, error["type"]) == (400, "invalid_request_error")
        assert param is None or error["param"].startswith(param)
        assert code is None or error["code"] == code
    status, _ = stripe.refused("GET", "/v1/nothing")
    assert status == 404
    assert len(stripe.state["violations"]) == len(cases) + 1
    assert stripe.state["counts"] == {}


def test_a_key_gives_the_same_answer_for_a_day(stripe: Wire) -> None:
    first = stripe("POST", "/v1/customers", "email=a%40b.de", idempotency_key="k")
    again = stripe("POST", "/v1/customers", "email=a%40b.de", idempotency_key="k")
    assert again.json() == first.json()
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    status, error = stripe.refused("POST", "/v1/customers", "email=c%40d.de", idempotency_key="k")
    assert (status, error["type"]) == (400, "idempotency_error")
    assert stripe.state["counts"] == {"customer": 1}
    stripe.outside("clock", "86401")
    stripe.made("/v1/customers", "email=c%40d.de", idempotency_key="k")
    assert stripe.state["counts"] == {"customer": 2}


def test_keys_are_kept_of_posts_alone(stripe: Wire) -> None:
    """https://docs.stripe.com/api/idempotent_requests: a key with GET or DELETE has no effect."""
    customer = stripe.made("/v1/customers", "email=a%40b.de")["id"]
    draft = stripe.made("/v1/invoices", f"customer={customer}")["id"]
    assert stripe("DELETE", f"/v1/invoices/{draft}", idempotency_key="k").status_code == 200
    again = stripe("DELETE", f"/v1/invoices/{draft}", idempotency_key="k")
    assert again.status_code == 404
    assert "idempotent-replayed" not in again.headers


def test_a_key_keeps_a_refusal_too(stripe: Wire) -> None:
    body = "payment_intent=pi_0"
    assert stripe.refused("POST", "/v1/refunds", body, idempotency_key="k")[0] == 404
    answer = stripe("POST", "/v1/refunds", body, idempotency_key="k")
    assert (answer.status_code, answer.headers["idempotent-replayed"]) == (404, "true")


@pytest.mark.parametrize(
    ("key", "status"),
    [("sk_test_revoked", 401), ("", 401), ("pk_test_main", 401), ("rk_test_main-readonly", 403)],
)
def test_keys_are_judged(stripe: Wire, key: str, status: int) -> None:
    refused, error = stripe.refused("POST", "/v1/customers", authorization=f"Bearer {key or None}")
    assert refused == status
    assert not key or key not in error["message"]


def test_no_more_goes_back_than_came_in(stripe: Wire) -> None:
    invoice = stripe.invoice()
    stripe.made(f"/v1/invoices/{invoice['id']}/finalize", "")
    intent = stripe.outside("pay", invoice["id"]).json()["id"]
    assert stripe.outside("pay", invoice["id"]).status_code == 400
    assert stripe.made("/v1/refunds", f"payment_intent={intent}&amount=200")["amount"] == 200
    status, error = stripe.refused("POST", "/v1/refunds", f"payment_intent={intent}&amount=301")
    assert (status, error["param"]) == (400, "amount")
    assert stripe.made("/v1/refunds", f"payment_intent={intent}")["amount"] == 300
    status, error = stripe.refused("POST", "/v1/refunds", f"payment_intent={intent}")
    assert (status, error["code"]) == (400, "charge_already_refunded")


def test_an_invoice_goes_its_way_and_no_other(stripe: Wire) -> None:
    invoice = stripe.invoice()
    path = f"/v1/invoices/{invoice['id']}"
    assert (invoice["status"], invoice["total"], invoice["number"]) == ("draft", 500, None)
    assert stripe.refused("POST", f"{path}/void")[0] == 400
    assert stripe.refused("POST", f"{path}/pay", "paid_out_of_band=true")[0] == 400
    assert stripe.made(f"{path}/finalize", "")["status"] == "open"
    assert stripe.refused("POST", f"{path}/finalize")[1]["code"] == "invoice_not_editable"
    assert stripe.refused("DELETE", path)[0] == 400
    lines = "lines[0][description]=x&lines[0][amount]=500"
    assert stripe.refused("POST", f"{path}/add_lines", lines)[0] == 400
    for _ in range(2):
        assert stripe.made(f"{path}/send", "")["status"] == "open"
    assert stripe.state["mails"] == [invoice["id"]] * 2
    assert stripe.made(f"{path}/pay", "paid_out_of_band=true")["status"] == "paid"
    assert stripe.refused("POST", f"{path}/void")[0] == 400
    other = stripe.invoice()
    assert stripe("DELETE", f"/v1/invoices/{other['id']}").json()["deleted"] is True
    assert stripe("GET", f"/v1/invoices/{other['id']}").status_code == 404


def test_lists_come_in_pages(stripe: Wire) -> None:
    made = [stripe.made("/v1/customers", f"email={n}%40b.de")["id"] for n in range(12)]
    first = stripe("GET", "/v1/customers").json()
    assert (len(first["data"]), first["has_more"]) == (10, True)
    after = first["data"][-1]["id"]
    rest = stripe("GET", f"/v1/customers?starting_after={after}").json()
    ids = [row["id"] for row in first["data"] + rest["data"]]
    assert (ids, rest["has_more"]) == (made[::-1], False)
    only = stripe("GET", "/v1/customers?email=3%40b.de").json()["data"]
    assert [row["id"] for row in only] == [made[3]]
    assert stripe.refused("GET", "/v1/customers?limit=101")[0] == 400
    assert stripe.refused("GET", "/v1/customers?starting_after=cus_0")[0] == 404
    page = stripe("GET", "/v1/customers/search?query=email~%22b.de%22&limit=7").json()
    more = f"&page={page['next_page']}"
    last = stripe("GET", f"/v1/customers/search?query=email~%22b.de%22&limit=7{more}").json()
    assert (len(page["data"]), len(last["data"]), last["has_more"]) == (7, 5, False)
    assert stripe.refused("GET", "/v1/customers/search?query=b.de")[0] == 400


def test_faults_cut_the_connection_before_and_after(stripe: Wire) -> None:
    for kind, count in (("drop_before", 0), ("drop_after", 1)):
        stripe.client.post("/_sandbox/faults", json={"on": "POST /v1/customers", "kind": kind})
        with pytest.raises(httpx2.TransportError):
            stripe("POST", "/v1/customers", "email=a%40b.de")
        assert stripe.state["counts"].get("customer", 0) == count
    stripe.client.post("/_sandbox/reset")
    assert stripe.state["counts"] == {}


def test_accounts_see_only_their_own(stripe: Wire) -> None:
    made = stripe.made("/v1/customers", "email=a%40b.de")["id"]
    other = {"authorization": "Bearer sk_test_other"}
    assert stripe.refused("GET", f"/v1/customers/{made}", **other)[0] == 404
    assert stripe("GET", "/v1/customers", **other).json()["data"] == []
    live = stripe.made("/v1/customers", "email=a%40b.de", authorization="Bearer sk_live_shop")
    assert live["livemode"] is True


def test_a_default_price_and_a_known_id_are_kept(stripe: Wire) -> None:
    price = "default_price_data[currency]=eur&default_price_data[unit_amount]=5"
    made = stripe.made("/v1/products", f"name=x&id=own&{price}")
    status, error = stripe.refused("POST", "/v1/products", "name=x&id=own")
    assert (status, error["code"]) == (400, "resource_already_exists")
    path = f"/v1/prices/{made['default_price']}"
    assert stripe.refused("POST", path, "active=false")[0] == 400
    full = stripe("GET", f"{path}?expand[]=product").json()
    assert full["product"]["name"] == "x"
