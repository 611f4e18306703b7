"""The gripper's messages: enough of them where motion cancels the gripper's, few where an object is in the way, never many."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_ros.arms.kortex_gripper import NEAR, TRIES, Grip, step
from vla_ros.clock import MILLISECOND, SECOND

PERIOD = 25 * MILLISECOND
RATE = 10.0
SPEED = 1 / 0.6
"""Full stroke in 0.6 s."""


@dataclass
class Fingers:
    """A gripper that stops at `object` and, if `cancelled`, whenever the arm is told to move."""

    position: float = 0.0
    target: float = 0.0
    stop: float = 0.991
    cancelled: bool = False
    sent: list[int] = field(default_factory=list)
    grip: Grip = field(default_factory=Grip)

    def run(self, now: int, duration: float, wanted: float, streaming: bool = True) -> int:
        """So many s of the loop at 40 Hz; the moment after it."""
        for _ in range(round(duration * SECOND / PERIOD)):
            if self.cancelled and streaming:
                self.target = self.position
            self.grip, due = step(self.grip, now, wanted, self.position, streaming, 0.02, RATE)
            if due:
                assert self.grip.target is not None
                self.target = self.grip.target
                self.sent.append(now)
            way = SPEED * PERIOD / SECOND
            self.position += min(max(self.target - self.position, -way), way)
            self.position = min(self.position, self.stop)
            now += PERIOD
        return now


def test_a_target_is_sent_once_where_nothing_disturbs_it():
    fingers = Fingers()
    now = fingers.run(SECOND, 3.0, 1.0)
    assert len(fingers.sent) == 1
    assert fingers.position == pytest.approx(0.991)
    fingers.run(now, 3.0, 0.0)
    assert (len(fingers.sent), fingers.position) == (2, 0.0)


def test_where_motion_cancels_it_it_is_repeated_until_it_is_there():
    fingers = Fingers(cancelled=True)
    fingers.run(SECOND, 8.0, 1.0)
    assert fingers.position > 1 - NEAR
    count = len(fingers.sent)
    assert count > 3
    fingers.run(10 * SECOND, 5.0, 1.0)
    assert len(fingers.sent) == count


def test_on_an_object_it_is_given_up():
    fingers = Fingers(stop=0.6)
    now = fingers.run(SECOND, 10.0, 1.0)
    assert len(fingers.sent) <= 1 + TRIES
    count = len(fingers.sent)
    now = fingers.run(now, 10.0, 1.0, streaming=False)  # tried once more at rest
    assert count < len(fingers.sent) <= count + TRIES
    count = len(fingers.sent)
    for streaming in (True, False) * 3:  # and then never again
        now = fingers.run(now, 2.0, 1.0, streaming)
    assert len(fingers.sent) == count


def test_where_the_fingers_are_already_nothing_is_sent():
    fingers = Fingers(position=0.5, target=0.5)
    fingers.run(0, 2.0, 0.51)
    assert fingers.sent == []


def test_a_small_change_is_not_sent_but_fully_open_and_closed_are():
    fingers = Fingers()
    now = fingers.run(SECOND, 2.0, 0.5)
    now = fingers.run(now, 2.0, 0.51)
    assert len(fingers.sent) == 1
    now = fingers.run(now, 2.0, 0.99)
    fingers.run(now, 2.0, 1.0)
    assert len(fingers.sent) == 3


@pytest.mark.parametrize(("wanted", "measured"), [(math.nan, 0.5), (0.5, math.nan), (math.inf, 0.5), (-1.0, 0.5)])
def test_what_is_no_position_sends_nothing(wanted, measured):
    assert step(Grip(), SECOND, wanted, measured, True, 0.02, RATE) == (Grip(), False)


looks = st.tuples(st.integers(1, 60), st.floats(-0.1, 1.1) | st.just(math.nan), st.floats(0, 1), st.booleans())


@settings(max_examples=200)
@given(st.lists(looks, max_size=200))
def test_there_are_never_more_than_ten_a_second_whatever_happens(steps):
    grip, now, sent = Grip(), SECOND, []
    for wait, wanted, measured, streaming in steps:
        now += wait * MILLISECOND
        grip, due = step(grip, now, wanted, measured, streaming, 0.02, RATE)
        if due:
            sent.append(now)
    assert all(b - a >= SECOND / RATE for a, b in itertools.pairwise(sent))


@given(st.floats(0, 1), st.floats(0.0, 1.0), st.booleans(), st.booleans())
def test_a_constant_target_ends_in_silence(wanted, stop, cancelled, streaming):
    """Whatever stops the fingers, after 15 s nothing more is sent: no storm can happen."""
    fingers = Fingers(stop=max(stop, 0.02), cancelled=cancelled)
    now = fingers.run(SECOND, 15.0, wanted, streaming)
    count = len(fingers.sent)
    fingers.run(now, 5.0, wanted, streaming)
    assert len(fingers.sent) == count
