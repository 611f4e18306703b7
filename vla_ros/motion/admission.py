"""Which chunks may be played: of the right task, in order, well formed, finite, fresh, near the arm, no step too long."""

from __future__ import annotations

import math

import numpy as np

from vla_ros import geometry
from vla_ros.clock import SECOND
from vla_ros.config.schema import Config
from vla_ros.values import ActionChunk, ArmState, Verdict

NEAR, NEAR_TURN = 0.020, math.radians(8)
"""m and rad around the measured tool pose in which a first target is always believed."""
LONGEST = 64
"""Targets that a chunk may hold."""
STEPS = (SECOND // 100, SECOND)
"""Shortest and longest time between two targets, ns: faster than the servo reads, or longer than a chunk stays true, is a mistake."""
_AHEAD = 0.01
"""s that a stamp may lie in the future: what two readings of two clocks may differ by."""

ALARMING = frozenset({Verdict.CHUNK_NOT_FINITE, Verdict.CHUNK_FAR, Verdict.CHUNK_STEP})
"""Refusals that say the policy is out of its mind: the arm holds. Any other refused chunk leaves the motion alone."""


def judge(
    chunk: ActionChunk,
    arm: ArmState,
    now: int,
    config: Config,
    playing: ActionChunk | None = None,
    instruction: str | None = None,
) -> Verdict:
    """OK, or why the chunk is refused while `playing` is played and `instruction` is in force (None: not known).

    An empty chunk says that there is nothing to do: all that is asked of it is that it comes in order.
    """
    if playing is not None and chunk.stamp < playing.stamp:
        return Verdict.CHUNK_OVERTAKEN
    if len(chunk) == 0:
        return Verdict.OK
    if instruction is not None and chunk.instruction != instruction:
        return Verdict.CHUNK_INSTRUCTION
    return _form(chunk) or _age(chunk, now, config) or _way(chunk, arm, now, config) or Verdict.OK


def _form(chunk: ActionChunk) -> Verdict | None:
    n = len(chunk)
    if n > LONGEST:
        return Verdict.CHUNK_LONG
    shapes = chunk.positions.shape == (n, 3) and chunk.quaternions.shape == (n, 4) and chunk.grippers.shape == (n,)
    if not shapes or not STEPS[0] <= chunk.step <= STEPS[1] or chunk.execute <= 0:
        return Verdict.CHUNK_MALFORMED
    if not all(np.isfinite(a).all() for a in (chunk.positions, chunk.quaternions, chunk.grippers)):
        return Verdict.CHUNK_NOT_FINITE
    lengths = (math.hypot(*quaternion) for quaternion in chunk.quaternions.tolist())
    return Verdict.CHUNK_QUATERNION if any(abs(length - 1.0) > 1e-3 for length in lengths) else None


def _age(chunk: ActionChunk, now: int, config: Config) -> Verdict | None:
    age = (now - chunk.stamp) / SECOND
    if age < -_AHEAD:
        return Verdict.CHUNK_FUTURE
    return Verdict.CHUNK_STALE if age > config.deadlines.observation else None


def _way(chunk: ActionChunk, arm: ArmState, now: int, config: Config) -> Verdict | None:
    step = chunk.step / SECOND
    late, limits = (now - chunk.stamp) / SECOND + step, config.limits
    far = _distance(chunk.positions[0] - arm.tool.position) > NEAR + limits.speed * late
    if far or _turn(chunk.quaternions[0], arm.tool.quaternion) > NEAR_TURN + limits.turn_speed * late:
        return Verdict.CHUNK_FAR
    pairs = range(1, len(chunk))
    longest = max((_distance(chunk.positions[k] - chunk.positions[k - 1]) for k in pairs), default=0.0)
    widest = max((_turn(chunk.quaternions[k], chunk.quaternions[k - 1]) for k in pairs), default=0.0)
    too_far = longest > 3 * limits.speed * step or widest > 3 * limits.turn_speed * step
    return Verdict.CHUNK_STEP if too_far else None


def _distance(way: geometry.Array) -> float:
    """m; infinite where the numbers are too large to be squared."""
    return math.hypot(*way.tolist())


def _turn(target: geometry.Array, origin: geometry.Array) -> float:
    """rad from one unit quaternion to another, the shorter way round."""
    return 2 * math.acos(min(1.0, abs(float(target @ origin))))
