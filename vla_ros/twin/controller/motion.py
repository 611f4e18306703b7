"""Plays the Gen3's controller: twists in, joint targets and a finger target out. Time is an argument.

With `twin.delays` it plays the way there as well: `command` is how much later it takes a command up, `gripper` how much later than
that the gripper acts on it. A stop is taken up at once, and overtakes what is on its way.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from vla_ros import kinematics
from vla_ros.clock import MILLISECOND, SECOND
from vla_ros.config.schema import Config
from vla_ros.geometry import Array
from vla_ros.twin import gripper as mechanism
from vla_ros.twin.scene import GRIP_STIFFNESS, GRIP_TORQUE

PERIOD = 25 * MILLISECOND
"""The Gen3 takes up twists every 25 ms (Kortex documentation, high-level servoing at 40 Hz)."""
RATES_PERIOD = 10 * MILLISECOND
"""How often joint rates are computed afresh; between, the targets move on straight."""
SPEED_LIMITS: Array = np.array([0.5] * 3 + [1.74] * 3)
"""Twist limits of the Gen3, m/s and rad/s (Kinova's ros2_kortex)."""
ACCELERATION, TURN_ACCELERATION = 2.0, 10.0
"""How fast the applied twist follows the commanded one, m/s² and rad/s²: also how it stops."""
POSTURE_GAIN = 0.5
"""Pull of the elbow towards home in the null space, 1/s."""
CLOSING_TIME = 0.6
"""From open to closed at full speed, s (data sheet: 150 mm/s over 85 mm)."""
NEVER = -(1 << 62)
_DELAYS = ("command", "gripper")


class Controller:
    """The state between two physics steps."""

    SIZE = 7 + 7 + 6 + 6 + 6 + 2 + 3

    def __init__(self, config: Config, joints: Array, now: int) -> None:
        self.targets: Array = np.array(joints, float)
        self.rates: Array = np.zeros(7)
        self.applied: Array = np.zeros(6)
        self.wanted: Array = np.zeros(6)
        self.gripper = 0.0
        self.fingers = 0.0
        self.grip_speed = 1.0  # a fraction of full speed; always full but for Kortex
        self.fault = False
        self._pending: Array | None = None
        self._last = NEVER
        self._next = now
        self._taken = now
        self._connection = round(config.deadlines.connection * SECOND)
        self._delay, self._gripper_delay = (round(config.twin.delays.get(d, 0.0) * SECOND) for d in _DELAYS)
        self._commands: deque[tuple[int, Array, float]] = deque()  # when they arrive, twist, gripper
        self._grips: deque[tuple[int, float]] = deque()

    def command(self, now: int, twist: Array, gripper: float) -> None:
        """A command was sent at `now`; it arrives at once, or as late as configured."""
        if self._delay:
            self._commands.append((now + self._delay, np.array(twist, float), gripper))
        else:
            self._arrive(now, twist, gripper)

    def _arrive(self, now: int, twist: Array, gripper: float) -> None:
        """Keep the newest twist until it is taken up; the gripper moves at once or later. What is not finite stops."""
        if not (np.isfinite(twist).all() and math.isfinite(gripper)):
            self._rest()
            return
        self._last = now
        self._pending = np.clip(twist, -SPEED_LIMITS, SPEED_LIMITS)
        if self._gripper_delay:
            self._grips.append((now + self._gripper_delay, gripper))
        else:
            self._grip(gripper)

    def _grip(self, gripper: float) -> None:
        self.gripper = min(max(gripper, 0.0), 1.0)

    def stop(self) -> None:
        """Want rest, and forget what was not taken up."""
        self._commands.clear()
        self._rest()

    def _rest(self) -> None:
        self._pending = None
        self.wanted = np.zeros(6)

    def step(self, now: int, duration: int) -> Array:
        """Joint targets (7,) rad for the step of `duration` ns that begins at `now`."""
        self._receive(now)
        if now >= self._taken:
            self._take_up(now)
        if now >= self._next:
            self._next += RATES_PERIOD
            self._compute_rates(RATES_PERIOD / SECOND)
        self.targets += self.rates * (duration / SECOND)
        return self.targets

    def _receive(self, now: int) -> None:
        """What was on its way and has arrived."""
        while self._commands and self._commands[0][0] <= now:
            self._arrive(*self._commands.popleft())
        while self._grips and self._grips[0][0] <= now:
            self._grip(self._grips.popleft()[1])

    def _take_up(self, now: int) -> None:
        self._taken += PERIOD
        if self.fault or now - self._last > self._connection:
            self._rest()
        elif self._pending is not None:
            self.wanted, self._pending = self._pending, None

    def _compute_rates(self, duration: float) -> None:
        self.applied = self.applied + bounded(self.wanted - self.applied, duration)
        if not self.applied.any():
            self.rates = np.zeros(7)
            return
        k = kinematics.kinematics(self.targets)
        rates = kinematics.joint_rates(k, self.targets, self.applied, posture_gain=POSTURE_GAIN)
        fastest = float((np.abs(rates) / kinematics.VELOCITY_LIMITS).max())
        rates = rates / max(fastest, 1.0)
        ahead = self.targets + rates * duration
        self.rates = np.where(np.abs(ahead) > kinematics.POSITION_LIMITS, 0.0, rates)

    def finger_target(self, measured: float, duration: int) -> float:
        """Angle that the finger servo wants, rad: at the gripper's speed, never wound up on an object."""
        limit = mechanism.CLOSED / CLOSING_TIME * (duration / SECOND) * self.grip_speed
        wanted = self.gripper * mechanism.CLOSED
        target = self.fingers + min(max(wanted - self.fingers, -limit), limit)
        reach = 1.2 * GRIP_TORQUE / GRIP_STIFFNESS
        self.fingers = min(max(target, measured - reach), measured + reach)
        return self.fingers

    def snapshot(self) -> Array:
        """The state as a flat array of SIZE numbers; a command not yet taken up is kept as well, one on its way is not.

        Raises ValueError while one is.
        """
        if self._commands or self._grips:
            raise ValueError("commands are on their way to the arm: a snapshot needs a twin without twin.delays")
        pending = np.full(6, math.nan) if self._pending is None else self._pending
        times = [float(t) for t in (self._last, self._next, self._taken)]
        return np.concatenate(
            [
                self.targets,
                self.rates,
                self.applied,
                self.wanted,
                pending,
                [self.gripper, self.fingers],
                times,
            ]
        )

    def restore(self, snapshot: Array) -> None:
        """Go back to a snapshot."""
        self._commands.clear()
        self._grips.clear()
        parts = np.split(snapshot, np.cumsum([7, 7, 6, 6, 6, 2]))
        self.targets, self.rates, self.applied, self.wanted, pending, fingers, times = (p.copy() for p in parts)
        self._pending = None if np.isnan(pending).any() else pending
        self.gripper, self.fingers = fingers.tolist()
        self._last, self._next, self._taken = (int(t) for t in times)


def bounded(change: Array, duration: float) -> Array:
    """A change of twist no faster than the accelerations allow, with its direction kept."""
    linear = math.sqrt(float(change[:3] @ change[:3])) / (ACCELERATION * duration)
    turning = math.sqrt(float(change[3:] @ change[3:])) / (TURN_ACCELERATION * duration)
    return np.asarray(change / max(linear, turning, 1.0))
