"""What belongs to a frame is found, nothing that arrives is left out, and what would spoil a recording is named before it begins."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_ros.clock import MILLISECOND, SECOND
from vla_ros.config import load
from vla_ros.geometry import Pose
from vla_ros.kinematics import TOOL_DOWN
from vla_ros.nodes.assembly import PATIENCE, Assembler, Shot, Told, Twist
from vla_ros.nodes.parking import Parking
from vla_ros.values import Mode, Verdict

from .bed import arm_at

CONFIG = load("twin")
PERIOD = SECOND // 30
START = 100 * SECOND
IMAGE = np.zeros((80, 120, 3), np.uint8)


def assembler():
    return Assembler(CONFIG)


def frame(exposure, late=20 * MILLISECOND):
    return Shot(IMAGE, exposure, exposure + late, 0, stamp=exposure + 5 * SECOND)


def fed(made, seconds, period=PERIOD, wrist=PERIOD):
    """Everything for some seconds; the moment behind it."""
    end = START + round(seconds * SECOND)
    for moment in range(START, end, 10 * MILLISECOND):
        made.put_arm(arm_at(moment, (0.45, (moment - START) / SECOND, 0.2)))
        made.put_twist(Twist(moment, np.full(6, (moment - START) / SECOND)))
    made.put_told(Told(START, Mode.TELEOP, Verdict.TELEOP, 0.25))
    for moment in range(START, end, period):
        made.put_frame("static", frame(moment))
    for moment in range(START, end, wrist):
        made.put_frame("wrist", frame(moment))
    return end


def test_a_sample_holds_the_arm_at_its_exposure_and_what_it_was_told_then():
    made = assembler()
    fed(made, 0.5)
    samples = made.take(START + SECOND // 2)
    sample = samples[5]
    t = (sample.moment - START) / SECOND
    assert sample.tool.position[1] == pytest.approx(t, abs=1e-6)
    assert t - 0.0101 <= sample.command[0] <= t
    assert sample.command[6] == 0.25
    assert sample.stamps["static"] == sample.moment + 5 * SECOND
    assert (sample.mode, sample.verdict, sample.intervention) == (Mode.TELEOP, Verdict.TELEOP, False)


def test_an_intervention_is_a_hand_on_the_arm_while_a_policy_has_an_instruction():
    made = assembler()
    made.instructed = True
    fed(made, 0.5)
    assert all(sample.intervention for sample in made.take(START + SECOND))


@given(st.permutations(list(range(12))), st.integers(1, 12))
def test_every_frame_comes_out_once_and_in_order_however_often_it_is_looked(order, looks):
    made = assembler()
    fed(made, 0.05)
    for moment in range(START, START + SECOND, 10 * MILLISECOND):
        made.put_arm(arm_at(moment))
    got = []
    for k, index in enumerate(order):
        exposure = START + 100 * MILLISECOND + k * PERIOD
        for name in ("static", "wrist") if index % 2 else ("wrist", "static"):
            made.put_frame(name, frame(exposure))
        if k % looks == 0:
            got += made.take(exposure + 20 * MILLISECOND)
    got += made.take(START + 2 * SECOND)
    moments = [sample.moment for sample in got]
    assert moments == sorted(set(moments))
    assert len([m for m in moments if m >= START + 100 * MILLISECOND]) == len(order)


def test_a_frame_waits_for_the_other_camera_and_not_for_ever():
    made = assembler()
    end = fed(made, 0.5)
    made.take(end)
    late = end + 10 * MILLISECOND
    made.put_frame("static", frame(late, 0))
    made.put_arm(arm_at(late))
    assert late not in [sample.moment for sample in made.take(late + PATIENCE)]
    got = made.take(late + PATIENCE + 1)
    assert [sample.moment for sample in got] == [late]
    assert got[0].stamps["wrist"] < got[0].stamps["static"]


def test_depth_is_that_of_its_own_picture_and_a_frame_waits_for_it():
    made = Assembler(load("twin", overrides=["cameras.wrist.depth=true", "record.depth=true"]))
    fed(made, 2.5)
    assert made.obstacle(START + 2 * SECOND) == "waiting for frames of camera wrist, its depth,"
    made.forget()
    for moment in range(START, START + 10 * PERIOD, 10 * MILLISECOND):
        made.put_arm(arm_at(moment))
    for k in range(6):
        for name, offset in (("static", 0), ("wrist", 3 * MILLISECOND)):
            made.put_frame(name, frame(START + k * PERIOD + offset, 0))
        if k != 4:
            exposure = START + k * PERIOD + 3 * MILLISECOND
            made.put_depth("wrist", Shot(np.full((4, 4), k, np.uint16), exposure, exposure, 0, stamp=k))
    late = START + 6 * PERIOD
    made.put_frame("static", frame(late, 0))
    made.put_frame("wrist", frame(late, 0))
    made.put_arm(arm_at(late))
    got = made.take(late)
    assert [sample.moment for sample in got] == [START + k * PERIOD for k in range(6)], "the last waits for its depth"
    assert [sample.depth_stamps["wrist"] for sample in got[:4]] == [0, 1, 2, 3]
    assert all(int(sample.depths["wrist"][0, 0]) == sample.depth_stamps["wrist"] for sample in got)
    assert [sample.depth_stamps["wrist"] for sample in made.take(late + PATIENCE + 1)] == [5]


def test_a_frame_without_an_arm_is_lost_and_counted():
    made = assembler()
    for k in range(3):
        made.put_frame("static", frame(START + k * PERIOD))
        made.put_frame("wrist", frame(START + k * PERIOD))
    assert made.take(START + SECOND) == []
    assert made.lost == 3


@pytest.mark.parametrize(
    ("period", "wrist", "after", "says"),
    [
        (PERIOD, PERIOD, 0, ""),
        (2 * PERIOD, PERIOD, 0, "camera static gives 15.0 frames a second, configured are 30"),
        (PERIOD, 2 * PERIOD, 0, "camera wrist gives 15.0"),
        (PERIOD, PERIOD, SECOND, "camera static is silent since 1.0 s"),
    ],
)
def test_what_would_spoil_a_recording_is_named(period, wrist, after, says):
    made = assembler()
    end = fed(made, 2.5, period, wrist)
    found = made.obstacle(end + after)
    assert (says in found) if says else found == ""


def test_each_camera_tells_its_rate_its_age_and_what_did_not_come():
    made = assembler()
    assert made.seen(START) == {"static": (None, None, 0), "wrist": (None, None, 0)}
    end = fed(made, 2.0, wrist=2 * PERIOD)
    seen = made.seen(end + 100 * MILLISECOND)
    assert seen["static"][0] == pytest.approx(30, abs=0.1)
    assert seen["wrist"][0] == pytest.approx(15, abs=0.1)
    assert 79 < seen["static"][1] < 81 + 1e3 / 30
    assert (seen["static"][2], seen["wrist"][2]) == (0, 30)


def test_an_arm_that_is_silent_or_was_never_there_is_named():
    made = assembler()
    for k in range(60):
        for name in ("static", "wrist"):
            made.put_frame(name, frame(START + k * PERIOD))
    assert "waiting for the arm" in made.obstacle(START + 2 * SECOND)
    made.put_arm(arm_at(START))
    made.put_told(Told(START, Mode.IDLE, Verdict.IDLE, np.nan))
    assert "the arm says nothing since 2.0 s" in made.obstacle(START + 2 * SECOND)
    assert made.gripper_command() == 0.0
    made.forget()
    assert "waiting for frames" in made.obstacle(START + 2 * SECOND)


@pytest.mark.parametrize(("mode", "says"), [(Mode.DISARMED, "vla-ros enable"), (Mode.STOPPED, "vla-ros reset")])
def test_an_arm_that_nobody_can_move_is_named(mode, says):
    made = assembler()
    end = fed(made, 2.5)
    assert made.obstacle(end) == ""
    made.put_told(Told(end, mode, Verdict.DISARMED, 0.0))
    assert says in made.obstacle(end)


def test_parking_goes_up_first_arrives_and_keeps_below_its_speed():
    goal = Pose(np.array([0.45, 0.0, 0.25]), TOOL_DOWN)
    parking = Parking(goal, 0.1, 0.2, 0)
    here, heights = Pose(np.array([0.52, 0.2, 0.05]), TOOL_DOWN), []
    for _ in range(2000):
        if parking.there(here):
            break
        twist = parking.twist(here)
        assert np.linalg.norm(twist[:3]) <= 0.1 + 1e-9
        if here.position[2] < 0.24:
            assert twist[0] == twist[1] == 0.0
        here = Pose(here.position + twist[:3] * 0.02, here.quaternion)
        heights.append(here.position[2])
    assert parking.there(here)
    assert all(b >= a - 1e-9 for a, b in itertools.pairwise(heights))
    assert parking.given_up(21 * SECOND)
    assert not parking.begun(SECOND // 10)
