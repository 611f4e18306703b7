"""Whether the tool can still come to rest inside the workspace, above the table and before the joints' ends.

The governor's rules bound what is wished; acceleration and jerk decide what becomes of it. So every cycle is asked: if the arm
brakes from the next cycle on, where does it get to? A motion after which braking would no longer do is not begun. Braking from an
allowed motion stays allowed, so the answer holds from cycle to cycle.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from vla_ros import kinematics
from vla_ros.config.schema import Limits, Workspace
from vla_ros.geometry import Array
from vla_ros.kinematics import Kinematics
from vla_ros.motion.ramp import Caps, Ramp, Way, way_to_rest
from vla_ros.values import ArmState, Verdict

_TOLERANCE = 0.0002
"""m or rad by which a forecast may pass a bound: the bounds are held to 1 mm."""
_DELAY_SHARES = (0.5, 1.5)
"""The arm's delay may be anything between these shares of the configured one."""
_JOINT_SHARE = 1.25
_JOINT_RESERVE = 0.25
"""A forecast of the joints takes the Jacobian of here, which changes on the way: so much longer a way is reckoned with, and this
share of the joint margin is left over."""
_JOINT_REACH = 0.6
"""rad that no joint moves while the tool brakes."""
_STRETCHING = 1.2
"""1/m by which the measure of manipulability falls at most on the tool's way to where the elbow is straight."""
_LEVER = 0.056
"""m from the tool point to the farthest edge of a finger tip."""


@dataclass(frozen=True)
class Bounds:
    """The limits of a robot and its cell, and the arm's delay (s) from a command to its motion."""

    limits: Limits
    workspace: Workspace
    delay: float


def caps(limits: Limits) -> Caps:
    """Caps of ordinary motion."""
    return Caps(
        limits.acceleration, limits.jerk, limits.turn_acceleration, limits.turn_jerk, limits.speed, limits.turn_speed
    )


def trespass(candidate: Ramp, arm: ArmState, k: Kinematics, dt: float, bounds: Bounds) -> Verdict | None:
    """What the arm would run into although it brakes after one cycle of `candidate`; None: nothing.

    A bound that is passed already counts from where the arm is, so that the way back in is free.
    """
    points = kinematics.finger_points(arm.tool)
    reach, turned = _reaches(candidate, dt, bounds)
    bent = k.manipulability - _STRETCHING * reach > bounds.limits.manipulability / 2
    room = kinematics.POSITION_LIMITS - np.abs(kinematics.wrapped(arm.joints))
    free = bent and float(room.min()) > _JOINT_REACH
    if free and _far(reach, turned, arm, points, bounds.workspace):
        return None
    sent = _under_way(candidate, bounds.delay)
    way = way_to_rest(candidate, dt, caps(bounds.limits))
    if _leaves_box(way.places, sent, arm, bounds.workspace):
        return Verdict.WALL
    if _meets_table(way, sent, arm, points, bounds.workspace):
        return Verdict.FLOOR
    if not free and _ends_joint(way.places, sent, arm, k, bounds):
        return Verdict.JOINT_LIMIT
    return None if bent else _stretched(sent[-1] + way.places[-1], arm, k, bounds)


def _reaches(candidate: Ramp, dt: float, bounds: Bounds) -> tuple[float, float]:
    """No less than the tool moves (m) and turns (rad) until it is at rest."""
    c = caps(bounds.limits)
    speed = max([length(candidate.twist[:3]), *(sent.speed for sent in candidate.past)])
    turn = max([length(candidate.twist[3:]), *(sent.turn for sent in candidate.past)])
    late = _DELAY_SHARES[1] * bounds.delay + 2 * dt
    reach = _reach(speed, length(candidate.rate[:3]), late, c.acceleration, c.jerk)
    return reach, _reach(turn, length(candidate.rate[3:]), late, c.turn_acceleration, c.turn_jerk)


def _far(reach: float, turned: float, arm: ArmState, points: Array, w: Workspace) -> bool:
    """Whether walls and table are farther than any braking leads: most of the time, and quickly known."""
    position = arm.tool.position
    walls = min(float((position - w.low).min()), float((w.high - position).min()))
    air = float(position[2] + points[:, 2].min()) - w.table - w.transit_clearance
    return walls > reach and air > reach + _LEVER * turned


def length(vector: Array) -> float:
    """Euclidean norm, for few numbers faster than numpy's."""
    return math.sqrt(float(vector @ vector))


