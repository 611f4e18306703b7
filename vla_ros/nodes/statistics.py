"""How evenly a loop turns: its periods over the last seconds, against the wanted one."""

from __future__ import annotations

from collections import deque

import numpy as np

from vla_ros.clock import MILLISECOND

_KEPT = 512


class Periods:
    """Distances between the beats of a loop whose wanted period is `period` ns."""

    def __init__(self, period: int) -> None:
        self._period, self._last = period, 0
        self._errors: deque[float] = deque(maxlen=_KEPT)

    def add(self, beat: int) -> None:
        """The loop was at work at `beat`, ns. Beats that were not seen do not count as long periods."""
        distance = beat - self._last
        if self._last and 0 < distance < 1.9 * self._period:
            self._errors.append(abs(distance - self._period) / MILLISECOND)
        self._last = beat

    def values(self) -> dict[str, float]:
        """Median, 99th percentile and maximum of the error, ms."""
        errors = np.array(self._errors or [0.0])
        p50, p99 = np.percentile(errors, [50, 99]).tolist()
        return {"period_error_p50_ms": p50, "period_error_p99_ms": p99, "period_error_max_ms": float(errors.max())}
