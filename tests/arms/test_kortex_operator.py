"""What a person does with the arm, against a controller that speaks Kortex."""

from __future__ import annotations

import math
import threading
import time

import numpy as np
import pytest

from tests.arms.driving import changed, moves, rests, twist, until
from tests.twin.controller.running import running_controller
from vla_ros import geometry
from vla_ros.arms.arm import ArmError
from vla_ros.arms.kortex_operator import Operator
from vla_ros.twin.controller.product import Product
from vla_ros.twin.kortex.codes import SafetyIdentifier

pytestmark = pytest.mark.usefixtures("kortex_sdk")


@pytest.fixture
def operator(running):
    with Operator(running.config, say=lambda text: None) as operator:
        operator.open()
        yield operator


def test_the_arm_is_described_as_it_was_set_up(running, operator):
    said, arm = operator.describe(), running.config.arm
    assert (said.identity.actuators, said.identity.gripper) == (7, True)
    assert said.identity.serial == running.robot.product.serial
    assert said.identity.firmware == running.robot.product.firmware
    assert said.identity.sdk.startswith("2.")
    assert (said.servoing_mode, said.fault) == ("SINGLE_LEVEL_SERVOING", "")
    assert said.tool.mass == pytest.approx(arm.tool_mass)
    assert said.tool.centre == pytest.approx(arm.tool_centre)
    limits = {limit.mode: limit for limit in said.limits}
    assert limits["CARTESIAN_JOYSTICK"].speed == pytest.approx(arm.soft_speed)
    assert limits["CARTESIAN_JOYSTICK"].turn_speed == pytest.approx(arm.soft_turn_speed)
    assert limits["ANGULAR_TRAJECTORY"].joint_speeds == pytest.approx([arm.soft_joint_speed] * 7)
    assert {zone.name for zone in said.zones} == {
        f"vla_ros {name}" for name in ("table", "far wall", "left wall", "right wall")
    }
    assert np.allclose(said.reported_tool.position, said.computed_tool.position, atol=1e-3)
    assert np.linalg.norm(geometry.difference(said.reported_tool.quaternion, said.computed_tool.quaternion)) < 1e-2


def test_looking_changes_nothing(running):
    before = running.robot.settings
    with Operator(running.config, say=lambda text: None) as operator:
        operator.open(configure=False)
        assert operator.describe().tool.mass == 0.0
    assert running.robot.settings == before
    assert not running.robot.zones


def test_an_arm_without_a_gripper_is_refused_to_the_operator_too():
    with running_controller(product=Product(gripper=False)) as running, pytest.raises(ArmError, match="no gripper"):
        Operator(running.config).open(configure=False)


def test_homing_arrives_at_home_and_at_rest(running, operator):
    operator.twist(twist(y=0.05), 1.0)
    operator.home()
    state = operator.feedback()
    assert np.abs(np.angle(np.exp(1j * (state.joints - np.array(running.config.arm.home))))).max() < 0.02
    assert np.abs(state.velocities).max() < 0.02


def test_homing_arrives_without_a_word_from_the_arm(running, operator):
    with running.robot.lock:
        running.robot.topics.take = list  # every notification is lost
    operator.home()
    assert np.abs(operator.feedback().velocities).max() < 0.02


def test_homing_that_the_arm_breaks_off_is_said(running):
    config = changed(running.config, home=(0.0, 2.2, 3.1, -2.5, 0.0, 2.0, 0.0))  # under the table
    with Operator(config, say=lambda text: None) as operator:
        operator.open()
        with pytest.raises(ArmError, match="broke its homing off: CONTROL_OUTSIDE_WORKSPACE"):
            operator.home()


def test_a_fault_on_the_way_home_is_said_and_the_arm_rests(running, operator):
    config = changed(running.config, home=(0.8, 0.318, 3.148, -1.663, -0.002, -1.160, 1.576))
    with Operator(config, say=lambda text: None) as other:
        other.open()
        threading.Timer(0.5, lambda: running.fault(SafetyIdentifier.MAXIMUM_CURRENT)).start()
        with pytest.raises(ArmError, match="MAXIMUM_CURRENT"):
            other.home()
    assert rests(running)


def test_homing_too_slowly_is_given_up_and_the_arm_stopped(running, operator):
    config = changed(running.config, home=(0.8, 0.318, 3.148, -1.663, -0.002, -1.160, 1.576), home_speed=0.05)
    with Operator(config, say=lambda text: None) as other:
        other.open()
        with pytest.raises(ArmError, match="did not arrive in time"):
            other.home(timeout=0.5)
    assert rests(running)


def test_a_twist_goes_its_way_and_ends_at_rest(operator):
    states = operator.twist(twist(x=-0.03), 1.0)
    way = states[-1].tool.position - states[0].tool.position
    assert -0.04 < way[0] < -0.002  # the simulated arm is slower than the clock on a loaded machine, never faster
    assert np.abs(way[1:]).max() < 0.004
    assert np.abs(states[-1].velocities).max() < 0.01


def test_a_fast_twist_is_refused(running, operator):
    with pytest.raises(ArmError, match=r"limits\.speed"):
        operator.twist(twist(x=0.3), 0.1)
    with pytest.raises(ArmError, match=r"limits\.turn_speed"):
        operator.twist(twist(rz=1.0), 0.1)
    with pytest.raises(ArmError, match="at most"):
        operator.twist(twist(x=math.nan), 0.1)
    assert rests(running)


def test_the_arms_own_dead_man_is_measured(running, operator):
    seconds, states = operator.dead_man(twist(y=0.03), patience=20.0)
    assert seconds is not None
    assert running.config.deadlines.connection * 0.8 < seconds
    assert np.abs(states[-1].velocities).max() < 0.01


def test_an_arm_without_a_dead_man_is_found_out_and_stopped(running, operator):
    for session in running.robot.sessions:
        session.dead_man = math.inf
    seconds, _ = operator.dead_man(twist(y=0.02), 0.3, patience=0.8)
    assert seconds is None
    assert rests(running)


def test_the_gripper_stands_where_it_was_told(operator):
    assert operator.gripper(1.0) > 0.95
    assert operator.gripper(0.5) == pytest.approx(0.5, abs=0.05)
    assert operator.gripper(0.0) < 0.05
    with pytest.raises(ArmError, match="from 0, open, to 1"):
        operator.gripper(1.5)


def test_round_trips_are_measured(operator):
    commands, feedback = operator.round_trips(20)
    assert len(commands) == len(feedback) == 20
    assert min(commands + feedback) > 0


def test_a_fault_keeps_it_from_moving_and_can_be_cleared(running, operator):
    running.fault(SafetyIdentifier.MAXIMUM_CURRENT)
    until(lambda: operator.feedback().fault)
    with pytest.raises(ArmError, match="clear-faults"):
        operator.twist(twist(x=0.02), 0.2)
    assert operator.clear_faults().fault == ""
    operator.twist(twist(x=0.02), 0.2)


def test_leaving_in_motion_stops_the_arm(running):
    with Operator(running.config, say=lambda text: None) as operator:
        operator.open()
        operator._streamed(twist(y=0.03), 0.3)
        assert moves(running)
    assert rests(running)


def test_leaving_is_bounded_when_the_arm_is_frozen(running):
    operator = Operator(running.config, say=lambda text: None)
    operator.open()
    running.faults.freeze = True
    begin = time.monotonic()
    operator.close()
    assert time.monotonic() - begin < 20  # a hang would be for ever
    running.faults.freeze = False


def test_before_it_is_open_it_says_so(running):
    with Operator(running.config) as operator, pytest.raises(ArmError, match="call open"):
        operator.feedback()
