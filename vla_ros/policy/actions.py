"""Actions: between [-1, 1] and SI units, and between steps of the tool and poses of the tool. Every function has its inverse."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vla_ros import geometry
from vla_ros.geometry import Array, Pose

ARM = 6
"""The first numbers of a step; the seventh is the gripper."""


def normalise(actions: ArrayLike, low: ArrayLike, high: ArrayLike) -> Array:
    """Steps (..., 7) in SI units -> in [-1, 1], clipped; the gripper stays what it is. low and high (6,)."""
    values, bottom, top = _arrays(actions, low, high)
    scaled = 2 * (values[..., :ARM] - bottom) / (top - bottom) - 1
    return np.concatenate([np.clip(scaled, -1, 1), values[..., ARM:]], -1)


def denormalise(actions: ArrayLike, low: ArrayLike, high: ArrayLike, clip: bool = True) -> Array:
    """The inverse of `normalise`; what is outside of [-1, 1] is clipped first if `clip` says so."""
    values, bottom, top = _arrays(actions, low, high)
    arm = np.clip(values[..., :ARM], -1, 1) if clip else values[..., :ARM]
    return np.concatenate([bottom + (arm + 1) * (top - bottom) / 2, values[..., ARM:]], -1)


def _arrays(*values: ArrayLike) -> tuple[Array, ...]:
    return tuple(np.asarray(value, np.float64) for value in values)


def compose_chunk(
    anchor: Pose, actions: Array, sequential: bool = True, threshold: float = 0.5
) -> tuple[Array, Array, Array]:
    """Poses that steps (n, 7) in SI units lead to from `anchor`: positions (n, 3), quaternions (n, 4), grippers (n,) 0 or 1.

    A step adds to the position and turns the tool about the axes of the base frame. Sequential steps start where the one before
    ended, the others all start at the anchor.
    """
    origin = anchor
    poses = []
    for step in actions:
        target = _moved(origin, step)
        poses.append(target)
        origin = target if sequential else anchor
    positions = np.array([p.position for p in poses]).reshape(-1, 3)
    quaternions = np.array([p.quaternion for p in poses]).reshape(-1, 4)
    return positions, quaternions, np.where(actions[:, ARM] > threshold, 1.0, 0.0)


def _moved(origin: Pose, step: Array) -> Pose:
    turned = geometry.multiply(geometry.exp(step[3:ARM]), origin.quaternion)
    return Pose(origin.position + step[:3], geometry.normalized(turned))


def deltas_from_poses(
    anchor: Pose, positions: Array, quaternions: Array, grippers: Array, sequential: bool = True
) -> Array:
    """The steps (n, 7) in SI units that lead from `anchor` through these poses: the inverse of `compose_chunk`."""
    steps: NDArray[np.float64] = np.zeros((len(grippers), ARM + 1))
    origin = anchor
    for step, position, quaternion, gripper in zip(steps, positions, quaternions, grippers, strict=True):
        step[:3] = position - origin.position
        step[3:ARM] = geometry.difference(quaternion, origin.quaternion)
        step[ARM] = gripper
        if sequential:
            origin = Pose(position, quaternion)
    return steps
