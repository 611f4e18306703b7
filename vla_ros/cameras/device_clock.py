"""The host's time of moments that a device stamped with a clock of its own, from nothing but when the stamps arrived.

An arrival is late by the transport, never early. So the line under all points (device, arrival - device), as near to them as can be,
is the clock's offset and drift plus the shortest transport there is (Moon, Skelly, Towsley: Estimation and Removal of Clock Skew from
Network Delay Measurements, INFOCOM 1999). All times are ns.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from vla_ros.clock import MILLISECOND, SECOND

BIN, BINS = SECOND, 60
"""Of each second the quickest arrival is kept, for a minute."""
MAX_DRIFT = 200e-6
"""More than a crystal does (50 ppm), so that a steeper line is the transport's doing."""
MIN_SPAN = 5 * SECOND
"""Of a shorter time the transport's jitter would pass for drift."""
EARLY = 50 * MILLISECOND
"""Who arrives so much before its time has been stamped by a clock that began anew."""


class Point(NamedTuple):
    """A stamp of the device, and by how much later (by the host's clock) it arrived."""

    device: int
    lag: int


class Line(NamedTuple):
    """The lag of an arrival without delay: `lag` at `device`, and its drift in s per s."""

    device: int
    lag: float
    drift: float

    def at(self, device: int) -> int:
        """The lag at a moment of the device."""
        return round(self.lag + self.drift * (device - self.device))


def unwrap(raw: int, last: int, period: int) -> int:
    """The moment nearest to `last` at which a counter that begins anew every `period` reads `raw`."""
    half = period // 2
    return last + (raw - last + half) % period - half


def line_below(points: Sequence[Point]) -> Line:
    """The line that no point lies below, with the smallest sum of distances to them; of a drift that a clock can have.

    `points` are in the order of time, at least one.
    """
    if points[-1].device - points[0].device < MIN_SPAN:
        return _level(points, 0.0)
    hull = _lower_hull(points)
    middle = sum(point.device for point in points) / len(points)
    left, right = next((a, b) for a, b in pairwise(hull) if b.device >= middle)
    return _level(points, (right.lag - left.lag) / (right.device - left.device))


def _level(points: Sequence[Point], drift: float) -> Line:
    """The highest line of that drift, or of the steepest that a clock can have, with no point below it."""
    drift = min(max(drift, -MAX_DRIFT), MAX_DRIFT)
    origin = points[-1].device
    return Line(origin, min(point.lag - drift * (point.device - origin) for point in points), drift)


def _lower_hull(points: Sequence[Point]) -> list[Point]:
    """The lower half of the convex hull (A. M. Andrew 1979)."""
    hull: list[Point] = []
    for point in points:
        while len(hull) > 1 and _cross(hull[-2], hull[-1], point) <= 0:
            hull.pop()
        hull.append(point)
    return hull


def _cross(a: Point, b: Point, c: Point) -> int:
    """Above zero where a, b, c turn to the left."""
    return (b.device - a.device) * (c.lag - a.lag) - (b.lag - a.lag) * (c.device - a.device)


class DeviceClock:
    """Maps a device's stamps to the host's clock; late by the shortest transport, which a device does not tell.

    `period` is after how many ns the device's counter begins anew, 0: never. A clock that jumps is a new clock.
    """

    def __init__(self, period: int = 0) -> None:
        self._period = period
        self._points: deque[Point] = deque(maxlen=BINS)
        self._last: int | None = None

    def to_host(self, device: int, arrival: int) -> int:
        """The host's time of the device's moment, which has been told of at `arrival`."""
        device = self._unwrapped(device)
        if self._is_new(device, arrival):
            self._points.clear()
        self._last = device
        self._keep(Point(device, arrival - device))
        return device + line_below(self._points).at(device)

    def _unwrapped(self, device: int) -> int:
        if self._last is None or not self._period:
            return device
        return unwrap(device, self._last, self._period)

    def _is_new(self, device: int, arrival: int) -> bool:
        if self._last is None or not self._points:
            return False
        return device < self._last or arrival < device + line_below(self._points).at(device) - EARLY

    def _keep(self, point: Point) -> None:
        """Of every bin the point with the least lag."""
        if not self._points or point.device // BIN != self._points[-1].device // BIN:
            self._points.append(point)
        elif point.lag < self._points[-1].lag:
            self._points[-1] = point
