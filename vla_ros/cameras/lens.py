"""A pinhole with a lens in front of it: OpenCV's model with up to eight coefficients (its documentation of calib3d)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_ros.values import Intrinsics

Coordinates = NDArray[np.floating[Any]]

_STEPS = 40
"""Of the fixed point below; a lens that it does not converge for within these has no inverse there."""
_EXACT = 1e-6


@dataclass(frozen=True)
class Lens:
    """Focal lengths and centre in pixels, whose middles have whole coordinates; `distortion` as in `Intrinsics`."""

    fx: float
    fy: float
    cx: float
    cy: float
    distortion: tuple[float, ...] = ()

    def distorted(self, x: Coordinates, y: Coordinates) -> tuple[Coordinates, Coordinates]:
        """Where the lens puts the ray (x, y, 1), again as a ray."""
        factor, shift_x, shift_y = self._bend(x, y)
        return x * factor + shift_x, y * factor + shift_y

    def undistorted(self, x: Coordinates, y: Coordinates) -> tuple[Coordinates, Coordinates]:
        """The ray that the lens puts at (x, y, 1); NaN where there is none. By iteration, as OpenCV's undistortPoints."""
        ray_x, ray_y = x, y
        with np.errstate(all="ignore"):
            for _ in range(_STEPS if self.distortion else 0):
                factor, shift_x, shift_y = self._bend(ray_x, ray_y)
                before_x, before_y = ray_x, ray_y
                ray_x, ray_y = (x - shift_x) / factor, (y - shift_y) / factor
                if not (np.hypot(ray_x - before_x, ray_y - before_y) > _EXACT / 100).any():
                    break
            back_x, back_y = self.distorted(ray_x, ray_y)
            found = np.hypot(back_x - x, back_y - y) < _EXACT * (1 + np.hypot(x, y))
            wrong = ~(found & (ray_x * x + ray_y * y >= 0))  # a model that folds has roots on the other side
        return np.where(wrong, np.nan, ray_x), np.where(wrong, np.nan, ray_y)

    def rays(self, shape: tuple[int, int]) -> tuple[Coordinates, Coordinates]:
        """x and y (H, W) of the ray (x, y, 1) behind each pixel of an image of that shape; NaN where there is none."""
        v, u = np.mgrid[: shape[0], : shape[1]]
        return self.behind(u, v)

    def behind(self, u: Coordinates, v: Coordinates) -> tuple[Coordinates, Coordinates]:
        """x and y of the rays (x, y, 1) behind these points of the picture, in pixels; NaN where there is none."""
        return self.undistorted((u - self.cx) / self.fx, (v - self.cy) / self.fy)

    def pixels(self, x: Coordinates, y: Coordinates) -> tuple[Coordinates, Coordinates]:
        """u and v of the rays (x, y, 1)."""
        x, y = self.distorted(x, y)
        return self.fx * x + self.cx, self.fy * y + self.cy

    def _bend(self, x: Coordinates, y: Coordinates) -> tuple[Any, Any, Any]:
        """The factor along the ray from the centre, and what the tangential terms add."""
        if not self.distortion:
            return 1.0, 0.0, 0.0
        k1, k2, p1, p2, k3, k4, k5, k6 = (*self.distortion, 0.0, 0.0, 0.0)[:8]
        r2 = x * x + y * y
        factor = (1 + r2 * (k1 + r2 * (k2 + r2 * k3))) / (1 + r2 * (k4 + r2 * (k5 + r2 * k6)))
        xy = 2 * x * y
        return factor, p1 * xy + p2 * (r2 + 2 * x * x), p2 * xy + p1 * (r2 + 2 * y * y)


def lens(camera: Intrinsics) -> Lens:
    """The lens of a camera's whole sensor."""
    return Lens(camera.fx, camera.fy, camera.cx, camera.cy, camera.distortion)
