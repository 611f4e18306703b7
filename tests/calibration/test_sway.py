"""The sway is smooth, within the limits, and never leaves the box."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_ros.calibration.sway import MARGIN, SHARE, SwayError, plan, room
from vla_ros.config import load

CONFIG = load()
MIDDLE = np.array([0.45, 0.0, 0.25])
LOW, HIGH = np.array(CONFIG.workspace.low), np.array(CONFIG.workspace.high)


def sway_at(position, **changes):
    return plan(np.array(position, float), CONFIG.workspace, CONFIG.limits.model_copy(update=changes))


def tried(*arguments, **options):
    """A sway, and the text of the refusal; one of them is None."""
    try:
        return plan(*arguments, **options), None
    except SwayError as error:
        return None, str(error)


def samples(sway, function, n=2000):
    times = np.linspace(0, sway.seconds, n)
    return times, np.array([function(t) for t in times])


def test_it_begins_and_ends_at_rest_where_it_began():
    sway = sway_at(MIDDLE)
    for moment in (-1.0, 0.0, sway.seconds, sway.seconds + 1.0):
        assert sway.shift(moment) == pytest.approx(0.0, abs=1e-12)
        np.testing.assert_allclose(sway.velocity(moment), 0.0, atol=1e-12)


def test_its_velocity_is_the_derivative_of_its_shift():
    sway = sway_at(MIDDLE)
    times, shifts = samples(sway, sway.shift, 20000)
    velocities = np.array([sway.velocity(t)[sway.axis] for t in times])
    np.testing.assert_allclose(np.gradient(shifts, times)[1:-1], velocities[1:-1], atol=1e-5)


def test_it_has_its_amplitude_and_frequency_in_the_steady_part():
    sway = sway_at(MIDDLE)
    begin, end = sway.steady
    times = np.linspace(begin, end, 500)
    wanted = sway.amplitude * np.sin(2 * np.pi * sway.frequency * times)
    np.testing.assert_allclose([sway.shift(t) for t in times], wanted, atol=1e-9)
    assert (end - begin) * sway.frequency == pytest.approx(sway.cycles - 0.5)


@settings(deadline=None, derandomize=True, max_examples=40)
@given(
    speed=st.floats(0.05, 0.25), acceleration=st.floats(0.2, 2.0), jerk=st.floats(1.0, 50.0), cycles=st.floats(3, 12)
)
def test_it_keeps_to_a_share_of_every_cap(speed, acceleration, jerk, cycles):
    limits = CONFIG.limits.model_copy(update={"speed": speed, "acceleration": acceleration, "jerk": jerk})
    sway, refusal = tried(MIDDLE, CONFIG.workspace, limits, cycles)
    if sway is None:
        assert "limits" in refusal  # too low a cap is said, and nothing moves
        return
    times, shifts = samples(sway, sway.shift, 4000)
    step = times[1]
    for order, cap in enumerate((speed, acceleration, jerk), start=1):
        size = np.abs(np.diff(shifts, order) / step**order)[3:-3].max()
        assert size <= SHARE * cap * 1.01


@settings(deadline=None, derandomize=True, max_examples=100)
@given(shares=st.tuples(*[st.floats(0, 1)] * 3))
def test_it_stays_in_the_box_or_is_refused(shares):
    position = LOW + np.array(shares) * (HIGH - LOW)
    sway, refusal = tried(position, CONFIG.workspace, CONFIG.limits)
    if sway is None:
        assert room(position, CONFIG.workspace).max() < 0.014 + MARGIN
        assert "middle of the box" in refusal
        return
    reached = position[sway.axis] + np.array([-1, 1]) * sway.amplitude
    assert (reached > LOW[sway.axis] + 0.9 * MARGIN).all()
    assert (reached < HIGH[sway.axis] - 0.9 * MARGIN).all()


def test_it_goes_along_y_where_it_can():
    assert sway_at(MIDDLE).axis == 1
    assert sway_at([0.47, 0.27, 0.12]).axis == 0
    assert sway_at([0.36, 0.27, 0.2]).axis == 2


def test_too_few_cycles_are_refused():
    with pytest.raises(SwayError, match="cycles"):
        plan(MIDDLE, CONFIG.workspace, CONFIG.limits, cycles=1)
