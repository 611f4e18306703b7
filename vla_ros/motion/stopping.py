"""Whether the tool can still come to rest inside the workspace, above the table, before the joints' ends and clear of the arm itself.

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
from vla_ros.motion import proximity
from vla_ros.motion.proximity import Room
from vla_ros.motion.ramp import FORECAST_STEP, Caps, Ramp, Way, way_to_rest
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
_POOR = 0.03
"""Manipulability under which joints are faster than ordinary damping says."""
_LIGHT = 1e-6
"""Damping with which the arm's parts are watched there."""
_PIECE_SHARE = 1.1
"""As `_JOINT_SHARE`, for a way that is gone in pieces."""
_SAMPLES = 4
"""Places of a forecast way at which the arm's distance from itself is looked at."""


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


@dataclass(frozen=True)
class Here:
    """The arm as it is, and what several rules ask of it.

    `joints` (7,) rad are in [-pi, pi); `points` (20, 3) m are the edges of the finger tips from the tool, in the
    base frame; `follow` (7, 6) takes a tool twist to joint rates, and `watched` does where it matters that they are not faster;
    `room` is a first look at how near the arm is to itself.
    """

    arm: ArmState
    joints: Array
    kinematics: Kinematics
    manipulability: float
    points: Array
    follow: Array
    watched: Array
    room: Room


def survey(arm: ArmState) -> Here:
    """What the rules ask of a state of the arm."""
    k, joints = kinematics.kinematics(arm.joints), kinematics.wrapped(arm.joints)
    measure, follow = k.manipulability, followed(k)
    watched = follow if measure > _POOR else followed(k, _LIGHT)
    room = proximity.room(k.frames, _JOINT_SHARE * watched)
    return Here(arm, joints, k, measure, kinematics.finger_points(arm.tool), follow, watched, room)


def followed(k: Kinematics, damping: float = 1e-4) -> Array:
    """(7, 6) that takes a tool twist to joint rates, by damped least squares as `kinematics.joint_rates`."""
    j = k.jacobian
    gram = j @ j.T
    gram[np.diag_indices(6)] += damping
    return np.asarray(np.linalg.solve(gram, j).T)


def trespass(candidate: Ramp, here: Here, dt: float, bounds: Bounds) -> Verdict | None:
    """What the arm would run into although it brakes after one cycle of `candidate`; None: nothing.

    A bound that is passed already counts from where the arm is, so that the way back in is free.
    """
    arm, limits = here.arm, bounds.limits
    reach, turned = reaches(candidate, dt, bounds)
    bent = here.manipulability - _STRETCHING * reach > limits.manipulability / 2
    joints_free = bent and float((kinematics.POSITION_LIMITS - np.abs(here.joints)).min()) > _JOINT_REACH
    apart = here.room.holds(limits.self_distance, reach, turned)
    if joints_free and apart and _far(reach, turned, arm, here.points, bounds.workspace):
        return None
    sent = _under_way(candidate, bounds.delay)
    way = way_to_rest(candidate, dt, caps(limits))
    if _leaves_box(way.places, sent, arm, bounds.workspace):
        return Verdict.WALL
    if _meets_table(way, sent, arm, here.points, bounds.workspace):
        return Verdict.FLOOR
    if not joints_free and _ends_joint(way.places, sent, here, bounds):
        return Verdict.JOINT_LIMIT
    if not apart and _meets_itself(way.places, sent, here, limits.self_distance):
        return Verdict.SELF_COLLISION
    return None if bent else _stretched(sent[-1] + way.places[-1], arm, here.kinematics, bounds)


def reaches(candidate: Ramp, dt: float, bounds: Bounds) -> tuple[float, float]:
    """No less than the tool moves (m) and turns (rad) until it is at rest: at the highest speed until full braking acts, then braking.

    Way and turn brake together, each as long as the longer of both takes.
    """
    c = caps(bounds.limits)
    rate, turn_rate = length(candidate.rate[:3]), length(candidate.rate[3:])
    swing, turn_swing = (rate + c.acceleration) / c.jerk, (turn_rate + c.turn_acceleration) / c.turn_jerk
    speed = max([length(candidate.twist[:3]), *(sent.speed for sent in candidate.past)])
    turn = max([length(candidate.twist[3:]), *(sent.turn for sent in candidate.past)])
    # what the rate adds until it has turned round, which takes its own jerk, or that of the other half where this waits for it
    speed += rate * max(rate / c.jerk, turn_swing) / 2
    turn += turn_rate * max(turn_rate / c.turn_jerk, swing) / 2
    braking = max(speed / c.acceleration, turn / c.turn_acceleration)
    seconds = _DELAY_SHARES[1] * bounds.delay + 2 * max(dt, FORECAST_STEP) + max(swing, turn_swing) + braking / 2
    return speed * seconds, turn * seconds


