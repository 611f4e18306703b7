"""One dataset out of several: each process of a generation run records a shard of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vla_ros.episodes import layout
from vla_ros.episodes.catalogue import Catalogue
from vla_ros.episodes.layout import DatasetError, Feature
from vla_ros.episodes.lock import Lock
from vla_ros.episodes.parts import Source, parts
from vla_ros.episodes.reader import DatasetReader


def merge(shards: Sequence[str | Path], output: str | Path) -> int:
    """Copy the episodes of datasets with equal features, fps and robot into a new one, in the order given.

    Videos are copied as they are, and what lies beside an episode goes along. The new dataset has no episodes until all are in it.
    Returns their number. Raises DatasetError if a shard is damaged or differs from the first, or if `output` has episodes.
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
            catalogue.check_depths(reader.depths)
        for reader in readers:
            holds = Source(reader)
            for part in parts(reader):
                holds.along(part, Path(output), catalogue.store(*holds.content(part, scratch)))
        catalogue.publish()
    finally:
        lock.release()
    return catalogue.episodes


def new_catalogue(output: Path, like: DatasetReader) -> Catalogue:
    """A new dataset with the features, rate and robot of another. Raises DatasetError where it has episodes."""
    info = like.info
    features = {
        name: feature_of(entry) for name, entry in info["features"].items() if name not in layout.INDEX_FEATURES
    }
    features |= {name: Feature("depth", size) for name, size in like.depths.items()}
    catalogue = Catalogue(output, features, info["fps"], info["robot_type"], durable=False)
    if catalogue.episodes:
        raise DatasetError(f"{output} already has {catalogue.episodes} episodes")
    return catalogue


def feature_of(entry: Mapping[str, Any]) -> Feature:
    """The inverse of `layout.feature_entry`, but for the quality of videos, which info.json does not tell."""
    feature = Feature(entry["dtype"], tuple(entry["shape"]), names_of(entry))
    if not feature.is_video:
        return feature
    return feature._replace(pix_fmt=(entry.get("info") or {}).get("video.pix_fmt", "yuv420p"))


def names_of(entry: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The names of a column's elements; LeRobot may have them as {"motors": [name, …]}."""
    names = entry.get("names")
    if isinstance(names, dict):
        names = [name for group in names.values() for name in group]
    return None if names is None else tuple(names)
