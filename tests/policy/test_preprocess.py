"""The image that a policy sees is the same whichever way the camera delivers it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_ros import geometry
from vla_ros.geometry import Pose
from vla_ros.kinematics import TOOL_DOWN
from vla_ros.policy.manifest import BundleError, Camera
from vla_ros.policy.preprocess import preprocess, robot_state
from vla_ros.values import ArmState, Image, Intrinsics

SENSOR = (96, 72)


def intrinsics(roi: tuple[int, int, int, int], binning: int) -> Intrinsics:
    return Intrinsics(*SENSOR, 100.0, 100.0, 48.0, 36.0, roi, binning)


def camera(roi: tuple[int, int, int, int], binning: int) -> Camera:
    return Camera(name="static", sensor=SENSOR, roi=roi, binning=binning, mean=(0.5,) * 3, std=(0.25,) * 3)


def sensor_image(seed: int) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (SENSOR[1], SENSOR[0], 3), np.uint8)


def binned(image: Image, roi: tuple[int, int, int, int], binning: int) -> Image:
    """What a camera delivers that cuts and bins by itself: the plain definition."""
    x, y, width, height = roi
    out = np.zeros((height // binning, width // binning, 3), np.uint8)
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            top, left = y + row * binning, x + column * binning
            block = image[top : top + binning, left : left + binning].reshape(-1, 3)
            out[row, column] = np.floor(block.astype(float).mean(0) + 0.5)
    return out


rois = st.tuples(st.integers(0, 8), st.integers(0, 8), st.integers(1, 6), st.integers(1, 6), st.integers(1, 8))


@settings(max_examples=40)
@given(rois, st.integers(0, 1000))
def test_the_full_frame_and_the_binned_one_give_the_same(numbers: tuple[int, ...], seed: int) -> None:
    x, y, columns, rows, binning = numbers
    roi = (x, y, columns * binning, rows * binning)
    image, wanted = sensor_image(seed), camera(roi, binning)
    from_full = preprocess(image, intrinsics((0, 0, *SENSOR), 1), wanted)
    delivered = binned(image, roi, binning)
    np.testing.assert_array_equal(from_full, delivered)
    np.testing.assert_array_equal(preprocess(delivered, intrinsics(roi, binning), wanted), delivered)


def test_binning_in_two_steps_differs_by_rounding_only() -> None:
    image, roi = sensor_image(3), (8, 8, 32, 32)
    halved = preprocess(image, intrinsics((0, 0, *SENSOR), 1), camera((0, 0, *SENSOR), 2))
    twice = preprocess(halved, intrinsics((0, 0, *SENSOR), 2), camera(roi, 4))
    once = preprocess(image, intrinsics((0, 0, *SENSOR), 1), camera(roi, 4))
    assert np.abs(twice.astype(int) - once).max() <= 1


@pytest.mark.parametrize(
    ("roi", "binning"),
    [((10, 8, 32, 32), 1), ((8, 8, 24, 32), 1), ((8, 8, 32, 32), 3), ((7, 8, 40, 40), 2), ((8, 8, 32, 32), 8)],
)
def test_what_cannot_be_cut_from_the_frame_is_refused(roi: tuple[int, int, int, int], binning: int) -> None:
    delivered = intrinsics(roi, binning)
    image = np.zeros((*delivered.image_shape, 3), np.uint8)
    with pytest.raises(BundleError, match=r"delivers roi .* wants roi .8, 8, 32, 32. .*Set cameras.static"):
        preprocess(image, delivered, camera((8, 8, 32, 32), 4))


def test_a_frame_that_is_not_what_its_camera_info_says() -> None:
    with pytest.raises(BundleError, match=r"frame of shape \(10, 10, 3\) uint8.*\(32, 32, 3\)"):
        preprocess(np.zeros((10, 10, 3), np.uint8), intrinsics((8, 8, 32, 32), 1), camera((8, 8, 32, 32), 4))


def test_the_robot_state_is_zero_rotation_with_the_tool_down() -> None:
    turned = geometry.multiply(geometry.exp(np.array([0.1, -0.2, 0.3])), TOOL_DOWN)
    arm = ArmState(0, np.zeros(7), np.zeros(7), np.zeros(7), Pose(np.array([0.4, 0.1, 0.2]), turned), 0.25, np.zeros(3))
    np.testing.assert_allclose(robot_state(arm, 1.0), [0.4, 0.1, 0.2, 0.1, -0.2, 0.3, 0.25, 1.0], atol=1e-6)
