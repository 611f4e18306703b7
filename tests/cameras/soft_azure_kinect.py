"""An Azure Kinect without the hardware. Pictures, captures, calibrations and recordings are the SDK's own; only the USB is played.

`record` writes a recording as k4arecorder does, by the SDK's recorder. `Usb` stands for the functions of pyk4a's extension that talk
to a connected device, and leaves all others to the extension.
"""

from __future__ import annotations

import ctypes
import io
import itertools
import json
import queue
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIZE = WIDTH, HEIGHT = 1280, 720
DEPTH_SHAPE = 576, 640
SERIAL = "000111222333"
MJPG, BGRA, NV12, DEPTH, IR = 0, 3, 1, 4, 5
OVERRIDES = (
    "cameras.static.driver=azure_kinect",
    "cameras.static.fx=627.2",
    "cameras.static.fy=624.0",
    "cameras.static.cx=639.5",
    "cameras.static.cy=359.5",
    "cameras.static.roi=[0, 0, 1280, 720]",
    "cameras.static.binning=1",
)
"""The static camera as this one; the calibration below says so for 720p, the upper and lower twelfth of 4096×3072 cut off."""
BENT = (0.5, -2.6, 0.0003, -0.0002, 1.5, 0.38, -2.4, 1.4)
"""A distortion of the colour lens of the kind that these cameras have: k1 k2 p1 p2 k3 k4 k5 k6."""
STRAIGHT = (0.0,) * 8
BASELINE = 0.032
"""m by which the colour camera stands to the right of the depth camera."""
POINTER = ctypes.c_void_p


def calibration(distortion: tuple[float, ...] = STRAIGHT, turn: float = 0.0) -> dict[str, Any]:
    """A calibration in the form that a device carries; made up. `turn` is by how much the colour camera looks down, rad."""
    c, s = float(np.cos(turn)), float(np.sin(turn))
    look = [1.0, 0.0, 0.0, 0.0, c, -s, 0.0, s, c]
    straight = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    cameras = [
        _camera("D0", "Depth", (1024, 1024), (0.4926, 0.4926), STRAIGHT, straight, [0.0, 0.0, 0.0], 1.74),
        _camera("PV0", "PhotoVideo", (4096, 3072), (0.49, 0.65), distortion, look, [-BASELINE, 0.0, 0.0], 0.0),
    ]
    return {
        "CalibrationInformation": {
            "Cameras": cameras,
            "InertialSensors": [_inertial("Gyro"), _inertial("Accelerometer")],
            "Metadata": {"SerialId": SERIAL, "Version": {"Major": 1, "Minor": 2}, "DeviceName": "AzureKinect-PV"},
        }
    }


def _camera(place: str, purpose: str, size: Any, focal: Any, bend: Any, turn: Any, shift: Any, radius: float) -> Any:
    k1, k2, p1, p2, k3, k4, k5, k6 = bend
    return {
        "Intrinsics": {
            "ModelParameterCount": 14,
            "ModelParameters": [0.5, 0.5, *focal, k1, k2, k3, k4, k5, k6, 0.0, 0.0, p2, p1],
            "ModelType": "CALIBRATION_LensDistortionModelBrownConrady",
        },
        "Location": f"CALIBRATION_CameraLocation{place}",
        "Purpose": f"CALIBRATION_CameraPurpose{purpose}",
        "MetricRadius": radius,
        "Rt": {"Rotation": turn, "Translation": shift},
        "SensorWidth": size[0],
        "SensorHeight": size[1],
        "Shutter": "CALIBRATION_ShutterTypeUndefined",
        "ThermalAdjustmentParams": {"Params": [0.0] * 12},
    }


def _inertial(kind: str) -> Any:
    return {
        "BiasTemperatureModel": [0.0] * 12,
        "BiasUncertainty": [0.0001] * 3,
        "Id": "CALIBRATION_InertialSensorId_LSM6DSM",
        "MixingMatrixTemperatureModel": [1.0, 0.0, 0.0, 0.0] * 9,
        "ModelTypeMask": 16,
        "Noise": [0.001] * 6,
        "Rt": {"Rotation": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0], "Translation": [0.0, 0.0, 0.0]},
        "SecondOrderScaling": [0.0] * 9,
        "SensorType": f"CALIBRATION_InertialSensorType_{kind}",
        "TemperatureBounds": [5.0, 60.0],
        "TemperatureC": 0.0,
    }


class _Configuration(ctypes.Structure):
    """k4a_device_configuration_t (k4atypes.h)."""

    _fields_ = [
        ("color_format", ctypes.c_int),
        ("color_resolution", ctypes.c_int),
        ("depth_mode", ctypes.c_int),
        ("camera_fps", ctypes.c_int),
        ("synchronized_images_only", ctypes.c_bool),
        ("depth_delay_off_color_usec", ctypes.c_int32),
        ("wired_sync_mode", ctypes.c_int),
        ("subordinate_delay_off_master_usec", ctypes.c_uint32),
        ("disable_streaming_indicator", ctypes.c_bool),
    ]


