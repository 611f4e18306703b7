"""The governor lets through what is safe: a tool twist in, a tool twist that keeps every limit out, and why they differ.

The order of the rules is the order of the file: what may not be entered (force, walls, table, joint limits, the arm itself) bounds the
wish; the caps scale it with its direction kept; then acceleration and jerk shape how the tool gets there, and the way to rest is
foretold. Every bound allows motion back inside, so that no state is a trap.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from vla_ros import kinematics
from vla_ros.config.schema import Limits
from vla_ros.geometry import Array
from vla_ros.motion import proximity
from vla_ros.motion.ramp import AT_REST as AT_REST
from vla_ros.motion.ramp import Caps, Ramp, approached
from vla_ros.motion.stopping import Bounds, Here, caps, length, low_speed, survey, trespass
from vla_ros.values import ZERO_TWIST, ArmState, Verdict

_JOINT_HORIZON = 0.5
"""Seconds ahead at which a joint inside its margin may at most have used up the rest of its way."""
_JOINTS = kinematics.POSITION_LIMITS.tolist(), kinematics.VELOCITY_LIMITS.tolist()
_STANDING = 1e-6
"""m/s at which two parts of the arm do not approach each other: what is left of a motion past each other when it is reckoned."""


@dataclass(frozen=True)
class Ruling:
    """The twist that may go to the arm, the ramp it leaves, the share (0 … 1) of the wish it is, and the strongest reason."""

    twist: Array
    ramp: Ramp
    scale: float
    verdict: Verdict


def govern(wish: Array, arm: ArmState, ramp: Ramp, dt: float, bounds: Bounds) -> Ruling:
    """Rule on the wished tool twist (6,) m/s, rad/s in the base frame, for the next `dt` seconds."""
    if not (np.isfinite(wish).all() and arm.is_finite()):
        return brake(ramp, dt, bounds.limits, Verdict.FEEDBACK_STALE)
    here = survey(arm)
    twist, verdict = _bounded(wish, here, bounds)
    limited = _shaped(twist, ramp, dt, bounds.limits)
    reason = trespass(limited, here, dt, bounds)
    if reason is not None:
        limited, verdict = _shaped(ZERO_TWIST, ramp, dt, bounds.limits), reason
    share = _share(limited.twist, wish)
    if share < 0.98 and verdict is Verdict.OK:
        verdict = Verdict.ACCELERATION_LIMITED
    return Ruling(limited.twist, limited, share, verdict)


def _bounded(wish: Array, here: Here, bounds: Bounds) -> tuple[Array, Verdict]:
    """The part of the wish that every rule lets through, before it is shaped, and the last reason for a cut."""
    twist, verdict = wish, Verdict.OK
    for rule in (_force, _walls, _table):
        twist, reason = rule(twist, here, bounds)
        verdict = reason or verdict
    scale, reason = _joint_scale(twist, here, bounds)
    verdict = reason or verdict
    cap = _cap_scale(twist, bounds.limits)
    if cap < 1.0 and verdict is Verdict.OK:
        verdict = Verdict.SPEED_LIMITED
    twist = twist * min(scale, cap)
    scale, reason = _self_scale(twist, here, bounds)
    return twist * scale, reason or verdict


def brake(ramp: Ramp, dt: float, limits: Limits, verdict: Verdict) -> Ruling:
    """Lead the tool to rest within the ordinary limits."""
    shaped = _shaped(ZERO_TWIST, ramp, dt, limits)
    return Ruling(shaped.twist, shaped, 0.0, verdict)


def stop(ramp: Ramp, dt: float, limits: Limits, verdict: Verdict) -> Ruling:
    """Lead the tool to rest within the limits of a Stop, which are harder, in no more than `stop_seconds`."""
    shaped = approached(ramp, ZERO_TWIST, dt, stop_caps(limits))
    return Ruling(shaped.twist, shaped, 0.0, verdict)


def stop_caps(limits: Limits) -> Caps:
    """Caps of a Stop: it turns as much harder as it brakes harder."""
    turn_acceleration = limits.turn_acceleration * limits.stop_acceleration / limits.acceleration
    turn_jerk = limits.turn_jerk * limits.stop_jerk / limits.jerk
    return Caps(limits.stop_acceleration, limits.stop_jerk, turn_acceleration, turn_jerk)


def stop_seconds(limits: Limits, dt: float) -> float:
    """No less than a Stop takes from any motion inside the ordinary limits, in cycles of at most `dt` s.

    Speed over acceleration, acceleration over jerk for building up and letting go, twice what leads off a rate that points the wrong
    way, and eight cycles, in which the last of the gap is closed by steps.
    """
    c = stop_caps(limits)
    braking = max(limits.speed / c.acceleration, limits.turn_speed / c.turn_acceleration)
    building = max(c.acceleration / c.jerk, c.turn_acceleration / c.turn_jerk)
    turning_round = max(limits.acceleration / c.jerk, limits.turn_acceleration / c.turn_jerk)
    return braking + building + 2 * turning_round + 8 * dt


def braking_speed(distance: float, acceleration: float, reaction: float) -> float:
    """Largest speed, m/s, from which `distance` m suffice to stop: v·reaction + v²/(2a) = distance; 0 beyond."""
    if distance <= 0:
        return 0.0
    return acceleration * (math.sqrt(reaction * reaction + 2 * distance / acceleration) - reaction)


def reaction(bounds: Bounds) -> float:
    """Seconds that pass before full deceleration acts: the arm's delay and the time the jerk limit takes to build it up."""
    return bounds.delay + bounds.limits.acceleration / bounds.limits.jerk


