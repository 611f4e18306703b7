"""What the governor lets through, on a kinematic arm whose delay is anything from 40 to 120 ms while 80 ms are configured."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_ros import geometry, kinematics
from vla_ros.clock import MILLISECOND
from vla_ros.geometry import Pose
from vla_ros.kinematics import HOME, POSITION_LIMITS, TOOL_DOWN
from vla_ros.motion import governor
from vla_ros.motion.governor import Bounds, govern
from vla_ros.motion.ramp import AT_REST, Ramp
from vla_ros.values import ZERO_TWIST, Verdict

from .simulator import CONFIG, PERIOD, START, Arm, above, arm_state

LIMITS, SPACE = CONFIG.limits, CONFIG.workspace
BOUNDS = Bounds(LIMITS, SPACE, CONFIG.servo.delay)
LOW, HIGH = np.array(SPACE.low), np.array(SPACE.high)
DT = 0.01
LOW_CORNER, HIGH_CORNER = LOW + np.array([0.005, 0.005, 0.035]), HIGH - np.array([0.005, 0.005, 0.08])
unit = st.floats(0, 1)
signed = st.floats(-1, 1)
places = st.tuples(unit, unit, unit).map(lambda u: LOW_CORNER + np.array(u) * (HIGH_CORNER - LOW_CORNER))
directions = st.lists(signed, min_size=6, max_size=6).map(np.array)
delays = st.integers(40, 120).map(lambda ms: ms * MILLISECOND)
phases = st.lists(
    st.tuples(directions, st.sampled_from([0.0, 0.05, 0.3, 100.0]), st.sampled_from([0.0, 0.5]), st.integers(5, 90)),
    min_size=2,
    max_size=5,
)
settled = settings(max_examples=40, deadline=None, derandomize=True)


def wish_of(direction, speed, turn):
    return np.concatenate([direction[:3] * speed, direction[3:] * turn])


def drive(arm, wishes):
    """Governs the wishes, one a cycle (a twist, or a function of the tool); yields the ruling and the tool's velocity."""
    ramp = AT_REST
    before = arm.state().tool.position
    for wish in wishes:
        state = arm.state()
        ruling = govern(wish(state.tool) if callable(wish) else wish, state, ramp, DT, BOUNDS)
        ramp = ruling.ramp
        arm.send(ruling.twist)
        arm.advance(PERIOD)
        position = arm.state().tool.position
        yield ruling, (position - before) / DT
        before = position


def reachable(position):
    try:
        return above(position)
    except ValueError:
        return None


def check(arm, velocity):
    """The bounds of the box, the table and the joints."""
    tool = arm.state().tool
    assert (tool.position > LOW - 0.001).all()
    assert (tool.position < HIGH + 0.001).all()
    air = kinematics.finger_bottom(tool) - SPACE.table
    assert air > SPACE.grasp_clearance - 0.001
    if math.hypot(velocity[0], velocity[1], min(0.0, velocity[2])) > SPACE.grasp_speed * 1.03:
        assert air > SPACE.transit_clearance - 0.001
    assert (np.abs(kinematics.wrapped(arm.joints)) < POSITION_LIMITS).all()


@settled
@given(places, delays, phases)
def test_no_sequence_of_wishes_leaves_box_table_or_joint_limits(position, delay, sequence):
    joints = reachable(position)
    if joints is None:
        return
    arm = Arm(joints, delay)
    wishes = [wish_of(d, speed, turn) for d, speed, turn, cycles in sequence for _ in range(cycles)]
    for _, velocity in drive(arm, wishes):
        check(arm, velocity)


@settled
@given(places, delays, st.lists(st.tuples(directions, st.integers(20, 120)), min_size=1, max_size=3))
def test_no_goal_draws_the_tool_out(position, delay, goals):
    joints = reachable(position)
    if joints is None:
        return

    def towards(goal):
        return lambda tool: np.concatenate([4.0 * (goal - tool.position), np.zeros(3)])

    arm = Arm(joints, delay)
    wishes = [towards(np.array([0.47, 0, 0.2]) + 0.6 * goal[:3]) for goal, cycles in goals for _ in range(cycles)]
    for _, velocity in drive(arm, wishes):
        check(arm, velocity)


