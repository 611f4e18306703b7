"""The driver against a controller that speaks Kortex, over real sockets: what must go well."""

from __future__ import annotations

import math
import threading
import time

import numpy as np
import pytest

from tests.arms.driving import (
    REST,
    applied,
    changed,
    drive,
    drive_until,
    look,
    moves,
    now,
    opened,
    rests,
    set_going,
    speed,
    twist,
    until,
)
from tests.twin.controller.running import running_controller
from vla_ros import geometry
from vla_ros.arms import load as loading
from vla_ros.arms.arm import Arm, ArmError
from vla_ros.arms.kortex import KortexArm
from vla_ros.arms.kortex_operator import Operator
from vla_ros.arms.kortex_stopper import KortexStopper
from vla_ros.clock import SECOND

pytestmark = pytest.mark.usefixtures("kortex_sdk")


def test_the_configuration_names_it(running, tmp_path):
    servo: Arm = loading.load(running.config, tmp_path, "servo")
    watchdog: Arm = loading.load(running.config, tmp_path, "watchdog")
    assert isinstance(servo, KortexArm)
    assert isinstance(watchdog, KortexStopper)


def test_the_state_is_the_twins(running, arm):
    until(lambda: not look(arm).fault)
    theirs, ours = running.twin.state(), look(arm)
    assert np.allclose(np.cos(ours.joints - theirs.joints), 1, atol=1e-4)
    assert np.allclose(ours.tool.position, theirs.tool.position, atol=1e-3)
    assert np.linalg.norm(geometry.difference(ours.tool.quaternion, theirs.tool.quaternion)) < 1e-2
    assert np.allclose(ours.torques, theirs.torques, atol=0.5)
    assert ours.gripper == pytest.approx(theirs.gripper, abs=0.02)
    assert ours.is_finite()
    assert ours.fault == ""


def test_feedback_goes_on_and_its_stamps_are_of_this_clock(arm):
    stamps, begin = [look(arm).stamp], now()
    while len(stamps) < 50:
        old = stamps[-1]
        stamps.append(until(lambda old=old: (new := look(arm).stamp) > old and new, "the next state"))
    assert begin - SECOND < stamps[0]
    assert stamps == sorted(stamps)
    assert stamps[-1] <= now()


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("sign", [1, -1])
def test_a_twist_moves_the_tool_along_the_bases_axis(running, arm, axis, sign):
    command, start = sign * 0.06 * np.eye(6)[axis], look(arm).tool
    set_going(running, arm, command)
    drive_until(arm, command, lambda: sign * (look(arm).tool.position - start.position)[axis] > 0.02)
    drive_until(arm, REST, lambda: speed(running) == 0.0)
    way = look(arm).tool.position - start.position
    assert np.linalg.norm(np.delete(way, axis)) < 0.005


@pytest.mark.parametrize("axis", range(3))
def test_a_twist_turns_the_tool_about_the_bases_axis(running, arm, axis):
    command, start = 0.4 * np.eye(6)[axis + 3], look(arm).tool

    def turn():
        return geometry.difference(look(arm).tool.quaternion, start.quaternion)

    set_going(running, arm, command)
    drive_until(arm, command, lambda: turn()[axis] > 0.15)
    drive_until(arm, REST, lambda: not applied(running).any())
    assert np.linalg.norm(np.delete(turn(), axis)) < 0.03
    assert np.linalg.norm(look(arm).tool.position - start.position) < 0.006


def test_zero_stops_it(running, arm):
    set_going(running, arm, twist(y=0.05))
    drive(arm, REST, 0.3)
    assert rests(running)


def test_stop_stops_it_and_it_can_be_moved_again(running, arm):
    set_going(running, arm, twist(y=0.05))
    arm.stop(now())
    assert rests(running)
    set_going(running, arm, twist(y=-0.05))


def test_a_loop_that_hangs_lets_the_arms_own_timeout_act(running, arm):
    """The driver's threads live, the loop does not: nothing may keep the motion going."""
    set_going(running, arm, twist(y=0.05))
    assert rests(running)
    time.sleep(0.3)  # the simulated arm swings out
    way = float(running.twin.state().tool.position[1])
    time.sleep(0.3)
    assert float(running.twin.state().tool.position[1]) == pytest.approx(way, abs=1e-3)


def test_a_loop_that_lives_and_says_nothing_keeps_its_session(running, arm):
    look_for(arm, 2 * running.config.deadlines.connection)
    assert look(arm).fault == ""
    set_going(running, arm, twist(y=0.02))


