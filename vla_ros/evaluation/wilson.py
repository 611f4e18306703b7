"""Rates with their intervals, and the form in which every command writes what it measured."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Rate:
    """A measured value and the bounds of its 95 % interval; `n` is the number of trials."""

    value: float
    low: float
    high: float
    n: int

    @staticmethod
    def of(successes: int, n: int) -> Rate:
        """A success rate with its Wilson interval."""
        low, high = wilson(successes, n)
        return Rate(successes / n if n else math.nan, low, high, n)

    def __str__(self) -> str:
        return f"{self.value:.1%} ({self.low:.1%} … {self.high:.1%}, n = {self.n})"


def wilson(successes: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Score interval of a proportion; z is the normal quantile, 1.96 for 95 %. Without trials: (0, 1).

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", J. Am. Stat. Assoc.
    22 (1927) 209-212. Unlike ± z·sigma it stays within [0, 1] and is not empty at 0 or n successes.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n} trials")
    if n == 0:
        return 0.0, 1.0
    p = successes / n
    scale = 1 + z * z / n
    centre = (p + z * z / (2 * n)) / scale
    half = z / scale * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, min(p, centre - half)), min(1.0, max(p, centre + half))


def summary_json(summary: Mapping[str, Rate], items: Sequence[Any] = ()) -> dict[str, Any]:
    """What `--json` writes: the rates by name, the trials one by one, and the machine."""
    rates = {name: _without_nan(asdict(rate)) for name, rate in summary.items()}
    return {"summary": rates, "items": list(items), "machine": machine()}


def _without_nan(values: Mapping[str, float]) -> dict[str, float | None]:
    """JSON has no NaN."""
    return {name: None if math.isnan(value) else value for name, value in values.items()}


def machine() -> dict[str, Any]:
    """Where a figure was measured, without the name of the host."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor() or "unknown")
