"""Intel RealSense D400 cameras, such as the D435i, by pyrealsense2: colour, and depth where the configuration asks for it.

The SDK queues frames, and a late reader gets old ones (librealsense #7837, #13397). So a thread takes them as they come, and only the
newest is kept. A device that falls silent is looked for until it is back: that is a state (`problem`), not an error.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vla_ros.cameras.camera import CameraError
from vla_ros.cameras.pixels import deliver, deliver_depth
from vla_ros.cameras.realsense_device import (
    choose,
    colour_sensor,
    describe,
    differences,
    info,
    load_recording,
    lock,
    refused,
    require_mode,
)
from vla_ros.cameras.realsense_stamps import Domain, Reading, Stamper
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


class RealSenseCamera:
    """Frames of the camera `name` of the configuration.

    `say` is told, once each, what a person should know. `find` gives the devices to choose from (None: those that are connected), and
    `wall` the wall clock in ns, which the SDK's global time is of.
    """

    def __init__(
        self,
        config: Config,
        name: str,
        clock: Clock,
        say: Callable[[str], None] = lambda text: None,
        find: Callable[[], Iterable[Any]] | None = None,
        wall: Callable[[], int] = time.time_ns,
    ) -> None:
        self._settings, self._where = config.cameras[name], f"cameras.{name}"
        self._clock, self._wall, self._find = clock, wall, find
        self._say, self._said = say, set[str]()
        self._slot: Slot[Frame] = Slot()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._sdk: Any = None
        self._context: Any = None
        self._sequence = 0
        self._problem, self._failure = "", ""
        self._factory: Intrinsics | None = None

    @property
    def intrinsics(self) -> Intrinsics:
        """The configured pinhole: a calibration is better than the factory's; where they differ, that is said at `open`."""
        c = self._settings
        return Intrinsics(c.width, c.height, c.fx, c.fy, c.cx, c.cy, c.roi, c.binning)

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

    def _run(self, stream: _Stream | None) -> None:
        try:
            while stream is not None:
                try:
                    self._pump(stream)
                finally:
                    stream.close()
                stream = self._recover(stream.label)
        except Exception as error:  # whatever it is, `read` is to say it: nobody else hears of this thread
            self._failure = f"{type(error).__name__}: {error}"

    def _pump(self, stream: _Stream) -> None:
        """Deliver frames until the device is silent or this is to end."""
        stamper = self._stamper()
        heard, patience = self._clock.now(), FIRST
        while not self._stopping.is_set() and self._clock.now() - heard < patience:
            shot = stream.wait(POLL, self._clock.now, self._wall)
            if shot is not None:
                heard, patience = shot.arrival, SILENCE
                self._deliver(shot, stamper)

    def _stamper(self) -> Stamper:
        c = self._settings
        return Stamper(round(c.exposure * SECOND), round(SECOND / c.rate))

    def _deliver(self, shot: _Shot, stamper: Stamper) -> None:
        exposure = stamper.stamp(shot.reading, shot.arrival, shot.wall)
        if exposure is None:
            return
        if self._problem:
            self._problem = ""
            self._say(f"{self._where} is back")
        roi, binning = self._settings.roi, self._settings.binning
        depth = None if shot.depth is None else deliver_depth(shot.depth, shot.depth_unit, roi, binning)
        self._sequence += 1
        self._slot.put(Frame(deliver(shot.colour, roi, binning), exposure, shot.arrival, self._sequence, depth))
        if shot.reading.domain is Domain.SYSTEM:
            self._say_once(
                f"{self._where}: frames come without metadata, so their stamps are arrivals: use a kernel that passes it on "
                f"(librealsense, doc/installation.md), or have `vla-ros calibrate latency` measure {self._where}.latency"
            )

    def _recover(self, label: str) -> _Stream | None:
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

    def _connect(self) -> _Stream:
        self._sdk = load_sdk()
        try:
            return self._connected()
        except RuntimeError as error:  # all that the SDK raises: here by a device that is coming or going
            raise refused(str(error), "the camera", self._where) from None

    def _connected(self) -> _Stream:
        self._context = self._context or self._sdk.context()
        device = self._device()
        self._tell_usb(device)
        require_mode(self._sdk, device, self._settings, self._where)
        if not self._settings.playback:
            lock(self._sdk, colour_sensor(self._sdk, device), self._settings, self._where)
        stream = _Stream(self._sdk, self._context, device, self._settings, self._where)
        self._compare(stream.intrinsics)
        return stream

    def _device(self) -> Any:
        if self._settings.playback:
            return load_recording(self._context, self._settings.playback, self._where)
        devices = self._find() if self._find is not None else self._context.query_devices()
        return choose(self._sdk, list(devices), self._settings.serial, self._where)

    def _tell_usb(self, device: Any) -> None:
        usb = info(device, self._sdk.camera_info.usb_type_descriptor)
        if usb.startswith("2"):
            self._say_once(
                f"{self._where}: {describe(self._sdk, device)} is connected by USB {usb}: fewer modes, and frames come later. "
                "Use a USB 3 port and a USB 3 cable"
            )

    def _compare(self, factory: Any) -> None:
        c = self._settings
        self._factory = Intrinsics(
            factory.width, factory.height, factory.fx, factory.fy, factory.ppx, factory.ppy, c.roi, c.binning
        )
        found = differences(self.intrinsics, self._factory, factory.coeffs)
        if found:
            self._say_once(
                f"{self._where}: the camera's own calibration is another one than the configuration's, which is used: "
                f"{'; '.join(found)}. Calibrate, or put the camera's numbers into the configuration"
            )

    def _say_once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._say(text)


