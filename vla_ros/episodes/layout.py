"""Where a LeRobotDataset v3.0 keeps what, and how its files come to be.

One parquet and one mp4 per camera for each episode: a valid v3.0 layout (LeRobot 0.4.4 reads it) in which no
file of a committed episode is opened for writing again. `meta/info.json` says how many episodes there are:
what lies beyond it does not exist.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

CHUNK = 1000
"""Files in one folder."""

INFO = "meta/info.json"
STATS = "meta/stats.json"
TASKS = "meta/tasks.parquet"
DEPTH = "meta/depth.json"
"""Which cameras have depth, and of which size; LeRobot knows nothing of it. It is there where one has."""
SCRATCH = ".tmp"
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
DEPTH_PATH = "depth/{depth_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mkv"
EPISODE_PATH = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"


class DatasetError(RuntimeError):
    """A dataset is missing, damaged, in use, or not what the caller takes it for."""


class Feature(NamedTuple):
    """One column of a dataset; a plain tuple of the same order serves as well.

    `dtype` is "video" with shape (height, width, 3), "depth" with shape (height, width), or a numpy dtype with shape (n,); `names`
    has one name for each element. A video keeps full colour resolution by default: with yuv420p a cube of 8 pixels bleeds into the
    table. `crf` is x264's quality, smaller is better; it may differ from one recording to the next.
    """

    dtype: str
    shape: tuple[int, ...]
    names: tuple[str, ...] | None = None
    pix_fmt: str = "yuv444p"
    crf: int = 12

    @property
    def is_video(self) -> bool:
        """Whether it lies in mp4 files rather than in the parquet files."""
        return self.dtype == "video"

    @property
    def is_depth(self) -> bool:
        """Whether it lies in mkv files, beside what LeRobot knows."""
        return self.dtype == "depth"


Features = Mapping[str, Feature]

INDEX_FEATURES: Features = {
    "timestamp": Feature("float32", (1,)),
    "frame_index": Feature("int64", (1,)),
    "episode_index": Feature("int64", (1,)),
    "index": Feature("int64", (1,)),
    "task_index": Feature("int64", (1,)),
}
"""The columns that every dataset has; the writer fills them."""


def file_of(episode: int) -> dict[str, int]:
    """The chunk and file that hold an episode written by us."""
    chunk, file = divmod(episode, CHUNK)
    return {"chunk_index": chunk, "file_index": file}


def checked(features: Mapping[str, Any]) -> dict[str, Feature]:
    """The features as `Feature`s. Raises DatasetError for what cannot be written."""
    result = {name: Feature(*feature) for name, feature in features.items()}
    for name, feature in result.items():
        _check(name, feature)
    return result


def _check(name: str, feature: Feature) -> None:
    if name in INDEX_FEATURES:
        raise DatasetError(f"the column {name!r} is written by the dataset itself")
    if "/" in name:
        raise DatasetError(f"the name {name!r} must not hold a slash")
    if len(feature.shape) != (3 if feature.is_video else 2 if feature.is_depth else 1):
        raise DatasetError(f"{name!r}: a {feature.dtype} of shape {feature.shape} is not supported")
    if feature.is_video and feature.pix_fmt == "yuv420p" and (feature.shape[0] % 2 or feature.shape[1] % 2):
        raise DatasetError(f"{name!r}: yuv420p needs an even size, not {feature.shape}")


def feature_entry(feature: Feature, fps: int) -> dict[str, Any]:
    """What info.json says about a feature."""
    names = None if feature.names is None else list(feature.names)
    entry: dict[str, Any] = {"dtype": feature.dtype, "shape": list(feature.shape), "names": names}
    if feature.is_video:
        entry["names"] = ["height", "width", "channels"]
        entry["info"] = {
            "video.height": feature.shape[0],
            "video.width": feature.shape[1],
            "video.codec": "h264",
            "video.pix_fmt": feature.pix_fmt,
            "video.is_depth_map": False,
            "video.fps": fps,
            "video.channels": 3,
            "has_audio": False,
        }
    return entry


def new_info(features: Features, fps: int, robot_type: str) -> dict[str, Any]:
    """info.json of a dataset without episodes."""
    return {
        "codebase_version": "v3.0",
        "robot_type": robot_type,
        "total_episodes": 0,
        "total_frames": 0,
        "total_tasks": 0,
        "chunks_size": CHUNK,
        "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 200,
        "fps": fps,
        "splits": {"train": "0:0"},
        "data_path": DATA_PATH,
        "video_path": VIDEO_PATH,
        "features": {name: feature_entry(f, fps) for name, f in {**features, **INDEX_FEATURES}.items()},
    }


def read_info(root: Path) -> dict[str, Any]:
    """info.json of a dataset. Raises DatasetError where there is none that we can read."""
    try:
        info: dict[str, Any] = json.loads((root / INFO).read_text())
        version = info["codebase_version"]
        missing = {"total_episodes", "total_frames", "fps", "features", "data_path"} - info.keys()
    except FileNotFoundError:
        raise DatasetError(f"{root} is not a dataset: it has no {INFO}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{root / INFO} cannot be read: {error}") from error
    if version != "v3.0":
        raise DatasetError(f"{root} is of version {version}; v3.0 is needed")
    if missing:
        raise DatasetError(f"{root / INFO} lacks {', '.join(sorted(missing))}")
    return info


def replace_file(path: Path, write: Callable[[Path], object], durable: bool = True) -> None:
    """Make a file that is either wholly there or not at all; `write` gets a temporary path.

    Durable: even after a power cut. Otherwise the caller syncs before it relies on the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    write(temporary)
    move_file(temporary, path, durable)


def move_file(source: Path, target: Path, durable: bool = True) -> None:
    """Put a finished file in its place. Both lie on one file system."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if durable:
        sync(source)
    os.replace(source, target)
    if durable:
        sync(target.parent)


def sync(path: Path) -> None:
    """Have the kernel write a file or a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_depth(root: Path) -> dict[str, tuple[int, int]]:
    """Cameras with depth, and its size (height, width). Raises DatasetError where that cannot be read."""
    try:
        found = json.loads((root / DEPTH).read_text())
        return {str(name): (int(entry["height"]), int(entry["width"])) for name, entry in found["cameras"].items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(f"{root / DEPTH} cannot be read: {error!r}") from error


def write_depth(root: Path, sizes: Mapping[str, tuple[int, ...]]) -> None:
    """Say which cameras have depth."""
    cameras = {name: {"height": size[0], "width": size[1]} for name, size in sizes.items()}
    form = {"codec": "ffv1", "pix_fmt": "gray16le", "unit": "mm", "unknown": 0, "path": DEPTH_PATH}
    write_json(root / DEPTH, {**form, "cameras": cameras})


def write_json(path: Path, content: object) -> None:
    """Replace a JSON file."""
    replace_file(path, lambda temporary: temporary.write_text(json.dumps(content, indent=1)))


def stray_files(root: Path, episodes: int) -> Iterator[Path]:
    """What an interrupted commit has left: files of episodes from `episodes` on, and temporary ones."""
    for folder in ("data", "videos", "depth", "meta/episodes"):
        yield from (root / folder).glob("**/.*.tmp")
        yield from (path for path in (root / folder).glob("**/chunk-*/file-*") if _number(path) >= episodes)


def _number(path: Path) -> int:
    return int(path.parent.name.removeprefix("chunk-")) * CHUNK + int(path.stem.removeprefix("file-"))
