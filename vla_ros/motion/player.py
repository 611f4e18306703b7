"""The player reads chunks at the control rate: where the tool should be now, and how fast it should move when the arm gets to it.

Everything lives on the *play time* of a playback, ns since it began. It goes on by what the governor let through, so that it
measures what was really played. There are two hands on that clock: the velocity *sent* now is that of the play time which the
clock shows; it is *felt* `lead` later, so the pose wanted now is that of the play time which the clock showed `lead` ago. A chunk
that was made from what was seen at a moment joins with its own clock at its stamp where the play time felt at that moment was:
what is past is dropped by what was consumed, not by time.

A chunk that joins takes over at what is sent now: the motion from what is felt to there has been sent already and stays as it is.
There the difference between the motion under way and the chunk's own path, in pose, velocity and acceleration, becomes an offset
that a quintic leads to zero. So both hands go through the seam smoothly, and it is measured where it is made.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.polynomial import polynomial

from vla_ros import geometry
from vla_ros.clock import MILLISECOND, SECOND
from vla_ros.config.schema import Config
from vla_ros.geometry import Array, Pose
from vla_ros.motion.ensemble import Prediction, ensemble
from vla_ros.motion.path import Motion, Path, along, carried, departure, displaced, quintic, value
from vla_ros.values import ActionChunk, Setpoint

MEMORY = 600 * MILLISECOND
"""How long it is remembered what was sent when: as long as `lead` and the age of a chunk together, else it counts as less old."""
PASSAGES = 256
"""Cycles remembered at most."""
STRIDE = 4 * MILLISECOND
"""Play time between two places on the path that are remembered at least: the shortest period of the servo."""
BEHIND = 300 * MILLISECOND
"""Path time by which a tool that lags holds the gripper back at most."""
NEAR = 0.001
"""m along the path within which a tool counts as being where it is nearest to: where the path stands still, time decides."""
SPACING = 8 * MILLISECOND
"""Play time between two pieces at least: bounds their number where chunks come faster than `lead`."""
CHUNKS = 8
"""Chunks that an ensemble averages at most."""
HELD_UP = 0.7
"""Share of the time that the play time must have lost for a motion to count as held up."""
LEFT_BEHIND, LEFT_TURNED = 0.010, math.radians(6)
"""m and rad from the tool to where it is wanted, beyond which the motion under way is no motion of the tool."""
STILL = 0.005
"""m/s below which a tool that begins to play counts as being at rest."""

_HALF = 0.495
"""Share of the caps that an offset's decay may take: half, less what the true peak may lie above the sampled one."""
_PACE = 1.5 / 0.8
"""Acceleration is 1.5·v/T at most while a velocity v is taken up by v·(3u² - 2u³) in T: T such that it is 80 % of the cap."""
_ABOUT = 1.05
"""A peak that is higher than the lowest one by no more is as good: it saves a blend from being much longer for next to nothing."""
_LONGEST = 0.4
"""s that a blend is lengthened to at most: what a policy says now counts more than how gently it is followed. Of 0.15 to 5 s it gave
the shortest picks of `models/demo`; with 5 s two of 31 were lost."""
_RUNGS = np.linspace(0.0, 1.0, 33)
"""Lengths that are tried, from the rules' blend to the longest, evenly by their logarithm."""
_SHARES = np.linspace(0.0, 1.0, 33)
_DECAY = quintic(np.eye(3), np.zeros((3, 3)))
# first and second derivative by share of the blend (33, 3) of a quintic that leads value, slope and curvature (3,) to zero
_RATES, _BENDS = (_SHARES[:, None] ** np.arange(6 - k) @ polynomial.polyder(_DECAY, k) for k in (1, 2))


