"""Writing LeRobotDataset v3.0 with PyAV, pyarrow and numpy.

LeRobot's own recorder loses a session when it is killed. Here every committed episode is complete on the
disk, and a take under way leaves nothing behind: it lives in `.tmp` until `commit`, which writes info.json
last.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from vla_ros.episodes import layout
from vla_ros.episodes.catalogue import Catalogue, Columns, Depths, Videos
from vla_ros.episodes.ffv1 import DepthEncoder
from vla_ros.episodes.layout import DatasetError, Feature, Features
from vla_ros.episodes.lock import Lock
from vla_ros.episodes.statistics import ImageStats
from vla_ros.episodes.video import VideoEncoder
from vla_ros.values import Image


class DatasetWriter:
    """Records episodes, one at a time: `begin`, `add` … `add`, then `commit` or `discard`.

    Encodes in the caller's thread, about 0.1 ms for a frame of 120×80 pixels; who records large frames in a
    control loop calls it from a thread of its own.
    """

    def __init__(self, path: str | Path, features: Mapping[str, Any], fps: int, robot_type: str) -> None:
        """Open the dataset at `path` for appending, or make it.

        `features` maps a name to a `Feature` or to (dtype, shape, names). What an interrupted commit has left
        is removed. Raises DatasetError if another writer has the dataset, or if its features, fps or robot
        differ.
        """
        self._features = layout.checked(features)
        self._fps = fps
        self._robot_type = robot_type
        self._path = Path(path)
        self._scratch = self._path / layout.SCRATCH
        self._take: _Take | None = None
        self._lock = Lock(self._scratch)
        try:
            self._catalogue = self._committed()
            _empty(self._scratch)
        except BaseException:
            self._lock.release()
            raise

    @property
    def episodes(self) -> int:
        """How many episodes the dataset has."""
        return self._catalogue.episodes

    def begin(self, task: str) -> None:
        """Start an episode, `task` being its instruction."""
        if self._take is not None:
            raise DatasetError("an episode is open: commit or discard it first")
        self._take = _Take(self._scratch / uuid.uuid4().hex, task, self._features, self._fps)

    def add(self, images: Mapping[str, Image], values: Mapping[str, Any]) -> None:
        """Append a frame: (H, W, 3) uint8 for each video, an array of its shape for each other column.

        Depth, (H, W) uint16 mm, is among the images.
        """
        self._open_take().add(images, values)

    @property
    def frames(self) -> int:
        """How many frames the open episode has."""
        return self._open_take().frames

    def commit(self, columns: Columns | None = None) -> int:
        """Make the episode part of the dataset. Returns its index. On failure it is discarded.

        `columns` (frames, n) take the place of those that were added: what is known only at the end, as whether it was a success.
        """
        take = self._open_take()
        self._take = None
        try:
            return self._stored(take.task, take.finish(columns or {}), take.videos(), take.depths())
        finally:
            take.remove()

    @property
    def scratch(self) -> Path:
        """Where files may lie that are on their way into the dataset."""
        return self._scratch

    def adopt(self, task: str, columns: Columns, videos: Videos, depths: Depths) -> int:
        """Make an episode part of the dataset whose columns and films are finished. Returns its index; the films are moved away.

        Raises DatasetError where a column or a video is missing, or is not finite.
        """
        _check_names({**columns, **videos, **depths}, self._features)
        _check_finite(columns)
        return self._stored(task, columns, videos, depths)

    def discard(self) -> None:
        """Forget the open episode, if there is one."""
        if self._take is not None:
            self._take.remove()
            self._take = None

    def close(self) -> None:
        """Discard an open episode and let other writers in."""
        self.discard()
        self._lock.release()

    def __enter__(self) -> DatasetWriter:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _stored(self, task: str, columns: Columns, videos: Videos, depths: Depths) -> int:
        try:
            index = self._catalogue.store(task, columns, videos, depths)
            self._catalogue.publish()
        except BaseException:
            self._catalogue = self._committed()
            raise
        return index

    def _committed(self) -> Catalogue:
        return Catalogue(self._path, self._features, self._fps, self._robot_type)

    def _open_take(self) -> _Take:
        if self._take is None:
            raise DatasetError("no episode is open: call begin first")
        return self._take


class _Take:
    """An episode under way: values in memory, frames in mp4 files in a folder of its own."""

    def __init__(self, folder: Path, task: str, features: Features, fps: int) -> None:
        folder.mkdir(parents=True)
        self.task = task
        self._folder = folder
        self._features = features
        cameras = {name: feature for name, feature in features.items() if feature.is_video}
        self._depths = {name: self._folder / f"{name}.mkv" for name, feature in features.items() if feature.is_depth}
        self._rows: dict[str, list[np.ndarray]] = {
            n: [] for n in features if n not in cameras and n not in self._depths
        }
        self._pixels = {name: ImageStats() for name in cameras}
        self._encoders: dict[str, Any] = {
            name: VideoEncoder(self._video(name), f.shape, fps, f.pix_fmt, f.crf) for name, f in cameras.items()
        }
        self._encoders |= {name: DepthEncoder(path, features[name].shape, fps) for name, path in self._depths.items()}

    def add(self, images: Mapping[str, Image], values: Mapping[str, Any]) -> None:
        _check_names(images, self._encoders)
        _check_names(values, self._rows)
        for name, image in images.items():
            _check_image(name, image, self._features[name])
        row = {name: _element(name, value, self._features[name]) for name, value in values.items()}
        for name, image in images.items():
            if name in self._pixels:
                self._pixels[name].add(image)
            self._encoders[name].add(image)
        for name, element in row.items():
            self._rows[name].append(element)

    @property
    def frames(self) -> int:
        return len(next(iter(self._rows.values())))

    def finish(self, given: Columns) -> Columns:
        """Close the videos; returns the columns, (frames, n) each, those that are given in the place of those that were added."""
        self._close()
        if not all(self._rows.values()):
            raise DatasetError("the episode has no frames")
        columns = {name: np.stack(row) for name, row in self._rows.items()}
        _check_columns(given, columns)
        columns |= {name: np.asarray(column, columns[name].dtype) for name, column in given.items()}
        _check_finite(columns)
        return columns

    def videos(self) -> dict[str, Any]:
        return {name: (self._video(name), pixels.result()) for name, pixels in self._pixels.items()}

    def depths(self) -> Depths:
        return self._depths

    def remove(self) -> None:
        self._close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _video(self, name: str) -> Path:
        return self._folder / f"{name}.mp4"

    def _close(self) -> None:
        for encoder in self._encoders.values():
            encoder.close()
        self._encoders = {}


def _empty(folder: Path) -> None:
    """Remove the takes of writers that died."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)


