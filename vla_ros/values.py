"""The words of the house as values: what cameras and arm give, what a policy makes of it, what leaves for the arm.

SI units and radians. Stamps are integer nanoseconds of the clock of the loop that made the value: CLOCK_MONOTONIC on one
host, a virtual clock in an offline rollout; ROS time exists only on the wire (`vla_ros.nodes.convert`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from vla_ros.geometry import Array, Pose

Image = NDArray[np.uint8]

JOINTS = 7
"""Joints of the Gen3."""


@dataclass(frozen=True)
class Intrinsics:
    """A pinhole camera, in pixels of the full sensor; a frame may show only `roi` of it, `binning` times smaller.

    The same words as sensor_msgs/CameraInfo: `roi` is (x, y, width, height) in pixels of the full sensor, and the image is
    (roi height / binning, roi width / binning). `distortion` is what the lens adds to the pinhole, in OpenCV's order: k1 k2 p1 p2 k3
    (plumb_bob), followed by k4 k5 k6 (rational_polynomial); empty where it is none, or not known.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    roi: tuple[int, int, int, int]
    binning: int = 1
    distortion: tuple[float, ...] = ()

    @property
    def image_shape(self) -> tuple[int, int]:
        """(height, width) of the frames."""
        return self.roi[3] // self.binning, self.roi[2] // self.binning


@dataclass(frozen=True)
class Frame:
    """One RGB image (H, W, 3) uint8 with the moments of exposure (its middle) and arrival, ns, and its sequence number.

    `depth` is (H, W) m as seen by the same camera, NaN where unknown; None where it was not asked for or did not come.
    """

    image: Image
    exposure: int
    arrival: int
    sequence: int
    depth: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class ArmState:
    """What the arm reports at `stamp`.

    joints (7,) rad, velocities (7,) rad/s, torques (7,) N·m; `tool` is the point between the finger tips in the base frame;
    gripper 0 open … 1 closed; `force` (3,) N on the tool in the base frame, gravity removed.
    """

    stamp: int
    joints: Array
    velocities: Array
    torques: Array
    tool: Pose
    gripper: float
    force: Array
    fault: str = ""

    def is_finite(self) -> bool:
        """Whether no number in it is NaN or infinite."""
        numbers = (self.joints, self.velocities, self.torques, self.force, np.array([self.gripper]))
        return all(bool(np.isfinite(n).all()) for n in numbers) and self.tool.is_finite()


@dataclass(frozen=True)
class Observation:
    """The newest frame of each camera and the arm at the reference camera's mid-exposure, which is `stamp`.

    `skew` is the largest distance in ns between the exposures of two cameras.
    """

    stamp: int
    frames: Mapping[str, Frame]
    arm: ArmState
    skew: int


@dataclass(frozen=True)
class Trace:
    """How a chunk came about: the run of the policy node that made it, the sequence number of each camera's frame behind it, and the

    moments (ns) at which its reference frame had been received, encoded and decided upon; 0 where that is not known.
    """

    instance: str = ""
    frames: Mapping[str, int] = field(default_factory=dict)
    received: int = 0
    encoded: int = 0
    decided: int = 0


@dataclass(frozen=True)
class ActionChunk:
    """Where the tool should be: target k holds at stamp + (k + 1)·step.

    positions (n, 3) m and quaternions (n, 4) xyzw in the base frame; grippers (n,) 0 open … 1 closed; `execute` is how many
    targets may be played before the next chunk must have come.
    """

    stamp: int
    step: int
    positions: Array
    quaternions: Array
    grippers: Array
    execute: int
    policy: str
    instruction: str
    sequence: int
    trace: Trace = Trace()

    def __len__(self) -> int:
        """Number of targets."""
        return len(self.grippers)


@dataclass(frozen=True)
class Teleop:
    """What somebody who holds the clutch wants: a tool twist (6,) m/s and rad/s, in the tool's frame if `in_tool`, else the base's.

    gripper 0 open … 1 closed, None: leave it. The clutch counts as released when nothing newer than `stamp` (ns) comes.
    """

    stamp: int
    twist: Array
    gripper: float | None = None
    in_tool: bool = False


