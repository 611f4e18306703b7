"""A smooth path through the targets of a chunk: where the tool is wanted at any moment, with three derivatives.

Between two targets position and turn follow a quintic Hermite polynomial. Velocity and acceleration at a target are those of the
parabola through it and its neighbours (Catmull-Rom tangents with the curvature that belongs to them), and both segments that meet
there use the same: pose, velocity and acceleration are continuous at every target.

A turn is a rotation vector φ(t) of the base frame about the orientation where its segment begins: q(t) = exp(φ(t)) ∘ q. Rotation
vectors do not add, so angular velocity is ω = J(φ)·φ' with the left Jacobian of SO(3), J(φ) = I + b·[φ] + c·[φ]², [φ] the matrix of
φ×, b = (1 - cos θ)/θ², c = (θ - sin θ)/θ³, θ = |φ| (Solà et al., A micro Lie theory, arXiv 1812.01537, eq. 145). Its derivatives
follow by the product rule.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import numpy as np

from vla_ros import geometry
from vla_ros.clock import SECOND
from vla_ros.geometry import Array, Pose
from vla_ros.values import ActionChunk

Triple: TypeAlias = tuple[float, float, float]
_Number = TypeVar("_Number", float, Array)

_TERMS = 14
"""Terms of the series of b and c: exact to rounding up to a turn of 4 rad."""
_FEW = 5
"""As many do below `_SMALL` rad²: turns of 10°."""
_SMALL = 0.03
_B = tuple((-1) ** n / math.factorial(2 * n + 2) for n in range(_TERMS))
_C = tuple((-1) ** n / math.factorial(2 * n + 3) for n in range(_TERMS))


@dataclass(frozen=True)
class Motion:
    """A tool pose with its velocity, acceleration and jerk, (6,) each: m and rad per s, s² and s³ in the base frame."""

    pose: Pose
    velocity: Array
    acceleration: Array
    jerk: Array


@dataclass(frozen=True)
class Path:
    """The path of a chunk: n targets, target k at stamp + (k + 1)·step (ns), and one step later at rest at the last one.

    positions (n, 3) m and quaternions (n, 4) xyzw in the base frame. `curves` (n + 1, 6, 6) are the coefficients, by powers of the
    share of a step, of the displacement (m, rad): curves[0] from the first target backwards, curves[k + 1] from target k on.
    """

    stamp: int
    step: int
    positions: Array
    quaternions: Array
    curves: Array

    @classmethod
    def of(cls, chunk: ActionChunk) -> Path:
        """Before the first target straight back along the first chord at constant velocity; at rest at the last one.

        To stop there the tool takes two steps' time for the last step: in one it would first have to be half as fast again, and then
        brake harder than it can. A chunk of one target is that target, at rest. Raises ValueError for a chunk without targets.
        """
        if len(chunk) == 0:
            raise ValueError("a chunk without targets has no path")
        quaternions = chunk.quaternions / np.linalg.norm(chunk.quaternions, axis=1, keepdims=True)
        curves = _curves(chunk.positions, quaternions)
        return cls(chunk.stamp, chunk.step, chunk.positions, quaternions, curves)

    @classmethod
    def coast(cls, here: Pose, twist: Array, rate: Array, now: int, until: int) -> Path:
        """A tool at constant acceleration that is at `here` at `now`, and at `until` moves at `twist` (6,) with rate `rate` (6,)."""
        t = (until - now) / SECOND
        shift = t * twist - 0.5 * t * t * rate
        curves = np.zeros((2, 6, 6))
        curves[:, 1], curves[:, 2] = twist, 0.5 * rate
        end = displaced(here, shift)
        return cls(until - SECOND, SECOND, end.position[None], end.quaternion[None], curves)

    @property
    def end(self) -> int:
        """Moment from which on the path rests at the last target."""
        n = len(self.positions)
        return self.stamp + (n + 1 if n > 1 else n) * self.step

    def motion(self, moment: int) -> Motion:
        """Wanted motion at `moment` (ns of the chunk's clock)."""
        row, origin, share = self._segment(moment)
        pose = Pose(self.positions[origin], self.quaternions[origin])
        return _from_rest(pose, along(self.curves[row], share, self.step / SECOND))

    def pose(self, moment: int) -> Pose:
        """Wanted pose at `moment`, alone."""
        row, origin, share = self._segment(moment)
        return displaced(Pose(self.positions[origin], self.quaternions[origin]), value(self.curves[row], share))

    def poses(self, moments: Array) -> tuple[Array, Array]:
        """Positions (m, 3) and quaternions (m, 4) at `moments` (m,), ns after the stamp."""
        since = moments / self.step - 1.0
        last = len(self.positions) - 1
        steps = np.where(since < last + 1, np.minimum(np.floor(since), last - 1), last)
        rows = np.maximum(steps, -1).astype(int) + 1
        origins = np.maximum(rows - 1, 0)
        shifts = np.einsum("mp,mpa->ma", (since - origins)[:, None] ** np.arange(6), self.curves[rows])
        return self.positions[origins] + shifts[:, :3], turned(shifts[:, 3:], self.quaternions[origins])

    def _segment(self, moment: int) -> tuple[int, int, float]:
        """Row of `curves`, the target that it starts from, and the share of a step since then."""
        since, last = moment - self.stamp - self.step, len(self.positions) - 1
        steps = since // self.step
        row = max(-1, min(steps, last - 1) if steps <= last else last) + 1
        origin = max(0, row - 1)
        return row, origin, (since - origin * self.step) / self.step


def quintic(start: Array, end: Array) -> Array:
    """Coefficients (…, 6, 6) by powers of u of the quintics with given value, slope and curvature (…, 3, 6) at u = 0 and u = 1.

    Craig, Introduction to Robotics, section 7.3.
    """
    return np.asarray(_FROM_START @ start + _FROM_END @ end)


_FROM_START = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 0.5], [-10, -6, -1.5], [15, 8, 1.5], [-6, -3, -0.5]])
_FROM_END = np.array([[0, 0, 0], [0, 0, 0], [0, 0, 0], [10, -4, 0.5], [-15, 7, -1], [6, -3, 0.5]])


