"""What the policy node has heard of cameras and arm, and the observation that follows from it. No ROS in here."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Mapping

import numpy as np

from vla_ros import geometry
from vla_ros.clock import MILLISECOND, SECOND
from vla_ros.config import Config
from vla_ros.values import ArmState, Frame, Intrinsics, Observation

_STATES = 64
_BRIDGE = 50 * MILLISECOND
"""How far from the nearest arm state an exposure may lie."""


class Observer:
    """Callbacks put frames and states in; one thread waits for the reference camera and takes observations out."""

    def __init__(self, config: Config) -> None:
        self._reference = config.reference_camera
        self._skew = int(config.deadlines.skew * SECOND)
        self._names = list(config.cameras)
        self._frames: dict[str, Frame] = {}
        self._arm: deque[ArmState] = deque(maxlen=_STATES)
        self._complaints: dict[str, str] = {}
        self._fresh = threading.Condition()

    def put_frame(self, camera: str, frame: Frame) -> None:
        """A frame arrived."""
        with self._fresh:
            self._frames[camera] = frame
            if camera == self._reference:
                self._fresh.notify_all()

    def put_arm(self, state: ArmState) -> None:
        """A state of the arm arrived; one older than the newest is not taken."""
        with self._fresh:
            if not self._arm or state.stamp > self._arm[-1].stamp:
                self._arm.append(state)

    def complain(self, source: str, text: str) -> None:
        """What `source` sends cannot be used; an empty text takes the complaint back."""
        with self._fresh:
            self._complaints[source] = text

    def complaint(self) -> str:
        """What is wrong with what arrives; empty when nothing is."""
        with self._fresh:
            return "; ".join(text for text in self._complaints.values() if text)

    def wait(self, seconds: float) -> None:
        """Until the next frame of the reference camera, or that long."""
        with self._fresh:
            self._fresh.wait(seconds)

    def observe(self) -> Observation | str:
        """The observation of the newest frames, or why there is none."""
        with self._fresh:
            frames, states = dict(self._frames), list(self._arm)
        missing = [name for name in self._names if name not in frames]
        if missing:
            return f"waiting for frames of camera {' and '.join(missing)}"
        stamp = frames[self._reference].exposure
        skew = max(abs(frame.exposure - stamp) for frame in frames.values())
        if skew > self._skew:
            return f"{_farthest(frames, stamp)} is {skew / MILLISECOND:.0f} ms off the reference camera: waiting for its next frame"
        arm = interpolated(states, stamp)
        return "waiting for the arm's state" if arm is None else Observation(stamp, frames, arm, skew)

    def forget(self) -> None:
        """Drop what arrived so far: after a step of the clock its stamps mean nothing."""
        with self._fresh:
            self._frames.clear()
            self._arm.clear()


def _farthest(frames: Mapping[str, Frame], stamp: int) -> str:
    return f"camera {max(frames, key=lambda name: abs(frames[name].exposure - stamp))}"


def interpolated(states: list[ArmState], stamp: int) -> ArmState | None:
    """The arm at `stamp`, between the two states around it; None where the nearest one is too far away."""
    for before, after in itertools.pairwise(states):
        if before.stamp <= stamp <= after.stamp and after.stamp - before.stamp <= 2 * _BRIDGE:
            return _between(before, after, (stamp - before.stamp) / (after.stamp - before.stamp), stamp)
    nearest = min(states, key=lambda state: abs(state.stamp - stamp), default=None)
    return nearest if nearest is not None and abs(nearest.stamp - stamp) <= _BRIDGE else None


def _between(a: ArmState, b: ArmState, fraction: float, stamp: int) -> ArmState:
    def mix(x: geometry.Array, y: geometry.Array) -> geometry.Array:
        return np.asarray(x + fraction * (y - x))

    turn = (b.joints - a.joints + np.pi) % (2 * np.pi) - np.pi  # joints are given in one turn: the shorter way
    return ArmState(
        stamp,
        a.joints + fraction * turn,
        mix(a.velocities, b.velocities),
        mix(a.torques, b.torques),
        geometry.interpolate(a.tool, b.tool, fraction),
        a.gripper + fraction * (b.gripper - a.gripper),
        mix(a.force, b.force),
        b.fault,
    )


def differences(got: Intrinsics, wanted: Intrinsics) -> str:
    """What a camera's CameraInfo says otherwise than the configuration; empty when nothing that matters."""
    pairs = {
        "size": ((got.width, got.height), (wanted.width, wanted.height)),
        "roi": (got.roi, wanted.roi),
        "binning": (got.binning, wanted.binning),
    }
    return ", ".join(f"{name} is {a}, configured is {b}" for name, (a, b) in pairs.items() if a != b)
