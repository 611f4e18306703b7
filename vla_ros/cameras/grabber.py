"""A camera that a thread of its own reads: only the newest frame is kept, and a lost device is looked for until it is back.

SDKs queue frames, and a late reader gets old ones. A device that falls silent is a state (`problem`), not an error.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from vla_ros.cameras.camera import CameraError
from vla_ros.cameras.slot import Slot
from vla_ros.clock import SECOND, Clock
from vla_ros.config.schema import CameraConfig, Config
from vla_ros.values import Frame, Intrinsics

POLL = 0.05
"""Seconds after which the thread looks whether it is to end."""
FIRST, SILENCE = 4 * SECOND, SECOND
"""How long the first frame, and any other, may take until the device counts as lost, ns."""
RETRY = 0.5
"""Seconds between two attempts to find a lost device."""

Shot = TypeVar("Shot")
Given = TypeVar("Given", covariant=True)


class LostError(Exception):
    """The SDK says that the device is gone."""


class Stream(Protocol[Given]):
    """One connection to a device, or a recording in its place."""

    @property
    def label(self) -> str:
        """What a person calls the device: model and serial number, or the recording."""

    def wait(self, timeout: float) -> Given | None:
        """What comes within `timeout` s, the newest. Raises LostError where the SDK tells that the device is gone."""

    def close(self) -> None:
        """Stop; a device that is gone has nothing against it."""


class Grabber(Generic[Shot]):
    """Frames of the camera `name` of the configuration; what an SDK has to do is `_connect` and `_deliver`.

    `say` is told, once each, what a person should know.
    """

    def __init__(self, config: Config, name: str, clock: Clock, say: Callable[[str], None] = lambda text: None) -> None:
        self._settings: CameraConfig = config.cameras[name]
        self._where = f"cameras.{name}"
        self._clock = clock
        self._say, self._said = say, set[str]()
        self._slot: Slot[Frame] = Slot()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._sequence = 0
        self._problem, self._failure = "", ""
        self._factory: Intrinsics | None = None

    def _connect(self) -> Stream[Shot]:
        """Find the device, set it up, start it. Raises CameraError."""
        raise NotImplementedError

    def _deliver(self, shot: Shot) -> int:
        """Make a frame of it and `_put` it there; returns when it arrived, ns."""
        raise NotImplementedError

    @property
    def intrinsics(self) -> Intrinsics:
        """The configured pinhole: a calibration is better than the factory's; where they differ, that is said at `open`."""
        c = self._settings
        return Intrinsics(c.width, c.height, c.fx, c.fy, c.cx, c.cy, c.roi, c.binning, c.distortion)

    @property
    def factory(self) -> Intrinsics | None:
        """The device's own calibration; None before `open`."""
        return self._factory

    @property
    def problem(self) -> str:
        """Why no frames come, in words; empty while they do."""
        return self._problem

    def open(self) -> None:
        """Connect and start. Raises CameraError: no SDK, no or another device, a busy one, a mode or setting that it does not have."""
        self.close()
        self._problem = self._failure = ""
        stream = self._connect()
        self._thread = threading.Thread(target=self._run, args=(stream,), name=self._where, daemon=True)
        self._thread.start()

    def read(self, timeout: float) -> Frame | None:
        """The newest frame that was not read yet, or None when none came within `timeout` s. Raises CameraError."""
        if self._thread is None:
            raise CameraError(f"{self._where} is not open: call open() first")
        frame = self._slot.take(timeout)
        if frame is None and self._failure:
            raise CameraError(f"{self._where}: its thread has ended: {self._failure}")
        return frame

    def close(self) -> None:
        """Stop and disconnect."""
        if self._thread is None:
            return
        self._stopping.set()
        self._thread.join()
        self._stopping.clear()
        self._thread = None
        self._slot.take(0)

    def _run(self, stream: Stream[Shot] | None) -> None:
        try:
            while stream is not None:
                try:
                    self._pump(stream)
                finally:
                    stream.close()
                stream = self._recover(stream.label)
        except Exception as error:  # whatever it is, `read` is to say it: nobody else hears of this thread
            self._failure = f"{type(error).__name__}: {error}"

    def _pump(self, stream: Stream[Shot]) -> None:
        """Deliver frames until the device is lost or this is to end."""
        heard, patience = self._clock.now(), FIRST
        while not self._stopping.is_set() and self._clock.now() - heard < patience:
            try:
                shot = stream.wait(POLL)
            except LostError:
                return
            if shot is not None:
                heard, patience = self._deliver(shot), SILENCE

    def _put(self, frame: Frame) -> None:
        """The newest frame: from here on the device is back, if it was lost."""
        if self._problem:
            self._problem = ""
            self._say(f"{self._where} is back")
        self._sequence = frame.sequence
        self._slot.put(frame)

    def _recover(self, label: str) -> Stream[Shot] | None:
        """Look for the device until it is back, or this is to end."""
        if self._stopping.is_set():
            return None
        if not self._problem:
            self._problem = f"{self._where}: no frames of {label} any more; it is looked for: check cable and port"
            self._say(self._problem)
        while not self._stopping.wait(RETRY):
            try:
                return self._connect()
            except CameraError as error:
                self._problem = str(error)
        return None

    def _compare(self, differences: list[str]) -> None:
        """Say where the factory's calibration is another one than the configuration's."""
        if differences:
            self._say_once(
                f"{self._where}: the camera's own calibration is another one than the configuration's, which is used: "
                f"{'; '.join(differences)}. Calibrate, or put the camera's numbers into the configuration"
            )

    def _say_once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._say(text)
