"""A recorded episode as a way that the arm can be led along again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vla_ros import geometry
from vla_ros.episodes.check import column
from vla_ros.episodes.layout import DatasetError
from vla_ros.episodes.reader import DatasetReader
from vla_ros.geometry import Array, Pose
from vla_ros.kinematics import TOOL_DOWN

_STEP = 0.01


@dataclass(frozen=True)
class Track:
    """positions (n, 3) m, quaternions (n, 4) xyzw, base frame, and grippers (n,) 0 open … 1 closed, every `period` s."""

    positions: Array
    quaternions: Array
    grippers: Array
    period: float

    @property
    def seconds(self) -> float:
        """How long it is."""
        return (len(self.positions) - 1) * self.period

    def at(self, t: float) -> Pose:
        """The tool's pose at t s, which is that at the end where t is behind it."""
        place = min(max(t / self.period, 0.0), len(self.positions) - 1.0)
        k = min(int(place), len(self.positions) - 2)
        before, after = (Pose(self.positions[i], self.quaternions[i]) for i in (k, k + 1))
        return geometry.interpolate(before, after, place - k)

    def twist(self, t: float) -> Array:
        """How the tool moves then (6,), m/s and rad/s in the base frame."""
        before, after = self.at(t - _STEP / 2), self.at(t + _STEP / 2)
        turn = geometry.difference(after.quaternion, before.quaternion)
        return np.concatenate([after.position - before.position, turn]) / _STEP

    def gripper(self, t: float) -> float:
        """Where the gripper was told to be: the newest word."""
        return float(self.grippers[min(max(int(t / self.period), 0), len(self.grippers) - 1)])


def led_from(way: Track, tool: Pose, gripper: float, seconds: float) -> Track:
    """The track with a straight way from `tool` to its beginning before it, of about that many seconds, the gripper as it is."""
    rows = round(seconds / way.period)
    first = way.at(0.0)
    poses = [geometry.interpolate(tool, first, k / rows) for k in range(rows)]
    return Track(
        np.concatenate([np.array([pose.position for pose in poses]).reshape(-1, 3), way.positions]),
        np.concatenate([np.array([pose.quaternion for pose in poses]).reshape(-1, 4), way.quaternions]),
        np.concatenate([np.full(rows, gripper), way.grippers]),
        way.period,
    )


def track(reader: DatasetReader, episode: int, speed: float = 1.0) -> Track:
    """The way of an episode at a share of its speed. Raises DatasetError where it is not there, or tells no tool poses.

    `observation.state` is that of our recordings: position, turn from the tool pointing down, gripper, and where it was told to be.
    """
    if not 0 <= episode < len(reader.episodes):
        raise DatasetError(f"{reader.path} has no episode {episode}: it has {len(reader.episodes)}")
    state = column(reader, reader.episodes[episode], "observation.state")
    if state is None or state.shape[1] != 8 or len(state) < 2:
        raise DatasetError(
            f"{reader.path}: episode {episode} has no observation.state of 8 numbers, in 2 frames at least"
        )
    state = state.astype(np.float64)
    turns = [geometry.multiply(geometry.exp(turn), TOOL_DOWN) for turn in state[:, 3:6]]
    return Track(state[:, :3], np.array(turns), np.clip(state[:, 7], 0.0, 1.0), 1.0 / (reader.info["fps"] * speed))
