"""Entries come at the stride of training, whatever the camera does."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_ros.policy.history import Entry, History

STRIDE = 100
WINDOW = 6


def fed(stamps: list[int], window: int = WINDOW) -> list[tuple[int, Entry]]:
    """The entries that a stream of observations makes."""
    history, entries = History(STRIDE, window), []
    for stamp in stamps:
        if history.due(stamp):
            history, entry = history.enter(stamp)
            entries.append((stamp, entry))
    return entries


def test_every_third_frame_of_a_30_hz_camera_is_an_entry() -> None:
    stamps = [round(k * 100 / 3) for k in range(60)]
    entries = fed(stamps)
    assert [stamp for stamp, _ in entries] == stamps[::3]
    assert [entry.missed for _, entry in entries] == [0] * len(entries)
    assert [entry.reset for _, entry in entries] == [True] + [False] * (len(entries) - 1)


@given(st.lists(st.integers(-9, 9), min_size=300, max_size=300), st.floats(0.99, 1.01))
def test_jitter_and_drift_of_the_camera_miss_nothing(jitter: list[int], drift: float) -> None:
    stamps = [round(k * 100 / 3 * drift) + j for k, j in enumerate(jitter)]
    entries = fed(stamps)
    assert sum(entry.missed for _, entry in entries) == 0
    assert len(entries) == pytest.approx(100, abs=3)


@pytest.mark.parametrize("rate", [15, 30, 60])
def test_the_mean_distance_is_the_stride(rate: int) -> None:
    stamps = [stamp for stamp, _ in fed([round(k * 1000 / rate) for k in range(rate * 20)])]
    assert np.diff(stamps).mean() == pytest.approx(STRIDE, rel=0.02)


@pytest.mark.parametrize("missing", range(1, WINDOW - 1))
def test_what_was_missed_is_counted(missing: int) -> None:
    entries = fed([0, 100, 200, 200 + (missing + 1) * 100, 200 + (missing + 2) * 100])
    assert [entry.missed for _, entry in entries] == [0, 0, 0, missing, 0]


@pytest.mark.parametrize("gap", [600, 700, 10_000])
def test_a_gap_over_the_window_starts_over(gap: int) -> None:
    entries = fed([0, 100, 100 + gap, 200 + gap])
    assert [entry for _, entry in entries[2:]] == [Entry(0, reset=True), Entry(0, reset=False)]


def test_a_slow_camera_is_filled_up() -> None:
    assert [entry.missed for _, entry in fed([0, 200, 400, 600])] == [0, 1, 1, 1]


def test_a_clock_that_was_set_back_starts_over() -> None:
    entries = fed([100_000, 100_100, 500, 600])
    assert [entry.reset for _, entry in entries] == [True, False, True, False]


def test_without_a_memory_every_entry_stands_alone() -> None:
    assert all(entry == Entry(0, reset=True) for _, entry in fed([0, 100, 300, 900], window=1))


@given(st.lists(st.integers(0, 5000), max_size=50))
def test_entries_are_never_closer_than_the_stride_allows(stamps: list[int]) -> None:
    entries = [stamp for stamp, _ in fed(sorted(stamps))]
    assert all(b - a >= 0.3 * STRIDE for a, b in pairwise(entries))
