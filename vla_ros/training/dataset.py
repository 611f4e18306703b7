"""Recorded episodes as batches of windows.

Videos are decoded once, into one uint8 array per camera beside the dataset (`<dataset>.frames/`), which is mapped from then on: the
page cache holds it, and a restart begins at once.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vla_ros.policy.codec import Codec

Progress = Callable[[str, float], None]


class Reader(Protocol):
    """What is used of `vla_ros.episodes.reader.DatasetReader`."""

    path: Path

    @property
    def episodes(self) -> Sequence[Any]:
        """Episodes in their order, each with `length` and `task`."""

    def column(self, name: str) -> NDArray[Any]:
        """A column over all frames."""

    def video(self, episode: int, camera: str) -> NDArray[np.uint8]:
        """All frames of an episode as one camera saw it."""


@dataclass(frozen=True)
class Recording:
    """One dataset in memory. N frames in all, episodes one behind the other.

    images: per camera (N, H, W, 3) uint8; states (N, 8); labels (N, chunk, 7) in SI units; starts and lengths of the episodes,
    and their instructions.
    """

    images: tuple[NDArray[np.uint8], ...]
    states: NDArray[np.float32]
    labels: NDArray[np.float32]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    tasks: tuple[str, ...]


@dataclass(frozen=True)
class Batch:
    """B windows of W frames: images per camera (B, W, H, W', 3) uint8, words and mask (B, T), state (B, W, 8), target
    (B, W, chunk, 7) normalised, valid (B, W), 0 behind the end of an episode."""

    images: list[NDArray[np.uint8]]
    words: NDArray[np.int64]
    mask: NDArray[np.float32]
    state: NDArray[np.float32]
    target: NDArray[np.float32]
    valid: NDArray[np.float32]


def open_recording(reader: Reader, cameras: Sequence[str], progress: Progress | None = None) -> Recording:
    """The dataset of `reader`, as these cameras saw it."""
    lengths = np.array([episode.length for episode in reader.episodes], np.int64)
    if not len(lengths):
        raise ValueError(f"{reader.path} has no episodes yet")
    labels = reader.column("action_chunk").astype(np.float32)
    return Recording(
        tuple(_frames(reader, camera, lengths, progress) for camera in cameras),
        reader.column("observation.state").astype(np.float32),
        labels.reshape(len(labels), -1, 7),
        np.cumsum(lengths) - lengths,
        lengths,
        tuple(episode.task for episode in reader.episodes),
    )


def _frames(reader: Reader, camera: str, lengths: NDArray[np.int64], progress: Progress | None) -> NDArray[np.uint8]:
    # the name holds the lengths, so that a dataset which has grown since is decoded again
    digest = hashlib.sha256(lengths.tobytes()).hexdigest()[:12]
    path = reader.path.with_name(f"{reader.path.name}.frames") / f"{camera}-{digest}.npy"
    if not path.is_file():
        path.parent.mkdir(exist_ok=True)
        temporary = path.with_name(f".{path.stem}.{os.getpid()}.npy")
        _decode(reader, camera, lengths, temporary, progress)
        os.replace(temporary, path)  # whole or not at all, whatever happens meanwhile
    frames: NDArray[np.uint8] = np.load(path, mmap_mode="r")
    return frames


def _decode(reader: Reader, camera: str, lengths: NDArray[np.int64], path: Path, progress: Progress | None) -> None:
    first = reader.video(0, f"observation.images.{camera}")
    shape = (int(lengths.sum()), *first.shape[1:])
    frames = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
    start = 0
    for episode, length in enumerate(lengths.tolist()):
        frames[start : start + length] = reader.video(episode, f"observation.images.{camera}")
        start += length
        if progress is not None:
            progress(f"decoding {camera}", (episode + 1) / len(lengths))
    frames.flush()


class Windows:
    """Windows of one or more recordings, for a network with these words and this normalisation of actions."""

    def __init__(
        self,
        recordings: Sequence[Recording],
        encode: Callable[[str], tuple[NDArray[np.int64], NDArray[np.float32]]],
        codec: Codec,
        window: int,
    ) -> None:
        self._recordings, self._window = recordings, window
        self._words = [[encode(task) for task in r.tasks] for r in recordings]
        self._targets = [codec.forward(r.labels).astype(np.float32) for r in recordings]
        tables = [_places(number, r, window) for number, r in enumerate(recordings)]
        self._places = np.concatenate(tables) if tables else np.zeros((0, 3), np.int64)

    def __len__(self) -> int:
        """Number of different windows."""
        return len(self._places)

    def sample(self, random: np.random.Generator, count: int) -> list[tuple[int, int, int]]:
        """Recording, episode and first frame of `count` windows, all equally likely."""
        chosen = self._places[random.integers(0, len(self._places), count)]
        return [(int(a), int(b), int(c)) for a, b, c in chosen]

    def batch(self, places: Sequence[tuple[int, int, int]]) -> Batch:
        """The windows at these places."""
        rows = [self._row(*place) for place in places]
        cameras = len(self._recordings[0].images)
        return Batch(
            [np.stack([row[0][camera] for row in rows]) for camera in range(cameras)],
            *(np.stack([row[k] for row in rows]) for k in range(1, 6)),  # type: ignore[arg-type]
        )

    def _row(self, recording: int, episode: int, first: int) -> tuple[Any, ...]:
        r = self._recordings[recording]
        end = r.starts[episode] + r.lengths[episode]
        frames = np.arange(first, first + self._window)
        valid = (frames < end).astype(np.float32)
        frames = np.minimum(frames, end - 1)
        words, mask = self._words[recording][episode]
        images = [camera[frames] for camera in r.images]
        return images, words, mask, r.states[frames], self._targets[recording][frames], valid


def _places(number: int, recording: Recording, window: int) -> NDArray[np.int64]:
    """(windows, 3): recording, episode, first frame. An episode shorter than a window gives one that is not full."""
    counts = np.maximum(recording.lengths - window + 1, 1)
    episodes = np.repeat(np.arange(len(counts)), counts)
    offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.stack([np.full_like(episodes, number), episodes, recording.starts[episodes] + offsets], 1)


def concatenated(batches: Sequence[Batch]) -> Batch:
    """One batch of the windows of several."""
    filled = [batch for batch in batches if len(batch.valid)]
    if len(filled) == 1:
        return filled[0]
    images = [np.concatenate(parts) for parts in zip(*(b.images for b in filled), strict=True)]
    names = ("words", "mask", "state", "target", "valid")
    return Batch(images, *(np.concatenate([getattr(b, name) for b in filled]) for name in names))
