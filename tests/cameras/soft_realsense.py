"""A RealSense without the hardware: the SDK's own software_device, which its pipelines, recorders and players take for a camera."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

SIZE = WIDTH, HEIGHT = 64, 48
RATE = 30
FOCAL = 60.0
SERIAL = "000000000001"
OVERRIDES = (
    "cameras.wrist.driver=realsense",
    f"cameras.wrist.width={WIDTH}",
    f"cameras.wrist.height={HEIGHT}",
    f"cameras.wrist.fx={FOCAL}",
    f"cameras.wrist.fy={FOCAL}",
    f"cameras.wrist.cx={WIDTH / 2}",
    f"cameras.wrist.cy={HEIGHT / 2}",
    f"cameras.wrist.roi=[0, 0, {WIDTH}, {HEIGHT}]",
    "cameras.wrist.binning=1",
)
"""The wrist camera as this one."""


class SoftCamera:
    """A device with a colour sensor, and one for depth if asked for.

    `options` are those of the colour sensor: name -> (low, high, value), or the value of one that cannot be set.
    """

    def __init__(
        self,
        sdk: Any,
        serial: str = SERIAL,
        usb: str = "3.2",
        depth: bool = False,
        focal: float = FOCAL,
        options: dict[str, tuple[float, float, float] | float] | None = None,
    ) -> None:
        self._sdk = sdk
        self.device = sdk.software_device()
        for key, text in (("name", "Intel RealSense D435I"), ("serial_number", serial), ("usb_type_descriptor", usb)):
            self.device.register_info(getattr(sdk.camera_info, key), text)
        self.colour = self.device.add_sensor("RGB Camera")
        self.colour_profile = self._add(self.colour, sdk.stream.color, sdk.format.rgb8, 1, 3, focal)
        for name, values in (options or {}).items():
            self._add_option(getattr(sdk.option, name), values)
        self.depth = self.device.add_sensor("Stereo Module") if depth else None
        if self.depth is not None:
            self.depth.add_read_only_option(sdk.option.depth_units, 0.001)
            self.depth_profile = self._add(self.depth, sdk.stream.depth, sdk.format.z16, 2, 2, focal)
            self.depth_profile.register_extrinsics_to(self.colour_profile, _nowhere(sdk))

    def _add_option(self, option: Any, values: tuple[float, float, float] | float) -> None:
        if isinstance(values, float):
            self.colour.add_read_only_option(option, values)
            return
        bounds = self._sdk.option_range()
        bounds.min, bounds.max, bounds.default, bounds.step = *values, 1.0
        self.colour.add_option(option, bounds, True)

    def _add(self, sensor: Any, stream: Any, pixel: Any, uid: int, size: int, focal: float) -> Any:
        sdk = self._sdk
        lens = sdk.intrinsics()
        lens.width, lens.height, lens.ppx, lens.ppy, lens.fx, lens.fy = *SIZE, WIDTH / 2, HEIGHT / 2, focal, focal
        lens.model, lens.coeffs = sdk.distortion.brown_conrady, [0.0] * 5
        video = sdk.video_stream()
        video.type, video.fmt, video.index, video.uid, video.bpp = stream, pixel, 0, uid, size
        video.width, video.height, video.fps, video.intrinsics = *SIZE, RATE, lens
        return sensor.add_video_stream(video, True).as_video_stream_profile()

    def show(self, number: int, image: Any, timestamp: float, domain: str = "hardware_clock", **metadata: int) -> None:
        """Give a colour frame to whoever listens; `timestamp` in ms."""
        for name, value in metadata.items():
            self.colour.set_metadata(getattr(self._sdk.frame_metadata_value, name), value)
        frame = self._frame(self.colour_profile, number, image, timestamp, domain)
        self.colour.on_video_frame(frame)

    def show_depth(self, number: int, depth: Any, timestamp: float, domain: str = "hardware_clock") -> None:
        """Give a depth frame (H, W) in mm."""
        frame = self._frame(self.depth_profile, number, depth, timestamp, domain)
        frame.depth_units = 0.001
        self.depth.on_video_frame(frame)

    def _frame(self, profile: Any, number: int, pixels: Any, timestamp: float, domain: str) -> Any:
        frame = self._sdk.software_video_frame()
        frame.pixels, frame.profile, frame.bpp = pixels, profile, pixels.strides[1]
        frame.stride = pixels.strides[0]
        frame.timestamp, frame.domain = timestamp, getattr(self._sdk.timestamp_domain, domain)
        frame.frame_number = number
        return frame


def _nowhere(sdk: Any) -> Any:
    """Extrinsics of two sensors at the same place."""
    made = sdk.extrinsics()
    made.rotation, made.translation = [1.0, 0, 0, 0, 1, 0, 0, 0, 1], [0.0, 0, 0]
    return made


def grey(level: int) -> Any:
    """A picture (H, W, 3) of one grey."""
    return np.full((HEIGHT, WIDTH, 3), level, np.uint8)


def record(sdk: Any, path: str, count: int, depth: bool = False) -> None:
    """A recording of `count` frames, grey 0, 1, …, every 20 ms of the device's clock and of ours; depth is 0.8 m."""
    camera = SoftCamera(sdk, depth=depth)
    recorder = sdk.recorder(path, camera.device)
    sensors = list(recorder.query_sensors())
    for sensor, profile in zip(
        sensors, [camera.colour_profile, *([camera.depth_profile] if depth else [])], strict=True
    ):
        sensor.open(profile)
        sensor.start(lambda frame: None)
    for number in range(count):
        stamp = 1_000_000 + 20_000 * number
        camera.show(number, grey(number), stamp / 1000, frame_timestamp=stamp, sensor_timestamp=stamp - 4000)
        if depth:
            camera.show_depth(number, np.full((HEIGHT, WIDTH), 800, np.uint16), stamp / 1000)
        time.sleep(0.02)  # a recording keeps the times at which frames were given
    for sensor in sensors:
        sensor.stop()
        sensor.close()
