"""The motion behind the Kortex protocol, under virtual time: frames, limits, trajectories, pauses, stops, zones, delays."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from vla_ros import geometry, kinematics
from vla_ros.clock import MILLISECOND
from vla_ros.config import load
from vla_ros.geometry import Pose
from vla_ros.kinematics import HOME
from vla_ros.twin.controller import orders, trajectory
from vla_ros.twin.controller.drive import Drive
from vla_ros.twin.controller.limits import HARD, SOFT
from vla_ros.twin.controller.settings import TWIN_TOOL, Settings, Tool
from vla_ros.twin.controller.zones import Zone
from vla_ros.twin.kortex.codes import (
    ActionEvent,
    CartesianReferenceFrame,
    ControlMode,
    ProtectionZoneEvent,
    ShapeType,
    SubErrorCodes,
)

STEP = 2 * MILLISECOND
BASE = CartesianReferenceFrame.CARTESIAN_REFERENCE_FRAME_BASE
TOOL = CartesianReferenceFrame.CARTESIAN_REFERENCE_FRAME_TOOL
MIXED = CartesianReferenceFrame.CARTESIAN_REFERENCE_FRAME_MIXED
UNSPECIFIED = CartesianReferenceFrame.CARTESIAN_REFERENCE_FRAME_UNSPECIFIED
OUR_TOOL = Tool(TWIN_TOOL)


class Bench:
    """A drive whose joints follow its targets at once."""

    def __init__(self, settings: Settings | None = None, *overrides: str) -> None:
        self.settings = settings or Settings(tool=OUR_TOOL, beyond=OUR_TOOL.beyond())
        self.reports: list[orders.Report] = []
        config = load(overrides=overrides)
        self.drive = Drive(config, np.array(HOME), 0, lambda: self.settings, self.reports.append)
        self.now = 0

    def give(self, order: orders.Order) -> Bench:
        self.drive.order(self.now, order)
        return self

    def run(self, seconds: float) -> Bench:
        for _ in range(round(seconds * 1e9) // STEP):
            self.drive.step(self.now, STEP)
            self.now += STEP
        return self

    @property
    def tool(self) -> Pose:
        return self.settings.tool_point(kinematics.forward(self.drive.targets))


def twist(*velocity: float, frame: CartesianReferenceFrame = BASE) -> orders.Twist:
    return orders.Twist(frame, np.array([*velocity, *[0.0] * (6 - len(velocity))]))


def with_limits(settings: Settings, mode: ControlMode, **changed: object) -> Settings:
    limits = dict(settings.limits)
    limits[mode] = replace(limits[mode], **changed)  # type: ignore[arg-type]
    return replace(settings, limits=limits)


def test_a_twist_goes_on_until_zero_comes():
    bench = Bench().give(twist(0, -0.05)).run(3)
    assert bench.tool.position[1] == pytest.approx(-0.05 * 3, abs=0.004)
    at_end = bench.give(twist()).run(0.2).tool.position[1]
    assert not bench.drive.rates.any()
    assert bench.run(1).tool.position[1] == at_end


@pytest.mark.parametrize("frame", [TOOL, MIXED])
def test_a_turn_in_the_tools_frame_is_about_its_own_axis(frame):
    bench = Bench()
    start = bench.tool
    bench.give(twist(0, 0, 0, 0.4, 0, 0, frame=frame)).run(1)
    turned = geometry.multiply(geometry.conjugate(start.quaternion), bench.tool.quaternion)
    np.testing.assert_allclose(geometry.log(turned)[1:], 0, atol=2e-3)
    assert geometry.log(turned)[0] == pytest.approx(0.4, abs=0.02)
    np.testing.assert_allclose(bench.tool.position, start.position, atol=1e-3)


def test_translation_is_in_the_frame_that_the_twist_names():
    along = {}
    for frame in (BASE, TOOL, MIXED):
        bench = Bench()
        start = bench.tool
        bench.give(twist(0, 0, 0.05, frame=frame)).run(1)
        along[frame] = (bench.tool.position - start.position)[2]
    assert along[BASE] > 0.04
    assert along[MIXED] > 0.04
    assert along[TOOL] < -0.04  # the tool points down


def test_a_twist_without_a_frame_is_in_the_one_that_was_set():
    for frame, sign in ((TOOL, -1), (BASE, 1)):
        bench = Bench(Settings(tool=OUR_TOOL, beyond=OUR_TOOL.beyond(), frame=frame))
        start = bench.tool.position[2]
        bench.give(twist(0, 0, 0.05, frame=UNSPECIFIED)).run(0.5)
        assert (bench.tool.position[2] - start) * sign > 0.01


def test_a_turn_keeps_the_configured_tool_point_where_it_is():
    for tool in (Tool(), OUR_TOOL, Tool(Pose(np.array([0.05, -0.02, 0.3]), geometry.IDENTITY_QUATERNION))):
        bench = Bench(Settings(tool=tool, beyond=tool.beyond()))
        start = bench.tool.position
        bench.give(twist(0, 0, 0, 0.3, 0, 0.2)).run(1)
        np.testing.assert_allclose(bench.tool.position, start, atol=1e-3)


def test_soft_limits_of_the_twist_are_kept_with_its_direction():
    settings = Settings(tool=OUR_TOOL, beyond=OUR_TOOL.beyond())
    bench = Bench(with_limits(settings, ControlMode.CARTESIAN_JOYSTICK, linear=0.05, angular=0.1))
    start = bench.tool
    bench.give(twist(0.3, 0.4, 0, 0, 0, 2.0)).run(0.5)
    np.testing.assert_allclose(bench.drive.applied, [0.03, 0.04, 0, 0, 0, 0.1], atol=1e-9)
    assert np.linalg.norm(bench.tool.position - start.position) < 0.05 * 0.5


def test_soft_limits_of_the_joints_hold_for_a_twist():
    settings = with_limits(Settings(), ControlMode.CARTESIAN_JOYSTICK, speeds=np.full(7, 0.02))
    bench = Bench(settings).give(twist(0, -0.3)).run(0.5)
    assert np.abs(bench.drive.rates).max() == pytest.approx(0.02)


def test_joint_speeds_are_ramped_limited_and_stop_at_the_joints_limits():
    bench = Bench()
    wanted = np.array([0.3, 0, 0, 0, 0, 0, 5.0])
    bench.give(orders.JointSpeeds(wanted)).run(0.05)
    assert 0 < bench.drive.rates[0] <= SOFT.accelerations[0] * 0.05 + 1e-9
    bench.run(1)
    np.testing.assert_allclose(bench.drive.rates, [0.3, 0, 0, 0, 0, 0, SOFT.speeds[6]])
    bench.give(orders.JointSpeeds(np.array([0, 1.0, 0, 0, 0, 0, 0]))).run(10)
    assert HARD.speeds[1] * 0.01 > kinematics.POSITION_LIMITS[1] - bench.drive.targets[1] > 0


def test_a_stop_brakes_every_kind_of_motion_and_a_later_command_moves_again():
    for order in (twist(0, -0.2), orders.JointSpeeds(np.full(7, 0.2)), reach(HOME + 0.5)):
        bench = Bench().give(order).run(1)
        assert bench.drive.rates.any()
        bench.give(orders.Stop()).run(0.5)
        assert bench.drive.resting
        bench.give(twist(0, 0.05)).run(0.2)
        assert bench.drive.rates.any()


def reach(joints: np.ndarray, speed: float = 0.5, **options: float) -> orders.Reach:
    return orders.Reach(1, np.array(joints), np.full(7, speed), SOFT.accelerations, **options)


def test_a_reach_arrives_within_its_speed_and_says_so():
    target = np.array(HOME) + np.array([0.5, -0.2, 0.1, 0.3, 0, 0.1, -0.4])
    bench = Bench().give(reach(target, speed=0.25))
    fastest = 0.0
    while not bench.reports and bench.now < 10e9:
        bench.run(0.01)
        fastest = max(fastest, float(np.abs(bench.drive.rates).max()))
    assert bench.reports == [orders.ActionReport(1, ActionEvent.ACTION_END)]
    np.testing.assert_allclose(kinematics.wrapped(bench.drive.targets - target), 0, atol=1e-12)
    assert 0.2 < fastest <= 0.25 + 1e-6
    assert bench.drive.resting


def test_a_reach_with_a_duration_takes_it():
    bench = Bench().give(reach(HOME + 0.1, duration=4.0)).run(3.9)
    assert not bench.reports
    bench.run(0.2)
    assert bench.reports[0].event == ActionEvent.ACTION_END


def test_a_paused_reach_halts_and_goes_on():
    bench = Bench().give(reach(HOME + 0.5)).run(0.5).give(orders.Pause(True)).run(0.5)
    halted = bench.drive.targets.copy()
    assert not bench.run(1).reports
    np.testing.assert_array_equal(bench.drive.targets, halted)
    assert bench.drive.playing
    bench.give(orders.Pause(False)).run(3)
    assert [report.event for report in bench.reports] == [ActionEvent.ACTION_END]


@pytest.mark.parametrize(
    ("order", "details"),
    [
        (orders.Stop(), SubErrorCodes.CONTROL_MANUAL_STOP),
        (orders.Stop(SubErrorCodes.METHOD_TIMEOUT), SubErrorCodes.METHOD_TIMEOUT),
        (twist(0, 0.1), SubErrorCodes.METHOD_FAILED),
    ],
)
def test_what_ends_a_reach_is_named(order, details):
    bench = Bench().give(reach(HOME + 0.5)).run(0.5).give(order).run(0.5)
    assert bench.reports == [orders.ActionReport(1, ActionEvent.ACTION_ABORT, details)]


def test_a_fault_ends_a_reach_and_rests():
    bench = Bench().give(reach(HOME + 0.5)).run(0.5)
    bench.drive.fault = True
    bench.run(0.5)
    assert bench.reports == [orders.ActionReport(1, ActionEvent.ACTION_ABORT, SubErrorCodes.ROBOT_IN_FAULT)]
    assert bench.give(twist(0, 0.1)).run(0.5).drive.resting


def test_a_reach_out_of_motion_comes_to_rest_first():
    bench = Bench().give(twist(0, -0.2)).run(1).give(reach(HOME))
    speeds = [np.abs(bench.run(0.01).drive.rates).max() for _ in range(600)]
    assert min(speeds[:100]) == 0.0
    np.testing.assert_allclose(kinematics.wrapped(bench.drive.targets - HOME), 0, atol=1e-12)


def test_joint_rates_never_jump_when_the_kind_of_motion_changes():
    bench, before = Bench(), np.zeros(7)
    for order in (
        twist(0, -0.2),
        orders.JointSpeeds(np.full(7, -0.1)),
        twist(0.1),
        reach(HOME),
        twist(0, 0.1),
        orders.Stop(),
    ):
        bench.give(order)
        for _ in range(80):
            rates = bench.run(0.01).drive.rates
            assert (np.abs(rates - before) <= 0.35).all()
            before = rates.copy()


def wall(slow: float | None = 0.0, **options: object) -> Zone:
    """A box whose face is at y = -0.1, left of the tool."""
    values = {
        "identifier": 3,
        "enabled": True,
        "shape": ShapeType.RECTANGULAR_PRISM,
        "origin": np.array([0.4, -0.6, 0.5]),
        "axes": np.eye(3),
        "dimensions": (1.0, 1.0, 2.0),
        "thickness": 0.0,
        "slow": slow,
        "slow_near": None,
    }
    return Zone(**(values | options))  # type: ignore[arg-type]


def in_zone(zone: Zone) -> Bench:
    return Bench(Settings(tool=OUR_TOOL, beyond=OUR_TOOL.beyond(), zones=(zone,)))


def test_a_closed_zone_stops_what_leads_into_it_and_lets_the_rest_pass():
    bench = in_zone(wall()).give(twist(0, -0.3)).run(3)
    assert -0.1005 <= bench.tool.position[1] < -0.097
    assert bench.reports == [orders.ZoneReport(3, ProtectionZoneEvent.REACHED)]
    start = bench.tool.position
    bench.give(twist(0, -0.1, 0.1)).run(1)
    assert bench.tool.position[2] - start[2] > 0.05
    assert bench.tool.position[1] >= -0.1005
    assert bench.give(twist(0, 0.1)).run(1).tool.position[1] > -0.03


def test_a_zone_that_is_off_stops_nothing():
    assert in_zone(wall(enabled=False)).give(twist(0, -0.2)).run(2).tool.position[1] < -0.2


def test_a_zone_with_a_speed_slows_the_tool_inside():
    bench = in_zone(wall(slow=0.02)).give(twist(0, -0.2)).run(1)
    inside = bench.tool.position[1]
    assert inside < -0.1
    assert bench.run(1).tool.position[1] == pytest.approx(inside - 0.02, abs=0.002)


def test_a_closed_zone_halts_joint_speeds():
    bench = in_zone(wall()).give(orders.JointSpeeds(np.array([0.3, 0, 0, 0, 0, 0, 0])))
    for _ in range(400):
        bench.run(0.01)
        assert bench.tool.position[1] > -0.105
    assert bench.tool.position[1] < -0.05


def test_a_reach_through_a_closed_zone_does_not_begin():
    target = kinematics.inverse_kinematics(Pose(np.array([0.45, -0.25, 0.3]), kinematics.TOOL_DOWN))
    bench = in_zone(wall(origin=np.array([0.45, -0.12, 0.3]), dimensions=(0.6, 0.05, 1.0)))
    bench.give(reach(target)).run(0.5)
    assert bench.reports == [orders.ActionReport(1, ActionEvent.ACTION_ABORT, SubErrorCodes.CONTROL_OUTSIDE_WORKSPACE)]
    np.testing.assert_array_equal(bench.drive.targets, HOME)


def test_orders_come_as_late_as_configured_and_a_stop_overtakes_them():
    bench = Bench(None, "twin.delays={command: 0.1, gripper: 0.05}").give(twist(0, -0.1)).give(orders.Grip(1.0))
    assert bench.run(0.09).drive.resting is False
    assert not bench.drive.rates.any()
    assert bench.drive.gripper == 0.0
    assert bench.run(0.07).drive.rates.any()
    assert bench.drive.gripper == 1.0
    bench = Bench(None, "twin.delays={command: 0.1}").give(twist(0, -0.1)).give(orders.Stop()).run(0.5)
    assert not bench.drive.rates.any()


def test_streamed_motion_cancels_the_gripper_where_it_is_asked_to():
    for cancelled in (True, False):
        bench = Bench(None, f"twin.gripper_cancelled={str(cancelled).lower()}").give(orders.Grip(1.0)).run(0.05)
        bench.drive.measured_grip = 0.3
        assert bench.give(twist()).run(0.05).drive.gripper == 1.0
        bench.drive.measured_grip = 0.3
        assert bench.give(twist(0, 0.01)).run(0.05).drive.gripper == (0.3 if cancelled else 1.0)


def test_a_trajectory_is_straight_ends_at_rest_and_keeps_its_limits():
    start, target = np.zeros(7), np.array([1.0, -0.5, 0.2, 0, 0, 0.1, -2.0])
    way = trajectory.plan(start, target, np.full(7, 0.5), np.full(7, 1.0))
    times = np.linspace(0, way.duration, 2000, dtype=np.float64)
    places = np.array([way.at(t) for t in times])
    speeds = np.diff(places, axis=0) / np.diff(times)[:, None]
    accelerations = np.diff(speeds, axis=0) / np.diff(times)[1:, None]
    assert np.abs(speeds).max() <= 0.5 + 1e-6
    assert np.abs(accelerations).max() <= 1.0 + 1e-3
    np.testing.assert_allclose(places[-1], target)
    np.testing.assert_allclose(places, np.outer(places[:, 0], target), atol=1e-9)


@pytest.mark.parametrize("far", [1e-4, 0.05, 3.0])
@pytest.mark.parametrize("duration", [0.0, 5.0, 30.0])
def test_a_trajectory_takes_at_least_its_duration(far, duration):
    way = trajectory.plan(
        np.zeros(7), np.full(7, far) * [0, 1, 0, 1, 0, 1, 0], np.full(7, 0.5), np.full(7, 1.0), duration
    )
    assert way.duration >= duration - 1e-6
    np.testing.assert_allclose(way.at(way.duration)[1], far if far < math.pi else far - 2 * math.pi)


def test_a_joint_without_end_takes_the_shorter_way():
    way = trajectory.plan(np.full(7, 3.0), np.full(7, -3.0), np.full(7, 0.5), np.full(7, 1.0))
    np.testing.assert_allclose(way.way[[0, 2, 4, 6]], 2 * math.pi - 6)
    np.testing.assert_allclose(way.way[[1, 3, 5]], -6.0)


def test_a_snapshot_is_refused():
    with pytest.raises(ValueError, match=r"without twin\.kortex"):
        Bench().drive.snapshot()