def _force(twist: Array, here: Here, bounds: Bounds) -> tuple[Array, Verdict | None]:
    """Over `force_retreat` the component that pushes against the force is removed; retreat stays free."""
    force = here.arm.force
    magnitude = length(force)
    if magnitude <= bounds.limits.force_retreat:
        return twist, None
    away = force / magnitude
    pushing = min(0.0, float(twist[:3] @ away))
    return np.concatenate([twist[:3] - pushing * away, twist[3:]]), Verdict.FORCE if pushing < 0 else None


def _walls(twist: Array, here: Here, bounds: Bounds) -> tuple[Array, Verdict | None]:
    """Towards each wall no faster than the tool can brake before it; inwards free."""
    late, acceleration, w = reaction(bounds), bounds.limits.acceleration, bounds.workspace
    bounded = twist.copy()
    for axis, (speed, place) in enumerate(zip(twist[:3].tolist(), here.arm.tool.position.tolist(), strict=True)):
        upper = braking_speed(w.high[axis] - place, acceleration, late)
        lower = braking_speed(place - w.low[axis], acceleration, late)
        bounded[axis] = min(upper, max(-lower, speed))
    return bounded, _reason(bounded, twist, Verdict.WALL)


def _reason(bounded: Array, twist: Array, verdict: Verdict) -> Verdict | None:
    """The verdict, where the bound cut something off."""
    return verdict if float(np.abs(bounded - twist).max()) > 1e-6 else None


def _table(twist: Array, here: Here, bounds: Bounds) -> tuple[Array, Verdict | None]:
    """Down to `transit_clearance` at any speed that can still brake there; on to `grasp_clearance` slowly."""
    w, late = bounds.workspace, reaction(bounds)
    air = float(here.arm.tool.position[2] + here.points[:, 2].min()) - w.table
    fast = braking_speed(air - w.transit_clearance, bounds.limits.acceleration, late)
    slow = min(w.grasp_speed, braking_speed(air - w.grasp_clearance, bounds.limits.acceleration, late))
    bounded = twist.copy()
    bounded[2] = max(float(twist[2]), -max(fast, slow))
    if air < w.transit_clearance or bounded[2] < -fast:
        speed = float(low_speed(bounded[None])[0])
        counted = slice(0, 3 if bounded[2] < 0 else 2)
        bounded[counted] *= min(1.0, w.grasp_speed / max(speed, 1e-12))
    return bounded, _reason(bounded, twist, Verdict.FLOOR)


