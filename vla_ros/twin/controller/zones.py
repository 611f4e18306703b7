"""Protection zones: where the tool point may not go, or only slowly.

A shape is described by how far a point is outside of it and which way leads out. The origin of a shape is taken for its middle
and the columns of its orientation for its axes in the base frame (not verified on the arm); dimensions are a prism's edges x, y, z,
a cylinder's radius and height, a sphere's radius, in m (Base.proto).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from vla_ros.geometry import Array
from vla_ros.twin.kortex.codes import ShapeType


@dataclass(frozen=True)
class Zone:
    """One zone. `slow` m/s is the tool's speed inside, 0: no entry; `slow_near` that in the envelope, None: not limited."""

    identifier: int
    enabled: bool
    shape: ShapeType
    origin: Array
    axes: Array
    dimensions: tuple[float, ...]
    thickness: float
    slow: float | None
    slow_near: float | None

    def distance(self, point: Array) -> tuple[float, Array]:
        """Metres from the surface to the point (3,), negative inside, and the way out there, a unit vector in the base frame."""
        local = self.axes.T @ (point - self.origin)
        distance, out = _SHAPES[self.shape](local, self.dimensions)
        return distance, np.asarray(self.axes @ out)


def _prism(point: Array, edges: tuple[float, ...]) -> tuple[float, Array]:
    return _box(point, np.array(edges) / 2)


def _box(point: Array, half: Array) -> tuple[float, Array]:
    """Of a box, or of any product of intervals ± half."""
    beyond = np.abs(point) - half
    signs = np.where(point < 0, -1.0, 1.0)
    outside = np.maximum(beyond, 0.0)
    length = float(np.linalg.norm(outside))
    if length > 0:
        return length, signs * outside / length
    nearest = int(np.argmax(beyond))
    return float(beyond[nearest]), signs * (np.arange(len(half)) == nearest)


def _cylinder(point: Array, sizes: tuple[float, ...]) -> tuple[float, Array]:
    radius, height = sizes
    around = math.hypot(point[0], point[1])
    radial = point[:2] / around if around > 1e-9 else np.array([1.0, 0.0])
    distance, out = _box(np.array([around, point[2]]), np.array([radius, height / 2]))
    return distance, np.array([*(radial * out[0]), out[1]])


def _sphere(point: Array, sizes: tuple[float, ...]) -> tuple[float, Array]:
    length = float(np.linalg.norm(point))
    return length - sizes[0], point / length if length > 1e-9 else np.array([0.0, 0.0, 1.0])


_SHAPES: Mapping[ShapeType, Callable[[Array, tuple[float, ...]], tuple[float, Array]]] = {
    ShapeType.RECTANGULAR_PRISM: _prism,
    ShapeType.CYLINDER: _cylinder,
    ShapeType.SPHERE: _sphere,
}
SIZES = {ShapeType.RECTANGULAR_PRISM: 3, ShapeType.CYLINDER: 2, ShapeType.SPHERE: 1}
"""How many dimensions each shape has."""


def bounded(zones: tuple[Zone, ...], point: Array, velocity: Array, braking: float) -> tuple[Array, tuple[int, ...]]:
    """The velocity (3,) m/s of the tool point with what leads into a closed zone taken away, and which zones took some.

    The approach is bounded by the speed from which `braking` m/s² stops at the surface. Where zones overlap the velocity that is left
    may still lead into one; then it is zero. A zone or an envelope that limits the speed scales what is there.
    """
    touched = []
    for zone in zones:
        if not zone.enabled:
            continue
        distance, out = zone.distance(point)
        most = _most_speed(zone, distance)
        speed = float(np.linalg.norm(velocity))
        if most is not None and speed > most > 0:
            velocity = velocity * (most / speed)
        if zone.slow == 0.0:
            approach = -float(velocity @ out)
            excess = approach - math.sqrt(2 * braking * max(distance, 0.0))
            if excess > 1e-9:
                velocity = velocity + excess * out
                touched.append(zone.identifier)
    if any(_enters(zone, point, velocity, braking) for zone in zones):
        return np.zeros(3), tuple(touched)
    return velocity, tuple(touched)


def _enters(zone: Zone, point: Array, velocity: Array, braking: float) -> bool:
    """Whether this velocity still leads into a closed zone too fast."""
    if not zone.enabled or zone.slow != 0.0:
        return False
    distance, out = zone.distance(point)
    return -float(velocity @ out) > math.sqrt(2 * braking * max(distance, 0.0)) + 1e-6


def _most_speed(zone: Zone, distance: float) -> float | None:
    """The tool's speed limit at this distance from the zone, m/s; None for none."""
    if distance <= 0:
        return zone.slow
    return zone.slow_near if distance <= zone.thickness else None


def closed_at(zones: tuple[Zone, ...], point: Array) -> Zone | None:
    """A closed zone that the point is in, or None."""
    return next((z for z in zones if z.enabled and z.slow == 0.0 and z.distance(point)[0] < 0), None)
