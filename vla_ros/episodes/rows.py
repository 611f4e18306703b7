"""From samples to the rows of a recorded dataset: one row for every period of the reference camera. Pure but for the row held back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from vla_ros import geometry
from vla_ros.clock import MILLISECOND, SECOND
from vla_ros.config import Config
from vla_ros.episodes.depth import Depth
from vla_ros.episodes.layout import Feature
from vla_ros.episodes.video import LARGE
from vla_ros.geometry import Array, Pose
from vla_ros.values import Image, Mode, Verdict

STATE_NAMES = ("x", "y", "z", "rx", "ry", "rz", "gripper", "gripper_command")
ACTION_NAMES = ("dx", "dy", "dz", "drx", "dry", "drz", "gripper")
COMMAND_NAMES = ("vx", "vy", "vz", "wx", "wy", "wz", "gripper")
JOINT_NAMES = tuple(f"joint_{i + 1}" for i in range(7))
IMAGES, STAMP, AGE = "observation.images.", "observation.stamp_ns.", "observation.age_ms."
DEPTH = "observation.depth."
SUCCESS, DONE = "success", "next.success"
MODES, VERDICTS = tuple(Mode), tuple(Verdict)
LONGEST_GAP = 10 * SECOND
"""Rows are repeated over a hole of this length at most; what is longer is a fault that ends the take."""


@dataclass(frozen=True)
class Sample:
    """All that was known at one frame of the reference camera.

    `images` by camera, (H, W, 3); `stamps`: their exposures, ROS time, ns; `moment`: the reference camera's, monotonic, ns.
    `state` (8,) as STATE_NAMES; `tool` and `joints` (7,) at that moment; `command` (7,): the twist that left for the arm, m/s and
    rad/s in the base frame, and the gripper's target. `intervention`: a hand moves the arm although a policy has an instruction.
    `depths` (H, W) mm, 0 unknown, and their stamps, by camera: of those whose depth is recorded.
    """

    moment: int
    images: Mapping[str, Image]
    stamps: Mapping[str, int]
    state: Array
    tool: Pose
    joints: Array
    command: Array
    mode: Mode
    verdict: Verdict
    intervention: bool = False
    depths: Mapping[str, Depth] = field(default_factory=dict)
    depth_stamps: Mapping[str, int] = field(default_factory=dict)


def features(config: Config) -> dict[str, Feature]:
    """Columns of a recorded dataset."""
    made: dict[str, Feature] = {}
    for name, camera in config.cameras.items():
        made[f"{IMAGES}{name}"] = picture(camera.roi[3] // camera.binning, camera.roi[2] // camera.binning)
        made[f"{STAMP}{name}"] = Feature("int64", (1,))
        made[f"{AGE}{name}"] = Feature("float32", (1,))
    for name in config.depth_cameras:
        height, width, _ = made[f"{IMAGES}{name}"].shape
        made[f"{DEPTH}{name}"] = Feature("depth", (height, width))
        made[f"{STAMP}depth.{name}"] = Feature("int64", (1,))
        made[f"{AGE}depth.{name}"] = Feature("float32", (1,))
    return made | {
        "observation.state": Feature("float32", (8,), STATE_NAMES),
        "observation.joints": Feature("float32", (7,), JOINT_NAMES),
        "action": Feature("float32", (7,), ACTION_NAMES),
        "commanded": Feature("float32", (7,), COMMAND_NAMES),
        "mode": Feature("int64", (1,)),
        "verdict": Feature("int64", (1,)),
        "policy_drives": Feature("bool", (1,)),
        "intervention": Feature("bool", (1,)),
        SUCCESS: Feature("bool", (1,)),
        DONE: Feature("bool", (1,)),
    }


def picture(height: int, width: int) -> Feature:
    """A camera's column.

    Small pictures keep every colour; large ones are coded as cameras deliver them, at half the work and a third of the size.
    """
    large = width >= LARGE and width % 2 == 0 and height % 2 == 0
    pix_fmt, crf = ("yuv420p", 18) if large else ("yuv444p", 12)
    return Feature("video", (height, width, 3), ("height", "width", "channels"), pix_fmt, crf)


def rate(config: Config) -> int:
    """Rows a second: the rate of the reference camera. Raises ValueError where it is no whole number, which LeRobot wants."""
    frames = config.cameras[config.reference_camera].rate
    if frames != round(frames):
        raise ValueError(
            f"cameras.{config.reference_camera}.rate is {frames:g}: LeRobot wants a whole number of frames"
        )
    return round(frames)


Row = tuple[dict[str, Any], dict[str, Any]]
"""Images, depths among them, and values, as `DatasetWriter.add` takes them."""


class Rows:
    """Turns samples into rows. A row's achieved action needs the sample behind it, so the newest row is held back."""

    def __init__(self, fps: int) -> None:
        self._period = SECOND / fps
        self._held: Sample | None = None
        self._start = 0
        self._count = 0
        self.repeated = 0
        self.skipped = 0

    def put(self, sample: Sample) -> Iterator[Row]:
        """The rows that are now complete. For a frame that did not come the one before is used again, and told its age."""
        if self._held is None:
            self._held, self._start = sample, sample.moment
            return
        missing = (
            round((min(sample.moment, self._held.moment + LONGEST_GAP) - self._start) / self._period) - self._count - 1
        )
        if missing < 0:
            self.skipped += 1
            return
        for _ in range(missing):
            yield self._row(self._held)
            self.repeated += 1
        yield self._row(sample)
        self._held = sample

    def finish(self) -> Iterator[Row]:
        """The last row: nothing is achieved behind it."""
        if self._held is not None:
            yield self._row(self._held)
            self._held = None

    def _row(self, following: Sample) -> Row:
        sample = self._held
        assert sample is not None
        due = self._start + round(self._count * self._period)
        self._count += 1
        return _images(sample), _values(sample, following, max(0, due - sample.moment))


