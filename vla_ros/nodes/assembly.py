"""Puts together what belongs to one frame of the reference camera: other cameras' nearest frames, the arm at its exposure, and what it

was told then. Nothing that arrives is left out because something else is late. No ROS in here.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from vla_ros.clock import MILLISECOND, SECOND
from vla_ros.config import Config
from vla_ros.episodes.rows import DEPTH, Sample
from vla_ros.geometry import Array
from vla_ros.nodes.observer import interpolated
from vla_ros.policy.preprocess import robot_state
from vla_ros.values import ZERO_TWIST, ArmState, Frame, Mode, Verdict

KEPT, FRAMES = 400, 24
PATIENCE = 250 * MILLISECOND
"""For so long a frame waits for what belongs to it; then it takes what is nearest."""
ASLEEP = {
    Mode.DISARMED: "the arm is not enabled: vla-ros enable",
    Mode.STOPPED: "the arm is stopped: vla-ros reset, then enable",
}
"""Modes in which nobody can move the arm: an episode of that would show an arm that stands."""
WINDOW = 2 * SECOND
"""Over which a camera's rate is counted."""


@dataclass(frozen=True)
class Told:
    """What the arm was told at `stamp` (ns, monotonic): by /arm/status."""

    stamp: int
    mode: Mode
    verdict: Verdict
    gripper: float


@dataclass(frozen=True)
class Twist:
    """A twist (6,) that left for the arm at `stamp`."""

    stamp: int
    twist: Array


@dataclass(frozen=True)
class Shot(Frame):
    """A frame with the stamp of its message, ROS time, ns: written as it came, since the map between the clocks drifts.

    Of depth, the image is (H, W) mm.
    """

    stamp: int = 0


Stamped = TypeVar("Stamped", Told, Twist)


