"""Straight ways in joint space: all joints start and arrive together, none over its speed or acceleration."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from vla_ros import kinematics
from vla_ros.geometry import Array


@dataclass(frozen=True)
class Trajectory:
    """From `start` (7,) by `way` (7,) rad: a trapezoid of speed, as a fraction of the way per second."""

    start: Array
    way: Array
    cruise: float
    acceleration: float

    @property
    def duration(self) -> float:
        """Seconds from start to end."""
        if not self.cruise:
            return 0.0
        ramp = self.cruise / self.acceleration
        return 1 / self.cruise + ramp

    def at(self, seconds: float) -> Array:
        """Joints (7,) rad so long after the start."""
        return np.asarray(self.start + self._fraction(seconds) * self.way)

    def _fraction(self, seconds: float) -> float:
        total = self.duration
        if seconds >= total:
            return 1.0
        ramp = self.cruise / self.acceleration
        near = min(seconds, total - seconds)
        done = self.acceleration * near**2 / 2 if near < ramp else self.cruise * (near - ramp / 2)
        return done if seconds <= total / 2 else 1.0 - done


def plan(start: Array, target: Array, speeds: Array, accelerations: Array, duration: float = 0.0) -> Trajectory:
    """The fastest way within speeds and accelerations (7,), or slower where it shall take at least `duration` s.

    Joints that turn without end take the shorter way round.
    """
    way = np.where(np.isinf(kinematics.POSITION_LIMITS), kinematics.wrapped(target - start), target - start)
    far = np.maximum(np.abs(way), 1e-12)
    if float(far.max()) < 1e-9:
        return Trajectory(start, way, 0.0, 1.0)
    cruise, acceleration = float((speeds / far).min()), float((accelerations / far).min())
    cruise = min(cruise, math.sqrt(acceleration))  # a way too short for full speed is a triangle
    if duration > 1 / cruise + cruise / acceleration:
        cruise = _slower(duration, acceleration)
    return Trajectory(start, way, cruise, acceleration)


def _slower(duration: float, acceleration: float) -> float:
    """The cruise with which the whole way takes `duration` s: 1/c + c/a = T, the smaller root."""
    return (duration - math.sqrt(max(0.0, duration**2 - 4 / acceleration))) * acceleration / 2
