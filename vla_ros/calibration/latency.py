"""How late each device is: phases of one sinusoid as every device shows it, and the edge of a ramp. Numpy only.

Everything is relative to the stamps of the arm's feedback: a feedback that is itself stamped late by d makes every camera appear
early by d and the arm slow by d, which is what an observation built on those stamps needs to know.

A sine of known frequency is fitted by least squares (as a lock-in amplifier does): the phase needs neither interpolation nor even
sampling, and noise is averaged over the whole record. A picture moves with the tool in a way that is not linear, but it depends on
where the tool is and on nothing else; whatever a memoryless distortion makes of a sine, its fundamental keeps the phase or turns it
by half a cycle. So harmonics are fitted beside it and thrown away, and of a camera the lag is known up to half a cycle only: the one
that lies within half a cycle from EARLIEST on is taken.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_ros.geometry import Array
from vla_ros.values import Image

EARLIEST = -0.1
"""s. No device's stamps are earlier than the light, or than the arm's by more than this."""
HARMONICS = 3
COMPONENTS = 3
"""Principal components of a film among which the sway is looked for: light that changes slowly may be the first one."""
CELLS = 24
"""Cells along the longer side of a picture that is looked at for motion."""
FEWEST = 60
WEAKEST = 0.5
"""Share of a signal's variance that the sway must make up; a camera that does not see the arm is far below."""
COARSEST = 0.002
"""s of standard error above which a lag is not believed."""


class CalibrationError(Exception):
    """A device's lag cannot be told from what was recorded. The text says why and what to do."""


@dataclass(frozen=True)
class Track:
    """A scalar signal: `times` (n,) s, in the stamps of its device, and `values` (n,)."""

    times: Array
    values: Array


@dataclass(frozen=True)
class Fit:
    """amplitude·sin(2πft + phase) in a signal: phase rad with its standard error, the `share` of the signal's variance that it is,

    and the root mean square of what is left. Offset and slow trend do not count as signal.
    """

    phase: float
    error: float
    amplitude: float
    share: float
    residual: float
    n: int


@dataclass(frozen=True)
class Lag:
    """Seconds by which a device is late, with the standard error; `n` samples."""

    value: float
    error: float
    n: int

    @property
    def interval(self) -> tuple[float, float]:
        """Bounds that hold the true lag with 95 % where noise is the only error."""
        return self.value - 1.96 * self.error, self.value + 1.96 * self.error


def fit(track: Track, frequency: float) -> Fit:
    """Least squares of a sine of `frequency` Hz with its harmonics, an offset and a quadratic trend.

    Standard error from the residual: the covariance s²(XᵀX)⁻¹ of linear regression, taken to the phase. Raises CalibrationError
    for a record of too few samples or too few cycles.
    """
    times, values = track.times, track.values
    n = len(times)
    if n < FEWEST or np.ptp(times) * frequency < 2:
        raise CalibrationError(f"{n} samples in {np.ptp(times) if n else 0:.1f} s are too few")
    design = _design(times, frequency)
    solution, *_ = np.linalg.lstsq(design, values, rcond=None)
    left = values - design @ solution
    variance = float(left @ left) / max(1, n - design.shape[1])
    covariance = variance * np.linalg.inv(design.T @ design)[:2, :2]
    a, b = solution[:2].tolist()
    amplitude = math.hypot(a, b)
    slope = np.array([-b, a]) / max(a * a + b * b, 1e-60)  # of atan2(b, a) by a and b
    around = values - design[:, -3:] @ np.linalg.lstsq(design[:, -3:], values, rcond=None)[0]
    share = amplitude**2 / 2 / max(float(around @ around) / n, 1e-300)
    error = math.sqrt(max(0.0, float(slope @ covariance @ slope)))
    return Fit(math.atan2(b, a), error, amplitude, min(1.0, share), math.sqrt(variance), n)


def _design(times: Array, frequency: float) -> Array:
    """Columns: sine and cosine of the fundamental and of each harmonic, then 1, t and t² over the record."""
    angle = 2 * math.pi * frequency * times
    waves = [wave(k * angle) for k in range(1, HARMONICS + 1) for wave in (np.sin, np.cos)]
    along = 2 * (times - times[0]) / np.ptp(times) - 1
    return np.stack([*waves, np.ones_like(along), along, along**2], axis=1)


def curve(found: Fit, times: Array, frequency: float) -> Array:
    """The fitted sine itself (n,), without offset and trend: for pictures."""
    return found.amplitude * np.sin(2 * math.pi * frequency * times + found.phase)