def along(curve: Array, u: float, seconds: float) -> Array:
    """Value and first three derivatives by time (4, 6) at share `u` of a polynomial (6, 6) that lasts `seconds`."""
    u2 = u * u
    u3, u4 = u2 * u, u2 * u2
    r = 1.0 / seconds
    r2 = r * r
    r3 = r2 * r
    basis = np.array(
        [
            [1.0, u, u2, u3, u4, u4 * u],
            [0.0, r, 2 * u * r, 3 * u2 * r, 4 * u3 * r, 5 * u4 * r],
            [0.0, 0.0, 2 * r2, 6 * u * r2, 12 * u2 * r2, 20 * u3 * r2],
            [0.0, 0.0, 0.0, 6 * r3, 24 * u * r3, 60 * u2 * r3],
        ]
    )
    return np.asarray(basis @ curve)


def value(curve: Array, u: float) -> Array:
    """Value (6,) at share `u` of a polynomial (6, 6)."""
    u2 = u * u
    return np.asarray(np.array([1.0, u, u2, u2 * u, u2 * u2, u2 * u2 * u]) @ curve)


def displaced(pose: Pose, shift: Array) -> Pose:
    """The pose moved by `shift` (6,): m, and a rotation vector in rad, base frame."""
    quaternion = geometry.multiply(geometry.exp(shift[3:]), pose.quaternion)
    return Pose(pose.position + shift[:3], geometry.normalized(quaternion))


def carried(motion: Motion, shift: Array) -> Motion:
    """A motion with a moving displacement `shift` (4, 6) on top: its value and three derivatives by time.

    With R = exp(φ) and Ω the angular velocity of φ: q = R∘q, ω = Ω + Rω, and so on by d/dt(Rx) = Ω×Rx + Rx'.
    """
    spin, spin_rate, spin_bend = _spin(shift[:, 3:].tolist())
    rotation = geometry.matrix(geometry.exp(shift[0, 3:]))
    velocity, acceleration, jerk = motion.velocity + shift[1], motion.acceleration + shift[2], motion.jerk + shift[3]
    own = (rotation @ np.array([motion.velocity[3:], motion.acceleration[3:], motion.jerk[3:]]).T).T.tolist()
    w, a, j = own
    turning = cross(spin, w)
    velocity[3:] = add(spin, w)
    acceleration[3:] = add(add(spin_rate, a), turning)
    across = add(cross(spin, add(add(a, a), turning)), cross(spin_rate, w))
    jerk[3:] = add(add(spin_bend, j), across)
    return Motion(displaced(motion.pose, shift[0]), velocity, acceleration, jerk)


