"""What is asked of a camera. Stamps are CLOCK_MONOTONIC ns: drivers map the device's own time to it."""

from __future__ import annotations

from typing import Protocol

from vla_ros.values import Frame, Intrinsics


class CameraError(Exception):
    """The camera cannot be reached or has failed. The text says what is wrong and what to do."""


class Camera(Protocol):
    """A source of RGB frames, used from one thread."""

    @property
    def intrinsics(self) -> Intrinsics:
        """The pinhole that the frames are seen through; known before `open` or from it on."""

    def open(self) -> None:
        """Connect and start. Raises CameraError."""

    def read(self, timeout: float) -> Frame | None:
        """The next frame, or None when none came within `timeout` s. Raises CameraError."""

    def close(self) -> None:
        """Stop and disconnect."""
