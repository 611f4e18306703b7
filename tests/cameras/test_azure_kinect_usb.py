"""What Linux says of an Azure Kinect on the USB, in words that help."""

from __future__ import annotations

from pathlib import Path

import pytest

from vla_ros.cameras.azure_kinect_usb import UsbDevice, devices, hint, slow

KINECT = [UsbDevice("045e", product, 5000.0) for product in ("097a", "097c", "097d")]
FEMTO = UsbDevice("2bc5", "066b", 5000.0)
MOUSE = UsbDevice("046d", "c077", 1.5)


def test_devices_are_read_and_what_is_none_is_passed_over(tmp_path: Path) -> None:
    for name, product, speed in (("1-1", "097a", "480"), ("2-1.1", "097c", "10000"), ("2-1.2", "097d", "unknown")):
        (tmp_path / name).mkdir()
        for file, text in (("idVendor", "045e"), ("idProduct", product), ("speed", speed)):
            (tmp_path / name / file).write_text(text + "\n")
    (tmp_path / "2-1.1:1.0").mkdir()
    assert devices(tmp_path) == [UsbDevice("045e", "097a", 480.0), UsbDevice("045e", "097c", 10000.0)]
    assert devices(tmp_path / "none") == []


@pytest.mark.parametrize(
    ("connected", "says"),
    [
        ([], "lsusb -d 045e:"),
        ([MOUSE], "lsusb -d 2bc5:"),
        ([MOUSE, KINECT[0]], "power supply"),
        ([UsbDevice("045e", "097b", 480.0), UsbDevice("045e", "097e", 480.0)], "power supply"),
        (KINECT, "udev rules"),
        ([FEMTO], "another program"),
        ([FEMTO._replace(speed=480.0)], "USB 2"),
        ([KINECT[1]._replace(speed=480.0)], "USB 2"),
    ],
)
def test_the_hint_says_what_to_do(connected: list[UsbDevice], says: str) -> None:
    assert says in hint(connected)


def test_only_the_speed_of_a_camera_counts() -> None:
    assert not slow([*KINECT, FEMTO, MOUSE])
    assert slow([*KINECT, FEMTO._replace(speed=480.0)])
