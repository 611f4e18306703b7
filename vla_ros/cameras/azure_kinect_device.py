"""A connected Azure Kinect: which one, in what mode, with what settings; the SDK's module comes as `sdk`. `where` is its place in the

configuration. Every call lets other threads of the process run: `thread_safe=False`, of all names, is what pyk4a calls that.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from vla_ros.cameras.azure_kinect_usb import devices, hint
from vla_ros.cameras.camera import CameraError
from vla_ros.cameras.grabber import LostError
from vla_ros.config.schema import CameraConfig

RESOLUTIONS = {
    (1280, 720): "RES_720P",
    (1920, 1080): "RES_1080P",
    (2560, 1440): "RES_1440P",
    (2048, 1536): "RES_1536P",
    (3840, 2160): "RES_2160P",
    (4096, 3072): "RES_3072P",
}
RATES = {5.0: "FPS_5", 15.0: "FPS_15", 30.0: "FPS_30"}
_SLOWEST = (4096, 3072)
"""It has no 30 frames per second."""
_DEPTH = "Its depth is computed on this machine, with OpenGL and a display (DISPLAY), or Xvfb; or set depth to false. "
"""Azure-Kinect-Sensor-SDK #810: the depth engine's error 204."""
_LOG = "K4A_ENABLE_LOG_TO_STDOUT=1 in the environment makes the SDK say more"


class Shot(NamedTuple):
    """What came at once: `colour` (H, W, 3) RGB, `depth` (h, w) in mm as the depth camera sees it or None, and the stamps.

    `device` and `exposure` (None: not told) in µs, `system` and `arrival` in ns, as `Stamper.stamp` takes them.
    """

    colour: Any
    depth: Any
    device: int
    system: int
    exposure: int | None
    arrival: int


def modes() -> str:
    """What it has, in words."""
    sizes = ", ".join(f"{width}×{height}" for width, height in RESOLUTIONS)
    return f"{sizes} at 5, 15 or 30 frames per second (the largest at 5 or 15)"


def mode(settings: CameraConfig, where: str) -> tuple[str, str]:
    """The SDK's names of the configured size and rate. Raises CameraError for one that the device does not have."""
    size = settings.width, settings.height
    if size not in RESOLUTIONS or settings.rate not in RATES or (size == _SLOWEST and settings.rate > 15):
        raise CameraError(
            f"{where}: an Azure Kinect has no colour mode {size[0]}×{size[1]} at {settings.rate:g} frames per second; "
            f"it has {modes()}: set width, height and rate to one of them"
        )
    return RESOLUTIONS[size], RATES[settings.rate]


def wanted(sdk: Any, settings: CameraConfig, where: str) -> Any:
    """The SDK's configuration: colour that the SDK has decoded, and depth of the narrow field of view where it is asked for."""
    resolution, rate = mode(settings, where)
    return sdk.Config(
        color_resolution=sdk.ColorResolution[resolution],
        color_format=sdk.ImageFormat.COLOR_BGRA32,
        depth_mode=sdk.DepthMode.NFOV_UNBINNED if settings.depth else sdk.DepthMode.OFF,
        camera_fps=sdk.FPS[rate],
        synchronized_images_only=settings.depth,
    )


class Device:
    """One connection. Raises CameraError when it does not start."""

    def __init__(self, sdk: Any, settings: CameraConfig, where: str, now: Callable[[], int]) -> None:
        self._sdk, self._now = sdk, now
        self._with_depth = settings.depth
        self._device, serial = choose(sdk, wanted(sdk, settings, where), settings.serial, where)
        self.label = " ".join(["Azure Kinect", serial]).strip()
        try:
            self.exposure = lock(sdk, self._device, settings, where)
            self._device._start_cameras()  # `start` would also start the IMU, which nobody reads
            self.calibration = self._device.calibration
        except sdk.K4AException:
            self.close()
            raise CameraError(
                f"{where}: {self.label} does not start: end other programs that use it (k4aviewer, another camera node), or "
                f"unplug it and plug it in again, to a USB 3 port that no other camera shares. "
                f"{_DEPTH if settings.depth else ''}{_LOG}"
            ) from None
        except CameraError:
            self.close()
            raise

    def wait(self, timeout: float) -> Shot | None:
        """The newest capture within `timeout` s. Raises LostError when the device is gone."""
        try:
            capture = self._newest(round(timeout * 1000))
        except self._sdk.K4ATimeoutException:
            return None
        except self._sdk.K4AException:
            raise LostError from None
        return shot(self._sdk, capture, self._now(), self._with_depth)

    def _newest(self, milliseconds: int) -> Any:
        """The SDK queues half a second of captures."""
        capture = self._device.get_capture(milliseconds)
        with contextlib.suppress(self._sdk.K4ATimeoutException):
            while True:
                capture = self._device.get_capture(0)
        return capture

    def close(self) -> None:
        """Stop; a device that is gone has nothing against it."""
        with contextlib.suppress(self._sdk.K4AException):
            self._device._stop_cameras()
        with contextlib.suppress(self._sdk.K4AException):
            self._device.close()


