"""What a client has set in the controller, as one immutable value that motion and answers read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from vla_ros import geometry, kinematics
from vla_ros.geometry import Array, Pose
from vla_ros.twin.controller.limits import MODES, SOFT, Limits
from vla_ros.twin.controller.zones import Zone
from vla_ros.twin.kortex.codes import CartesianReferenceFrame, ControlMode

FLANGE = Pose(np.zeros(3), geometry.IDENTITY_QUATERNION)
TWIN_TOOL = Pose(np.array([0.0, 0.0, kinematics.TOOL_OFFSET]), geometry.exp(np.array([0.0, 0.0, math.pi / 2])))
"""Where the twin's own tool point, kinematics' `tool`, is in the flange's frame (the URDF's `end_effector`)."""


@dataclass(frozen=True)
class Tool:
    """The tool configuration: its point in the flange's frame, mass kg and centre of mass (3,) m in the flange's frame.

    Until one is set the tool is the bare flange, as on an arm out of the box (not verified on the arm).
    """

    transform: Pose = FLANGE
    mass: float = 0.0
    centre: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def beyond(self) -> Pose:
        """The tool point in the frame of the twin's own tool."""
        return geometry.compose(geometry.inverse(TWIN_TOOL), self.transform)


@dataclass(frozen=True)
class Settings:
    """Everything that a client can set and motion keeps to. `beyond` is always tool.beyond()."""

    limits: Mapping[ControlMode, Limits] = field(default_factory=lambda: dict.fromkeys(MODES, SOFT))
    tool: Tool = Tool()
    beyond: Pose = field(default_factory=lambda: Tool().beyond())
    zones: tuple[Zone, ...] = ()
    frame: CartesianReferenceFrame = CartesianReferenceFrame.CARTESIAN_REFERENCE_FRAME_MIXED
    gravity: tuple[float, float, float] = (0.0, 0.0, -9.81)
    payload: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)

    def tool_point(self, twin_tool: Pose) -> Pose:
        """Pose of the configured tool point where the twin's own tool is at `twin_tool`, in the base frame."""
        return geometry.compose(twin_tool, self.beyond)

    def lever(self, twin_tool: Pose) -> Array:
        """From the twin's own tool point to the configured one, (3,) m in the base frame."""
        return geometry.rotate(twin_tool.quaternion, self.beyond.position)
