"""What a dataset holds, in parts, as another dataset takes it: columns, videos, and what lies beside an episode."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from vla_ros.episodes import layout
from vla_ros.episodes.catalogue import Columns, Depths, Videos, episode_rows, stats_of_row
from vla_ros.episodes.ffv1 import DepthEncoder
from vla_ros.episodes.layout import DatasetError
from vla_ros.episodes.reader import DatasetReader
from vla_ros.episodes.scribe import NOTES
from vla_ros.episodes.statistics import QUANTILES, ImageStats, Stats
from vla_ros.episodes.video import VideoEncoder

LOG = "mcap/episode-{:06d}.mcap"


@dataclass(frozen=True)
class Part:
    """Frames first … last - 1 of an episode."""

    episode: int
    first: int
    last: int


def parts(reader: DatasetReader, without: Sequence[int] = ()) -> list[Part]:
    """Every episode whole, but for those. Raises DatasetError for one that is not there."""
    unknown = sorted(set(without) - {episode.index for episode in reader.episodes})
    if unknown:
        raise DatasetError(f"{reader.path} has no episode {unknown[0]}: it has {len(reader.episodes)}")
    return [Part(e.index, 0, e.length) for e in reader.episodes if e.index not in without]


class Content(NamedTuple):
    """An episode on its way, as `Catalogue.store` takes it."""

    task: str
    columns: Columns
    videos: Videos
    depths: Depths


class Source:
    """A dataset whose parts go into another one: `wanted` columns, all where it is None.

    `pix_fmts`: how the other has its videos, by camera, where that is not as they are.
    """

    def __init__(
        self,
        reader: DatasetReader,
        wanted: Sequence[str] | None = None,
        pix_fmts: Mapping[str, str] | None = None,
    ) -> None:
        """Read its columns. Raises DatasetError where they are damaged."""
        self._reader, self._pix_fmts = reader, pix_fmts or {}
        names = [n for n in reader.info["features"] if wanted is None or n in wanted]
        self._cameras = [name for name in names if name in reader.cameras]
        numbers = [name for name in names if name not in {*self._cameras, *layout.INDEX_FEATURES}]
        self._columns = {name: reader.column(name) for name in numbers}
        self._depths = [name for name in reader.depths if wanted is None or name in wanted]
        self._rows = episode_rows(reader.path, len(reader.episodes))

    def content(self, part: Part, scratch: Path) -> Content:
        """Task, columns and videos of a part; the videos are new files in `scratch`."""
        episode = self._reader.episodes[part.episode]
        span = slice(episode.start + part.first, episode.start + part.last)
        columns = {name: column[span] for name, column in self._columns.items()}
        videos = {name: self._video(part, name, scratch) for name in self._cameras}
        return Content(episode.task, columns, videos, {name: self._depth(part, name, scratch) for name in self._depths})

    def along(self, part: Part, output: Path, index: int) -> None:
        """Copy what lies beside an episode to where it is `index`."""
        for name in (NOTES, LOG):
            path = self._reader.path / name.format(part.episode)
            if path.exists():
                target = output / name.format(index)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)

    def _depth(self, part: Part, camera: str, scratch: Path) -> Path:
        target, reader = scratch / f"{camera}.mkv", self._reader
        if part.last - part.first == reader.episodes[part.episode].length:
            if not reader.depth_file(part.episode, camera).is_file():
                raise DatasetError(f"{reader.depth_file(part.episode, camera)} is missing")
            shutil.copyfile(reader.depth_file(part.episode, camera), target)
            return target
        encoder = DepthEncoder(target, reader.depths[camera], reader.info["fps"])
        try:
            for picture in islice(reader.depth(part.episode, camera), part.first, part.last):
                encoder.add(picture)
        finally:
            encoder.close()
        return target

    def _video(self, part: Part, camera: str, scratch: Path) -> tuple[Path, Stats]:
        """As it is where that is possible: an episode that is whole, and alone in its mp4. Otherwise it is encoded again."""
        target, reader = scratch / f"{camera}.mp4", self._reader
        feature = reader.info["features"][camera]
        known = feature.get("info") or {}
        stats = stats_of_row(self._rows[part.episode]).get(camera, {})
        whole = part.last - part.first == reader.episodes[part.episode].length and reader.alone(part.episode, camera)
        pix_fmt = self._pix_fmts.get(camera) or known.get("video.pix_fmt", "yuv420p")
        alike = (known.get("video.codec"), known.get("video.pix_fmt")) == ("h264", pix_fmt)
        if whole and alike and {*QUANTILES, "mean", "std", "count"} <= stats.keys():
            shutil.copyfile(reader.video_file(part.episode, camera), target)
            return target, stats
        pixels = ImageStats()
        with VideoEncoder(target, tuple(feature["shape"]), reader.info["fps"], pix_fmt) as encoder:
            for image in islice(reader.frames(part.episode, camera), part.first, part.last):
                encoder.add(image)
                pixels.add(image)
        return target, pixels.result()