def _far(reach: float, turned: float, arm: ArmState, points: Array, w: Workspace) -> bool:
    """Whether walls and table are farther than any braking leads: most of the time, and quickly known."""
    position = arm.tool.position
    walls = min(float((position - w.low).min()), float((w.high - position).min()))
    air = float(position[2] + points[:, 2].min()) - w.table - w.transit_clearance
    return walls > reach and air > reach + _LEVER * turned


def length(vector: Array) -> float:
    """Euclidean norm, for few numbers faster than numpy's."""
    return math.sqrt(float(vector @ vector))


def _under_way(candidate: Ramp, delay: float) -> Array:
    """Where what was sent and is not yet felt may lead, (m, 6) m and rad from here: one row per delay that the arm may have."""
    shortest, longest = (share * delay for share in _DELAY_SHARES)
    begins, spans, twists, seconds = list[float](), list[float](), list[Array](), 0.0
    for sent in reversed(candidate.past):
        if seconds >= longest:
            break
        begins.append(seconds)
        spans.append(min(sent.seconds, longest - seconds))
        twists.append(sent.twist)
        seconds += sent.seconds
    if not twists:
        return np.zeros((1, 6))
    places = np.zeros((len(twists) + 1, 6))
    np.cumsum(np.array(twists) * np.array(spans)[:, None], axis=0, out=places[1:])
    return places[[*(i for i, begin in enumerate(begins) if begin >= shortest), -1]]


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


def _ends_joint(places: Array, sent: Array, here: Here, bounds: Bounds) -> bool:
    reserve = _JOINT_RESERVE * bounds.limits.joint_margin
    follow = _JOINT_SHARE * here.follow.T
    joints, moved, begun = here.joints, places @ follow, sent @ follow
    above = kinematics.POSITION_LIMITS - joints - begun.max(axis=0)
    below = kinematics.POSITION_LIMITS + joints + begun.min(axis=0)
    # within the reserve half of what is left may be used: where two joints are at their ends, every way back moves one a little
    over = moved.max(axis=0) > np.maximum(_left(above - reserve), above / 2)
    under = -moved.min(axis=0) > np.maximum(_left(below - reserve), below / 2)
    return bool(over.any() or under.any())


def _meets_itself(places: Array, sent: Array, here: Here, distance: float) -> bool:
    """Whether two parts come nearer than `distance` m, or than the nearest will be by what is under way.

    First by the Jacobian of here; then, where twice the approach that it foretells would be too much, with that of every piece.
    """
    follow, way = here.watched.T, places[_sampled(len(places))]
    begun = np.stack([sent[0], sent[-1], _JOINT_SHARE * sent[-1]])[:, None] @ follow
    shifts = np.concatenate([np.zeros_like(begun), begun, begun + way @ (_JOINT_SHARE * follow)], axis=1)
    distances = proximity.nearest(kinematics.link_frames(here.arm.joints + shifts)).distances
    if _too_near(distances[:, 1:], distance):
        return True
    if (2 * distances - distances[:, :1] > distance).all():
        return False
    bent = _bent_way(np.concatenate([sent[-1:], sent[-1] + way]), here)
    return _too_near(proximity.nearest(kinematics.link_frames(bent)).distances[None], distance)


def _too_near(distances: Array, least: float) -> bool:
    """Whether a way, (ways, places on it, pairs) m, leads nearer than `least`, or than the nearest pair is in its first place."""
    allowed = np.minimum(least - _TOLERANCE, distances[:, :1].min(axis=2, keepdims=True) - 1e-9)
    return bool((distances[:, 1:] < allowed).any())


def _bent_way(places: Array, here: Here) -> Array:
    """Joints (n, 7) rad at places (n, 6) on a way of the tool, gone in pieces with the Jacobian of each."""
    joints, k, found = here.arm.joints, here.kinematics, list[Array]()
    for piece in _PIECE_SHARE * np.diff(places, axis=0, prepend=0.0):
        joints = joints + followed(k, _LIGHT) @ piece
        k = kinematics.kinematics(joints)
        found.append(joints)
    return np.array(found)


def _sampled(count: int) -> Array:
    return np.linspace(0, count - 1, _SAMPLES + 1).round().astype(int)[1:]


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
