"""Work that many ask for and one does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

from vla_ros.clock import Clock

T = TypeVar("T")


class Once(Generic[T]):
    """What `work` gives, done by one thread at a time and kept for `kept` ns. Belongs to one event loop."""

    def __init__(self, work: Callable[[], T], kept: int, clock: Clock) -> None:
        self._work, self._kept, self._clock = work, kept, clock
        self._turn = asyncio.Lock()
        self._value: tuple[int, T] | None = None

    async def get(self) -> T:
        """The value, at most `kept` ns old."""
        async with self._turn:
            if self._value is None or self._clock.now() - self._value[0] > self._kept:
                value = await asyncio.to_thread(self._work)
                self._value = self._clock.now(), value
            return self._value[1]
