"""How the tool's velocity changes: towards a wanted one within acceleration and jerk, and what it does while it brakes.

Plain floats: on three numbers they are several times faster than arrays, and a forecast takes some forty steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np

from vla_ros.geometry import Array
from vla_ros.values import ZERO_TWIST

Triple: TypeAlias = tuple[float, float, float]
_ZERO: Triple = (0.0, 0.0, 0.0)
_MEMORY = 0.3
"""Seconds for which a ramp remembers what was sent: longer than any arm's delay."""
_STILL = 1e-6
"""m/s or rad/s below which a forecast counts the tool as standing."""
_OVERSHOOT = 0.001
"""Share of a speed cap that a ramp may be foretold to pass it by: the governor cuts it off, at a third of one step's jerk."""
_LONGEST = 500
"""Steps after which a forecast ends; the ordinary limits take about forty."""


class Sent(NamedTuple):
    """A twist (6,) that was let through for `seconds`, with its speed m/s and turn rad/s."""

    seconds: float
    twist: Array
    speed: float
    turn: float


@dataclass(frozen=True)
class Ramp:
    """What the governor let through last: tool twist (6,) and its rate (6,), base frame.

    `past` holds what was let through before it, oldest first.
    """

    twist: Array
    rate: Array
    past: tuple[Sent, ...] = ()


AT_REST = Ramp(ZERO_TWIST, ZERO_TWIST)


@dataclass(frozen=True)
class Caps:
    """Acceleration, jerk and speed of the tool's way (m/s², m/s³, m/s) and of its turn (rad/s², rad/s³, rad/s)."""

    acceleration: float
    jerk: float
    turn_acceleration: float
    turn_jerk: float
    speed: float = math.inf
    turn_speed: float = math.inf


def approached(ramp: Ramp, target: Array, dt: float, caps: Caps) -> Ramp:
    """The ramp `dt` seconds on its way to the twist `target` (6,)."""
    v, w = _halves(ramp.twist)
    a, b = _halves(ramp.rate)
    to, turn_to = _halves(target)
    sent = Sent(dt, ramp.twist, math.hypot(*v), math.hypot(*w))
    v, a = _approach_below(v, a, to, dt, caps.acceleration, caps.jerk, caps.speed)
    w, b = _approach_below(w, b, turn_to, dt, caps.turn_acceleration, caps.turn_jerk, caps.turn_speed)
    past = (*ramp.past, sent)[-math.ceil(_MEMORY / dt) :]
    return Ramp(np.array([*v, *w]), np.array([*a, *b]), past)


def approach(
    velocity: Triple, rate: Triple, target: Triple, dt: float, acceleration: float, jerk: float
) -> tuple[Triple, Triple]:
    """(velocity, rate) after dt: the rate that closes the gap and can itself be led to zero before the gap is closed.

    That rate is sqrt(2·jerk·gap), at most `acceleration`; it changes by at most jerk·dt.
    """
    (vx, vy, vz), (rx, ry, rz) = velocity, rate
    gx, gy, gz = target[0] - vx, target[1] - vy, target[2] - vz
    distance = math.sqrt(gx * gx + gy * gy + gz * gz)
    if distance < 1e-9 and math.sqrt(rx * rx + ry * ry + rz * rz) <= jerk * dt:
        return target, _ZERO
    # with a step of dt the rate is led down in whole steps: half a step less keeps the ramp from overshooting
    half = jerk * dt / 2
    soft = max(0.0, math.sqrt(2 * jerk * distance + half * half) - half)
    wanted = min(acceleration, soft, distance / dt) / max(distance, 1e-12)
    cx, cy, cz = gx * wanted - rx, gy * wanted - ry, gz * wanted - rz
    length = math.sqrt(cx * cx + cy * cy + cz * cz)
    share = min(1.0, jerk * dt / length) if length > 0 else 1.0
    rx, ry, rz = rx + cx * share, ry + cy * share, rz + cz * share
    size = math.sqrt(rx * rx + ry * ry + rz * rz)
    if size > acceleration:
        rx, ry, rz = rx * acceleration / size, ry * acceleration / size, rz * acceleration / size
    return (vx + rx * dt, vy + ry * dt, vz + rz * dt), (rx, ry, rz)


def _approach_below(
    velocity: Triple, rate: Triple, target: Triple, dt: float, acceleration: float, jerk: float, cap: float
) -> tuple[Triple, Triple]:
    """As `approach`, unless that would be too fast to stay under `cap` within the jerk: then the rate is led to zero.

    A wish that turns about at full speed would otherwise end at the cap with a rate that has to vanish at once.
    """
    after, after_rate = approach(velocity, rate, target, dt, acceleration, jerk)
    top = max(cap, math.hypot(*velocity)) * (1 + _OVERSHOOT)
    if math.hypot(*coasted(after, after_rate, dt, jerk)) <= top:
        return after, after_rate
    size = math.hypot(*rate)
    left = max(0.0, 1 - jerk * dt / size) if size > 0 else 0.0
    rate = rate[0] * left, rate[1] * left, rate[2] * left
    return (velocity[0] + rate[0] * dt, velocity[1] + rate[1] * dt, velocity[2] + rate[2] * dt), rate


def coasted(velocity: Triple, rate: Triple, dt: float, jerk: float) -> Triple:
    """The velocity that is left when the rate is led straight to zero from the next step on."""
    size = math.hypot(*rate)
    steps = math.floor(size / (jerk * dt))
    if steps == 0:
        return velocity
    share = (steps - jerk * dt * steps * (steps + 1) / 2 / size) * dt
    return velocity[0] + rate[0] * share, velocity[1] + rate[1] * share, velocity[2] + rate[2] * share


@dataclass(frozen=True)
class Way:
    """Braking foretold: where it leads after each step, from here (n, 6) m and rad, and how fast it goes there (n, 6)."""

    places: Array
    twists: Array


def way_to_rest(ramp: Ramp, dt: float, caps: Caps) -> Way:
    """What happens when the tool goes on at the ramp's twist for `dt` seconds and brakes from then on."""
    v, w = _halves(ramp.twist)
    a, b = _halves(ramp.rate)
    linear = _braking(v, a, dt, caps.acceleration, caps.jerk)
    turning = _braking(w, b, dt, caps.turn_acceleration, caps.turn_jerk)
    twists = np.zeros((max(len(linear), len(turning)), 6))
    twists[: len(linear), :3], twists[: len(turning), 3:] = linear, turning
    return Way(np.cumsum(twists, axis=0) * dt, twists)


def _braking(velocity: Triple, rate: Triple, dt: float, acceleration: float, jerk: float) -> list[Triple]:
    """The velocity of each step."""
    steps = [velocity]
    while len(steps) < _LONGEST and (math.hypot(*velocity) > _STILL or math.hypot(*rate) > jerk * dt / 2):
        velocity, rate = approach(velocity, rate, _ZERO, dt, acceleration, jerk)
        steps.append(velocity)
    return steps


def _halves(six: Array) -> tuple[Triple, Triple]:
    a, b, c, d, e, f = six.tolist()
    return (a, b, c), (d, e, f)
