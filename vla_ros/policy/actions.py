"""Between steps of the tool, in SI units, and poses of the tool. What a network makes of steps: vla_ros.policy.codec."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_ros import geometry
from vla_ros.geometry import Array, Pose

ARM = 6
"""The first numbers of a step; the seventh is the gripper."""


def compose_chunk(
    anchor: Pose, actions: Array, sequential: bool = True, threshold: float = 0.5, in_tool: bool = False
) -> tuple[Array, Array, Array]:
    """Poses that steps (n, 7) in SI units lead to from `anchor`: positions (n, 3), quaternions (n, 4), grippers (n,) 0 or 1.

    A step adds to the position and turns the tool about the axes of the base frame, or, `in_tool`, of the tool before the step.
    Sequential steps start where the one before ended, the others all start at the anchor.
    """
    origin = anchor
    poses = []
    for step in actions:
        target = _moved_in_tool(origin, step) if in_tool else _moved(origin, step)
        poses.append(target)
        origin = target if sequential else anchor
    positions = np.array([p.position for p in poses]).reshape(-1, 3)
    quaternions = np.array([p.quaternion for p in poses]).reshape(-1, 4)
    return positions, quaternions, np.where(actions[:, ARM] > threshold, 1.0, 0.0)


def _moved(origin: Pose, step: Array) -> Pose:
    turned = geometry.multiply(geometry.exp(step[3:ARM]), origin.quaternion)
    return Pose(origin.position + step[:3], geometry.normalized(turned))


def _moved_in_tool(origin: Pose, step: Array) -> Pose:
    return geometry.compose(origin, Pose(np.asarray(step[:3]), geometry.exp(step[3:ARM])))


def deltas_from_poses(
    anchor: Pose, positions: Array, quaternions: Array, grippers: Array, sequential: bool = True, in_tool: bool = False
) -> Array:
    """The steps (n, 7) in SI units that lead from `anchor` through these poses: the inverse of `compose_chunk`."""
    steps: NDArray[np.float64] = np.zeros((len(grippers), ARM + 1))
    origin = anchor
    for step, position, quaternion, gripper in zip(steps, positions, quaternions, grippers, strict=True):
        there = Pose(position, quaternion)
        step[:ARM] = _step_in_tool(origin, there) if in_tool else _step(origin, there)
        step[ARM] = gripper
        if sequential:
            origin = there
    return steps


def _step(origin: Pose, there: Pose) -> Array:
    return np.concatenate([there.position - origin.position, geometry.difference(there.quaternion, origin.quaternion)])


def _step_in_tool(origin: Pose, there: Pose) -> Array:
    step = geometry.compose(geometry.inverse(origin), there)
    return np.concatenate([step.position, geometry.log(step.quaternion)])
