"""How near the arm is to itself: capsules around its parts, the distances between those that can meet, and where they lead.

A capsule is all that is within `radius` of a segment. Ends and radii, in the frame of the link that carries them, are fitted around
the collision shapes of Kinova's URDF (ros2_kortex, gen3 7dof with vision) and Robotiq's (ros2_robotiq_gripper, 2f_85, the fingers over
their whole stroke) and around a D435i in front of the vision module. They hold every vertex of these shapes, but for 2 mm at the foot.
The shoulder turns inside the part that it shares with the base.

Pairs left out never come nearer than 15 mm inside the joint limits, so they cannot meet.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

import numpy as np

from vla_ros import geometry
from vla_ros.geometry import Array
from vla_ros.kinematics import GRIPPER_MOUNT, LINK_POSITIONS, TOOL_OFFSET

Point = tuple[float, float, float]
_SPACING = 0.06
"""m between the spheres that stand for a capsule in a first look."""


@dataclass(frozen=True)
class Capsule:
    """Everything within `radius` m of the segment from `start` to `end`, m in the frame of link `link` (0 is the base)."""

    name: str
    link: int
    start: Point
    end: Point
    radius: float


def _on_gripper(name: str, start: Point, end: Point, radius: float) -> Capsule:
    """A capsule given in the frame of the gripper's base: it opens along y, z points away from the arm, the cameras are at +x."""
    ends = (GRIPPER_MOUNT.position + geometry.rotate(GRIPPER_MOUNT.quaternion, np.array(p)) for p in (start, end))
    (a, b, c), (x, y, z) = (point.tolist() for point in ends)
    return Capsule(name, 7, (a, b, c), (x, y, z), radius)


CAPSULES = (
    Capsule("base and shoulder", 0, (0.0, 0.0, 0.026), (0.0, 0.0, 0.288), 0.058),
    Capsule("upper arm", 2, (0.0, 0.003, -0.020), (0.0, -0.212, -0.006), 0.048),
    Capsule("upper arm to elbow", 3, (0.0, 0.0, -0.030), (0.0, -0.004, -0.2155), 0.052),
    Capsule("forearm", 4, (0.0, 0.003, -0.020), (0.0, -0.1885, -0.0065), 0.048),
    Capsule("wrist", 5, (0.0, 0.0, -0.030), (0.0, -0.013, -0.106), 0.0435),
    Capsule("wrist bend", 6, (0.0, -0.001, -0.020), (0.0, -0.1015, 0.0), 0.0395),
    Capsule("hand", 7, (0.0, 0.0, -0.023), (0.0, 0.0, -0.112), 0.0435),
    _on_gripper("cameras", (0.0687, -0.0295, -0.0048), (0.0687, 0.0295, -0.0048), 0.033),
    _on_gripper("left finger", (0.0, 0.0415, 0.0737), (0.0, 0.0305, 0.1377), 0.041),
    _on_gripper("right finger", (0.0, -0.0415, 0.0737), (0.0, -0.0305, 0.1377), 0.041),
)
"""The Gen3 with its vision module, a 2F-85 and a D435i in front of that module."""
_HAND = ("hand", "cameras", "left finger", "right finger")
PAIRS = (
    *product(("base and shoulder",), ("wrist", "wrist bend", *_HAND)),
    *product(("upper arm",), ("wrist bend", *_HAND)),
    *product(("upper arm to elbow",), _HAND),
)
"""Names of the parts that can meet, the one nearer to the base first."""

_INDEX = {capsule.name: i for i, capsule in enumerate(CAPSULES)}
_LINKS = np.array([c.link for c in CAPSULES])
_SEGMENTS: Array = np.array([[c.start, c.end] for c in CAPSULES])
_RADII: Array = np.array([c.radius for c in CAPSULES])
_FIRST, _SECOND = np.array([[_INDEX[a], _INDEX[b]] for a, b in PAIRS]).T
_PAIR_RADII: Array = _RADII[_FIRST] + _RADII[_SECOND]
_BETWEEN = (np.arange(1, 8) > _LINKS[_FIRST][:, None]) & (np.arange(1, 8) <= _LINKS[_SECOND][:, None])
"""(pairs, 7): whether a joint is between the two parts of a pair."""