@dataclass(frozen=True)
class Rules:
    """How chunks are played. ns: `lead` from a command to its motion, `blend` of a seam at least, `gripper_delay`.

    `decay` is m of the ensemble's weights exp(-m·i). The rest are the caps of the tool: m/s, rad/s, m/s², rad/s².
    """

    lead: int
    blend: int
    merge: Literal["blend", "replace", "ensemble"]
    decay: float
    gripper_delay: int
    speed: float
    turn_speed: float
    acceleration: float = math.inf
    turn_acceleration: float = math.inf

    @classmethod
    def of(cls, config: Config) -> Rules:
        """Those of a configuration. The lead is the arm's delay alone: the governor's shaping lets a smooth path through."""
        servo, limits = config.servo, config.limits
        return cls(
            round(servo.delay * SECOND),
            round(servo.blend * SECOND),
            servo.merge,
            servo.ensemble_decay,
            round(servo.gripper_delay * SECOND),
            limits.speed,
            limits.turn_speed,
            limits.acceleration,
            limits.turn_acceleration,
        )


@dataclass(frozen=True)
class Seam:
    """Where two chunks met, measured at the moment when the newer one takes over.

    `consumed` targets of it were past when it came. The gap is by what its path and the motion under way disagreed: m, m/s, rad.
    `jump` (m, m/s, m/s², m/s³) and `turn_jump` (rad, rad/s, rad/s², rad/s³) are what of it is left in the reference.
    """

    consumed: int
    gap_position: float
    gap_velocity: float
    gap_rotation: float
    jump: tuple[float, float, float, float]
    turn_jump: tuple[float, float, float, float]


class Passage(NamedTuple):
    """At `now` (ns) what was sent was that of play time `sent` (ns)."""

    now: int
    sent: int


class Place(NamedTuple):
    """At play time `play` (ns) the tool was wanted at x, y, z (m)."""

    play: int
    x: float
    y: float
    z: float


@dataclass(frozen=True)
class Piece:
    """A path that leads from play time `begin` on, with its stamp at play time `stamp`.

    `offset` (6, 6) are the coefficients of the displacement (m, rad) that is led to zero in the first `blend` ns. `grippers` are the
    targets that may be played.
    """

    path: Path
    stamp: int
    begin: int
    grippers: Array
    offset: Array
    blend: int

    def clock(self, play: int) -> int:
        """Moment of the path's own clock."""
        return self.path.stamp + play - self.stamp

    def motion(self, play: int) -> Motion:
        """Wanted motion at a play time."""
        plain = self.path.motion(self.clock(play))
        if not self._blending(play):
            return plain
        return carried(plain, along(self.offset, self._share(play), self.blend / SECOND))

    def pose(self, play: int) -> Pose:
        """Wanted pose at a play time, alone."""
        plain = self.path.pose(self.clock(play))
        return displaced(plain, value(self.offset, self._share(play))) if self._blending(play) else plain

    def gripper(self, play: int) -> float:
        """Gripper target whose interval holds a play time: target k rules from stamp + k·step on."""
        k = (play - self.stamp) // self.path.step
        return float(self.grippers[min(max(0, k), len(self.grippers) - 1)])

    def _blending(self, play: int) -> bool:
        return 0 <= play - self.begin < self.blend

    def _share(self, play: int) -> float:
        return (play - self.begin) / self.blend


class Voice(NamedTuple):
    """A chunk as it came, for the ensemble: its path with its stamp at play time `stamp`, and all its grippers."""

    path: Path
    stamp: int
    grippers: Array


@dataclass(frozen=True)
class Playback:
    """A chunk being played, and what of those before it still counts.

    At `now` the motion of play time `sent` is sent and that of `felt` is felt, and the tool has come along to `progress`. `history`
    is what was sent when and `trail` where the path led, oldest first; `pieces` lead one after another. When the chunk `joined` (ns),
    play time was behind time by `delayed`; in the first `pace` ns the motion gathered pace.
    """

    chunk: ActionChunk
    rules: Rules
    now: int
    sent: int
    felt: int
    progress: int
    joined: int
    delayed: int
    pace: int
    history: tuple[Passage, ...]
    trail: tuple[Place, ...]
    pieces: tuple[Piece, ...]
    voices: tuple[Voice, ...]
    seam: Seam | None

    @property
    def lag(self) -> int:
        """ns that the play time has lost against time since the chunk joined."""
        return self.now - self.sent - self.delayed


