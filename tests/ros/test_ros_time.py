"""The map between ROS time and the monotonic clock, and the word when one of them jumps."""

from vla_ros.clock import MILLISECOND, SECOND
from vla_ros.nodes.ros_time import SETTLE, TimeMap


class Clocks:
    """A monotonic clock and a ROS clock whose distance the test changes."""

    def __init__(self):
        self.now, self.offset = 5 * SECOND, 1_700_000_000 * SECOND

    def monotonic(self):
        return self.now

    def ros(self):
        return self.now + self.offset


def test_there_and_back():
    clocks = Clocks()
    times = TimeMap(clocks.ros, clocks.monotonic)
    assert times.to_ros(7 * SECOND) == 7 * SECOND + clocks.offset
    assert times.to_monotonic(times.to_ros(123)) == 123


def test_a_slewed_clock_is_followed_without_a_word():
    clocks = Clocks()
    times = TimeMap(clocks.ros, clocks.monotonic)
    for _ in range(10):
        clocks.offset += 4 * MILLISECOND
        assert times.check() == 0
        assert times.believed()
    assert times.to_ros(0) == clocks.offset


def test_a_step_is_reported_and_stamps_are_not_believed_until_it_has_passed():
    clocks = Clocks()
    times = TimeMap(clocks.ros, clocks.monotonic)
    clocks.offset -= SECOND
    assert times.check() == -SECOND
    assert not times.believed()
    clocks.now += SETTLE
    assert times.believed()
    assert times.to_ros(0) == clocks.offset
    assert times.check() == 0
