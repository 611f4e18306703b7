"""What a fault did to the motion, measured: when braking began, how far the tool went on, and which limits were passed.

Two records are measured, and neither comes from the code that is judged: what the servo commanded, cycle by cycle, and what the arm
did in the physics. SI units; stamps ns of one clock; poses in the base frame.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from vla_ros import kinematics
from vla_ros.clock import SECOND
from vla_ros.config import Config
from vla_ros.config.schema import Limits
from vla_ros.geometry import Array, Pose
from vla_ros.values import Mode, Verdict

Stamps = NDArray[np.int64]

COMMAND_TOLERANCE = 1e-6
"""Share and amount (SI) by which a command may pass a cap: rounding, no more."""
PLACE_TOLERANCE = 0.001
"""m by which the arm may pass a wall or a clearance: the bounds are held to 1 mm (`vla_ros.motion.stopping`)."""
SPEED_TOLERANCE = 0.010
"""m/s by which the arm may be faster than a cap: its servos overshoot what they are told."""
PUSHED, PUSHED_FOR = 5.0, SECOND // 10
"""N on the tool, and ns around them, in which what it is pushed against moves it as well: a tool that slips off a cube springs."""
SPEED_TOLERANCE_PUSHED = 0.090
"""m/s more that are allowed then: with the cap of 0.15 m/s no more than the 0.25 m/s of reduced speed (ISO 10218-1)."""
JOINT_TOLERANCE = 0.05
"""rad/s by which a joint may be faster than it is allowed to be near its end."""
AT_REST = 0.002
"""m/s below which the tool counts as standing."""
_FALL = 1e-6
"""m/s by which a commanded speed falls at least from cycle to cycle where it counts as falling."""
_HIGH, _LOW = 0.085, 0.045
"""Tool heights, m: above the first the tool travels, below the second the fingers are beside a cube."""
_UNDER_WAY = 0.05
"""m/s from which a tool counts as travelling."""


class Phase(Enum):
    """Parts of a pick."""

    APPROACH = "approach"
    DESCEND = "descend"
    CLOSE = "close"
    LIFT = "lift"


def phase(height: float, speed: float, gripper_command: float) -> Phase | None:
    """The phase of a pick by the tool's height (m), its speed (m/s) and what the gripper was told; None between two phases."""
    if gripper_command > 0.5:
        return Phase.CLOSE if height < _LOW else Phase.LIFT if speed > _UNDER_WAY / 2 else None
    if height > _HIGH:
        return Phase.APPROACH if speed > _UNDER_WAY else None
    return Phase.DESCEND if speed > _UNDER_WAY / 4 else None


@dataclass(frozen=True)
class Commands:
    """What the servo commanded: stamps (n,), twists (n, 6), the count of each cycle (n,), and modes and verdicts."""

    stamps: Stamps
    twists: Array
    cycles: Stamps
    modes: tuple[Mode, ...]
    verdicts: tuple[Verdict, ...]

    def __len__(self) -> int:
        """Number of cycles."""
        return len(self.stamps)

    @property
    def speeds(self) -> Array:
        """Commanded tool speed (n,), m/s."""
        return np.asarray(np.linalg.norm(self.twists[:, :3], axis=1))

    def since(self, moment: int, until: int | None = None) -> Commands:
        """The cycles of [moment, until)."""
        first, last = np.searchsorted(self.stamps, [moment, until if until is not None else np.iinfo(np.int64).max])
        part = slice(int(first), int(last))
        return Commands(self.stamps[part], self.twists[part], self.cycles[part], self.modes[part], self.verdicts[part])


@dataclass(frozen=True)
class Motion:
    """What the arm did: stamps (m,), joints and joint velocities (m, 7) rad and rad/s; of its tool positions (m, 3) m, quaternions

    (m, 4) xyzw and the size of the force on it (m,) N.
    """

    stamps: Stamps
    joints: Array
    velocities: Array
    positions: Array
    quaternions: Array
    forces: Array

    def __len__(self) -> int:
        """Number of states."""
        return len(self.stamps)

    def since(self, moment: int, until: int | None = None) -> Motion:
        """The states of [moment, until)."""
        first, last = np.searchsorted(self.stamps, [moment, until if until is not None else np.iinfo(np.int64).max])
        part = slice(int(first), int(last))
        return Motion(*(getattr(self, field.name)[part] for field in fields(self)))

    def last(self) -> Motion:
        """The last state alone."""
        return self.since(int(self.stamps[-1])) if len(self) else self

    def twists(self) -> Array:
        """Tool twists (m, 6) m/s and rad/s that the joints' velocities make."""
        pairs = zip(self.joints, self.velocities, strict=True)
        return np.array([kinematics.kinematics(q).jacobian @ v for q, v in pairs]).reshape(-1, 6)


@dataclass(frozen=True)
class Violation:
    """A limit that was passed: which, at what moment (ns) by the most, by which value, and what the bound was."""

    limit: str
    moment: int
    value: float
    bound: float

    def __str__(self) -> str:
        return f"{self.limit}: {self.value:.4g} instead of {self.bound:.4g}"


