"""Recorded observations as inputs of a policy's `encode`: from a dataset, or from the twin as an expert drives it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_ros.config import Config
from vla_ros.episodes.layout import DatasetError
from vla_ros.episodes.reader import DatasetReader
from vla_ros.policy.language import Text, open_language
from vla_ros.policy.manifest import STATE_NAMES, BundleError, Manifest
from vla_ros.policy.policy import intrinsics
from vla_ros.policy.preprocess import preprocess, robot_state
from vla_ros.policy.words import InstructionError
from vla_ros.values import Image

CLIP = 20
"""Frames of one clip: more than the longest window, so that a window fills and slides."""
FRAMES = 40
STATE = "observation.state"
FIRST_SEED = 900_000
"""Of the twin's episodes: neither those of training nor those of the evaluation."""

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Clip:
    """Inputs of `encode` of consecutive frames under one instruction. A memory is fresh at the first one."""

    task: str
    frames: tuple[Arrays, ...]


@dataclass(frozen=True)
class Recorded:
    """Clips, and in words where they come from."""

    source: str
    clips: tuple[Clip, ...]

    def __len__(self) -> int:
        """Number of frames."""
        return sum(len(clip.frames) for clip in self.clips)


class Observer:
    """Makes a policy's inputs as the service does. Raises BundleError for a bundle whose words do not open."""

    def __init__(self, folder: Path, manifest: Manifest, config: Config) -> None:
        self.manifest = manifest
        self._language = open_language(folder, manifest.words)
        self._delivered = {}
        for camera in manifest.cameras:
            if camera.name not in config.cameras:
                raise BundleError(
                    f"cameras: the policy sees with {camera.name!r}, which the configuration does not have. "
                    f"Add cameras.{camera.name}, or give another --config."
                )
            self._delivered[camera.name] = intrinsics(config.cameras[camera.name])

    def text(self, task: str) -> Text:
        """The text of an instruction. Raises BundleError for one that the policy cannot follow."""
        try:
            return self._language.text(task)
        except InstructionError as error:
            raise BundleError(f"the recorded instruction cannot be followed: {error}") from None

    def inputs(self, images: Mapping[str, Image], state: NDArray[np.float32], text: Text) -> Arrays:
        """Inputs by name, of images as the cameras deliver them and the robot state (8,)."""
        by_role: dict[str, Any] = {**text.inputs, "robot_state": state[None].astype(np.float32)}
        cameras = iter(self.manifest.cameras)
        found: Arrays = {}
        for tensor in self.manifest.graphs["encode"].inputs:
            if tensor.role == "image":
                camera = next(cameras)
                cut = preprocess(images[camera.name], self._delivered[camera.name], camera)
                found[tensor.name] = np.array(
                    cut[None]
                )  # a picture's own memory cannot be written to, which torch wants
            else:
                found[tensor.name] = by_role[tensor.role]
        return found


