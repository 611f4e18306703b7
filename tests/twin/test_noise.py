"""Noise of a sensor: as strong as it is asked for, different in every frame, the same from the same seed."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_ros.twin.noise import SensorNoise

GREY = np.full((120, 160, 3), 128, np.uint8)


@pytest.mark.parametrize("level", [0.5, 1.0, 2.0, 5.0, 20.0])
def test_it_is_as_strong_as_it_is_asked_for_and_has_no_bias(level: float) -> None:
    noise = SensorNoise(level, 1)
    difference = np.stack([noise.add(GREY).astype(int) - 128 for _ in range(20)])
    assert difference.std() == pytest.approx(level, rel=0.1)
    assert abs(difference.mean()) < 0.02 * level + 0.01


def test_it_is_gaussian() -> None:
    size = np.abs(SensorNoise(5.0, 1).add(GREY).astype(int) - 128)
    for most in (2, 5, 9, 14):
        assert (size <= most).mean() == pytest.approx(math.erf((most + 0.5) / 5.0 / math.sqrt(2)), abs=0.01)


def test_no_two_frames_are_the_same() -> None:
    noise = SensorNoise(1.0, 1)
    frames = [noise.add(GREY).tobytes() for _ in range(300)]
    assert len(set(frames)) > 295
    assert all(a != b for a, b in itertools.pairwise(frames))


def test_it_repeats_from_its_seed() -> None:
    first, second, other = SensorNoise(1.0, 1), SensorNoise(1.0, 1), SensorNoise(1.0, 2)
    for _ in range(3):
        image = first.add(GREY)
        np.testing.assert_array_equal(image, second.add(GREY))
        assert (image != other.add(GREY)).any()


def test_without_noise_the_image_is_left_alone() -> None:
    assert SensorNoise(0.0, 1).add(GREY) is GREY


def test_a_larger_image_is_served_as_well() -> None:
    noise = SensorNoise(3.0, 1)
    noise.add(GREY)
    large = noise.add(np.full((480, 640, 3), 100, np.uint8))
    assert large.astype(int).std() == pytest.approx(3.0, rel=0.1)


@settings(deadline=None, derandomize=True, max_examples=50)
@given(st.floats(0, 20), st.integers(0, 255), st.integers(0, 1000), st.tuples(st.integers(1, 9), st.integers(1, 9)))
def test_it_is_clipped_and_never_wraps_around(level: float, grey: int, seed: int, shape: tuple[int, int]) -> None:
    image = np.full((*shape, 3), grey, np.uint8)
    noisy = SensorNoise(level, seed).add(image)
    assert noisy.dtype == np.uint8
    assert noisy.shape == image.shape
    assert (image == grey).all()
    assert np.abs(noisy.astype(int) - grey).max() <= 6.5 * level + 1
