"""The vendor's own client against the controller, where its SDK is installed; elsewhere wire_client alone stands in for it."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.twin.controller.running import Running, moving, running_controller, still, wait_for
from vla_ros.twin.kortex.messages import METHODS, Method

pytest.importorskip("kortex_api", reason="the vendor's kortex_api is not installed")


@pytest.fixture
def arm() -> Iterator[Running]:
    from vla_ros.arms import kortex_protobuf

    kortex_protobuf.install()
    with running_controller() as running:
        yield running


@contextmanager
def connected(arm: Running, transport: str = "tcp", **changed: Any) -> Iterator[Any]:
    """The vendor's router with a session, and its session manager."""
    from kortex_api.autogen.messages import Session_pb2
    from kortex_api.RouterClient import RouterClient
    from kortex_api.SessionManager import SessionManager
    from kortex_api.TCPTransport import TCPTransport
    from kortex_api.UDPTransport import UDPTransport

    link = TCPTransport() if transport == "tcp" else UDPTransport()
    router = RouterClient(link, lambda error: None)
    link.connect("127.0.0.1", arm.port if transport == "tcp" else arm.feedback_port)
    info = Session_pb2.CreateSessionInfo()
    info.username, info.password = "admin", "admin"
    info.session_inactivity_timeout, info.connection_inactivity_timeout = 60000, 2000
    for name, value in changed.items():
        setattr(info, name, value)
    manager = SessionManager(router)
    try:
        manager.CreateSession(info)
        yield router
        manager.CloseSession()
    finally:
        manager.event.set()
        link.disconnect()


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.name)
def test_our_methods_have_the_vendors_numbers(method: Method):
    from vla_ros.arms import kortex_protobuf

    kortex_protobuf.install()
    service, _, name = method.name.partition(".")
    stubs = importlib.import_module(f"kortex_api.autogen.client_stubs.{service}ClientRpc")
    topic = "" if method.notification is None else "OnNotification"
    assert getattr(stubs, f"{service}FunctionUid")[f"uid{topic}{name}"].value == method.uid


def test_the_vendors_client_moves_the_arm_and_stops_it(arm):
    from kortex_api.autogen.client_stubs.BaseClientRpc import BaseClient
    from kortex_api.autogen.messages import Base_pb2, Common_pb2

    with connected(arm) as router:
        base = BaseClient(router)
        assert base.GetArmState().active_state == Common_pb2.ARMSTATE_SERVOING_READY
        assert base.GetActuatorCount().count == 7
        mode = Base_pb2.ServoingModeInformation(servoing_mode=Base_pb2.SINGLE_LEVEL_SERVOING)
        base.SetServoingMode(mode)
        command = Base_pb2.TwistCommand(reference_frame=Common_pb2.CARTESIAN_REFERENCE_FRAME_BASE)
        command.twist.linear_y = -0.05
        base.SendTwistCommand(command)
        wait_for(lambda: moving(arm))
        base.Stop()
        wait_for(lambda: still(arm))


def test_the_vendors_keep_alive_defeats_the_time_out_and_without_it_motion_ends(arm):
    from kortex_api.autogen.client_stubs.BaseClientRpc import BaseClient
    from kortex_api.autogen.messages import Base_pb2
    from kortex_api.SessionManager import SessionManager

    command = Base_pb2.TwistCommand(reference_frame=3)
    command.twist.linear_y = -0.02
    with connected(arm, connection_inactivity_timeout=1000) as router:
        BaseClient(router).SendTwistCommand(command)
        session = next(iter(arm.robot.sessions))
        began = session.last
        wait_for(lambda: arm.clock.now() - began > 1.5e9)
        assert moving(arm)
        managers = [r for r in _referrers(router) if isinstance(r, SessionManager)]
        managers[0].event.set()  # its thread ends: nothing keeps the connection alive any more
        wait_for(lambda: still(arm))


def _referrers(router: Any) -> list[Any]:
    import gc

    from kortex_api.SessionManager import SessionManager

    return [found for found in gc.get_objects() if isinstance(found, SessionManager) and found.router is router]


