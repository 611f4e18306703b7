"""One cycle of the servo: what arrived goes in, one command comes out. The same object runs on the robot, in the twin and offline.

The modes and how they are left (design: "The arm never trusts the rest"). Whose wish is followed: stop > teleop > policy > nobody.

    DISARMED --enable, if `arming_obstacles` finds none--> IDLE --a chunk--> ACTIVE --nothing to play, bad camera or clock--> HOLD
    HOLD, IDLE --the next chunk that is accepted--> ACTIVE --an empty chunk, an empty instruction--> IDLE
    IDLE, ACTIVE, HOLD --the clutch--> TELEOP, which follows once the tool is at rest --released--> IDLE; chunks wait for rest
    any but STOPPED --disable; too long in HOLD; no arm node--> DISARMED, braking
    any but DISARMED --fault, no feedback, force, own silence, three alarming chunks--> STOPPED
    any --stop--> STOPPED --reset, if `reset_obstacles` finds none--> DISARMED

A reading of the arm with NaN in it is no reading: the last good one grows old. Stamps from the future are as wrong as old ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from vla_ros import geometry, kinematics
from vla_ros.clock import SECOND
from vla_ros.config.schema import Config
from vla_ros.geometry import Array
from vla_ros.motion import admission, governor, obedience, player, tracker
from vla_ros.motion.governor import Ruling
from vla_ros.motion.ramp import AT_REST, Ramp
from vla_ros.motion.stopping import Bounds
from vla_ros.values import ZERO_TWIST, ActionChunk, ArmState, Command, Mode, Teleop, Verdict

AT_REST_RATE = 0.02
"""rad/s below which every joint counts as standing."""
REFUSALS = 3
"""Alarming chunks one after another that stop the arm."""
_HOLD_TOLERANCE = 0.01
"""m outside the box at which arming is still allowed: the governor lets the tool back in."""
_PLAYABLE = (Mode.IDLE, Mode.ACTIVE, Mode.HOLD)
_NO_FORCE: Array = np.zeros(3)


@dataclass(frozen=True)
class Requests:
    """What people asked for since the last cycle."""

    enable: bool = False
    disable: bool = False
    stop: bool = False
    reset: bool = False


@dataclass(frozen=True)
class Inputs:
    """What a cycle sees.

    cameras: the stamp (ns) of the newest frame of each camera that the policy uses, 0 for none; changes: of the last one whose picture
    differed from the one before, for cameras of which that is known. `policy` and `node` are the stamps of the policy's and the arm
    node's last sign of life (0: none; node None: there is no such process); `chunk` has arrived since the last cycle; `instruction`
    is the one in force, None where it is not known; `distrusted`: a clock stepped, stamps are not believed. `unguarded`: why nobody
    would stop the arm if this loop hung, as the watchdog says; it is asked at enabling.
    """

    arm: ArmState | None
    cameras: Mapping[str, int] = field(default_factory=dict)
    policy: int = 0
    chunk: ActionChunk | None = None
    requests: Requests = Requests()
    changes: Mapping[str, int] = field(default_factory=dict)
    instruction: str | None = None
    distrusted: bool = False
    teleop: Teleop | None = None
    node: int | None = None
    unguarded: str = ""


@dataclass(frozen=True)
class _Situation:
    """What the cycle remembers."""

    mode: Mode = Mode.DISARMED
    verdict: Verdict = Verdict.DISARMED
    ramp: Ramp = AT_REST
    playback: player.Playback | None = None
    began: int = 0  # moment of the first command of the chunk being played
    exhausted: int = 0  # ns since which nothing was left to play; 0 while there is
    alarms: int = 0  # alarming chunks refused one after another
    refused: int = 0  # chunks refused since the servo began
    refusal: Verdict = Verdict.OK  # why the last one was
    fresh_refusal: bool = False  # whether that was in this cycle
    joined: bool = False  # whether the clutch has taken over: the tool was at rest
    rejoining: bool = False  # the clutch was released: the policy waits until the tool is at rest
    gripper: float | None = None  # the target of a chunk; None: none was given since enabling
    gripper_changed: int = 0
    gripper_found: float = 0.0  # where the gripper was when the arm was enabled
    tare: Array = field(default_factory=lambda: _NO_FORCE)  # force on the free tool when the arm was enabled
    arm: ArmState | None = None  # the last feedback without NaN
    record: obedience.Record = field(default_factory=obedience.Record)  # what the arm did lately
    disobeyed: Verdict | None = None  # whether that is not what it was told
    scale: float = 1.0  # share of the wish that the last cycle let through
    last: int = 0  # moment of the last cycle


class ServoCycle:
    """Player, tracker and governor, and the modes around them."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._bounds = Bounds(config.limits, config.workspace, config.servo.delay)
        self._period = round(SECOND / config.servo.rate)
        self._rules = player.Rules.of(config)
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

    @property
    def began(self) -> int:
        """Moment (ns) of the first command of the chunk being played."""
        return self._situation.began

    @property
    def refusals(self) -> tuple[int, Verdict]:
        """How many chunks were refused so far, and why the last one was."""
        return self._situation.refused, self._situation.refusal

    def step(self, now: int, inputs: Inputs) -> Command:
        """The command for the coming period."""
        s = self._seen(self._situation, now, inputs)
        inputs = replace(inputs, arm=_tared(s))
        s = self._watched(s, now, inputs)
        s = self._asked(s, now, inputs)
        s = self._clutched(s, now, inputs)
        s = self._taken(s, now, inputs)
        s = self._timed(s, now, inputs)
        ruling, s = self._moved(s, now, inputs)
        self._situation = replace(s, ramp=ruling.ramp, scale=ruling.scale, last=now)
        gripper = s.gripper if s.gripper is not None else s.gripper_found
        chunk = s.playback.chunk if s.mode is Mode.ACTIVE and s.playback is not None else None
        return Command(now, ruling.twist, gripper, _said(s, ruling), s.mode, chunk)

    def _elapsed(self, s: _Situation, now: int) -> int:
        """ns since the last cycle, at least 1."""
        return max(1, now - s.last) if s.last else self._period

    def _silent(self, s: _Situation, now: int) -> bool:
        """Whether this loop itself has slept for so long that the watchdog has stopped the arm."""
        return self._elapsed(s, now) > self._config.deadlines.servo_silent * SECOND

    def _seen(self, s: _Situation, now: int, inputs: Inputs) -> _Situation:
        """What has happened since the last cycle: feedback came, the chunk's clock went on as far as the motion did."""
        arm = inputs.arm if inputs.arm is not None and inputs.arm.is_finite() else s.arm
        playback, ramp = s.playback, s.ramp
        if playback is not None and arm is not None:
            playback = player.advanced(playback, now, s.scale, arm.tool)
        if self._silent(s, now) and arm is not None:  # nobody knows what the arm did meanwhile but the arm
            ramp = Ramp(kinematics.kinematics(arm.joints).jacobian @ arm.velocities, ZERO_TWIST)
        found = arm.gripper if arm is not None and s.mode is Mode.DISARMED else s.gripper_found
        s = self._doubted(s, now, arm)
        return replace(s, arm=arm, playback=playback, ramp=ramp, gripper_found=found, fresh_refusal=False)

    def _doubted(self, s: _Situation, now: int, arm: ArmState | None) -> _Situation:
        """What the feedback says of the arm's obedience; what was seen before a silence of this loop does not count."""
        if arm is None or self._silent(s, now):
            return replace(s, record=obedience.Record(), disobeyed=None)
        patience = self._config.deadlines.feedback_stop
        record, verdict = obedience.watched(s.record, arm, s.ramp, now, self._bounds, patience)
        return replace(s, record=record, disobeyed=verdict)

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
        stale, frozen = self._late(now, inputs.cameras, 0.0), self._late(now, inputs.changes, 0.0)
        found += [f"no fresh frames from camera {name}" for name in stale]
        found += [f"camera {name} shows the same picture again and again" for name in frozen if name not in stale]
        if abs(now - inputs.policy) > config.deadlines.camera_disarm * SECOND:
            found.append("no sign of life from the policy")
        if inputs.distrusted:
            found.append("a clock has just stepped: wait a second")
        return [*found, inputs.unguarded] if inputs.unguarded else found

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

    def _late(self, now: int, stamps: Mapping[str, int], deadline: float) -> list[str]:
        """Cameras whose stamp is older than `deadline` s, or than camera_hold and three periods where `deadline` is 0."""
        names = []
        for name, stamp in stamps.items():
            allowed = deadline or max(self._config.deadlines.camera_hold, 3 / self._config.cameras[name].rate)
            if abs(now - stamp) > allowed * SECOND:
                names.append(name)
        return names

    def _watched(self, s: _Situation, now: int, inputs: Inputs) -> _Situation:
        """What stops the arm whatever it is doing."""
        if s.mode is Mode.STOPPED:
            return s
        deadlines, arm = self._config.deadlines, inputs.arm
        if inputs.requests.stop:
            return _stopped(s, Verdict.STOP_REQUESTED)
        if s.mode is Mode.DISARMED:
            return s
        if self._silent(s, now):
            return _stopped(s, Verdict.STOP_WATCHDOG)
        if arm is None or abs(now - arm.stamp) > deadlines.feedback_stop * SECOND:
            return _stopped(s, Verdict.STOP_FEEDBACK)
        if s.disobeyed is not None:
            return _stopped(s, s.disobeyed)
        if arm.fault:
            return _stopped(s, Verdict.STOP_FAULT)
        if np.linalg.norm(arm.force) > self._config.limits.force_stop:
            return _stopped(s, Verdict.STOP_FORCE)
        if inputs.node is not None and abs(now - inputs.node) > deadlines.arm_node * SECOND:
            return _disarmed(s, Verdict.NODE_SILENT)
        return s

    def _asked(self, s: _Situation, now: int, inputs: Inputs) -> _Situation:
        """What people ask for: enable, disable, reset, and the empty instruction."""
        asked = inputs.requests
        if s.mode is Mode.STOPPED:
            free = asked.reset and not asked.stop and not self.reset_obstacles(now, inputs)
            return replace(s, mode=Mode.DISARMED, verdict=Verdict.DISARMED, alarms=0) if free else s
        if asked.disable:
            return _disarmed(s, Verdict.DISARMED)
        if asked.enable and s.mode is Mode.DISARMED and s.arm and not self.arming_obstacles(now, inputs):
            armed = replace(s, mode=Mode.IDLE, verdict=Verdict.IDLE, alarms=0, gripper=None, rejoining=False)
            return replace(armed, tare=s.arm.force)
        if inputs.instruction == "" and s.mode in (Mode.ACTIVE, Mode.HOLD):
            return _idle(s)
        return s

    def _clutched(self, s: _Situation, now: int, inputs: Inputs) -> _Situation:
        """The clutch: taken where the arm is armed and its feedback fresh, given back to nobody."""
        released = self._released(now, inputs)
        if s.mode is Mode.TELEOP and released is not None:
            return replace(_idle(s), verdict=released, rejoining=True, joined=False)
        if released is None and s.mode in _PLAYABLE:
            s = replace(s, mode=Mode.TELEOP, verdict=Verdict.TELEOP_JOINING, playback=None, exhausted=0, joined=False)
        if s.mode is Mode.TELEOP and not s.joined and not s.ramp.twist.any():
            return replace(s, joined=True, verdict=Verdict.TELEOP)
        return s

    def _released(self, now: int, inputs: Inputs) -> Verdict | None:
        """Why nobody moves the arm by hand; None while the clutch is held."""
        teleop, arm, deadlines = inputs.teleop, inputs.arm, self._config.deadlines
        if teleop is None or abs(now - teleop.stamp) > deadlines.teleop * SECOND:
            return Verdict.IDLE
        if not np.isfinite(teleop.twist).all():
            return Verdict.TELEOP_NOT_FINITE
        fresh = arm is not None and abs(now - arm.stamp) <= deadlines.feedback_hold * SECOND
        return None if fresh else Verdict.FEEDBACK_STALE

    def _taken(self, s: _Situation, now: int, inputs: Inputs) -> _Situation:
        """A chunk that arrived: played, refused, or the word that there is nothing to do."""
        chunk, arm = inputs.chunk, inputs.arm
        if chunk is None or arm is None or s.mode not in _PLAYABLE:
            return s
        if s.rejoining and s.ramp.twist.any():
            return s  # the tool still brakes after a clutch was released
        verdict = admission.judge(chunk, arm, now, self._config, self.playing, inputs.instruction)
        if verdict is Verdict.OK and inputs.distrusted and len(chunk):
            verdict = Verdict.CLOCK_STEP
        if verdict is not Verdict.OK:
            return _refused(s, verdict)
        if len(chunk) == 0:
            return _idle(s)
        taken = replace(s, mode=Mode.ACTIVE, verdict=Verdict.OK, alarms=0, exhausted=0, rejoining=False, began=now)
        if s.playback is None or self._spent(s.playback) or player.held_up(s.playback, arm.tool):
            playback = player.begin(chunk, now, arm.tool, s.ramp.twist, s.ramp.rate, self._rules)
        else:
            playback = player.join(s.playback, chunk, now)
        return replace(taken, playback=playback)

    def _spent(self, playback: player.Playback) -> bool:
        """Whether there is nothing left to play: all was played, or the motion was held up for so long that it is of the past."""
        return player.over(playback) or playback.lag > self._config.deadlines.chunk_disarm * SECOND

    def _timed(self, s: _Situation, now: int, inputs: Inputs) -> _Situation:
        """Silence of cameras, feedback and policy; pictures that do not change; clocks that step."""
        if s.mode not in (Mode.ACTIVE, Mode.HOLD):
            return s
        deadlines = self._config.deadlines
        for stamps, verdict in ((inputs.cameras, Verdict.CAMERA_STALE), (inputs.changes, Verdict.CAMERA_FROZEN)):
            if self._late(now, stamps, deadlines.camera_disarm):
                return _disarmed(s, verdict)
            if self._late(now, stamps, 0.0):
                return _held_up(s, verdict, now)
        if inputs.distrusted:
            return _held_up(s, Verdict.CLOCK_STEP, now)
        if inputs.arm is None or abs(now - inputs.arm.stamp) > deadlines.feedback_hold * SECOND:
            return _held_up(s, Verdict.FEEDBACK_STALE, now)
        if s.playback is not None and not self._spent(s.playback):
            return s
        since = s.exhausted or now
        if now - since > deadlines.chunk_disarm * SECOND:
            return _disarmed(s, Verdict.CHUNK_LATE)
        if now - since > deadlines.chunk_hold * SECOND:
            return _held_up(s, s.verdict if s.mode is Mode.HOLD else Verdict.CHUNK_LATE, since)
        return replace(s, exhausted=since)

    def _moved(self, s: _Situation, now: int, inputs: Inputs) -> tuple[Ruling, _Situation]:
        """The governed motion of this cycle."""
        limits, arm = self._config.limits, inputs.arm
        dt = min(self._elapsed(s, now), 2 * self._period) / SECOND
        if s.mode is Mode.STOPPED:
            return governor.stop(s.ramp, dt, limits, s.verdict), s
        if s.mode is Mode.TELEOP and s.joined and arm is not None and inputs.teleop is not None:
            ruling = governor.govern(_teleoperated(inputs.teleop, arm), arm, s.ramp, dt, self._bounds)
            return ruling, s if inputs.teleop.gripper is None else self._gripped(s, inputs.teleop.gripper, now)
        playback = s.playback
        if s.mode is not Mode.ACTIVE or arm is None or playback is None:
            resting = Verdict.END_OF_CHUNK if s.mode is Mode.ACTIVE else s.verdict
            return governor.brake(s.ramp, dt, limits, resting), s
        wanted = player.setpoint(playback, now)
        s = self._gripped(s, wanted.gripper, now)  # also behind the last target, where a tool that lags may not be yet
        if self._spent(playback):
            return governor.brake(s.ramp, dt, limits, Verdict.END_OF_CHUNK), s
        wish = tracker.track(wanted, arm.tool, self._config.servo.gain)
        return governor.govern(wish, arm, s.ramp, dt, self._bounds), s

    def _gripped(self, s: _Situation, target: float, now: int) -> _Situation:
        """The gripper's target, changed at most `gripper_rate` times a second and only by more than the dead band."""
        servo = self._config.servo
        if not np.isfinite(target):
            return s
        target = min(1.0, max(0.0, target))
        small = s.gripper is not None and abs(target - s.gripper) < servo.gripper_deadband
        if small or now - s.gripper_changed < SECOND / servo.gripper_rate:
            return s
        return replace(s, gripper=target, gripper_changed=now)


