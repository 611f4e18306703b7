"""To and from the layout of RoboVLMs' robot benchmark: the dataset card of bytedance_robot_benchmark_20, and its authors' loader.

    anns/{train,val}/{id}.json                 texts: [sentence]; videos: [static, hand]; state: a row of 7 numbers for each frame
    media/{train,val}/{id}/{rgb,hand_rgb}.mp4  what both cameras saw; several annotations may share them, each from `start` to `end`

A row of `state` is the tool's position m, its Euler angles rad and its gripper; `end - start` is the number of rows, and `crop`,
where there is one, [[top, left], [bottom, right]] of the picture. There are no actions: the loader makes them from the states, as the
difference of two rows, or as way and turn in the tool's frame (angles about the fixed axes x, y, z), with the later row's gripper.
Of `video_path` it takes the last three parts, below media.

The data themselves were not at hand. Chosen, therefore: positions and angles are those of the tool in the base frame; angles go on
beyond ±π, so that the loader's differences are short turns; the gripper is the one that was told, 1 open and 0 closed (GRIPPER);
which episodes are for validation is drawn by a seed; pictures have the size and rate of the recording, and every episode has videos
of its own.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

import av
import numpy as np
from scipy.spatial.transform import Rotation

from vla_ros import geometry
from vla_ros.episodes import video
from vla_ros.episodes.layout import DatasetError, Feature
from vla_ros.episodes.lerobot import DatasetWriter
from vla_ros.episodes.new_folder import new_folder
from vla_ros.episodes.reader import DatasetReader
from vla_ros.episodes.replay import track
from vla_ros.episodes.rows import ACTION_NAMES, IMAGES, STATE_NAMES, achieved, picture
from vla_ros.episodes.video import VideoEncoder
from vla_ros.geometry import Array, Pose
from vla_ros.kinematics import TOOL_DOWN
from vla_ros.values import Image

SPLITS = ("train", "val")
FILES = {"static": "rgb.mp4", "wrist": "hand_rgb.mp4"}
GRIPPER = (1.0, 0.0)
"""What an open gripper is, and a closed one."""
SHARE = 0.1
"""Of the episodes, for validation."""


def export(
    source: str | Path, output: str | Path, gripper: tuple[float, float] = GRIPPER, share: float = SHARE, seed: int = 0
) -> int:
    """Write a recorded dataset in this layout. Returns the number of episodes.

    Raises DatasetError where the cameras or tool poses are missing, or `output` is there already.
    """
    reader = DatasetReader(source)
    missing = [name for name in FILES if f"{IMAGES}{name}" not in reader.cameras]
    if missing:
        raise DatasetError(f"{reader.path} has no camera {' and '.join(missing)}, which the robot benchmark wants")
    count = len(reader.episodes)
    held_out = set(random.Random(seed).sample(range(count), round(share * count)))
    with new_folder(Path(output)) as folder:
        for split in SPLITS:
            (folder / "anns" / split).mkdir(parents=True)
        for index in range(count):
            _write(reader, index, folder, SPLITS[index in held_out], gripper)
    return count


def _write(reader: DatasetReader, index: int, folder: Path, split: str, gripper: tuple[float, float]) -> None:
    name, length = f"{index:06d}", reader.episodes[index].length
    media = PurePosixPath("media") / split / name
    (folder / media).mkdir(parents=True)
    videos = []
    for camera, file in FILES.items():
        _film(reader, index, f"{IMAGES}{camera}", folder / media / file)
        videos.append({"video_path": str(media / file), "start": 0, "end": length})
    content = {
        "texts": [reader.episodes[index].task],
        "videos": videos,
        "state": states(reader, index, gripper).tolist(),
    }
    (folder / "anns" / split / f"{name}.json").write_text(json.dumps(content))


def _film(reader: DatasetReader, index: int, camera: str, path: Path) -> None:
    if reader.alone(index, camera):
        shutil.copyfile(reader.video_file(index, camera), path)
        return
    with VideoEncoder(path, tuple(reader.info["features"][camera]["shape"]), reader.info["fps"], "yuv420p") as encoder:
        for image in reader.frames(index, camera):
            encoder.add(image)


def states(reader: DatasetReader, index: int, gripper: tuple[float, float] = GRIPPER) -> Array:
    """`state` of an episode (frames, 7)."""
    way, (opened, closed) = track(reader, index), gripper
    angles = np.unwrap(Rotation.from_quat(way.quaternions).as_euler("xyz"), axis=0)
    told = np.where(way.grippers < 0.5, opened, closed)
    return np.concatenate([way.positions, angles, told[:, None]], axis=1)


@dataclass(frozen=True)
class Film:
    """Frames start … end - 1 of a video, and the part of the picture that counts, (top, left, bottom, right)."""

    path: Path
    start: int
    end: int
    crop: tuple[int, int, int, int]
    fps: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of its pictures."""
        top, left, bottom, right = self.crop
        return bottom - top, right - left, 3

    def frames(self) -> Iterator[Image]:
        """The pictures. Raises DatasetError where there are fewer."""
        count, (top, left, bottom, right) = 0, self.crop
        try:
            for image in islice(video.frames(self.path, self.start / self.fps), self.end - self.start):
                count += 1
                yield image[top:bottom, left:right]
        except (OSError, ValueError, IndexError, av.FFmpegError) as error:
            raise DatasetError(f"{self.path} cannot be read: {error}") from error
        if count != self.end - self.start:
            raise DatasetError(f"{self.path} ends at frame {self.start + count}, and is wanted up to {self.end}")


