"""What the policy node has heard of cameras and arm, and the observation that follows from it. No ROS in here."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vla_ros import geometry
from vla_ros.clock import MILLISECOND, SECOND
from vla_ros.config import Config
from vla_ros.values import ArmState, Frame, Image, Intrinsics, Observation

_STATES, _FRAMES = 64, 16
_OVERTAKEN = 1 * SECOND
"""A frame that is older than the newest by less was overtaken on its way; by more, the camera's clock was set."""
_BEHIND = 100 * MILLISECOND
"""By how much an observation may be behind the newest frame of the reference camera, for a camera that delivers later."""
_BRIDGE = 50 * MILLISECOND
"""How far from the nearest arm state an exposure may lie."""


_NONE: deque[Frame] = deque()


class Observer:
    """Callbacks put frames and states in; one thread waits for frames and takes observations out.

    It also notes when each camera's picture last changed. Sensors have noise: one that shows the very same bytes again is frozen.
    """

    def __init__(self, config: Config) -> None:
        self._reference = config.reference_camera
        self._skew = int(config.deadlines.skew * SECOND)
        self._patience = {
            name: int(max(config.deadlines.camera_hold, 3 / camera.rate) * SECOND)
            for name, camera in config.cameras.items()
        }
        self._frames: dict[str, deque[Frame]] = {}
        self._changed: dict[str, int] = {}
        self._arm: deque[ArmState] = deque(maxlen=_STATES)
        self._complaints: dict[str, str] = {}
        self._fresh = threading.Condition()

    def put_frame(self, camera: str, frame: Frame) -> None:
        """A frame arrived; one that a newer one has overtaken is not taken."""
        kept = self._frames.get(camera, _NONE)
        before = kept[-1] if kept else None
        behind = 0 if before is None else before.exposure - frame.exposure
        if 0 < behind < _OVERTAKEN:
            return
        changed = before is None or not same(before.image, frame.image)
        with self._fresh:
            if behind > 0 or camera not in self._frames:
                self._frames[camera] = deque(maxlen=_FRAMES)
            self._frames[camera].append(frame)
            if changed:
                self._changed[camera] = frame.exposure
            self._fresh.notify_all()

    def unchanged(self) -> dict[str, float]:
        """For how many ms each camera has shown its newest picture, by exposure; a camera without frames is left out."""
        with self._fresh:
            newest = {name: frames[-1].exposure for name, frames in self._frames.items()}
            return {name: (stamp - self._changed[name]) / MILLISECOND for name, stamp in newest.items()}

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
        """Until the next frame, or that long."""
        with self._fresh:
            self._fresh.wait(seconds)

    def observe(self) -> Observation | str:
        """The newest observation whose frames belong together, or why there is none."""
        with self._fresh:
            frames = {name: list(kept) for name, kept in self._frames.items()}
            states, changed = list(self._arm), dict(self._changed)
        missing = [name for name in self._patience if name not in frames]
        if missing:
            return f"waiting for frames of camera {' and '.join(missing)}"
        frozen = self._frozen(frames, changed)
        if frozen:
            return "; ".join(f"camera {name} shows the same picture since {s:.1f} s" for name, s in frozen.items())
        views = (self._view(frames, reference) for reference in _recent(frames[self._reference]))
        view = next((view for view in views if view.skew <= self._skew), None)
        if view is None:
            return _apart(self._view(frames, frames[self._reference][-1]))
        arm = interpolated(states, view.stamp)
        if arm is None:
            return "waiting for the arm's state"
        return Observation(view.stamp, view.frames, arm, view.skew)

    def _view(self, frames: Mapping[str, Sequence[Frame]], reference: Frame) -> _View:
        """The frames that were exposed nearest to a frame of the reference camera."""
        stamp = reference.exposure
        nearest = {name: min(frames[name], key=lambda frame: abs(frame.exposure - stamp)) for name in self._patience}
        return _View(stamp, nearest | {self._reference: reference})

    def _frozen(self, frames: Mapping[str, Sequence[Frame]], changed: Mapping[str, int]) -> dict[str, float]:
        """Cameras that go on giving frames which are all the same, with the seconds since they do."""
        spans = {name: frames[name][-1].exposure - changed[name] for name in self._patience}
        return {name: span / SECOND for name, span in spans.items() if span > self._patience[name]}

    def forget(self) -> None:
        """Drop what arrived so far: after a step of the clock its stamps mean nothing."""
        with self._fresh:
            self._frames.clear()
            self._changed.clear()
            self._arm.clear()


def same(a: Image, b: Image) -> bool:
    """Whether two images are equal byte by byte; the first row nearly always tells.

    Two bgr8 images turned round are compared as they lie in memory, which is 20 times faster.
    """
    if a.strides[-1] < 0 and b.strides[-1] < 0:
        a, b = a[..., ::-1], b[..., ::-1]
    return a.shape == b.shape and np.array_equal(a[0], b[0]) and np.array_equal(a, b)


@dataclass(frozen=True)
class _View:
    """One frame of each camera, around `stamp`, the exposure of the reference camera's."""

    stamp: int
    frames: Mapping[str, Frame]

    @property
    def skew(self) -> int:
        """The largest distance of an exposure from the stamp, ns."""
        return max(abs(frame.exposure - self.stamp) for frame in self.frames.values())


def _apart(view: _View) -> str:
    """Which camera's frame is too far from the reference camera's, and how far."""
    name = max(view.frames, key=lambda name: abs(view.frames[name].exposure - view.stamp))
    return f"camera {name} is {view.skew / MILLISECOND:.0f} ms off the reference camera: waiting for its next frame"


def _recent(frames: Sequence[Frame]) -> list[Frame]:
    """The newest frame and those not much older, newest first."""
    return [frame for frame in reversed(frames) if frames[-1].exposure - frame.exposure <= _BEHIND]


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
    """What a camera's CameraInfo says otherwise than the configuration; empty when nothing that matters.

    A camera that delivers its whole sensor fits any roi and binning: the receiver makes them of it (`camera_topics.to_view`).
    """
    pairs: dict[str, tuple[object, object]] = {"size": ((got.width, got.height), (wanted.width, wanted.height))}
    if (got.roi, got.binning) != ((0, 0, got.width, got.height), 1):
        pairs |= {"roi": (got.roi, wanted.roi), "binning": (got.binning, wanted.binning)}
    return ", ".join(f"{name} is {a}, configured is {b}" for name, (a, b) in pairs.items() if a != b)
