"""What a dataset says about its columns: min, max, mean, std, count and five quantiles, as in LeRobot 0.4."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vla_ros.geometry import Array
from vla_ros.values import Image

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}

Stats = dict[str, Array]
"""Name of the statistic → values shaped as one element of the column; "count" is (1,)."""

_STRIDE = 10
_LEVELS = np.arange(256) / 255


def of_column(values: np.ndarray) -> Stats:
    """Statistics over the frames of a column (frames, n)."""
    numbers = np.asarray(values, np.float64).reshape(len(values), -1)
    quantiles = np.quantile(numbers, list(QUANTILES.values()), axis=0)
    return {
        "min": numbers.min(0),
        "max": numbers.max(0),
        "mean": numbers.mean(0),
        "std": numbers.std(0),
        "count": np.array([len(numbers)]),
        **dict(zip(QUANTILES, quantiles, strict=True)),
    }


class ImageStats:
    """Statistics over the pixels of a video, per colour and scaled to [0, 1], from every tenth frame."""

    def __init__(self) -> None:
        self._seen = 0
        self._counts = np.zeros((3, 256), np.int64)

    def add(self, image: Image) -> None:
        """Take in one frame (H, W, 3)."""
        if self._seen % _STRIDE == 0:
            for channel in range(3):
                self._counts[channel] += np.bincount(image[:, :, channel].ravel(), minlength=256)
        self._seen += 1

    def result(self) -> Stats:
        """The statistics, each (3, 1, 1); "count" is the number of frames that were looked at."""
        share = self._counts / self._counts.sum(1, keepdims=True)
        mean = share @ _LEVELS
        stats = {
            "min": _LEVELS[(share > 0).argmax(1)],
            "max": _LEVELS[255 - (share > 0)[:, ::-1].argmax(1)],
            "mean": mean,
            "std": np.sqrt(np.maximum(share @ _LEVELS**2 - mean**2, 0.0)),
            **{name: _LEVELS[(share.cumsum(1) >= q - 1e-12).argmax(1)] for name, q in QUANTILES.items()},
        }
        frames = np.array([-(-self._seen // _STRIDE)])
        return {**{name: value.reshape(3, 1, 1) for name, value in stats.items()}, "count": frames}


def merged(a: Stats, b: Stats) -> Stats:
    """Statistics over the frames of both.

    Mean and deviation are exact; quantiles are the mean of the two, weighted by count, as LeRobot does: an
    estimate. Who normalises with quantiles computes them from the column.
    """
    count = a["count"] + b["count"]
    w = a["count"] / count
    mean = w * a["mean"] + (1 - w) * b["mean"]
    spread_a, spread_b = (s["std"] ** 2 + (s["mean"] - mean) ** 2 for s in (a, b))
    return {
        "min": np.minimum(a["min"], b["min"]),
        "max": np.maximum(a["max"], b["max"]),
        "mean": mean,
        "std": np.sqrt(w * spread_a + (1 - w) * spread_b),
        "count": count,
        **{name: w * a[name] + (1 - w) * b[name] for name in QUANTILES},
    }


def to_lists(stats: Mapping[str, Stats]) -> dict[str, dict[str, list]]:
    """As JSON and parquet hold it."""
    return {name: {key: value.tolist() for key, value in entry.items()} for name, entry in stats.items()}


def from_lists(lists: Mapping[str, Mapping[str, list]]) -> dict[str, Stats]:
    """The inverse of `to_lists`."""
    return {name: {key: np.asarray(value) for key, value in entry.items()} for name, entry in lists.items()}
