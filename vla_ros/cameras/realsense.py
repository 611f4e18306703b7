"""Intel RealSense D400 cameras, such as the D435i, by pyrealsense2: colour, and depth where the configuration asks for it.

The SDK queues frames, and a late reader gets old ones (librealsense #7837, #13397): a `Grabber` takes them as they come.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vla_ros.cameras.camera import CameraError
from vla_ros.cameras.grabber import Grabber
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
from vla_ros.clock import SECOND, Clock
from vla_ros.config.schema import CameraConfig, Config
from vla_ros.values import Frame, Intrinsics


class RealSenseCamera(Grabber["_Shot"]):
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
        super().__init__(config, name, clock, say)
        self._wall, self._find = wall, find
        self._sdk: Any = None
        self._context: Any = None
        self._stamper = self._new_stamper()

    def _new_stamper(self) -> Stamper:
        c = self._settings
        return Stamper(round(c.exposure * SECOND), round(SECOND / c.rate))

    def _deliver(self, shot: _Shot) -> int:
        exposure = self._stamper.stamp(shot.reading, shot.arrival, shot.wall)
        if exposure is not None:
            roi, binning = self._settings.roi, self._settings.binning
            depth = None if shot.depth is None else deliver_depth(shot.depth, shot.depth_unit, roi, binning)
            self._put(Frame(deliver(shot.colour, roi, binning), exposure, shot.arrival, self._sequence + 1, depth))
            self._tell_domain(shot.reading.domain)
        return shot.arrival

    def _tell_domain(self, domain: Domain) -> None:
        if domain is Domain.SYSTEM:
            self._say_once(
                f"{self._where}: frames come without metadata, so their stamps are arrivals: use a kernel that passes it on "
                f"(librealsense, doc/installation.md), or have `vla-ros calibrate latency` measure {self._where}.latency"
            )

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
        stream = _Stream(self._sdk, self._context, device, self._settings, self._where, self._clock.now, self._wall)
        self._compare(self._differences(stream.intrinsics))
        self._stamper = self._new_stamper()
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

    def _differences(self, factory: Any) -> list[str]:
        c = self._settings
        self._factory = Intrinsics(
            factory.width, factory.height, factory.fx, factory.fy, factory.ppx, factory.ppy, c.roi, c.binning
        )
        return differences(self.intrinsics, self._factory, factory.coeffs)


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

    def __init__(
        self,
        sdk: Any,
        context: Any,
        device: Any,
        settings: CameraConfig,
        where: str,
        now: Callable[[], int],
        wall: Callable[[], int],
    ) -> None:
        self._sdk, self.label = sdk, describe(sdk, device)
        self._now, self._wall = now, wall
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

    def wait(self, timeout: float) -> _Shot | None:
        """What comes within `timeout` s; None for nothing, and for a device that is going."""
        with contextlib.suppress(RuntimeError):
            return self._wait(timeout)
        return None

    def _wait(self, timeout: float) -> _Shot | None:
        came, frames = self._queue.try_wait_for_frame(round(timeout * 1000))
        arrival, wall_arrival = self._now(), self._wall()
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
