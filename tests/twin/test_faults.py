"""Each fault does its one thing, inside its time only."""

from __future__ import annotations

import numpy as np
import pytest

from vla_ros.clock import MILLISECOND, SECOND
from vla_ros.twin.faults import Fault, Kind, apply

STREAM = [(k * 10 * MILLISECOND, k) for k in range(100)]
START, END = 300 * MILLISECOND, 600 * MILLISECOND


def outside(items: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    return [item for item in items if not START <= item[1] < END]


@pytest.mark.parametrize("kind", list(Kind))
def test_what_is_outside_its_time_passes_untouched(kind: Kind) -> None:
    arrived = apply(STREAM, [Fault(kind, START, END, 0.5)], corrupt=lambda value, _: -value)
    assert sorted(outside(arrived)) == [(t, t, v) for t, v in STREAM if not START <= t < END]


def test_delay_shifts_arrivals_and_keeps_stamps() -> None:
    arrived = apply(STREAM, [Fault(Kind.DELAY, 0, SECOND, 0.02)])
    assert arrived == [(t + 20 * MILLISECOND, t, v) for t, v in STREAM]


def test_jitter_delays_each_by_something_else() -> None:
    late = [a - t for a, t, _ in apply(STREAM, [Fault(Kind.JITTER, 0, SECOND, 0.005)])]
    assert min(late) >= 0
    assert max(late) <= 5 * MILLISECOND
    assert len(set(late)) > 90


def test_drop_loses_about_its_share_and_disconnect_loses_all() -> None:
    dropped = apply(STREAM, [Fault(Kind.DROP, 0, SECOND, 0.3)])
    assert 50 < len(dropped) < 90
    assert [t for _, t, _ in apply(STREAM, [Fault(Kind.DISCONNECT, START, END)]) if START <= t < END] == []


def test_freeze_repeats_the_last_value_under_new_stamps() -> None:
    arrived = apply(STREAM, [Fault(Kind.FREEZE, START, END)])
    assert {v for _, t, v in arrived if START <= t < END} == {29}
    assert len(arrived) == len(STREAM)


def test_corrupt_breaks_values_as_it_is_told() -> None:
    arrived = apply(STREAM, [Fault(Kind.CORRUPT, START, END, 1.0)], corrupt=lambda value, _: -value)
    assert all(v == -t // (10 * MILLISECOND) for _, t, v in arrived if START <= t < END)


def test_reorder_changes_the_order_of_stamps_and_loses_nothing() -> None:
    arrived = apply(STREAM, [Fault(Kind.REORDER, START, END, 0.5)])
    stamps = [t for _, t, _ in arrived]
    assert stamps != sorted(stamps)
    assert sorted(stamps) == [t for t, _ in STREAM]
    assert all(v == t // (10 * MILLISECOND) for _, t, v in arrived)
    arrivals = [a for a, _, _ in arrived]
    assert arrivals == sorted(arrivals)


def test_faults_combine_and_repeat_from_their_seed() -> None:
    faults = [Fault(Kind.JITTER, 0, SECOND, 0.05), Fault(Kind.DROP, START, END, 0.5)]
    assert apply(STREAM, faults, seed=3) == apply(STREAM, faults, seed=3)
    assert apply(STREAM, faults, seed=3) != apply(STREAM, faults, seed=4)


@pytest.mark.parametrize(("start", "end", "amount"), [(5, 5, 0.1), (0, 5, -0.1), (0, 5, 1.5)])
def test_a_fault_that_means_nothing_is_refused(start: int, end: int, amount: float) -> None:
    with pytest.raises(ValueError, match=r"fault|share"):
        Fault(Kind.DROP, start, end, amount)


def test_images_can_be_corrupted() -> None:
    frames = [(0, np.zeros((2, 2), np.uint8))]
    noise = apply(
        frames, [Fault(Kind.CORRUPT, 0, 1, 1.0)], corrupt=lambda v, r: v + r.integers(1, 9, v.shape, np.uint8)
    )
    assert noise[0][2].all()