@dataclass(frozen=True)
class Nearest:
    """Of each pair: distance between the surfaces (…, n) m, and the nearest points of the two segments (…, n, 3) in the base frame."""

    distances: Array
    first: Array
    second: Array


def nearest(frames: Array) -> Nearest:
    """Of each pair of `PAIRS`, at the link frames (…, 8, 4, 4) of `kinematics.link_frames`; overlap is a distance below 0."""
    carriers = frames[..., _LINKS, :, :]
    ends = _SEGMENTS @ np.swapaxes(carriers[..., :3, :3], -1, -2) + carriers[..., None, :3, 3]
    first, second = ends[..., _FIRST, :, :], ends[..., _SECOND, :, :]
    p, q = closest_points(first[..., 0, :], first[..., 1, :], second[..., 0, :], second[..., 1, :])
    return Nearest(np.linalg.norm(q - p, axis=-1) - _PAIR_RADII, p, q)


def closest_points(p1: Array, q1: Array, p2: Array, q2: Array) -> tuple[Array, Array]:
    """The points (…, 3) of the segments p1-q1 and p2-q2 that are nearest to each other; neither may be of length zero.

    Ericson, Real-Time Collision Detection (2005), section 5.1.9.
    """
    d1, d2, r = q1 - p1, q2 - p2, p1 - p2
    a, e, b = _dot(d1, d1), _dot(d2, d2), _dot(d1, d2)
    c, f = _dot(d1, r), _dot(d2, r)
    across = a * e - b * b
    parallel = across <= 1e-12 * a * e  # then any place on the first will do
    s = np.where(parallel, 0.0, np.clip((b * f - c * e) / np.where(parallel, 1.0, across), 0.0, 1.0))
    t = np.clip((b * s + f) / e, 0.0, 1.0)
    s = np.clip((b * t - c) / a, 0.0, 1.0)
    return p1 + s[..., None] * d1, p2 + t[..., None] * d2


def _dot(a: Array, b: Array) -> Array:
    return np.asarray((a * b).sum(axis=-1))


def gradients(near: Nearest, frames: Array) -> Array:
    """How the distance of each pair changes with the joints, (n, 7) m/rad, at one pose of the arm.

    Only joints between the two parts count: those before move both. The nearest points may be taken as fixed to their parts, since
    where they are is the minimum. Where segments cross there is no direction apart, and the gradient is 0.
    """
    apart = near.second - near.first
    away = apart / np.maximum(np.linalg.norm(apart, axis=-1), 1e-9)[..., None]
    axes, origins = frames[1:, :3, 2], frames[1:, :3, 3]
    swept = np.cross(axes, near.second[:, None, :] - origins)
    return np.asarray((swept * away[:, None, :]).sum(axis=-1) * _BETWEEN)


# The first look: every capsule as spheres along its segment, which hold it, so that their distances are no more than the capsules'.


@dataclass(frozen=True)
class Room:
    """What each pair has left: its distance is not less than `gaps` (n,) m, and shrinks by no more than `gains` (n, 2) says:

    m for each metre that the tool goes and for each radian that it turns.
    """

    gaps: Array
    gains: Array

    def holds(self, distance: float, reach: float, turned: float) -> bool:
        """Whether no pair can come nearer than `distance` m while the tool goes `reach` m and turns `turned` rad."""
        return bool((self.gaps - self.gains @ np.array([reach, turned]) > distance).all())


def room(frames: Array, follow: Array) -> Room:
    """The first look at the link frames (8, 4, 4), for joints that move by `follow` (7, 6) times the way of the tool.

    The hand moves with the tool. The upper arm turns about the shoulder by joints 1 and 2, which move the elbow at right angles.
    """
    apart = frames[:, :3].transpose(1, 0, 2).reshape(3, 32) @ _APART
    clear = np.sqrt((apart * apart).sum(axis=0)) - _SPHERE_RADII
    return Room(np.minimum.reduceat(clear, _STARTS), _WITH_ELBOW * _elbow(frames, follow) + _WITH_TOOL)


