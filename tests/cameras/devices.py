"""A camera for tests: numbered grey pictures on a virtual clock."""

from __future__ import annotations

import numpy as np

from vla_ros.clock import MILLISECOND, SECOND, Clock
from vla_ros.values import Frame, Intrinsics

LAG = 2 * MILLISECOND
"""From exposure to arrival."""
PERIOD = 40 * MILLISECOND


class SteadyCamera:
    """A frame every PERIOD; picture k is grey of level k."""

    intrinsics = Intrinsics(12, 8, 10.0, 10.0, 6.0, 4.0, (0, 0, 12, 8))

    def __init__(self, clock: Clock) -> None:
        self._clock, self._sequence, self.opened = clock, 0, False
        self._next = clock.now() + PERIOD

    def open(self) -> None:
        """Connect."""
        self.opened = True

    def read(self, timeout: float) -> Frame | None:
        """The next frame, waited for on the clock."""
        deadline = self._clock.now() + round(timeout * SECOND)
        self._clock.sleep_until(min(self._next, deadline))
        if self._clock.now() < self._next:
            return None
        exposure, self._next = self._next - LAG, self._next + PERIOD
        self._sequence += 1
        image = np.full((8, 12, 3), self._sequence, np.uint8)
        return Frame(image, exposure, self._clock.now(), self._sequence)

    def close(self) -> None:
        """Disconnect."""
        self.opened = False