CORNERS = [(x, y, z) for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1) if (x, y, z) != (0, 0, 0)]


@pytest.mark.parametrize("direction", CORNERS)
@pytest.mark.parametrize("delay", [40, 80, 120])
def test_full_speed_against_walls_and_along_them(direction, delay):
    arm = Arm(above((0.47, 0.05, 0.2)), delay * MILLISECOND)
    away = np.array([*direction, 0, 0, 0]) * 0.3
    along = np.array([-direction[0], direction[1], direction[2], 0, 0, 0]) * 0.3
    for _, velocity in drive(arm, [away] * 200 + [along] * 150):
        check(arm, velocity)


@pytest.mark.parametrize("axis", [0, 1])
def test_a_tool_that_sits_at_a_wall_is_near_it(axis):
    arm = Arm(above((0.47, 0.0, 0.2)), 80 * MILLISECOND)
    wish = np.eye(6)[axis] * 0.15
    for _ in drive(arm, [wish] * 800):
        pass
    assert HIGH[axis] - 0.004 < arm.state().tool.position[axis] <= HIGH[axis] + 0.001


def test_the_fingers_come_down_to_the_grasp_clearance():
    arm = Arm(above((0.47, 0.0, 0.15)), 80 * MILLISECOND)
    for _ in drive(arm, [np.array([0, 0, -0.15, 0, 0, 0])] * 800):
        pass
    air = kinematics.finger_bottom(arm.state().tool)
    assert SPACE.grasp_clearance - 0.001 < air < SPACE.grasp_clearance + 0.002


def test_turning_does_not_lower_a_finger_into_the_table():
    arm = Arm(above((0.47, 0.0, 0.03)), 80 * MILLISECOND)
    for _, velocity in drive(arm, [np.array([0, 0, 0, 0.5, 0, 0])] * 150 + [np.array([0, 0, 0, -0.5, 0.5, 0])] * 200):
        check(arm, velocity)


@pytest.mark.parametrize("offset", [(0.03, 0, 0), (-0.05, 0, 0), (0, 0.04, 0), (0, -0.04, 0), (0.03, 0.04, 0)])
def test_outside_the_box_nothing_pulls_and_the_way_in_is_free(offset):
    middle = np.array([0.47, 0.0, 0.2])
    outside = np.where(np.array(offset) > 0, HIGH, np.where(np.array(offset) < 0, LOW, middle)) + offset
    state = arm_state(above(outside), START)
    assert not govern(ZERO_TWIST, state, AT_REST, DT, BOUNDS).twist.any()
    inward = np.concatenate([-np.sign(offset) * 0.05, np.zeros(3)])
    ruling = govern(inward, state, AT_REST, DT, BOUNDS)
    assert ruling.twist @ inward > 0
    outward = govern(-inward, state, AT_REST, DT, BOUNDS)
    assert np.abs(outward.twist).max() < 1e-9
    assert outward.verdict is Verdict.WALL
    arm = Arm(above(outside), 120 * MILLISECOND)
    for _ in drive(arm, [inward * 3] * 300):
        pass
    assert (arm.state().tool.position > LOW - 0.001).all()
    assert (arm.state().tool.position < HIGH + 0.001).all()


def test_with_fingers_under_the_clearance_only_down_is_closed():
    state = arm_state(above((0.47, 0.0, 0.0235)), START)
    assert kinematics.finger_bottom(state.tool) < SPACE.grasp_clearance
    assert not govern(np.array([0, 0, -0.05, 0, 0, 0.0]), state, AT_REST, DT, BOUNDS).twist.any()
    for wish in ([0, 0, 0.05, 0, 0, 0], [0.03, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0.2]):
        assert govern(np.array(wish, float), state, AT_REST, DT, BOUNDS).twist.any()


