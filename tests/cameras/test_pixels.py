"""What is delivered of a sensor's pixels."""

import numpy as np
import pytest

from vla_ros.cameras.pixels import deliver, deliver_depth

WIDE = np.random.default_rng(1).integers(0, 256, (48, 64, 3), np.uint8)


@pytest.mark.parametrize("binning", [1, 2, 4, 8, 16])
def test_a_pixel_is_the_mean_of_its_block(binning):
    x, y, width, height = 16, 8, 48, 32
    got = deliver(WIDE, (x, y, width, height), binning)
    assert got.dtype == np.uint8
    for row in range(height // binning):
        for column in range(width // binning):
            block = WIDE[y + row * binning :, x + column * binning :][:binning, :binning].reshape(-1, 3).astype(float)
            np.testing.assert_array_equal(got[row, column], np.floor(block.mean(axis=0) + 0.5))


def test_the_brightest_block_does_not_overflow():
    assert deliver(np.full((16, 16, 3), 255, np.uint8), (0, 0, 16, 16), 16).tolist() == [[[255, 255, 255]]]


def test_what_is_delivered_is_a_copy():
    image = WIDE.copy()
    got = deliver(image, (0, 0, 64, 48), 1)
    image[:] = 0
    np.testing.assert_array_equal(got, WIDE)


def test_depth_is_metres_at_the_middle_of_a_block_and_nan_where_unknown():
    raw = np.zeros((8, 8), np.uint16)
    raw[6, 6], raw[2, 2] = 1500, 0
    depth = deliver_depth(raw, 0.001, (0, 0, 8, 8), 4)
    assert depth.dtype == np.float32
    assert depth[1, 1] == pytest.approx(1.5)
    assert np.isnan(depth[0, 0])
    assert deliver_depth(raw, 0.001, (4, 4, 4, 4), 1)[2, 2] == pytest.approx(1.5)
