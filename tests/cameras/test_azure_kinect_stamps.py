"""Stamps of an Azure Kinect on a virtual clock, with a transport that jitters."""

from __future__ import annotations

import numpy as np
import pytest

from vla_ros.cameras.azure_kinect_stamps import Stamper
from vla_ros.clock import MILLISECOND, SECOND

PERIOD = SECOND // 30
START = 500 * SECOND
AHEAD = 123_456_789
"""µs that the device's clock shows at START."""


def played(exposures: list[int], transport: list[int], locked: int = 0, system: bool = True) -> np.ndarray:
    """By how many ns each stamp is late; `exposures` in µs, `transport` in ns from the end of exposure to reception."""
    stamper = Stamper(locked, PERIOD)
    errors = []
    for k, (exposure, way) in enumerate(zip(exposures, transport, strict=True)):
        middle = START + k * PERIOD
        received = middle + exposure * 500 + way
        device = AHEAD + (middle - START) // 1000
        stamp = stamper.stamp(
            device, received if system else 0, exposure or None, received + (0 if not system else 7 * MILLISECOND)
        )
        assert stamp is not None
        errors.append(stamp - middle)
    return np.array(errors)


def test_stamps_are_late_by_the_shortest_transport_and_not_by_its_jitter() -> None:
    random = np.random.default_rng(1)
    way = [3 * MILLISECOND + int(jitter) for jitter in random.exponential(4e6, 300)]
    late = played([8000] * 300, way)
    assert late[150:].max() < 3.5 * MILLISECOND
    assert late.min() >= 3 * MILLISECOND - 1000


def test_an_exposure_that_changes_does_not_move_the_stamps() -> None:
    exposures = [33000 if k % 60 < 30 else 1000 for k in range(300)]
    late = played(exposures, [2 * MILLISECOND] * 300)
    np.testing.assert_allclose(late, 2 * MILLISECOND, atol=300_000)  # half of what 33 000 µs exceed a period is cut off


def test_a_locked_exposure_is_believed_before_the_one_that_is_told() -> None:
    late = played([8000] * 10, [0] * 10, locked=8 * MILLISECOND)
    np.testing.assert_allclose(late, 0, atol=1000)
    stamper = Stamper(8 * MILLISECOND, PERIOD)
    assert stamper.stamp(AHEAD, START, 80_000, START) == START - 4 * MILLISECOND


@pytest.mark.parametrize("system", [0, 1_800_000_000 * SECOND, START + SECOND, START - 5 * SECOND])
def test_a_system_time_that_is_of_another_clock_is_not_believed(system: int) -> None:
    stamper = Stamper(0, PERIOD)
    assert stamper.stamp(AHEAD, system, None, START) == START


def test_a_recording_that_begins_anew_is_a_new_clock() -> None:
    stamper = Stamper(0, PERIOD)
    stamps = [stamper.stamp(AHEAD + (k % 5) * 33333, 0, None, START + k * PERIOD) for k in range(12)]
    assert None not in stamps
    np.testing.assert_allclose(np.diff(stamps), PERIOD, atol=2000)


def test_a_frame_that_comes_out_of_order_is_left_out() -> None:
    stamper = Stamper(0, PERIOD)
    assert stamper.stamp(AHEAD, 0, None, START) is not None
    assert stamper.stamp(AHEAD, 0, None, START + PERIOD) is None
