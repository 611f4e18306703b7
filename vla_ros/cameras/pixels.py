"""What of a sensor's pixels is delivered: the configured part, its blocks of pixels made one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from vla_ros.values import Image

Roi = tuple[int, int, int, int]
Pixel = TypeVar("Pixel", bound=np.generic)


def deliver(image: Image, roi: Roi, binning: int) -> Image:
    """A copy of the part `roi` = (x, y, w, h) of an image (H, W, 3), each pixel the mean of a block: (h / binning, w / binning, 3)."""
    part = _part(image, roi)
    if binning == 1:
        return part.copy()
    rows = _sum([part[i::binning] for i in range(binning)])
    sums = _sum([rows[:, i::binning] for i in range(binning)])
    mean: Image = ((sums + binning**2 // 2) // binning**2).astype(np.uint8)
    return mean


def _sum(parts: Sequence[NDArray[Any]]) -> NDArray[np.uint16]:
    """Of 16 bits, where 16² pixels of 255 and half a divisor still fit; one by one, two or three times as fast as over an axis."""
    total: NDArray[np.uint16] = parts[0].astype(np.uint16)
    for part in parts[1:]:
        total += part
    return total


def deliver_depth(depth: NDArray[np.uint16], unit: float, roi: Roi, binning: int) -> NDArray[np.float32]:
    """Depth (H, W) in `unit` m as m (h / binning, w / binning), NaN where unknown: of each block the pixel in the middle.

    A mean would put surfaces between the near and the far side of an edge, where there are none.
    """
    middle = thinned(depth, roi, binning)
    metres: NDArray[np.float32] = np.where(middle > 0, middle * np.float32(unit), np.float32(np.nan)).astype(np.float32)
    return metres


def thinned(depth: NDArray[Pixel], roi: Roi, binning: int) -> NDArray[Pixel]:
    """Of the part `roi` of depth (H, W) the pixel in the middle of each block: (h / binning, w / binning)."""
    return _part(depth, roi)[binning // 2 :: binning, binning // 2 :: binning]


def _part(image: NDArray[Pixel], roi: Roi) -> NDArray[Pixel]:
    x, y, width, height = roi
    return image[y : y + height, x : x + width]
