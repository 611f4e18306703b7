"""The cameras: SDK, USB speed, presence, firmware, calibration. Where a service runs they are its own, and are not opened."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vla_ros.bringup import CAMERA_SDKS
from vla_ros.commands.doctor import shell
from vla_ros.commands.doctor.check import Check, Group, Probe
from vla_ros.config import CameraConfig, Config

CAMERAS = Group("cameras")
USB = Path("/sys/bus/usb/devices")
SUPERSPEED = 5000
"""Mbit/s of USB 3."""
KINDS = {
    "realsense": ("8086", "0b"),
    "azure_kinect": ("045e", "097c"),
}
"""By driver: vendor id, and how the product id begins: Intel's D400 series; the depth camera of an Azure Kinect (from udev rules)."""
ORBBEC = "2bc5"
RULES = {
    "realsense": "librealsense's config/99-realsense-libusb.rules",
    "azure_kinect": "Azure-Kinect-Sensor-SDK's scripts/99-k4a.rules (Orbbec: 99-obsensor-libusb.rules)",
}
_LOOK = {
    "realsense": """
import json
try:
    import libusb_package; libusb_package.get_library_path()
except ImportError: pass
import pyrealsense2 as rs
name = rs.camera_info
def info(d, key): return d.get_info(key) if d.supports(key) else ""
def told(d):
    keys = dict(name=name.name, serial=name.serial_number, usb=name.usb_type_descriptor, firmware=name.firmware_version,
                wanted=name.recommended_firmware_version)
    return {word: info(d, key) for word, key in keys.items()}
print(json.dumps(dict(version=rs.__version__, devices=[told(d) for d in rs.context().query_devices()])))
""",
    "azure_kinect": """
import json, numpy
from importlib import metadata
import pyk4a
from pyk4a import k4a_module
def serial(i):
    device = pyk4a.PyK4A(device_id=i)
    device.open()
    try: return device.serial
    finally: device.close()
found = []
for i in range(pyk4a.connected_device_count()):
    try: found.append(dict(name="Azure Kinect", serial=serial(i)))
    except Exception as error: found.append(dict(name="Azure Kinect", error=str(error)))
names = {(d.metadata["Name"] or "").lower(): d.version for d in metadata.distributions()}
version = names.get("pyk4a-bundle") or names.get("pyk4a") or ""
print(json.dumps(dict(version=version, numpy=numpy.__version__, devices=found)))
""",
}
"""What to run, by driver, in the interpreter of the camera's process."""


@dataclass(frozen=True)
class UsbDevice:
    """A device of /sys/bus/usb: vendor and product id, what it calls itself, Mbit/s, serial number (may be empty)."""

    vendor: str
    product: str
    name: str
    speed: int
    serial: str = ""


def probes(config: Config, runs: bool) -> list[Probe]:
    """The looks at each camera; `runs` tells whether a service has them open."""
    return [
        Probe("cameras", name, lambda n=name, c=camera: look(n, c, runs), 30.0)  # type: ignore[misc]
        for name, camera in config.cameras.items()
    ]


def look(name: str, camera: CameraConfig, runs: bool) -> list[Check]:
    """Everything about one camera."""
    if camera.driver == "twin":
        return [CAMERAS.unused(name, "the twin renders it")]
    if camera.driver == "topic":
        return [
            CAMERAS.ok(name, f"published by somebody else on {camera.image_topic}"),
            judge_calibration(name, camera),
        ]
    if camera.playback:
        return [CAMERAS.ok(name, f"a recording: {camera.playback}")]
    found = [judge_usb(name, camera.driver, usb_devices())]
    said = None if runs else ask(camera)
    if said is None:
        found.append(CAMERAS.skipped(name, "not opened: a service has it; see its rate there"))
    else:
        found += judge_sdk(name, camera, said)
    return [*found, judge_calibration(name, camera)]


def usb_devices(folder: Path = USB) -> list[UsbDevice]:
    """The devices on this machine's USB."""
    found = []
    for device in sorted(folder.glob("*")):
        vendor, product = shell.read(device / "idVendor"), shell.read(device / "idProduct")
        if vendor:
            speed = shell.read(device / "speed").partition(".")[0]
            mbits = int(speed) if speed.isdecimal() else 0
            found.append(
                UsbDevice(vendor, product, shell.read(device / "product"), mbits, shell.read(device / "serial"))
            )
    return found