@dataclass(frozen=True)
class Setpoint:
    """What the player wants now: a tool pose, its velocity (6,) m/s and rad/s in the base frame, and a gripper position."""

    tool: Pose
    twist: Array
    gripper: float


class Mode(Enum):
    """State of the servo."""

    DISARMED = "disarmed"
    IDLE = "idle"
    ACTIVE = "active"
    TELEOP = "teleop"
    HOLD = "hold"
    STOPPED = "stopped"


class Verdict(Enum):
    """Why a command left the governor as it did. The value is the text that people read."""

    OK = "ok"
    DISARMED = "disarmed: call /arm/enable"
    IDLE = "idle: no instruction"
    END_OF_CHUNK = "end of chunk: holding"
    CHUNK_LATE = "chunk late: nothing to play in mid-task"
    CHUNK_STALE = "chunk refused: observation too old"
    CHUNK_NOT_FINITE = "chunk refused: not finite"
    CHUNK_FAR = "chunk refused: first target too far from the measured pose, or too much turned"
    CHUNK_STEP = "chunk refused: a step over three times the speed cap"
    CHUNK_MALFORMED = "chunk refused: malformed"
    CHUNK_LONG = "chunk refused: too many targets"
    CHUNK_QUATERNION = "chunk refused: a quaternion that is not of length 1"
    CHUNK_FUTURE = "chunk refused: stamped in the future"
    CHUNK_OVERTAKEN = "chunk refused: out of order, a newer one is being played"
    CHUNK_INSTRUCTION = "chunk refused: made for another instruction"
    CHUNK_UNKNOWN = "chunk refused: no /vla/status of the same stamp says who made it"
    CHUNK_SECOND_POLICY = "chunk refused: from a second policy while the first one lives"
    TELEOP = "teleop: the clutch is held"
    TELEOP_JOINING = "braking before the clutch takes over"
    TELEOP_NOT_FINITE = "teleop refused: not finite"
    CAMERA_STALE = "hold: a camera is stale"
    CAMERA_FROZEN = "hold: a camera shows the same picture again and again"
    NODE_SILENT = "disarmed: the arm node is silent, nobody could press Stop"
    CLOCK_STEP = "hold: a clock stepped, stamps are not believed"
    FEEDBACK_STALE = "hold: arm feedback is stale"
    SPEED_LIMITED = "scaled: speed limit"
    ACCELERATION_LIMITED = "scaled: acceleration limit"
    WALL = "bounded: wall of the workspace box"
    FLOOR = "bounded: table"
    JOINT_LIMIT = "bounded: joint limit near"
    MANIPULABILITY = "slowed: low manipulability"
    SELF_COLLISION = "bounded: the arm near itself"
    FORCE = "bounded: tool force"
    STOP_REQUESTED = "stopped: requested"
    STOP_FEEDBACK = "stopped: no arm feedback"
    STOP_FEEDBACK_FROZEN = "stopped: arm feedback stands still although the arm is told to move"
    STOP_ASTRAY = "stopped: the arm moves otherwise than it is told"
    STOP_TRESPASS = "stopped: the arm is about to leave its box or to touch the table, whatever it is told"
    STOP_CHUNKS = "stopped: three chunks refused running"
    STOP_FORCE = "stopped: tool force"
    STOP_FAULT = "stopped: fault on the arm"
    STOP_WATCHDOG = "stopped: servo silent, by the watchdog"


@dataclass(frozen=True)
class Command:
    """What leaves for the arm: tool twist (6,) m/s and rad/s in the base frame, gripper position, and why.

    `chunk` is the one it follows, and with it the frames and the instruction behind the motion; None where no policy moves the arm.
    """

    stamp: int
    twist: Array
    gripper: float
    verdict: Verdict
    mode: Mode
    chunk: ActionChunk | None = None


ZERO_TWIST: Array = np.zeros(6)
