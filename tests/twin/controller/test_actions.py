"""Actions and the notifications that tell how they end, over real sockets."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.twin.controller.running import moving, still, wait_for
from tests.twin.controller.wire_client import Client, refused, set_our_tool
from vla_ros import kinematics
from vla_ros.geometry import Pose
from vla_ros.twin.controller import units
from vla_ros.twin.kortex import codes
from vla_ros.twin.kortex.codes import ArmState, SubErrorCodes
from vla_ros.twin.kortex.messages import Base


def reach(joints: np.ndarray, speed: float = 0.0) -> Base.Action:
    action = Base.Action(name="go")
    action.handle.identifier = 41
    for i, value in enumerate(np.degrees(joints)):
        action.reach_joint_angles.joint_angles.joint_angles.add(joint_identifier=i, value=value)
    if speed:
        constraint = action.reach_joint_angles.constraint
        constraint.type, constraint.value = codes.JointTrajectoryConstraintType.JOINT_CONSTRAINT_SPEED, speed
    return action


def events(client: Client) -> list[tuple[codes.ActionEvent, SubErrorCodes]]:
    """What becomes of one action."""
    seen = []
    while not seen or seen[-1][0] not in (codes.ActionEvent.ACTION_END, codes.ActionEvent.ACTION_ABORT):
        notice = client.notice("Base.ActionTopic")
        assert notice.connection.connection_identifier == client.session
        seen.append((codes.ActionEvent(notice.action_event), SubErrorCodes(notice.abort_details)))
    return seen


STARTED = (codes.ActionEvent.ACTION_START, SubErrorCodes.SUB_ERROR_NONE)
ENDED = (codes.ActionEvent.ACTION_END, SubErrorCodes.SUB_ERROR_NONE)


def aborted(why: SubErrorCodes) -> tuple[codes.ActionEvent, SubErrorCodes]:
    return codes.ActionEvent.ACTION_ABORT, why


def test_the_arm_reaches_joint_angles_and_says_so(arm, client):
    client.subscribe("Base.ActionTopic")
    target = arm.robot.measured.state.joints + np.array([0.1, 0, 0, 0, 0, 0, -0.15])
    client.call("Base.ExecuteAction", reach(target))
    wait_for(lambda: client.state() == ArmState.ARMSTATE_SERVOING_PLAYING_SEQUENCE)
    assert events(client) == [STARTED, ENDED]
    wait_for(lambda: client.state() == ArmState.ARMSTATE_SERVOING_READY)
    wait_for(lambda: np.abs(kinematics.wrapped(arm.robot.measured.state.joints - target)).max() < 5e-3)


def test_the_arm_reaches_a_pose(arm, client):
    set_our_tool(client)
    client.subscribe("Base.ActionTopic")
    target = Pose(arm.robot.measured.state.tool.position + np.array([0, -0.05, 0.02]), kinematics.TOOL_DOWN)
    action = Base.Action()
    units.set_pose(action.reach_pose.target_pose, target)
    action.reach_pose.constraint.speed.translation = 0.1
    client.call("Base.ExecuteAction", action)
    assert events(client) == [STARTED, ENDED]
    wait_for(lambda: np.abs(arm.robot.measured.state.tool.position - target.position).max() < 3e-3)
    action.reach_pose.target_pose.x = 3.0
    client.call("Base.ExecuteAction", action)
    assert events(client) == [STARTED, aborted(SubErrorCodes.CONTROL_OUTSIDE_WORKSPACE)]


@pytest.mark.parametrize("call", ["Base.Stop", "Base.StopAction"])
def test_a_stop_aborts_the_action(arm, client, call):
    client.subscribe("Base.ActionTopic")
    client.call("Base.ExecuteAction", reach(arm.robot.measured.state.joints + 0.5, speed=5))
    wait_for(lambda: moving(arm))
    client.call(call)
    assert events(client) == [STARTED, aborted(SubErrorCodes.CONTROL_MANUAL_STOP)]
    wait_for(lambda: still(arm))


def test_a_fault_aborts_the_action(arm, client):
    client.subscribe("Base.ActionTopic")
    client.call("Base.ExecuteAction", reach(arm.robot.measured.state.joints + 0.5, speed=5))
    wait_for(lambda: moving(arm))
    arm.robot.emergency_stop()
    assert events(client) == [STARTED, aborted(SubErrorCodes.ROBOT_IN_FAULT)]


def test_an_action_ends_with_the_connections_silence(arm):
    with Client(arm.port).login() as watcher, Client(arm.port).login(connection=200) as client:
        watcher.subscribe("Base.ActionTopic")
        client.call("Base.ExecuteAction", reach(arm.robot.measured.state.joints + 0.5, speed=5))
        assert watcher.notice("Base.ActionTopic").action_event == codes.ActionEvent.ACTION_START
        notice = watcher.notice("Base.ActionTopic")
        assert notice.abort_details == SubErrorCodes.METHOD_TIMEOUT


def test_an_action_pauses_and_goes_on(arm, client):
    client.subscribe("Base.ActionTopic")
    refused(SubErrorCodes.CONTROL_NO_ACTION, client.call, "Base.PauseAction")
    client.call("Base.ExecuteAction", reach(arm.robot.measured.state.joints + 0.2, speed=20))
    wait_for(lambda: moving(arm))
    client.call("Base.PauseAction")
    wait_for(lambda: not moving(arm))
    client.call("Base.ResumeAction")
    assert events(client) == [STARTED, ENDED]


def test_actions_that_cannot_be_are_refused_or_aborted(arm, client):
    client.subscribe("Base.ActionTopic")
    here = arm.robot.measured.state.joints
    refused(SubErrorCodes.UNSUPPORTED_ACTION, client.call, "Base.ExecuteAction", Base.Action(name="nothing"))
    short = Base.Action()
    short.reach_joint_angles.joint_angles.joint_angles.add(joint_identifier=0, value=1)
    refused(SubErrorCodes.CONTROL_ACTUATOR_COUNT_MISMATCH, client.call, "Base.ExecuteAction", short)
    refused(SubErrorCodes.INVALID_PARAM, client.call, "Base.ExecuteAction", reach(np.full(7, math.nan)))
    refused(SubErrorCodes.CONTROL_LARGE_SPEED, client.call, "Base.ExecuteAction", reach(here, speed=200))
    client.call("Base.ExecuteAction", reach(np.array([0, 2.5, 0, 0, 0, 0, 0])))
    assert events(client) == [STARTED, aborted(SubErrorCodes.CONTROL_JOINT_POSITION_LIMIT)]


def test_the_gripper_as_an_action_ends_when_it_rests(arm, client):
    client.subscribe("Base.ActionTopic")
    action = Base.Action()
    action.send_gripper_command.mode = codes.GripperMode.GRIPPER_POSITION
    action.send_gripper_command.gripper.finger.add(finger_identifier=1, value=0.5)
    client.call("Base.ExecuteAction", action)
    assert events(client) == [STARTED, ENDED]
    assert arm.robot.measured.state.gripper == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    ("kind", "state"),
    [("apply_emergency_stop", ArmState.ARMSTATE_IN_FAULT), ("stop_action", ArmState.ARMSTATE_SERVOING_READY)],
)
def test_calls_as_actions(arm, client, kind, state):
    client.subscribe("Base.ActionTopic")
    action = Base.Action()
    getattr(action, kind).SetInParent()
    client.call("Base.ExecuteAction", action)
    assert events(client) == [STARTED, ENDED]
    assert client.state() == state
    action.clear_faults.SetInParent()
    client.call("Base.ExecuteAction", action)
    assert events(client) == [STARTED, ENDED]
    assert client.state() == ArmState.ARMSTATE_SERVOING_READY


def test_two_subscribers_are_both_told_and_one_handle_each(arm, client):
    with Client(arm.port).login() as other:
        assert client.subscribe("Base.ActionTopic") != other.subscribe("Base.ActionTopic")
        client.call("Base.ExecuteAction", reach(arm.robot.measured.state.joints))
        for each in (client, other):
            assert each.notice("Base.ActionTopic").handle.identifier == 41
