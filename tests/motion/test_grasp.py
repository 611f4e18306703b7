"""What the gripper holds, from where its fingers come to stand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_ros.clock import MILLISECOND
from vla_ros.motion.grasp import STANDING, Fingers, Grasp, seen

STEP = 10 * MILLISECOND


def watched(*looks: tuple[float, float, int]) -> Fingers:
    """After looks at a target and a position for so many ms each."""
    fingers, now = Fingers(), 0
    for target, measured, duration in looks:
        for _ in range(duration * MILLISECOND // STEP):
            fingers, now = seen(fingers, now, target, measured), now + STEP
    return fingers


@pytest.mark.parametrize(
    ("target", "measured", "grasp"),
    [
        (1.0, 0.991, Grasp.CLOSED),  # as the 2F-85 closes on air
        (1.0, 0.833, Grasp.HOLDING),  # and on the object that was measured
        (0.7, 0.4, Grasp.HOLDING),
        (0.0, 0.004, Grasp.OPEN),
        (0.5, 0.5, Grasp.OPEN),
        (0.0, 0.3, Grasp.OPEN),  # held open by what is between the fingers: it holds nothing
    ],
)
def test_fingers_that_stand_say_what_they_hold(target, measured, grasp):
    assert watched((target, measured, 400)).grasp is grasp


def test_nothing_is_said_while_they_move_and_shortly_after():
    assert watched((1.0, 0.8, STANDING // MILLISECOND)).grasp is Grasp.MOVING
    fingers = Fingers()
    for k in range(60):
        fingers = seen(fingers, k * STEP, 1.0, 0.015 * k)
        assert fingers.grasp is Grasp.MOVING


def test_a_new_target_is_not_judged_by_the_old_standing():
    assert watched((1.0, 0.8, 400), (0.0, 0.8, 50)).grasp is Grasp.MOVING


def test_an_object_that_slips_out_is_no_longer_held():
    assert watched((1.0, 0.8, 400), (1.0, 0.99, 400)).grasp is Grasp.CLOSED


@given(st.lists(st.tuples(st.floats(allow_nan=True), st.floats(allow_nan=True)), max_size=30))
def test_what_is_no_position_is_ignored(looks):
    fingers = watched((1.0, 0.8, 400))
    for k, (target, measured) in enumerate(looks):
        if not (0 <= target <= 1 and 0 <= measured <= 1):
            assert seen(fingers, (50 + k) * STEP, target, measured) == fingers
    assert seen(fingers, 0, math.nan, math.nan) == fingers


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=60))
def test_it_says_holding_only_of_fingers_short_of_their_target(looks):
    fingers = Fingers()
    for k, (target, measured) in enumerate(looks):
        fingers = seen(fingers, k * STEP * 40, target, measured)
        if fingers.grasp is Grasp.HOLDING:
            assert target - measured > 0
