"""The least that can follow the expert: feed-forward plus a gain on the pose error, replanned every 0.1 s."""

from __future__ import annotations

import numpy as np

from vla_ros import geometry
from vla_ros.clock import SECOND
from vla_ros.twin import expert, tasks
from vla_ros.twin.physics import Twin

CYCLE = SECOND // 100
GAIN = 4.0
CAPS = np.array([0.15, 0.52])


def state_of(twin: Twin) -> expert.State:
    """What the expert looks at."""
    arm = twin.state()
    cube = twin.object_position(tasks.NAMES[twin.episode.target])
    return expert.State(arm.tool, arm.gripper, twin.gripper_speed, twin.controller.gripper, cube)


def follow(twin: Twin, positions: np.ndarray, quaternions: np.ndarray, gripper: float, age: float, step: float) -> None:
    """One cycle: the twist that brings the tool along the plan, `age` s after the plan was made."""
    arm = twin.state()
    k = int(age / step)
    share = age / step - k
    ahead = (positions[k + 1] - positions[k]) / step
    error = positions[k] + share * (positions[k + 1] - positions[k]) - arm.tool.position
    turn = geometry.difference(quaternions[k + 1], quaternions[k]) / step
    tilt = geometry.difference(quaternions[k], arm.tool.quaternion)
    twist = np.concatenate([_capped(ahead + GAIN * error, CAPS[0]), _capped(turn + GAIN * tilt, CAPS[1])])
    twin.command(twin.now, twist, gripper)


def _capped(vector: np.ndarray, limit: float) -> np.ndarray:
    return vector / max(1.0, float(np.linalg.norm(vector)) / limit)


def run(twin: Twin, seconds: float = 10.0, step: float = 0.1) -> tuple[tasks.Outcome, float]:
    """Let the expert try; how it ended, and after how many seconds."""
    start = twin.now
    while twin.now - start < seconds * SECOND:
        state = state_of(twin)
        positions, quaternions, grippers = expert.plan(state, 3, step)
        positions = np.vstack([state.tool.position, positions])
        quaternions = np.vstack([state.tool.quaternion, quaternions])
        for cycle in range(round(step * SECOND / CYCLE)):
            follow(twin, positions, quaternions, float(grippers[0]), cycle * CYCLE / SECOND, step)
            twin.advance(twin.now + CYCLE)
        outcome = tasks.judge(twin, twin.episode)
        if outcome.success or outcome.wrong_object:
            break
    return outcome, (twin.now - start) / SECOND
