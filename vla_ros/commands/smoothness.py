"""How smooth the motion is where chunks meet, and when one is late: offline, on the virtual clock, with the twin's physics."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from vla_ros import kinematics
from vla_ros.arms.twin import LocalTwinArm
from vla_ros.clock import SECOND
from vla_ros.config import Config
from vla_ros.evaluation.rollout import HELD, STRIDE, Latency, Studio, exposed, sensors
from vla_ros.geometry import Array
from vla_ros.motion.cycle import Inputs, Requests, ServoCycle
from vla_ros.motion.outlet import Wire
from vla_ros.motion.player import Seam
from vla_ros.twin.tasks import Episode, judge, sample
from vla_ros.values import ActionChunk, Command, Mode, Observation

Merge = Literal["blend", "replace", "ensemble"]
MODES: tuple[Merge, ...] = ("blend", "replace", "ensemble")
FIRST_SEED = 1_000_000
TIME_LIMIT = 15.0
LATE = 0.2
"""s by which one inference comes later than the others."""
PROMPT = 0.03
"""s from exposure to the servo of the others."""
CRUISE = 0.8
"""Of the speed cap, of the straight plan."""
LATE_LOOK, SETTLED = 8, 0.3
"""Which look is late: by then the tool is at speed. And s after it has come at last for which the speed still counts."""


@dataclass
class Record:
    """What the servo did, cycle by cycle, with `period` s between: twists (6,), measured tool velocities (6,), whether a chunk was

    played; and the seams.
    """

    period: float
    twists: list[Array] = field(default_factory=list)
    velocities: list[Array] = field(default_factory=list)
    active: list[bool] = field(default_factory=list)
    seams: list[Seam] = field(default_factory=list)

    def roughness(self) -> tuple[Array, Array]:
        """Commanded acceleration (n,) m/s² and jerk (m,) m/s³ of the tool while a chunk is played."""
        twists, active = np.array(self.twists)[:, :3], np.array(self.active)
        acceleration = np.diff(twists, axis=0) / self.period
        jerk = np.diff(acceleration, axis=0) / self.period
        sizes = [np.linalg.norm(change, axis=1) for change in (acceleration, jerk)]
        return sizes[0][active[1:]], sizes[1][active[2:]]


class Stand:
    """One episode on a virtual clock: the servo with the twin's arm, and a policy that looks every STRIDE unless it still thinks.

    `latency` gives the seconds from exposure to the servo of look number k.
    """

    def __init__(self, studio: Studio, episode: Episode, policy: Any, latency: Callable[[int], float]) -> None:
        self._studio, self._policy, self._latency = studio, policy, latency
        studio.twin.reset(episode)
        policy.reset()
        self._arm, self._servo = LocalTwinArm(studio.twin), ServoCycle(studio.config)
        self._wire, self._noise = Wire(studio.config, self._arm), sensors(studio.config, episode.seed)
        self._period = round(SECOND / studio.config.servo.rate)
        self._start = self._now = self._next_look = studio.twin.state().stamp
        self._looks, self._under_way = 0, list[tuple[int, ActionChunk]]()
        self._command: Command | None = None
        self._seam: Seam | None = None
        self.arrivals: dict[int, float] = {}
        """When the chunk of a look came, s since the beginning."""
        self.record = Record(self._period / SECOND)

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return (self._now - self._start) / SECOND

    @property
    def mode(self) -> Mode:
        """Of the servo."""
        return self._servo.mode

    def cycle(self) -> None:
        """One cycle of the servo, a look of the policy before it if it is time for one, and the physics behind it."""
        if self._now >= self._next_look and not self._under_way:
            self._look()
        command = self._command = self._servo.step(self._now, self._inputs())
        self._wire.act(self._now, command)
        self._note(command)
        self._now += self._period
        self._studio.twin.advance(self._now)

    def _look(self) -> None:
        arm = self._studio.twin.state()
        observation = self._studio.observation(arm, self._looks, self._noise)
        chunk = self._policy.act(observation, self._command.gripper if self._command else arm.gripper)
        if chunk is not None:
            self._under_way.append((self._now + int(self._latency(self._looks) * SECOND), chunk))
        self._looks += 1
        while self._next_look <= self._now:
            self._next_look += STRIDE

    def _inputs(self) -> Inputs:
        seen = exposed(self._studio.config, self._start, self._now)
        first = self._now == self._start
        return Inputs(self._arm.read(self._now), seen, self._now, self._arrived(), Requests(enable=first), changes=seen)

    def _arrived(self) -> ActionChunk | None:
        if not self._under_way or self._under_way[0][0] > self._now:
            return None
        self.arrivals[self._looks - 1] = self.seconds
        return self._under_way.pop(0)[1]

    def _note(self, command: Command) -> None:
        record, arm = self.record, self._studio.twin.state()
        record.twists.append(command.twist)
        record.velocities.append(kinematics.kinematics(arm.joints).jacobian @ arm.velocities)
        record.active.append(command.mode is Mode.ACTIVE)
        seam = self._servo.seam
        if seam is not None and seam is not self._seam:
            record.seams.append(seam)
        self._seam = seam


@dataclass(frozen=True)
class Smoothness:
    """What a way of merging chunks does: jumps of the reference's velocity at seams as shares of the caps (the larger of speed and

    turn), commanded acceleration (m/s²) and jerk (m/s³) of the tool, and how many of the episodes succeeded.
    """

    jumps: Array
    acceleration: Array
    jerk: Array
    successes: int


def compare(
    config: Config, spec: str, episodes: int, done: Callable[[], None] = lambda: None, modes: Sequence[Merge] = MODES
) -> dict[str, Smoothness]:
    """The same policy on the same episodes under each way of merging; `done` after each. `spec` is a bundle, or "expert"."""
    found: dict[str, Smoothness] = {}
    for mode in modes:
        servo = config.servo.model_copy(update={"merge": mode})
        studio = Studio(config.model_copy(update={"servo": servo}))
        policy = _policy(spec, studio)
        plays = []
        for seed in range(FIRST_SEED, FIRST_SEED + episodes):
            plays.append(_play(studio, policy, seed))
            done()
        found[mode] = smoothness(config, [record for record, _ in plays], sum(success for _, success in plays))
    return found


def _policy(spec: str, studio: Studio) -> Any:
    from vla_ros.evaluation.expert_policy import ExpertPolicy
    from vla_ros.policy.policy import load_policy

    return ExpertPolicy(studio.twin) if spec == "expert" else load_policy(spec, studio.config)


def _play(studio: Studio, policy: Any, seed: int) -> tuple[Record, bool]:
    """An episode as `vla-ros eval` plays it, with its latency."""
    episode, random, latency = sample(seed), np.random.default_rng(seed + 7), Latency()
    if hasattr(policy, "aim"):  # the expert's only way to hear what is wanted
        policy.aim(episode.target)
    policy.set_instruction(episode.instruction)
    stand = Stand(studio, episode, policy, lambda look: float(random.uniform(latency.low, latency.high)))
    held, next_look = 0, STRIDE / SECOND
    while stand.seconds < TIME_LIMIT and stand.mode is not Mode.STOPPED and held < HELD:
        stand.cycle()
        if stand.seconds >= next_look:
            next_look += STRIDE / SECOND
            outcome = judge(studio.twin, episode)
            held = held + 1 if outcome.success else 0
            if outcome.wrong_object:
                break
    return stand.record, held >= HELD


def smoothness(config: Config, records: Sequence[Record], successes: int) -> Smoothness:
    """The records' seams and commands taken together."""
    limits = config.limits
    jumps = [
        max(seam.jump[1] / limits.speed, seam.turn_jump[1] / limits.turn_speed)
        for record in records
        for seam in record.seams
    ]
    rough = [record.roughness() for record in records]
    acceleration, jerk = (np.concatenate([pair[k] for pair in rough]) for k in range(2))
    return Smoothness(np.array(jumps), acceleration, jerk, successes)


