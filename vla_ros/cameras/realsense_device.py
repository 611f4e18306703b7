"""What a RealSense device is, has and can be told; the SDK's module comes as `sdk`. `where` is its place in the configuration."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from vla_ros.cameras.camera import CameraError
from vla_ros.cameras.factory import pinhole_differences
from vla_ros.cameras.realsense_stamps import EXPOSURE_UNIT
from vla_ros.clock import SECOND
from vla_ros.config.schema import CameraConfig
from vla_ros.values import Intrinsics


def info(device: Any, key: Any) -> str:
    """What the device says of itself; empty where it does not."""
    return str(device.get_info(key)) if device.supports(key) else ""


def describe(sdk: Any, device: Any) -> str:
    """Name and serial number of a device."""
    words = info(device, sdk.camera_info.name), info(device, sdk.camera_info.serial_number)
    return " ".join(word for word in words if word) or "a camera without a name"


def choose(sdk: Any, devices: Sequence[Any], serial: str, where: str) -> Any:
    """The device of that serial number, or the only one for "". Raises CameraError that names those that are there."""
    if not devices:
        raise CameraError(
            f"{where}: no RealSense camera is connected, or this user may not open it: check `lsusb -d 8086:`, cable and port; "
            "for the rights install librealsense's udev rules (config/99-realsense-libusb.rules) and plug it in again"
        )
    there = ", ".join(describe(sdk, device) for device in devices)
    if not serial and len(devices) > 1:
        raise CameraError(f"{where}: several RealSense cameras are connected ({there}): say which, by {where}.serial")
    fitting = [device for device in devices if serial in ("", info(device, sdk.camera_info.serial_number))]
    if not fitting:
        raise CameraError(
            f"{where}.serial {serial!r} is not connected; there is {there}: correct it, or plug that one in"
        )
    return fitting[0]


def load_recording(context: Any, path: str, where: str) -> Any:
    """The device in a recording. Raises CameraError."""
    if not Path(path).is_file():
        raise CameraError(f"{where}.playback: there is no file {path!r}")
    try:
        return context.load_device(path)
    except RuntimeError as error:
        raise CameraError(
            f"{where}.playback: {path!r} is no recording that this SDK plays ({error}): record a .db3 with `rs-record` or "
            "realsense-viewer; a .bag of old is converted by pyrealsense2's context().convert_bag_to_db3(old, new)"
        ) from None


class Mode(NamedTuple):
    """Size in pixels and frames per second of a colour stream."""

    width: int
    height: int
    rate: int


def colour_modes(sdk: Any, device: Any) -> set[Mode]:
    """What the device delivers as RGB."""
    profiles = [profile for sensor in device.query_sensors() for profile in sensor.get_stream_profiles()]
    colour = [p for p in profiles if p.stream_type() == sdk.stream.color and p.format() == sdk.format.rgb8]
    videos = [profile.as_video_stream_profile() for profile in colour]
    return {Mode(video.width(), video.height(), video.fps()) for video in videos}


def require_mode(sdk: Any, device: Any, settings: CameraConfig, where: str) -> None:
    """Raise CameraError, with what there is instead, unless the device has the configured size and rate."""
    modes = colour_modes(sdk, device)
    if any(mode == (settings.width, settings.height, settings.rate) for mode in modes):
        return
    usb = info(device, sdk.camera_info.usb_type_descriptor)
    raise CameraError(
        f"{where}: {describe(sdk, device)} has no RGB mode {settings.width}×{settings.height} at {settings.rate:g} frames per "
        f"second{f' (on USB {usb}, where it has fewer)' if usb.startswith('2') else ''}; it has {_listed(modes)}: "
        "set width, height and rate to one of them"
    )


def _listed(modes: Iterable[Mode]) -> str:
    sizes: dict[str, list[int]] = {}
    for mode in sorted(modes):
        sizes.setdefault(f"{mode.width}×{mode.height}", []).append(mode.rate)
    return ", ".join(f"{size} at {'/'.join(map(str, rates))}" for size, rates in sizes.items()) or "none at all"


def colour_sensor(sdk: Any, device: Any) -> Any:
    """The sensor that gives the colour stream; `require_mode` has found it."""
    return next(
        sensor
        for sensor in device.query_sensors()
        if any(profile.stream_type() == sdk.stream.color for profile in sensor.get_stream_profiles())
    )


class Wish(NamedTuple):
    """An option of the sensor by the SDK's name, its value in `unit`s of SI, and the setting that asks for it, if one does."""

    option: str
    value: float
    setting: str = ""
    unit: float = 1.0


def wishes(settings: CameraConfig) -> list[Wish]:
    """All options to be set: a camera remembers what the program before this one did."""
    exposure, balance = settings.exposure, settings.white_balance
    made = [
        Wish("global_time_enabled", 1),
        Wish("auto_exposure_priority", 0),  # else the rate falls in the dark
        Wish("enable_auto_exposure", float(not exposure)),
        Wish("enable_auto_white_balance", float(not balance)),
    ]
    unit = EXPOSURE_UNIT / SECOND
    asked = [
        Wish("exposure", round(exposure / unit), "exposure", unit),
        Wish("gain", settings.gain, "gain"),
        Wish("white_balance", balance, "white_balance"),
    ]
    return made + [wish for wish in asked if wish.value]


def lock(sdk: Any, sensor: Any, settings: CameraConfig, where: str) -> None:
    """Set the sensor's options. Raises CameraError for a setting that it does not have or not so."""
    for wish in wishes(settings):
        option = getattr(sdk.option, wish.option)
        if not sensor.supports(option) or sensor.is_option_read_only(option):
            if wish.setting:
                raise CameraError(f"{where}.{wish.setting}: this camera cannot be told its {wish.option}: set it to 0")
            continue
        if wish.setting:
            _require_range(sensor.get_option_range(option), wish, where)
        _set(sensor, option, wish, where)


def _require_range(bounds: Any, wish: Wish, where: str) -> None:
    if not bounds.min <= wish.value <= bounds.max:
        low, high = bounds.min * wish.unit, bounds.max * wish.unit
        raise CameraError(
            f"{where}.{wish.setting}: {wish.value * wish.unit:g} is out of this camera's range: {low:g} to {high:g}"
        )


def _set(sensor: Any, option: Any, wish: Wish, where: str) -> None:
    try:
        sensor.set_option(option, wish.value)
    except RuntimeError as error:
        raise refused(str(error), f"its option {wish.option}", where) from None


def refused(error: str, what: str, where: str) -> CameraError:
    """The SDK's error in words: who has the device, or what to try."""
    if any(word in error.lower() for word in ("busy", "claim", "power state", "streaming")):
        return CameraError(
            f"{where}: another program uses {what} ({error}): end it. `fuser -v /dev/video*` names it; realsense-viewer, "
            "realsense2_camera and a second camera node are the usual ones"
        )
    if any(word in error.lower() for word in ("permission", "access", "errno=13")):
        return CameraError(
            f"{where}: this user may not use {what} ({error}): install librealsense's udev rules "
            "(config/99-realsense-libusb.rules) and plug it in again"
        )
    return CameraError(
        f"{where}: {what} does not start ({error}): unplug it, plug it in again, and update its firmware"
    )


def differences(configured: Intrinsics, factory: Intrinsics, distortion: Sequence[float]) -> list[str]:
    """Where the calibration of the factory is another one than the configured, in words."""
    found = pinhole_differences(configured, factory)
    worst = max(map(abs, distortion), default=0.0)
    return (
        [*found, f"its lens distorts (coefficients up to {worst:.3f}), a pinhole does not"] if worst > 0.01 else found
    )
