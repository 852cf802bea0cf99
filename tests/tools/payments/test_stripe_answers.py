"""Answers that Stripe did not give, or that cannot be read: what was sent may have been done."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from tests.contracts.payments_rows import Peer, StripeTill, effect_of

from aicore_servers.sandbox._running import running_app
from aicore_servers.sandbox.stripe import app
from aicore_tools.errors import BackendUnavailable, OutcomeUnknown
from aicore_tools.payments.records import EntryId

PAGE = b"<html>Ann Example, ann@example.com: the upstream said something else</html>"
PROXIES = [200, 204, 302, 307, 400, 404, 408, 413, 424, 499, 502]
"""Statuses of a page that is no JSON; Stripe acted before it was put in its answer's place."""


@dataclass
class Proxy:
    """Passes everything on, and spoils the answers to the next requests of one address."""

    inner: ASGIApp = field(default_factory=app)
    method: str = "POST"
    path: str = ""
    status: int = 200
    times: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        about = (scope.get("method"), scope.get("path"))
        if not self.times or about != (self.method, self.path):
            await self.inner(scope, receive, send)
            return
        self.times -= 1

        async def spoiled(message: Message) -> None:
            if message["type"] == "http.response.start":
                kind = (b"content-type", b"text/html")
                await send({**message, "status": self.status, "headers": [kind]})
            else:
                await send({**message, "body": b"" if self.status == 204 else PAGE})

        await self.inner(scope, receive, spoiled)


@pytest.fixture
def proxy() -> Proxy:
    return Proxy()


@pytest.fixture
def till(tmp_path: Path, proxy: Proxy) -> Iterator[StripeTill]:
    with running_app(proxy) as url:
        yield StripeTill(tmp_path, Peer(url))


def refunds(till: StripeTill) -> int:
    return int(till.sandbox.state["counts"].get("refund", 0))


@pytest.mark.parametrize("status", PROXIES)
async def test_what_stripe_did_is_not_undone_by_a_page_in_its_answers_place(
    till: StripeTill, proxy: Proxy, status: int
) -> None:
    async with till.ledger() as ledger:
        do = await effect_of(till, ledger, "refund")
        proxy.path, proxy.status, proxy.times = "/v1/refunds", status, 1
        first = await do("k")  # the SDK's answer cannot be read; its repeat finds it done
        again = await do("k")
        assert (again.result, again.is_replay) == (first.result, True)
    assert proxy.times == 0
    assert refunds(till) == 1


@pytest.mark.parametrize("status", PROXIES)
async def test_such_a_page_for_long_says_that_it_may_have_been_done(
    till: StripeTill, proxy: Proxy, status: int
) -> None:
    async with till.ledger() as ledger:
        do = await effect_of(till, ledger, "refund")
        proxy.path, proxy.status, proxy.times = "/v1/refunds", status, 2
        till.sandbox.fail("^GET /v1/refunds$", "status", status=503, times=2)
        with pytest.raises(OutcomeUnknown) as unknown:
            await do("k")
        assert unknown.value.outcome == "unknown"
        for told in (unknown.value.message, str(unknown.value.hint)):
            assert "ann@example.com" not in told
        assert (await do("k")).is_replay
    assert refunds(till) == 1


@pytest.mark.parametrize("status", [200, 302, 404, 408])
async def test_a_read_that_cannot_be_read_is_tried_again_and_says_nothing_of_it(
    till: StripeTill, proxy: Proxy, status: int
) -> None:
    async with till.ledger() as ledger:
        await (await effect_of(till, ledger, "refund"))("k")
        refund = next(iter(till.sandbox.state["objects"]["main"]["refund"]))
        proxy.method, proxy.path, proxy.status = "GET", f"/v1/refunds/{refund}", status
        proxy.times = 2
        with pytest.raises(BackendUnavailable) as unreadable:
            await ledger.get(EntryId(refund))
        assert "ann@example.com" not in unreadable.value.message
        assert (await ledger.get(EntryId(refund))).id == refund
