"""One fault in one phase of a pick, offline: the objects of the live service on a virtual clock, a fault played around one of them.

Cameras deliver at their own rates through `FaultyCamera`, the arm is a `FaultyArm`, the policy's chunks pass a `FaultyPolicy`; what
people do, and what the arm reports of itself, is put in by hand.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from vla_ros.arms.faulty import FaultyArm
from vla_ros.arms.twin import LocalTwinArm
from vla_ros.cameras.faulty import FaultyCamera
from vla_ros.cameras.twin import intrinsics
from vla_ros.clock import MILLISECOND, SECOND, VirtualClock
from vla_ros.evaluation.cases import RECOVERY, Case, Finding, Recovery, found
from vla_ros.evaluation.proof import Commands, Motion, Phase, phase
from vla_ros.evaluation.rollout import STRIDE, Latency, Studio, sensors
from vla_ros.motion.cycle import Inputs, Requests, ServoCycle
from vla_ros.motion.outlet import Wire
from vla_ros.policy.faulty import FaultyPolicy
from vla_ros.policy.policy import Policy
from vla_ros.twin.noise import SensorNoise
from vla_ros.twin.tasks import Episode
from vla_ros.values import ActionChunk, ArmState, Command, Frame, Intrinsics, Mode, Observation

TIME_LIMIT = 12.0
"""Seconds in which every phase of a pick is reached."""
LINGER = 1.0
"""Seconds from the end of a fault to the attempt to go on: every deadline that the fault has set off is over by then."""
_BRIDGE = 50 * MILLISECOND
"""How far from an exposure the nearest state of the arm may be, as in the live service."""
_STATES = 64


class StudioCamera:
    """A camera of the studio under the virtual clock: a frame when one is due, and never a wait for one."""

    def __init__(self, studio: Studio, name: str, clock: VirtualClock, noise: SensorNoise) -> None:
        self._studio, self._name, self._clock, self._noise = studio, name, clock, noise
        self._rate, self._start, self._count = studio.config.cameras[name].rate, clock.now(), 0

    @property
    def intrinsics(self) -> Intrinsics:
        """The configured pinhole."""
        return intrinsics(self._studio.config.cameras[self._name])

    def open(self) -> None:
        """Nothing to open."""

    def read(self, timeout: float) -> Frame | None:
        """A frame of now, when the next one is due."""
        now = self._clock.now()
        if now < self._start + round(self._count * SECOND / self._rate):
            return None
        self._count += 1
        return Frame(self._noise.add(self._studio.image(self._name)), now, now, self._count)

    def close(self) -> None:
        """Nothing to close."""


@dataclass
class Heard:
    """The newest frame of each camera that has arrived, and the exposure of the one whose picture last differed."""

    frames: dict[str, Frame] = field(default_factory=dict)
    changes: dict[str, int] = field(default_factory=dict)

    def take(self, name: str, frame: Frame) -> None:
        """A frame arrived; one that was overtaken counts for nothing."""
        before = self.frames.get(name)
        if before is not None and frame.exposure <= before.exposure:
            return
        if before is None or not np.array_equal(before.image, frame.image):
            self.changes[name] = frame.exposure
        self.frames[name] = frame


@dataclass
class Record:
    """What the rig notes: a command and the words it was made from per cycle, and the arm's state."""

    commands: list[Command] = field(default_factory=list)
    heard: list[Mapping[str, int]] = field(default_factory=list)
    states: list[ArmState] = field(default_factory=list)

    def written(self) -> tuple[Commands, Motion]:
        """As arrays."""
        commands, states = self.commands, self.states
        stamps = np.array([c.stamp for c in commands], np.int64)
        twists = np.array([c.twist for c in commands])
        modes, verdicts = tuple(c.mode for c in commands), tuple(c.verdict for c in commands)
        told = Commands(stamps, twists, np.arange(len(commands)), modes, verdicts)
        moved = Motion(
            np.array([s.stamp for s in states], np.int64),
            np.array([s.joints for s in states]),
            np.array([s.velocities for s in states]),
            np.array([s.tool.position for s in states]),
            np.array([s.tool.quaternion for s in states]),
            np.array([float(np.linalg.norm(s.force)) for s in states]),
        )
        return told, moved


