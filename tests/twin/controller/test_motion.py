"""The controller with the way to it played as well: commands and gripper that come late, and a stop that overtakes them."""

from __future__ import annotations

import numpy as np
import pytest

from vla_ros.clock import MILLISECOND
from vla_ros.config import load
from vla_ros.kinematics import HOME
from vla_ros.twin.controller.motion import PERIOD, Controller

TWIST = np.array([0.0, -0.05, 0.0, 0.0, 0.0, 0.0])
STEP = 2 * MILLISECOND


def controller(delays: str) -> Controller:
    return Controller(load(overrides=[f"twin.delays={delays}"]), HOME, 0)


def moved(delays: str, steps: int = 150) -> tuple[int | None, int | None]:
    """When the targets first move and the gripper first wants to close, after one command at 0; ns."""
    c, start = controller(delays), np.array(HOME, float)
    c.command(0, TWIST, 1.0)
    arm = gripper = None
    for k in range(steps):
        if (c.step(k * STEP, STEP) != start).any() and arm is None:
            arm = k * STEP
        if c.gripper > 0 and gripper is None:
            gripper = k * STEP
    return arm, gripper


def test_a_command_comes_as_late_as_it_is_configured() -> None:
    punctual, late = moved("{}"), moved("{command: 0.1}")
    assert punctual == (0, 0)
    assert late[0] == pytest.approx(100 * MILLISECOND, abs=PERIOD)
    assert late[1] == 100 * MILLISECOND


def test_the_gripper_is_later_than_the_command_by_its_own_delay() -> None:
    assert moved("{gripper: 0.06}") == (0, 60 * MILLISECOND)
    assert moved("{command: 0.1, gripper: 0.06}")[1] == 160 * MILLISECOND


def test_a_stop_overtakes_what_is_on_its_way() -> None:
    c = controller("{command: 0.1}")
    c.command(0, TWIST, 1.0)
    c.stop()
    for k in range(100):
        c.step(k * STEP, STEP)
    np.testing.assert_array_equal(c.targets, HOME)
    assert c.gripper == 0.0


def test_a_late_command_that_is_not_finite_stops_when_it_comes() -> None:
    c = controller("{command: 0.1}")
    for k in range(100):
        c.command(k * STEP, TWIST, 0.0)
        c.step(k * STEP, STEP)
    assert c.applied.any()
    c.command(200 * MILLISECOND, np.full(6, np.nan), 0.0)
    for k in range(100, 250):
        c.step(k * STEP, STEP)
    assert not c.applied.any()


def test_what_is_on_its_way_is_in_no_snapshot() -> None:
    c = controller("{command: 0.1}")
    snapshot = c.snapshot()
    c.command(0, TWIST, 0.0)
    with pytest.raises(ValueError, match=r"twin\.delays"):
        c.snapshot()
    c.restore(snapshot)
    assert len(c.snapshot()) == Controller.SIZE
