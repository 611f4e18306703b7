"""What the arm tells of itself, as values, and whether an arm like that may be moved."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from vla_ros import geometry
from vla_ros.arms import kortex_units
from vla_ros.arms.arm import ArmError
from vla_ros.arms.kortex_units import DEGREE
from vla_ros.geometry import Pose
from vla_ros.values import JOINTS

TOOL_DISTANCE, TOOL_TURN = 0.010, 2 * DEGREE
"""By how much the arm's tool pose may differ from ours of the same joints, m and rad."""


@dataclass(frozen=True)
class Identity:
    """Which arm this is: actuators, whether a gripper is on it, serial and model of the base, versions of its firmware and of the SDK.

    What the arm does not tell is empty.
    """

    actuators: int
    gripper: bool
    serial: str
    model: str
    firmware: str
    sdk: str


@dataclass(frozen=True)
class Tool:
    """Tool frame in the flange's, its mass, kg, and the centre of that mass in the flange's frame, m."""

    pose: Pose
    mass: float
    centre: tuple[float, float, float]

    def near(self, other: Tool) -> bool:
        """Whether they are the same within the single precision of the wire."""
        mine, theirs = ([t.mass, *t.centre, *t.pose.position] for t in (self, other))
        turn = np.linalg.norm(geometry.difference(self.pose.quaternion, other.pose.quaternion))
        return bool(np.allclose(mine, theirs, atol=1e-4)) and float(turn) < 1e-3


@dataclass(frozen=True)
class KinematicLimit:
    """Soft limits of one control mode (the vendor's name): tool m/s and rad/s, joints rad/s."""

    mode: str
    speed: float
    turn_speed: float
    joint_speeds: tuple[float, ...]


def check_identity(identity: Identity) -> list[str]:
    """Notes on an arm that can be driven. Raises ArmError for one that cannot."""
    if identity.actuators != JOINTS:
        raise ArmError(
            f"this arm has {identity.actuators} actuators: vla_ros drives the Gen3 with {JOINTS} "
            "(spherical wrist); its kinematics are wrong for another. Is arm.address that of the right arm?"
        )
    if not identity.gripper:
        raise ArmError(
            "the arm has no gripper: its feedback has none. Is the 2F-85 screwed on, its cable in, and is it chosen as "
            "the end effector in the arm's web page (Configurations > Arm > Product)? Switch the arm off before touching the cable"
        )
    return check_versions(identity.firmware, identity.sdk)


def check_versions(firmware: str, sdk: str) -> list[str]:
    """Notes on the versions of the arm's firmware and of the SDK, as `2.6.0`. Raises ArmError where they cannot
    understand each other.
    """
    theirs, ours = _version(firmware), _version(sdk)
    if theirs is None or ours is None:
        return [f"versions cannot be compared: firmware {firmware!r}, kortex_api {sdk!r}"]
    if theirs[0] != ours[0]:
        raise ArmError(
            f"firmware {firmware} and kortex_api {sdk} are of different major versions: install the wheel that goes "
            "with the firmware, or update the arm in its web page"
        )
    return (
        []
        if theirs == ours
        else [f"firmware {firmware} and kortex_api {sdk} are of different minor versions: they should be the same"]
    )


def _version(text: str) -> tuple[int, int] | None:
    found = re.search(r"(\d+)\.(\d+)", text)
    return None if found is None else (int(found[1]), int(found[2]))


def check_pose(feedback: Any) -> None:
    """Compare the arm's tool pose with ours of the same joints. Raises ArmError where they do not agree."""
    theirs, ours = kortex_units.reported_tool(feedback), kortex_units.arm_state(feedback, 0).tool
    distance = float(np.linalg.norm(theirs.position - ours.position))
    turn = float(np.linalg.norm(geometry.difference(theirs.quaternion, ours.quaternion)))
    if not (distance <= TOOL_DISTANCE and turn <= TOOL_TURN):
        raise ArmError(
            f"the arm says its tool is at {said_pose(theirs)}, its joints say {said_pose(ours)}: "
            f"{distance * 1000:.0f} mm and {turn / DEGREE:.1f}° "
            "apart. Either the tool configuration in the arm is another's (its web page may have set it since), or this firmware's "
            "convention of poses is another, or the arm is no Gen3 with 7 joints; it must not be moved so"
        )


def check_limit(kind: str, found: KinematicLimit, speed: float, turn_speed: float, joint_speed: float) -> None:
    pairs = (
        [(found.speed, speed), (found.turn_speed, turn_speed)]
        if kind == "twist"
        else [(s, joint_speed) for s in found.joint_speeds]
    )
    for got, wanted in pairs:
        if not got <= wanted * 1.001 + 1e-4:
            raise ArmError(
                f"the arm's {kind} limit of {found.mode} reads {got:.3f} (SI) after it was set to {wanted:.3f}: it did not take it"
            )


def said_pose(pose: Pose) -> str:
    """A pose for people: m and Kortex's angles in degrees."""
    angles = ", ".join(f"{a:.1f}" for a in kortex_units.thetas(pose.quaternion))
    return f"({', '.join(f'{p:.3f}' for p in pose.position)}) m, ({angles})°"