class Libraries:
    """libk4a and libk4arecord, those that the installed pyk4a has loaded."""

    def __init__(self) -> None:
        import k4a_module

        folder = Path(k4a_module.__file__).parent / "pyk4a_bundle.libs"
        self.k4a, self._record = (
            ctypes.CDLL(str(next(folder.glob(f"{name}-*.so*")))) for name in ("libk4a", "libk4arecord")
        )
        self.k4a.k4a_image_get_buffer.restype = POINTER

    def call(self, name: str, *arguments: Any) -> None:
        """A function that returns a k4a_result_t."""
        library = self._record if name.startswith("k4a_record") else self.k4a
        assert getattr(library, name)(*arguments) == 0, name

    def image(self, kind: int, pixels: Any, stamp: int, system: int = 0, exposure: int = 0) -> Any:
        """A k4a_image_t with a copy of the pixels; `stamp` and `exposure` in µs, `system` in ns."""
        made, flat = POINTER(), pixels.ndim == 1
        height, width = (HEIGHT, WIDTH) if flat else pixels.shape[:2]
        stride = 0 if flat else pixels.strides[0]
        if flat:  # a JPEG has no stride, and the size of its buffer is its own
            keep = ctypes.create_string_buffer(pixels.tobytes(), len(pixels))
            _KEPT.append(keep)
            length = ctypes.c_size_t(len(pixels))
            form = kind, width, height, stride
            self.call("k4a_image_create_from_buffer", *form, keep, length, None, None, ctypes.byref(made))
        else:
            self.call("k4a_image_create", kind, width, height, stride, ctypes.byref(made))
            ctypes.memmove(self.k4a.k4a_image_get_buffer(made), np.ascontiguousarray(pixels).ctypes.data, pixels.nbytes)
        self.k4a.k4a_image_set_device_timestamp_usec(made, ctypes.c_uint64(stamp))
        self.k4a.k4a_image_set_system_timestamp_nsec(made, ctypes.c_uint64(system))
        self.k4a.k4a_image_set_exposure_usec(made, ctypes.c_uint64(exposure))
        return made

    def capture(self, *images: tuple[str, Any]) -> Any:
        """A k4a_capture_t of (kind, image), which it takes over."""
        made = POINTER()
        self.call("k4a_capture_create", ctypes.byref(made))
        for kind, image in images:
            getattr(self.k4a, f"k4a_capture_set_{kind}_image")(made, image)
            self.k4a.k4a_image_release(image)
        return made

    def capsule(self, capture: Any) -> Any:
        """The capture as pyk4a's extension hands it out."""
        holder = ctypes.pointer(capture)
        _KEPT.append(holder)
        new = ctypes.pythonapi.PyCapsule_New
        new.restype, new.argtypes = ctypes.py_object, [POINTER, ctypes.c_char_p, POINTER]
        return new(ctypes.cast(holder, POINTER), b"pyk4a capture handle", None)


_KEPT: list[Any] = []
"""What the SDK points to for as long as a test runs."""


def jpeg(level: int) -> Any:
    """The bytes (N,) of a JPEG of one colour: grey, with the red twice as bright as the blue."""
    data = io.BytesIO()
    Image.new("RGB", SIZE, colour(level)).save(data, "JPEG", quality=95)
    return np.frombuffer(data.getvalue(), np.uint8)


def colour(level: int) -> tuple[int, int, int]:
    """The red, green and blue of picture `level`, 0 … 120."""
    return 2 * level, level, level


def bgra(level: int) -> Any:
    """The same as the SDK decodes it (H, W, 4)."""
    red, green, blue = colour(level)
    return np.full((HEIGHT, WIDTH, 4), (blue, green, red, 255), np.uint8)


def wall(millimetres: int = 800) -> Any:
    """Depth of a wall in front of the depth camera."""
    return np.full(DEPTH_SHAPE, millimetres, np.uint16)


def record(
    path: str | Path,
    count: int,
    depth: Any = None,
    picture: Callable[[int], Any] = jpeg,
    kind: int = MJPG,
    made: dict[str, Any] | None = None,
    first: int = 1000,
    step: int = 33333,
) -> None:
    """A recording of `count` captures, the first at `first` µs and one every `step`; without a calibration where `made` is {}."""
    lib = Libraries()
    handle = POINTER()
    configuration = _Configuration(kind, 1, 0 if depth is None else 2, 2, depth is not None, 0, 0, 0, False)
    lib.call("k4a_record_create", str(path).encode(), None, configuration, ctypes.byref(handle))
    text = json.dumps(calibration() if made is None else made).encode() + b"\0"
    if made != {}:
        lib.call("k4a_record_add_attachment", handle, b"calibration.json", text, ctypes.c_size_t(len(text)))
        lib.call("k4a_record_add_tag", handle, b"K4A_CALIBRATION_FILE", b"calibration.json")
    lib.call("k4a_record_add_tag", handle, b"K4A_DEVICE_SERIAL_NUMBER", SERIAL.encode())
    lib.call("k4a_record_write_header", handle)
    for number in range(count):
        stamp = first + number * step
        images = [("color", lib.image(kind, picture(number), stamp))]
        if depth is not None:
            images += [("depth", lib.image(DEPTH, depth, stamp)), ("ir", lib.image(IR, np.ones_like(depth), stamp))]
        capture = lib.capture(*images)
        lib.call("k4a_record_write_capture", handle, capture)
        lib.k4a.k4a_capture_release(capture)
    lib.call("k4a_record_flush", handle)
    lib._record.k4a_record_close(handle)


