"""Azure Kinect by pyk4a: colour, and depth where the configuration asks for it. Also its successor, the Femto Bolt, where Orbbec's

OrbbecSDK-K4A-Wrapper stands in for Microsoft's libk4a.

Of the SDK no more is used than both have: neither the IMU nor the transformation engine, which needs a display and fails through the
wrapper (OrbbecSDK-K4A-Wrapper #61); `align` does its work.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from vla_ros.cameras.align import Aligner
from vla_ros.cameras.azure_kinect_device import Device, Shot
from vla_ros.cameras.azure_kinect_recording import Recording
from vla_ros.cameras.azure_kinect_stamps import Stamper
from vla_ros.cameras.azure_kinect_usb import devices, slow
from vla_ros.cameras.camera import CameraError
from vla_ros.cameras.factory import differences, numbers
from vla_ros.cameras.grabber import Grabber
from vla_ros.cameras.lens import Lens
from vla_ros.cameras.pixels import deliver, deliver_depth
from vla_ros.clock import SECOND, Clock
from vla_ros.config.schema import Config
from vla_ros.values import Frame, Intrinsics

DEPTH_SHAPE = (576, 640)
"""Of the narrow field of view, not binned, in which depth is asked for (Azure Kinect DK, hardware specification)."""
_NOTICEABLE = 0.01
"""Share by which an exposure may differ from the configured one unsaid."""
_ENVIRONMENT = "an environment with numpy 1: `make env-kinect`, and the camera's setting `python`: docs/cameras.md"


class AzureKinectCamera(Grabber[Shot]):
    """Frames of the camera `name` of the configuration; `say` is told, once each, what a person should know."""

    def __init__(self, config: Config, name: str, clock: Clock, say: Callable[[str], None] = lambda text: None) -> None:
        super().__init__(config, name, clock, say)
        self._stamper = Stamper(0, 1)
        self._aligner: Aligner | None = None

    @property
    def intrinsics(self) -> Intrinsics:
        """The configured pinhole; where the configuration names no distortion, with the factory's from `open` on."""
        configured = super().intrinsics
        if configured.distortion or self._factory is None:
            return configured
        return replace(configured, distortion=self._factory.distortion)

    def _connect(self) -> Device | Recording:
        sdk, c = load_sdk(), self._settings
        source: Device | Recording
        if c.playback:
            source = Recording(sdk, c, self._where, self._clock)
        else:
            source = Device(sdk, c, self._where, self._clock.now)
            self._tell(source)
        self._learn(sdk, source.calibration)
        self._stamper = Stamper(source.exposure, round(SECOND / c.rate))
        return source

    def _tell(self, device: Device) -> None:
        if slow(devices()):
            self._say_once(
                f"{self._where}: {device.label} is connected by USB 2, which is too slow for it. Use a USB 3 port and its own cable"
            )
        asked = self._settings.exposure
        if asked and abs(device.exposure / SECOND - asked) > _NOTICEABLE * asked:
            self._say_once(
                f"{self._where}.exposure is {asked:g} s, and the camera takes the next of its steps, {device.exposure / SECOND:g} s"
            )

    def _learn(self, sdk: Any, calibration: Any) -> None:
        """What the factory says of the lenses."""
        c, which = self._settings, sdk.CalibrationType
        colour = _lens(calibration, which.COLOR)
        self._factory = Intrinsics(
            c.width, c.height, colour.fx, colour.fy, colour.cx, colour.cy, c.roi, c.binning, colour.distortion
        )
        found = differences(self.intrinsics, self._factory)
        self._compare([*found, f"its numbers are {numbers(self._factory)}"] if found else [])
        if c.depth:
            turn, shift = calibration.get_extrinsic_parameters(which.DEPTH, which.COLOR)
            self._aligner = Aligner(
                _lens(calibration, which.DEPTH), DEPTH_SHAPE, colour, (c.height, c.width), turn, shift.ravel()
            )

    def _deliver(self, shot: Shot) -> int:
        exposure = self._stamper.stamp(shot.device, shot.system, shot.exposure, shot.arrival)
        if exposure is not None:
            roi, binning = self._settings.roi, self._settings.binning
            image = deliver(shot.colour, roi, binning)
            self._put(Frame(image, exposure, shot.arrival, self._sequence + 1, self._aligned(shot)))
        return shot.arrival

    def _aligned(self, shot: Shot) -> Any:
        if shot.depth is None or self._aligner is None:
            return None
        return deliver_depth(self._aligner(shot.depth), 0.001, self._settings.roi, self._settings.binning)


def _lens(calibration: Any, which: Any) -> Lens:
    """A lens as the SDK knows it."""
    matrix, distortion = calibration.get_camera_matrix(which), calibration.get_distortion_coefficients(which)
    return Lens(matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2], tuple(float(k) for k in distortion))


def load_sdk() -> Any:
    """The module pyk4a. Raises CameraError that names what is missing and how to get it.

    Its log stays off where the environment does not ask for it: it would speak at every look for a lost device.
    """
    os.environ.setdefault("K4A_ENABLE_LOG_TO_STDOUT", "0")
    try:
        import pyk4a
    except ModuleNotFoundError:
        raise CameraError(
            f"driver azure_kinect needs the package pyk4a, which is not installed here; it runs in {_ENVIRONMENT}"
        ) from None
    except ImportError as error:
        raise CameraError(f"pyk4a cannot be loaded ({_reason(error)}); it runs in {_ENVIRONMENT}") from None
    return pyk4a


def _reason(error: BaseException) -> str:
    """The first word said: pyk4a's own is that libk4a is missing, whatever has happened."""
    while error.__context__ is not None:
        error = error.__context__
    return str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
