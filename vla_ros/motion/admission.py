"""Which chunks may be played: well formed, finite, fresh, near the arm, and no step longer than the arm may take."""

from __future__ import annotations

import numpy as np

from vla_ros import geometry
from vla_ros.clock import SECOND
from vla_ros.config.schema import Config
from vla_ros.values import ActionChunk, ArmState, Verdict

NEAR = 0.020
"""m around the measured tool pose in which a first target is always believed."""
LONGEST = 256
"""Targets that a chunk may hold."""
STEPS = (SECOND // 100, SECOND)
"""Shortest and longest time between two targets, ns: faster than the servo reads, or longer than a chunk stays true, is a mistake."""


def judge(chunk: ActionChunk, arm: ArmState, now: int, config: Config) -> Verdict:
    """OK, or why the chunk is refused. An empty chunk is OK: it says that there is nothing to do."""
    n = len(chunk)
    if n == 0:
        return Verdict.OK
    shapes = chunk.positions.shape == (n, 3) and chunk.quaternions.shape == (n, 4) and chunk.grippers.shape == (n,)
    if not shapes or n > LONGEST or not STEPS[0] <= chunk.step <= STEPS[1] or chunk.execute <= 0:
        return Verdict.CHUNK_MALFORMED
    if not all(np.isfinite(a).all() for a in (chunk.positions, chunk.quaternions, chunk.grippers)):
        return Verdict.CHUNK_NOT_FINITE
    if (np.abs(np.linalg.norm(chunk.quaternions, axis=1) - 1.0) > 1e-3).any():
        return Verdict.CHUNK_MALFORMED
    age = (now - chunk.stamp) / SECOND
    if not -0.01 <= age <= config.deadlines.observation:
        return Verdict.CHUNK_STALE
    step = chunk.step / SECOND
    if np.linalg.norm(chunk.positions[0] - arm.tool.position) > NEAR + config.limits.speed * (age + step):
        return Verdict.CHUNK_FAR
    return _steps(chunk, step, config)


def _steps(chunk: ActionChunk, step: float, config: Config) -> Verdict:
    if len(chunk) == 1:
        return Verdict.OK
    moves = np.linalg.norm(np.diff(chunk.positions, axis=0), axis=1)
    turns = [
        float(np.linalg.norm(geometry.difference(b, a)))
        for a, b in zip(chunk.quaternions, chunk.quaternions[1:], strict=False)
    ]
    too_far = moves.max() > 3 * config.limits.speed * step or max(turns) > 3 * config.limits.turn_speed * step
    return Verdict.CHUNK_STEP if too_far else Verdict.OK
