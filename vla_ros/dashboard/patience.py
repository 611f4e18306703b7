"""Connections that ask nothing are few and not kept for long, and none can keep the server busy by itself: who wants to stop the arm

finds room, and is heard soon.
"""

from __future__ import annotations

import asyncio
import resource
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from vla_ros.clock import Clock
from vla_ros.dashboard.access import Bucket

IDLE = 30.0
"""s in which a whole request must begin."""
MOST = 128
"""Connections without a request; one more, and the one that has waited longest is closed. A page has up to six."""
BYTES, BURST = 8 * 1024, 16 * 1024
"""Bytes a second that a WebSocket may send, and at once: a pad sends 5 kB/s, and frames of six bytes keep a server busy."""
FILES = 65536
"""Open files that are asked for, where the system allows it."""


def patient(most: int = MOST, idle: float = IDLE) -> type[asyncio.Protocol]:
    """The HTTP protocol of one server."""
    waiting: dict[Any, asyncio.TimerHandle] = {}

    class Patient(H11Protocol):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._waits()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.cycle is not None and not self.cycle.response_complete:
                self._asks()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._waits()

        def handle_websocket_upgrade(self, event: Any) -> None:
            self._asks()
            super().handle_websocket_upgrade(event)

        def connection_lost(self, exc: Exception | None) -> None:
            self._asks()
            super().connection_lost(exc)

        def _waits(self) -> None:
            self._asks()
            waiting[self] = self.loop.call_later(idle, self.transport.close)
            if len(waiting) > most:
                first = next(iter(waiting))
                first._asks()
                first.transport.close()

        def _asks(self) -> None:
            timer = waiting.pop(self, None)
            if timer is not None:
                timer.cancel()

    return Patient


def measured(clock: Clock) -> type[asyncio.Protocol]:
    """The WebSocket protocol of one server: who sends more than he may is cut off, unread."""

    class Measured(WebSocketsSansIOProtocol):
        _bucket: Bucket | None = None

        def data_received(self, data: bytes) -> None:
            if self._bucket is None:  # the first is the handshake
                self._bucket = Bucket(BYTES, BURST)
            elif not self._bucket.take(clock.now(), len(data)):
                self.transport.abort()
                return
            super().data_received(data)

    return Measured


def allow_files() -> None:
    """Raise the soft limit of open files as far as it may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
