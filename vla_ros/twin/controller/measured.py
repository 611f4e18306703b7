"""What the motion's thread publishes after each cycle, and the protocol's thread answers from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vla_ros import kinematics
from vla_ros.geometry import Array, Pose
from vla_ros.twin.controller.drive import Drive
from vla_ros.twin.kortex.codes import ControlMode
from vla_ros.twin.scene import GRIP_TORQUE
from vla_ros.values import JOINTS, ArmState

if TYPE_CHECKING:
    from vla_ros.twin.physics import Twin


@dataclass(frozen=True)
class Measured:
    """The arm after a cycle, and how far it is with what was ordered.

    `twist` (6,) is of the twin's own tool point, m/s and rad/s in the base frame, `commanded` where that point is to be;
    gripper_speed 1/s, closing positive; gripper_effort 0 … 1 of the most; `wanted_grip` 0 … 1; `taken` is the number of the last
    order that was handed over, `resting` whether all of them are done.
    """

    state: ArmState
    twist: Array
    gripper_speed: float
    gripper_effort: float
    wanted_grip: float
    commanded: Pose
    resting: bool
    playing: bool
    mode: ControlMode
    taken: int = 0


def measure(twin: Twin, taken: int = 0) -> Measured:
    """What a twin whose controller is a Drive does now."""
    drive = twin.controller
    assert isinstance(drive, Drive)
    state, k = twin.sensed()
    effort = abs(float(twin.data.qfrc_actuator[JOINTS])) / GRIP_TORQUE
    return Measured(
        state=state,
        twist=k.jacobian @ state.velocities,
        gripper_speed=twin.gripper_speed,
        gripper_effort=min(effort, 1.0),
        wanted_grip=drive.gripper,
        commanded=kinematics.forward(drive.targets),
        resting=drive.resting,
        playing=drive.playing,
        mode=drive.control_mode,
        taken=taken,
    )