class _Shot(NamedTuple):
    """What the SDK gave at once: colour (H, W, 3), depth (H, W) in `depth_unit` m or None, and the stamps; valid until the next."""

    colour: Any
    depth: Any
    depth_unit: float
    reading: Reading
    arrival: int
    wall: int


class _Stream:
    """One connection: a pipeline that fills a queue of one. Raises CameraError when it does not start."""

    def __init__(self, sdk: Any, context: Any, device: Any, settings: CameraConfig, where: str) -> None:
        self._sdk, self.label = sdk, describe(sdk, device)
        self._pipeline, self._queue = sdk.pipeline(context), sdk.frame_queue(1)
        config = _wanted(sdk, settings)
        if not settings.playback:
            self._pipeline.set_device(device)
        try:
            profile = self._pipeline.start(config, self._queue)
        except RuntimeError as error:
            raise refused(str(error), self.label, where) from None
        self.intrinsics = profile.get_stream(sdk.stream.color).as_video_stream_profile().get_intrinsics()
        self._align = sdk.align(sdk.stream.color) if settings.depth else None

    def wait(self, timeout: float, now: Callable[[], int], wall: Callable[[], int]) -> _Shot | None:
        """What comes within `timeout` s; None for nothing, and for a device that is going."""
        with contextlib.suppress(RuntimeError):
            return self._wait(timeout, now, wall)
        return None

    def _wait(self, timeout: float, now: Callable[[], int], wall: Callable[[], int]) -> _Shot | None:
        came, frames = self._queue.try_wait_for_frame(round(timeout * 1000))
        arrival, wall_arrival = now(), wall()
        if not came:
            return None
        frames = frames.as_frameset()
        frames = self._align.process(frames).as_frameset() if self._align is not None else frames
        colour = frames.get_color_frame()
        depth = frames.get_depth_frame() if self._align is not None else None
        if not colour:  # a set of depth alone: the two have not met yet
            return None
        return _Shot(
            np.asanyarray(colour.get_data()),
            np.asanyarray(depth.get_data()) if depth else None,
            depth.get_units() if depth else 0.0,
            reading(self._sdk, colour),
            arrival,
            wall_arrival,
        )

    def close(self) -> None:
        """Stop; a device that is gone has nothing against it."""
        with contextlib.suppress(RuntimeError):
            self._pipeline.stop()


def _wanted(sdk: Any, settings: CameraConfig) -> Any:
    """The streams to start, as the SDK's config."""
    config = sdk.config()
    if settings.playback:
        config.enable_device_from_file(settings.playback, repeat_playback=True)
    rate = round(settings.rate)
    config.enable_stream(sdk.stream.color, settings.width, settings.height, sdk.format.rgb8, rate)
    if settings.depth:
        config.enable_stream(sdk.stream.depth, sdk.format.z16, rate)
    return config


def load_sdk() -> Any:
    """The module pyrealsense2. Raises CameraError that names what is missing and how to get it."""
    try:
        return _import_sdk()
    except ModuleNotFoundError:
        raise CameraError(
            "driver realsense needs the package pyrealsense2, which is not installed: pip install 'vla_ros[realsense]'"
        ) from None
    except ImportError as error:
        raise CameraError(
            f"pyrealsense2 cannot be loaded ({error}): apt install libusb-1.0-0, or pip install libusb-package"
        ) from None


def _import_sdk() -> Any:
    try:
        import pyrealsense2
    except ModuleNotFoundError:
        raise
    except ImportError as error:
        library = packaged_libusb()
        if "libusb" not in str(error) or library is None:
            raise
        ctypes.CDLL(str(library))  # its soname is the one that the SDK asks the loader for, who then has it already
        import pyrealsense2
    return pyrealsense2


def packaged_libusb() -> Path | None:
    """The library in the package libusb-package, for machines without libusb; None where that is not installed."""
    found = importlib.util.find_spec("libusb_package")
    library = Path(found.origin).with_name("libusb-1.0.so") if found is not None and found.origin else None
    return library if library is not None and library.is_file() else None


def reading(sdk: Any, frame: Any) -> Reading:
    """The stamps of a frame."""

    def metadata(name: str) -> int | None:
        key = getattr(sdk.frame_metadata_value, name)
        return int(frame.get_frame_metadata(key)) if frame.supports_frame_metadata(key) else None

    return Reading(
        frame.get_timestamp(),
        Domain(frame.get_frame_timestamp_domain().name),
        metadata("frame_timestamp"),
        metadata("sensor_timestamp"),
        metadata("actual_exposure"),
    )
