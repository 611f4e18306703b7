"""What Linux knows of an Azure Kinect, or of an Orbbec Femto in its place, on the USB: for words that help. No SDK in here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

FOLDER = Path("/sys/bus/usb/devices")
MICROSOFT, ORBBEC = "045e", "2bc5"
HALVES = {"097c": "depth camera", "097d": "colour camera"}
HUB = {"097a", "097b", "097e"}
"""Its hubs and its microphones, which answer on USB 2 and without the power supply (Microsoft: Azure Kinect DK, troubleshooting)."""
SUPERSPEED = 5000
"""Mbit/s of USB 3."""


class UsbDevice(NamedTuple):
    """Vendor and product id in hexadecimal digits, speed in Mbit/s."""

    vendor: str
    product: str
    speed: float


def devices(folder: Path = FOLDER) -> list[UsbDevice]:
    """What is connected; nothing on a machine that does not tell."""
    found = (_device(path) for path in sorted(folder.glob("*")))
    return [device for device in found if device is not None]


def _device(path: Path) -> UsbDevice | None:
    try:
        vendor, product, speed = ((path / name).read_text().strip() for name in ("idVendor", "idProduct", "speed"))
        return UsbDevice(vendor, product, float(speed))
    except (OSError, ValueError):  # an interface has none of these, and what is being unplugged has them no more
        return None


def slow(connected: Sequence[UsbDevice]) -> bool:
    """Whether a camera is connected by USB 2."""
    return any(device.speed < SUPERSPEED for device in connected if _is_camera(device))


def hint(connected: Sequence[UsbDevice]) -> str:
    """Why the SDK may see no device, and what to do."""
    if slow(connected):
        return "it is connected by USB 2, which is too slow for it: use a USB 3 port and its own cable"
    if any(_is_camera(device) for device in connected):
        return (
            "it is connected, but this user may not open it, or another program uses it: install the SDK's udev rules "
            "(scripts/99-k4a.rules) and plug it in again; k4aviewer and other camera nodes are the usual other programs"
        )
    if any(device.vendor == MICROSOFT and device.product in HUB for device in connected):
        return (
            "only its hub answers: it needs its power supply, or a USB-C port that feeds it, and a USB 3 port and cable"
        )
    return "check `lsusb -d 045e:` (Azure Kinect) or `lsusb -d 2bc5:` (Femto), cable, port and power supply"


def _is_camera(device: UsbDevice) -> bool:
    return device.vendor == ORBBEC or (device.vendor == MICROSOFT and device.product in HALVES)
