"""Depth as another camera sees it: each pixel of the depth camera becomes a point, and the points are drawn into the other's picture.

The Azure Kinect's SDK does that on a GPU and needs a display for it (Azure-Kinect-Sensor-SDK #810), and with Orbbec's wrapper it has
failed (OrbbecSDK-K4A-Wrapper #61). Here it needs neither.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vla_ros.cameras.lens import Coordinates, Lens
from vla_ros.geometry import Array

Depth = NDArray[np.uint16]
UNKNOWN = np.iinfo(np.uint16).max
_MARGIN = 1.02
"""How much farther from the axis than the picture's corners a ray may be: beyond, a lens model may fold back into the picture."""


class Aligner:
    """From the pictures of a depth camera, (h, w) of `depth_shape`, to those of a colour camera, (H, W) of `colour_shape`.

    A point of the depth camera's frame is at `rotation` (3, 3) · point + `translation` (3,) m in the colour camera's; both frames are
    optical: x right, y down, z forward.
    """

    def __init__(
        self,
        depth: Lens,
        depth_shape: tuple[int, int],
        colour: Lens,
        colour_shape: tuple[int, int],
        rotation: Array,
        translation: Array,
    ) -> None:
        self._lens, self._shape = colour, colour_shape
        x, y = (part.ravel() for part in depth.rays(depth_shape))
        self._sighted = ~np.isnan(x)
        self._rays = (rotation @ np.nan_to_num(np.stack([x, y, np.ones_like(x)]))).astype(np.float32)
        self._shift = (1000 * translation).astype(np.float32)
        self._reach = _MARGIN * _radius(colour, colour_shape)
        self._block = _block(depth, colour)

    def __call__(self, depth: Depth) -> Depth:
        """Depth (h, w) in mm, 0 unknown, as (H, W) in mm, 0 unknown: the nearest of the points that fall into a pixel."""
        flat = depth.ravel()
        x, y, z = self._rays * flat.astype(np.float32) + self._shift[:, None]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            x, y = x / z, y / z
            u, v = self._lens.pixels(x, y)
            seen = (flat > 0) & self._sighted & (z > 0) & (x * x + y * y < self._reach**2)
        return self._drawn(u[seen], v[seen], np.rint(z[seen]).clip(1, UNKNOWN - 1).astype(np.uint16))

    def _drawn(self, u: Coordinates, v: Coordinates, z: Depth) -> Depth:
        """Each point as a block of `_block` pixels, since the colour camera's are finer; the nearest covers the others."""
        (height, width), (columns, rows) = self._shape, self._block
        left, top = np.rint(u - (columns - 1) / 2).astype(np.int32), np.rint(v - (rows - 1) / 2).astype(np.int32)
        inside = (left >= 0) & (left < width) & (top >= 0) & (top < height)
        picture: Depth = np.full((height, width), UNKNOWN, np.uint16)
        np.minimum.at(picture.reshape(-1), top[inside] * width + left[inside], z[inside])
        picture = _spread(_spread(picture, columns).T, rows).T
        picture[picture == UNKNOWN] = 0
        return picture


def _spread(picture: Depth, size: int) -> Depth:
    """Of each pixel the least of itself and the size - 1 before it in its row."""
    wide = picture.copy()
    for step in range(1, size):
        np.minimum(wide[:, step:], picture[:, :-step], out=wide[:, step:])
    return wide


def _block(depth: Lens, colour: Lens) -> tuple[int, int]:
    """Columns and rows that a pixel of the depth camera fills in the colour camera's picture, at the same distance."""
    return max(1, math.ceil(colour.fx / depth.fx)), max(1, math.ceil(colour.fy / depth.fy))


def _radius(lens: Lens, shape: tuple[int, int]) -> float:
    """How far from the axis the rays of its picture reach, at a distance of 1."""
    rows, columns = (np.arange(size, dtype=np.float64) for size in shape)
    u = np.concatenate([columns, columns, np.zeros_like(rows), np.full_like(rows, columns[-1])])
    v = np.concatenate([np.zeros_like(columns), np.full_like(columns, rows[-1]), rows, rows])
    return float(np.nanmax(np.hypot(*lens.behind(u, v))))
