"""Lenses: the model against numbers worked out by hand, and its inverse."""

from __future__ import annotations

import numpy as np
import pytest

from vla_ros.cameras.factory import bent_apart, differences, numbers
from vla_ros.cameras.lens import Lens, lens
from vla_ros.values import Intrinsics

KINECT = (0.5, -2.6, 0.0003, -0.0002, 1.5, 0.38, -2.4, 1.4)
CAMERA = Intrinsics(1280, 720, 605.0, 605.0, 640.0, 360.0, (0, 0, 1280, 720), 1, KINECT)


def test_a_pinhole_leaves_rays_as_they_are() -> None:
    x, y = np.array([0.3]), np.array([-0.2])
    assert Lens(600, 610, 320, 240).undistorted(x, y) == (x, y)
    u, v = Lens(600, 610, 320, 240).pixels(x, y)
    assert (u[0], v[0]) == (pytest.approx(500), pytest.approx(118))


def test_each_coefficient_does_what_the_model_says() -> None:
    x, y = np.array([0.5]), np.array([0.2])  # r² = 0.29
    for place, factor in ((0, 1 + 0.1 * 0.29), (1, 1 + 0.1 * 0.29**2), (4, 1 + 0.1 * 0.29**3), (5, 1 / 1.029)):
        k = [0.0] * 8
        k[place] = 0.1
        bent = Lens(1, 1, 0, 0, tuple(k)).distorted(x, y)
        np.testing.assert_allclose(np.ravel(bent), [0.5 * factor, 0.2 * factor])
    bent = Lens(1, 1, 0, 0, (0, 0, 0.01, 0, 0)).distorted(x, y)  # p1: 2xy and r² + 2y²
    np.testing.assert_allclose(np.ravel(bent), [0.5 + 0.01 * 0.2, 0.2 + 0.01 * 0.37])
    bent = Lens(1, 1, 0, 0, (0, 0, 0, 0.01, 0)).distorted(x, y)  # p2: r² + 2x² and 2xy
    np.testing.assert_allclose(np.ravel(bent), [0.5 + 0.01 * 0.79, 0.2 + 0.01 * 0.2])


@pytest.mark.parametrize("distortion", [KINECT, (-0.05, 0.06, 0.001, -0.002, -0.02), ()])
def test_the_inverse_brings_every_pixel_back(distortion: tuple[float, ...]) -> None:
    eye = Lens(605.0, 606.0, 640.0, 361.0, distortion)
    u, v = eye.pixels(*eye.rays((720, 1280)))
    rows, columns = np.mgrid[:720, :1280]
    np.testing.assert_allclose(u, columns, atol=0.01)
    np.testing.assert_allclose(v, rows, atol=0.01)


def test_where_there_is_no_inverse_there_is_no_ray() -> None:
    folding = Lens(1, 1, 0, 0, (-0.5, 0, 0, 0, 0))  # r (1 - r²/2) is never above 0.55
    x, _ = folding.undistorted(np.array([0.3, 2.0]), np.zeros(2))
    assert x[0] == pytest.approx(0.3 / (1 - 0.5 * x[0] ** 2))
    assert np.isnan(x[1])


def test_the_same_calibration_has_no_differences() -> None:
    assert differences(CAMERA, CAMERA) == []
    assert bent_apart(CAMERA, CAMERA) == 0.0


def test_another_distortion_is_named_by_what_it_does_in_the_delivered_part() -> None:
    pinhole = Intrinsics(1280, 720, 605.0, 605.0, 640.0, 360.0, (0, 0, 1280, 720))
    (text,) = differences(pinhole, CAMERA)
    assert f"up to {bent_apart(pinhole, CAMERA):.1f} pixels off" in text
    middle = Intrinsics(1280, 720, 605.0, 605.0, 640.0, 360.0, (600, 330, 80, 60))
    assert bent_apart(middle, CAMERA) < 0.2 < bent_apart(pinhole, CAMERA)
    eye = lens(CAMERA)
    u, v = eye.pixels(*(np.array([ray]) for ray in (1.0, 0.5)))
    corner = float(np.hypot(u - 605 - 640, v - 302.5 - 360)[0])
    assert bent_apart(pinhole, CAMERA) == pytest.approx(corner, rel=0.5)


def test_numbers_are_written_as_the_configuration_reads_them() -> None:
    text = numbers(CAMERA)
    assert text.startswith("fx: 605.00, fy: 605.00, cx: 640.00, cy: 360.00, distortion: [0.5, -2.6, ")
    assert text.endswith("1.4]")
