"""Forward kinematics, Jacobian and inverse kinematics of the Kinova Gen3 7-DoF with a Robotiq 2F-85.

Link poses are facts of Kinova's URDF (ros2_kortex, kortex_description, gen3 7dof; see NOTICE). Every joint turns about the z
axis of its link. `tool` is the point between the finger tips, z pointing away from the arm, the fingers opening along y.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from vla_ros import geometry
from vla_ros.geometry import Array, Pose

_LINKS = (  # position in the parent link (m), quaternion in the parent link (wxyz, not normalised), from the URDF
    ((0.0, 0.0, 0.15643), (0, 1, 0, 0)),
    ((0.0, 0.005375, -0.12838), (1, 1, 0, 0)),
    ((0.0, -0.21038, -0.006375), (1, -1, 0, 0)),
    ((0.0, 0.006375, -0.21038), (1, 1, 0, 0)),
    ((0.0, -0.20843, -0.006375), (1, -1, 0, 0)),
    ((0.0, 0.00017505, -0.10593), (1, 1, 0, 0)),
    ((0.0, -0.10593, -0.00017505), (1, -1, 0, 0)),
)
LINK_POSITIONS: Array = np.array([position for position, _ in _LINKS])
LINK_QUATERNIONS: Array = np.array([geometry.normalized(np.array([x, y, z, w], float)) for _, (w, x, y, z) in _LINKS])
GRIPPER_MOUNT = Pose(np.array([0.0, 0.0, -0.0615]), np.array([-1.0, 1.0, 0.0, 0.0]) / math.sqrt(2))
"""Base of the 2F-85 in the frame of the last link: the URDF's `end_effector`, turned a quarter about its z so that the fingers
open along y and the wrist camera looks along x."""
TOOL_OFFSET = 0.1415
"""From the base of the 2F-85 to the point between its finger tips, m."""
POSITION_LIMITS: Array = np.array([math.inf, 2.24, math.inf, 2.57, math.inf, 2.09, math.inf])
"""Joint limits ± rad (URDF); joints 1, 3, 5 and 7 turn without end."""
VELOCITY_LIMITS: Array = np.array([1.3963] * 4 + [1.2218] * 3)
"""Joint speed limits, rad/s (URDF)."""
HOME: Array = np.array([-0.0015, 0.318, 3.148, -1.663, -0.002, -1.160, 1.576])
"""Tool down over the middle of the table, about (0.42, 0, 0.25)."""
TOOL_DOWN: Array = np.array([1.0, 0.0, 0.0, 0.0])
"""Orientation xyzw of the tool pointing straight down, the fingers opening along y of the base."""

_ROTATIONS: Array = np.stack([geometry.matrix(q) for q in LINK_QUATERNIONS])
_LINK_FRAMES: Array = np.tile(np.eye(4), (8, 1, 1))
_LINK_FRAMES[1:, :3, 3] = LINK_POSITIONS
_TOOL_TRANSLATION: Array = GRIPPER_MOUNT.position + geometry.rotate(
    GRIPPER_MOUNT.quaternion, np.array([0, 0, TOOL_OFFSET])
)
_TOOL_ROTATION: Array = geometry.matrix(GRIPPER_MOUNT.quaternion)


@dataclass(frozen=True)
class Kinematics:
    """Tool pose at some joints, and the Jacobian (6, 7): joint rates rad/s to tool twist m/s, rad/s in the base frame.

    `frames` (8, 4, 4) are the poses of the base and of links 1 to 7 in the base frame: joint i turns about the z axis of frame i.
    """

    tool: Pose
    jacobian: Array
    frames: Array

    @property
    def manipulability(self) -> float:
        """Yoshikawa's measure sqrt(det J·Jᵀ) (Yoshikawa 1985, eq. 2)."""
        return math.sqrt(max(0.0, float(np.linalg.det(self.jacobian @ self.jacobian.T))))


def link_frames(joints: Array) -> Array:
    """Poses (…, 8, 4, 4) of the base and of links 1 to 7 in the base frame at `joints` (…, 7) rad."""
    cosines, sines = np.cos(joints), np.sin(joints)
    turns = np.zeros((*joints.shape, 3, 3))
    turns[..., 0, 0] = turns[..., 1, 1] = cosines
    turns[..., 0, 1], turns[..., 1, 0], turns[..., 2, 2] = -sines, sines, 1.0
    frames = np.empty((*joints.shape[:-1], 8, 4, 4))
    frames[...] = _LINK_FRAMES
    frames[..., 1:, :3, :3] = _ROTATIONS @ turns
    for i in range(2, 8):
        frames[..., i, :, :] = frames[..., i - 1, :, :] @ frames[..., i, :, :]
    return frames


