"""What measures the proof: on records that are made up, so that what it must find is known; and a few real cases."""

import dataclasses

import numpy as np
import pytest

from vla_ros import kinematics
from vla_ros.clock import MILLISECOND, SECOND
from vla_ros.commands.faults import document, horizon, markdown, pooled, row
from vla_ros.config import load
from vla_ros.evaluation.cases import (
    GOES_ON,
    Case,
    Expected,
    Recovery,
    deadline,
    judged,
    modes,
    offline_cases,
)
from vla_ros.evaluation.proof import (
    Commands,
    Motion,
    Phase,
    braking_index,
    join_commands,
    join_motions,
    measure,
    phase,
    travelled,
    violations,
)
from vla_ros.evaluation.prove import Proof, prove
from vla_ros.faults import Kind
from vla_ros.geometry import Pose
from vla_ros.kinematics import TOOL_DOWN
from vla_ros.motion import governor
from vla_ros.values import Mode, Verdict

CONFIG = load()
PERIOD = round(SECOND / CONFIG.servo.rate)
SEED = 1_000_001


def commands(speeds, modes_=None, verdict=Verdict.OK, along=0):
    """One command per speed, in the direction of one axis, a period apart."""
    twists = np.zeros((len(speeds), 6))
    twists[:, along] = speeds
    stamps = SECOND + np.arange(len(speeds), dtype=np.int64) * PERIOD
    told = tuple(modes_ or [Mode.ACTIVE] * len(speeds))
    return Commands(stamps, twists, np.arange(len(speeds)), told, (verdict,) * len(speeds))


def motion(joints, velocities=None, step=4 * MILLISECOND):
    """States at these joints (n, 7), with the tool where they put it."""
    joints = np.atleast_2d(joints)
    tools = [kinematics.forward(q) for q in joints]
    return Motion(
        SECOND + np.arange(len(joints), dtype=np.int64) * step,
        joints,
        np.zeros_like(joints) if velocities is None else np.atleast_2d(velocities),
        np.array([tool.position for tool in tools]),
        np.array([tool.quaternion for tool in tools]),
        np.zeros(len(joints)),
    )


def at(position):
    return kinematics.inverse_kinematics(Pose(np.array(position, float), TOOL_DOWN))


RESTING = motion(at([0.45, 0.0, 0.2]))


def limits(told, moved=RESTING):
    return {violation.limit for violation in violations(told, moved, CONFIG)}


def ramp(cycles, goal):
    """What the governor's own shaping makes of a wish, as speeds along x."""
    shaped, speeds = governor.AT_REST, []
    for _ in range(cycles):
        shaped = governor._shaped(np.array([goal, 0, 0, 0, 0, 0.0]), shaped, PERIOD / SECOND, CONFIG.limits)
        speeds.append(shaped.twist[0])
    return speeds


def test_motion_inside_every_limit_passes():
    up = ramp(120, CONFIG.limits.speed)
    assert max(up) == pytest.approx(CONFIG.limits.speed)
    assert violations(commands(up), RESTING, CONFIG) == []


@pytest.mark.parametrize(("along", "cap", "name"), [(0, "speed", "commanded"), (4, "turn_speed", "commanded turning")])
def test_a_command_over_a_cap_is_found(along, cap, name):
    limit = getattr(CONFIG.limits, cap)
    assert limits(commands([limit] * 5, along=along)) == set()
    assert limits(commands([limit * 1.00001] * 5, along=along)) == {f"{name} speed"}


def test_a_jump_of_the_speed_is_found_as_acceleration_and_as_jerk():
    slow = commands([0.0, 0.0, 0.02, 0.02, 0.02])
    assert limits(slow) == {"commanded acceleration", "commanded jerk"}
    worst = next(v for v in violations(slow, RESTING, CONFIG) if v.limit == "commanded acceleration")
    assert worst.value == pytest.approx(0.02 / 0.01)
    assert worst.moment == slow.stamps[2]


def test_jerk_alone_is_found():
    steep = np.cumsum(np.r_[0.0, np.tile([0.0049, 0.0001], 6)])
    assert limits(commands(steep)) == {"commanded jerk"}


def test_a_stop_may_brake_harder_and_nothing_else_may():
    speeds, told = [0.1], [Mode.ACTIVE]
    state = dataclasses.replace(governor.AT_REST, twist=np.array([0.1, 0, 0, 0, 0, 0.0]))
    for _ in range(30):
        state = governor.stop(state, PERIOD / SECOND, CONFIG.limits, Verdict.STOP_REQUESTED).ramp
        speeds.append(state.twist[0])
        told.append(Mode.STOPPED)
    assert speeds[-1] == 0.0
    assert limits(commands(speeds, told)) == set()
    assert limits(commands(speeds, [Mode.HOLD] * len(speeds))) == {"commanded acceleration", "commanded jerk"}


