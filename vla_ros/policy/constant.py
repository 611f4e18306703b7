"""A policy without a network: straight to a point, at constant speed. For tests of everything behind a policy."""

from __future__ import annotations

import numpy as np

from vla_ros.clock import MILLISECOND
from vla_ros.geometry import Array
from vla_ros.policy.manifest import BundleError
from vla_ros.values import ActionChunk, Observation

STEP = 100 * MILLISECOND
CHUNK = 10
EXECUTE = 5


class ConstantDeltaPolicy:
    """Moves the tool towards `target` (3,) m in the base frame by at most `delta` m a step; orientation and gripper stay."""

    def __init__(self, target: Array, delta: float = 0.01) -> None:
        self._target, self._delta = target, delta
        self._instruction = ""
        self._sequence = 0

    def reset(self) -> None:
        """There is nothing to forget."""

    def set_instruction(self, text: str) -> None:
        """Any text means to drive; empty means idle."""
        self._instruction = text.strip()

    def act(self, observation: Observation, gripper_command: float) -> ActionChunk | None:
        """The way on from the measured pose; None when idle."""
        if not self._instruction:
            return None
        tool = observation.arm.tool
        self._sequence += 1
        return ActionChunk(
            observation.stamp,
            STEP,
            self._way(tool.position),
            np.tile(tool.quaternion, (CHUNK, 1)),
            np.full(CHUNK, gripper_command),
            EXECUTE,
            "constant",
            self._instruction,
            self._sequence,
        )

    def _way(self, position: Array) -> Array:
        ahead = self._target - position
        distance = float(np.linalg.norm(ahead))
        travelled = np.minimum(self._delta * np.arange(1, CHUNK + 1), distance)
        direction = ahead / distance if distance > 0 else ahead
        return np.asarray(position + travelled[:, None] * direction)


def parse_constant(spec: str) -> ConstantDeltaPolicy:
    """The policy of `constant:x,y,z`, metres in the base frame. Raises BundleError."""
    try:
        target = np.array([float(number) for number in spec.removeprefix("constant:").split(",")])
    except ValueError:
        target = np.zeros(0)
    if target.shape != (3,) or not np.isfinite(target).all():
        raise BundleError(f"{spec!r} is not of the form constant:x,y,z, metres in the base frame")
    return ConstantDeltaPolicy(target)
