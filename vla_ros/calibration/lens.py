"""What a camera with a distorting lens makes of points: the model of sensor_msgs/CameraInfo and of OpenCV. Numpy only.

Coefficients are in the order of OpenCV and ROS: k1 k2 p1 p2 k3 (`plumb_bob`; Brown 1966), then k4 k5 k6 of the denominator
(`rational_polynomial`; OpenCV, "Camera Calibration and 3D Reconstruction").
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vla_ros.config.schema import CameraConfig
from vla_ros.geometry import Array

_STEP = 1e-6
"""m by which a point is moved to see how its image moves, for points about a metre away."""
NEAREST = 0.01
"""m before the camera; what is nearer, or behind it, has no image."""


@dataclass(frozen=True)
class Lens:
    """Intrinsics in pixels of the image that they belong to, of `width`×`height` pixels whose centres are at whole numbers."""

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion: tuple[float, ...] = ()

    @property
    def matrix(self) -> Array:
        """The camera matrix (3, 3)."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])

    @property
    def coefficients(self) -> Array:
        """Of the distortion, (5,) or (8,); zeros where there is none."""
        return np.array(self.distortion or (0.0,) * 5)

    @property
    def model(self) -> str:
        """The distortion's name in a CameraInfo."""
        return "rational_polynomial" if len(self.distortion) == 8 else "plumb_bob"

    def project(self, points: Array) -> Array:
        """Pixels (…, 2) of points (…, 3) m in the optical frame; NaN for what is not before the camera."""
        z = np.where(points[..., 2] > NEAREST, points[..., 2], np.nan)
        x, y = self._bent(points[..., 0] / z, points[..., 1] / z)
        return np.stack([self.fx * x + self.cx, self.fy * y + self.cy], axis=-1)

    def slopes(self, points: Array) -> Array:
        """How the pixels change with the points: (…, 2, 3) px/m, by central differences."""
        steps = _STEP * np.eye(3)
        sides = [self.project(points + s) - self.project(points - s) for s in steps]
        return np.stack(sides, axis=-1) / (2 * _STEP)

    def holds(self, pixels: Array, margin: float = 0.0) -> Array:
        """Which of the pixels (…, 2) lie in the image and `margin` px from its edge; NaN does not."""
        size = np.array([self.width, self.height]) - 1.0
        return np.asarray(((pixels >= margin) & (pixels <= size - margin)).all(axis=-1))

    def _bent(self, x: Array, y: Array) -> tuple[Array, Array]:
        if not self.distortion:
            return x, y
        k1, k2, p1, p2, k3, k4, k5, k6 = (*self.distortion, 0.0, 0.0, 0.0)[:8]
        r = x * x + y * y
        radial = (1 + r * (k1 + r * (k2 + r * k3))) / (1 + r * (k4 + r * (k5 + r * k6)))
        return (
            x * radial + 2 * p1 * x * y + p2 * (r + 2 * x * x),
            y * radial + p1 * (r + 2 * y * y) + 2 * p2 * x * y,
        )


def configured(camera: CameraConfig) -> Lens:
    """The lens that a configuration names, of the full sensor."""
    c = camera
    return Lens(c.width, c.height, c.fx, c.fy, c.cx, c.cy, tuple(c.distortion))