@dataclass(frozen=True)
class Measured:
    """What followed a fault.

    began: moment (ns) from which the servo braked, None where it did not; left: moment at which the mode was not ACTIVE any more, None
    where it stayed so; mode and verdict: those of that cycle, or of the last one; distance (m) of the tool and its largest speed (m/s)
    from the cause until rest, or until motion was allowed again; at_rest: whether the tool stood at the end, where it was not.
    """

    began: int | None
    left: int | None
    mode: Mode
    verdict: Verdict
    distance: float
    top_speed: float
    at_rest: bool = True


def measure(commands: Commands, motion: Motion, cause: int) -> Measured:
    """What followed the fault at `cause`. Raises ValueError where no cycle of the servo lies behind it."""
    after = commands.since(cause)
    if not len(after):
        raise ValueError("no cycle of the servo behind the cause")
    index, left = braking_index(after), _left(after)
    again = _again(after, left)
    moved, told = motion.since(cause, again), -1 if left is None else left
    return Measured(
        None if index is None else int(after.stamps[index]),
        None if left is None else int(after.stamps[left]),
        after.modes[told],
        after.verdicts[told],
        *travelled(moved),
        left is None or again is not None or travelled(moved.last())[1] < 2 * AT_REST,
    )


def _left(commands: Commands) -> int | None:
    """The first cycle that is not ACTIVE."""
    return next((i for i, mode in enumerate(commands.modes) if mode is not Mode.ACTIVE), None)


def braking_index(commands: Commands) -> int | None:
    """The first cycle that is not ACTIVE any more, or from which on the commanded speed only falls, to rest; None: it never brakes.

    Only motion counts: where the speed is zero from the first cycle on and ACTIVE stays, nothing brakes.
    """
    left = _left(commands)
    falling = _falling(commands.speeds if left is None else commands.speeds[: left + 1], rests=left is None)
    found = [index for index in (left, falling) if index is not None]
    return min(found, default=None)


def _falling(speeds: Array, rests: bool) -> int | None:
    """Where the fall begins that the speeds end with; with `rests` it must end at rest."""
    moving = int(np.flatnonzero(speeds > AT_REST)[-1]) + 1 if (speeds > AT_REST).any() else 0
    if moving < 2 or (rests and moving == len(speeds)):
        return None
    kept = np.flatnonzero(np.diff(speeds[:moving]) > -_FALL)
    first = int(kept[-1]) + 1 if len(kept) else 0
    return first if first < moving - 1 else None


def _again(commands: Commands, left: int | None) -> int | None:
    """The moment (ns) at which motion was allowed again after it had not been; None where it was not."""
    if left is None:
        return None
    again = (i for i in range(left, len(commands)) if commands.modes[i] is Mode.ACTIVE)
    return next((int(commands.stamps[i]) for i in again), None)


def travelled(motion: Motion) -> tuple[float, float]:
    """Length of the tool's path, m, and its largest speed, m/s."""
    if not len(motion):
        return 0.0, 0.0
    length = np.linalg.norm(np.diff(motion.positions, axis=0), axis=1).sum()
    return float(length), float(np.linalg.norm(motion.twists()[:, :3], axis=1).max())


def violations(commands: Commands, motion: Motion, config: Config) -> list[Violation]:
    """Every limit that was passed, each by its worst; empty: none was."""
    found = [*command_violations(commands, config), *motion_violations(motion, config)]
    worst: dict[str, Violation] = {}
    for violation in found:
        before = worst.get(violation.limit)
        if before is None or abs(violation.value - violation.bound) > abs(before.value - before.bound):
            worst[violation.limit] = violation
    return list(worst.values())


def command_violations(commands: Commands, config: Config) -> Iterator[Violation]:
    """Caps of speed, acceleration and jerk that a command passed, way and turn apart.

    A Stop has harder caps of its own. A cycle after a silence of the servo, or after one that was not seen, has no predecessor.
    """
    if not len(commands):
        return
    limits = config.limits
    stopped = np.array([mode is Mode.STOPPED for mode in commands.modes])
    for name, part, caps in (
        ("commanded", slice(0, 3), _caps(limits, "")),
        ("commanded turning", slice(3, 6), _caps(limits, "turn_")),
    ):
        values = commands.twists[:, part]
        yield from _above(f"{name} speed", commands.stamps, np.linalg.norm(values, axis=1), caps[0])
        seconds, joined = _periods(commands, config)
        rates = np.diff(values, axis=0) / seconds[:, None]
        hard, known = stopped[1:], np.flatnonzero(joined)
        sizes = np.linalg.norm(rates, axis=1)
        bounds = np.where(hard, caps[1] * limits.stop_acceleration / limits.acceleration, caps[1])
        yield from _above(f"{name} acceleration", commands.stamps[1:][known], sizes[known], bounds[known])
        jerks = np.linalg.norm(np.diff(rates, axis=0), axis=1) / seconds[1:]
        known = np.flatnonzero(joined[1:] & joined[:-1])
        bounds = np.where(hard[1:], caps[2] * limits.stop_jerk / limits.jerk, caps[2])
        yield from _above(f"{name} jerk", commands.stamps[2:][known], jerks[known], bounds[known])


