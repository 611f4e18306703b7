"""Reading LeRobotDataset v3.0: what is committed, and nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vla_ros.episodes import ffv1, layout, video
from vla_ros.episodes.catalogue import episode_rows, read_tasks
from vla_ros.episodes.depth import Depth
from vla_ros.episodes.layout import DatasetError
from vla_ros.values import Image


@dataclass(frozen=True)
class Episode:
    """Frames start … start + length - 1 of the dataset, recorded under one instruction, `task`."""

    index: int
    length: int
    task: str
    start: int


class DatasetReader:
    """A dataset as it was when this was made; a writer may append meanwhile."""

    def __init__(self, path: str | Path) -> None:
        """Read what the dataset says of itself. Raises DatasetError if it is missing or damaged."""
        self.path = Path(path)
        self.info: dict[str, Any] = layout.read_info(self.path)
        self.tasks = read_tasks(self.path, self.info["total_tasks"])
        self._rows = episode_rows(self.path, self.info["total_episodes"], self._row_columns())
        self.episodes = [_episode(row) for row in self._rows]
        self._shares: dict[str, Counter[tuple[int, int]]] = {}
        self._check_frames()

    @property
    def cameras(self) -> list[str]:
        """Names of the videos."""
        return [name for name, feature in self.info["features"].items() if feature["dtype"] == "video"]

    @cached_property
    def task_of_frame(self) -> np.ndarray:
        """The instruction of each frame, (frames,) of str."""
        return np.array(self.tasks, dtype=object)[self.column("task_index")]

    def column(self, name: str) -> np.ndarray:
        """A column over all frames: (frames, n), or (frames,) for the five index columns and "timestamp".

        Contiguous, and of the dtype that info.json names.
        """
        feature = self.info["features"].get(name)
        if feature is None or feature["dtype"] == "video":
            raise DatasetError(f"{self.path} has no column {name!r}")
        values = self._values(name).astype(feature["dtype"], copy=False)
        frames = self.info["total_frames"]
        try:
            return values.reshape(frames, *(() if name in layout.INDEX_FEATURES else feature["shape"]))
        except ValueError:
            raise DatasetError(f"{self.path}: {name!r} does not have {frames} frames") from None

    def part(self, name: str, episode: int) -> np.ndarray:
        """A column over one episode, (length, n) as `column` has it: only the file that holds it is read."""
        row = self._rows[episode]
        place = {key: row[f"data/{key}"] for key in ("chunk_index", "file_index")}
        same = [r for r in self._rows if all(r[f"data/{key}"] == value for key, value in place.items())]
        feature = self.info["features"].get(name)
        if feature is None or feature["dtype"] == "video":
            raise DatasetError(f"{self.path} has no column {name!r}")
        values = self._read(self.path / self.info["data_path"].format(**place), name)
        shape = () if name in layout.INDEX_FEATURES else tuple(feature["shape"])
        first = row["dataset_from_index"] - same[0]["dataset_from_index"]
        try:
            whole = values.astype(feature["dtype"], copy=False).reshape(sum(r["length"] for r in same), *shape)
        except ValueError:
            raise DatasetError(
                f"{self.path}: {name!r} of episode {episode} has another length than it should"
            ) from None
        return whole[first : first + row["length"]]

    def video(self, episode: int, camera: str) -> Image:
        """All frames of an episode as one camera saw it, (length, H, W, 3)."""
        return np.stack(list(self.frames(episode, camera)))

    def frames(self, episode: int, camera: str) -> Iterator[Image]:
        """The frames of an episode (H, W, 3), one after the other. Raises DatasetError where some are missing."""
        path, row, count = self.video_file(episode, camera), self._rows[episode], 0
        try:
            for image in islice(video.frames(path, row[f"videos/{camera}/from_timestamp"]), row["length"]):
                count += 1
                yield image
        except (OSError, ValueError, IndexError, av.FFmpegError) as error:
            raise DatasetError(f"{path} cannot be read: {error}") from error
        if count != row["length"]:
            raise DatasetError(f"{path} has {count} frames of episode {episode} and should have {row['length']}")

    def alone(self, episode: int, camera: str) -> bool:
        """Whether an mp4 begins with the episode and holds no other: LeRobot itself puts several into one."""
        if camera not in self._shares:
            self._shares[camera] = Counter(self._place(row, camera) for row in self._rows)
        row = self._rows[episode]
        begins = row[f"videos/{camera}/from_timestamp"] * self.info["fps"] < 0.5
        return begins and self._shares[camera][self._place(row, camera)] == 1

    @cached_property
    def depths(self) -> dict[str, tuple[int, int]]:
        """Names of the depth that is beside the videos (observation.depth.NAME), and its size (height, width)."""
        return layout.read_depth(self.path)

    def depth(self, episode: int, camera: str) -> Iterator[Depth]:
        """The depth of an episode, row by row, (H, W) mm, 0 where unknown. Raises DatasetError where some is missing."""
        if camera not in self.depths:
            raise DatasetError(f"{self.path} has no depth {camera!r}, only {sorted(self.depths)}")
        if not 0 <= episode < len(self._rows):
            raise DatasetError(f"{self.path} has no episode {episode}: it has {len(self._rows)}")
        path, length, count = self.depth_file(episode, camera), self.episodes[episode].length, 0
        try:
            for picture in islice(ffv1.pictures(path), length):
                count += 1
                yield picture
        except (OSError, ValueError, IndexError, av.FFmpegError) as error:
            raise DatasetError(f"{path} cannot be read: {error}") from error
        if count != length:
            raise DatasetError(f"{path} has {count} pictures and should have {length}")

    def depth_file(self, episode: int, camera: str) -> Path:
        """The mkv with the depth of an episode."""
        return self.path / layout.DEPTH_PATH.format(depth_key=camera, **layout.file_of(episode))

    def video_file(self, episode: int, camera: str) -> Path:
        """The mp4 that holds an episode. Raises DatasetError if there is no such episode or camera."""
        if camera not in self.cameras:
            raise DatasetError(f"{self.path} has no video {camera!r}, only {self.cameras}")
        if not 0 <= episode < len(self._rows):
            raise DatasetError(f"{self.path} has no episode {episode}: it has {len(self._rows)}")
        chunk, file = self._place(self._rows[episode], camera)
        return self.path / self.info["video_path"].format(video_key=camera, chunk_index=chunk, file_index=file)

    def _place(self, row: dict[str, Any], camera: str) -> tuple[int, int]:
        return row[f"videos/{camera}/chunk_index"], row[f"videos/{camera}/file_index"]

    def _values(self, name: str) -> np.ndarray:
        """The numbers of a column in the order of the files, flat."""
        parts = [self._read(path, name) for path in self._data_files()]
        return np.concatenate(parts) if parts else np.empty(0)

    def _read(self, path: Path, name: str) -> np.ndarray:
        try:
            column = pq.ParquetFile(path).read(columns=[name]).column(name).combine_chunks()
        except (OSError, KeyError, pa.ArrowException) as error:
            raise DatasetError(f"{path} cannot be read: {error}") from error
        values = column.flatten() if pa.types.is_nested(column.type) else column
        return values.to_numpy(zero_copy_only=False)

    def _data_files(self) -> list[Path]:
        places = {(row["data/chunk_index"], row["data/file_index"]): None for row in self._rows}
        return [self.path / self.info["data_path"].format(chunk_index=c, file_index=f) for c, f in places]

    def _row_columns(self) -> list[str]:
        keys = ("chunk_index", "file_index", "from_timestamp")
        videos = [f"videos/{camera}/{key}" for camera in self.cameras for key in keys]
        data = ["data/chunk_index", "data/file_index", "dataset_from_index"]
        return ["episode_index", "tasks", "length", *data, *videos]

    def _check_frames(self) -> None:
        start, total = 0, self.info["total_frames"]
        for e in self.episodes:
            if e.start != start:
                raise DatasetError(f"{self.path}: episode {e.index} starts at {e.start}, not at {start}")
            start += e.length
        if start != total:
            raise DatasetError(f"{self.path}: {start} frames in the episodes, {total} in all")


def _episode(row: dict[str, Any]) -> Episode:
    return Episode(row["episode_index"], row["length"], row["tasks"][0], row["dataset_from_index"])
