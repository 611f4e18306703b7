"""Rigid poses and rotations. Quaternions are unit, in xyzw order (as in ROS); rotation vectors are in radians."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

IDENTITY_QUATERNION: Array = np.array([0.0, 0.0, 0.0, 1.0])


@dataclass(frozen=True)
class Pose:
    """Position (3,) in metres and unit quaternion (4,) xyzw of one frame in another."""

    position: Array
    quaternion: Array

    def is_finite(self) -> bool:
        """Whether every number is finite and the quaternion is of unit length within 1e-3."""
        numbers = np.concatenate([self.position, self.quaternion])
        return bool(np.isfinite(numbers).all()) and abs(float(np.linalg.norm(self.quaternion)) - 1.0) < 1e-3


def multiply(a: Array, b: Array) -> Array:
    """Hamilton product a∘b: the rotation b first, then a."""
    ax, ay, az, aw = a.tolist()
    bx, by, bz, bw = b.tolist()
    return np.array(
        [
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
            aw * bw - ax * bx - ay * by - az * bz,
        ]
    )


def conjugate(q: Array) -> Array:
    """Inverse rotation of a unit quaternion."""
    return np.array([-q[0], -q[1], -q[2], q[3]])


def normalized(q: Array) -> Array:
    """The quaternion scaled to unit length. Raises ValueError for one of length zero."""
    length = math.sqrt(float(q @ q))
    if length < 1e-9:
        raise ValueError("a quaternion of length zero is no rotation")
    return np.asarray(q / length)


def matrix(q: Array) -> Array:
    """Rotation matrix (3, 3) of a unit quaternion."""
    x, y, z, w = q.tolist()
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def from_matrix(rotation: Array) -> Array:
    """Unit quaternion of a rotation matrix (Shepperd's method: the largest component is never divided by zero)."""
    m = rotation.tolist()
    trace = m[0][0] + m[1][1] + m[2][2]
    candidates = [m[0][0], m[1][1], m[2][2], trace]
    i = candidates.index(max(candidates))
    if i == 3:
        return normalized(np.array([m[2][1] - m[1][2], m[0][2] - m[2][0], m[1][0] - m[0][1], 1 + trace]))
    j, k = (i + 1) % 3, (i + 2) % 3
    q = np.zeros(4)
    q[i] = 1 - trace + 2 * m[i][i]
    q[j] = m[i][j] + m[j][i]
    q[k] = m[i][k] + m[k][i]
    q[3] = m[k][j] - m[j][k]
    return normalized(q)


def exp(rotation_vector: Array) -> Array:
    """Unit quaternion of a rotation vector (3,) in radians."""
    x, y, z = rotation_vector.tolist()
    angle = math.sqrt(x * x + y * y + z * z)
    scale = 0.5 - angle * angle / 48 if angle < 1e-4 else math.sin(angle / 2) / angle
    return np.array([x * scale, y * scale, z * scale, math.cos(angle / 2)])


def log(q: Array) -> Array:
    """Rotation vector (3,) in radians of a unit quaternion, the shorter way round: its length is at most pi."""
    x, y, z, w = q.tolist()
    if w < 0:
        x, y, z, w = -x, -y, -z, -w
    sine = math.sqrt(x * x + y * y + z * z)
    scale = 2.0 if sine < 1e-9 else 2 * math.atan2(sine, w) / sine
    return np.array([x * scale, y * scale, z * scale])


def rotate(q: Array, vector: Array) -> Array:
    """The vector (3,) rotated by the unit quaternion."""
    return np.asarray(matrix(q) @ vector)


def difference(target: Array, origin: Array) -> Array:
    """Rotation vector, in the common parent frame, that turns `origin` into `target`."""
    return log(multiply(target, conjugate(origin)))


def slerp(a: Array, b: Array, fraction: float) -> Array:
    """Rotation at `fraction` of the shorter way from `a` to `b`."""
    return normalized(multiply(exp(fraction * difference(b, a)), a))


def compose(parent: Pose, child: Pose) -> Pose:
    """Pose of `child` (given in the frame of `parent`) in the frame that `parent` is given in."""
    return Pose(
        parent.position + rotate(parent.quaternion, child.position),
        normalized(multiply(parent.quaternion, child.quaternion)),
    )


def inverse(pose: Pose) -> Pose:
    """The pose that `compose` takes back to the identity."""
    q = conjugate(pose.quaternion)
    return Pose(-rotate(q, pose.position), q)


def interpolate(a: Pose, b: Pose, fraction: float) -> Pose:
    """Pose at `fraction` of the straight way from `a` to `b`; the rotation takes the shorter way."""
    return Pose(a.position + fraction * (b.position - a.position), slerp(a.quaternion, b.quaternion, fraction))