def kinematics(joints: Array) -> Kinematics:
    """Tool pose, Jacobian and link frames at `joints` (7,) rad."""
    frames = link_frames(joints)
    axes, origins = frames[1:, :3, 2], frames[1:, :3, 3]
    rotation = frames[7, :3, :3]
    tip = origins[6] + rotation @ _TOOL_TRANSLATION
    jacobian = np.empty((6, 7))
    arms = tip - origins
    jacobian[0] = axes[:, 1] * arms[:, 2] - axes[:, 2] * arms[:, 1]
    jacobian[1] = axes[:, 2] * arms[:, 0] - axes[:, 0] * arms[:, 2]
    jacobian[2] = axes[:, 0] * arms[:, 1] - axes[:, 1] * arms[:, 0]
    jacobian[3:] = axes.T
    return Kinematics(Pose(tip, geometry.from_matrix(rotation @ _TOOL_ROTATION)), jacobian, frames)


def forward(joints: Array) -> Pose:
    """Tool pose in the base frame at `joints` (7,) rad."""
    return kinematics(joints).tool


def joint_rates(k: Kinematics, joints: Array, twist: Array, damping: float = 1e-4, posture_gain: float = 0.0) -> Array:
    """Joint rates (7,) rad/s that give the tool `twist` (6,), by damped least squares (Wampler 1986).

    `posture_gain` (1/s) pulls towards HOME inside the null space, so that the elbow does not wander.
    """
    j = k.jacobian
    gram = j @ j.T
    gram[np.diag_indices(6)] += damping
    if posture_gain == 0.0:
        return np.asarray(j.T @ np.linalg.solve(gram, twist))
    pull = posture_gain * wrapped(HOME - joints)
    solution = np.linalg.solve(gram, np.stack([twist, j @ pull], axis=1))
    return np.asarray(j.T @ (solution[:, 0] - solution[:, 1]) + pull)


def wrapped(angles: Array) -> Array:
    """Angles taken to [-pi, pi)."""
    return np.asarray((angles + math.pi) % (2 * math.pi) - math.pi)


def inverse_kinematics(target: Pose, start: Array = HOME, iterations: int = 200) -> Array:
    """Joints (7,) rad within 1e-5 m and 1e-4 rad of `target`, near `start`.

    Raises ValueError when the pose is out of reach or only reached beyond a joint limit.
    """
    joints = np.array(start, float)
    for _ in range(iterations):
        k = kinematics(joints)
        error = np.concatenate(
            [
                target.position - k.tool.position,
                geometry.difference(target.quaternion, k.tool.quaternion),
            ]
        )
        if np.linalg.norm(error[:3]) < 1e-5 and np.linalg.norm(error[3:]) < 1e-4:
            joints = wrapped(joints)
            if (np.abs(joints) <= POSITION_LIMITS).all():
                return joints
            break
        joints = joints + np.clip(joint_rates(k, joints, error, damping=1e-7, posture_gain=0.02), -0.3, 0.3)
    raise ValueError(f"no joints inside the limits reach the tool position {np.round(target.position, 4).tolist()}")


FINGER_BELOW_TOOL = 0.0219
"""Farthest that the finger tips of the 2F-85 reach beyond the tool point anywhere on their stroke, m: the linkage moves them
forward while it closes (pivots in `vla_ros.twin.gripper`; a test holds the two together)."""
_FINGER_HALF_WIDTH = 0.011
_STROKE_OF_TIP = ((0.0505, 0.0080), (0.0431, 0.0135), (0.0306, 0.0193), (0.0172, 0.0219), (0.0080, 0.0219))
"""Outer edge of a finger tip at five places of the stroke, open to closed: away from the middle (y) and beyond the tool (z), m."""
_FINGER_POINTS: Array = np.array(
    [[x, y * side, z] for y, z in _STROKE_OF_TIP for side in (-1, 1) for x in (-_FINGER_HALF_WIDTH, _FINGER_HALF_WIDTH)]
)


def finger_points(tool: Pose) -> Array:
    """Where the edges of the finger tips can be by opening or closing at this tool pose: (20, 3) m from the tool, base frame."""
    return np.asarray(_FINGER_POINTS @ geometry.matrix(tool.quaternion).T)


def finger_bottom(tool: Pose) -> float:
    """Height in the base frame, m, of the lowest point that the fingers can reach by opening or closing at this tool pose."""
    return float(tool.position[2] + finger_points(tool)[:, 2].min())
