"""What is wrong with a recording, found before it is trained on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_ros.episodes.layout import DatasetError
from vla_ros.episodes.reader import DatasetReader, Episode
from vla_ros.episodes.rows import AGE, STAMP
from vla_ros.geometry import Array

JUMP, TURN = 0.03, 0.2
"""m and rad from one row to the next that no arm of ours makes: 0.25 m/s and 1 rad/s at 10 Hz."""
STILL, SPUN = 0.002, 0.01
"""m/s and rad/s below which the tool stands."""
IDLE = 0.5
"""Share of an episode in which nothing moves, above which it is told."""
PAUSE = 2.0
"""s at its beginning or end in which nothing moves: better cut off."""
APART = 50.0
"""ms between the cameras of one row."""
SHORT, LONG = 0.4, 2.5
"""Lengths, as shares of the median's, of an episode that is unlike the others."""


@dataclass(frozen=True)
class Finding:
    """What was found: in an episode, or in the dataset (None). `bad`: it cannot be trained on as it is."""

    episode: int | None
    bad: bool
    text: str


def check(reader: DatasetReader, videos: bool = True) -> list[Finding]:
    """Look at every episode. With `videos` each is decoded, which takes a second or two per minute of recording."""
    found = [Finding(None, False, text) for text in _constant(reader)]
    median = float(np.median([e.length for e in reader.episodes])) if reader.episodes else 0.0
    for episode in reader.episodes:
        looks = (_numbers, _stamps, _motion, *((_videos, _depths) if videos else ()))
        found += [finding for look in looks for finding in look(reader, episode)]
        found += _length(episode, median)
    return found


def column(reader: DatasetReader, episode: Episode, name: str) -> Array | None:
    """A column of one episode (frames, n), or None where the dataset has none of that name."""
    if name not in reader.info["features"]:
        return None
    return np.asarray(reader.column(name)[episode.start : episode.start + episode.length])


def travel(state: Array) -> tuple[Array, Array]:
    """Way in m and turn in rad from each row to the next (frames - 1,) of observation.state: its first six are the tool's pose."""
    steps = np.diff(state[:, :6].astype(np.float64), axis=0)
    turns = steps[:, 3:]
    lengths = np.linalg.norm(turns, axis=1)
    # a rotation vector has a second form of the same turn, 2π further along its axis
    return np.linalg.norm(steps[:, :3], axis=1), np.minimum(lengths, np.abs(2 * np.pi - lengths))


def _constant(reader: DatasetReader) -> Iterator[str]:
    """Dimensions without variance, which become NaN where a trainer divides by it."""
    for name in ("observation.state", "action"):
        if name not in reader.info["features"] or not reader.info["total_frames"]:
            continue
        names = reader.info["features"][name]["names"] or range(reader.column(name).shape[1])
        spread = np.ptp(reader.column(name), axis=0)
        flat = [str(label) for label, width in zip(names, spread, strict=True) if width < 1e-7]
        if flat:
            yield f"{name}: {', '.join(flat)} never change"


def _numbers(reader: DatasetReader, episode: Episode) -> Iterator[Finding]:
    for name, feature in reader.info["features"].items():
        if feature["dtype"].startswith("float"):
            values = column(reader, episode, name)
            if values is not None and not np.isfinite(values).all():
                yield Finding(episode.index, True, f"{name} is not finite at frame {_first(~np.isfinite(values))}")


def _stamps(reader: DatasetReader, episode: Episode) -> Iterator[Finding]:
    period = 1000.0 / reader.info["fps"]
    ages: list[Array] = []
    for camera in (name.removeprefix("observation.images.") for name in reader.cameras):
        stamps, age = column(reader, episode, f"{STAMP}{camera}"), column(reader, episode, f"{AGE}{camera}")
        if stamps is None or age is None:
            continue
        ages.append(age[:, 0])
        held = np.flatnonzero(np.diff(stamps[:, 0]) == 0)
        if len(held):
            share = len(held) / episode.length
            yield Finding(
                episode.index,
                share > 0.1,
                f"camera {camera}: {len(held)} frames did not come, the first at {held[0] + 1}",
            )
        if (np.diff(stamps[:, 0]) < 0).any():
            yield Finding(
                episode.index, True, f"camera {camera}: stamps go back at frame {_first(np.diff(stamps[:, 0]) < 0) + 1}"
            )
    if len(ages) > 1:
        apart = np.ptp(np.stack(ages), axis=0)
        far = np.flatnonzero(apart > max(APART, 1.5 * period))
        if len(far):
            yield Finding(episode.index, False, f"cameras are up to {apart.max():.0f} ms apart, in {len(far)} frames")


def _motion(reader: DatasetReader, episode: Episode) -> Iterator[Finding]:
    state = column(reader, episode, "observation.state")
    if state is None or state.shape[1] < 6 or len(state) < 2:
        return
    fps = reader.info["fps"]
    way, turn = travel(state)
    leaps = (way > JUMP) | (turn > TURN)
    if leaps.any():
        at = _first(leaps)
        yield Finding(
            episode.index, True, f"the tool jumps by {way[at] * 1000:.0f} mm and {turn[at]:.2f} rad at frame {at}"
        )
    moving = (way * fps > STILL) | (turn * fps > SPUN)
    if state.shape[1] > 6:
        moving |= np.abs(np.diff(state[:, 6])) > 1e-3
    if not moving.any():
        yield Finding(episode.index, True, "nothing moves")
        return
    before, after = int(moving.argmax()) / fps, int(moving[::-1].argmax()) / fps
    if max(before, after) > PAUSE:
        yield Finding(
            episode.index, False, f"nothing moves in the first {before:.1f} s and the last {after:.1f} s: trim it"
        )
    elif (~moving).mean() > IDLE:
        yield Finding(episode.index, False, f"nothing moves in {(~moving).mean():.0%} of it")


def _length(episode: Episode, median: float) -> Iterator[Finding]:
    if median and not SHORT * median <= episode.length <= LONG * median:
        yield Finding(episode.index, False, f"{episode.length} frames: the median episode has {median:.0f}")


def _videos(reader: DatasetReader, episode: Episode) -> Iterator[Finding]:
    for camera in reader.cameras:
        try:
            frames = reader.video(episode.index, camera)
        except DatasetError as error:
            yield Finding(episode.index, True, str(error))
            continue
        if len(frames) > 1 and (frames[0] == frames).all():
            yield Finding(episode.index, True, f"{camera} shows one picture only")


def _depths(reader: DatasetReader, episode: Episode) -> Iterator[Finding]:
    for camera in reader.depths:
        try:
            known = [bool(picture.any()) for picture in reader.depth(episode.index, camera)]
        except DatasetError as error:
            yield Finding(episode.index, True, str(error))
            continue
        if not all(known):
            bad = not any(known)
            yield Finding(episode.index, bad, f"{camera} knows nothing in {known.count(False)} of {len(known)} rows")


def _first(mask: NDArray[np.bool_]) -> int:
    return int(np.argmax(mask.reshape(len(mask), -1).any(axis=1)))