class SoftKinect:
    """A device to be plugged into a `Usb`.

    `controls` are the colour controls by the SDK's number: (low, high, value, automatic); `steps` the exposures in µs that it has.
    """

    def __init__(self, serial: str = SERIAL, made: dict[str, Any] | None = None, steps: tuple[int, ...] = ()) -> None:
        self.serial, self.calibration = serial, json.dumps(calibration() if made is None else made)
        self.controls: dict[int, tuple[int, int, int, bool]] = {
            0: (500, 133330, 8330, True),
            6: (2500, 12500, 4500, True),
            8: (0, 255, 128, False),
        }
        self.steps = steps
        self.captures: queue.Queue[Any] = queue.Queue()
        self.busy = self.started = self.open = self.starts_not = False
        self.configuration: tuple[Any, ...] = ()


class Usb:
    """What of pyk4a's extension talks to devices, for those in `plugged`; the rest is the extension's."""

    def __init__(self, *plugged: SoftKinect) -> None:
        import k4a_module

        self._module, self.plugged, self.looks = k4a_module, list(plugged), 0
        self._lib = Libraries()

    def __getattr__(self, name: str) -> Any:
        assert not name.startswith("device_"), name
        return getattr(self._module, name)

    def show(
        self, device: SoftKinect, level: int, stamp: int, system: int = 0, exposure: int = 0, depth: Any = None
    ) -> None:
        """Give a capture; `stamp` and `exposure` in µs, `system` in ns."""
        images = [("color", self._lib.image(BGRA, bgra(level), stamp, system, exposure))]
        if depth is not None:
            images.append(("depth", self._lib.image(DEPTH, depth, stamp)))
        device.captures.put(self._lib.capsule(self._lib.capture(*images)))

    def device_get_installed_count(self) -> int:
        """How many are plugged in."""
        self.looks += 1
        return len(self.plugged)

    def device_open(self, index: int, thread_safe: bool) -> tuple[int, SoftKinect | None]:
        """0 and the device, or 1."""
        assert not thread_safe, "this holds up every other thread of the process"
        device = self.plugged[index] if index < len(self.plugged) else None
        if device is None or device.busy or device.open:
            return 1, None
        device.open = True
        return 0, device

    def device_close(self, device: SoftKinect, thread_safe: bool) -> int:
        """0."""
        device.open = device.started = False
        return 0

    def device_get_serialnum(self, device: SoftKinect, thread_safe: bool) -> str:
        """The number."""
        return device.serial

    def device_start_cameras(self, device: SoftKinect, thread_safe: bool, *configuration: Any) -> int:
        """0, or 1 for a device that does not."""
        device.started, device.configuration = not device.starts_not, configuration
        return int(device.starts_not)

    def device_stop_cameras(self, device: SoftKinect, thread_safe: bool) -> int:
        """0."""
        device.started = False
        return 0

    def device_get_capture(self, device: SoftKinect, thread_safe: bool, milliseconds: int) -> tuple[int, Any]:
        """0 and a capture; 1 for a device that is gone; 2 when none came in time."""
        if device not in self.plugged:
            return 1, None
        try:
            return 0, device.captures.get(timeout=max(milliseconds, 0.01) / 1000)
        except queue.Empty:
            return 2, None

    def device_get_calibration(self, device: SoftKinect, thread_safe: bool, depth: int, resolution: int) -> Any:
        """What the SDK makes of the device's own."""
        return self._module.calibration_get_from_raw(thread_safe, device.calibration, depth, resolution)

    def device_get_color_control_capabilities(self, device: SoftKinect, thread_safe: bool, control: int) -> Any:
        """The bounds of a control."""
        if control not in device.controls:
            return 1, None
        low, high, value, _ = device.controls[control]
        return 0, {"min_value": low, "max_value": high, "default_value": value, "default_mode": 0, "step_value": 1}

    def device_get_color_control(self, device: SoftKinect, thread_safe: bool, control: int) -> tuple[int, int, int]:
        """0, mode and value; all 0 where it has none, as the extension does."""
        if control not in device.controls:
            return 0, 0, 0
        _, _, value, automatic = device.controls[control]
        return 0, int(not automatic), value

    def device_set_color_control(self, device: SoftKinect, thread_safe: bool, control: int, mode: int, value: int) -> int:  # fmt: skip
        """0, or 1 for one that it does not have."""
        if control not in device.controls:
            return 1
        low, high, before, _ = device.controls[control]
        steps = itertools.chain((step for step in device.steps if control == 0 and step >= value), (value,))
        device.controls[control] = (low, high, next(steps) if mode else before, not mode)
        return 0
