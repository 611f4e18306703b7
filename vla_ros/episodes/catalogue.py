"""The committed part of a dataset: which episodes it has, and how another one joins them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vla_ros.episodes import layout, statistics
from vla_ros.episodes.layout import DatasetError, Features
from vla_ros.episodes.statistics import Stats

Columns = Mapping[str, np.ndarray]
"""Column → (frames, n)."""

Videos = Mapping[str, tuple[Path, Stats]]
"""Camera → its finished mp4, which is moved away, and the statistics of its pixels."""

Depths = Mapping[str, Path]
"""Camera with depth → its finished mkv, which is moved away."""


class Catalogue:
    """A dataset opened for appending. The caller holds its lock.

    `store` puts an episode's files in place; `publish`, which writes info.json last, makes all that was
    stored count.
    """

    def __init__(self, root: Path, features: Features, fps: int, robot_type: str, durable: bool = True) -> None:
        """Open or make the dataset. Raises DatasetError if it is there and differs, naming the difference.

        Of `features`, those of depth are kept beside what LeRobot knows.

        Durable: each file is on the disk before the next is begun. Otherwise all are before info.json.
        """
        self.root = root
        self._durable = durable
        self._depths = {name: tuple(feature.shape) for name, feature in features.items() if feature.is_depth}
        wanted = layout.new_info({n: f for n, f in features.items() if not f.is_depth}, fps, robot_type)
        self.info = _existing_info(root, wanted) or wanted
        self.check_depths(layout.read_depth(root) if (root / layout.INFO).exists() else self._depths)
        for path in layout.stray_files(root, self.episodes):
            path.unlink()
        self._tasks = read_tasks(root, self.info["total_tasks"])
        self._stats = _committed_stats(root, self.info)
        if not (root / layout.INFO).exists():
            if self._depths:
                layout.write_depth(root, self._depths)
            else:
                (root / layout.DEPTH).unlink(missing_ok=True)
            self.publish()

    def check(self, info: Mapping[str, Any]) -> None:
        """Raise DatasetError if another dataset's info.json differs in features, fps or robot."""
        _compare(str(self.root), info, self.info)

    def check_depths(self, sizes: Mapping[str, tuple[int, ...]]) -> None:
        """Raise DatasetError if another dataset has depth of other cameras, or of other sizes."""
        for name in sorted({*sizes, *self._depths}):
            there, here = (made.get(name) for made in (sizes, self._depths))
            if there != here:
                said = [f"{size[1]}×{size[0]}" if size else "missing" for size in (there, here)]
                raise DatasetError(f"{self.root}: {name} is {said[0]} there and {said[1]} here")

    @property
    def episodes(self) -> int:
        """How many episodes there are, which is the index of the next one."""
        return int(self.info["total_episodes"])

    def store(self, task: str, columns: Columns, videos: Videos, depths: Depths = MappingProxyType({})) -> int:
        """Write an episode's files and count it in memory. Returns its index."""
        episode, frames = self.episodes, len(next(iter(columns.values())))
        task_index = self._task_index(task)
        columns = {**columns, **self._index_columns(episode, frames, task_index)}
        stats = {name: statistics.of_column(column) for name, column in columns.items()}
        stats |= {name: video_stats for name, (_, video_stats) in videos.items()}
        place = layout.file_of(episode)
        for name, (path, _) in videos.items():
            layout.move_file(path, self.root / layout.VIDEO_PATH.format(video_key=name, **place), self._durable)
        for name, path in depths.items():
            layout.move_file(path, self.root / layout.DEPTH_PATH.format(depth_key=name, **place), self._durable)
        _write_parquet(self.root / layout.DATA_PATH.format(**place), _table(columns), self._durable)
        row = pa.Table.from_pylist([self._row(episode, task, frames, tuple(videos), stats)])
        _write_parquet(self.root / layout.EPISODE_PATH.format(**place), row, self._durable)
        self._count(frames, task_index, stats)
        return episode

    def publish(self) -> None:
        """Make everything that was stored part of the dataset."""
        if not self._durable:
            os.sync()
        _write_parquet(self.root / layout.TASKS, _tasks_table(self._tasks))
        layout.write_json(self.root / layout.STATS, statistics.to_lists(self._stats))
        layout.write_json(self.root / layout.INFO, self.info)

    def _task_index(self, task: str) -> int:
        if task not in self._tasks:
            self._tasks.append(task)
        return self._tasks.index(task)

    def _index_columns(self, episode: int, frames: int, task: int) -> Columns:
        count = np.arange(frames, dtype=np.int64)
        return {
            "timestamp": (count / self.info["fps"]).astype(np.float32),
            "frame_index": count,
            "episode_index": np.full(frames, episode, np.int64),
            "index": count + self.info["total_frames"],
            "task_index": np.full(frames, task, np.int64),
        }

    def _row(
        self, episode: int, task: str, frames: int, cameras: tuple[str, ...], stats: Mapping[str, Stats]
    ) -> dict[str, Any]:
        place, start = layout.file_of(episode), self.info["total_frames"]
        row: dict[str, Any] = {"episode_index": episode, "tasks": [task], "length": frames}
        row |= {f"data/{key}": value for key, value in place.items()}
        row |= {"dataset_from_index": start, "dataset_to_index": start + frames}
        for name in cameras:
            row |= {f"videos/{name}/{key}": value for key, value in place.items()}
            row[f"videos/{name}/from_timestamp"] = 0.0
            row[f"videos/{name}/to_timestamp"] = frames / self.info["fps"]
        for name, entry in statistics.to_lists(stats).items():
            row |= {f"stats/{name}/{key}": value for key, value in entry.items()}
        return row | {f"meta/episodes/{key}": value for key, value in place.items()}

    def _count(self, frames: int, task_index: int, stats: Mapping[str, Stats]) -> None:
        for name, entry in stats.items():
            self._stats[name] = statistics.merged(self._stats[name], entry) if name in self._stats else entry
        episodes = self.episodes + 1
        self.info = self.info | {
            "total_episodes": episodes,
            "total_frames": self.info["total_frames"] + frames,
            "total_tasks": len(self._tasks),
            "splits": {"train": f"0:{episodes}"},
        }


