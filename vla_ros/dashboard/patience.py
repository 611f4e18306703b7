"""Connections that ask nothing: they are few and none is kept for long, so that there is always room for who wants to stop the arm."""

from __future__ import annotations

import asyncio
import resource
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

IDLE = 30.0
"""s in which a whole request must begin."""
MOST = 128
"""Connections without a request; one more, and the one that has waited longest is closed. A page has up to six."""
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


def allow_files() -> None:
    """Raise the soft limit of open files as far as it may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
