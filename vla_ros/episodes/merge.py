"""One dataset out of several: each process of a generation run records a shard of its own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from vla_ros.episodes import layout
from vla_ros.episodes.beside import along
from vla_ros.episodes.catalogue import Catalogue, Columns, Videos, episode_rows, stats_of_row
from vla_ros.episodes.layout import DatasetError, Feature
from vla_ros.episodes.lock import Lock
from vla_ros.episodes.reader import DatasetReader, Episode


def merge(shards: Sequence[str | Path], output: str | Path) -> int:
    """Copy the episodes of datasets with equal features, fps and robot into a new one, in the order given.

    Videos are copied as they are, and so is what lies beside an episode. The new dataset has no episodes until all are in it.
    Returns their number.
    Raises DatasetError if a shard is damaged or differs from the first, or if `output` has episodes.
    """
    readers = [DatasetReader(shard) for shard in shards]
    if not readers:
        raise DatasetError("there is nothing to merge")
    scratch = Path(output) / layout.SCRATCH
    lock = Lock(scratch)
    try:
        catalogue = new_catalogue(Path(output), readers[0])
        for reader in readers:
            catalogue.check(reader.info)
        for reader in readers:
            for episode, (task, columns, videos) in enumerate(_episodes(reader, scratch)):
                along(reader.path, Path(output), episode, catalogue.store(task, columns, videos))
        catalogue.publish()
    finally:
        lock.release()
    return catalogue.episodes


def new_catalogue(output: Path, like: DatasetReader) -> Catalogue:
    """A new dataset with the features, rate and robot of another. Raises DatasetError where it has episodes."""
    info = like.info
    features = {name: _feature(entry) for name, entry in info["features"].items() if name not in layout.INDEX_FEATURES}
    catalogue = Catalogue(output, features, info["fps"], info["robot_type"], durable=False)
    if catalogue.episodes:
        raise DatasetError(f"{output} already has {catalogue.episodes} episodes")
    return catalogue


def _feature(entry: dict) -> Feature:
    """The inverse of `layout.feature_entry`, but for the quality of videos, which info.json does not tell."""
    names = None if entry["names"] is None else tuple(entry["names"])
    feature = Feature(entry["dtype"], tuple(entry["shape"]), names)
    return feature._replace(pix_fmt=entry["info"]["video.pix_fmt"]) if feature.is_video else feature


def _episodes(reader: DatasetReader, scratch: Path) -> Iterator[tuple[str, Columns, Videos]]:
    names = reader.info["features"].keys() - {*reader.cameras, *layout.INDEX_FEATURES}
    whole = {name: reader.column(name) for name in reader.info["features"] if name in names}
    rows = episode_rows(reader.path, len(reader.episodes))
    for episode, row in zip(reader.episodes, rows, strict=True):
        stats = stats_of_row(row)
        copies = {name: (_copy(reader, episode, name, scratch), stats[name]) for name in reader.cameras}
        yield episode.task, {name: _part(column, episode) for name, column in whole.items()}, copies


def _part(column: np.ndarray, episode: Episode) -> np.ndarray:
    return column[episode.start : episode.start + episode.length]


def _copy(reader: DatasetReader, episode: Episode, camera: str, scratch: Path) -> Path:
    target = scratch / f"{camera}.mp4"
    shutil.copyfile(reader.video_file(episode.index, camera), target)
    return target