def episode_rows(root: Path, count: int, columns: list[str] | None = None) -> list[dict[str, Any]]:
    """The first `count` rows of meta/episodes. Raises DatasetError unless they are episodes 0 … count - 1."""
    files = sorted((root / "meta/episodes").glob("chunk-*/file-*.parquet"))
    try:
        rows = [row for file in files for row in pq.ParquetFile(file).read(columns=columns).to_pylist()]
    except (OSError, pa.ArrowException) as error:
        raise DatasetError(f"{root}/meta/episodes cannot be read: {error}") from error
    if [row["episode_index"] for row in rows[:count]] != list(range(count)):
        raise DatasetError(f"{root}/meta/episodes does not hold episodes 0 … {count - 1} in order")
    return rows[:count]


def read_tasks(root: Path, count: int) -> list[str]:
    """The first `count` tasks, in the order of their indices."""
    if count == 0:
        return []
    try:
        table = pq.read_table(root / layout.TASKS).to_pydict()
    except (OSError, pa.ArrowException) as error:
        raise DatasetError(f"{root / layout.TASKS} cannot be read: {error}") from error
    names = table.get("__index_level_0__") or table["task"]
    tasks = dict(zip(table["task_index"], names, strict=True))
    if not set(range(count)) <= tasks.keys():
        raise DatasetError(f"{root / layout.TASKS} does not hold {count} tasks")
    return [tasks[index] for index in range(count)]


def _existing_info(root: Path, wanted: dict[str, Any]) -> dict[str, Any] | None:
    if not (root / layout.INFO).exists():
        if not _hardly_begun(root):
            raise DatasetError(f"{root} is neither empty nor a dataset: it has no {layout.INFO}")
        return None
    info = layout.read_info(root)
    _compare(str(root), info, wanted)
    return info