@settled
@given(st.lists(st.floats(-1, 1), min_size=7, max_size=7).map(np.array))
def test_no_state_inside_the_limits_is_a_trap(offset):
    limits = np.where(np.isfinite(POSITION_LIMITS), POSITION_LIMITS, math.pi)
    joints = kinematics.wrapped(np.clip(HOME + offset * 1.2, -limits * 0.999, limits * 0.999))
    state = arm_state(joints, START)
    open_workspace = SPACE.model_copy(update={"low": (-2.0, -2.0, -2.0), "high": (2.0, 2.0, 2.0), "table": -2.0})
    bounds = Bounds(LIMITS, open_workspace, CONFIG.servo.delay)
    allowed = 0
    # the twist that leads every limited joint away from its end: where two are at theirs, no single axis may do
    follow = np.linalg.pinv(kinematics.kinematics(joints).jacobian)[[1, 3, 5]]
    back = np.linalg.lstsq(follow, -np.sign(joints[[1, 3, 5]]), rcond=None)[0]
    for wish in (*(np.eye(6) * 0.05), *(np.eye(6) * -0.05), 0.05 * back / np.linalg.norm(back)):
        ramp = AT_REST
        for _ in range(5):
            ramp = govern(wish, state, ramp, DT, bounds).ramp
        allowed += bool(np.abs(ramp.twist).max() > 1e-5)
    assert allowed > 0


@settled
@given(places)
def test_every_place_of_the_box_can_be_left(position):
    joints = reachable(position)
    if joints is None:
        return
    state = arm_state(joints, START)
    towards = np.array([0.47, 0.0, 0.2]) - position
    wish = np.concatenate([0.1 * towards / max(1e-6, np.linalg.norm(towards)), np.zeros(3)])
    assert govern(wish, state, AT_REST, DT, BOUNDS).twist @ wish > 0


@settled
@given(directions, st.floats(0.01, 10.0))
def test_caps_scale_with_the_direction_kept(direction, size):
    if np.abs(direction).max() < 0.05:
        return
    wish, state, ramp = direction * size, arm_state(HOME, START), AT_REST
    for _ in range(200):
        ruling = govern(wish, state, ramp, DT, BOUNDS)
        ramp = ruling.ramp
    if ruling.verdict in (Verdict.OK, Verdict.SPEED_LIMITED, Verdict.ACCELERATION_LIMITED):
        share = ruling.twist @ wish / (wish @ wish)
        assert 0 < share <= 1 + 1e-9
        assert np.allclose(ruling.twist, share * wish, atol=1e-6)
    assert np.linalg.norm(ruling.twist[:3]) <= LIMITS.speed * (1 + 1e-9)
    assert np.linalg.norm(ruling.twist[3:]) <= LIMITS.turn_speed * (1 + 1e-9)


bad = st.sampled_from([math.nan, math.inf, -math.inf, 1e308, -1e308, 1e200])


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    bad, st.integers(0, 5), st.sampled_from(["wish", "joints", "velocities", "torques", "force", "position", "gripper"])
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_nothing_that_is_not_finite_leaves(value, index, where):
    state, wish = arm_state(HOME, START), np.array([0.1, 0, 0, 0, 0, 0])
    if where == "wish":
        wish[index] = value
    elif where == "gripper":
        state = replace(state, gripper=value)
    elif where == "position":
        position = state.tool.position.copy()
        position[index % 3] = value
        state = replace(state, tool=Pose(position, state.tool.quaternion))
    else:
        numbers = getattr(state, where).copy()
        numbers[index % len(numbers)] = value
        state = replace(state, **{where: numbers})
    ramp = Ramp(np.array([0.1, 0, 0, 0, 0, 0]), ZERO_TWIST)
    for _ in range(3):
        ruling = govern(wish, state, ramp, DT, BOUNDS)
        ramp = ruling.ramp
        assert np.isfinite(ruling.twist).all()
        assert np.isfinite(ruling.ramp.rate).all()
        assert 0.0 <= ruling.scale <= 1.0
        assert np.linalg.norm(ruling.twist[:3]) <= LIMITS.speed * (1 + 1e-9)


def ruled(wish, cycles=120, **changes):
    state, ramp = replace(arm_state(HOME, START), **changes), AT_REST
    for _ in range(cycles):
        ruling = govern(np.array(wish, float), state, ramp, DT, BOUNDS)
        ramp = ruling.ramp
    return ruling


