"""ROS time on the wire, CLOCK_MONOTONIC inside: the map between the two, and the word when it breaks."""

from __future__ import annotations

from collections.abc import Callable

from vla_ros.clock import MILLISECOND, SECOND

STEP = 5 * MILLISECOND
"""A change between the two clocks that counts as a step: a reason to hold."""
SETTLE = 1 * SECOND
"""How long after a step stamps are not believed: what was stamped before it has then been read."""
_SAMPLES = 5


class TimeMap:
    """ROS time minus monotonic time, followed as the clock is disciplined; `check` says when it jumped."""

    def __init__(self, ros: Callable[[], int], monotonic: Callable[[], int]) -> None:
        self._ros, self._monotonic = ros, monotonic
        self._offset = self._sample()
        self._settled = 0

    def to_ros(self, moment: int) -> int:
        """ROS time of a monotonic moment, ns."""
        return moment + self._offset

    def to_monotonic(self, stamp: int) -> int:
        """Monotonic moment of a ROS stamp, ns."""
        return stamp - self._offset

    def check(self) -> int:
        """Look at both clocks: the step in ns where there was one of more than STEP, else 0. Follows either way."""
        offset = self._sample()
        change, self._offset = offset - self._offset, offset
        if abs(change) <= STEP:
            return 0
        self._settled = self._monotonic() + SETTLE
        return change

    def believed(self) -> bool:
        """Whether stamps may be compared: false for SETTLE after a step."""
        return self._monotonic() >= self._settled

    def _sample(self) -> int:
        """The offset, from the tightest of a few readings."""
        readings = []
        for _ in range(_SAMPLES):
            before = self._monotonic()
            ros = self._ros()
            after = self._monotonic()
            readings.append((after - before, ros - (before + after) // 2))
        return min(readings)[1]
