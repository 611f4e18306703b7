"""How the tool's velocity changes: towards a wanted one within acceleration and jerk, and what it does while it brakes.

Way and turn are shaped as one: the rate points along the gap between the twist and the wanted one, all six numbers of it, so that a
wish keeps its direction while it is taken up and while it is braked. Each half, the linear and the turning, has caps of its own; the
tighter one sets the pace of both.

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
"""Seconds for which a ramp remembers what was sent: as long as the longest delay that an arm may have."""
_STILL = 1e-6
"""m/s or rad/s below which a forecast counts the tool as standing."""
_LONGEST = 500
"""Steps after which a forecast ends; the ordinary limits take about forty."""
FORECAST_STEP = 0.01
"""s, the shortest step of a forecast: shorter ones cost more and say the same."""
_LANDING = 1e6
"""Gap over what the jerk closes in one step, inverted: from here on the gap is closed at once (5e-10 m/s at 5 m/s³ and 10 ms)."""
_PARALLEL = 1e-12
"""m/s² or rad/s² by which a rate may be off the direction of the twist and count as along it."""
_ROUNDING = 1 + 1e-10
"""By how much a foretold speed may pass its cap: sums of floats do."""


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


class Motion(NamedTuple):
    """Velocity m/s, turn rad/s, and how they change per second."""

    velocity: Triple
    turn: Triple
    rate: Triple
    turn_rate: Triple


def approached(ramp: Ramp, target: Array, dt: float, caps: Caps) -> Ramp:
    """The ramp `dt` seconds on its way to the twist `target` (6,).

    Acceleration and jerk hold exactly whatever `dt` is from call to call, the speeds too for a target inside their caps; a ramp that
    starts outside a cap is led inside.
    """
    now = _motion(ramp)
    after, _ = _after(now, *_halves(target), dt, caps)
    sent = Sent(dt, ramp.twist, math.hypot(*now.velocity), math.hypot(*now.turn))
    return Ramp(
        np.array([*after.velocity, *after.turn]),
        np.array([*after.rate, *after.turn_rate]),
        _remembered(ramp.past, sent),
    )


def _remembered(past: tuple[Sent, ...], sent: Sent) -> tuple[Sent, ...]:
    """What was sent within the memory, and the one that reaches beyond it."""
    seconds, first = sent.seconds, len(past)
    while first > 0 and seconds < _MEMORY - 1e-9:
        first -= 1
        seconds += past[first].seconds
    return (*past[first:], sent)


def _after(now: Motion, to: Triple, turn_to: Triple, dt: float, caps: Caps) -> tuple[Motion, bool]:
    """The approach, unless its rate could not be led to zero before a speed cap: then the rate is led to zero.

    Leading the present rate to zero keeps to the straight line between the velocity and where it would come to stay (`_coasted`): both
    lie inside a ball of speeds, so the line does, and there is always a way to go on. An approach that already points straight to the
    wanted velocities ends between here and there, which is inside; whether it does is the second of the answer.
    """
    after, straight = approach(now, to, turn_to, dt, caps)
    return (after, straight) if straight or _stays_below(after, now, caps) else (_led_out(now, dt, caps), False)


def _stays_below(after: Motion, now: Motion, caps: Caps) -> bool:
    """Whether the speeds that `after` coasts to are inside the caps, or no faster than those that `now` coasts to."""
    speed, turn = _coasted(after, caps)
    if speed <= caps.speed * _ROUNDING and turn <= caps.turn_speed * _ROUNDING:
        return True
    before, turn_before = _coasted(now, caps)
    return speed <= max(caps.speed * _ROUNDING, before) and turn <= max(caps.turn_speed * _ROUNDING, turn_before)


def approach(now: Motion, to: Triple, turn_to: Triple, dt: float, caps: Caps) -> tuple[Motion, bool]:
    """The motion after dt towards the velocities `to` and `turn_to`, and whether its rate points straight to them.

    The rate closes the gap and can be led to zero before it is closed. Reckoned in shares of the whole gap: acceleration A and jerk J
    are those of the half that is tighter, and the rate is k·gap with the largest k ≤ A for which k·dt + k²/(2J) ≤ 1: this step, and
    leading the rate to zero in steps of any length. Both halves of the new rate lie between the old one and k·gap, so no acceleration
    cap is passed, and change by at most jerk·dt: by the same share of what is missing, as long as one of them lacks the jerk for all.
    """
    (vx, vy, vz), (wx, wy, wz), (ax, ay, az), (bx, by, bz) = now
    gx, gy, gz = to[0] - vx, to[1] - vy, to[2] - vz
    hx, hy, hz = turn_to[0] - wx, turn_to[1] - wy, turn_to[2] - wz
    gap = math.sqrt(gx * gx + gy * gy + gz * gz) + 1e-15
    turn_gap = math.sqrt(hx * hx + hy * hy + hz * hz) + 1e-15
    jerk = min(caps.jerk / gap, caps.turn_jerk / turn_gap)
    landing = jerk * dt * dt > _LANDING
    k = min(caps.acceleration / gap, caps.turn_acceleration / turn_gap, 1 / dt if landing else _soft(jerk, dt))
    cx, cy, cz = k * gx - ax, k * gy - ay, k * gz - az
    dx, dy, dz = k * hx - bx, k * hy - by, k * hz - bz
    change = math.sqrt(cx * cx + cy * cy + cz * cz)
    turn_change = math.sqrt(dx * dx + dy * dy + dz * dz)
    share = min(1.0, caps.jerk * dt / max(change, 1e-15), caps.turn_jerk * dt / max(turn_change, 1e-15))
    rate = ax + cx * share, ay + cy * share, az + cz * share
    turn_rate = bx + dx * share, by + dy * share, bz + dz * share
    if share == 1.0:
        landed = Motion(to, turn_to, rate, turn_rate)
        return (landed if landing else _gone_on(now, rate, turn_rate, dt)), True
    pace = _pace(rate, turn_rate, (gx, gy, gz), (hx, hy, hz), k, caps)
    rate = _drawn(rate, (gx, gy, gz), pace, caps.jerk * dt - share * change)
    turn_rate = _drawn(turn_rate, (hx, hy, hz), pace, caps.turn_jerk * dt - share * turn_change)
    return _gone_on(now, rate, turn_rate, dt), False


def _soft(jerk: float, dt: float) -> float:
    """The k for which k·dt + k²/(2·jerk) = 1: so much of the gap per second can still be led to zero before it is closed."""
    step = jerk * dt
    return 2 * jerk / (math.sqrt(2 * jerk + step * step) + step)


def _pace(rate: Triple, turn_rate: Triple, gap: Triple, turn_gap: Triple, k: float, caps: Caps) -> float:
    """The share of the gap per second, 0 … k, that the two rates come nearest to: least squares, each measured by its jerk."""
    weight, turn_weight = 1 / (caps.jerk * caps.jerk), 1 / (caps.turn_jerk * caps.turn_jerk)
    along = weight * _dot(rate, gap) + turn_weight * _dot(turn_rate, turn_gap)
    size = weight * _dot(gap, gap) + turn_weight * _dot(turn_gap, turn_gap)
    return min(k, max(0.0, along / max(size, 1e-30)))


def _drawn(rate: Triple, gap: Triple, pace: float, most: float) -> Triple:
    """The rate, changed by no more than `most` towards pace·gap.

    While one half waits for the other, what it has of its own jerk takes it back to the common direction; else a half whose gap is
    closed would go on at its old rate until the other has turned round.
    """
    (ax, ay, az), (gx, gy, gz) = rate, gap
    ex, ey, ez = pace * gx - ax, pace * gy - ay, pace * gz - az
    share = min(1.0, most / max(math.sqrt(ex * ex + ey * ey + ez * ez), 1e-15))
    if share <= 0.0:
        return rate
    return ax + ex * share, ay + ey * share, az + ez * share


def _dot(a: Triple, b: Triple) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _gone_on(now: Motion, rate: Triple, turn_rate: Triple, dt: float) -> Motion:
    (vx, vy, vz), (wx, wy, wz) = now.velocity, now.turn
    velocity = vx + rate[0] * dt, vy + rate[1] * dt, vz + rate[2] * dt
    return Motion(velocity, (wx + turn_rate[0] * dt, wy + turn_rate[1] * dt, wz + turn_rate[2] * dt), rate, turn_rate)


def _out(now: Motion, caps: Caps) -> float:
    """Seconds that it takes to lead the rate straight to zero."""
    (ax, ay, az), (bx, by, bz) = now.rate, now.turn_rate
    return max(
        math.sqrt(ax * ax + ay * ay + az * az) / caps.jerk,
        math.sqrt(bx * bx + by * by + bz * bz) / caps.turn_jerk,
    )


def _coasted(now: Motion, caps: Caps) -> tuple[float, float]:
    """Speed and turn that stay when the rate is led straight to zero: velocity + rate·T/2, which steps of any length do not pass."""
    (vx, vy, vz), (wx, wy, wz), (ax, ay, az), (bx, by, bz) = now
    half = _out(now, caps) / 2
    x, y, z = vx + ax * half, vy + ay * half, vz + az * half
    p, q, r = wx + bx * half, wy + by * half, wz + bz * half
    return math.sqrt(x * x + y * y + z * z), math.sqrt(p * p + q * q + r * r)


def _led_out(now: Motion, dt: float, caps: Caps) -> Motion:
    """The motion after dt of leading its rate straight to zero."""
    seconds = _out(now, caps)
    left = 1 - dt / seconds if seconds > dt else 0.0
    (ax, ay, az), (bx, by, bz) = now.rate, now.turn_rate
    return _gone_on(now, (ax * left, ay * left, az * left), (bx * left, by * left, bz * left), dt)


@dataclass(frozen=True)
class Way:
    """Braking foretold: where it leads after each step, from here (n, 6) m and rad, and how fast it goes there (n, 6)."""

    places: Array
    twists: Array


def way_to_rest(ramp: Ramp, dt: float, caps: Caps) -> Way:
    """What happens when the tool goes on at the ramp's twist for `dt` seconds and brakes from then on.

    In steps of `dt`, or of a hundredth of a second where that is longer.
    """
    step, now = max(dt, FORECAST_STEP), _motion(ramp)
    steps, pace = [now.velocity + now.turn], _braking_pace(now)
    while pace is None and len(steps) < _LONGEST and _moves(now, step, caps):
        now, straight = _after(now, _ZERO, _ZERO, step, caps)
        steps.append(now.velocity + now.turn)
        pace = _braking_pace(now) if straight else None
    rest = _shares_to_rest(now, pace, step, caps) if pace is not None else []
    twists = np.array([*steps, *([share * v for v in steps[-1]] for share in rest)])
    return Way(np.cumsum(twists, axis=0) * step, twists)


def _braking_pace(now: Motion) -> float | None:
    """The p ≥ 0 for which both rates are -p times the velocities, where there is one: the tool slows down straight."""
    six, rates = now.velocity + now.turn, now.rate + now.turn_rate
    pace = -sum(r * v for r, v in zip(rates, six, strict=True)) / max(sum(v * v for v in six), 1e-30)
    straight = all(abs(r + pace * v) < _PARALLEL for r, v in zip(rates, six, strict=True))
    return pace if straight and pace >= 0 else None


def _moves(now: Motion, dt: float, caps: Caps) -> bool:
    speed, turn = math.hypot(*now.velocity), math.hypot(*now.turn)
    return speed > _STILL or turn > _STILL or _out(now, caps) > dt / 2


def _shares_to_rest(now: Motion, pace: float, dt: float, caps: Caps) -> list[float]:
    """What is left of the velocities after each step of braking, where the rates are -pace times the velocities.

    They stay so until the end, and of the law of `approach` one number is left.
    """
    speed, turn = math.hypot(*now.velocity) + 1e-15, math.hypot(*now.turn) + 1e-15
    most = min(caps.acceleration / speed, caps.turn_acceleration / turn)
    jerk = min(caps.jerk / speed, caps.turn_jerk / turn)
    left, shares = 1.0, list[float]()
    while len(shares) < _LONGEST and (left * max(speed, turn) > _STILL or abs(pace) > jerk * dt / 2):
        wanted = min(most, _soft(jerk / left, dt) * left) if left > 0 else 0.0
        pace += max(-jerk * dt, min(jerk * dt, wanted - pace))
        left -= pace * dt
        shares.append(left)
    return shares


def _motion(ramp: Ramp) -> Motion:
    return Motion(*_halves(ramp.twist), *_halves(ramp.rate))


def _halves(six: Array) -> tuple[Triple, Triple]:
    a, b, c, d, e, f = six.tolist()
    return (a, b, c), (d, e, f)