class Rig:
    """The service around one twin: turned cycle by cycle, by a virtual clock."""

    def __init__(self, studio: Studio, episode: Episode, policy: Policy, latency: Latency | None = None) -> None:
        config = studio.config
        studio.twin.reset(episode)
        policy.reset()
        self.config, self.studio, self.record, self.heard = config, studio, Record(), Heard()
        self.clock = VirtualClock(studio.twin.now)
        self.servo = ServoCycle(config)
        self.arm = FaultyArm(LocalTwinArm(studio.twin), seed=episode.seed)
        self.policy = FaultyPolicy(policy, seed=episode.seed)
        self.cameras = self._cameras(sensors(config, episode.seed), episode.seed)
        self.touch: Callable[[Inputs], Inputs] = lambda inputs: inputs
        self._wire, self._latency = Wire(config, self.arm), latency or Latency()
        self._random = np.random.default_rng(episode.seed + 7)
        self._period = round(SECOND / config.servo.rate)
        self._states: deque[ArmState] = deque(maxlen=_STATES)
        self._underway: list[tuple[int, ActionChunk]] = []
        self._looked, self._chunk, self._gripper = -STRIDE, 0, 0.0

    def _cameras(self, noise: Mapping[str, SensorNoise], seed: int) -> dict[str, FaultyCamera]:
        made = {name: StudioCamera(self.studio, name, self.clock, noise[name]) for name in self.config.cameras}
        return {name: FaultyCamera(camera, self.clock, seed=seed + k) for k, (name, camera) in enumerate(made.items())}

    def cycle(self, requests: Requests | None = None) -> Command:
        """One period of the servo, and of everything that happens in it."""
        now = self.clock.now()
        self._see(now)
        self._think(now)
        state = self.arm.read(now)
        if state is not None and state.is_finite() and (not self._states or state.stamp > self._states[-1].stamp):
            self._states.append(state)
        inputs = self.touch(self._inputs(now, state, requests or Requests()))
        command = self.servo.step(now, inputs)
        self._wire.act(now, command)
        self._gripper = command.gripper
        self.record.commands.append(command)
        self.record.heard.append(self._words(inputs))
        self.record.states.append(self.studio.twin.state())
        self.studio.twin.advance(now + self._period)
        self.clock.sleep_until(now + self._period)
        return command

    def _see(self, now: int) -> None:
        for name, camera in self.cameras.items():
            frame = camera.read(0.0)
            while frame is not None:
                self.heard.take(name, frame)
                frame = camera.read(0.0)

    def _think(self, now: int) -> None:
        """A look of the policy when a stride is over and a new frame of the reference camera is there; chunks that are due go out."""
        observation = self._observation(now)
        if observation is not None and observation.stamp - self._looked >= STRIDE - MILLISECOND:
            self._looked = observation.stamp
            chunk = self.policy.policy.act(observation, self._gripper)
            if chunk is not None:
                self.policy.offer(now, chunk)
        for chunk in self.policy.chunks(now):
            delay = self._random.uniform(self._latency.low, self._latency.high)
            self._underway.append((now + int(delay * SECOND), chunk))

    def _observation(self, now: int) -> Observation | None:
        """The newest frames with the arm at their exposure; None while they do not belong together, as live."""
        frames = dict(self.heard.frames)
        reference = frames.get(self.config.reference_camera)
        if reference is None or len(frames) < len(self.config.cameras) or not self._states:
            return None
        stamp = reference.exposure
        skew = max(abs(frame.exposure - stamp) for frame in frames.values())
        arm = min(self._states, key=lambda state: abs(state.stamp - stamp))
        if skew > self.config.deadlines.skew * SECOND or abs(arm.stamp - stamp) > _BRIDGE:
            return None
        return Observation(stamp, frames, replace(arm, stamp=stamp), skew)

    def _inputs(self, now: int, state: ArmState | None, requests: Requests) -> Inputs:
        stamps = {name: frame.exposure for name, frame in self.heard.frames.items()}
        cameras = dict.fromkeys(self.config.cameras, 0) | stamps
        return Inputs(state, cameras, now, self._arrived(now), requests, changes=dict(self.heard.changes))

    def _arrived(self, now: int) -> ActionChunk | None:
        due = [chunk for moment, chunk in self._underway if moment <= now]
        self._underway = [item for item in self._underway if item[0] > now]
        return due[-1] if due else None

    def _words(self, inputs: Inputs) -> dict[str, int]:
        """When each part of the service was last heard of, by the stamps of what it said."""
        chunk, old = inputs.chunk, self.config.deadlines.observation * SECOND
        if chunk is not None and self.clock.now() - chunk.stamp <= old:  # an older one is no word: nobody may play it
            self._chunk = max(self._chunk, chunk.stamp)
        feedback = inputs.arm.stamp if inputs.arm is not None and inputs.arm.is_finite() else 0
        before = self.record.heard[-1]["feedback"] if self.record.heard else 0
        words = {"feedback": max(before, feedback), "policy": self._chunk}
        words |= {f"camera.{name}": stamp for name, stamp in inputs.cameras.items()}
        return words | {f"picture.{name}": stamp for name, stamp in inputs.changes.items()}