def test_a_silence_of_the_servo_and_a_cycle_that_was_not_seen_have_no_predecessor():
    told = commands([0.0, 0.0, 0.1, 0.1])
    unseen = dataclasses.replace(told, cycles=np.array([0, 1, 3, 4]))
    silent = dataclasses.replace(told, stamps=told.stamps + np.array([0, 0, 1, 1]) * SECOND // 5)
    assert limits(told) != set()
    assert limits(unseen) == limits(silent) == set()


def test_a_number_that_is_none_passes_nothing():
    told = commands([0.0, np.nan, 0.0])
    assert "commanded speed" in limits(told)


@pytest.mark.parametrize(
    ("position", "limit"),
    [
        ([CONFIG.workspace.high[0] + 0.002, 0.0, 0.2], "outside the workspace box by, m"),
        ([0.45, CONFIG.workspace.low[1] - 0.002, 0.2], "outside the workspace box by, m"),
        ([0.45, 0.0, kinematics.FINGER_BELOW_TOOL + 0.001], "finger clearance, m"),
    ],
)
def test_an_arm_that_leaves_its_place_is_found(position, limit):
    assert limits(commands([0.0]), motion(at(position))) == {limit}


def with_tool_speed(position, twist):
    joints = at(position)
    rates = np.linalg.pinv(kinematics.kinematics(joints).jacobian) @ np.array([*twist, 0, 0, 0.0])
    return motion(joints, rates)


def test_an_arm_that_is_too_fast_is_found():
    assert limits(commands([0.0]), with_tool_speed([0.45, 0, 0.2], [0.15, 0, 0])) == set()
    assert limits(commands([0.0]), with_tool_speed([0.45, 0, 0.2], [0.17, 0, 0])) == {"tool speed"}


def test_an_arm_that_is_pushed_may_be_moved_a_little_by_it():
    fast = with_tool_speed([0.45, 0, 0.2], [0.17, 0, 0])
    many = join_motions([dataclasses.replace(fast, stamps=fast.stamps + k * 20 * MILLISECOND) for k in range(10)])
    pushed = dataclasses.replace(many, forces=np.r_[20.0, np.zeros(9)])
    assert limits(commands([0.0]), pushed) == {"tool speed"}
    assert limits(commands([0.0]), pushed.since(0, SECOND + 101 * MILLISECOND)) == set()
    faster = with_tool_speed([0.45, 0, 0.2], [0.26, 0, 0])
    assert limits(commands([0.0]), dataclasses.replace(faster, forces=np.array([20.0]))) == {"tool speed"}


def test_fast_near_the_table_is_found_and_the_way_up_is_free():
    low = [0.45, 0.0, kinematics.FINGER_BELOW_TOOL + 0.006]
    assert limits(commands([0.0]), with_tool_speed(low, [0.08, 0, 0])) == {"speed near the table"}
    assert limits(commands([0.0]), with_tool_speed(low, [0, 0, -0.08])) == {"speed near the table"}
    assert limits(commands([0.0]), with_tool_speed(low, [0, 0, 0.08])) == set()


def test_a_joint_near_or_beyond_its_end_is_found():
    joints = at([0.45, 0.0, 0.2])
    near, outwards = joints.copy(), np.zeros(7)
    near[5] = kinematics.POSITION_LIMITS[5] - 0.01
    outwards[5] = 0.1
    anywhere = {"outside the workspace box by, m", "finger clearance, m", "speed near the table"}
    assert limits(commands([0.0]), motion(near)) - anywhere == set()
    assert limits(commands([0.0]), motion(near, outwards)) - anywhere == {"joint within its margin, rad/s too fast"}
    assert limits(commands([0.0]), motion(near, -outwards)) - anywhere == set()
    near[5] = kinematics.POSITION_LIMITS[5] + 0.01
    assert "joint limit, rad of room" in limits(commands([0.0]), motion(near))


def test_the_worst_of_a_limit_is_told():
    told = commands([0.151, 0.2, 0.152])
    worst = next(v for v in violations(told, RESTING, CONFIG) if v.limit == "commanded speed")
    assert (worst.value, worst.moment) == (0.2, told.stamps[1])
    assert str(worst) == "commanded speed: 0.2 instead of 0.15"


def test_braking_begins_where_the_mode_changes():
    told = commands([0.1] * 10, [Mode.ACTIVE] * 6 + [Mode.HOLD] * 4)
    assert braking_index(told) == 6


def test_braking_begins_where_the_speed_begins_to_fall_for_good():
    speeds = [0.1, 0.09, 0.1, 0.1, 0.08, 0.05, 0.02, 0.0, 0.0]
    assert braking_index(commands(speeds)) == 3
    assert braking_index(commands(speeds, [Mode.ACTIVE] * 8 + [Mode.HOLD])) == 3


@pytest.mark.parametrize("speeds", [[0.1] * 8, [0.0] * 8, [0.1, 0.05, 0.0, 0.05, 0.1], [0.1, 0.09, 0.08]])
def test_a_motion_that_goes_on_does_not_brake(speeds):
    assert braking_index(commands(speeds)) is None


def test_distance_and_speed_are_of_the_time_behind_the_cause():
    places = [at([0.42 + 0.002 * k, 0.0, 0.2]) for k in range(10)]
    moved = motion(places)
    cause = int(moved.stamps[4])
    told = commands([0.1] * 4, [Mode.HOLD] * 4)
    measured = measure(told, moved, cause - 1)
    assert measured.distance == pytest.approx(0.010, abs=1e-4)
    assert travelled(moved)[0] == pytest.approx(0.018, abs=1e-4)
    assert measured.top_speed == 0.0
    with pytest.raises(ValueError, match="no cycle"):
        measure(told, moved, int(told.stamps[-1]) + 1)


def test_what_is_moved_when_motion_is_allowed_again_does_not_count():
    moved = motion([at([0.42 + 0.001 * k, 0.0, 0.2]) for k in range(20)], step=PERIOD)
    told = commands([0.05] * 20, [Mode.ACTIVE] * 2 + [Mode.HOLD] * 8 + [Mode.ACTIVE] * 10)
    measured = measure(told, moved, int(told.stamps[0]))
    assert measured.distance == pytest.approx(0.009, abs=2e-4)
    assert measured.at_rest


def test_an_arm_that_goes_on_in_hold_is_not_at_rest():
    moved = with_tool_speed([0.45, 0, 0.2], [0.05, 0, 0])
    told = commands([0.0] * 3, [Mode.HOLD] * 3)
    assert not measure(told, moved, SECOND).at_rest
    assert measure(told, RESTING, SECOND).at_rest


HOLD = Expected("HOLD", modes(Mode.HOLD), 0.05)
CASE = Case("a fault", "", Phase.LIFT, 0.5, HOLD)


def finding(expected, told, recovery=Recovery(True), moved=RESTING):
    case, cause = dataclasses.replace(CASE, expected=expected), int(told.stamps[0])
    due = deadline(expected, told, [{"camera.static": cause}] * len(told), cause)
    exceeded = violations(told, moved, CONFIG)
    return judged(case, measure(told, moved, cause), due, told, exceeded, cause, recovery, CONFIG)


def test_a_brake_in_time_passes_and_one_behind_its_deadline_does_not():
    def after(cycles):
        return finding(HOLD, commands([0.0] * 20, [Mode.ACTIVE] * cycles + [Mode.HOLD] * (20 - cycles)))

    assert after(5).passed
    assert after(5).periods == pytest.approx(0.0)
    assert after(6).periods == pytest.approx(1.0)
    assert after(6).passed
    assert after(7).wrong == ("braked 2.0 periods behind the deadline",)
    assert after(20).wrong == ("the servo did not brake",)


def test_deadlines_count_from_the_last_word():
    watched = dataclasses.replace(HOLD, watched="camera.static")
    told = commands([0.0] * 20)
    heard = [{"camera.static": int(told.stamps[min(k, 8)])} for k in range(20)]
    assert deadline(watched, told, heard, int(told.stamps[2])) == told.stamps[8] + 50 * MILLISECOND
    alive = [{"camera.static": int(stamp)} for stamp in told.stamps]
    assert deadline(watched, told, alive, int(told.stamps[2])) is None


def test_another_mode_a_wrong_end_and_an_arm_that_stays_dead_are_told():
    told = commands([0.0] * 10, [Mode.IDLE] * 10, Verdict.IDLE)
    assert finding(HOLD, told).wrong == ("IDLE (IDLE)",)
    ends = dataclasses.replace(HOLD, modes=modes(Mode.IDLE), end=modes(Mode.STOPPED))
    assert finding(ends, told).wrong == ("left in IDLE (IDLE)",)
    dead = finding(dataclasses.replace(HOLD, modes=modes(Mode.IDLE)), told, Recovery(False))
    assert dead.wrong == ("reset and enable do not lead back to work",)


def test_a_motion_that_is_to_be_left_alone_must_be():
    assert finding(GOES_ON, commands([0.0] * 10)).passed
    held = commands([0.0] * 10, [Mode.ACTIVE] * 5 + [Mode.HOLD] * 5, Verdict.CAMERA_STALE)
    assert finding(GOES_ON, held).wrong == ("HOLD (CAMERA_STALE) where motion should go on",)
    excused = dataclasses.replace(GOES_ON, excused=frozenset({Verdict.CAMERA_STALE}))
    assert finding(excused, held).passed


def test_a_limit_that_was_passed_fails_any_case():
    fast = finding(GOES_ON, commands([0.2] * 10))
    assert fast.exceeded == ("commanded speed",)
    assert not fast.passed


@pytest.mark.parametrize(
    ("height", "speed", "gripper", "wanted"),
    [
        (0.15, 0.1, 0.0, Phase.APPROACH),
        (0.15, 0.0, 0.0, None),
        (0.06, 0.03, 0.0, Phase.DESCEND),
        (0.03, 0.0, 1.0, Phase.CLOSE),
        (0.08, 0.1, 1.0, Phase.LIFT),
        (0.08, 0.0, 1.0, None),
    ],
)
def test_phases(height, speed, gripper, wanted):
    assert phase(height, speed, gripper) is wanted


def test_the_cases_are_every_kind_on_every_line_in_every_phase():
    cases = offline_cases(CONFIG, 0.5)
    lines = {(case.target, case.order.kind) for case in cases if case.order}
    targets = [*(f"camera.{name}" for name in CONFIG.cameras), "arm.feedback", "arm.command", "policy"]
    assert lines == {(target, kind) for target in targets for kind in Kind}
    assert len({(case.name, case.phase) for case in cases}) == len(cases)
    assert all({c.phase for c in cases if c.name == case.name} == set(Phase) for case in cases)
    short = offline_cases(CONFIG, 0.5, short=True)
    assert [case.name for case in short] == list(dict.fromkeys(case.name for case in cases))


def test_records_join():
    told = commands([0.0] * 6)
    parts = [told.since(0, int(told.stamps[2])), told.since(int(told.stamps[2]))]
    np.testing.assert_array_equal(join_commands(parts).stamps, told.stamps)
    assert len(join_motions([RESTING, RESTING])) == 2


PLAYED = (
    "camera.wrist disconnect",
    "camera.static freeze",
    "arm.feedback disconnect",
    "a person's Stop",
    "camera.static a third of frames lost",
)


@pytest.fixture(scope="module")
def played():
    """A few real cases of the approach."""
    cases = offline_cases(CONFIG, 0.5)
    numbers = [k for k, case in enumerate(cases) if case.name in PLAYED and case.phase is Phase.APPROACH]
    return [found for _, found in prove((Proof(CONFIG, "expert", 0.5, SEED, False), numbers))]


def test_real_faults_are_met_as_the_table_says(played):
    assert {found.name: found.wrong for found in played} == dict.fromkeys(PLAYED, ())
    by_name = {found.name: found for found in played}
    assert by_name["camera.wrist disconnect"].verdict == "CAMERA_STALE"
    assert by_name["camera.static freeze"].verdict == "CAMERA_FROZEN"
    assert by_name["arm.feedback disconnect"].mode == "HOLD"
    assert by_name["a person's Stop"].verdict == "STOP_REQUESTED"
    assert by_name["a person's Stop"].distance < by_name["camera.wrist disconnect"].distance
    assert by_name["camera.static a third of frames lost"].mode == "ACTIVE"


def test_one_seed_is_one_finding(played):
    cases = offline_cases(CONFIG, 0.5)
    number = next(k for k, c in enumerate(cases) if c.name == PLAYED[0] and c.phase is Phase.APPROACH)
    again = prove((Proof(CONFIG, "expert", 0.5, SEED, False), [number]))
    assert again[0][1] in played


def test_the_table_pools_phases_with_their_worst(played):
    slow = dataclasses.replace(played[0], phase="lift", periods=0.5, distance=1.0, freed=True)
    cells = row(pooled([played[0], slow])[0])
    assert cells[1] == f"{played[0].phase}, lift"
    assert cells[4] == "1000"
    assert cells[7] == "yes, freed by hand"
    lines = markdown([cells]).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    broken = dataclasses.replace(played[0], wrong=("late",), exceeded=("tool speed",), recovered=False)
    summary = document([played[0], broken])["summary"]
    assert [summary[name]["value"] for name in ("as_expected", "within_limits", "recovered")] == [0.5, 0.5, 0.5]
    assert row([broken])[6:] == ("tool speed", "no")


def test_the_horizon_is_the_policys():
    assert horizon("expert") == horizon("constant:0.4,0,0.2") == pytest.approx(0.5)
    assert horizon("demo") == pytest.approx(0.5)