def _joint_scale(twist: Array, here: Here, bounds: Bounds) -> tuple[float, Verdict | None]:
    """Share of the twist that keeps every joint inside its margin and below its speed, and eases off where J is poor."""
    rates = here.follow @ twist
    share = min(
        _of_joint(*joint, bounds.limits.joint_margin)
        for joint in zip(rates.tolist(), here.joints.tolist(), *_JOINTS, strict=True)
    )
    if share < 1.0:
        return share, Verdict.JOINT_LIMIT
    if here.manipulability >= bounds.limits.manipulability:
        return 1.0, None
    ahead = kinematics.kinematics(here.arm.joints + 0.05 * rates).manipulability
    if ahead >= here.manipulability:
        return 1.0, None
    return max(0.0, 2 * here.manipulability / bounds.limits.manipulability - 1.0), Verdict.MANIPULABILITY


def _of_joint(rate: float, angle: float, end: float, fastest: float, margin: float) -> float:
    """Share of `rate` (rad/s) that keeps a joint at `angle` below its speed and, in the margin before its end, from using it up."""
    room = end - angle if rate > 0 else end + angle
    allowed = max(0.0, room) * 0.5 / _JOINT_HORIZON if room < margin else fastest
    return allowed / max(abs(rate), 1e-9) if abs(rate) > allowed else 1.0


def _self_scale(twist: Array, here: Here, bounds: Bounds) -> tuple[float, Verdict | None]:
    """Share of the twist from which no two parts of the arm come nearer than `self_distance` before they have braked; apart free.

    Way and turn brake as one, so every distance shrinks in step with them: from its present pace to none within the same time. Where
    two parts are nearer already, they are the measure for all: folded together in several places the arm can still unfold.
    """
    late, distance = reaction(bounds), bounds.limits.self_distance
    speed, turn = length(twist[:3]), length(twist[3:])
    braking = max(speed / bounds.limits.acceleration, turn / bounds.limits.turn_acceleration, 1e-9)
    seconds = late + braking / 2
    if here.room.holds(distance, speed * seconds, turn * seconds):
        return 1.0, None
    near = proximity.nearest(here.kinematics.frames)
    paces = -proximity.gradients(near, here.kinematics.frames) @ (here.watched @ twist)
    share = 1.0
    gaps = near.distances - min(distance, float(near.distances.min()))
    for pace, gap in zip(paces.tolist(), gaps.tolist(), strict=True):
        if pace > _STANDING and pace * seconds > gap:
            share = min(share, braking_speed(gap, pace / braking, late) / pace)
    return (share, Verdict.SELF_COLLISION) if share < 1.0 else (1.0, None)


def _cap_scale(twist: Array, limits: Limits) -> float:
    """Share of the twist that keeps both speed caps; one share for both, so that the path stays the same."""
    speed, turn = length(twist[:3]), length(twist[3:])
    return min(1.0, limits.speed / max(speed, 1e-12), limits.turn_speed / max(turn, 1e-12))


def _shaped(target: Array, ramp: Ramp, dt: float, limits: Limits) -> Ramp:
    """One cycle towards `target` within speed, acceleration and jerk."""
    return approached(ramp, target, dt, caps(limits))


def _share(let_through: Array, wish: Array) -> float:
    """How much of the wish goes, 0 … 1: its projection on the wish.

    1 where nothing is wished, and where the tool is still faster than wished: a motion that brakes is not behind its path, and
    a clock that waited for it would leave it short.
    """
    length = float(wish @ wish)
    if length < 1e-10 or float(let_through @ let_through) >= length:
        return 1.0
    return min(1.0, max(0.0, float(let_through @ wish) / length))
