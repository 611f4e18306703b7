"""A film of the live twin: its state is noted while it runs, and rendered afterwards, so that the filming disturbs nothing."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vla_ros.clock import SECOND, MonotonicClock
from vla_ros.config import Config
from vla_ros.geometry import Array
from vla_ros.shared import Block
from vla_ros.twin import blocks
from vla_ros.values import Image

RATE = 12
"""Frames per second."""
SHAPE = (486, 864)
SHADOWS = 1
PROCESSES = 2
LINGER = 1.0
"""Seconds for which the end of an episode stays."""
EYE, AT = (1.52, -1.22, 0.94), (0.43, 0.10, 0.15)
"""Where the film is taken from and what it looks at (m, base frame): the arm left of the cameras' pictures."""


@dataclass(frozen=True)
class Shot:
    """One moment: simulator coordinates (nq,), look (rows, 3), and lines of text."""

    coordinates: Array
    look: Array
    lines: tuple[str, ...]


class Film:
    """Notes the twin's state at RATE in a thread, from `roll` to `cut`; `lines` gives the text of the moment.

    One that is not `loaded` takes no shots.
    """

    def __init__(self, runtime: Path, lines: Callable[[], tuple[str, ...]], loaded: bool = True) -> None:
        self._block = Block.attach(runtime / "twin_state", blocks.STATE)
        self._lines, self._loaded = lines, loaded
        self.shots: list[Shot] = []
        self._rolling = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="film", daemon=True)
        self._thread.start()

    def roll(self) -> None:
        """Begin to take shots."""
        self._rolling = self._loaded

    def cut(self) -> None:
        """Take no more until `roll`."""
        self._rolling = False

    def linger(self, lines: tuple[str, ...]) -> None:
        """Hold the last shot for LINGER with other words: how it ended."""
        if self.shots:
            self.shots += [replace(self.shots[-1], lines=lines)] * round(LINGER * RATE)

    def close(self) -> None:
        """End the thread."""
        self._ended.set()
        self._thread.join(1.0)

    def _run(self) -> None:
        clock = MonotonicClock()
        due = clock.now()
        while not self._ended.is_set():
            due = max(due + SECOND // RATE, clock.now())
            clock.sleep_until(due)
            got = self._block.read() if self._rolling else None
            if got is not None:
                self.shots.append(Shot(got[1]["coordinates"].copy(), got[1]["look"].copy(), self._lines()))


def develop(shots: list[Shot], config: Config, path: Path, shown: Callable[[], None] = lambda: None) -> int:
    """Render the shots and write the film; `shown` is called for each. Returns how many there were."""
    from vla_ros.evaluation.pictures import write_video

    path.parent.mkdir(parents=True, exist_ok=True)
    return write_video(path, _counted(_rendered(shots, config), shown), RATE)


def _counted(frames: Iterator[Image], shown: Callable[[], None]) -> Iterator[Image]:
    for frame in frames:
        shown()
        yield frame


def _rendered(shots: list[Shot], config: Config) -> Iterator[Image]:
    context = multiprocessing.get_context("spawn")
    with context.Pool(PROCESSES, _open_studio, (config,)) as pool:
        yield from pool.imap(_render, shots, chunksize=4)


class _Studio:
    """A model of the twin and everything that looks at it, one per process."""

    def __init__(self, config: Config) -> None:
        from vla_ros.twin.physics import Twin
        from vla_ros.twin.picture import PictureRenderer, View
        from vla_ros.twin.render import make_renderer

        self._twin = Twin(config)
        model = self._twin.model
        self._main = PictureRenderer(model, SHAPE, View(EYE, AT), samples=1, shadows=SHADOWS)
        self._cameras = {
            name: make_renderer(model, camera, name, config.twin.renderer) for name, camera in config.cameras.items()
        }

    def frame(self, shot: Shot) -> Image:
        """The composed frame of a shot."""
        from vla_ros.evaluation.pictures import compose_frame
        from vla_ros.twin import scene, tasks

        twin = self._twin
        scene.paint(twin.model, shot.look[: 4 + len(tasks.NAMES)], tasks.NAMES)
        twin.data.qpos[:] = shot.coordinates[: twin.model.nq]
        scene.update(twin.model, twin.data)
        insets = [(f"{name} camera", renderer.render(twin.data)) for name, renderer in self._cameras.items()]
        return compose_frame(self._main.render(twin.data), insets, shot.lines)


_studio: list[_Studio] = []


def _open_studio(config: Config) -> None:
    _studio[:] = [_Studio(config)]


def _render(shot: Shot) -> Image:
    return np.ascontiguousarray(_studio[0].frame(shot))
