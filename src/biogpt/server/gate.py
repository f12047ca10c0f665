"""Gate: what every request passes before a route sees it, and every answer on its way out.

Who may ask, how much may be sent and how long that may take; headers, figures and a line in the log for each request.
Plain ASGI, so that a client that hangs up is seen, and streams are not held back.
"""

import asyncio
import hashlib
import hmac
import json
import logging
import time
import traceback
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import biogpt
from biogpt.server.attendance import ClientGoneError
from biogpt.server.failures import ApiError, describe_failure
from biogpt.server.limits import Limits
from biogpt.server.metrics import Metrics

_logger = logging.getLogger(__name__)
access_log: logging.Logger = logging.getLogger("biogpt.server.access")
"""A JSON object for each request, without its texts."""

CLIENT_GONE = 499  # in the log only, as nginx has it: no one is there to be told

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]", "::1", "testserver"})

_SECURITY_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
_OPEN_PATHS = frozenset({"/", "/health", "/docs", "/openapi.json"})
_FILE_PATH = "/v1/extract/file"


@dataclass
class Facts:
    """What a route may tell the log of its request: counts, never texts."""

    model: str = ""
    num_documents: int = 0
    num_prompt_tokens: int = 0
    num_completion_tokens: int = 0


def facts_of(scope: Any) -> Facts:
    """The facts of a request."""
    facts: Facts = scope["state"]["facts"]
    return facts


class Gate:
    """The outermost part of the app.

    Args:
        app: what is behind it.
        limits: of what is sent.
        metrics: told of every request.
        api_key: what a client must show to use what is not open; empty: nothing.
        allowed_hosts: names by which the server may be called; none: any. A page of another site that has its own name
            point to this machine (DNS rebinding) is refused so.
    """

    def __init__(
        self, app: ASGIApp, limits: Limits, metrics: Metrics, api_key: str = "", allowed_hosts: Collection[str] = ()
    ) -> None:
        self._app = app
        self._limits = limits
        self._metrics = metrics
        self._key_digest = _digest(api_key) if api_key else b""
        self._allowed_hosts = frozenset(name.lower() for name in allowed_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        visit = _Visit(scope, receive, send, self._limits)
        try:
            try:
                self._check(scope)
                await self._app(scope, visit.receive, visit.send)
            except ClientGoneError:
                visit.status = CLIENT_GONE
            except asyncio.CancelledError:
                visit.status = visit.status or CLIENT_GONE
                raise
            except Exception as error:
                failure = describe_failure(error)
                if failure.status == 500:
                    _logger.error("Request %s failed: %s", visit.id, _trace(error))
                    _logger.debug("%s", "".join(traceback.format_exception(error)))
                if visit.status:  # too late to say so: an answer that ends early is not taken for whole
                    raise
                response = JSONResponse(failure.body, failure.status, failure.headers)
                await response(scope, visit.receive, visit.send)
        finally:
            self._note(scope, visit)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        path = scope["path"]
        if self._allowed_hosts and _host_name(headers.get("host", "")) not in self._allowed_hosts:
            raise ApiError(
                421,
                "This server is not called by that name. Start it with --allow-host to allow the name.",
                code="unknown_host",
            )
        origin = headers.get("origin")
        if scope["method"] not in ("GET", "HEAD") and origin and origin.partition("://")[2] != headers.get("host", ""):
            raise ApiError(403, "Requests of pages of other sites are not answered.", code="other_origin")
        if self._key_digest and path not in _OPEN_PATHS and not path.startswith("/page/"):
            scheme, _, key = headers.get("authorization", "").partition(" ")
            # Digests of equal length, compared in constant time: neither length nor content of the key can be timed.
            if scheme.lower() != "bearer" or not hmac.compare_digest(_digest(key.strip()), self._key_digest):
                raise ApiError(
                    401,
                    "Got no valid API key, expected one in the header Authorization: Bearer KEY.",
                    type="authentication_error",
                    code="invalid_api_key",
                )
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > self._max_bytes(path):
            raise too_large(self._max_bytes(path))

    def _max_bytes(self, path: str) -> int:
        return self._limits.max_file_bytes if path == _FILE_PATH else self._limits.max_body_bytes

    def _note(self, scope: Scope, visit: "_Visit") -> None:
        seconds = time.monotonic() - visit.started_at
        route = getattr(scope.get("route"), "path", "") or ("/page" if scope["path"].startswith("/page/") else "other")
        method = scope["method"] if scope["method"] in ("GET", "POST", "HEAD", "OPTIONS") else "other"
        self._metrics.requests.labels(route, method, visit.status).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        facts = facts_of(scope)
        if facts.model:
            self._metrics.documents.labels(facts.model).inc(facts.num_documents)
            self._metrics.tokens.labels(facts.model, "prompt").inc(facts.num_prompt_tokens)
            self._metrics.tokens.labels(facts.model, "completion").inc(facts.num_completion_tokens)
        record = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "request": visit.id,
            "client": (scope.get("client") or ("",))[0],
            "method": method,
            "route": route,
            "status": visit.status,
            "ms": round(1000 * seconds, 1),
            "bytes_in": visit.num_received,
            "bytes_out": visit.num_sent,
            "model": facts.model,
            "documents": facts.num_documents,
            "prompt_tokens": facts.num_prompt_tokens,
            "completion_tokens": facts.num_completion_tokens,
        }
        access_log.info(json.dumps({name: value for name, value in record.items() if value not in ("", 0)}))


class _Visit:
    """One request: counts what comes and goes, and adds headers."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, limits: Limits) -> None:
        self.id = uuid.uuid4().hex[:16]
        self.started_at = time.monotonic()
        self.status = 0
        self.num_received = 0
        self.num_sent = 0
        self._receive = receive
        self._send = send
        self._max_bytes = limits.max_file_bytes if scope["path"] == _FILE_PATH else limits.max_body_bytes
        self._body_seconds = limits.body_seconds
        self._has_body = True
        self._path = scope["path"]
        scope.setdefault("state", {})["facts"] = Facts()

    async def receive(self) -> Message:
        """The next part of the request, in time and not too large."""
        if not self._has_body:
            return await self._receive()  # that the client is gone
        try:
            async with asyncio.timeout(self._body_seconds):
                message = await self._receive()
        except TimeoutError:
            raise ApiError(408, "The request did not arrive in time. Send it again.", code="slow_request") from None
        if message["type"] == "http.request":
            self.num_received += len(message.get("body", b""))
            self._has_body = message.get("more_body", False)
            if self.num_received > self._max_bytes:
                raise too_large(self._max_bytes)
        return message

    async def send(self, message: Message) -> None:
        """Pass a part of the answer on."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["biogpt-version"] = biogpt.__version__
            headers["x-request-id"] = self.id
            for name, value in _SECURITY_HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("cache-control", "no-cache" if self._path.startswith("/page/") else "no-store")
        elif message["type"] == "http.response.body":
            self.num_sent += len(message.get("body", b""))
        await self._send(message)


def too_large(max_bytes: int) -> ApiError:
    """The error for a body of more than so many bytes."""
    return ApiError(413, f"The request has more than {max_bytes:,} bytes. Send it in parts.", code="request_too_large")


def _trace(error: BaseException) -> str:
    """Where an error comes from, on one line, without its message, which may repeat a text."""
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    places = (f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in reversed(frames))
    return f"{type(error).__name__} in {' < '.join(places)}"


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode(errors="surrogateescape")).digest()


def _host_name(host: str) -> str:
    """The name of a Host header, without its port."""
    if host.startswith("["):
        return host.partition("]")[0].lower() + "]"
    return host.partition(":")[0].lower()
