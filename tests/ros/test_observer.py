"""Frames and arm states become one observation, or a reason why not."""

import dataclasses

import numpy as np
import pytest

from vla_ros.clock import MILLISECOND
from vla_ros.nodes.observer import Observer, differences, interpolated
from vla_ros.values import Frame, Intrinsics, Observation

from .bed import arm_at, small_config

T = 1000 * MILLISECOND


def frame(stamp):
    return Frame(np.zeros((2, 2, 3), np.uint8), stamp, stamp + 1, 1)


def filled(static=T, wrist=T):
    observer = Observer(small_config())
    observer.put_frame("static", frame(static))
    observer.put_frame("wrist", frame(wrist))
    for moment in range(T - 50 * MILLISECOND, T + 50 * MILLISECOND, 10 * MILLISECOND):
        observer.put_arm(arm_at(moment, (0.4 + (moment - T) / 1e10, 0.0, 0.2)))
    return observer


def test_an_observation_is_stamped_by_the_reference_camera():
    observation = filled(T + 4 * MILLISECOND, T).observe()
    assert isinstance(observation, Observation)
    assert (observation.stamp, observation.skew) == (T + 4 * MILLISECOND, 4 * MILLISECOND)
    assert observation.arm.stamp == observation.stamp
    np.testing.assert_allclose(observation.arm.tool.position[0], 0.4004, atol=1e-9)


def test_a_missing_camera_is_named():
    observer = Observer(small_config())
    observer.put_frame("static", frame(T))
    assert "wrist" in observer.observe()


def test_cameras_too_far_apart_give_no_observation():
    assert "60 ms off" in filled(T, T - 60 * MILLISECOND).observe()


def test_without_an_arm_state_near_the_exposure_there_is_no_observation():
    assert "arm" in filled(T + 150 * MILLISECOND, T + 150 * MILLISECOND).observe()


def test_what_arrived_before_a_step_of_the_clock_is_forgotten():
    observer = filled()
    observer.forget()
    assert "waiting for frames" in observer.observe()


def test_joints_turn_the_shorter_way_between_two_states():
    a, b = arm_at(0), arm_at(10)
    a.joints[:], b.joints[:] = np.pi - 0.1, -np.pi + 0.1
    middle = interpolated([a, b], 5)
    np.testing.assert_allclose(np.abs(middle.joints), np.pi, atol=1e-9)


def test_a_complaint_stays_until_it_is_taken_back():
    observer = Observer(small_config())
    observer.complain("wrist image", "too small")
    observer.complain("arm", "not finite")
    assert observer.complaint() == "too small; not finite"
    observer.complain("wrist image", "")
    assert observer.complaint() == "not finite"


@pytest.mark.parametrize(
    ("field", "value", "names"),
    [("width", 640, "size"), ("roi", (0, 0, 100, 100), "roi"), ("binning", 2, "binning"), ("fx", 1.0, "")],
)
def test_what_a_camera_info_says_otherwise_is_named(field, value, names):
    wanted = Intrinsics(1280, 720, 6e2, 6e2, 0.0, 0.0, (0, 0, 80, 80), 1)
    text = differences(dataclasses.replace(wanted, **{field: value}), wanted)
    assert text.startswith(names) if names else not text
