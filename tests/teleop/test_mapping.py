"""From readings to twists: the properties that make teleoperation safe and smooth, for any sequence of readings."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from vla_ros.clock import MILLISECOND
from vla_ros.teleop import mapping
from vla_ros.teleop.mapping import FAREWELL, SCALES, Settings, State, shaped, step, twist
from vla_ros.teleop.reading import BUTTONS, NO_AXES, Reading

SETTINGS = Settings()
CYCLE = 20 * MILLISECOND
numbers = st.floats(-1.0, 1.0)
deflections = arrays.arrays(np.float64, 3, elements=numbers)
readings = st.builds(
    lambda axes, clutch, gripper, buttons, age: (axes, clutch, gripper, frozenset(buttons), age),
    arrays.arrays(np.float64, 6, elements=numbers),
    st.booleans(),
    numbers,
    st.sets(st.sampled_from(BUTTONS), max_size=2),
    st.sampled_from([0, 100 * MILLISECOND, 400 * MILLISECOND]),
)


def played(sequence, commanded=0.7):
    """Every (reading, state, wish) of a sequence of readings, one each cycle."""
    state = State()
    for k, (axes, clutch, gripper, buttons, age) in enumerate(sequence, start=50):
        now = k * CYCLE
        reading = Reading(now - age, axes, clutch, gripper, buttons)
        state, wish, _ = step(state, reading, now, SETTINGS, commanded)
        yield now, reading, state, wish


def held(axes=NO_AXES, gripper=0.0, buttons=(), clutch=True):
    return np.asarray(axes, np.float64), clutch, gripper, frozenset(buttons), 0


@given(deflections)
def test_the_direction_stays_and_the_length_is_at_most_one(vector):
    out = shaped(vector, 0.1, 2.0)
    assert np.linalg.norm(out) <= 1.0 + 1e-12
    assert np.linalg.norm(np.cross(out, vector)) < 1e-9
    assert out @ vector >= 0.0


@given(deflections)
def test_both_sides_of_a_stick_are_alike_and_its_middle_is_dead(vector):
    np.testing.assert_allclose(shaped(-vector, 0.1, 2.0), -shaped(vector, 0.1, 2.0))
    small = vector / max(1.0, np.linalg.norm(vector)) * 0.1 * (1 - 1e-9)
    assert not shaped(small, 0.1, 2.0).any()


@given(st.floats(0, 1), st.floats(0, 1))
def test_more_deflection_is_never_less_motion_and_full_deflection_is_full_speed(a, b):
    low, high = (float(np.linalg.norm(shaped(np.array([v, 0.0, 0.0]), 0.1, 2.0))) for v in sorted((a, b)))
    assert low <= high + 1e-12
    assert np.linalg.norm(shaped(np.array([1.0, 0.0, 0.0]), 0.1, 2.0)) == pytest.approx(1.0)


@given(arrays.arrays(np.float64, 6, elements=numbers), st.sampled_from(SCALES))
def test_no_deflection_is_faster_than_the_settings(axes, scale):
    made = twist(axes, SETTINGS, scale)
    assert np.linalg.norm(made[:3]) <= SETTINGS.speed * scale + 1e-12
    assert np.linalg.norm(made[3:]) <= SETTINGS.turn_speed * scale + 1e-12


@given(st.lists(readings, max_size=40))
def test_nothing_moves_without_a_clutch_that_is_held_and_alive(sequence):
    for now, reading, _, wish in played(sequence):
        if (not reading.clutch or now - reading.stamp > SETTINGS.silence) and wish is not None:
            assert not wish.twist.any()
            assert wish.gripper is None


@given(st.lists(readings, max_size=40))
def test_the_gripper_stays_between_open_and_closed_and_never_leaps(sequence):
    last = None
    for _, _, state, wish in played(sequence):
        target = wish.gripper if wish is not None and state.held else None
        if target is not None:
            assert 0.0 <= target <= 1.0
            if last is not None:
                assert abs(target - last) <= SETTINGS.gripper_speed * CYCLE / 1e9 + 1e-9
        last = target


def test_a_clutch_that_is_taken_first_tells_the_gripper_where_it_is_told_to_be():
    first, second = (wish for *_, wish in played([held([1, 0, 0, 0, 0, 0]), held([1, 0, 0, 0, 0, 0])], commanded=0.83))
    assert (first.twist, first.gripper) == (None, 0.83)
    assert second.twist[0] == pytest.approx(SETTINGS.speed * 0.5)
    assert second.gripper == 0.83


def test_nobody_takes_over_while_it_is_unknown_what_the_gripper_holds():
    assert [wish for *_, wish in played([held([1, 0, 0, 0, 0, 0])] * 5, commanded=None)] == [None] * 5


def test_released_means_zeros_for_a_while_and_then_silence():
    loose = held([1, 0, 0, 0, 0, 0], clutch=False)
    wishes = [wish for *_, wish in played([held([1, 0, 0, 0, 0, 0])] * 3 + [loose] * 10)]
    zeros = FAREWELL // CYCLE
    assert all(wish is not None and not wish.twist.any() for wish in wishes[3 : 3 + zeros])
    assert wishes[3 + zeros :] == [None] * (10 - zeros)


def test_a_device_that_falls_silent_in_mid_motion_stops_the_arm_after_150_ms():
    push, state = np.array([1.0, 0, 0, 0, 0, 0]), State()
    said = []
    for k in range(50, 75):
        now = k * CYCLE
        reading = Reading(min(now, 60 * CYCLE), push, True)
        state, wish, _ = step(state, reading, now, SETTINGS, 0.0)
        said.append((now - reading.stamp, wish))
    for silent, wish in said:
        if silent > 150 * MILLISECOND and wish is not None:
            assert not wish.twist.any()
    assert any(wish is not None and wish.twist is not None and wish.twist.any() for _, wish in said)
    assert said[-1][1] is None


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_reading_that_is_no_number_counts_as_a_released_clutch(bad):
    wishes = [wish for *_, wish in played([held([1, 0, 0, 0, 0, 0])] * 2 + [held([bad, 0, 0, 0, 0, 0])] * 2)]
    assert not wishes[2].twist.any()
    assert not wishes[3].twist.any()


def test_frame_and_speed_are_switched_by_presses_and_the_frame_never_in_mid_motion():
    loose = held(clutch=False)
    press = held(clutch=False, buttons=["frame", "slower"])
    states = [state for _, _, state, _ in played([loose, press, press, loose, held(), held(buttons=["frame"])])]
    assert [state.in_tool for state in states] == [False, True, True, True, True, True]
    assert [state.scale for state in states] == [0.5, 0.25, 0.25, 0.25, 0.25, 0.25]


@given(st.lists(st.sampled_from(["faster", "slower"]), max_size=12))
def test_the_speed_scale_stays_on_its_steps(presses):
    state = State()
    for k, name in enumerate(presses):
        for buttons in ([name], []):
            state, _, _ = step(state, Reading(k, NO_AXES, False, 0.0, frozenset(buttons)), k, SETTINGS, 0.0)
        assert state.scale in SCALES


def test_a_press_is_told_once_however_long_the_button_is_down():
    state, told = State(), []
    for k in range(5):
        reading = Reading(k * CYCLE, NO_AXES, False, 0.0, frozenset({"toggle"} if 1 <= k <= 3 else ()))
        state, _, pressed = step(state, reading, k * CYCLE, SETTINGS, 0.0)
        told.append(set(pressed))
    assert told == [set(), {"toggle"}, set(), set(), set()]


def test_a_loop_that_hung_does_not_make_the_gripper_leap():
    state = State()
    for now in (0, CYCLE, 10_000 * MILLISECOND):
        state, wish, _ = step(state, Reading(now, NO_AXES, True, 1.0), now, SETTINGS, 0.0)
    assert wish.gripper <= SETTINGS.gripper_speed * (CYCLE + mapping.LONGEST_STEP) / 1e9 + 1e-9
