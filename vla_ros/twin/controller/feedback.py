"""The cyclic feedback: what the twin measures, in the vendor's units and fields.

Torques have the sign opposite to the joint's direction (as TidyBot++ found on its Gen3). Wrench and twist of the tool are in the base
frame; voltages and temperatures are plausible and constant (none of it verified on the arm).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from vla_ros.twin.controller import units
from vla_ros.twin.controller.measured import Measured
from vla_ros.twin.controller.motion import CLOSING_TIME
from vla_ros.twin.controller.twists import shifted
from vla_ros.twin.kortex.codes import RobotiqGripperStatusFlags as Flags
from vla_ros.twin.kortex.messages import BaseCyclic

if TYPE_CHECKING:
    from vla_ros.twin.controller.robot import Robot

STILL = 0.02
"""Speed of the fingers below which they are still, 1/s."""
REACHED = 0.02
"""Distance from the wanted position at which the fingers have reached it."""
_TORQUE_CONSTANT = 11.0
"""N·m per A, of a joint: for a plausible current."""
_AXES = tuple(f"tool_twist_{kind}_{axis}" for kind in ("linear", "angular") for axis in "xyz")
_FORCES = tuple(f"tool_external_wrench_force_{axis}" for axis in "xyz")


def feedback(robot: Robot, measured: Measured) -> Any:
    """A BaseCyclic.Feedback; frame_id counts the cycles of the physics."""
    message = BaseCyclic.Feedback(frame_id=robot.cycles & 0xFFFFFFFF)
    _base(message.base, robot, measured)
    _actuators(message, robot, measured)
    _interconnect(message.interconnect, robot, measured)
    return message


def _base(base: Any, robot: Robot, measured: Measured) -> None:
    settings, state = robot.settings, measured.state
    base.active_state_connection_identifier, base.active_state = robot.owner, robot.arm_state
    base.arm_voltage, base.arm_current = 24.0, 1.5
    base.temperature_cpu, base.temperature_ambient = 50.0, 35.0
    base.imu_acceleration_z = 9.81
    base.fault_bank_a, base.warning_bank_a = robot.banks.base, robot.banks.warnings
    units.set_pose(base, settings.tool_point(state.tool), "tool_pose_")
    units.set_pose(base, settings.tool_point(measured.commanded), "commanded_tool_pose_")
    twist = shifted(measured.twist, settings.lever(state.tool))
    for name, value in zip(_AXES, [*twist[:3].tolist(), *np.degrees(twist[3:]).tolist()], strict=True):
        setattr(base, name, value)
    for name, value in zip(_FORCES, state.force.tolist(), strict=True):
        setattr(base, name, value)


def _actuators(message: Any, robot: Robot, measured: Measured) -> None:
    state, count = measured.state, robot.product.actuators
    angles = units.one_turn(state.joints).tolist()
    speeds = np.degrees(state.velocities).tolist()
    torques = (-state.torques).tolist()
    for i in range(count):
        message.actuators.add(
            command_id=robot.cycles & 0xFFFF,
            position=angles[i],
            velocity=speeds[i],
            torque=torques[i],
            current_motor=torques[i] / _TORQUE_CONSTANT,
            voltage=24.0,
            temperature_motor=32.0,
            temperature_core=38.0,
            fault_bank_a=robot.banks.actuators[i],
        )


def _interconnect(interconnect: Any, robot: Robot, measured: Measured) -> None:
    interconnect.voltage, interconnect.temperature_core = 24.0, 40.0
    interconnect.imu_acceleration_z = -9.81
    if robot.product.gripper:
        gripper = interconnect.gripper_feedback
        gripper.status_flags = gripper_flags(measured)
        gripper.motor.add(
            motor_id=1,
            position=100 * measured.state.gripper,
            velocity=100 * abs(measured.gripper_speed) / _FULL_SPEED,
            current_motor=measured.gripper_effort,
            voltage=24.0,
            temperature_motor=30.0,
        )


_FULL_SPEED = 1 / CLOSING_TIME
"""Gripper positions per second at full speed."""


def gripper_flags(measured: Measured) -> int:
    """RobotiqGripperStatusFlags: initialized; and on the way, arrived, or held up by an object."""
    if abs(measured.gripper_speed) > STILL:
        return int(Flags.ROBOTIQ_STAT_INITIALIZED)
    short = abs(measured.wanted_grip - measured.state.gripper) > REACHED
    where = Flags.ROBOTIQ_STAT_OBJECT_DETECTED if short else Flags.ROBOTIQ_STAT_POS_REACHED
    return int(Flags.ROBOTIQ_STAT_INITIALIZED | Flags.ROBOTIQ_STAT_STOPPED | where)
