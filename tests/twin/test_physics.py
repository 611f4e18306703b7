"""The twin moves as it is told, stops when it must, and does the same again from the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from vla_ros import geometry
from vla_ros.clock import MILLISECOND, SECOND
from vla_ros.config import load
from vla_ros.twin import tasks
from vla_ros.twin.physics import Twin, start_pose

PERIOD = 10 * MILLISECOND


@pytest.fixture(scope="module")
def shared() -> Twin:
    return Twin(load())


@pytest.fixture
def twin(shared: Twin) -> Twin:
    shared.fault = ""
    shared.reset(tasks.sample(1))
    return shared


def drive(twin: Twin, twist: np.ndarray, gripper: float, seconds: float) -> None:
    for _ in range(round(seconds * SECOND / PERIOD)):
        twin.command(twin.now, twist, gripper)
        twin.advance(twin.now + PERIOD)


def speed(twin: Twin) -> float:
    return float(np.abs(twin.state().velocities).max())


def test_an_episode_begins_at_its_start_pose_and_rests_there(twin: Twin) -> None:
    wanted = start_pose(twin.episode)
    twin.advance(SECOND)
    tool = twin.state().tool
    np.testing.assert_allclose(tool.position, wanted.position, atol=1e-4)
    assert np.linalg.norm(geometry.difference(tool.quaternion, wanted.quaternion)) < 1e-3
    for name, cube in zip(tasks.NAMES, twin.episode.cubes, strict=True):
        np.testing.assert_allclose(twin.object_position(name), [cube.x, cube.y, 0.02], atol=1e-4)
        assert twin.object_yaw(name) == pytest.approx(cube.yaw, abs=1e-3)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_twist_moves_the_tool_at_its_speed(twin: Twin, axis: int, sign: int) -> None:
    twist = np.zeros(6)
    twist[axis] = sign * 0.1
    before = twin.state().tool
    drive(twin, twist, 0.0, 1.0)
    twin.stop(twin.now)
    twin.advance(twin.now + SECOND)
    after = twin.state().tool
    np.testing.assert_allclose(after.position - before.position, twist[:3], atol=3e-3)
    assert np.linalg.norm(geometry.difference(after.quaternion, before.quaternion)) < 0.01


@pytest.mark.parametrize("axis", [3, 4, 5])
def test_a_turn_is_about_the_base_axes_and_leaves_the_tool_where_it_is(twin: Twin, axis: int) -> None:
    twist = np.zeros(6)
    twist[axis] = 0.3
    before = twin.state().tool
    drive(twin, twist, 0.0, 1.0)
    twin.stop(twin.now)
    twin.advance(twin.now + SECOND)
    after = twin.state().tool
    np.testing.assert_allclose(geometry.difference(after.quaternion, before.quaternion), twist[3:], atol=0.02)
    np.testing.assert_allclose(after.position, before.position, atol=3e-3)


def test_the_arm_lags_like_the_real_one(twin: Twin) -> None:
    twist = np.array([0, -0.1, 0, 0, 0, 0])
    before = twin.state().tool.position[1]
    drive(twin, twist, 0.0, 1.0)
    behind = 0.1 - (before - twin.state().tool.position[1])
    assert 0.005 < behind < 0.012  # at 0.1 m/s: 50 ms of servo lag, up to 25 ms of grid, 25 ms of ramp


def test_it_goes_on_with_the_last_twist_until_the_connection_times_out(twin: Twin) -> None:
    drive(twin, np.array([0, -0.05, 0, 0, 0, 0]), 0.0, 0.3)
    cruising = speed(twin)
    twin.advance(twin.now + 400 * MILLISECOND)
    assert speed(twin) > 0.8 * cruising
    twin.advance(twin.now + 700 * MILLISECOND)
    assert speed(twin) < 1e-3


def test_stop_brings_it_to_rest_and_the_next_command_moves_it_again(twin: Twin) -> None:
    twist = np.array([0, -0.05, 0, 0, 0, 0])
    drive(twin, twist, 0.0, 0.3)
    twin.command(twin.now, twist, 0.0)
    twin.stop(twin.now)
    twin.advance(twin.now + 400 * MILLISECOND)
    assert speed(twin) < 2e-3
    drive(twin, twist, 0.0, 0.3)
    assert speed(twin) > 0.01


def test_a_fault_stops_it_and_is_reported(twin: Twin) -> None:
    twin.fault = "joint 3 is too hot"
    drive(twin, np.array([0, -0.05, 0, 0, 0, 0]), 0.0, 0.5)
    assert speed(twin) < 1e-3
    assert twin.state().fault == "joint 3 is too hot"


def test_numbers_that_are_not_finite_stop_it(twin: Twin) -> None:
    drive(twin, np.array([0, -0.05, 0, 0, 0, 0]), 0.0, 0.3)
    drive(twin, np.full(6, np.nan), 0.0, 0.5)
    assert twin.state().is_finite()
    assert speed(twin) < 1e-3


def test_the_gripper_closes_in_the_time_of_the_data_sheet(twin: Twin) -> None:
    drive(twin, np.zeros(6), 1.0, 0.3)
    assert 0.3 < twin.state().gripper < 0.6
    drive(twin, np.zeros(6), 1.0, 0.45)
    assert twin.state().gripper == pytest.approx(1.0, abs=0.02)
    drive(twin, np.zeros(6), 0.0, 0.75)
    assert twin.state().gripper == pytest.approx(0.0, abs=0.02)


def test_the_gripper_stalls_on_a_cube_and_holds_it(twin: Twin) -> None:
    twin.place("cube_0", twin.state().tool.position, 0.0)
    drive(twin, np.zeros(6), 1.0, 0.05)
    twin.place("cube_0", twin.state().tool.position, 0.0)
    for _ in range(40):  # held in the air by hand until the fingers are on it
        twin.place("cube_0", twin.state().tool.position, 0.0)
        drive(twin, np.zeros(6), 1.0, 0.01)
    height = twin.object_position("cube_0")[2]
    drive(twin, np.zeros(6), 1.0, 1.0)
    assert 0.45 < twin.state().gripper < 0.62
    assert twin.object_position("cube_0")[2] == pytest.approx(height, abs=2e-3)


def test_pressing_on_the_table_is_felt_as_a_force_upwards(twin: Twin) -> None:
    assert np.linalg.norm(twin.state().force) < 0.5
    drive(twin, np.array([0, 0, -0.1, 0, 0, 0]), 0.0, 2.2)
    force = twin.state().force
    assert force[2] > 10
    assert force[2] > 3 * np.abs(force[:2]).max()


def test_the_same_seed_gives_the_same_motion() -> None:
    ends = []
    for _ in range(2):
        twin = Twin(load(), seed=7)
        drive(twin, np.array([0.02, 0.05, -0.05, 0, 0.1, 0.1]), 0.5, 2.0)
        ends.append(twin.data.qpos.copy())
    np.testing.assert_array_equal(*ends)


def test_a_snapshot_takes_everything_back(twin: Twin) -> None:
    twist = np.array([0.02, 0.05, -0.05, 0, 0.1, 0.1])
    drive(twin, twist, 0.7, 0.333)
    twin.command(twin.now, twist, 0.2)
    snapshot = twin.snapshot()
    ends = []
    for _ in range(2):
        twin.restore(snapshot)
        twin.advance(twin.now + SECOND)
        ends.append(np.append(twin.data.qpos, twin.now))
    np.testing.assert_allclose(ends[0], ends[1], atol=1e-9)
