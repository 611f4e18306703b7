"""The player reads a chunk at the control rate: where the tool should be now, and how fast it should move there.

Targets are joined by cubic Hermite segments (Catmull-Rom tangents). A new chunk takes over from the motion under way by a quintic
that leads the difference in position, velocity and acceleration to zero within `blend`, so that the tool does not jump where two
chunks meet (quintic boundary polynomials: Craig, Introduction to Robotics, section 7.3). What is past is dropped by time; the
chunk's own clock runs slower than time when the governor slows the motion, so that the gripper keeps to the path.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from vla_ros import geometry
from vla_ros.clock import SECOND
from vla_ros.geometry import Array, Pose
from vla_ros.values import ActionChunk, Setpoint


@dataclass(frozen=True)
class Seam:
    """What a change of chunk would have made the reference jump by, had it not been blended.

    position m, velocity m/s, rotation rad; `consumed` is how many targets were past when the chunk arrived.
    """

    position: float
    velocity: float
    rotation: float
    consumed: int


@dataclass(frozen=True)
class Playback:
    """A chunk being played: `lag` is by how many ns its clock is behind time; `offset` (3, 6) are position, velocity and

    acceleration of the difference (m, rad) that is led to zero from `joined` on, `blend` ns long.
    """

    chunk: ActionChunk
    joined: int
    blend: int
    lag: int
    offset: Array
    seam: Seam

    def chunk_time(self, now: int) -> int:
        """Moment of the chunk's own clock at `now`."""
        return now - self.lag

    def over(self, now: int) -> bool:
        """Whether the targets that may be played have been."""
        return self.chunk_time(now) >= self.chunk.stamp + min(self.chunk.execute, len(self.chunk)) * self.chunk.step


@dataclass(frozen=True)
class _Motion:
    """Pose, velocity (6,) and acceleration (6,) of a trajectory at one moment, base frame."""

    pose: Pose
    velocity: Array
    acceleration: Array


def join(chunk: ActionChunk, now: int, under_way: Pose, velocity: Array, acceleration: Array, blend: float) -> Playback:
    """Begin to play `chunk`, from a tool at `under_way` that moves at `velocity` (6,) and accelerates (6,), base frame.

    `blend` in seconds. The chunk must hold at least one target.
    """
    wanted = _motion(chunk, now)
    offset = np.stack(
        [
            _pose_difference(under_way, wanted.pose),
            velocity - wanted.velocity,
            acceleration - wanted.acceleration,
        ]
    )
    consumed = int(np.clip((now - chunk.stamp) // chunk.step, 0, len(chunk)))
    seam = Seam(
        float(np.linalg.norm(offset[0, :3])),
        float(np.linalg.norm(offset[1, :3])),
        float(np.linalg.norm(offset[0, 3:])),
        consumed,
    )
    return Playback(chunk, now, int(blend * SECOND), 0, offset, seam)


def setpoint(playback: Playback, now: int, lead: int = 0) -> Setpoint:
    """Wanted tool pose at `now`, its velocity `lead` ns later, and the gripper target at `now`.

    `lead` is the delay of the arm: what is sent now is felt then, so then's velocity is the one to send.
    """
    moment = playback.chunk_time(now)
    wanted = _motion(playback.chunk, moment)
    offset, offset_rate = _decayed(playback, now)
    ahead = _motion(playback.chunk, moment + lead).velocity if lead else wanted.velocity
    pose = Pose(
        wanted.pose.position + offset[:3],
        geometry.normalized(geometry.multiply(geometry.exp(offset[3:]), wanted.pose.quaternion)),
    )
    return Setpoint(pose, ahead + offset_rate, gripper(playback.chunk, moment))


def slowed(playback: Playback, period: int, scale: float) -> Playback:
    """The playback after a cycle of `period` ns in which only `scale` (0 … 1) of the wanted motion was let through."""
    return replace(playback, lag=playback.lag + int(period * (1.0 - min(1.0, max(0.0, scale)))))


def gripper(chunk: ActionChunk, moment: int) -> float:
    """Gripper target whose interval holds `moment`: target k rules from stamp + k·step on."""
    k = int(np.clip((moment - chunk.stamp) // chunk.step, 0, len(chunk) - 1))
    return float(chunk.grippers[k])


def _pose_difference(a: Pose, b: Pose) -> Array:
    return np.concatenate([a.position - b.position, geometry.difference(a.quaternion, b.quaternion)])


def _motion(chunk: ActionChunk, moment: int) -> _Motion:
    """Cubic Hermite through the targets; held before the first and after the last at the speed of none."""
    last = len(chunk) - 1
    along = (moment - chunk.stamp) / chunk.step - 1.0
    if last == 0 or along >= last:
        k = last
        return _Motion(_target(chunk, k), np.zeros(6), np.zeros(6))
    k = max(0, int(np.floor(along)))
    u = along - k
    seconds = chunk.step / SECOND
    start, end = _target(chunk, k), _target(chunk, k + 1)
    chord = _pose_difference(end, start)
    before = _pose_difference(start, _target(chunk, k - 1)) if k > 0 else chord
    after = _pose_difference(_target(chunk, k + 2), end) if k + 2 <= last else np.zeros(6)
    if u < 0:  # before the first target: straight back along the first chord
        return _Motion(_moved(start, u * chord), chord / seconds, np.zeros(6))
    m0, m1 = 0.5 * (before + chord), 0.5 * (chord + after)
    shift = (u**3 - 2 * u**2 + u) * m0 + (3 * u**2 - 2 * u**3) * chord + (u**3 - u**2) * m1
    rate = (3 * u**2 - 4 * u + 1) * m0 + (6 * u - 6 * u**2) * chord + (3 * u**2 - 2 * u) * m1
    bend = (6 * u - 4) * m0 + (6 - 12 * u) * chord + (6 * u - 2) * m1
    return _Motion(_moved(start, shift), rate / seconds, bend / seconds**2)


def _target(chunk: ActionChunk, k: int) -> Pose:
    return Pose(chunk.positions[k], chunk.quaternions[k])


def _moved(pose: Pose, shift: Array) -> Pose:
    turned = geometry.multiply(geometry.exp(shift[3:]), pose.quaternion)
    return Pose(pose.position + shift[:3], geometry.normalized(turned))


def _decayed(playback: Playback, now: int) -> tuple[Array, Array]:
    """The blended difference (6,) and its rate (6,) at `now`: a quintic from `offset` to rest at zero."""
    duration = playback.blend / SECOND
    t = (now - playback.joined) / SECOND
    if t >= duration:
        return np.zeros(6), np.zeros(6)
    u = t / duration
    p, v, a = playback.offset[0], playback.offset[1] * duration, playback.offset[2] * duration**2
    # Hermite basis of fifth order with value, slope and curvature given at 0, all three zero at 1
    h0, d0 = 1 - 10 * u**3 + 15 * u**4 - 6 * u**5, -30 * u**2 + 60 * u**3 - 30 * u**4
    h1, d1 = u - 6 * u**3 + 8 * u**4 - 3 * u**5, 1 - 18 * u**2 + 32 * u**3 - 15 * u**4
    h2, d2 = 0.5 * u**2 - 1.5 * u**3 + 1.5 * u**4 - 0.5 * u**5, u - 4.5 * u**2 + 6 * u**3 - 2.5 * u**4
    return h0 * p + h1 * v + h2 * a, (d0 * p + d1 * v + d2 * a) / duration