def test_the_vendors_client_reads_feedback_over_udp(arm):
    from kortex_api.autogen.client_stubs.BaseCyclicClientRpc import BaseCyclicClient

    with connected(arm, "udp") as router:
        feedback = BaseCyclicClient(router).RefreshFeedback()
    assert len(feedback.actuators) == 7
    assert feedback.base.tool_pose_z == pytest.approx(arm.robot.measured.state.tool.position[2] + 0.14, abs=0.02)
    assert feedback.interconnect.gripper_feedback.motor[0].position < 5


def test_the_vendors_client_understands_a_refusal(arm):
    from kortex_api.autogen.client_stubs.BaseClientRpc import BaseClient
    from kortex_api.autogen.messages import Base_pb2, Errors_pb2
    from kortex_api.Exceptions.KServerException import KServerException

    with connected(arm) as router:
        base = BaseClient(router)
        base.ApplyEmergencyStop()
        with pytest.raises(KServerException) as refused:
            base.SendTwistCommand(Base_pb2.TwistCommand(reference_frame=3))
        assert refused.value.get_error_sub_code() == Errors_pb2.ROBOT_IN_FAULT
        base.ClearFaults()


def test_a_wrong_password_is_an_exception_of_the_vendors(arm):
    from kortex_api.autogen.messages import Errors_pb2
    from kortex_api.Exceptions.KServerException import KServerException

    with pytest.raises(KServerException) as refused, connected(arm, password="x"):
        pass
    assert refused.value.get_error_sub_code() == Errors_pb2.INVALID_PASSWORD


def test_the_vendors_client_hears_of_an_action(arm):
    from kortex_api.autogen.client_stubs.BaseClientRpc import BaseClient
    from kortex_api.autogen.messages import Base_pb2, Common_pb2

    events, over = [], threading.Event()

    def heard(notice: Any, *_: Any) -> None:
        events.append(notice.action_event)
        if notice.action_event in (Base_pb2.ACTION_END, Base_pb2.ACTION_ABORT):
            over.set()

    with connected(arm) as router:
        base = BaseClient(router)
        handle = base.OnNotificationActionTopic(heard, Common_pb2.NotificationOptions())
        action = Base_pb2.Action(name="home")
        angles = base.GetMeasuredJointAngles().joint_angles
        for angle in angles:
            action.reach_joint_angles.joint_angles.joint_angles.add(
                joint_identifier=angle.joint_identifier, value=angle.value + (3 if angle.joint_identifier == 6 else 0)
            )
        base.ExecuteAction(action)
        assert over.wait(20)
        base.Unsubscribe(handle)
    assert events == [Base_pb2.ACTION_START, Base_pb2.ACTION_END]


def test_the_vendors_client_configures_the_arm(arm):
    from kortex_api.autogen.client_stubs.ControlConfigClientRpc import ControlConfigClient
    from kortex_api.autogen.client_stubs.DeviceManagerClientRpc import DeviceManagerClient
    from kortex_api.autogen.messages import Common_pb2, ControlConfig_pb2

    with connected(arm) as router:
        config = ControlConfigClient(router)
        limit = ControlConfig_pb2.TwistLinearSoftLimit(
            control_mode=ControlConfig_pb2.CARTESIAN_JOYSTICK, twist_linear_soft_limit=0.25
        )
        config.SetTwistLinearSoftLimit(limit)
        mode = ControlConfig_pb2.ControlModeInformation(control_mode=ControlConfig_pb2.CARTESIAN_JOYSTICK)
        assert config.GetKinematicSoftLimits(mode).twist_linear == pytest.approx(0.25)
        devices = DeviceManagerClient(router).ReadAllDevices().device_handle
    assert Common_pb2.GRIPPER in {device.device_type for device in devices}


def test_the_gripper_closes_for_the_vendors_client(arm):
    from kortex_api.autogen.client_stubs.BaseClientRpc import BaseClient
    from kortex_api.autogen.messages import Base_pb2

    with connected(arm) as router:
        base = BaseClient(router)
        command = Base_pb2.GripperCommand(mode=Base_pb2.GRIPPER_POSITION)
        command.gripper.finger.add(finger_identifier=1, value=1.0)
        base.SendGripperCommand(command)
        request = Base_pb2.GripperRequest(mode=Base_pb2.GRIPPER_POSITION)
        wait_for(lambda: base.GetMeasuredGripperMovement(request).finger[0].value > 0.98)