def _reach(speed: float, rate: float, late: float, acceleration: float, jerk: float) -> float:
    """No less than the way to rest: at the highest speed until full braking acts, and braking from there."""
    speed = speed + rate * rate / (2 * jerk)
    return speed * (late + 2 * acceleration / jerk) + speed * speed / (2 * acceleration)


def _under_way(candidate: Ramp, delay: float) -> Array:
    """Where what was sent and is not yet felt may lead, (m, 6) m and rad from here: one row per delay that the arm may have."""
    shortest, longest = (share * delay for share in _DELAY_SHARES)
    seconds, places = 0.0, []
    place: Array = np.zeros(6)
    for duration, twist, _, _ in reversed(candidate.past):
        if seconds >= shortest:
            places.append(place)
        place = place + min(duration, longest - seconds) * twist
        seconds += duration
        if seconds >= longest:
            break
    return np.stack([*places, place])


def _leaves_box(places: Array, sent: Array, arm: ArmState, workspace: Workspace) -> bool:
    position = arm.tool.position
    above = np.array(workspace.high) - position - sent[:, :3].max(axis=0)
    below = position - np.array(workspace.low) + sent[:, :3].min(axis=0)
    over = places[:, :3].max(axis=0) > _left(above)
    under = -places[:, :3].min(axis=0) > _left(below)
    return bool(over.any() or under.any())


def _meets_table(way: Way, sent: Array, arm: ArmState, points: Array, workspace: Workspace) -> bool:
    """Whether a finger tip gets under the grasp clearance, or under the transit clearance faster than is allowed there."""
    lever = np.stack(
        [np.ones(len(points)), points[:, 1], -points[:, 0]]
    )  # height of each point by z, turn about x and about y
    now = float(arm.tool.position[2]) + points[:, 2] - workspace.table + (sent[:, 2:5] @ lever).min(axis=0)
    shift = way.places[:, 2:5] @ lever
    if (-shift > _left(now - workspace.grasp_clearance)).any():
        return True
    fast = low_speed(way.twists) > workspace.grasp_speed * 1.001
    return bool((now + shift[fast] < workspace.transit_clearance - _TOLERANCE).any())


def _left(room: Array) -> Array:
    """How far a way may lead where `room` is left: none where the bound is passed already, but for rounding."""
    return np.maximum(room + _TOLERANCE, 1e-9)


def low_speed(twists: Array) -> Array:
    """Speed (n,) m/s of twists (n, 6) that counts near the table: sideways and down; up is the way out."""
    linear = twists[:, :3].copy()
    np.minimum(linear[:, 2], 0.0, out=linear[:, 2])
    return np.asarray(np.sqrt((linear * linear).sum(axis=1)))


def _ends_joint(places: Array, sent: Array, arm: ArmState, k: Kinematics, bounds: Bounds) -> bool:
    reserve = _JOINT_RESERVE * bounds.limits.joint_margin
    j = k.jacobian
    gram = j @ j.T
    gram[np.diag_indices(6)] += 1e-4
    follow = _JOINT_SHARE * np.linalg.solve(gram, j)
    joints, moved, begun = kinematics.wrapped(arm.joints), places @ follow, sent @ follow
    above = kinematics.POSITION_LIMITS - joints - begun.max(axis=0)
    below = kinematics.POSITION_LIMITS + joints + begun.min(axis=0)
    # within the reserve half of what is left may be used: where two joints are at their ends, every way back moves one a little
    over = moved.max(axis=0) > np.maximum(_left(above - reserve), above / 2)
    under = -moved.min(axis=0) > np.maximum(_left(below - reserve), below / 2)
    return bool(over.any() or under.any())


def _stretched(shift: Array, arm: ArmState, k: Kinematics, bounds: Bounds) -> Verdict | None:
    """Whether the way to rest, `shift` (6,), leads to where the arm can hardly move: under half of `limits.manipulability`.

    There the Jacobian changes fast: the way is gone in pieces with the Jacobian of each.
    """
    joints, pieces, shift = arm.joints, 4, _JOINT_SHARE * shift
    straight = kinematics.kinematics(joints + kinematics.joint_rates(k, joints, shift))
    if straight.manipulability > bounds.limits.manipulability:
        return None  # far from it even by the Jacobian of here
    poor = min(k.manipulability, bounds.limits.manipulability / 2)
    for _ in range(pieces):
        joints = joints + kinematics.joint_rates(k, joints, shift / pieces)
        k = kinematics.kinematics(joints)
        if k.manipulability < poor:
            return Verdict.MANIPULABILITY
    return None
