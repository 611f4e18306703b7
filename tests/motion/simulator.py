"""A kinematic arm on a virtual clock: a pure delay, then the tool moves as it was told. Fast enough for property tests."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import numpy as np

from vla_ros import kinematics
from vla_ros.clock import MILLISECOND, SECOND
from vla_ros.config import Config, load
from vla_ros.geometry import Array, Pose
from vla_ros.motion.cycle import Inputs, Requests, ServoCycle
from vla_ros.motion.outlet import Outlet
from vla_ros.values import ActionChunk, ArmState, Command, Mode

CONFIG = load()
PERIOD = 10 * MILLISECOND
START = 1_000 * SECOND
"""A moment in the middle of a clock's life: 0 means "never" in several places."""


def arm_state(joints: Array, now: int, velocities: Array | None = None, gripper: float = 0.0) -> ArmState:
    """Feedback of an arm at `joints`, no force, no fault."""
    return ArmState(
        now,
        joints.copy(),
        np.zeros(7) if velocities is None else velocities.copy(),
        np.zeros(7),
        kinematics.forward(joints),
        gripper,
        np.zeros(3),
    )


def above(position: Array | tuple[float, float, float]) -> Array:
    """Joints with the tool straight down at `position`."""
    return kinematics.inverse_kinematics(Pose(np.array(position, float), kinematics.TOOL_DOWN))


class Arm:
    """Joints that follow, `delay` ns late, the twists sent; redundancy drifts towards home as in the Gen3."""

    def __init__(self, joints: Array, delay: int, now: int = START) -> None:
        self.joints, self.now, self._delay = np.array(joints, float), now, delay
        self.rates = np.zeros(7)
        self._underway: deque[tuple[int, Array]] = deque()
        self._twist = np.zeros(6)
        self.gripper = 0.0

    def send(self, twist: Array) -> None:
        """A twist that is felt one delay later."""
        self._underway.append((self.now + self._delay, twist.copy()))

    def advance(self, duration: int) -> None:
        """Move on in steps of at most 5 ms."""
        end = self.now + duration
        while self.now < end:
            while self._underway and self._underway[0][0] <= self.now:
                self._twist = self._underway.popleft()[1]
            step = min(5 * MILLISECOND, end - self.now)
            if self._underway:
                step = min(step, max(1, self._underway[0][0] - self.now))
            k = kinematics.kinematics(self.joints)
            self.rates = kinematics.joint_rates(k, self.joints, self._twist, damping=1e-6)
            self.joints = self.joints + self.rates * (step / SECOND)
            self.now += step

    def state(self) -> ArmState:
        """Feedback now."""
        return arm_state(self.joints, self.now, self.rates, self.gripper)


class Bench:
    """A ServoCycle on such an arm, with cameras and policy alive unless told otherwise.

    `cameras` and `overrides` replace stamps and fields of the feedback, `fields` those of the inputs, from then on.
    """

    def __init__(self, joints: Array, delay: int = 80 * MILLISECOND, config: Config = CONFIG) -> None:
        self.config, self.arm = config, Arm(joints, delay)
        self.cycle = ServoCycle(config)
        self.outlet = Outlet(config.arm.command_rate, round(SECOND / config.servo.rate))
        self.fields: dict[str, object] = {}
        self._sent = (Mode.DISARMED, False)
        self.commands: list[Command] = []
        self.overrides: dict[str, object] = {}
        self.cameras: dict[str, int] | None = None

    @property
    def now(self) -> int:
        """Moment of the arm's clock."""
        return self.arm.now

    def inputs(self, chunk: ActionChunk | None = None, **requests: bool) -> Inputs:
        """What the servo sees now."""
        cameras = dict.fromkeys(self.config.cameras, self.now) if self.cameras is None else self.cameras
        state = replace(self.arm.state(), **self.overrides)  # type: ignore[arg-type]
        inputs = Inputs(state, cameras, self.now, chunk, Requests(**requests))
        return replace(inputs, **self.fields)  # type: ignore[arg-type]

    def step(self, chunk: ActionChunk | None = None, period: int = PERIOD, **requests: bool) -> Command:
        """One cycle, and the arm moves for one period."""
        command = self.cycle.step(self.now, self.inputs(chunk, **requests))
        self.commands.append(command)
        state = command.mode, bool(command.twist.any())
        if self.outlet.due(self.now, urgent=state != self._sent):
            self.arm.send(command.twist)
        self._sent = state
        self.arm.advance(period)
        return command

    def run(self, seconds: float) -> Command:
        """Cycles for so long; the last command."""
        for _ in range(round(seconds * SECOND / PERIOD)):
            command = self.step()
        return command

    def enabled(self) -> Bench:
        """Itself, armed and idle."""
        assert self.step(enable=True).mode is Mode.IDLE
        return self

    def chunk(
        self, shift: tuple[float, float, float] = (0.1, 0.0, 0.0), count: int = 10, **changes: object
    ) -> ActionChunk:
        """A straight way by `shift` m from here in `count` steps of 0.1 s, stamped now, all of it to be played."""
        here = self.arm.state().tool
        shares = (np.arange(count) + 1)[:, None] / max(1, count)
        chunk = ActionChunk(
            self.now,
            100 * MILLISECOND,
            here.position + shares * np.array(shift),
            np.tile(here.quaternion, (count, 1)),
            np.zeros(count),
            count,
            "test",
            "pick up the red cube",
            1,
        )
        return replace(chunk, **changes)  # type: ignore[arg-type]