def lag(signal: Fit, reference: Fit, frequency: float, signed: bool = True) -> Lag:
    """By how many seconds `signal` is later than `reference`.

    The one within a cycle from EARLIEST on; within half a cycle where the sign of the signal is unknown.
    """
    period = (1.0 if signed else 0.5) / frequency
    late = (reference.phase - signal.phase) / (2 * math.pi * frequency)
    value = (late - EARLIEST) % period + EARLIEST
    return Lag(value, math.hypot(signal.error, reference.error) / (2 * math.pi * frequency), signal.n)


def displaced(found: Fit, frequency: float) -> Fit:
    """The fit of a velocity as that of its integral: a quarter of a cycle later."""
    phase = math.remainder(found.phase - math.pi / 2, 2 * math.pi)
    omega = 2 * math.pi * frequency
    return Fit(phase, found.error, found.amplitude / omega, found.share, found.residual / omega, found.n)


def shrunk(image: Image) -> NDArray[np.float32]:
    """Grey means (h, w) of an RGB image over square cells, CELLS of them along the longer side: noise averages out in them.

    Of a large image only every few pixels count.
    """
    height, width = image.shape[:2]
    cell = max(1, math.ceil(max(height, width) / CELLS))
    step = max(1, cell // 8)
    rows, columns = height // cell, width // cell
    part = image[: rows * cell, : columns * cell].reshape(rows, cell, columns, cell, 3)[:, ::step, :, ::step]
    return part.mean(axis=(1, 3, 4), dtype=np.float32)


def movement(times: Array, pictures: Sequence[NDArray[np.float32]], frequency: float) -> Track:
    """One number a picture that follows what moves in the film at `frequency` Hz: a principal component over time.

    Of the first COMPONENTS, the one with most of the sine in it; its sign means nothing. Pictures are (h, w), all alike.
    """
    if len(pictures) < FEWEST:
        raise CalibrationError(f"{len(pictures)} pictures are too few: is the camera running?")
    film = np.stack([picture.ravel() for picture in pictures]).astype(float)
    film -= film.mean(axis=0)
    left, sizes, _ = np.linalg.svd(film, full_matrices=False)
    tracks = [Track(times, left[:, k] * sizes[k]) for k in range(min(COMPONENTS, len(sizes)))]
    return max(tracks, key=lambda track: fit(track, frequency).amplitude)


def believed(found: Lag, signal: Fit, what: str, remedy: str) -> Lag:
    """The lag, unless the signal is too weak or too noisy to tell it. Raises CalibrationError with `remedy`."""
    if signal.share < WEAKEST:
        raise CalibrationError(
            f"{what} shows no clear sway: it is {signal.share:.0%} of what changes, {WEAKEST:.0%} are needed: {remedy}"
        )
    if found.error > COARSEST:
        raise CalibrationError(
            f"{what} is too noisy: its lag of {1e3 * found.value:.0f} ms has a standard error of {1e3 * found.error:.1f} ms, "
            f"{1e3 * COARSEST:.0f} ms are allowed: {remedy}"
        )
    return found


def ramp_begin(track: Track, edge: float, target: float) -> float:
    """When a signal began to move towards `target` after the command at `edge` s: where the line through its ramp leaves its start.

    The line is fitted to what lies between a fifth and four fifths of the way. Raises CalibrationError where there is no such ramp.
    """
    before = track.values[(track.times <= edge) & (track.times > edge - 0.2)]
    if not len(before):
        raise CalibrationError("nothing was recorded before the command")
    start = float(before.mean())
    after = track.times > edge
    times, share = track.times[after], (track.values[after] - start) / (target - start)
    reached = np.flatnonzero(share > 0.8)
    if abs(target - start) < 0.02 or not len(reached):
        raise CalibrationError(f"it did not get from {start:.2f} to {target:.2f}: is something between the fingers?")
    rising = np.flatnonzero(share[: reached[0]] < 0.2)
    inside = slice(int(rising[-1]) + 1 if len(rising) else 0, int(reached[0]))
    if inside.stop - inside.start < 4:
        raise CalibrationError("the ramp has too few samples: the feedback comes too seldom")
    slope, offset = np.polyfit(times[inside] - edge, share[inside], 1)
    return edge - float(offset / slope)


def edges(delays: Sequence[float]) -> Lag:
    """The mean of the delays of several edges, with its standard error. Raises CalibrationError for fewer than two."""
    if len(delays) < 2:
        raise CalibrationError(f"{len(delays)} edges were seen: two are needed at least")
    return Lag(float(np.mean(delays)), float(np.std(delays, ddof=1)) / math.sqrt(len(delays)), len(delays))


def fitting_gain(gain: float, delay: float) -> float:
    """`gain` (1/s) where an arm late by `delay` s can have it, which is up to 1/(e·delay); else a tenth under that bound."""
    bound = 1 / (math.e * delay)
    return gain if gain <= bound else math.floor(90 * bound) / 100
