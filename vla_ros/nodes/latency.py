"""The trace of every chunk from light to motion, from what the servo says of each of its cycles. No ROS in here.

exposure → received → encoded → decided → first command → motion. The last is no event that anybody reports: it is the first command
plus the arm's delay, which is estimated all the while from the commanded and the measured velocity of the tool.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_ros import geometry, kinematics
from vla_ros.clock import MILLISECOND, SECOND
from vla_ros.config import Config
from vla_ros.geometry import Array
from vla_ros.nodes.statistics import Ring, quantiles

STAGES = ("received", "encoded", "decided", "command", "motion")
"""Moments in the life of a chunk, ms after the exposure behind it."""
STEPS = {"encode": (0, 1), "decide": (1, 2), "send": (2, 3), "move": (3, 4)}
"""From which stage to which each step leads."""
SPAN = 60 * SECOND
AT_LEAST = 1000
"""Chunks are kept for SPAN, and the newest AT_LEAST for longer."""
MOST = 6000
WINDOW = 4.0
"""Seconds of motion in which the delay is looked for."""
GRID = 0.010
LONGEST = 0.300
"""Delays up to this many seconds are looked for, on a grid of GRID s."""
GAP = 0.1
"""s without a sample, after which a window tells nothing: the loop was held up, or nobody looked."""
MOVING = 0.008
"""m/s: the least standard deviation of the commanded velocity that tells a delay; a steady motion tells none."""
ALIKE = 0.85
"""Correlation under which measured and commanded velocity do not count as the same motion."""
DELAYS = 60
"""Estimates of the delay that are kept: one a second."""


class Stages:
    """What the newest chunks and seams were like. `see` wants every record of blocks.STATUS, in order."""

    def __init__(self, config: Config) -> None:
        self._caps = config.limits.speed, config.limits.turn_speed
        self._chunks, self._chunk = Ring(MOST, 1 + len(STAGES)), (0, 0)
        self._seams, self._seam = Ring(MOST, 3), -1
        self._delays, self._delay = Ring(DELAYS), np.nan
        self._missed, self._late = 0, Ring(MOST)
        self._motion = _Motion(int((WINDOW + LONGEST) * config.servo.rate) + 1)
        self._due = self._now = 0

    def see(self, record: Any, now: int) -> None:
        """One cycle of the servo, seen at `now` (ns, monotonic)."""
        self._motion.add(record)
        self._now = now
        chunk = int(record["chunk_began"]), int(record["chunk_sequence"])
        if chunk != self._chunk and chunk[0]:
            self._chunk = chunk
            self._chunks.add((now, *self._trace(record)))
        seams = int(record["seams"])
        if seams > self._seam >= 0:
            self._seams.add((now, *self._jump(record)))
        self._seam = seams
        self._missed = int(record["missed"])
        self._late.add((int(record["late"]) / MILLISECOND,))
        if now >= self._due:
            self._due = now + SECOND
            self._estimate()

    def _trace(self, record: Any) -> list[float]:
        """ms from exposure to each stage; NaN where it is not known."""
        exposure = int(record["chunk_stamp"])
        moments = [int(record[f"chunk_{stage}"]) for stage in ("received", "encoded", "decided", "began")]
        known = [(moment - exposure) / MILLISECOND if moment and exposure else np.nan for moment in moments]
        return [*known, known[-1] + self._delay]

    def _jump(self, record: Any) -> tuple[float, float]:
        """The jump of the reference's velocity, and of its turning, as shares of the caps."""
        speed, turn = self._caps
        return float(record["seam_jump"][1]) / speed, float(record["seam_turn_jump"][1]) / turn

    def _estimate(self) -> None:
        delay = self._motion.delay()
        if delay is not None:
            self._delay = delay * 1e3
            self._delays.add((self._delay,))

    def values(self) -> dict[str, float]:
        """Quantiles of every stage and step (ms), of the delay, of the seams (share of the cap), and how many chunks they are of.

        At the moment of the last `see`. What is not known is left out.
        """
        chunks = _kept(self._chunks, self._now)[:, 1:]
        seams = _kept(self._seams, self._now)[:, 1:]
        found: dict[str, float] = {"chunks": float(len(chunks)), "missed": float(self._missed)}
        for k, stage in enumerate(STAGES):
            found |= quantiles(stage, chunks[:, k])
        for step, (start, end) in STEPS.items():
            found |= quantiles(f"step_{step}", chunks[:, end] - chunks[:, start])
        found |= quantiles("delay", self._delays.rows()[:, 0]) | {"delays": float(min(self._delays.added, DELAYS))}
        found |= quantiles("late", self._late.rows()[:, 0])
        found |= (
            {"seams": float(len(seams))} | _shares("seam_velocity", seams[:, 0]) | _shares("seam_turn", seams[:, 1])
        )
        return found


def _kept(ring: Ring, now: int) -> NDArray[np.float64]:
    """The rows of the last SPAN, or the newest AT_LEAST; each begins with its moment."""
    rows = ring.rows()
    young = int((rows[:, 0] >= now - SPAN).sum())
    return rows[-max(young, AT_LEAST) :]


def _shares(name: str, jumps: NDArray[np.float64]) -> dict[str, float]:
    """The largest jump and the 99th percentile."""
    if not len(jumps):
        return {}
    return {f"{name}_p99_share": float(np.percentile(jumps, 99)), f"{name}_max_share": float(jumps.max())}