@dataclass(frozen=True)
class Annotation:
    """One json: the sentence, what each camera saw, and the states (frames, 7)."""

    path: Path
    text: str
    films: dict[str, Film]
    state: Array


def imported(
    source: str | Path,
    output: str | Path,
    gripper: tuple[float, float] = GRIPPER,
    splits: Sequence[str] = SPLITS,
    robot: str = "kinova_gen3_2f85",
) -> int:
    """Append every annotation to a dataset, as an episode. Returns their number.

    Where it is closed is not known but by what it was told, so both grippers of `observation.state` are that. Raises DatasetError
    where an annotation or a video cannot be read, or does not go with the first: before anything is written, unless it is a video that
    is shorter than it should be.
    """
    source = Path(source)
    if gripper[0] == gripper[1]:
        raise DatasetError(f"an open and a closed gripper are both {gripper[0]:g}: they must differ")
    found = [read(path, gripper) for split in splits for path in sorted((source / "anns" / split).glob("*.json"))]
    if not found:
        raise DatasetError(
            f"{source} has no anns/{{{','.join(splits)}}}/*.json; is it a folder of the robot benchmark?"
        )
    first, fps = found[0], _rate(found[0])
    for one in found[1:]:
        if (_shapes(one), _rate(one)) != (_shapes(first), fps):
            raise DatasetError(
                f"{one.path}: pictures are {_shapes(one)} at {_rate(one)} Hz, those of {first.path} are {_shapes(first)} at {fps} Hz: "
                "a dataset has one size and one rate"
            )
    with DatasetWriter(output, _features(_shapes(first)), fps, robot) as writer:
        for one in found:
            writer.begin(one.text)
            for row in _rows(one, gripper):
                writer.add(*row)
            writer.commit()
    return len(found)


