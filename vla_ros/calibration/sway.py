"""The small sinusoid that the tool sways by while the lateness of the devices is measured."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from vla_ros.config.schema import FINGERS, Limits, Workspace
from vla_ros.geometry import Array

AXES = "xyz"
CYCLES, RAMP_CYCLES = 9.0, 1.5
"""Cycles at full amplitude, and those in which it grows and in which it fades."""
FEWEST = 3.0
MARGIN = 0.04
"""m from the end of the sway to a wall of the box: more than the way in which the tool brakes at the speed of a sway."""
SHARE = 0.8
"""Of the caps on speed, acceleration and jerk: what the governor need not touch, since a clipped sine has another phase."""
SLOWEST = 0.4
"""Hz. Below that a delay is so small a share of the cycle that noise hides it."""


class SwayError(Exception):
    """The tool cannot sway here. The text says why and what to do."""


@dataclass(frozen=True)
class Sway:
    """A sine of `amplitude` m and `frequency` Hz along an axis of the base frame (0 x, 1 y, 2 z), that grows and fades smoothly.

    `cycles` are those at full amplitude; RAMP_CYCLES come before and after them.
    """

    axis: int
    amplitude: float
    frequency: float
    cycles: float = CYCLES

    @property
    def seconds(self) -> float:
        """How long it takes."""
        return (self.cycles + 2 * RAMP_CYCLES) / self.frequency

    @property
    def steady(self) -> tuple[float, float]:
        """First and last moment, s, of full amplitude, less half a cycle at the beginning for what the arm has still to settle."""
        ramp = RAMP_CYCLES / self.frequency
        return ramp + 0.5 / self.frequency, self.seconds - ramp

    def velocity(self, t: float) -> Array:
        """Tool velocity (3,) m/s in the base frame `t` s after the beginning; zero before and after."""
        velocity = np.zeros(3)
        velocity[self.axis] = self.amplitude * self.frequency * float(self._rate(t * self.frequency))
        return velocity

    def shift(self, t: float) -> float:
        """Distance (m) from the beginning along the axis."""
        u = t * self.frequency
        return self.amplitude * float(self._envelope(u)) * math.sin(2 * math.pi * u)

    def peaks(self) -> tuple[float, float, float]:
        """Largest speed (m/s), acceleration (m/s²) and jerk (m/s³)."""
        u = np.linspace(0, self.cycles + 2 * RAMP_CYCLES, 4000)
        rate = np.array([self._rate(v) for v in u])
        first = np.gradient(rate, u)
        second = np.gradient(first, u)
        a, f = self.amplitude, self.frequency
        peak = [float(np.abs(x).max()) for x in (rate, first, second)]
        return a * f * peak[0], a * f**2 * peak[1], a * f**3 * peak[2]

    def _envelope(self, u: float) -> float:
        return _smooth(min(u, self.cycles + 2 * RAMP_CYCLES - u) / RAMP_CYCLES)[0]

    def _rate(self, u: float) -> float:
        """d/du of envelope·sin(2πu), u in cycles."""
        rest = self.cycles + 2 * RAMP_CYCLES - u
        envelope, slope = _smooth(min(u, rest) / RAMP_CYCLES)
        slope = slope / RAMP_CYCLES * (1.0 if u <= rest else -1.0)
        return slope * math.sin(2 * math.pi * u) + envelope * 2 * math.pi * math.cos(2 * math.pi * u)


def _smooth(u: float) -> tuple[float, float]:
    """Quintic step from 0 to 1 over u = 0 … 1, at rest in velocity and acceleration at both ends; its value and slope."""
    if u <= 0 or u >= 1:
        return (0.0, 0.0) if u <= 0 else (1.0, 0.0)
    return u**3 * (10 - 15 * u + 6 * u * u), 30 * u * u * (1 - u) ** 2


def room(position: Array, workspace: Workspace) -> Array:
    """Way (3,) m from the tool at `position` to the nearer bound on each axis; downwards to the table's clearance."""
    low, high = np.array(workspace.low), np.array(workspace.high)
    low[2] = max(low[2], workspace.table + workspace.transit_clearance + FINGERS)
    return np.minimum(position - low, high - position)


def plan(
    position: Array,
    workspace: Workspace,
    limits: Limits,
    cycles: float = CYCLES,
    amplitude: float = 0.014,
    frequency: float = 0.9,
) -> Sway:
    """A sway of `amplitude` m around the tool's `position` (3,) m, at `frequency` Hz or what the limits allow.

    Along y where there is room, since both cameras see that best, else along the axis with most of it. Raises SwayError.
    """
    if cycles < FEWEST:
        raise SwayError(f"{cycles:g} cycles tell too little: at least {FEWEST:g}")
    free = room(position, workspace)
    axis = 1 if free[1] >= amplitude + MARGIN else int(np.argmax(free))
    if free[axis] < amplitude + MARGIN:
        raise SwayError(
            f"no room to sway: the tool at {np.round(position, 3).tolist()} is {1e3 * free[axis]:.0f} mm from a bound of the "
            f"workspace box, {1e3 * (amplitude + MARGIN):.0f} mm are needed: move it towards the middle of the box"
        )
    speed, acceleration, jerk = Sway(axis, amplitude, 1.0, cycles).peaks()
    fastest = min(
        SHARE * limits.speed / speed,
        math.sqrt(SHARE * limits.acceleration / acceleration),
        (SHARE * limits.jerk / jerk) ** (1 / 3),
    )
    if fastest < SLOWEST:
        raise SwayError(
            f"limits.speed, acceleration and jerk allow {fastest:.2f} Hz only, {SLOWEST} are needed: raise them for this"
        )
    return Sway(axis, amplitude, min(frequency, fastest), cycles)