def departure(from_motion: Motion, to: Motion) -> Array:
    """Displacement, its rate and its acceleration (3, 6) that make of `to` the pose, velocity and acceleration of `from_motion`.

    The inverse of `carried`.
    """
    turn = geometry.difference(from_motion.pose.quaternion, to.pose.quaternion)
    rotation = geometry.matrix(geometry.exp(turn))
    w = rotation @ to.velocity[3:]
    spin = from_motion.velocity[3:] - w
    spin_rate = from_motion.acceleration[3:] - rotation @ to.acceleration[3:] - np.cross(spin, w)
    rate, bend = _unspun(turn[None], spin[None], spin_rate[None])
    shift = np.empty((3, 6))
    shift[0, :3] = from_motion.pose.position - to.pose.position
    shift[1, :3] = from_motion.velocity[:3] - to.velocity[:3]
    shift[2, :3] = from_motion.acceleration[:3] - to.acceleration[:3]
    shift[0, 3:], shift[1, 3:], shift[2, 3:] = turn, rate[0], bend[0]
    return shift


def turns(targets: Array, origins: Array) -> Array:
    """Rotation vectors (m, 3) rad in the base frame that turn `origins` into `targets` (m, 4), the shorter way round."""
    q = _products(targets, origins * np.array([-1.0, -1.0, -1.0, 1.0]))
    q = np.where(q[:, 3:] < 0, -q, q)
    sine = np.linalg.norm(q[:, :3], axis=1)
    near = sine < 1e-9
    scale = np.where(near, 2.0, 2 * np.arctan2(sine, q[:, 3]) / np.where(near, 1.0, sine))
    return np.asarray(q[:, :3] * scale[:, None])


def turned(vectors: Array, quaternions: Array) -> Array:
    """The quaternions (m, 4) after a turn by the rotation vectors (m, 3), base frame."""
    half = 0.5 * np.linalg.norm(vectors, axis=1, keepdims=True)
    q = np.concatenate([0.5 * np.sinc(half / np.pi) * vectors, np.cos(half)], axis=1)
    product = _products(q, quaternions)
    return np.asarray(product / np.linalg.norm(product, axis=1, keepdims=True))


def cross(a: Triple, b: Triple) -> Triple:
    """Vector product, for three numbers many times faster than numpy's."""
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


def add(a: Triple, b: Triple) -> Triple:
    """Sum of two vectors."""
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]


def _curves(positions: Array, quaternions: Array) -> Array:
    """`Path.curves` of n targets. Slopes and curvatures count time in steps."""
    n = len(positions)
    chords = np.concatenate([np.diff(positions, axis=0), turns(quaternions[1:], quaternions[:-1])], axis=1)
    curves, knots = np.zeros((n + 1, 6, 6)), np.zeros((n, 3, 6))
    if n == 1:
        return curves
    knots[0, 1] = curves[0, 1] = chords[0]
    knots[1:-1, 1] = 0.5 * (chords[:-1] + chords[1:])
    knots[1:-1, 2] = chords[1:] - chords[:-1]
    ends = knots[1:].copy()
    ends[:, 0] = chords
    ends[:, 1, 3:], ends[:, 2, 3:] = _unspun(chords[:, 3:], knots[1:, 1, 3:], knots[1:, 2, 3:])
    knots[-2] *= np.array([[1.0], [2.0], [4.0]])  # the last one takes two steps
    curves[1:-1] = quintic(knots[:-1], ends)
    curves[-2] *= 0.5 ** np.arange(6)[:, None]  # by powers of the share of one step again
    return curves


def _from_rest(pose: Pose, shift: Array) -> Motion:
    """`carried` for a pose at rest."""
    velocity, acceleration, jerk = shift[1], shift[2], shift[3]
    velocity[3:], acceleration[3:], jerk[3:] = _spin(shift[:, 3:].tolist())
    return Motion(displaced(pose, shift[0]), velocity, acceleration, jerk)