def _elbow(frames: Array, follow: Array) -> tuple[float, float]:
    """How far the elbow moves at most: m for each metre that the tool goes and for each radian that it turns."""
    x, y = frames[4, :2, 3].tolist()
    lever = math.hypot(x, y) + _ELBOW_WIDTH
    (a, b, c, d, e, f), (g, h, i, j, k, m) = follow[:2].tolist()
    swing, lift = lever * lever, _UPPER_ARM * _UPPER_ARM
    way = swing * (a * a + b * b + c * c) + lift * (g * g + h * h + i * i)
    turn = swing * (d * d + e * e + f * f) + lift * (j * j + k * k + m * m)
    return math.sqrt(way), math.sqrt(turn)


_AXES = {5: (0.0, 0.0, 1.0), 6: (0.0, 1.0, 0.0)}
"""The part of a place in links 5 and 6 that is on the axis about which joint 5 or joint 7 spins them."""


def _spheres(capsule: Capsule) -> tuple[Array, float]:
    """Centres (n, 3) of equal spheres that hold a capsule, in its link's frame, and their radius.

    Links 5 and 6 are held at any angle of joints 5 and 7, which turn faster than the tool: their spheres sit on the axis.
    """
    ends = np.array([capsule.start, capsule.end])
    on_axis = ends * np.array(_AXES.get(capsule.link, (1.0, 1.0, 1.0)))
    length = float(np.linalg.norm(on_axis[1] - on_axis[0]))
    count = math.ceil(length / _SPACING)
    shares = (np.arange(count) + 0.5) / count
    bulge = length / count / 2 + float(np.linalg.norm(ends - on_axis, axis=1).max())
    return on_axis[0] + shares[:, None] * (on_axis[1] - on_axis[0]), capsule.radius + bulge


_SPHERES = {capsule.name: _spheres(capsule) for capsule in CAPSULES}


def _placed(name: str) -> Array:
    """(32, n) that takes the link frames, as (3, 8·4), to where the spheres of a part are in the base frame, (3, n)."""
    centres, _ = _SPHERES[name]
    placed = np.zeros((8, 4, len(centres)))
    placed[CAPSULES[_INDEX[name]].link] = np.vstack([centres.T, np.ones(len(centres))])
    return placed.reshape(32, len(centres))


def _differences(first: str, second: str) -> Array:
    """(32, n·m) that takes the link frames to the ways from every sphere of the one part to every sphere of the other."""
    one, other = _placed(first), _placed(second)
    return (other[:, None, :] - one[:, :, None]).reshape(32, -1)


_MEETINGS = [_differences(*pair) for pair in PAIRS]
_COUNTS = [meeting.shape[1] for meeting in _MEETINGS]
_APART: Array = np.concatenate(_MEETINGS, axis=1)
_STARTS = np.cumsum([0, *_COUNTS[:-1]])
_SPHERE_RADII: Array = np.repeat([_SPHERES[a][1] + _SPHERES[b][1] for a, b in PAIRS], _COUNTS)

_UPPER_ARM = 0.43
"""m from the shoulder to the farthest end of the upper arm."""
_ELBOW_WIDTH = 0.03
"""m by which the elbow may be farther from the axis of joint 1 than its frame is, or come to be on the way."""
_ELBOW_SHARES = {"upper arm": 0.5, "upper arm to elbow": 1.0, "wrist": 1.0}
"""How far a part moves at most with the elbow; the wrist is on the line from the elbow to the hand."""
_TOOL: Array = GRIPPER_MOUNT.position + geometry.rotate(GRIPPER_MOUNT.quaternion, np.array([0.0, 0.0, TOOL_OFFSET]))
_WRIST: Array = np.array([0.0, 0.0, -LINK_POSITIONS[6][1]])
"""Where joint 6 bends, in link 7."""


def _with_tool(capsule: Capsule) -> Array:
    """How far the segment moves at most with the tool: m for each metre, and for each radian (the distance from the tool point)."""
    if capsule.link < 5:
        return np.zeros(2)
    farthest = [capsule.start, capsule.end] if capsule.link == 7 else [_WRIST]
    return np.array([1.0, np.linalg.norm(np.array(farthest) - _TOOL, axis=1).max()])


_WITH_ELBOW: Array = np.array([[sum(_ELBOW_SHARES.get(name, 0.0) for name in pair)] for pair in PAIRS])
_WITH_TOOL: Array = np.array([sum(_with_tool(CAPSULES[_INDEX[name]]) for name in pair) for pair in PAIRS])
