"""Soft limits, tool and protection zones, over real sockets."""

from __future__ import annotations

import math

import pytest

from tests.twin.controller.running import moving, wait_for
from tests.twin.controller.wire_client import refused, set_our_tool
from vla_ros.twin.kortex import codes
from vla_ros.twin.kortex.codes import ControlMode, SubErrorCodes
from vla_ros.twin.kortex.messages import Base, ControlConfig


def test_soft_limits_are_set_per_mode_kept_and_read_back(arm, client):
    mode = ControlMode.CARTESIAN_JOYSTICK
    client.call(
        "ControlConfig.SetTwistLinearSoftLimit",
        ControlConfig.TwistLinearSoftLimit(control_mode=mode, twist_linear_soft_limit=0.04),
    )
    client.call(
        "ControlConfig.SetTwistAngularSoftLimit",
        ControlConfig.TwistAngularSoftLimit(control_mode=mode, twist_angular_soft_limit=30),
    )
    client.call(
        "ControlConfig.SetJointSpeedSoftLimits",
        ControlConfig.JointSpeedSoftLimits(control_mode=mode, joint_speed_soft_limits=[40] * 7),
    )
    client.call(
        "ControlConfig.SetJointAccelerationSoftLimits",
        ControlConfig.JointAccelerationSoftLimits(control_mode=mode, joint_acceleration_soft_limits=[50] * 7),
    )
    soft = client.call("ControlConfig.GetKinematicSoftLimits", ControlConfig.ControlModeInformation(control_mode=mode))
    assert (soft.twist_linear, soft.twist_angular) == pytest.approx((0.04, 30))
    assert list(soft.joint_speed_limits) == pytest.approx([40] * 7)
    assert list(soft.joint_acceleration_limits) == pytest.approx([50] * 7)
    each = client.call("ControlConfig.GetAllKinematicSoftLimits").kinematic_limits_list
    assert [limits.control_mode for limits in each if limits.twist_linear < 0.05] == [mode]
    set_our_tool(client)
    client.twist(0, -0.4)
    wait_for(lambda: abs(arm.robot.measured.twist[1] + 0.04) < 1e-3)


def test_what_is_above_the_hard_limits_is_refused(client):
    hard = client.call("ControlConfig.GetKinematicHardLimits")
    assert (hard.twist_linear, hard.twist_angular) == pytest.approx((0.5, 100))
    assert list(hard.joint_speed_limits) == pytest.approx([80] * 4 + [70] * 3, abs=0.01)
    mode = ControlMode.ANGULAR_TRAJECTORY

    def set_speeds(*speeds: float) -> None:
        message = ControlConfig.JointSpeedSoftLimits(control_mode=mode, joint_speed_soft_limits=speeds)
        client.call("ControlConfig.SetJointSpeedSoftLimits", message)

    set_speeds(*hard.joint_speed_limits)
    refused(SubErrorCodes.VALUE_IS_ABOVE_MAXIMUM, set_speeds, *[75] * 7)
    refused(SubErrorCodes.VALUE_IS_BELOW_MINIMUM, set_speeds, *[-1] * 7)
    refused(SubErrorCodes.INVALID_PARAM, set_speeds, *[math.nan] * 7)
    refused(SubErrorCodes.CONTROL_ACTUATOR_COUNT_MISMATCH, set_speeds, 1, 2)
    message = ControlConfig.TwistLinearSoftLimit(
        control_mode=ControlMode.CARTESIAN_JOYSTICK, twist_linear_soft_limit=0.6
    )
    refused(SubErrorCodes.VALUE_IS_ABOVE_MAXIMUM, client.call, "ControlConfig.SetTwistLinearSoftLimit", message)
    message = ControlConfig.TwistLinearSoftLimit(control_mode=0, twist_linear_soft_limit=0.1)
    refused(SubErrorCodes.INVALID_PARAM, client.call, "ControlConfig.SetTwistLinearSoftLimit", message)
    reset = ControlConfig.ControlModeInformation(control_mode=mode)
    assert list(client.call("ControlConfig.ResetJointSpeedSoftLimits", reset).joint_speed_soft_limits) == pytest.approx(
        [50] * 7
    )