def look_for(arm, seconds: float) -> None:
    """Only look, as a loop that lives and has nothing to say."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        look(arm)
        time.sleep(0.01)


def test_an_arm_that_was_moved_is_told_to_rest_where_the_loop_does_not_say_so(running, arm):
    """As where its zero was lost: no sign of life may keep the last twist going."""
    set_going(running, arm, twist(y=0.02))
    rests_nearby(running, arm)
    look_for(arm, 2 * running.config.deadlines.connection)
    assert speed(running) == 0.0
    assert look(arm).fault == ""


def test_a_zero_that_the_wire_holds_up_ends_the_motion_all_the_same(running, arm):
    set_going(running, arm, twist(y=0.02))
    running.faults.freeze = True
    arm.send(now(), twist(y=0.02), 0.0)  # waits for an answer that does not come
    time.sleep(0.01)
    arm.send(now(), REST, 0.0)  # older than LATE when its turn comes
    time.sleep(0.06)
    running.faults.freeze = False
    rests_nearby(running, arm)
    assert "connection" not in look(arm).fault


def rests_nearby(running, arm) -> None:
    """Wait until the controller holds the tool still: far from the zones, which would end any motion."""
    start = look(arm).tool.position
    until(lambda: speed(running) == 0.0, "rest", arm)
    assert np.linalg.norm(look(arm).tool.position - start) < 0.1


def test_the_watchdog_stops_what_the_servo_moves(running, arm):
    watchdog = KortexStopper(running.config, say=lambda text: None)
    watchdog.open()
    ending = threading.Event()
    try:
        arm.send(now(), twist(y=0.05), 0.0)
        assert moves(running)
        watchdog.stop(now())
        assert rests(running)
        assert watchdog.read(now()) is None
        with pytest.raises(ArmError, match="only stops"):
            watchdog.send(now(), REST, 0.0)
    finally:
        ending.set()
        watchdog.close()


def test_the_gripper_closes_while_the_tool_moves(running, arm):
    until(lambda: drive(arm, twist(y=0.01), 0.1, gripper=1.0)[-1].gripper > 0.95)
    until(lambda: drive(arm, twist(y=-0.01), 0.1, gripper=0.0)[-1].gripper < 0.05)


def test_the_gripper_closes_although_motion_cancels_it():
    with running_controller(overrides=("twin.gripper_cancelled=true",)) as running, opened(running.config) as arm:
        until(lambda: drive(arm, twist(y=0.002), 0.1, gripper=1.0)[-1].gripper > 0.95)
        assert not running.robot.gripper_locked


def test_a_command_that_is_not_finite_stops_the_arm(running, arm):
    set_going(running, arm, twist(y=0.05))
    arm.send(now(), twist(y=math.nan), 0.0)
    assert rests(running)
    assert "not finite" in look(arm).fault


def test_leaving_brings_the_arm_to_rest_and_the_gripper_keeps(running):
    with opened(running.config) as arm:
        until(lambda: drive(arm, twist(y=0.01), 0.1, gripper=1.0)[-1].gripper > 0.95)
        drive(arm, twist(y=0.05), 0.2, gripper=1.0)
        assert moves(running)
    assert rests(running)
    assert running.twin.state().gripper > 0.95
    until(lambda: len(running.robot.sessions) == 0)


def test_an_arm_that_was_not_moved_from_here_is_left_alone(running):
    with Operator(running.config, say=lambda text: None) as other:
        other.open()
        with opened(running.config) as arm:
            other._send(twist(y=0.02))
            assert moves(running)
            look(arm)
        other._send(twist(y=0.02))
        assert speed(running) > 0.01


def test_before_it_is_open_it_says_so(running):
    arm = KortexArm(running.config)
    assert arm.read(now()) is None
    for call in (lambda: arm.send(now(), REST, 0.0), lambda: arm.stop(now())):
        with pytest.raises(ArmError, match="call open"):
            call()
    arm.close()


def test_two_arms_in_one_process_hear_their_own_notifications():
    """The SDK has one table of callbacks for all sessions of a process."""
    with (
        running_controller() as one,
        running_controller() as two,
        opened(one.config) as first,
        opened(two.config) as second,
    ):
        with two.robot.lock:
            mode = type(two.robot.mode).LOW_LEVEL_SERVOING
            two.robot.mode = mode
            two.robot.notices.of_mode(mode, 0, now())
        until(lambda: "LOW_LEVEL" in look(second).fault)
        assert look(first).fault == ""


def test_another_rate_and_no_zones(running):
    with opened(changed(running.config, feedback_rate=250.0, protection_zones=False)) as arm:
        assert look(arm).fault == ""
    assert not running.robot.zones