def _spin(turn: list[Triple]) -> tuple[Triple, Triple, Triple]:
    """Angular velocity, acceleration and jerk, rad per s, s² and s³, of exp(φ) from φ and its three derivatives.

    With s = φ·φ, p = φ×φ', r = φ×p: ω = φ' + b(s)·p + c(s)·r, and its derivatives.
    """
    x, v, a, j = turn
    s = x[0] * x[0] + x[1] * x[1] + x[2] * x[2]
    s1 = 2 * (x[0] * v[0] + x[1] * v[1] + x[2] * v[2])
    s2 = 2 * (v[0] * v[0] + v[1] * v[1] + v[2] * v[2] + x[0] * a[0] + x[1] * a[1] + x[2] * a[2])
    b, b1, b2 = _chained(_series(_B, s), s1, s2)
    c, c1, c2 = _chained(_series(_C, s), s1, s2)
    p, p1, p2 = cross(x, v), cross(x, a), add(cross(v, a), cross(x, j))
    r, r1 = cross(x, p), add(cross(v, p), cross(x, p1))
    half = cross(v, p1)
    r2 = add(add(cross(a, p), add(half, half)), cross(x, p2))
    w, w1, w2 = [], [], []
    for i in range(3):
        w.append(v[i] + b * p[i] + c * r[i])
        w1.append(a[i] + b1 * p[i] + b * p1[i] + c1 * r[i] + c * r1[i])
        w2.append(j[i] + b2 * p[i] + 2 * b1 * p1[i] + b * p2[i] + c2 * r[i] + 2 * c1 * r1[i] + c * r2[i])
    return (w[0], w[1], w[2]), (w1[0], w1[1], w1[2]), (w2[0], w2[1], w2[2])


def _unspun(turn: Array, spin: Array, spin_rate: Array) -> tuple[Array, Array]:
    """φ' and φ'' (m, 3) of turns φ (m, 3) with given angular velocity and acceleration (m, 3)."""
    s = np.sum(turn * turn, axis=1)[:, None, None]
    (b, b1, _), (c, c1, _) = _series(_B, s), _series(_C, s)
    k = _skew(turn)
    k2 = k @ k
    jacobian = np.eye(3) + b * k + c * k2
    rate = np.linalg.solve(jacobian, spin[:, :, None])
    s1 = 2 * turn[:, None, :] @ rate
    p = k @ rate
    drift = b1 * s1 * p + c1 * s1 * (k2 @ rate) + c * (_skew(rate[:, :, 0]) @ p)
    bend = np.linalg.solve(jacobian, spin_rate[:, :, None] - drift)
    return rate[:, :, 0], bend[:, :, 0]


def _series(coefficients: tuple[float, ...], s: _Number) -> tuple[_Number, _Number, _Number]:
    """Value and first two derivatives of a power series (Horner's rule)."""
    value = first = second = 0.0 * s
    short = isinstance(s, float) and s < _SMALL
    for coefficient in reversed(coefficients[:_FEW] if short else coefficients):
        second = second * s + first
        first = first * s + value
        value = value * s + coefficient
    return value, first, 2 * second


def _chained(series: Triple, s1: float, s2: float) -> Triple:
    """Value and first two derivatives by time of f(s(t)), from those of f by s and of s by time."""
    f, f1, f2 = series
    return f, f1 * s1, f2 * s1 * s1 + f1 * s2


def _skew(vectors: Array) -> Array:
    """Matrices (m, 3, 3) of the vector product with (m, 3)."""
    x, y, z = vectors.T
    zero = np.zeros_like(x)
    return np.array([[zero, -z, y], [z, zero, -x], [-y, x, zero]]).transpose(2, 0, 1)


def _products(a: Array, b: Array) -> Array:
    """Hamilton products a∘b (m, 4)."""
    ax, ay, az, aw = a.T
    bx, by, bz, bw = b.T
    return np.stack(
        [
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
            aw * bw - ax * bx - ay * by - az * bz,
        ],
        axis=1,
    )
