"""Rigid transforms as (4, 4) matrices and as small steps (6,): a rotation vector in rad, then a way in m."""

from __future__ import annotations

import numpy as np

from vla_ros import geometry
from vla_ros.geometry import Array, Pose


def of_pose(pose: Pose) -> Array:
    """The matrix (4, 4) that takes points in the pose's frame to the frame that the pose is given in."""
    made = np.eye(4)
    made[:3, :3], made[:3, 3] = geometry.matrix(pose.quaternion), pose.position
    return made


def to_pose(transform: Array) -> Pose:
    """The pose of a matrix (4, 4)."""
    return Pose(transform[:3, 3].copy(), geometry.from_matrix(transform[:3, :3]))


def inverse(transform: Array) -> Array:
    """The inverse of transforms (…, 4, 4)."""
    turned = np.swapaxes(transform[..., :3, :3], -1, -2)
    made = np.zeros_like(transform)
    made[..., :3, :3], made[..., 3, 3] = turned, 1.0
    made[..., :3, 3] = -(turned @ transform[..., :3, 3:])[..., 0]
    return made


def step(small: Array) -> Array:
    """The transform (4, 4) of a step (6,): it turns, and moves along the axes of before."""
    return of_pose(Pose(small[3:], geometry.exp(small[:3])))


def steps_to(transform: Array) -> Array:
    """The step (6,) of a transform (4, 4)."""
    return np.concatenate([geometry.log(geometry.from_matrix(transform[:3, :3])), transform[:3, 3]])


def applied(transform: Array, points: Array) -> Array:
    """Points (n, 3) taken through one transform (4, 4), or each through its own (n, 4, 4)."""
    return np.asarray((transform[..., :3, :3] @ points[..., None])[..., 0] + transform[..., :3, 3])


def cross(vectors: Array) -> Array:
    """The matrices (n, 3, 3) that multiply by vectors (n, 3) crosswise from the left."""
    x, y, z = vectors.T
    o = np.zeros_like(x)
    return np.stack([np.stack([o, -z, y], 1), np.stack([z, o, -x], 1), np.stack([-y, x, o], 1)], axis=1)


def apart(a: Pose, b: Pose) -> tuple[float, float]:
    """Distance of two poses: m, and rad."""
    way = float(np.linalg.norm(a.position - b.position))
    return way, float(np.linalg.norm(geometry.difference(a.quaternion, b.quaternion)))
