"""Faults around any camera: what it gives comes late, broken, frozen or not at all, when it is asked to."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from vla_ros.cameras.camera import Camera
from vla_ros.clock import SECOND, Clock
from vla_ros.faults import Fault, FaultyStream
from vla_ros.values import Frame, Image, Intrinsics

BLOCKS = 8
"""Blocks of a corrupt image that are replaced, each a quarter as wide and high as the image."""


class FaultyCamera:
    """A camera with `faults` played around it; stamps and sequence numbers stay those of the camera.

    CORRUPT puts noise into blocks of the image, FREEZE shows the former image under new stamps and numbers. `clock` is the camera's.
    `play` may be called from any thread.
    """

    def __init__(self, camera: Camera, clock: Clock, faults: Iterable[Fault] = (), seed: int = 0) -> None:
        self._camera, self._clock = camera, clock
        self._stream: FaultyStream[Frame] = FaultyStream(faults, corrupt=_corrupted, repeat=_repeated, seed=seed)
        self._arrived: deque[Frame] = deque()

    @property
    def intrinsics(self) -> Intrinsics:
        """The camera's."""
        return self._camera.intrinsics

    @property
    def problem(self) -> str:
        """Why the camera gives nothing, in words; empty while it does, and for a driver that does not say."""
        return str(getattr(self._camera, "problem", ""))

    def open(self) -> None:
        """Connect and start. Raises CameraError."""
        self._camera.open()

    def read(self, timeout: float) -> Frame | None:
        """The next frame that arrives, or None when none did within `timeout` s. Raises CameraError."""
        deadline = self._clock.now() + int(timeout * SECOND)
        while not self._arrived:
            frame = self._camera.read(self._patience(deadline))
            now = self._clock.now()
            if frame is not None:
                self._stream.put(now, frame.exposure, frame)
            self._arrived.extend(replace(late, arrival=now) for _, late in self._stream.take(now))
            if now >= deadline:
                break
        return self._arrived.popleft() if self._arrived else None

    def play(self, fault: Fault) -> None:
        """Add a fault."""
        self._stream.play(fault)

    def close(self) -> None:
        """Stop and disconnect; what was on its way is lost."""
        self._camera.close()
        self._stream.clear()
        self._arrived.clear()

    def _patience(self, deadline: int) -> float:
        """Seconds to wait for the camera: until the deadline, or until something that is late is due."""
        due = self._stream.next_due()
        moment = deadline if due is None else min(due, deadline)
        return max(0, moment - self._clock.now()) / SECOND


def _repeated(old: Frame, new: Frame) -> Frame:
    return replace(new, image=old.image)


def _corrupted(frame: Frame, random: np.random.Generator) -> Frame:
    return replace(frame, image=_scrambled(frame.image, random))


def _scrambled(image: Image, random: np.random.Generator) -> Image:
    """A copy of the image (H, W, 3) with noise in random blocks."""
    broken = image.copy()
    height, width = (max(1, size // 4) for size in image.shape[:2])
    for _ in range(BLOCKS):
        y, x = random.integers(image.shape[0] - height + 1), random.integers(image.shape[1] - width + 1)
        broken[y : y + height, x : x + width] = random.integers(0, 256, (height, width, 3), np.uint8)
    return broken
