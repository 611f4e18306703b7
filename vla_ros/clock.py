"""Clocks: time is handed to whoever needs it; only these two objects read or make it."""

from __future__ import annotations

import ctypes
import time
from typing import Protocol

SECOND = 1_000_000_000
MILLISECOND = 1_000_000


class Clock(Protocol):
    """Monotonic nanoseconds, and a way to wait for a moment of the same clock."""

    def now(self) -> int:
        """Nanoseconds of this clock."""

    def sleep_until(self, moment: int) -> None:
        """Return when `now()` is `moment` or later."""


class _TimeSpec(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long)]


class MonotonicClock:
    """CLOCK_MONOTONIC. Sleeps to an absolute moment, so that a late cycle does not shift the ones behind it."""

    def __init__(self) -> None:
        self._nanosleep = ctypes.CDLL("libc.so.6").clock_nanosleep

    def now(self) -> int:
        """CLOCK_MONOTONIC in nanoseconds: the same value in every process of this host."""
        return time.monotonic_ns()

    def sleep_until(self, moment: int) -> None:
        """Sleep with TIMER_ABSTIME (man 2 clock_nanosleep); a moment that is past returns at once."""
        moment_spec = _TimeSpec(*divmod(moment, SECOND))
        while time.monotonic_ns() < moment:
            self._nanosleep(time.CLOCK_MONOTONIC, 1, ctypes.byref(moment_spec), None)


class VirtualClock:
    """A clock that moves only when it is told to: offline rollouts and tests."""

    def __init__(self, start: int = 0) -> None:
        self._now = start

    def now(self) -> int:
        """Nanoseconds since `start` was set."""
        return self._now

    def sleep_until(self, moment: int) -> None:
        """Jump to `moment`; a moment that is past changes nothing."""
        self._now = max(self._now, moment)