class Assembler:
    """Callbacks put things in; one thread takes samples out, every frame of the reference camera once, in order."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._reference = config.reference_camera
        self._depths = {f"{DEPTH}{name}": name for name in config.depth_cameras}
        self._sources = {name: name for name in config.cameras} | self._depths
        self._frames: dict[str, deque[Shot]] = {name: deque(maxlen=FRAMES) for name in self._sources}
        self._stamps: dict[str, deque[int]] = {name: deque(maxlen=KEPT) for name in self._sources}
        self._pending: deque[Shot] = deque(maxlen=FRAMES)
        self._arm: deque[ArmState] = deque(maxlen=KEPT)
        self._told: deque[Told] = deque(maxlen=KEPT)
        self._twists: deque[Twist] = deque(maxlen=KEPT)
        self._lock = threading.Lock()
        self._missed = dict.fromkeys(self._sources, 0)
        self.instructed = False
        self.lost = 0

    def put_depth(self, camera: str, frame: Shot) -> None:
        """Depth of a camera arrived, likewise."""
        self.put_frame(f"{DEPTH}{camera}", frame)

    def put_frame(self, camera: str, frame: Shot) -> None:
        """A frame arrived; exposures in monotonic ns. One that is not newer than the last is not taken."""
        with self._lock:
            frames = self._frames[camera]
            if frames and frame.exposure <= frames[-1].exposure:
                return
            if frames:
                rate_wanted = self._config.cameras[self._sources[camera]].rate
                periods = (frame.exposure - frames[-1].exposure) * rate_wanted / SECOND
                self._missed[camera] += max(0, round(periods) - 1)
            frames.append(frame)
            self._stamps[camera].append(frame.exposure)
            if camera == self._reference:
                self.lost += len(self._pending) == FRAMES
                self._pending.append(frame)

    def put_arm(self, state: ArmState) -> None:
        """A state of the arm arrived."""
        with self._lock:
            if not self._arm or state.stamp > self._arm[-1].stamp:
                self._arm.append(state)

    def put_told(self, told: Told) -> None:
        """A status of the arm arrived."""
        with self._lock:
            self._told.append(told)

    def put_twist(self, twist: Twist) -> None:
        """A command of the arm arrived."""
        with self._lock:
            self._twists.append(twist)

    def take(self, now: int) -> list[Sample]:
        """The samples that are complete, or have waited long enough; a frame without any arm state near is lost, and counted."""
        samples = []
        with self._lock:
            while self._pending and self._ready(self._pending[0], now):
                sample = self._sample(self._pending.popleft())
                self.lost += sample is None
                samples += [sample] if sample is not None else []
        return samples

    def forget(self) -> None:
        """Drop what arrived so far: after a step of the clock its stamps mean nothing."""
        with self._lock:
            kept: list[deque[Any]] = [
                *self._frames.values(),
                *self._stamps.values(),
                self._pending,
                self._arm,
                self._told,
                self._twists,
            ]
            for one in kept:
                one.clear()

    def obstacle(self, now: int) -> str:
        """Why a recording would be no good now; empty: it is good."""
        with self._lock:
            found = (*(self._camera(name, now) for name in self._frames), self._limb(now))
        return next(filter(None, found), "")

    def seen(self, now: int) -> dict[str, tuple[float | None, float | None, int]]:
        """Of each camera: frames a second, ms since the newest came, and frames of the configured rate that did not come."""
        with self._lock:
            return {
                name: (
                    rate(self._stamps[name]) if self._stamps[name] else None,
                    (now - frames[-1].arrival) / MILLISECOND if frames else None,
                    self._missed[name],
                )
                for name, frames in self._frames.items()
                if name in self._config.cameras
            }

    def gripper_command(self) -> float:
        """Where the gripper is told to be, or where it is as long as nobody has told it."""
        with self._lock:
            told = self._told[-1].gripper if self._told else np.nan
            measured = self._arm[-1].gripper if self._arm else 0.0
        return float(told) if np.isfinite(told) else measured

    def newest(self) -> ArmState | None:
        """The newest state of the arm."""
        with self._lock:
            return self._arm[-1] if self._arm else None

    def mode(self) -> Mode | None:
        """The arm's mode as it was last told."""
        with self._lock:
            return self._told[-1].mode if self._told else None

    def _camera(self, name: str, now: int) -> str:
        camera, frames = self._config.cameras[self._sources[name]], self._frames[name]
        stamps = self._stamps[name]
        if name in self._depths:
            name = f"{self._sources[name]}, its depth,"
        if not frames:
            return f"waiting for frames of camera {name}"
        age = now - frames[-1].arrival
        if age > max(self._config.deadlines.camera_hold, 3 / camera.rate) * SECOND:
            return f"camera {name} is silent since {age / SECOND:.1f} s"
        measured = rate(stamps)
        least = camera.rate * (1 - self._config.record.rate_tolerance)
        if measured is None or measured >= least:
            return "" if measured is not None else f"measuring the rate of camera {name}"
        return f"camera {name} gives {measured:.1f} frames a second, configured are {camera.rate:g}"

    def _limb(self, now: int) -> str:
        if not self._arm or not self._told:
            return "waiting for the arm's state"
        age = now - self._arm[-1].stamp
        if age > SECOND // 2:
            return f"the arm says nothing since {age / SECOND:.1f} s"
        return ASLEEP.get(self._told[-1].mode, "")

    def _ready(self, frame: Shot, now: int) -> bool:
        if now - frame.arrival > PATIENCE:
            return True
        seen = all(frames and frames[-1].exposure >= frame.exposure for frames in self._frames.values())
        return seen and bool(self._arm) and self._arm[-1].stamp >= frame.exposure

    def _sample(self, frame: Shot) -> Sample | None:
        arm = interpolated(list(self._arm), frame.exposure)
        if arm is None or not all(self._frames.values()):
            return None
        frames = {name: _nearest(self._frames[name], frame.exposure) for name in self._config.cameras}
        frames[self._reference] = frame
        depths = {name: _nearest(self._frames[key], frames[name].exposure) for key, name in self._depths.items()}
        told = _at(self._told, frame.exposure)
        twist = _at(self._twists, frame.exposure)
        gripper = told.gripper if told is not None and np.isfinite(told.gripper) else arm.gripper
        mode = told.mode if told is not None else Mode.DISARMED
        return Sample(
            frame.exposure,
            {name: one.image for name, one in frames.items()},
            {name: one.stamp for name, one in frames.items()},
            robot_state(arm, gripper).astype(np.float64),
            arm.tool,
            arm.joints,
            np.array([*(ZERO_TWIST if twist is None else twist.twist), gripper]),
            mode,
            told.verdict if told is not None else Verdict.DISARMED,
            mode is Mode.TELEOP and self.instructed,
            {name: np.asarray(one.image, np.uint16) for name, one in depths.items()},
            {name: one.stamp for name, one in depths.items()},
        )


def rate(exposures: Sequence[int]) -> float | None:
    """Frames a second over the last WINDOW of exposures (ns, not empty); None for less than a second of them."""
    stamps = [stamp for stamp in exposures if stamp >= exposures[-1] - WINDOW]
    span = stamps[-1] - stamps[0]
    return (len(stamps) - 1) * SECOND / span if span >= SECOND else None


def _nearest(frames: Iterable[Shot], moment: int) -> Shot:
    return min(frames, key=lambda frame: abs(frame.exposure - moment))


def _at(kept: deque[Stamped], moment: int) -> Stamped | None:
    """The newest that is not later than the moment."""
    return next((one for one in reversed(kept) if one.stamp <= moment), None)
