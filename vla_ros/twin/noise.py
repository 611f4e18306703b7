"""Noise of a camera's sensor: no two frames of a real one are the same, even of a scene at rest."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vla_ros.values import Image

_SPARE = 1 << 17
"""Values of the pool beyond those of one image: so many offsets there are."""
_ROUNDING = 1 / 12
"""Variance that rounding to whole grey levels adds (Sheppard)."""


class SensorNoise:
    """Gaussian noise of `level` grey levels (standard deviation), clipped to 0 … 255; none at 0. Its frames repeat with `seed`.

    Values are drawn once, into a pool; each frame takes a stretch of it from a random place: some µs a frame, where drawing afresh
    would take ms.
    """

    def __init__(self, level: float, seed: int) -> None:
        self._deviation = math.sqrt(max(level**2 - _ROUNDING, 0.0)) if level >= 0.5 else level
        self._random = np.random.default_rng(seed)
        self._rise: NDArray[np.uint8] = np.zeros(0, np.uint8)
        self._fall: NDArray[np.uint8] = self._rise
        self._offset = 0

    def add(self, image: Image) -> Image:
        """A new image (H, W, 3) with noise; the same object where there is none to add."""
        if self._deviation == 0:
            return image
        rise, fall = self._stretch(image.size)
        flat = image.reshape(-1)
        noisy = np.minimum(rise, ~flat)  # what there is room for: ~v is 255 - v
        down = np.minimum(fall, flat)
        noisy += flat
        noisy -= down
        return noisy.reshape(image.shape)

    def _stretch(self, size: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """By how much the values of this frame rise, and fall; never that of the frame before."""
        if len(self._rise) < size + _SPARE:
            self._fill(size + _SPARE)
        self._offset = (self._offset + int(self._random.integers(1, _SPARE))) % _SPARE
        place = slice(self._offset, self._offset + size)
        return self._rise[place], self._fall[place]

    def _fill(self, count: int) -> None:
        noise = np.clip(np.rint(self._random.normal(0.0, self._deviation, count)), -255, 255).astype(np.int16)
        self._rise, self._fall = (np.maximum(part, 0).astype(np.uint8) for part in (noise, -noise))