def test_a_force_removes_only_the_component_that_pushes_against_it():
    force = np.array([0.0, 0.0, 25.0])
    pushing = ruled([0.05, 0, -0.05, 0, 0, 0], force=force)
    assert pushing.verdict is Verdict.FORCE
    assert pushing.twist[2] == pytest.approx(0, abs=1e-9)
    assert pushing.twist[0] == pytest.approx(0.05, abs=1e-6)
    retreating = ruled([0, 0, 0.05, 0, 0, 0], force=force)
    assert retreating.verdict is Verdict.OK
    assert retreating.twist[2] == pytest.approx(0.05, abs=1e-6)
    assert ruled([0, 0, -0.05, 0, 0, 0], force=np.array([0, 0, 20.0])).verdict is Verdict.OK


def test_a_joint_in_its_margin_slows_and_its_way_back_is_free():
    joints = HOME.copy()
    joints[1] = POSITION_LIMITS[1] - 0.08
    open_workspace = SPACE.model_copy(update={"low": (-2.0, -2.0, -2.0), "high": (2.0, 2.0, 2.0), "table": -2.0})
    bounds = Bounds(LIMITS, open_workspace, CONFIG.servo.delay)
    state = arm_state(joints, START)
    k = kinematics.kinematics(joints)
    further = k.jacobian @ (np.eye(7)[1] * 0.3)
    ramp, back = AT_REST, AT_REST
    for _ in range(100):
        ruling = govern(further, state, ramp, DT, bounds)
        retreat = govern(-further, state, back, DT, bounds)
        ramp, back = ruling.ramp, retreat.ramp
    assert ruling.verdict is Verdict.JOINT_LIMIT
    assert kinematics.joint_rates(k, joints, ruling.twist)[1] <= 0.08 + 1e-6
    assert retreat.verdict is not Verdict.JOINT_LIMIT
    assert np.linalg.norm(retreat.twist) > 2 * np.linalg.norm(ruling.twist)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.integers(0, 2).map(lambda i: (1, 3, 5)[i]), st.sampled_from([-1, 1]), delays)
def test_driving_a_joint_to_its_end_never_reaches_it(joint, sign, delay):
    open_workspace = SPACE.model_copy(update={"low": (-2.0, -2.0, -2.0), "high": (2.0, 2.0, 2.0), "table": -2.0})
    bounds = Bounds(LIMITS, open_workspace, CONFIG.servo.delay)
    joints = HOME.copy()
    joints[joint] = sign * (POSITION_LIMITS[joint] - 0.35)
    arm, ramp = Arm(joints, delay), AT_REST
    for _ in range(250):
        state = arm.state()
        wish = kinematics.kinematics(state.joints).jacobian @ (np.eye(7)[joint] * sign * 0.8)
        ruling = govern(wish, state, ramp, DT, bounds)
        ramp = ruling.ramp
        arm.send(ruling.twist)
        arm.advance(PERIOD)
        assert abs(kinematics.wrapped(arm.joints)[joint]) < POSITION_LIMITS[joint]


def test_braking_speed_stops_in_its_distance():
    for distance in (0.001, 0.01, 0.1):
        speed = governor.braking_speed(distance, 0.5, 0.18)
        assert speed * 0.18 + speed * speed / (2 * 0.5) == pytest.approx(distance)
    assert governor.braking_speed(0.0, 0.5, 0.18) == 0.0
    assert governor.braking_speed(-1.0, 0.5, 0.18) == 0.0


def test_the_share_says_how_far_along_the_wish_the_twist_goes():
    assert ruled([0.1, 0, 0, 0, 0, 0]).scale == pytest.approx(1.0)
    assert ruled([0.3, 0, 0, 0, 0, 0]).scale == pytest.approx(0.5)
    assert ruled([0, 0, 0, 0, 0, 0]).scale == 1.0
    tilted = Pose(np.array([0.47, 0, 0.2]), geometry.multiply(geometry.exp(np.array([0.2, 0, 0])), TOOL_DOWN))
    assert kinematics.finger_bottom(tilted) < kinematics.finger_bottom(Pose(tilted.position, TOOL_DOWN))