def judge_usb(name: str, driver: str, devices: Sequence[UsbDevice]) -> Check:
    """The camera is on the bus, at the speed of USB 3."""
    vendor, product = KINDS[driver]
    fitting = [d for d in devices if d.vendor == vendor and d.product.startswith(product)]
    if driver == "azure_kinect":
        fitting += [d for d in devices if d.vendor == ORBBEC]
    if not fitting:
        remedy = f"plug it in (power too), look at `lsusb -d {vendor}:`"
        return CAMERAS.failure(f"{name} USB", f"no {driver} on USB", remedy)
    fastest = max(fitting, key=lambda d: d.speed)
    text = f"{fastest.name or driver}: {fastest.speed} Mbit/s"
    if fastest.speed < SUPERSPEED:
        remedy = "use a USB 3 port and its own cable, without a hub, and push the plug in swiftly"
        return CAMERAS.failure(f"{name} USB", f"{text}, which is USB 2", remedy)
    return CAMERAS.ok(f"{name} USB", text)


def ask(camera: CameraConfig) -> dict[str, Any]:
    """What the SDK tells, in the interpreter that the camera's process has."""
    answer = shell.ask_python(camera.python or sys.executable, _LOOK[camera.driver], 20.0)
    said = shell.document(answer)
    return said if answer.status == 0 and isinstance(said, dict) else {"error": answer.last or "no answer"}


def judge_sdk(name: str, camera: CameraConfig, said: dict[str, Any]) -> list[Check]:
    """The SDK loads, sees the camera, and the firmware is what it recommends."""
    module, extra = CAMERA_SDKS[camera.driver]
    if "error" in said:
        return [
            CAMERAS.failure(
                f"{name} SDK", f"{module}: {said['error']}", _sdk_remedy(name, module, extra, said["error"])
            )
        ]
    version = CAMERAS.ok(
        f"{name} SDK", f"{module} {said['version']}" + (f", numpy {said['numpy']}" if "numpy" in said else "")
    )
    return [version, judge_device(name, camera, said["devices"])]


def _sdk_remedy(name: str, module: str, extra: str, error: str) -> str:
    if "numpy" in error or "k4a_module" in error:
        return f"this build of {module} needs numpy 1: `make env-kinect`, and its interpreter as cameras.{name}.python"
    if "libusb" in error:
        return "pip install libusb-package, or apt install libusb-1.0-0"
    return f"pip install 'vla_ros[{extra}]', or name an interpreter that has it as cameras.{name}.python"


def judge_device(name: str, camera: CameraConfig, devices: Sequence[dict[str, str]]) -> Check:
    """The configured device is among those that the SDK sees."""
    word = f"{name} device"
    there = ", ".join(f"{d['name']} {d.get('serial', '')}".strip() for d in devices) or "none"
    if not devices:
        return CAMERAS.failure(word, "the SDK sees none", f"install {RULES[camera.driver]}, then plug it in again")
    if not camera.serial and len(devices) > 1:
        return CAMERAS.failure(word, f"several: {there}", f"say which, by cameras.{name}.serial")
    chosen = [d for d in devices if camera.serial in ("", d.get("serial", ""))]
    if not chosen:
        return CAMERAS.failure(
            word, f"{camera.serial} is not there, but {there}", f"correct cameras.{name}.serial, or plug it in"
        )
    device = chosen[0]
    if device.get("error"):
        return CAMERAS.failure(
            word, device["error"], f"end what has it open; install {RULES[camera.driver]}, plug it in again"
        )
    if device.get("wanted") and device["wanted"] != device["firmware"]:
        text = f"{there}, firmware {device['firmware']}; this SDK recommends {device['wanted']}"
        return CAMERAS.warning(word, text, "rs-fw-update, or realsense-viewer")
    return CAMERAS.ok(word, there + (f", firmware {device['firmware']}" if device.get("firmware") else ""))


def judge_calibration(name: str, camera: CameraConfig) -> Check:
    """Whether pose and intrinsics are still those that this project ships, which are of a drawing and not of this cell."""
    from vla_ros.config import load

    drawn, word = load("robot").cameras.get(name), f"{name} calibration"
    if drawn is None:
        return CAMERAS.ok(word, "the configuration's own")
    same = [what for what, fields in PARTS.items() if all(getattr(camera, f) == getattr(drawn, f) for f in fields)]
    if same:
        commands = " and ".join(f"`vla-ros calibrate {COMMANDS[what]} {name}`" for what in same)
        return CAMERAS.warning(word, f"{' and '.join(same)} as shipped: of a drawing, not of this cell", commands)
    return CAMERAS.ok(word, "this cell's own")


PARTS = {"intrinsics": ("fx", "fy", "cx", "cy"), "pose": ("position", "quaternion")}
COMMANDS = {"intrinsics": "intrinsics", "pose": "hand-eye"}