def play(studio: Studio, episode: Episode, policy: Policy, case: Case) -> Finding:
    """Pick until the phase of `case`, play its fault, look what becomes of it, and go on when it is over."""
    rig = Rig(studio, episode, policy)
    if not _reach(rig, case.phase):
        return Finding.unreached(case)
    cause = rig.clock.now()
    end = cause + round(case.seconds * SECOND)
    _break(rig, case, cause, end)
    _turn(rig, end, case.requests)
    rig.touch = lambda inputs: inputs
    _turn(rig, end + round(LINGER * SECOND))
    last = len(rig.record.commands)
    recovery = recover(rig)
    commands, motion = rig.record.written()
    heard = rig.record.heard[:last]
    return found(case, commands, motion, heard, cause, end, recovery, studio.config)


def _reach(rig: Rig, wanted: Phase) -> bool:
    """Turn until that phase; the arm is enabled as soon as that is possible."""
    while rig.clock.now() < TIME_LIMIT * SECOND:
        command = rig.cycle(Requests(enable=rig.servo.mode is Mode.DISARMED))
        state = rig.record.states[-1]
        speed = float(np.linalg.norm(command.twist[:3]))
        if command.mode is Mode.ACTIVE and phase(float(state.tool.position[2]), speed, command.gripper) is wanted:
            return True
    return False


def _break(rig: Rig, case: Case, cause: int, end: int) -> None:
    if case.order is None:
        rig.touch = case.touch
        return
    fault = replace(case.order.at(cause), end=end)
    room, _, name = case.target.partition(".")
    if room == "camera":
        rig.cameras[name].play(fault)
    elif room == "arm":
        rig.arm.play(name, fault)
    else:
        rig.policy.play(fault)


def _turn(rig: Rig, until: int, requests: Requests | None = None) -> None:
    """Cycles until that moment; `requests` are asked for in the first."""
    while rig.clock.now() < until:
        rig.cycle(requests)
        requests = None


def recover(rig: Rig) -> Recovery:
    """Reset and enable; where the tool is pushed against something and is not enabled for that, a person takes the arm away first."""
    if _enabled(rig):
        return Recovery(True)
    force = float(np.linalg.norm(rig.record.states[-1].force))
    if force <= rig.config.limits.force_retreat:
        return Recovery(False)
    rig.studio.twin.reset(rig.studio.twin.episode, rig.studio.twin.now)
    return Recovery(_enabled(rig), by_hand=True)


def _enabled(rig: Rig) -> bool:
    """Whether reset and enable lead back to work within RECOVERY seconds."""
    until = rig.clock.now() + round(RECOVERY * SECOND)
    while rig.clock.now() < until:
        mode = rig.servo.mode
        rig.cycle(Requests(reset=mode is Mode.STOPPED, enable=mode is Mode.DISARMED))
        if rig.servo.mode in (Mode.IDLE, Mode.ACTIVE):
            return True
    return False