def _caps(limits: Limits, kind: str) -> tuple[float, float, float]:
    return (
        getattr(limits, f"{kind}speed"),
        getattr(limits, f"{kind}acceleration"),
        getattr(limits, f"{kind}jerk"),
    )


def _periods(commands: Commands, config: Config) -> tuple[Array, NDArray[np.bool_]]:
    """Seconds that each cycle but the first reckoned with, two periods at most as the servo does, and whether it has a predecessor."""
    elapsed = np.diff(commands.stamps) / SECOND
    joined = (np.diff(commands.cycles) == 1) & (elapsed <= config.deadlines.servo_silent)
    return np.clip(elapsed, 1e-9, 2 / config.servo.rate), joined


def motion_violations(motion: Motion, config: Config) -> Iterator[Violation]:
    """Walls, table, joints and speeds that the arm itself passed, within the stated tolerances."""
    if not len(motion):
        return
    stamps, twists, workspace = motion.stamps, motion.twists(), config.workspace
    speeds = np.linalg.norm(twists[:, :3], axis=1)
    tolerance: Array = SPEED_TOLERANCE + SPEED_TOLERANCE_PUSHED * _pushed(motion).astype(float)
    yield from _above("tool speed", stamps, speeds, config.limits.speed + tolerance)
    outside = np.maximum(motion.positions - np.array(workspace.high), np.array(workspace.low) - motion.positions)
    yield from _above("outside the workspace box by, m", stamps, outside.max(axis=1), PLACE_TOLERANCE)
    poses = zip(motion.positions, motion.quaternions, strict=True)
    air = np.array([kinematics.finger_bottom(Pose(p, q)) for p, q in poses]) - workspace.table
    yield from _below("finger clearance, m", stamps, air, workspace.grasp_clearance - PLACE_TOLERANCE)
    low = np.flatnonzero(air < workspace.transit_clearance - PLACE_TOLERANCE)
    downward = np.minimum(twists[:, 2], 0.0)  # the way up is free
    near = np.sqrt(twists[:, 0] ** 2 + twists[:, 1] ** 2 + downward**2)
    yield from _above("speed near the table", stamps[low], near[low], workspace.grasp_speed + tolerance[low])
    yield from _joint_violations(motion, config)


def _pushed(motion: Motion) -> NDArray[np.bool_]:
    """Where something pushes against the tool, has just done so, or soon will (m,)."""
    moments = motion.stamps[motion.forces > PUSHED]
    if not len(moments):
        return np.zeros(len(motion), bool)
    after = np.searchsorted(moments, motion.stamps).clip(0, len(moments) - 1)
    before = (np.searchsorted(moments, motion.stamps, side="right") - 1).clip(0)
    nearest = np.minimum(np.abs(moments[after] - motion.stamps), np.abs(motion.stamps - moments[before]))
    return np.asarray(nearest <= PUSHED_FOR)


def _joint_violations(motion: Motion, config: Config) -> Iterator[Violation]:
    joints = kinematics.wrapped(motion.joints)
    room = kinematics.POSITION_LIMITS - np.abs(joints)
    yield from _below("joint limit, rad of room", motion.stamps, room.min(axis=1), 0.0)
    fast = (np.abs(motion.velocities) / kinematics.VELOCITY_LIMITS).max(axis=1)
    yield from _above("share of a joint's speed limit", motion.stamps, fast, 1.0)
    outwards = motion.velocities * np.sign(joints)
    allowed = np.where(room < config.limits.joint_margin, np.maximum(room, 0.0), np.inf)
    passed = (outwards - allowed).max(axis=1)
    yield from _above("joint within its margin, rad/s too fast", motion.stamps, passed, JOINT_TOLERANCE)


def _above(limit: str, stamps: Stamps, values: Array, bounds: Array | float) -> Iterator[Violation]:
    """The value that is above its bound by the most, if one is."""
    if not len(values):
        return
    bound = np.broadcast_to(bounds, values.shape)
    # a value that is no number passes every comparison, and must not pass here
    excess = np.where(np.isnan(values), np.inf, values - bound - COMMAND_TOLERANCE * (1 + np.abs(bound)))
    worst = int(np.argmax(excess))
    if excess[worst] > 0:
        yield Violation(limit, int(stamps[worst]), float(values[worst]), float(bound[worst]))


def _below(limit: str, stamps: Stamps, values: Array, bound: float) -> Iterator[Violation]:
    for violation in _above(limit, stamps, -values, -bound):
        yield Violation(limit, violation.moment, -violation.value, -violation.bound)


def join_commands(parts: Sequence[Commands]) -> Commands:
    """Several records, one after the other."""
    return Commands(
        np.concatenate([p.stamps for p in parts]),
        np.concatenate([p.twists for p in parts]),
        np.concatenate([p.cycles for p in parts]),
        tuple(mode for p in parts for mode in p.modes),
        tuple(verdict for p in parts for verdict in p.verdicts),
    )


def join_motions(parts: Sequence[Motion]) -> Motion:
    """Several records, one after the other."""
    return Motion(*(np.concatenate([getattr(p, field.name) for p in parts]) for field in fields(Motion)))
