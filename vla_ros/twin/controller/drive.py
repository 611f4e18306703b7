"""The motion of a controller that is met by Kortex: orders in, joint targets and a finger target out. Time is an argument.

Twist and joint speeds are taken up every 25 ms (Kortex documentation) and go on until zero, Stop or a time-out; `duration` is not
implemented by the vendor (Base.proto) and not played. A reach comes to rest first, then follows a trajectory in joint space: what
the arm's own controller makes of its way is not known. Zones bound the configured tool point alone, not the arm behind it.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

import numpy as np

from vla_ros import geometry, kinematics
from vla_ros.config.schema import Config
from vla_ros.geometry import Array
from vla_ros.twin import gripper as mechanism
from vla_ros.twin.controller import limits, motion, orders, trajectory, zones
from vla_ros.twin.controller.settings import Settings
from vla_ros.twin.controller.twists import shifted
from vla_ros.twin.kortex.codes import (
    ActionEvent,
    CartesianReferenceFrame,
    ControlMode,
    ProtectionZoneEvent,
    SubErrorCodes,
)

PACE = 4.0
"""How fast a trajectory's own clock starts and halts when it is paused, 1/s."""
BRAKING: Array = limits.HARD.accelerations
"""How joints brake when there is nothing to follow, rad/s²."""
_SAMPLES = 60
_FRAME = CartesianReferenceFrame


