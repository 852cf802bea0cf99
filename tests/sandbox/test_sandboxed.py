"""What every sandbox has: a label, faults on demand, and a look inside."""

import logging
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from aicore_servers.sandbox._faults import Sandboxed
from aicore_servers.sandbox._running import running_app


class Counter:
    def __init__(self) -> None:
        self.count = 0

    async def add(self, _: Request) -> JSONResponse:
        self.count += 1
        return JSONResponse({"count": self.count})

    def reset(self) -> None:
        self.count = 0


@pytest.fixture
def url() -> Any:
    counter = Counter()
    app = Starlette(routes=[Route("/v1/things", counter.add, methods=["POST"])])
    boxed = Sandboxed(
        app, name="thing", state=lambda: {"count": counter.count}, reset=counter.reset
    )
    with running_app(boxed) as url:
        yield url


def fail(url: str, **fault: Any) -> httpx2.Response:
    return httpx2.post(f"{url}/_sandbox/faults", json=fault, timeout=5)


def count(url: str) -> int:
    return int(httpx2.get(f"{url}/_sandbox/state", timeout=5).json()["count"])


def test_every_answer_says_whose_it_is(url: str) -> None:
    for path in ("/v1/things", "/elsewhere", "/_sandbox/state"):
        label = httpx2.post(url + path, timeout=5).headers["x-aicore-sandbox"]
        assert label == "thing (not the vendor)"


@pytest.mark.parametrize(("kind", "counted"), [("drop_before", 0), ("drop_after", 1)])
def test_a_cut_connection_comes_before_or_after_the_effect(
    url: str, kind: str, counted: int, caplog: pytest.LogCaptureFixture
) -> None:
    fail(url, on="POST /v1/things", kind=kind)
    with caplog.at_level(logging.ERROR), pytest.raises(httpx2.TransportError):
        httpx2.post(f"{url}/v1/things", timeout=5)
    assert count(url) == counted
    assert httpx2.post(f"{url}/v1/things", timeout=5).json() == {"count": counted + 1}
    assert caplog.records == []


def test_a_status_is_answered_as_often_as_asked(url: str) -> None:
    fail(url, on="things$", kind="status", status=429, headers={"Retry-After": "3"}, times=2)
    answers = [httpx2.post(f"{url}/v1/things", timeout=5) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [429, 429, 200]
    assert answers[0].headers["retry-after"] == "3"
    assert count(url) == 1


def test_reset_empties_it_and_takes_faults_back(url: str) -> None:
    httpx2.post(f"{url}/v1/things", timeout=5)
    fail(url, on="things", kind="status")
    httpx2.post(f"{url}/_sandbox/reset", timeout=5)
    assert count(url) == 0
    assert httpx2.post(f"{url}/v1/things", timeout=5).status_code == 200


def test_a_fault_that_cannot_be_read_is_refused(url: str) -> None:
    assert fail(url, on="things", kind="explode").status_code == 400