def _check_names(given: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    if given.keys() != wanted.keys():
        raise DatasetError(f"a frame needs {sorted(wanted)} and has {sorted(given)}")


def _check_columns(given: Columns, wanted: Columns) -> None:
    for name, column in given.items():
        if name not in wanted or np.shape(column) != wanted[name].shape:
            there = wanted[name].shape if name in wanted else "no such column"
            raise DatasetError(f"{name!r} is given as {np.shape(column)} for the whole episode; in it: {there}")


def _check_finite(columns: Columns) -> None:
    for name, column in columns.items():
        if not np.isfinite(column).all():
            frame = int(np.argmin(np.isfinite(column).all(1)))
            raise DatasetError(f"{name!r} is not finite at frame {frame}: the episode is not committed")


def _check_image(name: str, image: Image, feature: Feature) -> None:
    shape, kind = tuple(feature.shape), np.dtype(np.uint16 if feature.is_depth else np.uint8)
    if image.shape != shape or image.dtype != kind:
        raise DatasetError(f"{name!r} is {image.dtype} {image.shape} and should be {kind} {shape}")


def _element(name: str, value: Any, feature: Feature) -> np.ndarray:
    """A copy of the value as (n,) of the feature's type."""
    array = np.atleast_1d(np.array(value, dtype=feature.dtype))
    if array.shape != tuple(feature.shape):
        raise DatasetError(f"{name!r} has shape {array.shape} and should have {tuple(feature.shape)}")
    return array