def _tared(s: _Situation) -> ArmState | None:
    """The feedback to act on: armed, without the force that was on the tool when it was enabled."""
    if s.arm is None or s.mode is Mode.DISARMED or not s.tare.any():
        return s.arm
    return replace(s.arm, force=s.arm.force - s.tare)


def _teleoperated(teleop: Teleop, arm: ArmState) -> Array:
    """The wish of the hand in the base frame (6,)."""
    if not teleop.in_tool:
        return teleop.twist
    turn = geometry.matrix(arm.tool.quaternion)
    return np.concatenate([turn @ teleop.twist[:3], turn @ teleop.twist[3:]])


def _said(s: _Situation, ruling: Ruling) -> Verdict:
    """Why the command is what it is: a chunk just refused comes first, else what bounds the motion, else the mode."""
    if s.fresh_refusal and s.mode is not Mode.STOPPED:
        return s.refusal
    if s.mode is Mode.TELEOP:
        return s.verdict if ruling.verdict in (Verdict.OK, Verdict.ACCELERATION_LIMITED) else ruling.verdict
    return ruling.verdict if s.mode in (Mode.ACTIVE, Mode.IDLE) else s.verdict


def _stopped(s: _Situation, verdict: Verdict) -> _Situation:
    return replace(s, mode=Mode.STOPPED, verdict=verdict, playback=None, exhausted=0)


def _disarmed(s: _Situation, verdict: Verdict) -> _Situation:
    return replace(s, mode=Mode.DISARMED, verdict=verdict, playback=None, exhausted=0, alarms=0)


def _idle(s: _Situation) -> _Situation:
    return replace(s, mode=Mode.IDLE, verdict=Verdict.IDLE, playback=None, alarms=0, exhausted=0)


def _held_up(s: _Situation, verdict: Verdict, since: int) -> _Situation:
    """Braking, and waiting for what is missing since then."""
    return replace(s, mode=Mode.HOLD, verdict=verdict, playback=None, exhausted=s.exhausted or since)


def _refused(s: _Situation, verdict: Verdict) -> _Situation:
    """The chunk is not played; the third alarming one running stops the arm, one alone holds it, any other leaves it alone."""
    s = replace(s, refused=s.refused + 1, refusal=verdict, fresh_refusal=True)
    if verdict not in admission.ALARMING:
        return s
    if s.alarms + 1 >= REFUSALS:
        return _stopped(s, Verdict.STOP_CHUNKS)
    return replace(s, mode=Mode.HOLD, verdict=verdict, alarms=s.alarms + 1, playback=None)
