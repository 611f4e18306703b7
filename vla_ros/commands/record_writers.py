"""One dataset writer fed with frames in real time, in a process of its own: what `vla-ros bench record --lerobot PYTHON` compares.

    PYTHON record_writers.py KIND FOLDER SECONDS EPISODES FPS

KIND is vla_ros, lerobot (as `lerobot-record` writes by default) or lerobot-streaming (its H.264 while recording). A script of its own,
since LeRobot lives in another environment: of this project only the kind vla_ros is imported. Prints a line of JSON.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

HEIGHT, WIDTH = 480, 640
CAMERAS = ("observation.images.static", "observation.images.wrist")
NUMBERS = {"observation.state": 8, "action": 7}
TASK = "pick up the red cube"
NOISE = 4.0
FRAMES = 30
"""Different pictures of each camera, made before anything is timed."""


def pictures() -> dict[str, list[Any]]:
    """The same for every writer: a scene that moves, with the noise of a sensor."""
    random = np.random.default_rng(0)
    x = np.linspace(60, 180, WIDTH)
    made: dict[str, list[Any]] = {}
    for camera in CAMERAS:
        scene = np.broadcast_to(x[None, :, None], (HEIGHT, WIDTH, 3)).copy()
        made[camera] = []
        for k in range(FRAMES):
            moved = scene.copy()
            moved[200:280, 8 * k : 8 * k + 80] = (200, 60, 50)
            made[camera].append(np.clip(moved + random.normal(0, NOISE, moved.shape), 0, 255).astype(np.uint8))
    return made


class Ours:
    """This project's writer, as the recorder calls it."""

    def __init__(self, folder: Path, fps: int) -> None:
        from vla_ros.episodes.layout import Feature
        from vla_ros.episodes.lerobot import DatasetWriter

        videos = {name: Feature("video", (HEIGHT, WIDTH, 3), None, "yuv420p", 18) for name in CAMERAS}
        numbers = {name: Feature("float32", (width,)) for name, width in NUMBERS.items()}
        self._writer = DatasetWriter(folder, videos | numbers, fps, "robot")

    def begin(self) -> None:
        """An episode."""
        self._writer.begin(TASK)

    def add(self, images: dict[str, Any], values: dict[str, Any]) -> None:
        """A frame."""
        self._writer.add(images, values)

    def save(self) -> None:
        """Make it last."""
        self._writer.commit()


class LeRobot:
    """LeRobot's, with the four writing threads a camera that `lerobot-record` has."""

    def __init__(self, folder: Path, fps: int, streaming: bool) -> None:
        import torch

        # torchvision's own operators cannot be loaded with another torch; they are declared, and never called
        library = torch.library.Library("torchvision", "FRAGMENT")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        from lerobot.datasets.lerobot_dataset import LeRobotDataset

        names = ["height", "width", "channels"]
        features: dict[str, Any] = {n: {"dtype": "video", "shape": (HEIGHT, WIDTH, 3), "names": names} for n in CAMERAS}
        features |= {n: {"dtype": "float32", "shape": (width,), "names": None} for n, width in NUMBERS.items()}
        options: dict[str, Any] = {"vcodec": "h264", "streaming_encoding": True} if streaming else {}
        self._dataset = LeRobotDataset.create(
            "local/bench", fps, features, root=folder, robot_type="robot", image_writer_threads=8, **options
        )

    def begin(self) -> None:
        """It begins by itself."""

    def add(self, images: dict[str, Any], values: dict[str, Any]) -> None:
        """A frame."""
        self._dataset.add_frame({**images, **values, "task": TASK})

    def save(self) -> None:
        """Make it last."""
        self._dataset.save_episode()


def opened(kind: str, folder: Path, fps: int) -> Ours | LeRobot:
    """The writer of that kind."""
    return Ours(folder, fps) if kind == "vla_ros" else LeRobot(folder, fps, kind == "lerobot-streaming")


def used() -> float:
    """s of processor time, of this process and of those it has waited for."""
    own, others = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime


def play(
    writer: Ours | LeRobot, frames: dict[str, list[Any]], count: int, fps: int
) -> tuple[list[float], float, float]:
    """One episode in real time: ms of each add, ms of the save, and by how much the last frame was late, ms."""
    values = {name: np.zeros(width, np.float32) for name, width in NUMBERS.items()}
    adds, began = [], time.monotonic()
    writer.begin()
    for k in range(count):
        time.sleep(max(0.0, began + k / fps - time.monotonic()))
        adds.append(_timed(lambda k=k: writer.add({n: images[k % FRAMES] for n, images in frames.items()}, values)))  # type: ignore[misc]
    late = 1000 * (time.monotonic() - began - count / fps)
    return adds, _timed(writer.save), late


def _timed(work: Callable[[], None]) -> float:
    began = time.monotonic()
    work()
    return 1000 * (time.monotonic() - began)


def main(kind: str, folder: str, seconds: str, episodes: str, fps: str) -> None:
    """Warm up with an episode of a second; then time so many of so many seconds."""
    rate, count = int(fps), round(float(seconds) * int(fps))
    frames, writer = pictures(), opened(kind, Path(folder), int(fps))
    play(writer, frames, rate, rate)
    began, before = time.monotonic(), used()
    played = [play(writer, frames, count, rate) for _ in range(int(episodes))]
    found = {
        "cpu_s": used() - before,
        "wall_s": time.monotonic() - began,
        "frames": count * int(episodes),
        "add_ms": [ms for adds, _, _ in played for ms in adds],
        "save_ms": [save for _, save, _ in played],
        "late_ms": [late for _, _, late in played],
        "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
