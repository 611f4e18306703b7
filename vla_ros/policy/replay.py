"""A recorded episode as a policy, `replay:DATASET#EPISODE`: what is behind a policy can be run again and again along one way."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vla_ros import geometry
from vla_ros.clock import MILLISECOND, SECOND
from vla_ros.config import Config
from vla_ros.episodes.layout import DatasetError
from vla_ros.episodes.replay import Track, led_from, track
from vla_ros.geometry import Array, Pose
from vla_ros.policy.manifest import BundleError
from vla_ros.policy.words import InstructionError
from vla_ros.values import ActionChunk, Observation

PREFIX = "replay:"
STEP = 100 * MILLISECOND
CHUNK = 10
EXECUTE = 5
NEAR, TURNED = 0.05, 0.3
"""m and rad from where the episode begins, or from its way, within which the tool is led there; farther off it is refused."""
SLOW, SLOWLY = 0.03, 0.2
"""m/s and rad/s on the way to where the episode begins."""
LARGEST_GAP = SECOND // 5
"""ns between two rows: what lies between them is interpolated, and of fewer than five a second too much would be made up."""
AHEAD, GRID = 1.0, 0.02
"""s beyond what has passed in which the tool's place on the way is looked for, and how finely."""
ARM_LENGTH = 0.1
"""m that a radian counts for where a pose is nearest to."""
IMPATIENCE = 0.005
"""m that a second counts for: where the tool stands, as while it grips, the way goes on by the clock."""


class ReplayPolicy:
    """Leads the tool along a track from where it is on it, in absolute time. Any text begins at the beginning; empty means idle.

    Its place on the track is the point nearest to the measured tool, and only goes on: an arm that is held back is waited for.
    """

    def __init__(self, way: Track, source: str) -> None:
        """`source` names the episode in what is told to people."""
        self._recorded, self._source = way, source
        self._instruction, self._sequence = "", 0
        self._way: Track | None = None
        self._place, self._looked = 0.0, 0

    def reset(self) -> None:
        """Forget when it looked last; the place on the way stays, but for one that is at its end."""
        self._looked = 0
        if self._way is not None and self._place >= self._way.seconds:
            self._start_anew()

    def set_instruction(self, text: str) -> None:
        """Another text begins at the beginning; empty means idle."""
        if text.strip() != self._instruction:
            self._instruction = text.strip()
            self._start_anew()

    def act(self, observation: Observation, gripper_command: float) -> ActionChunk | None:
        """The way on from the measured pose; None when idle. Raises InstructionError where the tool is too far from the way."""
        if not self._instruction:
            return None
        tool = observation.arm.tool
        if self._way is None:
            self._way = self._begun(tool, gripper_command)
        elapsed = (observation.stamp - self._looked) / SECOND if self._looked else 0.0
        self._place, self._looked = self._located(self._way, tool, max(elapsed, 0.0)), observation.stamp
        times = self._place + (np.arange(CHUNK) + 1) * (STEP / SECOND)
        poses = [self._way.at(t) for t in times]
        self._sequence += 1
        return ActionChunk(
            observation.stamp,
            STEP,
            np.array([pose.position for pose in poses]),
            np.array([pose.quaternion for pose in poses]),
            np.array([self._way.gripper(t) for t in times]),
            EXECUTE,
            "replay",
            self._instruction,
            self._sequence,
        )

    def _start_anew(self) -> None:
        self._way = None
        self._place, self._looked = 0.0, 0

    def _begun(self, tool: Pose, gripper: float) -> Track:
        """The way with what leads to its beginning before it."""
        start = self._recorded.at(0.0)
        far, turned = _apart(start, tool)
        if far > NEAR or turned > TURNED:
            x, y, z = start.position
            raise InstructionError(
                f"{self._source} begins at ({x:.3f}, {y:.3f}, {z:.3f}) m, {1000 * far:.0f} mm and {turned:.2f} rad from the tool: "
                f"lead it within {1000 * NEAR:.0f} mm and {TURNED:g} rad with `vla-ros teleop`, or use `vla-ros episodes replay`, "
                "which goes there by itself"
            )
        return led_from(self._recorded, tool, gripper, max(far / SLOW, turned / SLOWLY))

    def _located(self, way: Track, tool: Pose, elapsed: float) -> float:
        """Where on the way the tool is, s; raises InstructionError where it is not on it."""
        expected = self._place + elapsed
        times = np.arange(self._place, min(expected + AHEAD, way.seconds) + GRID, GRID).clip(max=way.seconds)
        apart = np.array([_apart(way.at(t), tool) for t in times])
        cost = np.square(apart @ [1.0, ARM_LENGTH]) + np.square(IMPATIENCE * (times - expected))
        best = int(np.argmin(cost))
        far, turned = apart[best]
        if far > NEAR or turned > TURNED:
            raise InstructionError(
                f"the tool is {1000 * far:.0f} mm and {turned:.2f} rad from the way of {self._source}: lead it back, or begin anew: "
                "an empty instruction first"
            )
        return float(times[best])


def parse_replay(spec: str, config: Config) -> ReplayPolicy:
    """The policy of `replay:DATASET#EPISODE`. Raises BundleError where there is no such episode, or none that this robot can go."""
    from vla_ros.episodes.reader import DatasetReader

    folder, mark, number = spec.removeprefix(PREFIX).rpartition("#")
    if not mark or not folder or not number.isdecimal():
        raise BundleError(f"{spec!r} is not of the form replay:DATASET#EPISODE, as replay:data/cubes#3")
    try:
        reader = DatasetReader(Path(folder).expanduser())
        way = track(reader, int(number))
    except DatasetError as error:
        raise BundleError(f"{spec}: {error}") from None
    robot, fps = reader.info["robot_type"], reader.info["fps"]
    if robot != config.robot:
        raise BundleError(
            f"{spec}: recorded with {robot!r}, and robot is {config.robot!r}: choose a dataset of this robot"
        )
    if SECOND / fps > LARGEST_GAP:
        raise BundleError(f"{spec}: {fps:g} rows a second are too few to be led along: 5 at least")
    _check_steps(way, spec, config)
    return ReplayPolicy(way, f"episode {number} of {folder}")


def _check_steps(way: Track, spec: str, config: Config) -> None:
    """Raise BundleError for a way with a leap, which the service would refuse in mid-motion (motion/admission.py)."""
    leaps = np.linalg.norm(np.diff(way.positions, axis=0), axis=1) / way.period > 3 * config.limits.speed
    if leaps.any():
        raise BundleError(
            f"{spec}: the tool leaps at frame {int(np.argmax(leaps))}, faster than three times limits.speed: "
            "look with `vla-ros episodes check`"
        )


def _apart(there: Pose, tool: Pose) -> Array:
    """Way in m and turn in rad from one pose to the other (2,)."""
    turn = geometry.difference(there.quaternion, tool.quaternion)
    return np.array([np.linalg.norm(there.position - tool.position), np.linalg.norm(turn)])
