"""The server: uvicorn around the application, in a thread of its own beside whoever hears the robot."""

from __future__ import annotations

import socket
import threading
from typing import Any

import uvicorn

from vla_ros.clock import MonotonicClock
from vla_ros.config import Config
from vla_ros.dashboard.access import AccessError
from vla_ros.dashboard.patience import allow_files, measured, patient

MESSAGE = 4096
"""Bytes of a WebSocket message to us at most: a wish of the pad has 200."""
QUEUE = 4
"""Messages of one WebSocket that wait to be read."""


class Server:
    """Serves from `start` to `stop`. Raises AccessError where the address cannot be had."""

    def __init__(self, app: Any, config: Config) -> None:
        d = config.dashboard
        self._socket = _listen(d.host, d.port)
        settings = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=1,
            timeout_keep_alive=30,
            h11_max_incomplete_event_size=16384,
            http=patient(),
            ws=measured(MonotonicClock()),
            ws_max_size=MESSAGE,
            ws_max_queue=QUEUE,
            ws_ping_interval=5.0,
            ws_ping_timeout=10.0,
            ws_per_message_deflate=False,  # JPEG does not shrink, and the rest is small
            ssl_certfile=d.certificate or None,
            ssl_keyfile=d.key or None,
        )
        self._server = uvicorn.Server(settings)
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    def start(self) -> None:
        """Serve, in a thread of its own."""
        allow_files()
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it serves still."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Serve no more; open streams are cut."""
        self._server.should_exit = True
        self._thread.join(3.0)
        self._socket.close()

    def _run(self) -> None:
        self._server.run(sockets=[self._socket])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise AccessError(
            f"the dashboard cannot have {host}:{port} ({error.strerror}): choose another dashboard.host or dashboard.port"
        ) from None
    return listening