def read(path: Path, gripper: tuple[float, float] = GRIPPER) -> Annotation:
    """An annotation. Raises DatasetError that says what is wrong with it."""
    try:
        content = json.loads(path.read_text())
        state = np.array(content["state"], np.float64)
        films = {name: _film_of(path, entry) for name, entry in zip(FILES, content["videos"], strict=True)}
        text = str(content["texts"][0])
    except (OSError, ValueError, KeyError, IndexError, TypeError, av.FFmpegError) as error:
        raise DatasetError(f"{path} cannot be read: {error!r}; is it an annotation of the robot benchmark?") from error
    if state.ndim != 2 or state.shape[1] != 7 or not len(state) or not np.isfinite(state).all():
        raise DatasetError(f"{path}: state has shape {state.shape}, and should be a row of 7 numbers for each frame")
    for name, film in films.items():
        if film.start < 0 or film.end - film.start != len(state):
            raise DatasetError(f"{path}: video {name} is {film.start} … {film.end}, and there are {len(state)} states")
    told = _closed(state[:, 6], gripper)
    if (abs(told - 0.5) > 0.55).any():
        seen = sorted({float(value) for value in state[:, 6]})
        raise DatasetError(
            f"{path}: the gripper is {seen[0]:g} … {seen[-1]:g}, which is not between open {gripper[0]:g} and closed {gripper[1]:g}: "
            "name both with --gripper OPEN CLOSED"
        )
    return Annotation(path, text, films, state)


def _film_of(annotation: Path, entry: dict[str, Any]) -> Film:
    """As the loader finds it: the last three parts of its path, below media."""
    tail = PurePosixPath(str(entry["video_path"])).parts[-3:]
    if ".." in tail:
        raise ValueError(f"video_path {entry['video_path']!r} leaves the folder")
    path = annotation.parents[2].joinpath("media", *tail)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        height, width, fps = stream.height, stream.width, round(float(stream.average_rate or 0))
    (top, left), (bottom, right) = entry.get("crop") or ((0, 0), (height, width))
    if not (0 <= top < bottom <= height and 0 <= left < right <= width and fps):
        raise ValueError(f"crop {entry.get('crop')} of {path}, {width}×{height} at {fps} Hz")
    return Film(path, int(entry["start"]), int(entry["end"]), (int(top), int(left), int(bottom), int(right)), fps)


def _closed(values: Array, gripper: tuple[float, float]) -> Array:
    """From their numbers to 0 open … 1 closed."""
    opened, closed = gripper
    return np.asarray((values - opened) / (closed - opened))


def _shapes(one: Annotation) -> dict[str, tuple[int, int, int]]:
    return {name: film.shape for name, film in one.films.items()}


def _rate(one: Annotation) -> int:
    rates = {film.fps for film in one.films.values()}
    if len(rates) != 1:
        raise DatasetError(f"{one.path}: its videos have {sorted(rates)} frames a second, and should have one rate")
    return rates.pop()


def _features(shapes: dict[str, tuple[int, int, int]]) -> dict[str, Feature]:
    return {f"{IMAGES}{name}": picture(height, width) for name, (height, width, _) in shapes.items()} | {
        "observation.state": Feature("float32", (8,), STATE_NAMES),
        "action": Feature("float32", (7,), ACTION_NAMES),
    }


def _rows(one: Annotation, gripper: tuple[float, float]) -> Iterator[tuple[dict[str, Image], dict[str, Any]]]:
    told = np.clip(_closed(one.state[:, 6], gripper), 0.0, 1.0)
    turns = np.atleast_2d(Rotation.from_euler("xyz", one.state[:, 3:6]).as_quat())
    poses = [Pose(position, turn) for position, turn in zip(one.state[:, :3], turns, strict=True)]
    following = [*range(1, len(poses)), len(poses) - 1]
    for k, pictures in enumerate(zip(*(film.frames() for film in one.films.values()), strict=True)):
        after = following[k]
        state = [*poses[k].position, *geometry.difference(poses[k].quaternion, TOOL_DOWN), told[k], told[k]]
        yield (
            {f"{IMAGES}{name}": image for name, image in zip(one.films, pictures, strict=True)},
            {"observation.state": state, "action": achieved(poses[k], poses[after], float(told[after]))},
        )
