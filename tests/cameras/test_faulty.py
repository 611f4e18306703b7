"""Faults around a camera that is not a twin's: the wrapper knows nothing of what it wraps."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from vla_ros.cameras.camera import Camera
from vla_ros.cameras.faulty import FaultyCamera
from vla_ros.clock import MILLISECOND, SECOND, VirtualClock
from vla_ros.faults import Fault, Kind
from vla_ros.values import Frame

from .devices import LAG, PERIOD, SteadyCamera

START = 5 * SECOND


def watched(*faults: Fault, frames: int = 20) -> list[Frame]:
    """What is read until twenty periods are over; `faults` are timed from the camera's start."""
    clock = VirtualClock(START)
    moved = [Fault(f.kind, START + f.start, START + f.end, f.amount) for f in faults]
    camera: Camera = FaultyCamera(SteadyCamera(clock), clock, moved)
    camera.open()
    got = []
    while clock.now() < START + frames * PERIOD:
        frame = camera.read(0.01)
        if frame is not None:
            assert frame.arrival == clock.now()
            got.append(frame)
    camera.close()
    return got


def level(frame: Frame) -> int:
    return int(frame.image[0, 0, 0])


def test_without_faults_frames_pass_as_they_are() -> None:
    frames = watched()
    assert [frame.sequence for frame in frames] == list(range(1, 21))
    assert all(frame.arrival - frame.exposure == LAG and level(frame) == frame.sequence for frame in frames)


def test_a_delay_brings_frames_late_under_their_own_stamps() -> None:
    frames = watched(Fault(Kind.DELAY, 0, SECOND, 0.07))
    assert [frame.exposure for frame in frames] == [START + k * PERIOD - LAG for k in range(1, len(frames) + 1)]
    assert {frame.arrival - frame.exposure for frame in frames} == {70 * MILLISECOND + LAG}


def test_frames_that_come_together_are_all_read() -> None:
    frames = watched(Fault(Kind.JITTER, 0, SECOND, 0.3), frames=40)
    assert sorted(frame.sequence for frame in frames) == list(range(1, 41))
    lateness = [frame.arrival - frame.exposure - LAG for frame in frames]
    assert 100 * MILLISECOND < max(lateness) <= 310 * MILLISECOND


def test_a_freeze_shows_the_picture_from_before_under_new_stamps_and_numbers() -> None:
    frames = watched(Fault(Kind.FREEZE, 5 * PERIOD, 10 * PERIOD))
    assert [level(frame) for frame in frames] == [1, 2, 3, 4, *[4] * 5, *range(10, 21)]
    assert [frame.sequence for frame in frames] == list(range(1, 21))
    assert all(b.exposure - a.exposure == PERIOD for a, b in itertools.pairwise(frames))


def test_a_corrupt_picture_has_noise_in_blocks_and_the_camera_s_own_is_left_alone() -> None:
    frames = watched(Fault(Kind.CORRUPT, 5 * PERIOD, 10 * PERIOD, 1.0))
    broken = [frame for frame in frames if (frame.image != frame.sequence).any()]
    assert [frame.sequence for frame in broken] == [5, 6, 7, 8, 9]
    for frame in broken:
        assert 0.1 < (frame.image != frame.sequence).mean() < 0.6
        assert frame.image.shape == (8, 12, 3)


def test_a_disconnected_camera_gives_nothing_until_it_is_back() -> None:
    frames = watched(Fault(Kind.DISCONNECT, 5 * PERIOD, 10 * PERIOD))
    assert [frame.sequence for frame in frames] == [*range(1, 5), *range(10, 21)]


def test_a_read_that_gets_nothing_ends_by_its_timeout() -> None:
    clock = VirtualClock(START)
    camera = FaultyCamera(SteadyCamera(clock), clock, [Fault(Kind.DELAY, 0, 10 * SECOND, 2.0)])
    assert camera.read(0.5) is None
    assert clock.now() == START + SECOND // 2


def test_a_fault_can_be_asked_for_while_it_runs() -> None:
    clock = VirtualClock(START)
    camera = FaultyCamera(SteadyCamera(clock), clock)
    assert camera.read(0.1) is not None
    camera.play(Fault(Kind.DISCONNECT, clock.now(), clock.now() + SECOND))
    assert camera.read(0.5) is None
    frame = camera.read(1.0)
    assert frame is not None
    assert frame.exposure > START + SECOND


def test_everything_else_is_the_camera_s() -> None:
    clock = VirtualClock(START)
    inner = SteadyCamera(clock)
    camera = FaultyCamera(inner, clock)
    camera.open()
    assert inner.opened
    assert camera.intrinsics == inner.intrinsics
    camera.close()
    assert not inner.opened


def test_what_the_camera_says_is_wrong_is_passed_on() -> None:
    class Telling(SteadyCamera):
        problem = ""

    clock = VirtualClock(START)
    inner = Telling(clock)
    camera = FaultyCamera(inner, clock)
    assert camera.problem == FaultyCamera(SteadyCamera(clock), clock).problem == ""
    inner.problem = "unplugged"
    assert camera.problem == "unplugged"


@pytest.mark.parametrize("seed", [1, 2])
def test_what_happens_is_told_by_the_seed(seed: int) -> None:
    def picture() -> np.ndarray:
        clock = VirtualClock(START)
        camera = FaultyCamera(SteadyCamera(clock), clock, [Fault(Kind.CORRUPT, 0, 10 * SECOND, 1.0)], seed)
        frame = camera.read(1.0)
        assert frame is not None
        return frame.image

    np.testing.assert_array_equal(picture(), picture())