class Drive(motion.Controller):
    """The state between two physics steps. `settings` gives the newest, `report` takes what happened to actions and zones."""

    def __init__(
        self,
        config: Config,
        joints: Array,
        now: int,
        settings: Callable[[], Settings],
        report: Callable[[orders.Report], None],
    ) -> None:
        super().__init__(config, joints, now)
        self.goal: orders.Twist | orders.JointSpeeds | trajectory.Trajectory = orders.REST
        self.measured_grip = 0.0
        self._settings, self._report = settings, report
        self._cancelled = config.twin.gripper_cancelled
        self._next_goal: orders.Twist | orders.JointSpeeds | None = None
        self._reach: orders.Reach | None = None
        self._elapsed, self._pace, self._paused = 0.0, 0.0, False
        self._ways: list[tuple[int, int, orders.Order]] = []  # what is on its way: when it arrives, a number, the order
        self._numbers = itertools.count()
        self._near: frozenset[int] = frozenset()

    @property
    def resting(self) -> bool:
        """Whether the arm is commanded to rest, is there, and nothing else was ordered."""
        busy = self._ways or self._next_goal is not None or self._reach is not None
        return not busy and not self.rates.any() and not self._wants_motion()

    @property
    def playing(self) -> bool:
        """Whether an action moves the arm, or waits to."""
        return self._reach is not None

    def _wants_motion(self) -> bool:
        goal = self.goal
        if isinstance(goal, orders.Twist):
            return bool(goal.velocity.any())
        return isinstance(goal, trajectory.Trajectory) or bool(goal.rates.any())

    def order(self, now: int, order: orders.Order) -> None:
        """An order was sent at `now`; it arrives at once, or as late as configured. A stop overtakes the others."""
        if isinstance(order, orders.Stop):
            self.stop(order.reason)
        elif isinstance(order, orders.Grip):
            heapq.heappush(self._ways, (now + self._delay + self._gripper_delay, next(self._numbers), order))
        else:
            heapq.heappush(self._ways, (now + self._delay, next(self._numbers), order))

    def stop(self, reason: SubErrorCodes = SubErrorCodes.CONTROL_MANUAL_STOP) -> None:
        """Want rest, and forget what was not taken up; the running action is over, the fingers go on."""
        self._ways = [way for way in self._ways if isinstance(way[2], orders.Grip)]
        heapq.heapify(self._ways)
        self._rest(reason)

    def _rest(self, reason: SubErrorCodes = SubErrorCodes.CONTROL_MANUAL_STOP) -> None:
        self._next_goal = None
        self._end_action(ActionEvent.ACTION_ABORT, reason)
        if isinstance(self.goal, orders.Twist):
            self.goal = orders.Twist(orders.BASE, np.zeros(6))
        else:
            self.goal = orders.REST

    def _end_action(self, event: ActionEvent, details: SubErrorCodes = SubErrorCodes.SUB_ERROR_NONE) -> None:
        if self._reach is not None:
            self._report(orders.ActionReport(self._reach.action, event, details))
            self._reach, self._paused = None, False

    def _receive(self, now: int) -> None:
        while self._ways and self._ways[0][0] <= now:
            self._arrived(heapq.heappop(self._ways)[2])

    def _arrived(self, order: orders.Order) -> None:
        if isinstance(order, orders.Grip):
            self.grip_speed = order.speed
            self._grip(self.measured_grip if order.position is None else order.position)
        elif isinstance(order, orders.Pause):
            self._paused = order.paused
        elif isinstance(order, orders.Reach):
            self._rest()
            self._reach = order
        elif isinstance(order, orders.Twist | orders.JointSpeeds):
            self._next_goal = order

    def _take_up(self, now: int) -> None:
        self._taken += motion.PERIOD
        if self.fault:
            self._rest(SubErrorCodes.ROBOT_IN_FAULT)
        elif self._next_goal is not None:
            self._follow(self._next_goal)
            self._next_goal = None

    def _follow(self, goal: orders.Twist | orders.JointSpeeds) -> None:
        """A twist or joint speeds take over from what there was, at the speed that the arm has."""
        self._end_action(ActionEvent.ACTION_ABORT, SubErrorCodes.METHOD_FAILED)
        if isinstance(goal, orders.Twist):
            if self._cancelled and goal.velocity.any():
                self._grip(self.measured_grip)
            if not isinstance(self.goal, orders.Twist):
                self.applied = self._twist_of(self.rates)
        self.goal = goal

    def _twist_of(self, rates: Array) -> Array:
        """The twist (6,) of the configured tool point, base frame, that joint rates give."""
        k = kinematics.kinematics(self.targets)
        return shifted(k.jacobian @ rates, self._settings().lever(k.tool))

    def _compute_rates(self, duration: float) -> None:
        goal = self.goal
        if isinstance(goal, orders.Twist):
            self._rates_of_twist(goal, duration)
        elif isinstance(goal, trajectory.Trajectory):
            self._rates_of_trajectory(goal, duration)
        else:
            self._rates_of_speeds(goal.rates, duration)
        if self._reach is not None and not self.rates.any() and not isinstance(goal, trajectory.Trajectory):
            self._begin(self._reach)

    def _rates_of_twist(self, goal: orders.Twist, duration: float) -> None:
        if not (goal.velocity.any() or self.applied.any()):
            self.rates = np.zeros(7)
            return
        settings = self._settings()
        most = settings.limits[ControlMode.CARTESIAN_JOYSTICK]
        k = kinematics.kinematics(self.targets)
        wanted = _in_base(goal, settings, k)
        wanted = np.concatenate([limits.scaled(wanted[:3], most.linear), limits.scaled(wanted[3:], most.angular)])
        self.applied = self.applied + motion.bounded(wanted - self.applied, duration)
        self.applied[:3] = self._outside(k, self.applied[:3])
        twist = shifted(self.applied, -settings.lever(k.tool))
        rates = kinematics.joint_rates(k, self.targets, twist, posture_gain=motion.POSTURE_GAIN)
        fastest = float((np.abs(rates) / np.minimum(most.speeds, kinematics.VELOCITY_LIMITS)).max())
        self._move(rates / max(fastest, 1.0) if self.applied.any() else np.zeros(7), duration)

    def _outside(self, k: kinematics.Kinematics, velocity: Array) -> Array:
        """The tool point's velocity (3,) with what leads into protection zones taken away; reaching one is reported."""
        settings = self._settings()
        if not settings.zones:
            return velocity
        point = settings.tool_point(k.tool).position
        bounded, touched = zones.bounded(settings.zones, point, velocity, motion.ACCELERATION)
        for zone in frozenset(touched) - self._near:
            self._report(orders.ZoneReport(zone, ProtectionZoneEvent.REACHED))
        self._near = frozenset(touched)
        return bounded

    def _rates_of_speeds(self, wanted: Array, duration: float) -> None:
        if not (wanted.any() or self.rates.any()):
            return
        most = self._settings().limits[ControlMode.ANGULAR_JOYSTICK]
        accelerations = most.accelerations if wanted.any() else BRAKING
        change = np.clip(wanted, -most.speeds, most.speeds) - self.rates
        rates = self.rates + np.clip(change, -accelerations * duration, accelerations * duration)
        if wanted.any() and self._settings().zones:
            velocity = self._twist_of(rates)[:3]
            if (self._outside(kinematics.kinematics(self.targets), velocity) != velocity).any():
                rates = np.zeros(7)
        self._move(rates, duration)

    def _rates_of_trajectory(self, goal: trajectory.Trajectory, duration: float) -> None:
        if self._elapsed >= goal.duration:
            self.targets, self.rates, self.goal = goal.at(goal.duration), np.zeros(7), orders.REST
            self._end_action(ActionEvent.ACTION_END)
            return
        towards = 0.0 if self._paused else 1.0
        self._pace += min(max(towards - self._pace, -PACE * duration), PACE * duration)
        self._elapsed += self._pace * duration
        self.rates = (goal.at(self._elapsed) - self.targets) / duration

    def _begin(self, reach: orders.Reach) -> None:
        """Plan the way of an action from where the arm rests; where it leads through a closed zone the action ends at once."""
        way = trajectory.plan(self.targets.copy(), reach.joints, reach.speeds, reach.accelerations, reach.duration)
        settings = self._settings()
        if settings.zones and _crosses(way, settings):
            self._end_action(ActionEvent.ACTION_ABORT, SubErrorCodes.CONTROL_OUTSIDE_WORKSPACE)
            return
        self.goal, self._elapsed, self._pace = way, 0.0, 1.0

    def _move(self, rates: Array, duration: float) -> None:
        """Have these joint rates, but none that leads beyond a joint's limit."""
        ahead = self.targets + rates * duration
        self.rates = np.where(np.abs(ahead) > kinematics.POSITION_LIMITS, 0.0, rates)

    def finger_target(self, measured: float, duration: int) -> float:
        """As Controller's; the measured angle is kept for what stops the fingers where they are."""
        self.measured_grip = min(max(measured / mechanism.CLOSED, 0.0), 1.0)
        return super().finger_target(measured, duration)

    def snapshot(self) -> Array:
        """Raises ValueError: what a client ordered is not in a snapshot."""
        raise ValueError("a twin that is met by Kortex keeps no snapshots: use one without twin.kortex")

    @property
    def control_mode(self) -> ControlMode:
        """Which of the robot's controllers moves the arm."""
        if isinstance(self.goal, trajectory.Trajectory):
            return ControlMode.ANGULAR_TRAJECTORY
        if not (self.rates.any() or self._wants_motion()):
            return ControlMode.IDLE
        return ControlMode.CARTESIAN_JOYSTICK if isinstance(self.goal, orders.Twist) else ControlMode.ANGULAR_JOYSTICK


def _in_base(goal: orders.Twist, settings: Settings, k: kinematics.Kinematics) -> Array:
    """The twist (6,) in the base frame. MIXED: translation in the base's, rotation in the tool's (Common.proto)."""
    frame = settings.frame if goal.frame == _FRAME.CARTESIAN_REFERENCE_FRAME_UNSPECIFIED else goal.frame
    if frame == _FRAME.CARTESIAN_REFERENCE_FRAME_BASE:
        return goal.velocity
    tool = geometry.matrix(settings.tool_point(k.tool).quaternion)
    mixed = frame == _FRAME.CARTESIAN_REFERENCE_FRAME_MIXED
    linear = goal.velocity[:3] if mixed else tool @ goal.velocity[:3]
    return np.concatenate([linear, tool @ goal.velocity[3:]])


def _crosses(way: trajectory.Trajectory, settings: Settings) -> bool:
    """Whether the tool point is in a closed zone anywhere on the way, at _SAMPLES places of it."""
    for fraction in np.linspace(0.0, 1.0, _SAMPLES, dtype=np.float64):
        tool = kinematics.forward(way.start + fraction * way.way)
        if zones.closed_at(settings.zones, settings.tool_point(tool).position) is not None:
            return True
    return False
