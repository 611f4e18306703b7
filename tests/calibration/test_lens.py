"""The lens is OpenCV's, and its slopes are its slopes."""

from __future__ import annotations

import numpy as np
import pytest

from vla_ros.calibration.lens import Lens, configured
from vla_ros.config import load

cv2 = pytest.importorskip("cv2")
PINHOLE = Lens(640, 480, 615.0, 612.0, 321.5, 239.2)
LENSES = [
    PINHOLE,
    Lens(640, 480, 615.0, 612.0, 321.5, 239.2, (0.12, -0.25, 0.001, -0.0007, 0.05)),
    Lens(1280, 720, 607.0, 606.0, 638.0, 365.0, (0.5, -2.6, 0.0006, -0.0002, 1.5, 0.38, -2.4, 1.43)),
]
POINTS = np.random.default_rng(0).uniform([-0.2, -0.15, 0.4], [0.2, 0.15, 1.0], (50, 3))


@pytest.mark.parametrize("lens", LENSES)
def test_points_are_projected_as_by_opencv(lens):
    theirs, _ = cv2.projectPoints(POINTS, np.zeros(3), np.zeros(3), lens.matrix, lens.coefficients)
    np.testing.assert_allclose(lens.project(POINTS), theirs.reshape(-1, 2), atol=1e-9)


@pytest.mark.parametrize("lens", LENSES)
def test_the_slopes_are_those_of_the_projection(lens):
    slopes = lens.slopes(POINTS)
    for axis in range(3):
        step = np.zeros(3)
        step[axis] = 1e-4
        change = (lens.project(POINTS + step) - lens.project(POINTS - step)) / 2e-4
        np.testing.assert_allclose(slopes[:, :, axis], change, rtol=1e-3, atol=1e-2)


def test_what_is_behind_the_camera_has_no_image():
    pixels = PINHOLE.project(np.array([[0.0, 0.0, -1.0], [0.0, 0.0, 1.0]]))
    assert np.isnan(pixels[0]).all()
    np.testing.assert_allclose(pixels[1], [321.5, 239.2])
    assert PINHOLE.holds(pixels).tolist() == [False, True]


def test_the_picture_has_a_margin():
    corners = np.array([[0.0, 0.0], [639.0, 479.0], [-0.1, 5.0], [5.0, 479.1], [8.0, 8.0]])
    assert PINHOLE.holds(corners).tolist() == [True, True, False, False, True]
    assert PINHOLE.holds(corners, 8.0).tolist() == [False, False, False, False, True]


def test_the_lens_of_a_configuration_has_its_distortion():
    config = load(overrides=["cameras.wrist.distortion=[0.1, -0.2, 0, 0, 0.3]"])
    lens = configured(config.cameras["wrist"])
    assert lens.distortion == (0.1, -0.2, 0.0, 0.0, 0.3)
    assert lens.model == "plumb_bob"
    assert LENSES[2].model == "rational_polynomial"