def test_what_is_configured_is_read_back(client):
    for name, message in (
        ("GravityVector", ControlConfig.GravityVector(x=1, y=2, z=-9)),
        ("PayloadInformation", ControlConfig.PayloadInformation(payload_mass=0.5, payload_mass_center={"z": 0.25})),
        ("CartesianReferenceFrame", ControlConfig.CartesianReferenceFrameInfo(reference_frame=2)),
        (
            "ToolConfiguration",
            ControlConfig.ToolConfiguration(
                tool_transform={"x": 0.5, "theta_z": 90}, tool_mass=0.5, tool_mass_center={"y": 0.25}
            ),
        ),
    ):
        client.call(f"ControlConfig.Set{name}", message)
        again = client.call(f"ControlConfig.Get{name}")
        for field, value in message.ListFields():
            if field.name == "tool_transform":
                assert (again.tool_transform.x, again.tool_transform.theta_z) == pytest.approx((0.5, 90))
            else:
                assert getattr(again, field.name) == value


def test_a_tool_of_no_number_or_in_motion_is_refused(arm, client):
    bad = ControlConfig.ToolConfiguration(tool_transform={"x": math.nan})
    refused(SubErrorCodes.INVALID_PARAM, client.call, "ControlConfig.SetToolConfiguration", bad)
    client.twist(0, -0.05)
    wait_for(lambda: moving(arm))
    refused(SubErrorCodes.ROBOT_MOVEMENT_IN_PROGRESS, set_our_tool, client)


def wall(y: float) -> Base.ProtectionZone:
    """A closed box whose face is at `y`, to the right of the arm."""
    zone = Base.ProtectionZone(name="wall", is_enabled=True)
    zone.shape.shape_type = codes.ShapeType.RECTANGULAR_PRISM
    zone.shape.origin.x, zone.shape.origin.y, zone.shape.origin.z = 0.4, y - 0.5, 0.5
    zone.shape.dimensions.extend([1.0, 1.0, 2.0])
    zone.limitations.add(type=codes.LimitationType.VELOCITY_LIMITATION, translation=0.0)
    return zone


def test_a_protection_zone_stops_the_tool_until_it_is_deleted(arm, client):
    set_our_tool(client)
    client.subscribe("Base.ProtectionZoneTopic")
    y = arm.robot.measured.state.tool.position[1] - 0.05
    handle = client.call("Base.CreateProtectionZone", wall(y))
    client.twist(0, -0.2)
    notice = client.notice("Base.ProtectionZoneTopic")
    assert (notice.event, notice.handle.identifier) == (codes.ProtectionZoneEvent.REACHED, handle.identifier)
    wait_for(lambda: not moving(arm))
    assert arm.robot.measured.state.tool.position[1] == pytest.approx(y, abs=5e-3)
    client.call("Base.DeleteProtectionZone", handle)
    wait_for(lambda: arm.robot.measured.state.tool.position[1] < y - 0.02)


def test_zones_are_kept_changed_and_listed(client):
    handle = client.call("Base.CreateProtectionZone", wall(-0.3))
    again = client.call("Base.ReadProtectionZone", handle)
    assert (again.name, again.handle.identifier) == ("wall", handle.identifier)
    again.is_enabled = False
    client.call("Base.UpdateProtectionZone", again)
    zones = client.call("Base.ReadAllProtectionZones").protection_zones
    assert [zone.is_enabled for zone in zones] == [False]
    client.call("Base.DeleteProtectionZone", handle)
    for call in ("ReadProtectionZone", "DeleteProtectionZone"):
        refused(SubErrorCodes.ENTITY_NOT_FOUND, client.call, f"Base.{call}", handle)
    refused(SubErrorCodes.ENTITY_NOT_FOUND, client.call, "Base.UpdateProtectionZone", again)


@pytest.mark.parametrize(
    "break_it",
    [
        lambda zone: zone.shape.dimensions.append(1.0),
        lambda zone: zone.shape.dimensions.__setitem__(0, -1.0),
        lambda zone: setattr(zone.shape.origin, "x", math.nan),
        lambda zone: setattr(zone.shape, "shape_type", 0),
        lambda zone: setattr(zone.shape.orientation.row1, "column1", 2.0),
    ],
)
def test_zones_that_cannot_be_are_refused(client, break_it):
    zone = wall(0)
    break_it(zone)
    refused(SubErrorCodes.INVALID_PARAM, client.call, "Base.CreateProtectionZone", zone)
