"""A recording of an Azure Kinect (.mkv, by k4arecorder), played in place of the device again and again, at its own pace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vla_ros.cameras.azure_kinect_device import RATES, RESOLUTIONS, Shot, shot
from vla_ros.cameras.azure_kinect_stamps import MICROSECOND
from vla_ros.cameras.camera import CameraError
from vla_ros.cameras.grabber import LostError
from vla_ros.clock import SECOND, Clock
from vla_ros.config.schema import CameraConfig

FORMATS = ("COLOR_MJPG", "COLOR_BGRA32")
_RECORD = "record one with `k4arecorder -c 720p -r 30 FILE.mkv`"


class Recording:
    """The captures of the file `settings.playback`. Raises CameraError for one that cannot stand for the configured camera."""

    def __init__(self, sdk: Any, settings: CameraConfig, where: str, clock: Clock) -> None:
        self._sdk, self._clock, self._with_depth = sdk, clock, settings.depth
        self._playback = _opened(sdk, settings.playback, where)
        self.label = f"the recording {settings.playback}"
        require(self._playback.configuration, settings, where)
        self.exposure = round(settings.exposure * SECOND)  # a recording does not tell it
        self._period = round(SECOND / settings.rate)
        self._ahead = self._next()
        if self._ahead is None:
            raise CameraError(f"{where}.playback: {settings.playback!r} holds no colour pictures: {_RECORD}")
        self.calibration = self._playback.calibration
        self._begin(clock.now())

    def wait(self, timeout: float) -> Shot | None:
        """The next capture, when its moment has come within `timeout` s."""
        due = self._zero + self._ahead.color_timestamp_usec * MICROSECOND
        self._clock.sleep_until(min(due, self._clock.now() + round(timeout * SECOND)))
        now = self._clock.now()
        if now < due:
            return None
        capture = self._ahead
        self._zero += max(0, now - due - SECOND)  # who was away for long goes on from here
        self._ahead = self._next() or self._again(due + self._period)
        return shot(self._sdk, capture, now, self._with_depth)

    def _begin(self, moment: int) -> None:
        """Let the capture that is ahead be due at `moment`."""
        self._zero = moment - self._ahead.color_timestamp_usec * MICROSECOND

    def _again(self, moment: int) -> Any:
        self._playback.seek(0)
        self._ahead = self._next()
        if self._ahead is None:  # what could be read once cannot be read again: the file has been changed
            raise LostError
        self._begin(moment)
        return self._ahead

    def _next(self) -> Any:
        """The next capture with a colour picture, None at the end. Raises LostError where the file is broken."""
        try:
            while True:
                capture = self._playback.get_next_capture()
                if capture.color is not None:
                    return capture
        except EOFError:
            return None
        except self._sdk.K4AException:
            raise LostError from None

    def close(self) -> None:
        """Let go of the file."""
        self._playback.close()


def _opened(sdk: Any, path: str, where: str) -> Any:
    if not Path(path).is_file():
        raise CameraError(f"{where}.playback: there is no file {path!r}")
    playback = sdk.PyK4APlayback(path, thread_safe=False)
    try:
        playback.open()
    except sdk.K4AException:
        raise CameraError(f"{where}.playback: {path!r} is no recording that this SDK plays: {_RECORD}") from None
    try:
        playback.calibration  # noqa: B018  its captures carry it, and cannot be read without
    except sdk.K4AException:
        raise CameraError(f"{where}.playback: {path!r} holds no calibration of its camera: {_RECORD}") from None
    return playback


def require(made: Any, settings: CameraConfig, where: str) -> None:
    """Raise CameraError unless a recording that was made in this configuration has the configured size, rate and depth."""
    sizes = {name: size for size, name in RESOLUTIONS.items()}
    rates = {name: rate for rate, name in RATES.items()}
    size, rate = sizes.get(made["color_resolution"].name), rates[made["camera_fps"].name]
    if size is None or not made["color_track_enabled"]:
        raise CameraError(f"{where}.playback holds no colour pictures: {_RECORD}")
    if (*size, rate) != (settings.width, settings.height, settings.rate):
        raise CameraError(
            f"{where}: the recording is of {size[0]}×{size[1]} at {rate:g} frames per second, configured is "
            f"{settings.width}×{settings.height} at {settings.rate:g}: set width, height and rate"
        )
    if made["color_format"].name not in FORMATS:
        raise CameraError(f"{where}.playback holds pictures as {made['color_format'].name}: {_RECORD}, which are MJPG")
    if settings.depth and not made["depth_track_enabled"]:
        raise CameraError(f"{where}.depth: the recording holds no depth: set it to false, or {_RECORD}")
