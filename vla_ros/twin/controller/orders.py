"""What the protocol's side of the controller orders of its motion: immutable values, handed from thread to thread."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vla_ros.geometry import Array
from vla_ros.twin.kortex.codes import ActionEvent, CartesianReferenceFrame, ProtectionZoneEvent, SubErrorCodes

BASE = CartesianReferenceFrame.CARTESIAN_REFERENCE_FRAME_BASE


@dataclass(frozen=True)
class Twist:
    """Go on with this twist (6,) m/s and rad/s of the configured tool point, in this frame, until told otherwise."""

    frame: CartesianReferenceFrame
    velocity: Array


@dataclass(frozen=True)
class JointSpeeds:
    """Go on with these joint speeds (7,) rad/s until told otherwise."""

    rates: Array


@dataclass(frozen=True)
class Reach:
    """Come to rest, then go to these joints (7,) rad: at most `speeds` and `accelerations` (7,), over at least `duration` s."""

    action: int
    joints: Array
    speeds: Array
    accelerations: Array
    duration: float = 0.0


@dataclass(frozen=True)
class Grip:
    """Move the fingers to a position 0 open … 1 closed at a fraction of their full speed; None: stay where they are."""

    position: float | None
    speed: float = 1.0


@dataclass(frozen=True)
class Pause:
    """Halt on the way of the running action, or go on with it."""

    paused: bool


@dataclass(frozen=True)
class Stop:
    """Come to rest, and forget what was ordered before. An action that runs ends for this reason."""

    reason: SubErrorCodes = SubErrorCodes.CONTROL_MANUAL_STOP


Order = Twist | JointSpeeds | Reach | Grip | Pause | Stop
REST = JointSpeeds(np.zeros(7))


@dataclass(frozen=True)
class ActionReport:
    """What became of an action: sent from the motion's thread to the protocol's."""

    action: int
    event: ActionEvent
    details: SubErrorCodes = SubErrorCodes.SUB_ERROR_NONE


@dataclass(frozen=True)
class ZoneReport:
    """The tool reached, entered or left a protection zone."""

    zone: int
    event: ProtectionZoneEvent


Report = ActionReport | ZoneReport
