"""One cycle of the servo: what arrived goes in, one command comes out. The same object runs on the robot, in the twin and offline.

The modes and how they are left (design: "The arm never trusts the rest"):

    DISARMED --enable, if `arming_obstacles` finds none--> IDLE --a chunk--> ACTIVE --nothing to play, stale camera--> HOLD
    HOLD, IDLE --the next chunk that is accepted--> ACTIVE --an empty chunk--> IDLE
    any but STOPPED --disable; too long in HOLD--> DISARMED, braking
    any but DISARMED --fault, no feedback, force, own silence, three refused chunks--> STOPPED
    any --stop--> STOPPED --reset, if `reset_obstacles` finds none--> DISARMED

A reading of the arm with NaN in it is no reading: the last good one grows old. Stamps from the future are as wrong as old ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from vla_ros import kinematics
from vla_ros.clock import SECOND
from vla_ros.config.schema import Config
from vla_ros.motion import admission, governor, player, tracker
from vla_ros.motion.governor import Ruling
from vla_ros.motion.ramp import AT_REST, Ramp
from vla_ros.motion.stopping import Bounds
from vla_ros.values import ZERO_TWIST, ActionChunk, ArmState, Command, Mode, Verdict

AT_REST_RATE = 0.02
"""rad/s below which every joint counts as standing."""
REFUSALS = 3
"""Chunks refused one after another that stop the arm."""
_HOLD_TOLERANCE = 0.01
"""m outside the box at which arming is still allowed: the governor lets the tool back in."""


@dataclass(frozen=True)
class Requests:
    """What people asked for since the last cycle."""

    enable: bool = False
    disable: bool = False
    stop: bool = False
    reset: bool = False


@dataclass(frozen=True)
class Inputs:
    """What a cycle sees. `cameras` holds the stamp (ns) of the newest frame of each camera that the policy uses, 0 for none.

    `policy` is the stamp of the policy's last sign of life, 0 for none; `chunk` is one that has arrived since the last cycle.
    """

    arm: ArmState | None
    cameras: Mapping[str, int] = field(default_factory=dict)
    policy: int = 0
    chunk: ActionChunk | None = None
    requests: Requests = Requests()


@dataclass(frozen=True)
class _Situation:
    """What the cycle remembers."""

    mode: Mode = Mode.DISARMED
    verdict: Verdict = Verdict.DISARMED
    ramp: Ramp = AT_REST
    playback: player.Playback | None = None
    exhausted: int = 0  # ns since which nothing was left to play; 0 while there is
    refused: int = 0
    gripper: float | None = None  # the target of a chunk; None: none was given since enabling
    gripper_changed: int = 0
    gripper_found: float = 0.0  # where the gripper was when the arm was enabled
    arm: ArmState | None = None  # the last feedback without NaN
    scale: float = 1.0  # share of the wish that the last cycle let through
    last: int = 0  # moment of the last cycle


class ServoCycle:
    """Player, tracker and governor, and the modes around them."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._bounds = Bounds(config.limits, config.workspace, config.servo.delay)
        self._period = round(SECOND / config.servo.rate)
        # what is sent is felt after the arm's delay, and shaping by the jerk limit takes half of acceleration/jerk more
        self._lead = round((config.servo.delay + config.limits.acceleration / config.limits.jerk / 2) * SECOND)
        self._situation = _Situation()

    @property
    def mode(self) -> Mode:
        """Mode after the last cycle."""
        return self._situation.mode

    @property
    def seam(self) -> player.Seam | None:
        """Seam of the chunk being played."""
        return None if self._situation.playback is None else self._situation.playback.seam

    @property
    def playing(self) -> ActionChunk | None:
        """The chunk being played."""
        return None if self._situation.playback is None else self._situation.playback.chunk

    def step(self, now: int, inputs: Inputs) -> Command:
        """The command for the coming period."""
        s = self._seen(self._situation, now, inputs)
        inputs = replace(inputs, arm=s.arm)
        s = self._watched(s, now, inputs)
        s = self._asked(s, now, inputs)
        s = self._taken(s, now, inputs)
        s = self._timed(s, now, inputs)
        ruling, s = self._moved(s, now, inputs)
        self._situation = replace(s, ramp=ruling.ramp, scale=ruling.scale, last=now)
        verdict = ruling.verdict if s.mode in (Mode.ACTIVE, Mode.IDLE) else s.verdict
        gripper = s.gripper if s.gripper is not None else s.gripper_found
        return Command(now, ruling.twist, gripper, verdict, s.mode)

    def _elapsed(self, s: _Situation, now: int) -> int:
        """ns since the last cycle, at least 1."""
        return max(1, now - s.last) if s.last else self._period

    def _silent(self, s: _Situation, now: int) -> bool:
        """Whether this loop itself has slept for so long that the watchdog has stopped the arm."""
        return self._elapsed(s, now) > self._config.deadlines.servo_silent * SECOND

    def _seen(self, s: _Situation, now: int, inputs: Inputs) -> _Situation:
        """What has happened since the last cycle: feedback came, the chunk's clock went on as far as the motion did."""
        arm = inputs.arm if inputs.arm is not None and inputs.arm.is_finite() else s.arm
        playback = s.playback and player.slowed(s.playback, self._elapsed(s, now), s.scale)
        ramp = s.ramp
        if self._silent(s, now) and arm is not None:  # nobody knows what the arm did meanwhile but the arm
            ramp = Ramp(kinematics.kinematics(arm.joints).jacobian @ arm.velocities, ZERO_TWIST)
        found = arm.gripper if arm is not None and s.mode is Mode.DISARMED else s.gripper_found
        return replace(s, arm=arm, playback=playback, ramp=ramp, gripper_found=found)

    def arming_obstacles(self, now: int, inputs: Inputs) -> list[str]:
        """Why the arm may not be enabled now; empty: it may."""
        config, arm, found = self._config, inputs.arm, self._arm_obstacles(now, inputs.arm)
        if self.mode is Mode.STOPPED:
            found.insert(0, f"{self._situation.verdict.value}: call /arm/reset first")
        if arm is None or not arm.is_finite():
            return found
        if float(np.linalg.norm(arm.force)) > config.limits.force_retreat:
            found.append(f"a force of {np.linalg.norm(arm.force):.0f} N on the tool: free it by hand")
        low, high = np.array(config.workspace.low), np.array(config.workspace.high)
        position = arm.tool.position
        if (position < low - _HOLD_TOLERANCE).any() or (position > high + _HOLD_TOLERANCE).any():
            found.append(
                f"the tool at {np.round(position, 3).tolist()} is outside the workspace box: move it in by hand"
            )
        if float(np.abs(arm.velocities).max()) > AT_REST_RATE:
            found.append("the arm is moving")
        found += [f"no fresh frames from camera {name}" for name in self._stale_cameras(now, inputs, 0.0)]
        if abs(now - inputs.policy) > config.deadlines.camera_disarm * SECOND:
            found.append("no sign of life from the policy")
        return found

    def reset_obstacles(self, now: int, inputs: Inputs) -> list[str]:
        """Why a Stop may not be left now; empty: it may."""
        found = self._arm_obstacles(now, inputs.arm)
        if self._situation.ramp.twist.any():
            found.append("the arm is still braking")
        return found

    def _arm_obstacles(self, now: int, arm: ArmState | None) -> list[str]:
        if arm is None or not arm.is_finite() or abs(now - arm.stamp) > self._config.deadlines.feedback_hold * SECOND:
            return ["no fresh feedback from the arm"]
        return [f"fault on the arm: {arm.fault}"] if arm.fault else []

    def _stale_cameras(self, now: int, inputs: Inputs, deadline: float) -> list[str]:
        """Cameras silent for longer than `deadline` s, or than camera_hold and three periods where `deadline` is 0."""
        names = []
        for name, stamp in inputs.cameras.items():
            camera = self._config.cameras[name]
            allowed = deadline or max(self._config.deadlines.camera_hold, 3 / camera.rate)
            if abs(now - stamp) > allowed * SECOND:
                names.append(name)
        return names

    def _watched(self, s: _Situation, now: int, inputs: Inputs) -> _Situation:
        """What stops the arm whatever it is doing."""
        if s.mode is Mode.STOPPED:
            return s
        deadlines, arm = self._config.deadlines, inputs.arm
        armed = s.mode is not Mode.DISARMED
        if inputs.requests.stop:
            return _stopped(s, Verdict.STOP_REQUESTED)
        if armed and self._silent(s, now):
            return _stopped(s, Verdict.STOP_WATCHDOG)
        if armed and (arm is None or abs(now - arm.stamp) > deadlines.feedback_stop * SECOND):
            return _stopped(s, Verdict.STOP_FEEDBACK)
        if arm is not None and arm.fault and armed:
            return _stopped(s, Verdict.STOP_FAULT)
        if arm is not None and armed and np.linalg.norm(arm.force) > self._config.limits.force_stop:
            return _stopped(s, Verdict.STOP_FORCE)
        return s

    def _asked(self, s: _Situation, now: int, inputs: Inputs) -> _Situation:
        """What people ask for: enable, disable, reset."""
        asked = inputs.requests
        if s.mode is Mode.STOPPED:
            free = asked.reset and not asked.stop and not self.reset_obstacles(now, inputs)
            return replace(s, mode=Mode.DISARMED, verdict=Verdict.DISARMED, refused=0) if free else s
        if asked.disable:
            return _disarmed(s, Verdict.DISARMED)
        if asked.enable and s.mode is Mode.DISARMED and not self.arming_obstacles(now, inputs):
            return replace(s, mode=Mode.IDLE, verdict=Verdict.IDLE, refused=0, gripper=None)
        return s

    def _taken(self, s: _Situation, now: int, inputs: Inputs) -> _Situation:
        """A chunk that arrived: played, refused, or the word that there is nothing to do."""
        chunk, arm = inputs.chunk, inputs.arm
        if chunk is None or arm is None or s.mode in (Mode.DISARMED, Mode.STOPPED):
            return s
        if s.playback is not None and len(chunk) and chunk.stamp < s.playback.chunk.stamp:
            return s  # overtaken on its way by the one being played
        verdict = admission.judge(chunk, arm, now, self._config)
        if verdict is not Verdict.OK:
            refused = s.refused + 1
            if refused >= REFUSALS:
                return _stopped(s, Verdict.STOP_CHUNKS)
            return replace(s, mode=Mode.HOLD, verdict=verdict, refused=refused, playback=None)
        if len(chunk) == 0:
            return replace(s, mode=Mode.IDLE, verdict=Verdict.IDLE, playback=None, refused=0, exhausted=0)
        here = arm.tool if s.playback is None or self._spent(s.playback, now) else player.setpoint(s.playback, now).tool
        playback = player.join(chunk, now, here, s.ramp.twist, s.ramp.rate, self._config.servo.blend)
        return replace(s, mode=Mode.ACTIVE, verdict=Verdict.OK, playback=playback, refused=0, exhausted=0)

    def _spent(self, playback: player.Playback, now: int) -> bool:
        """Whether there is nothing left to play: all was played, or the motion was held up for so long that it is of the past."""
        return playback.over(now) or playback.lag > self._config.deadlines.chunk_disarm * SECOND

    def _timed(self, s: _Situation, now: int, inputs: Inputs) -> _Situation:
        """Silence of cameras, feedback and policy."""
        if s.mode not in (Mode.ACTIVE, Mode.HOLD):
            return s
        deadlines = self._config.deadlines
        if self._stale_cameras(now, inputs, deadlines.camera_disarm):
            return _disarmed(s, Verdict.CAMERA_STALE)
        if self._stale_cameras(now, inputs, 0.0):
            return replace(s, mode=Mode.HOLD, verdict=Verdict.CAMERA_STALE, playback=None, exhausted=s.exhausted or now)
        if inputs.arm is None or abs(now - inputs.arm.stamp) > deadlines.feedback_hold * SECOND:
            return replace(
                s, mode=Mode.HOLD, verdict=Verdict.FEEDBACK_STALE, playback=None, exhausted=s.exhausted or now
            )
        if s.playback is not None and not self._spent(s.playback, now):
            return s
        since = s.exhausted or now
        if now - since > deadlines.chunk_disarm * SECOND:
            return _disarmed(s, Verdict.CHUNK_LATE)
        if now - since > deadlines.chunk_hold * SECOND:
            late = s.verdict if s.mode is Mode.HOLD else Verdict.CHUNK_LATE
            return replace(s, mode=Mode.HOLD, verdict=late, playback=None, exhausted=since)
        return replace(s, exhausted=since)

    def _moved(self, s: _Situation, now: int, inputs: Inputs) -> tuple[Ruling, _Situation]:
        """The governed motion of this cycle."""
        limits, arm = self._config.limits, inputs.arm
        dt = min(self._elapsed(s, now), 2 * self._period) / SECOND
        if s.mode is Mode.STOPPED:
            return governor.stop(s.ramp, dt, limits, s.verdict), s
        if s.mode is not Mode.ACTIVE or arm is None or s.playback is None or self._spent(s.playback, now):
            resting = Verdict.END_OF_CHUNK if s.mode is Mode.ACTIVE else s.verdict
            return governor.brake(s.ramp, dt, limits, resting), s
        wanted = player.setpoint(s.playback, now, self._lead)
        wish = tracker.track(wanted, arm.tool, self._config.servo.gain)
        ruling = governor.govern(wish, arm, s.ramp, dt, self._bounds)
        return ruling, self._gripped(s, wanted.gripper, now)

    def _gripped(self, s: _Situation, target: float, now: int) -> _Situation:
        """The gripper's target, changed at most `gripper_rate` times a second and only by more than the dead band."""
        servo = self._config.servo
        target = min(1.0, max(0.0, target))
        small = s.gripper is not None and abs(target - s.gripper) < servo.gripper_deadband
        if small or now - s.gripper_changed < SECOND / servo.gripper_rate:
            return s
        return replace(s, gripper=target, gripper_changed=now)


def _stopped(s: _Situation, verdict: Verdict) -> _Situation:
    return replace(s, mode=Mode.STOPPED, verdict=verdict, playback=None, exhausted=0)


def _disarmed(s: _Situation, verdict: Verdict) -> _Situation:
    return replace(s, mode=Mode.DISARMED, verdict=verdict, playback=None, exhausted=0, refused=0)
