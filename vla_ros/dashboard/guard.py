"""Stands before the application: every request and WebSocket passes it, so no route can forget a check."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from vla_ros.clock import Clock
from vla_ros.dashboard.access import Access, Limiter, Scope, owner_of

ASGI = Callable[[Any, Any, Any], Awaitable[None]]
BODY = 16 * 1024
"""Bytes of a request's body at most."""
PATIENCE = 10.0
"""s in which a body has to come."""
CLOSED_BY_POLICY = 1008
"""RFC 6455, 7.4.1."""
STOP = "/api/stop"
SESSION = "/api/session"
PUBLIC = ("/healthz", SESSION)
OWN = ("", "none", "same-origin")
"""Sec-Fetch-Site (W3C Fetch Metadata) of what no other site's page has caused."""
HEADERS = {
    b"content-security-policy": b"default-src 'self'; img-src 'self' blob: data:; style-src 'self' 'unsafe-inline'; "
    b"frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
}


class TooLargeError(Exception):
    """The body went on behind BODY."""


class Guard:
    """Refuses foreign hosts and origins, wrong tokens, what a token does not allow, too much and too often.

    Stop needs no more than `watch`, and is neither counted nor measured.
    """

    def __init__(self, app: ASGI, access: Access, clock: Clock) -> None:
        self.app, self._access, self._clock = app, access, clock
        self._changes, self._questions = Limiter(rate=20, burst=60), Limiter(rate=100, burst=400)
        self._failures = Limiter(rate=1, burst=20)
        self.refused = 0

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """ASGI 3."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        status, text = self._judge(scope)
        if status:
            self.refused += 1
            await _refuse(scope, receive, send, status, text)
        elif scope["type"] == "websocket":
            await self.app(scope, receive, send)
        else:
            await self._serve(scope, receive, send)

    def _judge(self, scope: MutableMapping[str, Any]) -> tuple[int, str]:
        """The status with which to refuse, and why; 0 where it may pass."""
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if not self._access.may_be_called(headers.get("host", "")):
            return 421, "this host is called by another name here: use the address that was printed at the start"
        writes = scope["type"] == "websocket" or scope["method"] not in ("GET", "HEAD")
        if writes and not self._access.may_come_from(headers.get("origin", "")):
            return (
                403,
                "a page of another origin may not do this: open the dashboard itself, or add to dashboard.origins",
            )
        needed = needs(scope["path"], writes)
        foreign = headers.get("sec-fetch-site", "") not in OWN
        if foreign and needed is not None and not self._access.names(headers.get("origin", "")):
            return 403, "another site's page may not look at this robot"
        scope.setdefault("state", {})["scopes"] = held = self._access.scopes(owner_of(headers.items()))
        refusal = _allowed(needed, held)
        address, now = (scope.get("client") or ("unknown", 0))[0], self._clock.now()
        guesses = refusal[0] == 401 or (writes and scope["path"] == SESSION)
        if guesses and not self._failures.take(address, now):
            return 429, "too many wrong tokens: wait a while"
        if scope["path"] == STOP or refusal[0]:
            return refusal
        counted = self._changes if writes and needed is not None else self._questions
        if not counted.take(address, now):
            return 429, "too many requests: wait a second"
        return 0, ""

    async def _serve(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            body = b"" if scope["path"] == STOP else await asyncio.wait_for(_body(receive), PATIENCE)
        except TooLargeError as error:
            self.refused += 1
            await _refuse(scope, receive, send, 413, str(error))
        except (TimeoutError, asyncio.TimeoutError):
            self.refused += 1
            await _refuse(scope, receive, send, 408, f"the body did not come within {PATIENCE:g} s")
        else:
            await self.app(scope, _replayed(body, receive), _dressed(send))


def needs(path: str, writes: bool) -> Scope | None:
    """The scope that a path needs; None for those that tell nothing. The page itself is none of them: it asks for the token."""
    if path == STOP:
        return "watch"
    if path in PUBLIC or not path.startswith(("/api/", "/cameras/", "/metrics", "/openapi.json")):
        return None
    if path in ("/api/telemetry",) or path.startswith("/cameras/"):
        return "watch"
    if writes and path.startswith("/api/recorder/"):
        return "record"
    return "drive" if writes else "watch"


def _allowed(needed: Scope | None, held: frozenset[Scope]) -> tuple[int, str]:
    if needed is None or needed in held:
        return 0, ""
    if not held:
        return 401, "a token is needed: Authorization: Bearer TOKEN, or POST /api/session"
    return 403, f"this token does not allow to {needed}"


async def _body(receive: Any) -> bytes:
    """The whole body. Raises TooLargeError behind BODY bytes, whatever Content-Length has promised."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > BODY:
            raise TooLargeError(f"the body is larger than {BODY} bytes")
        if not message.get("more_body", False):
            return body


def _replayed(body: bytes, receive: Any) -> Any:
    """`receive` that gives the body that was read, and then what comes: that the other side has left."""
    given = False

    async def replayed() -> Any:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed


def _dressed(send: Any) -> Any:
    """`send` with HEADERS in every response."""

    async def dressed(message: Any) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), *HEADERS.items()]
        await send(message)

    return dressed


async def _refuse(scope: Any, receive: Any, send: Any, status: int, text: str) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": CLOSED_BY_POLICY, "reason": text[:120]})
        return
    body = json.dumps({"detail": text}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *HEADERS.items()]
    headers += [(b"connection", b"close")] if status in (408, 413) else []
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
