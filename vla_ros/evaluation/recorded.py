"""A recorded episode as a policy in service sees it: observations, and what was done or commanded behind each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from vla_ros import geometry
from vla_ros.clock import SECOND
from vla_ros.config import Config
from vla_ros.episodes.layout import DatasetError
from vla_ros.episodes.reader import DatasetReader, Episode
from vla_ros.geometry import Array, Pose
from vla_ros.kinematics import TOOL_DOWN
from vla_ros.policy.actions import ARM, compose_chunk
from vla_ros.values import JOINTS, ArmState, Frame, Image, Observation

Targets = tuple[Array, Array, Array]
"""Positions (n, 3) m, quaternions (n, 4) xyzw in the base frame, grippers (n,) 0 open … 1 closed; NaN where nothing is known."""

START = SECOND
"""Stamp of the first observation, ns."""


@dataclass(frozen=True)
class Path:
    """Where the tool was, or was told to be: moments (n,) ns, positions (n, 3) m, quaternions (n, 4), grippers (n,)."""

    moments: NDArray[np.int64]
    positions: Array
    quaternions: Array
    grippers: Array

    def pose(self, place: int) -> Pose:
        """The pose at the moment of that place."""
        return Pose(self.positions[place], self.quaternions[place])

    def at(self, moment: int) -> tuple[Pose, float] | None:
        """Pose and gripper at that moment, the gripper as it was told last; None before the beginning or behind the end."""
        if not self.moments[0] <= moment <= self.moments[-1]:
            return None
        k = min(int(np.searchsorted(self.moments, moment, "right")) - 1, len(self.moments) - 2)
        share = (moment - self.moments[k]) / (self.moments[k + 1] - self.moments[k])
        before, after = (Pose(self.positions[i], self.quaternions[i]) for i in (k, k + 1))
        last = k + 1 if moment >= self.moments[k + 1] else k
        return geometry.interpolate(before, after, float(share)), float(self.grippers[last])


class RecordedEpisode:
    """Rows of one episode with a stamp of their own: a row that repeats the one before is no observation."""

    def __init__(self, reader: DatasetReader, episode: Episode, config: Config) -> None:
        """Raises DatasetError where a camera of `config` is missing, or `observation.state` is not (n, 8)."""
        self._reader, self.episode, self._config = reader, episode, config
        self._cameras = {name: f"observation.images.{name}" for name in config.cameras}
        missing = sorted(set(self._cameras.values()) - set(reader.cameras))
        if missing:
            raise DatasetError(f"{reader.path} has no video {missing[0]}, only {', '.join(reader.cameras)}")
        states = self._part("observation.state")
        if states is None or states.shape[1:] != (8,):
            raise DatasetError(f"{reader.path} has no observation.state of 8 numbers")
        stamps = self._stamps(config.reference_camera)
        self.rows = np.flatnonzero(np.diff(stamps, prepend=stamps[0] - 1) > 0)
        if len(self.rows) < 2:
            raise DatasetError(f"{reader.path}: episode {episode.index} has no two frames with stamps of their own")
        self._states, self._moments = states[self.rows], stamps[self.rows] - stamps[0] + START
        joints = self._part("observation.joints")
        self._joints = np.zeros((len(states), JOINTS)) if joints is None else joints
        self.achieved = self._achieved()

    def observations(self) -> Iterator[tuple[int, Observation, float]]:
        """Place in `achieved`, observation, and where the gripper was told to be. Raises DatasetError for a damaged video."""
        place = 0
        for row, images in enumerate(self._images()):
            if place < len(self.rows) and row == self.rows[place]:
                yield place, self._observation(place, images), float(self._states[place, 7])
                place += 1

    def targets(self, place: int, step: int, count: int, commanded: bool) -> Targets:
        """What was done, or commanded, from the observation at `place` on: `count` targets every `step` ns; NaN behind the end."""
        if commanded and self._plans is not None and self._fit(step, count):
            steps = self._plans[self.rows[place]].reshape(-1, ARM + 1)[:count]
            return compose_chunk(self._anchor(place), steps)
        path = self._led if commanded else self.achieved
        anchor, origin = self._anchor(place), path.pose(place)
        positions, quaternions, grippers = (
            np.full((count, 3), np.nan),
            np.full((count, 4), np.nan),
            np.full(count, np.nan),
        )
        for k in range(count):
            found = path.at(int(self._moments[place]) + step * (k + 1))
            if found is not None:
                there = _from(anchor, origin, found[0])
                positions[k], quaternions[k], grippers[k] = there.position, there.quaternion, found[1]
        return positions, quaternions, grippers

    def before(self, place: int, step: int) -> Pose:
        """Where the tool was one step before the observation at `place`; at the beginning: where it began."""
        found = self.achieved.at(max(int(self._moments[place]) - step, int(self._moments[0])))
        assert found is not None
        return found[0]

    def has_commands(self) -> bool:
        """Whether the dataset tells what was commanded."""
        return bool({"action_chunk", "commanded"} & self._reader.info["features"].keys())

    def _part(self, name: str) -> Array | None:
        if name not in self._reader.info["features"]:
            return None
        begin = self.episode.start
        return np.asarray(self._reader.column(name)[begin : begin + self.episode.length], np.float64)

    def _stamps(self, reference: str) -> NDArray[np.int64]:
        """Exposures of the reference camera, ns; of a dataset that tells none, the rows' own times."""
        begin, end = self.episode.start, self.episode.start + self.episode.length
        for name in (f"observation.stamp_ns.{reference}", "observation.stamp_ns"):
            if name in self._reader.info["features"]:
                return self._reader.column(name)[begin:end, 0].astype(np.int64)
        return np.round(np.arange(self.episode.length) * (SECOND / self._reader.info["fps"])).astype(np.int64)

    def _images(self) -> Iterator[dict[str, Image]]:
        films = [self._reader.frames(self.episode.index, video) for video in self._cameras.values()]
        for images in zip(*films, strict=True):
            yield dict(zip(self._cameras, images, strict=True))

    def _observation(self, place: int, images: dict[str, Image]) -> Observation:
        state, moment = self._states[place], int(self._moments[place])
        zeros = np.zeros(JOINTS)
        arm = ArmState(
            moment, self._joints[self.rows[place]], zeros, zeros, self._anchor(place), float(state[6]), np.zeros(3)
        )
        frames = {name: Frame(image, moment, moment, place) for name, image in images.items()}
        return Observation(moment, frames, arm, 0)

    def _achieved(self) -> Path:
        turns = np.array([geometry.multiply(geometry.exp(turn), TOOL_DOWN) for turn in self._states[:, 3:6]])
        return Path(self._moments, self._states[:, :3], turns, self._states[:, 7])

    def _anchor(self, place: int) -> Pose:
        return self.achieved.pose(place)

    def _fit(self, step: int, count: int) -> bool:
        """Whether the recorded plans are of such steps, and long enough."""
        assert self._plans is not None
        return step == round(SECOND / self._reader.info["fps"]) and self._plans.shape[1] >= count * (ARM + 1)

    @cached_property
    def _plans(self) -> Array | None:
        """The plan of the expert at every row, where the dataset tells it (`vla-ros demos`)."""
        return self._part("action_chunk")

    @cached_property
    def _led(self) -> Path:
        """The way that the recorded twists lead along from nowhere: only differences in it mean something."""
        twists = self._part("commanded")
        if twists is None:
            raise DatasetError(
                f"{self._reader.path} tells nothing that was commanded: neither commanded nor action_chunk"
            )
        twists = twists[self.rows]
        spans = np.diff(self._moments, append=self._moments[-1]) / SECOND
        positions, quaternions = [np.zeros(3)], [geometry.exp(np.zeros(3))]
        for twist, span in zip(twists[:-1], spans[:-1], strict=True):
            positions.append(positions[-1] + twist[:3] * span)
            quaternions.append(geometry.multiply(geometry.exp(twist[3:6] * span), quaternions[-1]))
        return Path(self._moments, np.array(positions), np.array(quaternions), twists[:, 6])


def _from(anchor: Pose, origin: Pose, there: Pose) -> Pose:
    """The anchor, moved and turned in the base frame as `there` is against `origin`."""
    turn = geometry.multiply(there.quaternion, geometry.conjugate(origin.quaternion))
    return Pose(anchor.position + there.position - origin.position, geometry.multiply(turn, anchor.quaternion))