def _hardly_begun(root: Path) -> bool:
    """Whether there is nothing, or what a writer leaves that died before the first info.json: no frames are in it."""
    made = {layout.SCRATCH, "meta", layout.TASKS, layout.STATS, layout.DEPTH}
    there = (path for path in root.rglob("*") if path.relative_to(root).parts[0] != layout.SCRATCH)
    return all(
        str(path.relative_to(root)) in made or (path.name.startswith(".") and path.name.endswith(".tmp"))
        for path in there
    )


def _compare(place: str, there: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    for key in ("robot_type", "fps"):
        if there.get(key) != here[key]:
            raise DatasetError(f"{place}: {key} is {there.get(key)!r} there and {here[key]!r} here")
    _compare_features(place, there["features"], here["features"])


def _compare_features(place: str, there: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    if there.keys() != here.keys():
        names = ", ".join(sorted(there.keys() ^ here.keys()))
        raise DatasetError(f"{place}: the features differ: {names} on one side only")
    for name, feature in here.items():
        for key, value in feature.items():
            old = there[name].get(key)
            if old != value:
                raise DatasetError(f"{place}: {key} of {name!r} is {old} there and {value} here")


def _committed_stats(root: Path, info: Mapping[str, Any]) -> dict[str, Stats]:
    """stats.json, or the same from the episodes if an interrupted commit left it ahead of info.json."""
    if info["total_frames"] == 0:
        return {}
    try:
        stats = statistics.from_lists(json.loads((root / layout.STATS).read_text()))
        if int(stats["index"]["count"][0]) == info["total_frames"]:
            return stats
    except (OSError, ValueError, KeyError):
        pass
    return _aggregated(episode_rows(root, info["total_episodes"]))


def _aggregated(rows: list[dict[str, Any]]) -> dict[str, Stats]:
    total = stats_of_row(rows[0])
    for row in rows[1:]:
        total = {name: statistics.merged(total[name], entry) for name, entry in stats_of_row(row).items()}
    return total


def stats_of_row(row: Mapping[str, Any]) -> dict[str, Stats]:
    """The statistics in a row of meta/episodes."""
    lists: dict[str, dict[str, list]] = {}
    for key, value in row.items():
        if key.startswith("stats/"):
            _, name, statistic = key.split("/")
            lists.setdefault(name, {})[statistic] = value
    return statistics.from_lists(lists)


def _table(columns: Columns) -> pa.Table:
    return pa.table({name: _arrow(column) for name, column in columns.items()})


def _arrow(column: np.ndarray) -> pa.Array:
    """Scalars as a plain column and vectors as fixed-size lists, as LeRobot's own schema has them."""
    values = pa.array(np.ascontiguousarray(column).ravel())
    width = column.size // len(column)
    return values if width == 1 else pa.FixedSizeListArray.from_arrays(values, width)


def _write_parquet(path: Path, table: pa.Table, durable: bool = True) -> None:
    layout.replace_file(path, lambda temporary: pq.write_table(table, temporary), durable)


def _tasks_table(tasks: list[str]) -> pa.Table:
    """Pandas takes the texts for the index of the table, which is how LeRobot looks tasks up."""
    unnamed = {"name": None, "field_name": None, "pandas_type": "unicode", "numpy_type": "object"}
    index = {"name": "task_index", "field_name": "task_index", "pandas_type": "int64", "numpy_type": "int64"}
    text = {**unnamed, "field_name": "__index_level_0__"}
    pandas = {
        "index_columns": ["__index_level_0__"],
        "column_indexes": [{**unnamed, "metadata": {"encoding": "UTF-8"}}],
        "columns": [{**index, "metadata": None}, {**text, "metadata": None}],
        "creator": {"library": "pyarrow", "version": pa.__version__},
        "pandas_version": "2.2.3",
    }
    indices, texts = pa.array(range(len(tasks)), pa.int64()), pa.array(tasks, pa.string())
    table = pa.table({"task_index": indices, "__index_level_0__": texts})
    return table.replace_schema_metadata({"pandas": json.dumps(pandas)})
