"""Small datasets for the tests: five cubes on a table, and values that name their episode and frame."""

from pathlib import Path

import numpy as np

from vla_ros.episodes.lerobot import DatasetWriter

STATIC, WRIST = "observation.images.static", "observation.images.wrist"
FEATURES = {
    STATIC: ("video", (80, 120, 3)),
    WRIST: ("video", (60, 80, 3)),
    "observation.state": ("float32", (8,), tuple("abcdefgh")),
    "action": ("float32", (7,)),
    "observation.stamp_ns": ("int64", (1,)),
    "expert": ("bool", (1,)),
}
COLOURS = [(210, 45, 40), (50, 160, 70), (45, 80, 200), (230, 200, 60), (140, 60, 160)]


def table(name: str, frame: int) -> tuple[np.ndarray, np.ndarray]:
    """Five cubes of 8 pixels, one of them moving, on a flat table; the image and the mask of the cubes."""
    image = np.full(FEATURES[name][1], (120, 118, 112), np.uint8)
    mask = np.zeros(image.shape[:2], bool)
    for k, colour in enumerate(COLOURS):
        x, y = 3 + 15 * k + (frame % 5 if k == 2 else 0), 20 + 5 * k
        image[y : y + 8, x : x + 8] = colour
        mask[y : y + 8, x : x + 8] = True
    return image, mask


def values(episode: int, frame: int) -> dict:
    """Values that name their episode and frame, with a stamp that a float would round."""
    return {
        "observation.state": np.linspace(episode, frame, 8),
        "action": np.full(7, episode + frame / 100),
        "observation.stamp_ns": 1_700_000_000_000_000_001 + frame,
        "expert": frame % 2 == 0,
    }


def opened(path: Path, **changes) -> DatasetWriter:
    """A writer as the tests use it."""
    return DatasetWriter(path, **{"features": FEATURES, "fps": 10, "robot_type": "kinova_gen3"} | changes)


def fill(writer: DatasetWriter, episode: int, frames: int) -> None:
    """Add frames to the open episode."""
    for frame in range(frames):
        writer.add({name: table(name, frame)[0] for name in (STATIC, WRIST)}, values(episode, frame))


def record(path: Path, *lengths: int, task: str = "push the red cube") -> Path:
    """Append episodes of these lengths."""
    with opened(path) as writer:
        for frames in lengths:
            episode = writer.episodes
            writer.begin(f"{task} {episode % 2}")
            fill(writer, episode, frames)
            assert writer.commit() == episode
    return path
