"""One episode of the twin on a virtual clock: cameras, policy, servo cycle and arm are the same objects as live.

The policy sees an observation every stride, through the noise of the cameras' sensors, and its chunk reaches the servo `latency`
later, as it does over ROS; the servo runs at the configured rate and the arm hears it at the rate that it takes up; physics advances
in between.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from vla_ros.arms.twin import LocalTwinArm
from vla_ros.clock import MILLISECOND, SECOND
from vla_ros.config import Config
from vla_ros.motion.cycle import Inputs, Requests, ServoCycle
from vla_ros.motion.outlet import Wire
from vla_ros.policy.policy import Policy
from vla_ros.twin.noise import SensorNoise
from vla_ros.twin.physics import Twin
from vla_ros.twin.render import Renderer, make_renderer
from vla_ros.twin.tasks import Episode, Outcome, judge
from vla_ros.values import ActionChunk, ArmState, Command, Frame, Image, Mode, Observation

STRIDE = 100 * MILLISECOND
"""Time between two looks of a policy, ns: 10 Hz, the rate of the demonstrations."""
TIME_LIMIT = 15.0
"""Seconds after which an episode counts as failed."""
HELD = 5
"""Strides for which the cube must stay up."""


@dataclass(frozen=True)
class Latency:
    """Exposure to first command, s, uniform between the two: from live on an idle machine to three times the median
    (`vla-ros bench loop`)."""

    low: float = 0.01
    high: float = 0.05


@dataclass(frozen=True)
class Step:
    """What one look of the policy saw and said."""

    observation: Observation
    gripper_command: float
    chunk: ActionChunk | None


@dataclass
class Result:
    """How an episode ended: outcome, seconds it took, verdicts by count of cycles, largest tool speed (m/s)."""

    outcome: Outcome
    seconds: float
    mode: Mode
    verdicts: dict[str, int] = field(default_factory=dict)
    top_speed: float = 0.0


class Studio:
    """A twin with its renderers, reused from episode to episode: building the model costs more than an episode's reset."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.twin = Twin(config)
        self._renderers: dict[str, Renderer] = {
            name: make_renderer(self.twin.model, camera, name, config.twin.renderer)
            for name, camera in config.cameras.items()
        }

    def image(self, name: str) -> Image:
        """What the camera of that name sees now."""
        return self._renderers[name].render(self.twin.data)

    def images(self) -> dict[str, Image]:
        """What each camera sees now."""
        return {name: self.image(name) for name in self._renderers}

    def observation(self, arm: ArmState, sequence: int, noise: Mapping[str, SensorNoise] | None = None) -> Observation:
        """The images of now, exposed at the stamp of `arm`, as sensors with this noise by camera deliver them."""
        images = self.images()
        if noise is not None:
            images = {name: noise[name].add(image) for name, image in images.items()}
        frames = {name: Frame(image, arm.stamp, arm.stamp, sequence) for name, image in images.items()}
        return Observation(arm.stamp, frames, arm, 0)


def sensors(config: Config, seed: int) -> dict[str, SensorNoise]:
    """The noise of each camera's sensor in the episode of that seed."""
    return {name: SensorNoise(config.twin.noise, 8 * seed + k) for k, name in enumerate(config.cameras)}


def exposed(config: Config, start: int, now: int) -> dict[str, int]:
    """The newest exposure (ns) of each camera at `now`, when all began at `start` and keep their own rates."""
    rates = {name: camera.rate for name, camera in config.cameras.items()}
    return {
        name: start + round(int((now - start) * rate / SECOND + 1e-6) * SECOND / rate) for name, rate in rates.items()
    }


