"""Which commands go out: on a grid of their own, and at once what is urgent."""

import itertools

import pytest

from vla_ros.clock import MILLISECOND, SECOND
from vla_ros.motion.outlet import Outlet

from .simulator import START


def sent(rate, cycles, period, late=lambda i: 0):
    outlet = Outlet(rate, period)
    moments = [START + i * period + late(i) for i in range(cycles)]
    return [moment - START for moment in moments if outlet.due(moment)]


@pytest.mark.parametrize(("rate", "servo", "expected"), [(40, 100, 40), (40, 250, 40), (100, 100, 100), (50, 200, 50)])
def test_as_many_go_out_as_the_arm_takes(rate, servo, expected):
    moments = sent(rate, 10 * servo, SECOND // servo)
    assert len(moments) == pytest.approx(10 * expected, abs=1)
    gaps = [b - a for a, b in itertools.pairwise(moments)]
    assert max(gaps) - min(gaps) <= SECOND // servo


def test_late_cycles_do_not_shift_the_grid():
    moments = sent(40, 1000, 10 * MILLISECOND, late=lambda i: 4 * MILLISECOND * (i % 2))
    assert len(moments) == pytest.approx(400, abs=1)


def test_after_a_pause_nothing_is_made_up_for_in_a_burst():
    outlet = Outlet(40, 10 * MILLISECOND)
    assert outlet.due(START)
    later = START + SECOND
    assert [outlet.due(later + i * 10 * MILLISECOND) for i in range(6)].count(True) <= 3


def test_what_is_urgent_goes_out_between():
    outlet = Outlet(40, 10 * MILLISECOND)
    assert outlet.due(START)
    assert not outlet.due(START + 10 * MILLISECOND)
    assert outlet.due(START + 10 * MILLISECOND, urgent=True)
    assert outlet.due(START + 25 * MILLISECOND)