class StraightPolicy:
    """Goes straight on from where the tool is at a constant velocity (3,) m/s, forever."""

    CHUNK, STEP, EXECUTE = 10, SECOND // 10, 5

    def __init__(self, velocity: Array) -> None:
        self._velocity, self._sequence = velocity, itertools.count(1)

    def reset(self) -> None:
        """Nothing to forget."""

    def act(self, observation: Observation, gripper_command: float) -> ActionChunk:
        """The next second of the way."""
        tool, n = observation.arm.tool, self.CHUNK
        times = (np.arange(n) + 1)[:, None] * (self.STEP / SECOND)
        return ActionChunk(
            observation.stamp, self.STEP, tool.position + times * self._velocity, np.tile(tool.quaternion, (n, 1)),
            np.full(n, gripper_command), self.EXECUTE, "straight", "", next(self._sequence),
        )  # fmt: skip


def late_inference(config: Config, seed: int = FIRST_SEED, late: float = LATE) -> tuple[Array, Array]:
    """Tool speeds, commanded (n,) and measured (n,), as shares of the plan's, around one inference that comes `late` s later.

    The plan is a straight line along y at CRUISE of the speed cap. From where the late chunk would have come until SETTLED s after
    it came, and for the arm's delay longer where the speed is measured.
    """
    studio, episode = Studio(config), sample(seed)
    studio.twin.reset(episode)
    side = -1.0 if studio.twin.state().tool.position[1] > 0 else 1.0
    speed = CRUISE * config.limits.speed
    policy = StraightPolicy(np.array([0.0, side * speed, 0.0]))
    stand = Stand(studio, episode, policy, lambda look: PROMPT + (late if look == LATE_LOOK else 0.0))
    end = LATE_LOOK * STRIDE / SECOND + PROMPT + late + SETTLED
    while stand.seconds < end + config.servo.delay:
        stand.cycle()
    begin = round((stand.arrivals[LATE_LOOK] - late) / stand.record.period)
    delay = round(config.servo.delay / stand.record.period)
    speeds = [
        np.linalg.norm(np.array(v)[:, :3], axis=1) / speed for v in (stand.record.twists, stand.record.velocities)
    ]
    last = round(end / stand.record.period)
    return speeds[0][begin:last], speeds[1][begin : last + delay]