def run(
    studio: Studio,
    episode: Episode,
    policy: Policy,
    *,
    latency: Latency | None = None,
    time_limit: float = TIME_LIMIT,
    on_step: Callable[[Step], None] | None = None,
    blank_cameras: bool = False,
) -> Result:
    """Play `episode` with `policy`, whose instruction is set, until the cube was held up, the wrong one was, the servo stopped or
    time is over.

    `blank_cameras` replaces every picture by grey: a policy that looks must fail then.
    """
    loop = _Loop(studio, episode, policy, latency or Latency(), blank_cameras)
    held, result = 0, Result(judge(studio.twin, episode), 0.0, Mode.IDLE)
    for tick in range(int(time_limit * SECOND / STRIDE)):
        step = loop.look(tick)
        if on_step is not None:
            on_step(step)
        loop.cycle_for(STRIDE, result)
        result.outcome, result.seconds = judge(studio.twin, episode), (tick + 1) * STRIDE / SECOND
        held = held + 1 if result.outcome.success else 0
        if held >= HELD or result.outcome.wrong_object or loop.servo.mode is Mode.STOPPED:
            break
    result.mode = loop.servo.mode
    return result


class _Loop:
    """The clock of one episode."""

    def __init__(self, studio: Studio, episode: Episode, policy: Policy, latency: Latency, blank: bool) -> None:
        self._studio, self._policy, self._latency, self._blank = studio, policy, latency, blank
        studio.twin.reset(episode)
        policy.reset()
        self._random = np.random.default_rng(episode.seed + 7)
        self._arm = LocalTwinArm(studio.twin)
        self._wire, self._noise = Wire(studio.config, self._arm), sensors(studio.config, episode.seed)
        self.servo = ServoCycle(studio.config)
        self._period = round(SECOND / studio.config.servo.rate)
        self._start = self._now = studio.twin.state().stamp
        self._command: Command | None = None
        self._pending: list[tuple[int, ActionChunk]] = []
        self._enable = True

    def look(self, tick: int) -> Step:
        """Let the policy see the present; its chunk is under way afterwards."""
        arm = self._arm.read(self._now)
        if arm is None:
            raise RuntimeError("the twin gave no feedback")
        observation = self._studio.observation(arm, tick, self._noise)
        if self._blank:
            observation = _blanked(observation)
        gripper = self._command.gripper if self._command else arm.gripper
        chunk = self._policy.act(observation, gripper)
        delay = self._random.uniform(self._latency.low, self._latency.high)
        if chunk is not None:
            self._pending.append((self._now + int(delay * SECOND), chunk))
        return Step(observation, gripper, chunk)

    def cycle_for(self, duration: int, result: Result) -> None:
        """Run servo and physics for `duration` ns."""
        end = self._now + duration
        while self._now < end:
            command = self.servo.step(self._now, self._inputs())
            self._enable = False
            self._wire.act(self._now, command)
            self._command = command
            _count(result, command)
            self._now += self._period
            self._studio.twin.advance(self._now)

    def _inputs(self) -> Inputs:
        """What the servo hears now; sensors are noisy, so every picture differs from the one before."""
        seen = exposed(self._studio.config, self._start, self._now)
        asked = Requests(enable=self._enable)
        return Inputs(self._arm.read(self._now), seen, self._now, self._arrived(), asked, changes=seen)

    def _arrived(self) -> ActionChunk | None:
        due = [chunk for moment, chunk in self._pending if moment <= self._now]
        self._pending = [item for item in self._pending if item[0] > self._now]
        return due[-1] if due else None


def _count(result: Result, command: Command) -> None:
    name = command.verdict.name
    result.verdicts[name] = result.verdicts.get(name, 0) + 1
    result.top_speed = max(result.top_speed, float(np.linalg.norm(command.twist[:3])))


def _blanked(observation: Observation) -> Observation:
    frames: Mapping[str, Frame] = {
        name: Frame(np.full_like(frame.image, 128), frame.exposure, frame.arrival, frame.sequence)
        for name, frame in observation.frames.items()
    }
    return Observation(observation.stamp, frames, observation.arm, observation.skew)
