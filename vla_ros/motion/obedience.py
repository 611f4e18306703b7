"""Whether the arm does what it is told, and whether what it reports can be true.

Three things that no deadline shows: feedback whose numbers stand still under fresh stamps while the arm is told to move, an arm that
goes on with an old command, and one that is too fast to stop before a wall or the table. Each stops the arm. An arm that is held
back is none of them: that is felt as a force.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from vla_ros import geometry, kinematics
from vla_ros.clock import MILLISECOND, SECOND
from vla_ros.geometry import Array
from vla_ros.motion.ramp import Ramp
from vla_ros.motion.stopping import Bounds
from vla_ros.values import ArmState, Verdict

ASTRAY, TURN_ASTRAY = 0.010, math.radians(3)
"""m/s and rad/s by which an arm that is told to stand may move: several times what 0.1 mm of noise in two readings looks like."""
SHARE = 0.3
"""What is added to that, as a share of the fastest command that may be acting: a motion lags behind and overshoots what it follows."""
PATIENCE = 60 * MILLISECOND
"""ns for which the arm must go astray."""
_BASE = 30 * MILLISECOND
"""ns between the two readings whose distance is the measured velocity."""
_STOPPING = 0.07
"""s from this look to where the arm's own Stop brakes: commands are taken up every 25 ms, joints lag, the velocity is 15 ms old."""
_TOLERANCE = 0.001
"""m by which a Stop may end beyond a bound: what the bounds are held to. A tool that springs back from a push stays below it."""
_MOVING, _TURNING = 0.02, math.radians(5)
"""m/s and rad/s of a command that must be seen in the feedback."""
_KEPT = 32


@dataclass(frozen=True)
class Reading:
    """What is kept of a feedback: its stamp (ns), joints (7,) rad, tool position (3,) m and quaternion (4,)."""

    stamp: int
    joints: Array
    position: Array
    quaternion: Array


@dataclass(frozen=True)
class Record:
    """What was seen of the arm lately: readings, oldest first; when the joints last changed and since when it has gone astray (ns)."""

    readings: tuple[Reading, ...] = ()
    changed: int = 0
    astray: int = 0


def watched(
    record: Record, arm: ArmState, ramp: Ramp, now: int, bounds: Bounds, patience: float
) -> tuple[Record, Verdict | None]:
    """The record with this feedback, and why the arm must be stopped, if it must.

    `ramp` is what was let through last, with what was before; from a command to its motion it may take up to one and a half times the
    delay of `bounds`; feedback may stand still for `patience` s.
    """
    record = _seen(record, arm)
    acting = _acting(ramp, bounds.delay)
    if _told_to_move(acting) and now - record.changed > patience * SECOND and len(record.readings) > 1:
        return record, Verdict.STOP_FEEDBACK_FROZEN
    velocity = _velocity(record)
    if velocity is None:
        return Record(record.readings, record.changed), None
    since = (record.astray or now) if _astray(velocity, acting) else 0
    record = Record(record.readings, record.changed, since)
    if _headed_out(velocity, arm, bounds):
        return record, Verdict.STOP_TRESPASS
    return record, Verdict.STOP_ASTRAY if since and now - since > PATIENCE else None


def _seen(record: Record, arm: ArmState) -> Record:
    last = record.readings[-1] if record.readings else None
    if last is not None and arm.stamp <= last.stamp:
        return record
    changed = arm.stamp if last is None or (arm.joints != last.joints).any() else record.changed
    reading = Reading(arm.stamp, arm.joints, arm.tool.position, arm.tool.quaternion)
    return Record((*record.readings, reading)[-_KEPT:], changed, record.astray)


def _acting(ramp: Ramp, delay: float) -> Array:
    """Twists (n, 6) of which any may be acting now: those of the last one and a half delays and a little more."""
    twists, seconds = [ramp.twist], 0.0
    for sent in reversed(ramp.past):
        if seconds > 1.5 * delay + 0.05:
            break
        twists.append(sent.twist)
        seconds += sent.seconds
    return np.array(twists)


def _told_to_move(acting: Array) -> bool:
    """Whether every one of the commands moves or turns the tool: then the joints must change."""
    linear = np.sqrt((acting[:, :3] ** 2).sum(axis=1)).min()
    turning = np.sqrt((acting[:, 3:] ** 2).sum(axis=1)).min()
    return bool(linear > _MOVING or turning > _TURNING)


def _astray(velocity: Array, acting: Array) -> bool:
    """Whether the measured twist is none of those that may be acting."""
    for part, least in ((slice(0, 3), ASTRAY), (slice(3, 6), TURN_ASTRAY)):
        told, measured = acting[:, part], velocity[part]
        bound = least + SHARE * float(np.sqrt((told * told).sum(axis=1).max()))
        misses = told - measured
        if math.hypot(*measured.tolist()) > bound and np.sqrt((misses * misses).sum(axis=1).min()) > bound:
            return True
    return False


def _headed_out(velocity: Array, arm: ArmState, bounds: Bounds) -> bool:
    """Whether even a Stop of now would end beyond a wall, or lower over the table than is allowed. Only motion outwards counts."""
    workspace, braking = bounds.workspace, bounds.limits.stop_acceleration
    position, linear = arm.tool.position.tolist(), velocity[:3].tolist()
    for low, high, place, speed in zip(workspace.low, workspace.high, position, linear, strict=True):
        room = (high - place if speed > 0 else place - low) + _TOLERANCE
        if abs(speed) > ASTRAY and _way(abs(speed), braking) > room:
            return True
    air = kinematics.finger_bottom(arm.tool) - workspace.table - workspace.grasp_clearance + _TOLERANCE
    return linear[2] < -ASTRAY and _way(-linear[2], braking) > air


def _way(speed: float, braking: float) -> float:
    """m to rest."""
    return speed * _STOPPING + speed * speed / (2 * braking)


def _velocity(record: Record) -> Array | None:
    """Measured tool twist (6,) m/s and rad/s over the last _BASE; None before there are readings enough."""
    if not record.readings:
        return None
    newest = record.readings[-1]
    before = next((r for r in reversed(record.readings) if newest.stamp - r.stamp >= _BASE), None)
    if before is None or newest.stamp - before.stamp > 3 * _BASE:
        return None
    seconds = (newest.stamp - before.stamp) / SECOND
    turned = geometry.difference(newest.quaternion, before.quaternion)
    return np.concatenate([newest.position - before.position, turned]) / seconds
