"""The governor lets through what is safe: a tool twist in, a tool twist that keeps every limit out, and why they differ.

The order of the rules is the order of the file: what may not be entered (force, walls, table, joint limits) bounds the wish first;
then the caps scale it with its direction kept; then acceleration and jerk shape how the tool gets there. Every bound allows motion
back inside, so that no state is a trap.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from vla_ros import kinematics
from vla_ros.config.schema import Limits
from vla_ros.geometry import Array
from vla_ros.kinematics import Kinematics
from vla_ros.motion.ramp import AT_REST as AT_REST
from vla_ros.motion.ramp import Caps, Ramp, approached
from vla_ros.motion.stopping import Bounds, caps, length, low_speed, trespass
from vla_ros.values import ZERO_TWIST, ArmState, Verdict

_JOINT_HORIZON = 0.5
"""Seconds ahead at which a joint inside its margin may at most have used up the rest of its way."""


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
    k = kinematics.kinematics(arm.joints)
    twist, verdict = wish.copy(), Verdict.OK
    for rule in (_force, _walls, _table):
        twist, reason = rule(twist, arm, bounds)
        verdict = reason or verdict
    scale, reason = _joint_scale(twist, arm, k, bounds)
    verdict = reason or verdict
    cap = _cap_scale(twist, bounds.limits)
    if cap < 1.0 and verdict is Verdict.OK:
        verdict = Verdict.SPEED_LIMITED
    twist = twist * min(scale, cap)
    limited = _shaped(twist, ramp, dt, bounds.limits)
    reason = trespass(limited, arm, k, dt, bounds)
    if reason is not None:
        limited, verdict = _shaped(ZERO_TWIST, ramp, dt, bounds.limits), reason
    share = _share(limited.twist, wish)
    if share < 0.98 and verdict is Verdict.OK:
        verdict = Verdict.ACCELERATION_LIMITED
    return Ruling(limited.twist, limited, share, verdict)


def brake(ramp: Ramp, dt: float, limits: Limits, verdict: Verdict) -> Ruling:
    """Lead the tool to rest within the ordinary limits."""
    shaped = _shaped(ZERO_TWIST, ramp, dt, limits)
    return Ruling(shaped.twist, shaped, 0.0, verdict)


def stop(ramp: Ramp, dt: float, limits: Limits, verdict: Verdict) -> Ruling:
    """Lead the tool to rest within the limits of a Stop, which are harder; they turn as hard as they brake, per cap."""
    harder = limits.stop_acceleration / limits.acceleration
    turn_jerk = limits.turn_jerk * limits.stop_jerk / limits.jerk
    hard = Caps(limits.stop_acceleration, limits.stop_jerk, limits.turn_acceleration * harder, turn_jerk)
    shaped = approached(ramp, ZERO_TWIST, dt, hard)
    return Ruling(shaped.twist, shaped, 0.0, verdict)


def braking_speed(distance: float, acceleration: float, reaction: float) -> float:
    """Largest speed, m/s, from which `distance` m suffice to stop: v·reaction + v²/(2a) = distance; 0 beyond."""
    if distance <= 0:
        return 0.0
    return acceleration * (math.sqrt(reaction * reaction + 2 * distance / acceleration) - reaction)


def reaction(bounds: Bounds) -> float:
    """Seconds that pass before full deceleration acts: the arm's delay and the time the jerk limit takes to build it up."""
    return bounds.delay + bounds.limits.acceleration / bounds.limits.jerk


def _force(twist: Array, arm: ArmState, bounds: Bounds) -> tuple[Array, Verdict | None]:
    """Over `force_retreat` the component that pushes against the force is removed; retreat stays free."""
    magnitude = length(arm.force)
    if magnitude <= bounds.limits.force_retreat:
        return twist, None
    away = arm.force / magnitude
    pushing = min(0.0, float(twist[:3] @ away))
    return np.concatenate([twist[:3] - pushing * away, twist[3:]]), Verdict.FORCE if pushing < 0 else None


def _walls(twist: Array, arm: ArmState, bounds: Bounds) -> tuple[Array, Verdict | None]:
    """Towards each wall no faster than the tool can brake before it; inwards free."""
    bounded, late = twist.copy(), reaction(bounds)
    for axis in range(3):
        position = float(arm.tool.position[axis])
        upper = braking_speed(bounds.workspace.high[axis] - position, bounds.limits.acceleration, late)
        lower = braking_speed(position - bounds.workspace.low[axis], bounds.limits.acceleration, late)
        bounded[axis] = min(upper, max(-lower, float(twist[axis])))
    return bounded, Verdict.WALL if (np.abs(bounded - twist) > 1e-6).any() else None