def choose(sdk: Any, config: Any, serial: str, where: str) -> tuple[Any, str]:
    """The device of that serial number, or the only one for "", opened, and its number. Raises CameraError that names those there."""
    count = sdk.connected_device_count()
    if not count:
        raise CameraError(f"{where}: the SDK sees no Azure Kinect: {hint(devices())}")
    others = []
    for index in range(count):
        device = sdk.PyK4A(config, device_id=index, thread_safe=False)
        number = _opened(sdk, device)
        if number is None:
            continue
        if number == serial or (not serial and count == 1):
            return device, number
        device.close()
        others.append(number)
    raise CameraError(f"{where}{_missing(serial, others, count)}")


def _opened(sdk: Any, device: Any) -> str | None:
    """Its serial number; None for one that does not let itself be opened."""
    try:
        device.open()
        return str(device.serial)
    except sdk.K4AException:
        return None


def _missing(serial: str, others: list[str], count: int) -> str:
    there = ", ".join(others) + (f" and {count - len(others)} that cannot be opened" if len(others) < count else "")
    if not others:
        return f": the Azure Kinect cannot be opened: {hint(devices())}. {_LOG}"
    if not serial:
        return f": several cameras are connected ({there}): say which, by serial"
    return f".serial {serial!r} is not connected; there is {there}: correct it, or plug that one in"


class Wish(NamedTuple):
    """A colour control by the SDK's name, its value in `unit`s of SI, 0: automatic, and the setting that asks for it."""

    control: str
    value: int
    setting: str
    unit: float = 1.0


def wishes(settings: CameraConfig) -> list[Wish]:
    """All controls to be set: a camera remembers what the program before this one did."""
    asked = [
        Wish("EXPOSURE_TIME_ABSOLUTE", round(settings.exposure * 1e6), "exposure", 1e-6),
        Wish("WHITEBALANCE", round(settings.white_balance, -1), "white_balance"),  # it knows whole tens of K
    ]
    return [*asked, Wish("GAIN", settings.gain, "gain")] if settings.gain else asked


def lock(sdk: Any, device: Any, settings: CameraConfig, where: str) -> int:
    """Set the colour controls. Returns the locked exposure that the camera then has, ns, 0: automatic. Raises CameraError."""
    for wish in wishes(settings):
        _set(sdk, device, wish, where)
    return int(device.exposure or wishes(settings)[0].value) * 1000 if settings.exposure else 0


def _set(sdk: Any, device: Any, wish: Wish, where: str) -> None:
    control, modes = sdk.ColorControlCommand[wish.control], sdk.ColorControlMode
    try:
        if wish.value:
            _require_range(device._get_color_control_capabilities(control), wish, where)
        device._set_color_control(control, wish.value, modes.MANUAL if wish.value else modes.AUTO)
    except sdk.K4AException:
        raise CameraError(
            f"{where}.{wish.setting}: this camera cannot be told its {wish.setting}: set it to 0. {_LOG}"
            if wish.value
            else f"{where}: this camera does not go back to automatic {wish.setting}: unplug it and plug it in again. {_LOG}"
        ) from None


def _require_range(bounds: Any, wish: Wish, where: str) -> None:
    low, high = bounds["min_value"], bounds["max_value"]
    if not low <= wish.value <= high:
        raise CameraError(
            f"{where}.{wish.setting}: {wish.value * wish.unit:g} is out of this camera's range: "
            f"{low * wish.unit:g} to {high * wish.unit:g}"
        )


def shot(sdk: Any, capture: Any, arrival: int, with_depth: bool) -> Shot | None:
    """What is in a capture; None where it has no colour, or a broken one."""
    raw = capture.color
    colour = None if raw is None else _rgb(raw)
    if colour is None:
        return None
    depth = capture.depth if with_depth else None
    stamps = capture.color_timestamp_usec, capture.color_system_timestamp_nsec
    return Shot(colour, depth, *stamps, _exposure(sdk, capture), arrival)


def _rgb(raw: Any) -> Any:
    """An RGB picture (H, W, 3) of BGRA (H, W, 4), or of the bytes of a JPEG; None where those are broken."""
    if raw.ndim == 3:
        return raw[:, :, 2::-1]
    try:
        return np.asarray(Image.open(io.BytesIO(raw.tobytes())).convert("RGB"))
    except (OSError, SyntaxError):  # Pillow's words for a picture that is cut off or none
        return None


def _exposure(sdk: Any, capture: Any) -> int | None:
    try:
        return int(capture.color_exposure_usec)
    except sdk.K4AException:
        return None
