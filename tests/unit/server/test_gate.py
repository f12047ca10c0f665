"""Gate: who may ask, how much may be sent, and what every answer says."""

import asyncio
import json
import logging

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

import biogpt
from biogpt.server.gate import Gate, access_log
from biogpt.server.limits import Limits
from biogpt.server.metrics import Metrics


def client_of(key="", hosts=(), metrics=None, **limits):
    async def answer(request):
        return PlainTextResponse(str(len(await request.body())))

    async def fail(request):
        raise ZeroDivisionError("a secret text")

    async def exhaust(request):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    routes = [
        Route("/v1/x", answer, methods=["GET", "POST"]),
        Route("/health", answer),
        Route("/fail", fail),
        Route("/exhaust", exhaust),
    ]
    limits = Limits(**limits)
    gate = Middleware(Gate, limits=limits, metrics=metrics or Metrics(), api_key=key, allowed_hosts=hosts)
    return TestClient(Starlette(routes=routes, middleware=[gate]))


def test_a_key_is_asked_for_but_not_by_what_is_open():
    client = client_of("secret")
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic secret"}, {"authorization": "é"}):
        answer = client.get("/v1/x", headers={name: value.encode() for name, value in headers.items()})
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "invalid_api_key"
    assert client.get("/v1/x", headers={"authorization": "Bearer secret"}).status_code == 200
    assert client.get("/health").status_code == 200


def test_other_names_and_other_origins_are_refused():
    client = client_of(hosts=["127.0.0.1"])
    assert client.get("/v1/x", headers={"host": "127.0.0.1:8000"}).status_code == 200
    assert client.get("/v1/x", headers={"host": "evil.example"}).status_code == 421
    headers = {"host": "127.0.0.1:8000", "origin": "http://evil.example"}
    assert client.post("/v1/x", headers=headers).status_code == 403
    assert client.post("/v1/x", headers={**headers, "origin": "http://127.0.0.1:8000"}).status_code == 200


def test_a_body_that_is_too_large_is_refused_with_and_without_its_length():
    client = client_of(max_body_bytes=10)
    assert client.post("/v1/x", content=b"x" * 10).text == "10"
    assert client.post("/v1/x", content=b"x" * 11).status_code == 413
    assert client.post("/v1/x", content=iter([b"x" * 6, b"x" * 6])).status_code == 413


def test_a_body_that_does_not_come_is_not_waited_for():
    sent = []
    scope = {
        "type": "http", "method": "POST", "path": "/v1/x", "headers": [], "query_string": b"", "client": None,
    }  # fmt: skip

    async def send(message):
        sent.append(message)

    async def receive():
        await asyncio.sleep(60)

    asyncio.run(client_of(body_seconds=0.05).app(scope, receive, send))
    assert sent[0]["status"] == 408


@pytest.mark.parametrize(
    ("path", "status", "code"), [("/fail", 500, "internal_error"), ("/exhaust", 503, "out_of_memory")]
)
def test_a_failure_is_an_error_object_and_says_nothing_of_the_inside(path, status, code, caplog):
    with caplog.at_level(logging.INFO, "biogpt"):
        answer = client_of().get(path)
    assert answer.status_code == status
    assert answer.json()["error"]["code"] == code
    assert "secret" not in answer.text + caplog.text
    if status == 500:
        assert "ZeroDivisionError in test_gate.py" in caplog.text


def test_each_answer_has_its_headers_its_figures_and_a_line_without_texts(caplog, monkeypatch):
    monkeypatch.setattr(access_log, "propagate", True)
    metrics = Metrics()
    with caplog.at_level(logging.INFO, access_log.name):
        answer = client_of(metrics=metrics).post("/v1/x?secret=1", content=b"a secret text")
    assert answer.headers["biogpt-version"] == biogpt.__version__
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    record = json.loads(caplog.messages[-1])
    assert (record["status"], record["bytes_in"], record["bytes_out"]) == (200, 13, 2)
    assert record["request"] == answer.headers["x-request-id"]
    assert "secret" not in caplog.text
    assert b'status="200"' in metrics.render()