class _Motion:
    """The last cycles' commanded twists and feedback, as they came: velocities are made of them only when they are asked for."""

    def __init__(self, size: int) -> None:
        self._commands = Ring(size, 1 + 3)
        self._feedback = Ring(size, 1 + 2 * kinematics.POSITION_LIMITS.size)
        self._begun = self._stamp = 0
        self._row = np.empty(1 + 2 * kinematics.POSITION_LIMITS.size)

    def add(self, record: Any) -> None:
        """Times are seconds since the first record: nanoseconds of a clock leave a float no digits."""
        beat, stamp = int(record["beat"]), int(record["arm_stamp"])
        self._begun = self._begun or beat
        x, y, z = record["twist"][:3].tolist()
        self._commands.add(((beat - self._begun) / SECOND, x, y, z))
        if stamp > self._stamp:
            self._stamp = stamp
            self._row[0] = (stamp - self._begun) / SECOND
            self._row[1:8], self._row[8:] = record["joints"], record["velocities"]
            self._feedback.add(self._row)

    def delay(self) -> float | None:
        """Seconds from the command to its motion; None where there is too little motion to tell."""
        commands, feedback = self._commands.rows(), self._feedback.rows()
        if len(commands) < 2 or len(feedback) < 2 or np.ptp(feedback[:, 0]) < WINDOW / 2:
            return None
        measured = tool_velocities(feedback[:, 1:8], feedback[:, 8:])
        return delay(commands[:, 0], commands[:, 1:], feedback[:, 0], measured)


def tool_velocities(joints: Array, rates: Array) -> Array:
    """Velocity (n, 3) m/s of the tool in the base frame at `joints` (n, 7) rad that turn at `rates` (n, 7) rad/s.

    The linear part of Jacobian times rates, for many samples at once: the tool's position and velocity are carried from the last
    link's frame to the base (Craig, Introduction to Robotics, eq. 5.47).
    """
    k = kinematics
    tip = k.GRIPPER_MOUNT.position + geometry.rotate(k.GRIPPER_MOUNT.quaternion, np.array([0, 0, k.TOOL_OFFSET]))
    place: Array = np.tile(tip, (len(joints), 1))
    velocity: Array = np.zeros_like(place)
    for link in range(joints.shape[1] - 1, -1, -1):
        cosine, sine, rate = np.cos(joints[:, link]), np.sin(joints[:, link]), rates[:, link]
        place, velocity = _turned(place, cosine, sine), _turned(velocity, cosine, sine)
        velocity[:, 0] -= rate * place[:, 1]
        velocity[:, 1] += rate * place[:, 0]
        rotation = geometry.matrix(k.LINK_QUATERNIONS[link]).T
        place, velocity = place @ rotation + k.LINK_POSITIONS[link], velocity @ rotation
    return velocity


def _turned(vectors: Array, cosine: Array, sine: Array) -> Array:
    """Vectors (n, 3), each turned about z by its own angle."""
    x, y, z = vectors.T
    return np.stack([cosine * x - sine * y, sine * x + cosine * y, z], axis=1)


def delay(sent: Array, commanded: Array, felt: Array, measured: Array) -> float | None:
    """By how many seconds the `measured` velocity (m, 3) at `felt` (m,) s follows the `commanded` one (n, 3) at `sent` (n,) s.

    The lag of the largest normalised cross-correlation on a grid of GRID s up to LONGEST, refined by the parabola through the
    three correlations around it (Boucher & Hassab, IEEE Trans. ASSP 29, 1981). None where the command hardly changes,
    where the two are not alike, at the ends of the grid, and where samples are missing.
    """
    lags = round(LONGEST / GRID) + 1
    end = min(sent[-1], felt[-1])
    start = max(end - WINDOW, sent[0] + LONGEST, felt[0])
    times = np.arange(start, end, GRID)
    if len(times) < WINDOW / 2 / GRID or _gap(sent, start - LONGEST) > GAP or _gap(felt, start) > GAP:
        return None
    wide = np.concatenate([times[0] - GRID * np.arange(lags - 1, 0, -1), times])
    wish = _resampled(wide, sent, commanded)
    windows = np.stack([wish[lags - 1 - k : len(wish) - k] for k in range(lags)])
    windows -= windows.mean(axis=1, keepdims=True)
    motion = _resampled(times, felt, measured)
    motion -= motion.mean(axis=0)
    power = np.sqrt((windows**2).sum(axis=(1, 2)) * float((motion**2).sum()))
    if windows.std(axis=1).max() < MOVING or not power.all():
        return None
    return _peak(np.einsum("kij,ij->k", windows, motion) / power)


def _gap(moments: Array, since: float) -> float:
    """The longest time between two samples since then, s."""
    return float(np.diff(moments[moments >= since]).max(initial=0.0))


def _resampled(times: Array, known: Array, values: Array) -> Array:
    """Vectors (n, 3) between their samples, straight on."""
    return np.stack([np.interp(times, known, values[:, axis]) for axis in range(values.shape[1])], axis=1)


def _peak(correlations: Array) -> float | None:
    """Lag in s of the top of the parabola through the largest correlation and its neighbours."""
    top = int(np.argmax(correlations))
    if correlations[top] < ALIKE or not 0 < top < len(correlations) - 1:
        return None
    before, here, after = correlations[top - 1 : top + 2].tolist()
    return float(GRID * (top + 0.5 * (before - after) / (before - 2 * here + after)))