def _table(twist: Array, arm: ArmState, bounds: Bounds) -> tuple[Array, Verdict | None]:
    """Down to `transit_clearance` at any speed that can still brake there; on to `grasp_clearance` slowly."""
    w, late = bounds.workspace, reaction(bounds)
    air = kinematics.finger_bottom(arm.tool) - w.table
    fast = braking_speed(air - w.transit_clearance, bounds.limits.acceleration, late)
    slow = min(w.grasp_speed, braking_speed(air - w.grasp_clearance, bounds.limits.acceleration, late))
    bounded = twist.copy()
    bounded[2] = max(float(twist[2]), -max(fast, slow))
    if air < w.transit_clearance or bounded[2] < -fast:
        speed = float(low_speed(bounded[None])[0])
        counted = slice(0, 3 if bounded[2] < 0 else 2)
        bounded[counted] *= min(1.0, w.grasp_speed / max(speed, 1e-12))
    return bounded, Verdict.FLOOR if (np.abs(bounded - twist) > 1e-6).any() else None


def _joint_scale(twist: Array, arm: ArmState, k: Kinematics, bounds: Bounds) -> tuple[float, Verdict | None]:
    """Share of the twist that keeps every joint inside its margin and below its speed, and eases off where J is poor."""
    rates = kinematics.joint_rates(k, arm.joints, twist)
    joints = kinematics.wrapped(arm.joints)
    room = np.where(rates > 0, kinematics.POSITION_LIMITS - joints, kinematics.POSITION_LIMITS + joints)
    margin = bounds.limits.joint_margin
    allowed = np.where(room < margin, np.maximum(0.0, room) * 0.5 / _JOINT_HORIZON, kinematics.VELOCITY_LIMITS)
    speed = np.abs(rates)
    share = float(np.min(np.where(speed > allowed, allowed / np.maximum(speed, 1e-9), 1.0)))
    if share < 1.0:
        return share, Verdict.JOINT_LIMIT
    measure = k.manipulability
    if measure >= bounds.limits.manipulability:
        return 1.0, None
    ahead = kinematics.kinematics(arm.joints + 0.05 * rates).manipulability
    if ahead >= measure:
        return 1.0, None
    return max(0.0, 2 * measure / bounds.limits.manipulability - 1.0), Verdict.MANIPULABILITY


def _cap_scale(twist: Array, limits: Limits) -> float:
    """Share of the twist that keeps both speed caps; one share for both, so that the path stays the same."""
    speed, turn = length(twist[:3]), length(twist[3:])
    return min(1.0, limits.speed / max(speed, 1e-12), limits.turn_speed / max(turn, 1e-12))


def _shaped(target: Array, ramp: Ramp, dt: float, limits: Limits) -> Ramp:
    """One cycle towards `target` within acceleration and jerk."""
    return _capped(approached(ramp, target, dt, caps(limits)), ramp, dt, limits)


def _capped(ramp: Ramp, before: Ramp, dt: float, limits: Limits) -> Ramp:
    """The ramp with its speeds inside the caps: shaping in whole steps would overshoot them by a fraction of a per cent.

    Projecting onto a ball that holds the velocity before cannot make the change longer, so acceleration holds too.
    """
    twist = ramp.twist.copy()
    for part, cap in ((slice(0, 3), limits.speed), (slice(3, 6), limits.turn_speed)):
        speed = length(twist[part])
        allowed = max(cap, length(before.twist[part]))
        if speed > allowed:
            twist[part] *= allowed / speed
    return Ramp(twist, (twist - before.twist) / dt, ramp.past)


def _share(let_through: Array, wish: Array) -> float:
    """How much of the wish goes, 0 … 1: its projection on the wish.

    1 where nothing is wished, and where the tool is still faster than wished: a motion that brakes is not behind its path, and
    a clock that waited for it would leave it short.
    """
    length = float(wish @ wish)
    if length < 1e-10 or float(let_through @ let_through) >= length:
        return 1.0
    return min(1.0, max(0.0, float(let_through @ wish) / length))
