"""People who look at a dashboard, played by a process: every camera and the telemetry, read as fast as they come."""

from __future__ import annotations

import multiprocessing
import os
import selectors
import signal
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any

NICE = 10
"""By which they stand back: their own work is not what is measured, and on another machine it would cost this one nothing."""
PATIENCE = 20.0


class Viewers:
    """`count` viewers of a dashboard at `address` (host:port), for as long as the context lasts.

    `frames` counts what they got, `ages` the first of these in ms from exposure to their socket; both are known behind the context.
    """

    KEPT = 1 << 16

    def __init__(self, address: str, cameras: Sequence[str], count: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._frames, self._messages = context.RawValue("q", 0), context.RawValue("q", 0)
        self._ages = context.RawArray("d", self.KEPT)
        self._ended = context.Event()
        paths = [*(f"cameras/{name}?credit=2" for name in cameras), "api/telemetry"]
        urls = [f"ws://{address}/{path}" for path in paths for _ in range(count)]
        arguments = (urls, self._frames, self._messages, self._ages, self._ended)
        self._process = context.Process(target=_look, args=arguments, daemon=True)

    def __enter__(self) -> Viewers:
        self._process.start()
        deadline = time.monotonic() + PATIENCE
        while not (self._frames.value and self._messages.value):
            if time.monotonic() > deadline or not self._process.is_alive():
                self._process.kill()
                raise TimeoutError("the viewers see nothing")
            time.sleep(0.05)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._process.join(5.0)
        if self._process.is_alive():
            self._process.kill()

    @property
    def frames(self) -> int:
        """Pictures that came so far, over all viewers."""
        return int(self._frames.value)

    def ages(self) -> list[float]:
        """ms from exposure to the viewer's socket, of the first KEPT pictures."""
        return list(self._ages[: min(self.frames, self.KEPT)])


def _look(urls: Sequence[str], frames: Any, messages: Any, ages: Any, ended: Any) -> None:
    """The viewers' process: all connections in one thread, which costs the machine the least."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started it
    os.nice(NICE)
    selector, parent = selectors.DefaultSelector(), os.getppid()
    for url in urls:
        wire = _Wire(url)
        selector.register(wire.socket, selectors.EVENT_READ, wire)
    while not ended.is_set() and os.getppid() == parent:
        for key, _ in selector.select(0.2):
            for payload, is_picture in key.data.read():
                if not is_picture:
                    messages.value += 1
                    continue
                if frames.value < len(ages):
                    ages[frames.value] = (time.time_ns() - struct.unpack_from(">Q", payload)[0]) / 1e6
                frames.value += 1
                key.data.ask()


class _Wire:
    """One WebSocket. Raises ConnectionError where the other side has ended it."""

    def __init__(self, url: str) -> None:
        from websockets.client import ClientProtocol
        from websockets.uri import parse_uri

        uri = parse_uri(url)
        self._protocol = ClientProtocol(uri, max_size=None)
        self.socket = socket.create_connection((uri.host, uri.port), PATIENCE)
        self._protocol.send_request(self._protocol.connect())
        self._send()

    def read(self) -> Iterator[tuple[Any, bool]]:
        """What has come: each message, and whether it is of bytes."""
        from websockets.frames import Frame, Opcode

        data = self.socket.recv(1 << 18)
        if not data:
            raise ConnectionError("the dashboard has ended a viewer's connection")
        self._protocol.receive_data(data)
        events = self._protocol.events_received()
        self._send()
        for event in events:
            if isinstance(event, Frame) and event.opcode in (Opcode.BINARY, Opcode.TEXT):
                yield event.data, event.opcode is Opcode.BINARY

    def ask(self) -> None:
        """Ask for one more picture."""
        self._protocol.send_text(b"n")
        self._send()

    def _send(self) -> None:
        self.socket.sendall(b"".join(self._protocol.data_to_send()))
