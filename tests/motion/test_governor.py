"""What the governor lets through, on a kinematic arm whose delay is anything from 40 to 120 ms while 80 ms are configured."""

import math
from dataclasses import replace
from itertools import cycle, repeat

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_ros import geometry, kinematics
from vla_ros.clock import MILLISECOND, SECOND
from vla_ros.geometry import Pose
from vla_ros.kinematics import HOME, POSITION_LIMITS, TOOL_DOWN
from vla_ros.motion import governor, proximity
from vla_ros.motion.governor import Bounds, govern
from vla_ros.motion.ramp import AT_REST, Ramp
from vla_ros.motion.stopping import followed
from vla_ros.values import ZERO_TWIST, Verdict

from .simulator import CONFIG, PERIOD, START, Arm, above, arm_state

LIMITS, SPACE = CONFIG.limits, CONFIG.workspace
BOUNDS = Bounds(LIMITS, SPACE, CONFIG.servo.delay)
OPEN = Bounds(
    LIMITS,
    SPACE.model_copy(update={"low": (-2.0, -2.0, -2.0), "high": (2.0, 2.0, 2.0), "table": -2.0}),
    CONFIG.servo.delay,
)
"""No walls and no table: only the arm's own limits."""
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
settled = settings(max_examples=25, deadline=None, derandomize=True)


def wish_of(direction, speed, turn):
    return np.concatenate([direction[:3] * speed, direction[3:] * turn])


