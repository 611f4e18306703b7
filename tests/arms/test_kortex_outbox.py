"""What is sent next, under a clock of the test's own."""

from __future__ import annotations

import itertools
import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vla_ros.arms.kortex_sender import ALIKE, ALIVE, LATE, SILENCE, YIELD, Order, Outbox, Task, alike, held_back
from vla_ros.clock import MILLISECOND, SECOND

NOW = 100 * SECOND


def order(stamp: int = NOW, x: float = 0.1) -> Order:
    return Order(stamp, np.array([x, 0, 0, 0, 0, 0]), 0.5)


def test_the_newest_command_is_sent_once():
    box = Outbox()
    box.put(order(x=0.1))
    box.put(order(x=0.2))
    task = box.take(NOW)
    assert task is not None
    assert task[0] is Task.COMMAND
    assert task[1] is not None
    assert task[1].twist[0] == 0.2
    assert box.take(NOW) is None


def test_a_stop_goes_first_and_forgets_what_waited():
    box = Outbox()
    box.put(order())
    box.stop()
    assert box.take(NOW) == (Task.STOP, None)
    assert box.take(NOW) is None


def test_a_command_after_a_stop_is_sent_after_it():
    box = Outbox()
    box.stop()
    box.put(order())
    assert box.take(NOW) == (Task.STOP, None)
    assert (box.take(NOW) or [None])[0] is Task.COMMAND


def test_a_command_from_before_a_sleep_never_goes_out():
    box = Outbox()
    box.put(order(NOW))
    assert box.take(NOW + LATE + 1) is None
    assert box.dropped == 1
    assert box.take(NOW + LATE + 2) is None


def test_the_session_is_kept_alive_only_while_the_loop_looks():
    box = Outbox()
    box.spoken = NOW
    box.looked(NOW + SILENCE)
    assert box.take(NOW + SILENCE - 1) is None
    assert box.take(NOW + SILENCE) == (Task.KEEP_ALIVE, None)
    assert box.take(NOW + SILENCE + ALIVE) == (Task.KEEP_ALIVE, None)
    assert box.take(NOW + SILENCE + ALIVE + 1) is None


def test_a_lost_end_of_a_motion_is_made_good_while_the_loop_lives():
    """The loop moved the arm and says nothing more: the zero that should have ended it was lost."""
    box = Outbox()
    box.spoken, box.moving = NOW, True
    box.looked(NOW + SILENCE)
    assert box.take(NOW + SILENCE - 1) is None
    assert box.take(NOW + SILENCE) == (Task.REST, None)
    assert box.take(NOW + SILENCE + ALIVE + 1) is None  # the loop hangs: the arm's own time-out is to act
    box.looked(NOW + SILENCE)
    box.moving = False
    assert box.take(NOW + SILENCE) == (Task.KEEP_ALIVE, None)


def test_a_rest_that_is_late_is_still_told():
    box = Outbox()
    box.moving = True
    box.spoken = NOW + LATE
    for x, told in ((0.0, (Task.REST, None)), (0.1, None)):
        box.put(order(NOW, x))
        box.looked(NOW + LATE)
        assert box.take(NOW + LATE + 1) == told


def test_another_session_begins_at_rest():
    box = Outbox()
    box.put(order())
    box.moving = True
    box.stop()
    box.put(order())
    box.forget()
    assert box.take(NOW) == (Task.STOP, None)
    assert box.take(NOW) is None
    assert not box.moving


def test_before_the_loop_has_ever_looked_nothing_is_said():
    assert Outbox().take(NOW) is None


@given(
    st.lists(st.sampled_from(["put", "stop", "look", "take"]), max_size=60),
    st.lists(st.integers(0, 200), min_size=60, max_size=60),
)
def test_a_hung_loop_says_nothing_whatever_it_did_before(events, waits):
    box, now = Outbox(), NOW
    for event, wait in zip(events, waits, strict=False):
        now += wait * MILLISECOND
        if event == "put":
            box.put(order(now))
        elif event == "stop":
            box.stop()
        elif event == "look":
            box.looked(now)
        elif (taken := box.take(now)) is not None and taken[1] is not None:
            assert now - taken[1].stamp <= LATE
    later = now + max(LATE, ALIVE) + 1
    assert box.take(later) in (None, (Task.STOP, None))
    assert all(box.take(later + k * SECOND) is None for k in range(3))


def test_a_command_that_is_not_finite_is_known():
    assert order().is_finite()
    assert not order(x=math.nan).is_finite()
    assert not Order(NOW, np.zeros(6), math.inf).is_finite()


twists = st.lists(st.floats(-0.3, 0.3), min_size=6, max_size=6).map(np.array)


@given(twists, twists)
def test_only_a_twist_like_the_one_under_way_may_be_held_back(wanted, under_way):
    if alike(wanted, under_way):
        assert np.linalg.norm((wanted - under_way)[:3]) <= ALIKE[0]
        assert np.linalg.norm((wanted - under_way)[3:]) <= ALIKE[1]
        assert wanted.any() == under_way.any()


def test_rest_is_never_held_back():
    assert not alike(np.zeros(6), np.full(6, 1e-6))
    assert not alike(np.full(6, 1e-6), np.zeros(6))
    assert alike(np.full(6, 1e-6), np.full(6, 2e-6))


def test_however_often_the_gripper_is_told_a_twist_waits_once():
    """Fingers on an object: the target is repeated before the time that it is left alone is over."""
    twisted, sent = NOW, []
    for now in range(NOW, NOW + SECOND, 25 * MILLISECOND):
        if not held_back(now, now + YIELD, twisted, order(x=0.006).twist, order(x=0.010).twist):
            sent.append(now)
            twisted = now
    assert max(b - a for a, b in itertools.pairwise(sent)) <= YIELD


@given(st.integers(0, 2 * SECOND), st.integers(0, 2 * SECOND), st.integers(0, 2 * SECOND), twists, twists)
def test_no_twist_waits_longer_than_the_gripper_is_left_alone(now, yielding, twisted, wanted, under_way):
    if held_back(now, yielding, twisted, wanted, under_way):
        assert now < yielding
        assert now - twisted < YIELD
        assert alike(wanted, under_way)
