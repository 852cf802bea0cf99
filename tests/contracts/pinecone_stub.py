"""A stand-in for one Pinecone index, on loopback. Not the vendor: what it does was read in
Pinecone's documentation and SDK, and nothing else.

It speaks the wire of API version 2026-07 to the real SDK: upsert, query, fetch, delete, statistics;
namespaces, metadata filters ($eq, $in), the limits of a request, 429 and 503, wrong keys. Writes
show up late: after `lag` further reads, in searches later than in fetches by id.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

API_VERSION = "2026-07"
MOST_VECTORS = 1000
MOST_DELETED = 1000
MOST_FETCHED = 1000
MOST_FOUND = 10_000
MOST_REQUEST_BYTES = 2 * 1024 * 1024
MOST_METADATA_BYTES = 40 * 1024
MOST_URL_BYTES = 8 * 1024

Vectors = dict[str, dict[str, Any]]


class Refused(Exception):
    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}


@dataclass
class PineconeStub:
    """The index. `fail` lets the next requests fail; `is_deleted` is an index that is gone."""

    dimension: int = 8
    metric: str = "cosine"
    api_key: str = "pc-test-key"
    lag: int = 0
    is_deleted: bool = False
    url: str = ""
    seen: list[str] = field(default_factory=list)
    _namespaces: dict[str, Vectors] = field(default_factory=dict)
    _shown: dict[str, Vectors] = field(default_factory=dict)
    _reads_left: int = 0
    _faults: list[Refused] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def fail(self, status: int, times: int = 1, **headers: str) -> None:
        """Answer the next requests with a status; headers as retry_after="0"."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        self._faults += [Refused(status, "asked for by the test", given)] * times

    def ids(self) -> dict[str, list[str]]:
        """What it really holds, by namespace."""
        return {name: sorted(held) for name, held in self._namespaces.items() if held}

    def answer(self, method: str, target: str, headers: Any, body: bytes) -> dict[str, Any]:
        with self._lock:
            self.seen.append(f"{method} {target} {body.decode()}")
            if self._faults:
                raise self._faults.pop(0)
            if headers.get("Api-Key") != self.api_key:
                raise Refused(401, "Invalid API key")
            if headers.get("X-Pinecone-Api-Version") != API_VERSION:
                raise Refused(400, "unknown API version")
            if self.is_deleted:
                raise Refused(404, "not found")
            if len(body) > MOST_REQUEST_BYTES:
                raise Refused(413, "request too large")
            if len(target) > MOST_URL_BYTES:
                raise Refused(414, "url too long")
            url = urlsplit(target)
            if (method, url.path) == ("GET", "/vectors/fetch"):
                return self._fetch(parse_qs(url.query))
            routes = {
                "/vectors/upsert": self._upsert,
                "/vectors/delete": self._delete,
                "/query": self._query,
                "/describe_index_stats": self._stats,
            }
            if method != "POST" or url.path not in routes:
                raise Refused(404, "no such route")
            return routes[url.path](json.loads(body or b"{}"))

    def _upsert(self, asked: dict[str, Any]) -> dict[str, Any]:
        vectors = asked["vectors"]
        if not 1 <= len(vectors) <= MOST_VECTORS:
            raise Refused(400, "too many vectors")
        for vector in vectors:
            self._check_id(vector["id"])
            self._check_values(vector["values"])
            if len(json.dumps(vector.get("metadata", {}))) > MOST_METADATA_BYTES:
                raise Refused(400, "metadata too large")
        held = self._namespaces.setdefault(asked.get("namespace", ""), {})
        held.update({vector["id"]: vector for vector in vectors})
        self._reads_left = self.lag
        return {"upsertedCount": len(vectors)}

    def _delete(self, asked: dict[str, Any]) -> dict[str, Any]:
        name = asked.get("namespace", "")
        if name not in self._namespaces:
            raise Refused(404, "Namespace not found")
        if asked.get("deleteAll"):
            del self._namespaces[name]
        else:
            if not 1 <= len(asked["ids"]) <= MOST_DELETED:
                raise Refused(400, "too many ids")
            for id_ in asked["ids"]:
                self._namespaces[name].pop(id_, None)
        self._reads_left = self.lag
        return {}

    def _fetch(self, asked: dict[str, list[str]]) -> dict[str, Any]:
        ids, name = asked.get("ids", []), asked.get("namespace", [""])[0]
        if not 1 <= len(ids) <= MOST_FETCHED:
            raise Refused(400, "too many ids")
        held = self._namespaces.get(name, {})
        return {"namespace": name, "vectors": {id_: held[id_] for id_ in ids if id_ in held}}

    def _query(self, asked: dict[str, Any]) -> dict[str, Any]:
        if not 1 <= asked["topK"] <= MOST_FOUND:
            raise Refused(400, "topK out of range")
        if self._reads_left > 0:
            self._reads_left -= 1
        else:
            self._shown = {name: dict(held) for name, held in self._namespaces.items()}
        name = asked.get("namespace", "")
        held = self._shown.get(name, {})
        if "id" in asked:
            if asked["id"] not in held:
                return {"namespace": name, "matches": []}
            values = held[asked["id"]]["values"]
        else:
            values = asked["vector"]
        self._check_values(values)
        matches = [
            {"id": id_, "score": cosine(values, vector["values"])}
            | ({"values": vector["values"]} if asked.get("includeValues") else {})
            | ({"metadata": vector.get("metadata")} if asked.get("includeMetadata") else {})
            for id_, vector in held.items()
            if fits(vector.get("metadata", {}), asked.get("filter", {}))
        ]
        matches.sort(key=lambda match: -match["score"])
        return {"namespace": name, "matches": matches[: asked["topK"]]}

    def _stats(self, _: dict[str, Any]) -> dict[str, Any]:
        counts = {name: {"vectorCount": len(held)} for name, held in self._shown.items()}
        total = sum(count["vectorCount"] for count in counts.values())
        known = {"dimension": self.dimension, "metric": self.metric, "indexFullness": 0}
        return known | {"namespaces": counts, "totalVectorCount": total}

    def _check_id(self, id_: str) -> None:
        if not (id_.isascii() and 1 <= len(id_) <= 512):
            raise Refused(400, "Vector ID must be ASCII, 1 to 512 characters")

    def _check_values(self, values: Sequence[float]) -> None:
        if len(values) != self.dimension:
            raise Refused(400, f"Vector dimension {len(values)} does not match {self.dimension}")


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    lengths = math.hypot(*one) * math.hypot(*other)
    return sum(a * b for a, b in zip(one, other, strict=True)) / lengths if lengths else 0.0


def fits(metadata: dict[str, Any], wanted: dict[str, Any]) -> bool:
    for name, condition in wanted.items():
        allowed = condition.get("$in", [condition.get("$eq")])
        if metadata.get(name) not in allowed:
            return False
    return True


@contextmanager
def running_pinecone(**settings: Any) -> Iterator[PineconeStub]:
    """An index on a free port of this machine."""
    stub = PineconeStub(**settings)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _reply(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            try:
                status, headers = 200, {}
                answer = stub.answer(self.command, self.path, self.headers, body)
            except Refused as refused:
                status, headers = refused.status, refused.headers
                answer = {"code": status, "message": str(refused), "details": []}
            data = json.dumps(answer).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = _reply  # noqa: N815  # names of http.server

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    stub.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


@pytest.fixture
def pinecone_stub() -> Iterator[PineconeStub]:
    """A stand-in that shows writes late. Not the vendor."""
    with running_pinecone(lag=2) as stub:
        yield stub