def _images(sample: Sample) -> dict[str, Any]:
    depths = {f"{DEPTH}{name}": depth for name, depth in sample.depths.items()}
    return {f"{IMAGES}{name}": image for name, image in sample.images.items()} | depths


def _values(sample: Sample, following: Sample, late: int) -> dict[str, Any]:
    newest = max(sample.stamps.values())
    exposures = {**sample.stamps, **{f"depth.{name}": stamp for name, stamp in sample.depth_stamps.items()}}
    stamps = {f"{STAMP}{name}": stamp for name, stamp in exposures.items()}
    ages = {f"{AGE}{name}": (newest - stamp + late) / MILLISECOND for name, stamp in exposures.items()}
    return {
        **stamps,
        **ages,
        "observation.state": sample.state,
        "observation.joints": sample.joints,
        "action": achieved(sample.tool, following.tool, float(following.command[6])),
        "commanded": sample.command,
        "mode": MODES.index(sample.mode),
        "verdict": VERDICTS.index(sample.verdict),
        "policy_drives": sample.mode is Mode.ACTIVE,
        "intervention": sample.intervention,
        SUCCESS: False,
        DONE: False,
    }


def achieved(here: Pose, there: Pose, gripper: float) -> Array:
    """What was done from one row to the next (7,): way in m and turn as a rotation vector, base frame, and the gripper's target."""
    turn = geometry.difference(there.quaternion, here.quaternion)
    return np.array([*(there.position - here.position), *turn, gripper])


def outcome(frames: int, success: bool) -> dict[str, Array]:
    """The columns that are known only at the end: whether it was a success, on every frame, and LeRobot's mark on the last one."""
    done = np.zeros((frames, 1), bool)
    done[-1] = success
    return {SUCCESS: np.full((frames, 1), success), DONE: done}


def packed(sample: Sample, images: Mapping[str, Any], depths: Mapping[str, Any]) -> Sample:
    """The sample with other images and depths: compressed, or the real ones again."""
    return replace(sample, images=dict(images), depths=dict(depths))