def drive(arm, wishes, bounds=BOUNDS, periods=None):
    """Governs the wishes, one a cycle (a twist, or a function of the arm's state); yields the ruling and the tool's velocity.

    `periods` are the lengths of the cycles, ns.
    """
    ramp = AT_REST
    before = arm.state().tool.position
    for wish, period in zip(wishes, periods or repeat(PERIOD), strict=False):
        state, dt = arm.state(), period / SECOND
        ruling = govern(wish(state) if callable(wish) else wish, state, ramp, dt, bounds)
        ramp = ruling.ramp
        arm.send(ruling.twist)
        arm.advance(period)
        position = arm.state().tool.position
        yield ruling, (position - before) / dt
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


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    places,
    delays,
    phases,
    st.sampled_from([100, 250]),
    st.lists(st.floats(0.2, 2.0), min_size=5, max_size=5),
)
def test_jittering_cycles_at_any_rate_hold_the_same_bounds(position, delay, sequence, rate, shares):
    joints = reachable(position)
    if joints is None:
        return
    arm = Arm(joints, delay)
    wishes = [wish_of(d, speed, turn) for d, speed, turn, cycles in sequence for _ in range(cycles * rate // 100)]
    for _, velocity in drive(arm, wishes, periods=cycle([round(share * SECOND / rate) for share in shares])):
        check(arm, velocity)


@settled
@given(places, delays, st.lists(st.tuples(directions, st.integers(20, 120)), min_size=1, max_size=3))
def test_no_goal_draws_the_tool_out(position, delay, goals):
    joints = reachable(position)
    if joints is None:
        return

    def towards(goal):
        return lambda state: np.concatenate([4.0 * (goal - state.tool.position), np.zeros(3)])

    arm = Arm(joints, delay)
    wishes = [towards(np.array([0.47, 0, 0.2]) + 0.6 * goal[:3]) for goal, cycles in goals for _ in range(cycles)]
    for _, velocity in drive(arm, wishes):
        check(arm, velocity)


CORNERS = [(x, y, z) for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1) if (x, y, z) != (0, 0, 0)]


@pytest.mark.parametrize("direction", CORNERS)
@pytest.mark.parametrize("delay", [40, 120])
def test_full_speed_against_walls_and_along_them(direction, delay):
    half = (HIGH - LOW) / 2 - np.array([0.04, 0.05, 0.08])
    joints = reachable((LOW + HIGH) / 2 + np.array(direction) * half)
    assert joints is not None
    arm = Arm(joints, delay * MILLISECOND)
    away = np.array([*direction, 0, 0, 0]) * 0.3
    along = np.array([-direction[0], direction[1], direction[2], 0, 0, 0]) * 0.3
    for _, velocity in drive(arm, [away] * 80 + [along] * 45):
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
@given(places)
def test_every_place_of_the_box_can_be_left(position):
    joints = reachable(position)
    if joints is None:
        return
    state = arm_state(joints, START)
    towards = np.array([0.47, 0.0, 0.2]) - position
    wish = np.concatenate([0.1 * towards / max(1e-6, np.linalg.norm(towards)), np.zeros(3)])
    assert govern(wish, state, AT_REST, DT, BOUNDS).twist @ wish > 0


@settings(max_examples=25, deadline=None, derandomize=True)
@given(directions, st.floats(0.01, 10.0))
def test_caps_scale_with_the_direction_kept(direction, size):
    if np.abs(direction).max() < 0.05:
        return
    wish, state, ramp = direction * size, arm_state(HOME, START), AT_REST
    for _ in range(90):
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
    state = arm_state(joints, START)
    k = kinematics.kinematics(joints)
    further = k.jacobian @ (np.eye(7)[1] * 0.3)
    ramp, back = AT_REST, AT_REST
    for _ in range(100):
        ruling = govern(further, state, ramp, DT, OPEN)
        retreat = govern(-further, state, back, DT, OPEN)
        ramp, back = ruling.ramp, retreat.ramp
    assert ruling.verdict is Verdict.JOINT_LIMIT
    assert kinematics.joint_rates(k, joints, ruling.twist)[1] <= 0.08 + 1e-6
    assert retreat.verdict is not Verdict.JOINT_LIMIT
    assert np.linalg.norm(retreat.twist) > 2 * np.linalg.norm(ruling.twist)


@settings(max_examples=10, deadline=None, derandomize=True)
@given(st.integers(0, 2).map(lambda i: (1, 3, 5)[i]), st.sampled_from([-1, 1]), delays)
def test_driving_a_joint_to_its_end_never_reaches_it(joint, sign, delay):
    joints = HOME.copy()
    joints[joint] = sign * (POSITION_LIMITS[joint] - 0.35)
    arm, ramp = Arm(joints, delay), AT_REST
    for _ in range(250):
        state = arm.state()
        wish = kinematics.kinematics(state.joints).jacobian @ (np.eye(7)[joint] * sign * 0.8)
        ruling = govern(wish, state, ramp, DT, OPEN)
        ramp = ruling.ramp
        arm.send(ruling.twist)
        arm.advance(PERIOD)
        assert abs(kinematics.wrapped(arm.joints)[joint]) < POSITION_LIMITS[joint]


# Self-collision, on an arm without walls and table.


def apart(joints):
    """m between the two nearest parts of the arm."""
    return proximity.nearest(kinematics.link_frames(joints)).distances.min()


def onto_itself(state):
    """The twist that brings the nearest two parts of the arm together fastest, far over the caps."""
    k = kinematics.kinematics(state.joints)
    near = proximity.nearest(k.frames)
    gradient = proximity.gradients(near, k.frames)[near.distances.argmin()] @ followed(k)
    return -3.0 * gradient / max(np.linalg.norm(gradient), 1e-9)


JOINT_RANGE = np.where(np.isfinite(POSITION_LIMITS), POSITION_LIMITS, math.pi)


def joints_where(accept, seed, share=0.98):
    """Joints drawn inside `share` of their limits until they are accepted."""
    rng = np.random.default_rng(seed)
    return next(q for q in (rng.uniform(-JOINT_RANGE, JOINT_RANGE) * share for _ in range(10_000)) if accept(q))


def between(low, high):
    return lambda joints: low < apart(joints) < high


seeds = st.integers(0, 10**6)
near_itself = seeds.map(lambda seed: joints_where(between(0.021, 0.08), seed))
kept_apart = settings(max_examples=12, deadline=None, derandomize=True)


@kept_apart
@given(near_itself, delays, st.lists(st.tuples(directions, st.booleans(), st.integers(10, 60)), min_size=2, max_size=4))
def test_no_sequence_of_wishes_brings_the_arm_onto_itself(joints, delay, sequence):
    arm = Arm(joints, delay)
    wishes = [
        onto_itself if attacks else wish_of(direction, 0.3, 1.0)
        for direction, attacks, cycles in sequence
        for _ in range(cycles)
    ]
    for _ in drive(arm, wishes, OPEN):
        assert apart(arm.joints) > LIMITS.self_distance - 0.001


@settings(max_examples=6, deadline=None, derandomize=True)
@given(near_itself, delays)
def test_full_speed_onto_itself_ends_at_the_distance_and_the_way_back_is_free(joints, delay):
    arm = Arm(joints, delay)
    for _ in drive(arm, [onto_itself] * 200, OPEN):
        assert apart(arm.joints) > LIMITS.self_distance - 0.001
    closest = apart(arm.joints)
    rulings = [ruling for ruling, _ in drive(arm, [lambda state: -0.02 * onto_itself(state)] * 60, OPEN)]
    assert all(np.abs(ruling.twist).max() > 1e-6 for ruling in rulings[20:])
    assert apart(arm.joints) > closest


@kept_apart
@given(seeds.map(lambda seed: joints_where(between(0.002, 0.019), seed)), delays, directions)
def test_where_the_arm_is_too_near_itself_already_only_the_way_apart_is_open(joints, delay, direction):
    arm, start = Arm(joints, delay), apart(joints)
    for ruling, _ in drive(arm, [onto_itself] * 30, OPEN):
        assert not ruling.twist.any()
        assert ruling.verdict in (Verdict.SELF_COLLISION, Verdict.JOINT_LIMIT, Verdict.MANIPULABILITY)
    for _ in drive(arm, [wish_of(direction, 0.1, 0.5)] * 60, OPEN):
        assert apart(arm.joints) > start - 0.001


def test_an_approach_is_slowed_in_its_direction_and_named():
    joints = joints_where(lambda q: between(0.03, 0.04)(q) and kinematics.kinematics(q).manipulability > 0.04, 1, 0.8)
    state, ramp = arm_state(joints, START), AT_REST
    wish = 0.03 * onto_itself(state)
    for _ in range(5):
        ruling = govern(wish, state, ramp, DT, OPEN)
        ramp = ruling.ramp
    slowed, verdict = governor._bounded(wish, governor.survey(state), OPEN)
    assert verdict is Verdict.SELF_COLLISION
    assert ruling.verdict is Verdict.SELF_COLLISION
    assert 0 < slowed @ wish / (wish @ wish) < 0.9
    assert np.allclose(slowed, (slowed @ wish) / (wish @ wish) * wish, atol=1e-12)
    assert np.allclose(ramp.twist, (ramp.twist @ wish) / (wish @ wish) * wish, atol=1e-12)
    away, verdict = governor._bounded(-wish, governor.survey(state), OPEN)
    assert verdict is Verdict.OK
    assert np.allclose(away, -wish)


def test_over_the_table_nothing_is_slowed_for_the_arm_itself():
    arm = Arm(HOME, 80 * MILLISECOND)
    for ruling, _ in drive(arm, [np.array([-0.15, 0.05, 0, 0, 0.3, 0.3])] * 60):
        assert ruling.verdict is not Verdict.SELF_COLLISION


# No two rules fight.


def in_a_corner(seed):
    rng = np.random.default_rng(seed)
    half = (HIGH - LOW) / 2 - np.array([0.001, 0.001, 0.08])
    return reachable((LOW + HIGH) / 2 + rng.choice([-1, 1], 3) * half)


def at_the_table(seed):
    rng = np.random.default_rng(seed)
    x, y, _ = LOW + rng.random(3) * (HIGH - LOW)
    return reachable((x, y, rng.uniform(0.0255, 0.033)))


def near_joint_limits(seed):
    def bent(joints):
        return np.where(np.isfinite(POSITION_LIMITS) & (which < 0.5), np.sign(joints) * POSITION_LIMITS * ends, joints)

    rng = np.random.default_rng(seed)
    which, ends = rng.random(7), rng.uniform(0.98, 0.999, 7)
    return bent(joints_where(lambda q: apart(bent(q)) > LIMITS.self_distance, seed))


def hardly_movable(seed):
    return joints_where(
        lambda q: kinematics.kinematics(q).manipulability < 0.012 and apart(q) > LIMITS.self_distance, seed
    )


def close_to_itself(seed):
    return joints_where(between(LIMITS.self_distance, LIMITS.self_distance + 0.004), seed)


SITUATIONS = [
    (in_a_corner, BOUNDS),
    (at_the_table, BOUNDS),
    (near_joint_limits, OPEN),
    (hardly_movable, OPEN),
    (close_to_itself, OPEN),
]
AXES = [sign * np.eye(6)[axis] * (0.05 if axis < 3 else 0.3) for axis in range(6) for sign in (1, -1)]


def governed(joints, wish, bounds, force, cycles):
    """The twists (cycles, 6) that a constant wish gets, on an arm that moves by them."""
    arm, ramp, twists = Arm(joints, 80 * MILLISECOND), AT_REST, []
    for _ in range(cycles):
        ramp = govern(wish, replace(arm.state(), force=force), ramp, DT, bounds).ramp
        twists.append(ramp.twist)
        arm.send(ramp.twist)
        arm.advance(PERIOD)
    return np.array(twists)


forces = st.tuples(directions, st.sampled_from([0.0, 19.0, 34.0])).map(
    lambda f: f[0][:3] / max(np.linalg.norm(f[0][:3]), 1e-6) * f[1]
)


@pytest.mark.parametrize(("situation", "bounds"), SITUATIONS)
@settings(max_examples=8, deadline=None, derandomize=True)
@given(seed=seeds, force=forces)
def test_from_every_state_inside_the_limits_some_axis_is_free(situation, bounds, seed, force):
    joints = situation(seed)
    if joints is None:
        return
    assert any(np.abs(governed(joints, wish, bounds, force, 50)[-1]).max() > 1e-5 for wish in AXES)


@pytest.mark.parametrize(("situation", "bounds"), SITUATIONS)
@settings(max_examples=4, deadline=None, derandomize=True)
@given(seed=seeds, force=forces, direction=directions)
def test_no_constant_wish_into_the_free_makes_the_twist_change_its_sign(situation, bounds, seed, force, direction):
    joints = situation(seed)
    if joints is None:
        return
    wish = wish_of(direction, 0.15, 0.5)
    if (
        bounds is BOUNDS
    ):  # away from walls and table, nothing in the way; the other states have no walls, and any way will do
        wish[:3] = np.abs(wish[:3]) * np.sign((LOW + HIGH) / 2 - kinematics.forward(joints).position)
        force = np.zeros(3)
    twists = governed(joints, wish, bounds, force, 100)
    for component in twists.T:
        signs = np.sign(component[np.abs(component) > 1e-7])
        assert (signs == signs[:1]).all()


@settled
@given(st.lists(st.floats(-1, 1), min_size=7, max_size=7).map(np.array))
def test_two_joints_at_their_ends_can_be_led_back_together(offset):
    limits = JOINT_RANGE * 0.999
    joints = np.clip(HOME + offset * 1.2, -limits, limits)
    state = arm_state(joints, START)
    # the twist that leads every limited joint away from its end: where two are at theirs, no single axis may do
    follow = np.linalg.pinv(kinematics.kinematics(joints).jacobian)[[1, 3, 5]]
    back = np.linalg.lstsq(follow, -np.sign(joints[[1, 3, 5]]), rcond=None)[0]
    allowed = 0
    for wish in (*AXES, 0.05 * back / np.linalg.norm(back)):
        ramp = AT_REST
        for _ in range(5):
            ramp = govern(wish, state, ramp, DT, OPEN).ramp
        allowed += bool(np.abs(ramp.twist).max() > 1e-5)
    assert allowed > 0


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