def begin(chunk: ActionChunk, now: int, here: Pose, twist: Array, rate: Array, rules: Rules) -> Playback:
    """Play `chunk` with a tool at `here` that no chunk leads and that was sent `twist` (6,) with rate (6,) last, base frame.

    A tool at rest has consumed nothing: it starts at the chunk's beginning, and as gently as it can. One that moves will, when it
    feels what is sent now, have done what was sent before: it starts where the chunk's path is nearest to there, at most as far on as
    the chunk is old.
    """
    if float(np.linalg.norm(twist[:3])) < STILL:
        return _from_rest(chunk, now, here, twist, rate, rules)
    path = Path.of(chunk)
    coast = Path.coast(here, twist, rate, -rules.lead, 0)
    begun = _nearest(path, coast.pose(0).position, max(0, now - chunk.stamp) + rules.lead)
    blend = _blend(departure(coast.motion(0), path.motion(path.stamp + begun)), rules)
    history = (Passage(now - rules.lead, -rules.lead), Passage(now, 0))
    return _begun(chunk, coast, Voice(path, -begun, chunk.grippers), blend, 0, history, rules)


def _from_rest(chunk: ActionChunk, now: int, here: Pose, twist: Array, rate: Array, rules: Rules) -> Playback:
    """Take up the path's velocity v in T by v·(3u² - 2u³): the offset's quintic, if the chunk's clock is at its stamp after T/2."""
    path = Path.of(chunk)
    coast = Path.coast(here, twist, rate, 0, 0)
    start = path.motion(path.stamp)
    turning = float(np.linalg.norm(start.velocity[3:])) / rules.turn_acceleration
    gentle = _PACE * max(turning, float(np.linalg.norm(start.velocity[:3])) / rules.acceleration)
    apart = departure(coast.motion(0), start)
    apart[1:] = 0.0
    pace = max(round(gentle * SECOND), _blend(apart, rules))
    return _begun(chunk, coast, Voice(path, pace // 2, chunk.grippers), pace, pace, (Passage(now, 0),), rules)


def _begun(
    chunk: ActionChunk, coast: Path, voice: Voice, blend: int, pace: int, history: tuple[Passage, ...], rules: Rules
) -> Playback:
    """A playback in which the chunk takes over from `coast` at play time 0, now."""
    first, now = history[0].sent, history[-1].now
    grippers = _executable(chunk)
    prefix = Piece(coast, coast.stamp, first, grippers[:1], np.zeros((6, 6)), 0)
    piece = _blended(voice.path, voice.stamp, 0, grippers, prefix.motion(0), blend)
    trail = (Place(first, *prefix.pose(first).position.tolist()),)
    return Playback(chunk, rules, now, 0, first, first, now, now, pace, history, trail, (prefix, piece), (voice,), None)


def join(playback: Playback, chunk: ActionChunk, now: int) -> Playback:
    """Let `chunk`, which came at `now`, take over from what is being played, by the rules' merge."""
    rules = playback.rules
    seen = _felt(playback.history, chunk.stamp, rules)
    voice = Voice(Path.of(chunk), _settled(seen, playback.pace), chunk.grippers)
    voices = (*(v for v in playback.voices if _last(v) > playback.felt), voice)[-CHUNKS:]
    path, grippers = voice.path, _executable(chunk)
    if rules.merge == "ensemble" and len(voices) > 1:
        merged = _averaged(chunk, voices, rules.decay)
        path, grippers = Path.of(merged), _executable(merged)
    kept, takeover = _takeover(playback)
    under_way = _leading(kept, takeover).motion(takeover)
    if rules.merge == "replace":
        piece = Piece(path, voice.stamp, takeover, grippers, np.zeros((6, 6)), 0)
    else:
        blend = _blend(departure(under_way, path.motion(path.stamp + takeover - voice.stamp)), rules)
        piece = _blended(path, voice.stamp, takeover, grippers, under_way, blend)
    consumed = min(max(0, (playback.felt - voice.stamp) // chunk.step), len(chunk))
    return replace(
        playback,
        chunk=chunk,
        joined=now,
        delayed=now - playback.sent,
        pieces=(*kept, piece),
        voices=voices,
        seam=_seam(consumed, under_way, piece),
    )


def setpoint(playback: Playback, now: int) -> Setpoint:
    """Wanted tool pose, the velocity to send for it, which is that of `lead` later, and the gripper target.

    `now` is the moment that the playback was advanced to.
    """
    since = now - playback.now
    felt, sent = playback.felt + since, playback.sent + since
    pose = _leading(playback.pieces, felt).pose(felt)
    twist = _leading(playback.pieces, sent).motion(sent).velocity
    return Setpoint(pose, twist, _gripper(playback))


def advanced(playback: Playback, now: int, scale: float, measured: Pose) -> Playback:
    """The playback one cycle later, in which the share `scale` (0 … 1) of the wanted motion was let through.

    `measured` is where the tool is: how far it has come along the path decides about the gripper.
    """
    period = max(0, now - playback.now)
    sent = playback.sent + round(period * min(1.0, max(0.0, scale)))
    history = _remembered(playback.history, Passage(now, sent))
    felt = _felt(history, now, playback.rules)
    wanted = Place(felt, *_leading(playback.pieces, felt).pose(felt).position.tolist())
    moved = replace(playback, now=now, sent=sent, felt=felt, history=history)
    # no chunk leads the tool on any more: what the gripper was to do it does now
    progress = felt if over(moved) else _progress(moved, wanted, measured.position)
    return replace(
        moved, progress=progress, trail=_trailed(playback.trail, wanted), pieces=_pending(playback.pieces, progress)
    )


def over(playback: Playback) -> bool:
    """Whether the targets of the newest chunk that may be played have been: passed, or, of a whole chunk, come to rest at."""
    piece = playback.pieces[-1]
    path, count = piece.path, len(piece.grippers)
    ends = count * path.step if count < len(path.positions) else path.end - path.stamp
    return playback.felt >= piece.stamp + ends


def held_up(playback: Playback, measured: Pose) -> bool:
    """Whether the motion is not that of the tool any more, so that a new chunk had better begin from where the tool is.

    Because most of it was not let through since the chunk joined, so that the play time stands, and with it the blend that would lead
    away from what is in the way; or because the tool is somewhere else.
    """
    if playback.lag > HELD_UP * (playback.now - playback.joined):
        return True
    wanted = _leading(playback.pieces, playback.felt).pose(playback.felt)
    apart = float(np.linalg.norm(wanted.position - measured.position))
    turned = float(np.linalg.norm(geometry.difference(wanted.quaternion, measured.quaternion)))
    return apart > LEFT_BEHIND or turned > LEFT_TURNED


def _executable(chunk: ActionChunk) -> Array:
    """Gripper targets that may be played."""
    return chunk.grippers[: max(1, chunk.execute)]


def _leading(pieces: tuple[Piece, ...], play: int) -> Piece:
    """The piece that leads at a play time; before all of them, the first."""
    for piece in reversed(pieces):
        if piece.begin <= play:
            return piece
    return pieces[0]


def _pending(pieces: tuple[Piece, ...], progress: int) -> tuple[Piece, ...]:
    """Without the pieces that are over even for a tool that lags."""
    done = sum(after.begin <= progress for after in pieces[1:])
    return pieces[done:]


def _takeover(playback: Playback) -> tuple[tuple[Piece, ...], int]:
    """The pieces that something was read from already, and the play time at which the next one may begin."""
    kept = playback.pieces[:1] + tuple(piece for piece in playback.pieces[1:] if piece.begin < playback.sent)
    return kept, max(playback.sent, kept[-1].begin + SPACING)


def _blended(path: Path, stamp: int, begin: int, grippers: Array, under_way: Motion, blend: int) -> Piece:
    """A piece that begins with the motion under way."""
    offset = departure(under_way, path.motion(path.stamp + begin - stamp))
    seconds = blend / SECOND
    scaled = offset * np.array([[1.0], [seconds], [seconds * seconds]])
    return Piece(path, stamp, begin, grippers, quintic(scaled, np.zeros((3, 6))), blend)


def _blend(offset: Array, rules: Rules) -> int:
    """ns in which an offset (3, 6) is led to zero: the rules' blend, or as much longer as it needs to stay under half the caps.

    What accelerates more than the governor lets through would end up longer than it was planned, and the tool beyond its path. An
    offset that is too fast to begin with, or whose acceleration makes it so, gets about the lowest peak that there is.
    """
    shortest = rules.blend / SECOND
    t = shortest * max(1.0, _LONGEST / shortest) ** _RUNGS
    one = np.ones_like(t)
    rates = _RATES @ (np.stack([1 / t, one, t], axis=1)[:, :, None] * offset)  # (lengths, shares, 6)
    bends = _BENDS @ (np.stack([1 / t**2, 1 / t, one], axis=1)[:, :, None] * offset)
    excess = np.maximum(
        _peak(rates) @ np.diag([1 / rules.speed, 1 / rules.turn_speed]),
        _peak(bends) @ np.diag([1 / rules.acceleration, 1 / rules.turn_acceleration]),
    ).max(axis=1)
    fits = excess <= max(_HALF, _ABOUT * float(excess.min()))
    return round(float(t[np.argmax(fits)]) * SECOND)


def _peak(rates: Array) -> Array:
    """Highest length (lengths, 2) of the linear and the turning half of rates (lengths, shares, 6)."""
    squares = (rates * rates).reshape(*rates.shape[:2], 2, 3).sum(axis=3)
    return np.asarray(np.sqrt(squares.max(axis=1)))


def _nearest(path: Path, position: Array, latest: int) -> int:
    """ns after the path's stamp, at most `latest`, at which it is nearest to a position: to a five-hundredth of that time."""
    low, high = 0.0, float(min(latest, path.end - path.stamp))
    for _ in range(2):
        since = np.linspace(low, high, 33, dtype=np.float64)
        positions, _quaternions = path.poses(since)
        best = float(since[np.argmin(((positions - position) ** 2).sum(axis=1))])
        reach = (high - low) / 32
        low, high = max(low, best - reach), min(high, best + reach)
    return int(best)


def _last(voice: Voice) -> int:
    """Play time up to which a chunk predicts: that of the last target that its path passes, for at the very last one it brakes."""
    return voice.stamp + max(1, len(voice.grippers) - 1) * voice.path.step


def _averaged(chunk: ActionChunk, voices: tuple[Voice, ...], decay: float) -> ActionChunk:
    """The chunk with its targets averaged with what those before it, voices[:-1], predict for the same play times."""
    newest = voices[-1]
    times = newest.stamp + newest.path.step * np.arange(1.0, len(chunk) + 1, dtype=np.float64)
    own = Prediction(newest.path.positions, newest.path.quaternions, newest.grippers)
    mean = ensemble(own, [_predicted(voice, times) for voice in voices[:-1]], decay)
    return replace(chunk, positions=mean.positions, quaternions=mean.quaternions, grippers=mean.grippers)


def _predicted(voice: Voice, times: Array) -> Prediction:
    """What a chunk predicts for play times (n,); NaN where it no longer does."""
    since = times - voice.stamp
    positions, quaternions = voice.path.poses(since)
    # a gripper target rules up to its moment
    interval = np.clip((since - 1) // voice.path.step, 0, len(voice.grippers) - 1).astype(int)
    grippers = np.where(times <= _last(voice), voice.grippers[interval], np.nan)
    return Prediction(positions, quaternions, grippers)


def _seam(consumed: int, under_way: Motion, piece: Piece) -> Seam:
    wanted = piece.path.motion(piece.clock(piece.begin))
    jump, turn_jump = _apart(piece.motion(piece.begin), under_way)
    gap, turn_gap = _apart(wanted, under_way)
    return Seam(consumed, gap[0], gap[1], turn_gap[0], jump, turn_jump)


def _apart(a: Motion, b: Motion) -> tuple[tuple[float, float, float, float], tuple[float, float, float, float]]:
    """By what two motions differ, in place and in turn: themselves and their first three derivatives."""
    place = np.linalg.norm(a.pose.position - b.pose.position)
    turn = np.linalg.norm(geometry.difference(a.pose.quaternion, b.pose.quaternion))
    differences = np.stack([a.velocity - b.velocity, a.acceleration - b.acceleration, a.jerk - b.jerk])
    v, w = (np.linalg.norm(half, axis=1).tolist() for half in (differences[:, :3], differences[:, 3:]))
    return (float(place), v[0], v[1], v[2]), (float(turn), w[0], w[1], w[2])


def _felt(history: tuple[Passage, ...], moment: int, rules: Rules) -> int:
    """Play time that is felt at a moment: what was sent `lead` before. At the end of the memory, the first that was."""
    moment -= rules.lead
    first, last = history[0], history[-1]
    if moment >= last.now:
        return last.sent + moment - last.now
    if moment <= first.now:
        return first.sent
    i = bisect_right(history, moment, key=lambda passage: passage.now)
    a, b = history[i - 1], history[i]
    return a.sent + (b.sent - a.sent) * (moment - a.now) // (b.now - a.now)


def _settled(felt: int, pace: int) -> int:
    """Play time at which, at full speed, as much is left of a motion that gathers pace as there is at `felt`: T/2 + ∫(3u² - 2u³)."""
    if pace == 0 or felt >= pace:
        return felt
    u = felt / pace
    return round(pace * (0.5 + u**3 - 0.5 * u**4))


def _remembered(history: tuple[Passage, ...], newest: Passage) -> tuple[Passage, ...]:
    """The history with one passage more, as far back as `MEMORY` and one older."""
    history = (*history, newest)[-PASSAGES:]
    forgotten = bisect_right(history, newest.now - MEMORY, key=lambda passage: passage.now)
    return history[max(0, forgotten - 1) :]


def _trailed(trail: tuple[Place, ...], newest: Place) -> tuple[Place, ...]:
    """The trail as far back as a tool may be behind, with the newest place unless the last one is hardly older."""
    if newest.play - trail[-1].play < STRIDE:
        return trail
    left = bisect_right(trail, newest.play - BEHIND, key=lambda place: place.play)
    return (*trail[max(0, left - 1) :], newest)


def _progress(playback: Playback, wanted: Place, measured: Array) -> int:
    """Play time to which the tool has come: the latest one at which the path is nearest to it, to `NEAR` along the path.

    It never goes back, is never ahead of what is felt, where the tool is `wanted`, and never more than `BEHIND` behind it.
    """
    earliest = max(playback.progress, playback.felt - BEHIND)
    x, y, z = measured.tolist()
    passed = []
    for place in (wanted, *reversed(playback.trail)):
        if place.play < earliest:
            break
        distance = (place.x - x) ** 2 + (place.y - y) ** 2 + (place.z - z) ** 2
        passed.append((distance, place.play))
    nearest = min((distance for distance, _ in passed), default=0.0) + NEAR * NEAR
    return max((play for distance, play in passed if distance <= nearest), default=earliest)


def _gripper(playback: Playback) -> float:
    moment = playback.progress + playback.rules.gripper_delay
    return _leading(playback.pieces, moment).gripper(moment)
