"""What is asked of a RealSense device, and its answers in words; needs no SDK."""

from __future__ import annotations

import pytest

from vla_ros.cameras.realsense_device import Wish, differences, refused, wishes
from vla_ros.config import load
from vla_ros.values import Intrinsics

PINHOLE = Intrinsics(640, 480, 615.0, 615.0, 321.5, 239.2, (0, 0, 640, 480), 8)


def wished(*overrides: str) -> dict[str, float]:
    return {wish.option: wish.value for wish in wishes(load(overrides=overrides).cameras["wrist"])}


def test_a_camera_that_is_to_choose_is_told_so() -> None:
    assert wished() == {
        "global_time_enabled": 1,
        "auto_exposure_priority": 0,
        "enable_auto_exposure": 1,
        "enable_auto_white_balance": 1,
    }


def test_what_is_locked_is_set_after_its_automatism_is_off() -> None:
    names = [
        wish.option
        for wish in wishes(load(overrides=["cameras.wrist={exposure: 0.0123, white_balance: 4600}"]).cameras["wrist"])
    ]
    assert names.index("enable_auto_exposure") < names.index("exposure")
    assert names.index("enable_auto_white_balance") < names.index("white_balance")
    locked = wished("cameras.wrist={exposure: 0.0123, white_balance: 4600}")
    assert (locked["enable_auto_exposure"], locked["exposure"]) == (0, 123)  # × 100 µs
    assert (locked["enable_auto_white_balance"], locked["white_balance"]) == (0, 4600)
    assert "gain" not in locked
    assert Wish("exposure", 123, "exposure", 1e-4) in wishes(
        load(overrides=["cameras.wrist.exposure=0.0123"]).cameras["wrist"]
    )


def test_a_calibration_within_one_percent_is_the_same() -> None:
    near = Intrinsics(640, 480, 620.0, 610.0, 325.0, 236.0, (0, 0, 640, 480), 8)
    assert differences(PINHOLE, near, [0.0] * 5) == []


@pytest.mark.parametrize(
    ("factory", "distortion", "says"),
    [
        ((607.0, 615.0, 321.5, 239.2), 0.0, "fx is 615.0, the camera says 607.0"),
        ((615.0, 600.0, 321.5, 239.2), 0.0, "fy is 615.0, the camera says 600.0"),
        ((615.0, 615.0, 329.0, 239.2), 0.0, "cx is 321.5, the camera says 329.0"),
        ((615.0, 615.0, 321.5, 230.0), 0.0, "cy is 239.2, the camera says 230.0"),
        ((615.0, 615.0, 321.5, 239.2), -0.055, "coefficients up to 0.055"),
    ],
)
def test_each_difference_is_named_alone(factory: tuple[float, ...], distortion: float, says: str) -> None:
    found = differences(PINHOLE, Intrinsics(640, 480, *factory, (0, 0, 640, 480), 8), [0.0, distortion, 0.0, 0.0, 0.0])
    assert len(found) == 1
    assert says in found[0]


@pytest.mark.parametrize(
    ("error", "says"),
    [
        ("xioctl(VIDIOC_S_FMT) failed, errno=16 Last Error: Device or resource busy", "another program uses"),
        ("failed to claim usb interface: 0, error: RS2_USB_STATUS_BUSY", "another program uses"),
        ("failed to set power state", "another program uses"),
        ("Cannot open '/dev/video0' Last Error: Permission denied", "udev rules"),
        ("something new", "something new"),
    ],
)
def test_the_sdks_errors_are_put_in_words(error: str, says: str) -> None:
    text = str(refused(error, "the camera", "cameras.wrist"))
    assert text.startswith("cameras.wrist: ")
    assert says in text
    assert error in text
