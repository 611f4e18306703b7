"""The table by touch: the plane, what is refused, and in the twin that a servo made for it touches slowly, gently, and right."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vla_ros import kinematics
from vla_ros.arms.twin import LocalTwinArm
from vla_ros.calibration import table
from vla_ros.calibration.table import TableError
from vla_ros.clock import MILLISECOND, SECOND
from vla_ros.config import load
from vla_ros.geometry import Pose
from vla_ros.motion.cycle import Inputs, Requests, ServoCycle
from vla_ros.motion.outlet import Wire
from vla_ros.twin.physics import Twin
from vla_ros.values import Mode, Teleop

CONFIG = load()
BOX = CONFIG.workspace
PERIOD = 10 * MILLISECOND


def touches(height=0.0, slope=(0.0, 0.0), noise=0.0, count=5):
    places = table.places(BOX, count)
    heights = height + (places - [0.47, 0.0]) @ np.array(slope)
    return [np.array([*p, z + noise * (-1) ** i]) for i, (p, z) in enumerate(zip(places, heights, strict=True))]


@pytest.mark.parametrize("count", [3, 4, 5, 7, 9])
def test_the_plane_is_found_from_three_touches_on(count):
    found = table.fit(touches(0.0123, (0.004, -0.006), count=count), BOX)
    at = found.height + (np.array([0.47, 0.0]) - found.middle) @ found.slope
    assert at == pytest.approx(0.0123, abs=1e-9)
    np.testing.assert_allclose(found.slope, [0.004, -0.006], atol=1e-9)
    assert found.tilt == pytest.approx(math.hypot(0.004, 0.006), rel=1e-3)
    assert np.abs(found.residuals).max() < 1e-9


def test_the_governor_is_told_the_highest_point_in_the_box():
    found = table.fit(touches(0.01, (0.0, 0.01)), BOX)
    assert found.highest == pytest.approx(0.01 + 0.01 * BOX.high[1])


def test_touches_lie_in_the_box_and_spread_over_it():
    for count in (3, 5, 8):
        places = table.places(BOX, count)
        assert len(places) == count
        assert (places > np.array(BOX.low[:2]) + 0.02).all()
        assert (places < np.array(BOX.high[:2]) - 0.02).all()
        assert np.ptp(places, axis=0).min() > 0.15


@pytest.mark.parametrize(
    ("points", "words"),
    [
        (touches()[:2], "2 touches do not make a plane"),
        ([np.array([0.4, y, 0.0]) for y in (-0.2, 0.0, 0.2)], "on one line"),
        (touches(0.0, (0.02, 0.0)), "leans by 1.15°"),
        ([*touches()[:4], np.array([0.47, 0.0, 0.006])], "touch 5 is .4.8 mm off the plane"),
    ],
)
def test_what_is_no_level_table_is_refused(points, words):
    with pytest.raises(TableError, match=words):
        table.fit(points, BOX)


def test_too_few_touches_are_refused_before_the_arm_moves():
    with pytest.raises(TableError, match="at least 3"):
        table.places(BOX, 2)


def test_an_ordinary_servo_is_not_one_that_may_touch():
    assert not table.may_touch(CONFIG)
    assert table.may_touch(touching())


def touching(offset=0.0, search=table.SEARCH):
    base = load(overrides=["twin.cleared=true", f"twin.table_offset={offset}"])
    settings = table.touching(base, search)
    return load(overrides=["twin.cleared=true", *(f"{name}={value}" for name, value in settings.items())])


class Hand:
    """A hand at the teleop of a servo cycle on a twin, in virtual time; fingers closed."""

    def __init__(self, config, tool):
        self.twin, self.cycle = Twin(config), ServoCycle(config)
        self.twin.data.qpos[:7] = joints = kinematics.inverse_kinematics(tool)
        self.twin.controller.targets = joints.copy()
        self.now = self.twin.now
        self.arm = LocalTwinArm(self.twin)
        self.wire = Wire(config, self.arm)
        self.speeds, self.forces = [], []
        self.lead(np.zeros(3), 1.0)
        assert self.cycle.mode is Mode.TELEOP

    def lead(self, velocity, seconds, until=lambda arm: False):
        end = self.now + int(seconds * SECOND)
        while self.now < end:
            arm = self.arm.read(self.now)
            if until(arm):
                return True
            hand = Teleop(self.now, np.concatenate([velocity, np.zeros(3)]), 1.0)
            inputs = Inputs(arm, {}, self.now, teleop=hand, requests=Requests(enable=self.cycle.mode is Mode.DISARMED))
            command = self.cycle.step(self.now, inputs)
            self.wire.act(self.now, command)
            self.now += PERIOD
            self.twin.advance(self.now)
            self.speeds.append((arm.tool.position[2], float(np.linalg.norm(command.twist[:3]))))
            self.forces.append(float(arm.force[2]))
        return False


def test_closed_fingers_of_the_twin_end_where_the_touch_is_reckoned():
    config = touching()
    hand = Hand(config, table.above(config.workspace, np.array([0.45, 0.05]), 0.08))
    hand.lead(np.zeros(3), 1.5)
    model, data = hand.twin.model, hand.twin.data
    fingers = [model.body(name).id for name in ("left_finger", "right_finger", "left_link", "right_link")]
    lowest = min(_lowest(model, data, g) for g in range(model.ngeom) if model.geom_bodyid[g] in fingers)
    assert table.touched(hand.twin.state().tool)[2] == pytest.approx(lowest, abs=0.0005)


def _lowest(model, data, geom):
    """Lowest point of a box or capsule, base frame."""
    axes, size = data.geom_xmat[geom].reshape(3, 3), model.geom_size[geom]
    if model.geom_type[geom] == 6:  # a box
        return data.geom_xpos[geom][2] - np.abs(axes[2]) @ size
    return data.geom_xpos[geom][2] - abs(axes[2, 2]) * size[1] - size[0]


@pytest.mark.parametrize("offset", [-0.008, 0.0, 0.006])
def test_the_twin_is_touched_where_its_table_is(offset):
    config = touching(offset)
    place = np.array([0.42, -0.1])
    hand = Hand(config, table.above(config.workspace, place, config.workspace.transit_clearance + 0.015))
    free = float(np.mean(hand.forces[-20:]))
    down = np.array([0.0, 0.0, -table.DESCENT])
    assert hand.lead(down, 15.0, lambda arm: arm.force[2] - free > table.TOUCH)
    hand.lead(np.zeros(3), 0.5)
    assert table.touched(hand.twin.state().tool)[2] == pytest.approx(offset, abs=0.0005)
    assert max(hand.forces) < table.PUSH
    assert hand.lead(np.array([0.0, 0.0, 0.02]), 3.0, lambda arm: arm.tool.position[2] > 0.06 + offset)
    assert hand.cycle.mode is Mode.TELEOP


def test_whatever_the_hand_wants_the_governor_keeps_the_touch_slow_and_gentle():
    config = touching(0.004)
    hand = Hand(config, table.above(config.workspace, np.array([0.5, 0.1]), 0.10))
    hand.lead(np.array([0.0, 0.0, -0.2]), 12.0)  # nobody looks at the force
    zone = config.workspace.table + config.workspace.transit_clearance + 0.022
    fastest = max(speed for height, speed in hand.speeds if height < zone)
    assert fastest < 1.05 * table.SPEED
    assert max(hand.forces) < table.TOO_MUCH
    assert hand.cycle.mode is Mode.TELEOP


def test_a_table_below_what_may_be_searched_is_not_touched():
    config = touching(-0.025)
    hand = Hand(config, table.above(config.workspace, np.array([0.5, 0.1]), 0.05))
    assert not hand.lead(np.array([0.0, 0.0, -0.01]), 12.0, lambda arm: arm.force[2] > table.TOUCH)
    bottom = kinematics.finger_bottom(hand.twin.state().tool)
    assert bottom > config.workspace.table
    assert bottom == pytest.approx(config.workspace.table + 0.001, abs=0.001)


def test_the_provisional_table_never_moves_that_of_the_twin():
    base = load(overrides=["twin.table_offset=0.003"])
    made = touching(0.003)
    assert made.workspace.table + made.twin.table_offset == pytest.approx(base.workspace.table + 0.003)


def test_the_touched_point_is_below_the_tool_and_turns_with_it():
    tool = Pose(np.array([0.4, 0.1, 0.2]), kinematics.TOOL_DOWN)
    np.testing.assert_allclose(table.touched(tool), [0.4, 0.1, 0.2 - kinematics.FINGER_BELOW_TOOL], atol=1e-4)
