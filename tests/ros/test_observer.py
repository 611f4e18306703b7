"""Frames and arm states become one observation, or a reason why not."""

import dataclasses

import numpy as np
import pytest

from vla_ros.clock import MILLISECOND
from vla_ros.nodes.observer import Observer, differences, interpolated, same
from vla_ros.values import Frame, Intrinsics, Observation

from .bed import arm_at, small_config

T = 1000 * MILLISECOND


def frame(stamp, level=0):
    return Frame(np.full((4, 4, 3), level, np.uint8), stamp, stamp + 1, 1)


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


def shown(levels, camera="wrist", period=40):
    """An observer to which both cameras have given a frame every `period` ms; those of one camera show these levels."""
    observer, now = Observer(small_config()), T
    for k, level in enumerate(levels):
        now = T + k * period * MILLISECOND
        observer.put_arm(arm_at(now))
        for name in ("wrist", "static"):
            observer.put_frame(name, frame(now, level if name == camera else k))
    return observer, now


def test_it_is_noted_when_a_picture_last_changed():
    observer, _ = shown([1, 2, 3, 3, 3])
    assert observer.unchanged() == {"static": 0.0, "wrist": 80.0}
    assert isinstance(observer.observe(), Observation)


def test_one_byte_in_the_last_row_is_a_change():
    image = np.zeros((480, 640, 3), np.uint8)
    other = image.copy()
    assert same(image, other)
    other[-1, -1, -1] = 1
    assert not same(image, other)
    assert not same(image[:, :, ::-1], other[:, :, ::-1])
    assert not same(image, image[:4])


@pytest.mark.parametrize("camera", ["static", "wrist"])
def test_a_frozen_camera_gives_no_observation_and_is_named(camera):
    observer, _ = shown([1, 2, *[3] * 11], camera)
    assert observer.observe() == f"camera {camera} shows the same picture since 0.4 s"


def test_a_camera_that_was_frozen_and_goes_on_is_good_again():
    observer, _ = shown([1, 2, *[3] * 11, 4])
    assert isinstance(observer.observe(), Observation)


def test_a_slow_camera_is_frozen_after_three_of_its_periods():
    assert isinstance(shown([1, 2, 2, 2], period=66)[0].observe(), Observation)
    slow = Observer(small_config(**{"cameras.wrist.rate": 5}))
    for k in range(4):
        slow.put_arm(arm_at(T + k * 190 * MILLISECOND))
        slow.put_frame("static", frame(T + k * 190 * MILLISECOND, k))
        slow.put_frame("wrist", frame(T + k * 190 * MILLISECOND))
    assert isinstance(slow.observe(), Observation)


def test_of_a_camera_without_frames_nothing_is_said():
    observer = Observer(small_config())
    observer.put_frame("static", frame(T))
    assert observer.unchanged() == {"static": 0.0}
    observer.forget()
    assert observer.unchanged() == {}


def test_a_camera_that_delivers_late_is_seen_together_with_what_it_belongs_to():
    observer = Observer(small_config())
    for k in range(6):
        exposure = T + k * 33 * MILLISECOND
        observer.put_arm(arm_at(exposure))
        observer.put_frame("static", frame(exposure, k))
        if k >= 2:  # two frames later than the other's
            observer.put_frame("wrist", frame(exposure - 60 * MILLISECOND, k))
    observation = observer.observe()
    assert observation.stamp == T + 4 * 33 * MILLISECOND
    assert observation.frames["static"].exposure == observation.stamp
    assert observation.skew == 27 * MILLISECOND
    assert observation.arm.stamp == observation.stamp


def test_the_newest_frames_are_taken_where_they_belong_together():
    observer = filled(T + 40 * MILLISECOND, T + 35 * MILLISECOND)
    observer.put_frame("static", frame(T + 73 * MILLISECOND, 1))
    observer.put_arm(arm_at(T + 73 * MILLISECOND))
    assert (observer.observe().stamp, observer.observe().skew) == (T + 73 * MILLISECOND, 38 * MILLISECOND)


def test_a_camera_that_has_fallen_silent_is_named_soon():
    observer = filled()
    for k in range(1, 6):
        observer.put_frame("static", frame(T + k * 33 * MILLISECOND, k))
    assert observer.observe() == "camera wrist is 165 ms off the reference camera: waiting for its next frame"


def test_a_frame_that_was_overtaken_is_not_taken_and_one_of_a_clock_that_was_set_is():
    observer = filled()
    observer.put_frame("wrist", frame(T - 30 * MILLISECOND, 9))
    assert observer.observe().frames["wrist"].exposure == T
    observer.put_frame("wrist", frame(T - 10_000 * MILLISECOND, 9))
    assert "off the reference camera" in observer.observe()


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


def test_a_camera_info_of_the_whole_sensor_fits_and_so_does_any_distortion():
    wanted = Intrinsics(1280, 720, 6e2, 6e2, 0.0, 0.0, (398, 175, 480, 320), 4)
    whole = dataclasses.replace(wanted, roi=(0, 0, 1280, 720), binning=1)
    assert differences(whole, wanted) == ""
    assert differences(dataclasses.replace(wanted, distortion=(0.1, 0.0, 0.0, 0.0, 0.0)), wanted) == ""
    assert differences(dataclasses.replace(whole, width=640, roi=(0, 0, 640, 720)), wanted) == (
        "size is (640, 720), configured is (1280, 720)"
    )
