"""A camera of the twin: maps the state of the physics, and renders what intrinsics, crop and pose see."""

from __future__ import annotations

import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from vla_ros.cameras.camera import Camera, CameraError
from vla_ros.cameras.faulty import FaultyCamera
from vla_ros.clock import MILLISECOND, SECOND, Clock
from vla_ros.config.schema import CameraConfig, Config
from vla_ros.faults import Fault, Kind
from vla_ros.shared import Block, BlockError
from vla_ros.twin import blocks
from vla_ros.twin.eye import Eye
from vla_ros.twin.noise import SensorNoise
from vla_ros.twin.render import RenderError
from vla_ros.values import Frame, Intrinsics


class TwinCamera:
    """Frames of the camera `name` at its configured rate, exposed when the state they show was true, with a sensor's noise."""

    def __init__(self, config: Config, name: str, runtime: Path, clock: Clock) -> None:
        self.config, self.name = config, name
        self._camera = config.cameras[name]
        self._path, self._clock = runtime / "twin_state", clock
        self._period = round(SECOND / self._camera.rate)
        self._block: Block | None = None
        self._eye: Eye | None = None
        self._noise = SensorNoise(config.twin.noise, seed=zlib.crc32(name.encode()) + config.twin.seed)
        self._next, self._sequence, self._episode, self._exposure = 0, 0, -1, 0

    @property
    def intrinsics(self) -> Intrinsics:
        """The configured pinhole."""
        return intrinsics(self._camera)

    def open(self) -> None:
        """Attach to the physics and build the scene. Raises CameraError when the twin does not run."""
        try:
            self._block = Block.attach(self._path, blocks.STATE)
        except BlockError as error:
            raise CameraError(
                f"camera {self.name}: {error}; start the twin with `vla-ros sim` or `twin_node`"
            ) from None
        try:
            self._eye = self._eye or Eye(self.config, self.name)
        except RenderError as error:
            raise CameraError(f"camera {self.name}: {error}") from None
        self._next = self._clock.now()

    def read(self, timeout: float) -> Frame | None:
        """Wait for the camera's next moment and render what is then; None when that is nothing new."""
        if self._block is None or self._eye is None:
            raise CameraError(f"camera {self.name} is not open: call open() first")
        deadline = self._clock.now() + int(timeout * SECOND)
        self._clock.sleep_until(min(self._next, deadline))
        if self._clock.now() < self._next:
            return None
        self._next = max(self._next + self._period, self._clock.now() - self._period)
        state = self._fresh(deadline)
        return None if state is None else self._frame(state)

    def close(self) -> None:
        """Let go of the block and of the renderer."""
        if self._block is not None:
            self._block.close()
        if self._eye is not None:
            self._eye.close()
        self._block = self._eye = None

    def _fresh(self, deadline: int) -> Any:
        """A state newer than the last frame's, or None at the deadline; follows a twin that was restarted."""
        while True:
            value = self._block.read() if self._block is not None else None
            if value is not None and int(value[1]["stamp"]) > self._exposure:
                return value[1]
            if self._clock.now() >= deadline:
                self._reattach()
                return None
            self._clock.sleep_until(min(deadline, self._clock.now() + MILLISECOND))

    def _reattach(self) -> None:
        if self._block is None or not self._block.replaced():
            return
        try:
            fresh = Block.attach(self._path, blocks.STATE)
        except BlockError:
            return
        self._block.close()
        self._block, self._episode = fresh, -1

    def _frame(self, state: Any) -> Frame:
        assert self._eye is not None
        if int(state["episode"]) != self._episode:
            self._episode = int(state["episode"])
            self._eye.paint(state["look"])
        self._exposure = int(state["stamp"])
        self._sequence += 1
        image = self._noise.add(self._eye.render(state["coordinates"]))
        return Frame(image, self._exposure, self._clock.now(), self._sequence)


class LateCamera:
    """A camera without stamps of its own: it delivers `delay` s after exposure, and what it stamps is the delivery."""

    def __init__(self, camera: Camera, clock: Clock, delay: float) -> None:
        self._camera = FaultyCamera(camera, clock, [Fault(Kind.DELAY, 0, _ALWAYS, delay)])
        self._delay = round(delay * SECOND)

    @property
    def intrinsics(self) -> Intrinsics:
        """The camera's."""
        return self._camera.intrinsics

    def open(self) -> None:
        """Connect and start. Raises CameraError."""
        self._camera.open()

    def read(self, timeout: float) -> Frame | None:
        """The next frame that is delivered, or None when none was within `timeout` s. Raises CameraError."""
        frame = self._camera.read(timeout)
        return None if frame is None else replace(frame, exposure=frame.exposure + self._delay)

    def close(self) -> None:
        """Stop and disconnect; what was on its way is lost."""
        self._camera.close()


def intrinsics(camera: CameraConfig) -> Intrinsics:
    """The pinhole of a camera's configuration."""
    c = camera
    return Intrinsics(c.width, c.height, c.fx, c.fy, c.cx, c.cy, c.roi, c.binning)


_ALWAYS = 1 << 62
"""Later than any moment of a clock, ns."""
