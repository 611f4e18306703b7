"""The scripted expert as a policy: it sees the cubes themselves, and drives through player, tracker and governor like any other."""

from __future__ import annotations

import numpy as np

from vla_ros import geometry
from vla_ros.clock import SECOND
from vla_ros.geometry import Array
from vla_ros.policy.actions import deltas_from_poses
from vla_ros.twin import expert
from vla_ros.twin.physics import Twin
from vla_ros.twin.tasks import NAMES
from vla_ros.values import ActionChunk, Observation

CHUNK = 10
STEP = SECOND // 10
EXECUTE = 5


class ExpertPolicy:
    """Plans from the true state of the twin. `noise` disturbs what is executed, never the label.

    noise: standard deviation of an Ornstein-Uhlenbeck disturbance of the velocity, as a share of 0.015 m a step; the same share
    of 1° a step turns the tool. It makes demonstrations visit states off the expert's path (DART, Laskey et al. 2017).
    """

    def __init__(self, twin: Twin, noise: float = 0.0, seed: int = 0) -> None:
        self._twin, self._noise = twin, noise
        self._random = np.random.default_rng(seed)
        self._drift: Array = np.zeros(6)
        self._target = 0
        self._sequence = 0
        self.label: Array = np.zeros((CHUNK, 7))

    def aim(self, target: int) -> None:
        """Name the cube to pick, by its index."""
        self._target = target

    def reset(self) -> None:
        """Forget the former episode."""
        self._drift = np.zeros(6)

    def set_instruction(self, text: str) -> None:
        """The expert is told by `aim`; words mean nothing to it."""

    def act(self, observation: Observation, gripper_command: float) -> ActionChunk:
        """Plan from here; `label` then holds the undisturbed plan as deltas (10, 7) in SI."""
        positions, quaternions, grippers = self._plan(observation, gripper_command)
        self.label = deltas_from_poses(observation.arm.tool, positions, quaternions, grippers)
        if self._noise:
            positions, quaternions = self._disturbed(positions, quaternions)
        self._sequence += 1
        return ActionChunk(
            observation.stamp, STEP, positions, quaternions, grippers, EXECUTE, "expert", "", self._sequence
        )

    def _plan(self, observation: Observation, gripper_command: float) -> tuple[Array, Array, Array]:
        arm = observation.arm
        cube = self._twin.object_position(NAMES[self._target])
        state = expert.State(arm.tool, arm.gripper, self._twin.gripper_speed, gripper_command, cube)
        return expert.plan(state, CHUNK, STEP / SECOND)

    def _disturbed(self, positions: Array, quaternions: Array) -> tuple[Array, Array]:
        scale = self._noise * np.array([0.015] * 3 + [np.radians(1.0)] * 3)
        self._drift = 0.8 * self._drift + self._random.normal(size=6) * scale
        # among the cubes a nudge too much lands on one and teaches nothing but a Stop
        calm = float(np.clip((positions[0, 2] - 0.04) / 0.05, 0.15, 1.0))
        steps = np.arange(1, len(positions) + 1)[:, None] * self._drift * calm
        turned = [
            geometry.multiply(geometry.exp(turn), quaternion)
            for turn, quaternion in zip(steps[:, 3:], quaternions, strict=True)
        ]
        return positions + steps[:, :3], np.array(turned)
