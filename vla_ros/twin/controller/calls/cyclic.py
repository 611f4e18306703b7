"""BaseCyclic: everything measured in one answer, over UDP or TCP."""

from __future__ import annotations

from typing import Any

from vla_ros.twin.controller.calls.base import measured
from vla_ros.twin.controller.calls.call import Call, Handler
from vla_ros.twin.controller.errors import CallError
from vla_ros.twin.controller.feedback import feedback
from vla_ros.twin.controller.robot import Robot
from vla_ros.twin.kortex.codes import ServoingMode, SubErrorCodes


def refresh_feedback(robot: Robot, call: Call) -> Any:
    """The newest feedback."""
    return feedback(robot, measured(robot))


def refresh(robot: Robot, call: Call) -> Any:
    """The newest feedback; a command for the actuators is refused."""
    _refuse_commands(robot, call)
    return feedback(robot, measured(robot))


def refresh_command(robot: Robot, call: Call) -> None:
    """Refused: there is nothing here for it to move."""
    _refuse_commands(robot, call)


def _refuse_commands(robot: Robot, call: Call) -> None:
    """Raises CallError for a command to actuators or gripper: increments at 1 kHz are not played."""
    if not (call.request.actuators or call.request.HasField("interconnect")):
        return
    if robot.mode != ServoingMode.LOW_LEVEL_SERVOING:
        raise CallError(SubErrorCodes.WRONG_SERVOING_MODE, f"{robot.mode.name}: commands need LOW_LEVEL_SERVOING")
    raise CallError(SubErrorCodes.UNIMPLEMENTED, "low-level commands are not played by the simulated controller")


CALLS: dict[str, Handler] = {
    "BaseCyclic.Refresh": refresh,
    "BaseCyclic.RefreshCommand": refresh_command,
    "BaseCyclic.RefreshFeedback": refresh_feedback,
}
