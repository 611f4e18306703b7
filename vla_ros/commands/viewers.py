"""People who look at a dashboard, played by a process: every camera and the telemetry, read as fast as they come."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import struct
import threading
import time
from collections.abc import Sequence
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
        self._frames, self._messages = context.Value("q", 0), context.Value("q", 0)
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
    """The viewers' process: a thread for each connection."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started it
    os.nice(NICE)
    for url in urls:
        threading.Thread(target=_read, args=(url, frames, messages, ages), daemon=True).start()
    parent = os.getppid()
    while not ended.wait(0.2) and os.getppid() == parent:
        pass


def _read(url: str, frames: Any, messages: Any, ages: Any) -> None:
    from websockets.sync.client import connect

    with connect(url, max_queue=1, compression=None) as wire:
        while True:
            packet = wire.recv()
            if isinstance(packet, str):
                json.loads(packet)
                with messages.get_lock():
                    messages.value += 1
                continue
            age = (time.time_ns() - struct.unpack_from(">Q", packet)[0]) / 1e6
            with frames.get_lock():
                if frames.value < len(ages):
                    ages[frames.value] = age
                frames.value += 1
            wire.send("n")