def from_dataset(path: Path, observer: Observer, frames: int = FRAMES) -> Recorded:
    """Clips from episodes spread over the dataset at `path`, and within these from beginning to end.

    The images must be those of the configuration's cameras. Raises DatasetError for a dataset that cannot be read or has not what
    the policy sees, and BundleError where its images do not fit.
    """
    reader = DatasetReader(path)
    _check_columns(reader, observer.manifest)
    every = max(1, round(observer.manifest.history.stride_ms * reader.info["fps"] / 1000))
    states = reader.column(STATE) if observer.manifest.robot_state else np.zeros((reader.info["total_frames"], 0))
    lengths = spread(frames)
    chosen = [k * len(reader.episodes) // len(lengths) for k in range(len(lengths))]
    clips = []
    for number, (episode, length) in enumerate(zip(chosen, lengths, strict=True)):
        whole = reader.episodes[episode]
        places = part(range(0, whole.length, every), length, number, len(lengths))
        try:
            clips.append(_clip(reader, observer, states, episode, places))
        except BundleError as error:
            raise BundleError(f"{path}, episode {episode}: {error}") from None
    return Recorded(f"{path.name}, episodes {', '.join(map(str, chosen))}", tuple(clips))


def from_twin(observer: Observer, config: Config, frames: int = FRAMES) -> Recorded:
    """Clips that the twin renders while its expert lifts cubes. `config` is what `twin_config` makes of a configuration."""
    from vla_ros.evaluation.rollout import Studio
    from vla_ros.twin.tasks import sample

    studio, lengths, clips = Studio(config), spread(frames), []
    for number, length in enumerate(lengths):
        episode = sample(FIRST_SEED + number)
        looks = _driven(studio, episode)
        text = observer.text(episode.instruction)
        places = part(range(len(looks)), length, number, len(lengths))
        seen = tuple(observer.inputs(*looks[place], text) for place in places)
        clips.append(Clip(episode.instruction, seen))
    last = FIRST_SEED + len(lengths)
    return Recorded(f"the twin, expert, seeds {FIRST_SEED}:{last}", tuple(clips))


def twin_config(config: Config, manifest: Manifest) -> Config:
    """The configuration with cameras that deliver exactly what the policy wants to see."""
    cameras = dict(config.cameras)
    for camera in manifest.cameras:
        if camera.name in cameras:
            wanted = {"roi": camera.roi, "binning": camera.binning}
            cameras[camera.name] = cameras[camera.name].model_copy(update=wanted)
    return config.model_copy(update={"cameras": cameras})


def spread(frames: int) -> list[int]:
    """Lengths of clips that make `frames` together, at least two, so that there is a reset. Raises ValueError under two frames."""
    if frames < 2:
        raise ValueError(f"{frames} frames: at least 2 are needed, for a reset between them")
    count = max(2, -(-frames // CLIP))
    return [frames // count + (k < frames % count) for k in range(count)]


def part(places: Sequence[int], length: int, number: int, count: int) -> Sequence[int]:
    """`length` neighbours of an episode's places, all of them where it is shorter; the later clips come from its later parts."""
    free = max(0, len(places) - length)
    first = free * number // max(1, count - 1)
    return places[first : first + length]


def _clip(reader: DatasetReader, observer: Observer, states: NDArray[Any], episode: int, places: Sequence[int]) -> Clip:
    whole = reader.episodes[episode]
    videos = {c.name: reader.video(episode, f"observation.images.{c.name}") for c in observer.manifest.cameras}
    text = observer.text(whole.task)
    frames = (
        observer.inputs({name: video[k] for name, video in videos.items()}, states[whole.start + k], text)
        for k in places
    )
    return Clip(whole.task, tuple(frames))


def _check_columns(reader: DatasetReader, manifest: Manifest) -> None:
    """Raises DatasetError unless the dataset has the policy's cameras and, where it wants one, the robot state."""
    if not reader.episodes:
        raise DatasetError(f"{reader.path} has no episodes yet")
    for camera in manifest.cameras:
        if f"observation.images.{camera.name}" not in reader.cameras:
            raise DatasetError(
                f"{reader.path} has no observation.images.{camera.name}, which the policy sees with; "
                f"it has {', '.join(reader.cameras)}"
            )
    if not manifest.robot_state:
        return
    names = reader.info["features"].get(STATE, {}).get("names")
    if names is None or tuple(names) != STATE_NAMES:
        raise DatasetError(f"{reader.path}: {STATE} has {names}, the policy takes {list(STATE_NAMES)}")


def _driven(studio: Any, episode: Any) -> list[tuple[Mapping[str, Image], NDArray[np.float32]]]:
    """What was seen at each look of an episode that the expert drives: images and robot state."""
    from vla_ros.evaluation.expert_policy import ExpertPolicy
    from vla_ros.evaluation.rollout import Step, run

    looks: list[tuple[Mapping[str, Image], NDArray[np.float32]]] = []

    def keep(step: Step) -> None:
        images = {name: frame.image for name, frame in step.observation.frames.items()}
        looks.append((images, robot_state(step.observation.arm, step.gripper_command)))

    expert = ExpertPolicy(studio.twin)
    expert.aim(episode.target)
    run(studio, episode, expert, on_step=keep)
    return looks


def joined(recorded: Recorded) -> Iterator[tuple[bool, Arrays]]:
    """All frames, and whether a clip begins with it."""
    for clip in recorded.clips:
        for number, frame in enumerate(clip.frames):
            yield number == 0, frame
