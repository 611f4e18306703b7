"""How evenly a loop turns: its periods over the last seconds, against the wanted one. And quantiles as everything here tells them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_ros.clock import MILLISECOND

_KEPT = 2048
SHARES = {"p50": 50.0, "p99": 99.0, "p999": 99.9}
"""The quantiles that are told, by the ending of their names, in percent."""


class Ring:
    """The newest `size` rows of `width` numbers."""

    def __init__(self, size: int, width: int = 1) -> None:
        self._rows: NDArray[np.float64] = np.full((size, width), np.nan)
        self._next = self.added = 0

    def add(self, row: Sequence[float] | NDArray[Any]) -> None:
        """One more row; the oldest makes room for it."""
        self._rows[self._next] = row
        self._next = (self._next + 1) % len(self._rows)
        self.added += 1

    def rows(self) -> NDArray[np.float64]:
        """A copy of the rows (n, width), oldest first."""
        if self.added <= len(self._rows):
            return self._rows[: self.added].copy()
        return np.roll(self._rows, -self._next, axis=0)


class Periods:
    """Distances between the beats of a loop whose wanted period is `period` ns."""

    def __init__(self, period: int) -> None:
        self._period, self._last = period, 0
        self._errors = Ring(_KEPT)

    def add(self, beat: int) -> None:
        """The loop was at work at `beat`, ns. Beats that were not seen do not count as long periods."""
        distance = beat - self._last
        if self._last and 0 < distance < 1.9 * self._period:
            self._errors.add((abs(distance - self._period) / MILLISECOND,))
        self._last = beat

    def values(self) -> dict[str, float]:
        """Median, 99th percentile and maximum of the error, ms."""
        errors = self._errors.rows()[:, 0] if self._errors.added else np.zeros(1)
        p50, p99 = np.percentile(errors, [50, 99]).tolist()
        return {"period_error_p50_ms": p50, "period_error_p99_ms": p99, "period_error_max_ms": float(errors.max())}


def quantiles(name: str, values: NDArray[np.float64], unit: str = "ms") -> dict[str, float]:
    """`name`_p50_ms and so on of the finite ones among `values` (n,); nothing where there are none."""
    known = values[np.isfinite(values)]
    if not len(known):
        return {}
    found = np.percentile(known, list(SHARES.values())).tolist()
    return {f"{name}_{ending}_{unit}": value for ending, value in zip(SHARES, found, strict=True)}
