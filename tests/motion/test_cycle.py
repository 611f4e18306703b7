"""One cycle of the servo: every mode and how it is left, at the exact moments."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_ros import kinematics
from vla_ros.clock import MILLISECOND, SECOND
from vla_ros.kinematics import HOME, TOOL_DOWN, Pose
from vla_ros.motion.cycle import AT_REST_RATE, Inputs, Requests, ServoCycle
from vla_ros.values import Mode, Teleop, Verdict

from .simulator import CONFIG, PERIOD, START, Bench, above, arm_state

D = CONFIG.deadlines


@pytest.fixture
def bench():
    return Bench(HOME)


@pytest.fixture
def playing(bench):
    bench.enabled().step(bench.chunk(count=40, shift=(0.12, 0, 0.1)))
    bench.run(0.25)
    assert bench.cycle.mode is Mode.ACTIVE
    return bench


def frozen(bench, chunk=None, **fields):
    """Inputs of now, with other fields."""
    return replace(bench.inputs(chunk), **fields)


# --- DISARMED and arming -----------------------------------------------------------------------------------------------


def test_the_servo_begins_disarmed_and_still(bench):
    command = bench.step()
    assert command.mode is Mode.DISARMED
    assert command.verdict is Verdict.DISARMED
    assert not command.twist.any()


def test_chunks_are_ignored_while_disarmed(bench):
    bench.step(bench.chunk())
    assert not bench.run(0.3).twist.any()
    assert bench.cycle.playing is None


def test_enable_leads_to_idle(bench):
    assert bench.cycle.arming_obstacles(bench.now, bench.inputs()) == []
    command = bench.step(enable=True)
    assert (command.mode, command.verdict) == (Mode.IDLE, Verdict.IDLE)
    assert bench.run(5.0).mode is Mode.IDLE


def state(**changes):
    return lambda bench: frozen(bench, arm=replace(bench.arm.state(), **changes))


OBSTACLES = {
    "no feedback": (lambda b: frozen(b, arm=None), "no fresh feedback"),
    "old feedback": (lambda b: frozen(b, arm=arm_state(HOME, b.now - 50 * MILLISECOND - 1)), "no fresh feedback"),
    "feedback from the future": (lambda b: frozen(b, arm=arm_state(HOME, b.now + SECOND)), "no fresh feedback"),
    "NaN": (state(velocities=np.full(7, math.nan)), "no fresh feedback"),
    "fault": (state(fault="joint 3 hot"), "fault on the arm: joint 3 hot"),
    "force": (state(force=np.array([0, 0, 21.0])), "a force of 21 N on the tool: free it by hand"),
    "outside": (
        state(tool=Pose(np.array([0.61, 0, 0.2]), TOOL_DOWN)),
        "the tool at [0.61, 0.0, 0.2] is outside the workspace box: move it in by hand",
    ),
    "moving": (state(velocities=np.full(7, AT_REST_RATE * 1.01)), "the arm is moving"),
    "no camera": (lambda b: frozen(b, cameras={"static": 0, "wrist": b.now}), "no fresh frames from camera static"),
    "old camera": (
        lambda b: frozen(b, cameras={"static": b.now, "wrist": b.now - 200 * MILLISECOND - 1}),
        "no fresh frames from camera wrist",
    ),
    "no policy": (lambda b: frozen(b, policy=0), "no sign of life from the policy"),
    "frozen picture": (
        lambda b: frozen(b, changes={"wrist": b.now - 200 * MILLISECOND - 1}),
        "camera wrist shows the same picture again and again",
    ),
    "a clock stepped": (lambda b: frozen(b, distrusted=True), "a clock has just stepped: wait a second"),
    "no watchdog": (lambda b: frozen(b, unguarded="the watchdog is silent: nobody"), "the watchdog is silent: nobody"),
    "old policy": (lambda b: frozen(b, policy=b.now - SECOND - 1), "no sign of life from the policy"),
}


@pytest.mark.parametrize("name", OBSTACLES)
def test_enabling_is_refused_with_each_obstacle(bench, name):
    make, text = OBSTACLES[name]
    inputs = make(bench)
    assert bench.cycle.arming_obstacles(bench.now, inputs) == [text] or any(
        text in found for found in bench.cycle.arming_obstacles(bench.now, inputs)
    )
    command = bench.cycle.step(bench.now, replace(inputs, requests=Requests(enable=True)))
    assert command.mode is Mode.DISARMED


def test_all_obstacles_are_named_together(bench):
    inputs = frozen(bench, cameras={"static": 0, "wrist": 0}, policy=0)
    assert len(bench.cycle.arming_obstacles(bench.now, inputs)) == 3


def test_borders_of_arming_are_inside(bench):
    inputs = replace(
        bench.inputs(),
        arm=arm_state(HOME, bench.now - 50 * MILLISECOND),
        cameras=dict.fromkeys(CONFIG.cameras, bench.now - 200 * MILLISECOND),
        policy=bench.now - SECOND,
    )
    assert bench.cycle.arming_obstacles(bench.now, inputs) == []


def test_a_stopped_servo_says_that_it_wants_a_reset_first(bench):
    bench.step(stop=True)
    assert bench.cycle.arming_obstacles(bench.now, bench.inputs()) == ["stopped: requested: call /arm/reset first"]
    assert bench.step(enable=True).mode is Mode.STOPPED


def test_disable_wins_over_enable_and_stop_over_both(bench):
    assert bench.step(enable=True, disable=True).mode is Mode.DISARMED
    assert bench.step(enable=True, disable=True, stop=True, reset=True).mode is Mode.STOPPED


# --- ACTIVE ------------------------------------------------------------------------------------------------------------


def test_a_chunk_is_played_and_its_end_holds_still(bench):
    bench.enabled()
    start = bench.arm.state().tool.position
    assert bench.step(bench.chunk(shift=(0.08, 0, 0))).mode is Mode.ACTIVE
    bench.run(0.9)
    assert bench.cycle.mode is Mode.ACTIVE
    assert bench.commands[-1].verdict is not Verdict.END_OF_CHUNK
    seen = {
        bench.step().verdict for _ in range(80)
    }  # a little later than its stamps say: its clock waits for the motion
    assert Verdict.END_OF_CHUNK in seen
    bench.run(1.0)
    moved = bench.arm.state().tool.position - start
    assert moved[0] == pytest.approx(0.08, abs=0.010)
    assert np.abs(moved[1:]).max() < 0.002
    assert not bench.commands[-1].twist.any()


def test_an_empty_chunk_means_idle_without_a_latch(playing):
    command = playing.step(playing.chunk(count=0))
    assert (command.mode, playing.cycle.playing) == (Mode.IDLE, None)
    assert playing.run(1.0).verdict is Verdict.IDLE
    assert not playing.commands[-1].twist.any()
    assert playing.step(playing.chunk()).mode is Mode.ACTIVE


def test_an_empty_instruction_means_idle_without_waiting_for_the_policy(playing):
    playing.fields["instruction"] = ""
    assert playing.step().mode is Mode.IDLE
    assert not playing.run(1.0).twist.any()
    refused = playing.step(playing.chunk())
    assert (refused.mode, refused.verdict) == (Mode.IDLE, Verdict.CHUNK_INSTRUCTION)
    playing.fields["instruction"] = "pick up the red cube"
    assert playing.step(playing.chunk()).mode is Mode.ACTIVE


# What is refused without harm: (the chunk, given the bench; other inputs; the verdict).
HARMLESS = {
    "out of order": (lambda b: b.chunk(stamp=b.cycle.playing.stamp - 1), {}, Verdict.CHUNK_OVERTAKEN),
    "empty and out of order": (
        lambda b: b.chunk(count=0, stamp=b.cycle.playing.stamp - 1), {}, Verdict.CHUNK_OVERTAKEN,
    ),
    "from the future": (lambda b: b.chunk(stamp=b.now + 11 * MILLISECOND), {}, Verdict.CHUNK_FUTURE),
    "of another instruction": (
        lambda b: b.chunk(instruction="pick up the blue cube"),
        {"instruction": "pick up the red cube"},
        Verdict.CHUNK_INSTRUCTION,
    ),
    "of 10 000 points": (lambda b: b.chunk(count=10_000), {}, Verdict.CHUNK_LONG),
    "with a quaternion that is none": (
        lambda b: b.chunk(quaternions=np.tile([1.0, 0, 0, 0.1], (10, 1))), {}, Verdict.CHUNK_QUATERNION,
    ),
    "malformed": (lambda b: b.chunk(grippers=np.zeros(3)), {}, Verdict.CHUNK_MALFORMED),
    "of an old observation": (
        lambda b: b.chunk(stamp=b.now - round(D.observation * SECOND) - 1), {}, Verdict.CHUNK_STALE,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HARMLESS)
def test_a_harmless_bad_chunk_is_refused_with_its_reason_and_changes_nothing(name):
    make, fields, verdict = HARMLESS[name]
    twins = [Bench(HOME), Bench(HOME)]
    for bench in twins:
        bench.enabled().step(bench.chunk(count=40, shift=(0.12, 0, 0.1)))
        bench.run(0.4)
    disturbed, calm = twins
    disturbed.fields |= fields
    seen = []
    for i in range(12):
        bad = make(disturbed) if i % 3 == 0 else None
        got, wanted = disturbed.step(bad), calm.step()
        assert (got.mode, wanted.mode) == (Mode.ACTIVE, Mode.ACTIVE)
        assert (got.twist == wanted.twist).all()
        seen.append(got.verdict)
    assert seen.count(verdict) == 4
    assert disturbed.cycle.refusals == (4, verdict)
    assert disturbed.cycle.playing.stamp == calm.cycle.playing.stamp


def test_a_command_names_the_chunk_it_follows(bench):
    assert bench.enabled().step().chunk is None
    chunk = bench.chunk(sequence=7)
    moment = bench.now
    assert bench.step(chunk).chunk is chunk
    assert bench.step().chunk is chunk
    assert bench.cycle.began == moment
    assert bench.step(stop=True).chunk is None


def test_chunk_late_holds_at_150_ms_and_disarms_at_2_s(bench):
    bench.enabled().step(bench.chunk(count=2, shift=(0.01, 0, 0)))
    first = None
    for _ in range(300):
        command = bench.step()
        if first is None and command.verdict is Verdict.END_OF_CHUNK:
            first = command.stamp
        if command.mode is Mode.HOLD:
            break
    assert command.verdict is Verdict.CHUNK_LATE
    assert command.stamp == first + round(D.chunk_hold * SECOND) + PERIOD
    while command.mode is Mode.HOLD:
        command = bench.step()
    assert command.mode is Mode.DISARMED
    assert command.verdict is Verdict.CHUNK_LATE
    assert command.stamp == first + round(D.chunk_disarm * SECOND) + PERIOD


def test_chunks_that_come_back_end_the_hold(bench):
    bench.enabled().step(bench.chunk(count=2, shift=(0.01, 0, 0)))
    bench.run(1.0)
    assert bench.cycle.mode is Mode.HOLD
    assert bench.step(bench.chunk()).mode is Mode.ACTIVE
    bench.run(1.0)
    assert bench.cycle.mode is Mode.ACTIVE  # and the time of the former silence does not count any more


def test_a_motion_that_is_held_up_for_2_s_is_of_the_past(bench):
    bench.enabled().step(bench.chunk(count=10, shift=(0.05, 0, 0)))
    bench.overrides["force"] = np.array([-25.0, 0, 0])  # pushes against all of the motion
    seen = set()
    for _ in range(450):
        seen.add(bench.step().verdict)
    assert Verdict.FORCE in seen
    assert Verdict.CHUNK_LATE in seen
    assert bench.cycle.mode is not Mode.ACTIVE
    bench.overrides.clear()
    assert not bench.run(0.5).twist.any()


def test_a_motion_that_a_wall_holds_up_is_left_with_the_next_chunk(bench):
    """The reference goes on beyond the table's clearance; a chunk that leads up again is followed at once."""
    bench = Bench(above((0.47, 0.0, 0.04))).enabled()
    for _ in range(12):
        bench.step(bench.chunk(count=10, shift=(0.0, 0.0, -0.1)))
        bench.run(0.09)
    low = bench.arm.state().tool.position[2]
    assert bench.commands[-1].verdict is Verdict.FLOOR
    for _ in range(10):
        bench.step(bench.chunk(count=10, shift=(0.0, 0.0, 0.08)))
        bench.run(0.09)
    assert bench.arm.state().tool.position[2] > low + 0.03


# --- deadlines ---------------------------------------------------------------------------------------------------------


def at_age(bench, name, age):
    """The command of one cycle in which camera, picture, arm node or feedback is `age` ns old."""
    inputs = bench.inputs()
    if name == "feedback":
        inputs = replace(inputs, arm=replace(inputs.arm, stamp=bench.now - age))
    elif name == "picture":
        inputs = replace(inputs, changes=dict.fromkeys(CONFIG.cameras, bench.now - age))
    elif name == "node":
        inputs = replace(inputs, node=bench.now - age)
    else:
        inputs = replace(inputs, cameras=dict.fromkeys(CONFIG.cameras, bench.now - age))
    return bench.cycle.step(bench.now, inputs)


@pytest.mark.parametrize(
    ("name", "deadline", "before", "after", "verdict"),
    [
        ("camera", D.camera_hold, Mode.ACTIVE, Mode.HOLD, Verdict.CAMERA_STALE),
        ("camera", D.camera_disarm, Mode.HOLD, Mode.DISARMED, Verdict.CAMERA_STALE),
        ("picture", D.camera_hold, Mode.ACTIVE, Mode.HOLD, Verdict.CAMERA_FROZEN),
        ("picture", D.camera_disarm, Mode.HOLD, Mode.DISARMED, Verdict.CAMERA_FROZEN),
        ("node", D.arm_node, Mode.ACTIVE, Mode.DISARMED, Verdict.NODE_SILENT),
        ("feedback", D.feedback_hold, Mode.ACTIVE, Mode.HOLD, Verdict.FEEDBACK_STALE),
        ("feedback", D.feedback_stop, Mode.HOLD, Mode.STOPPED, Verdict.STOP_FEEDBACK),
    ],
)
@pytest.mark.parametrize("extra", [0, 1])
def test_deadlines_pass_at_their_exact_time(playing, name, deadline, before, after, verdict, extra):
    command = at_age(playing, name, round(deadline * SECOND) + extra)
    assert command.mode is (after if extra else before)
    if extra:
        assert command.verdict is verdict


def test_a_slow_camera_has_three_of_its_periods():
    config = CONFIG.model_copy(
        update={"cameras": {n: c.model_copy(update={"rate": 10.0}) for n, c in CONFIG.cameras.items()}}
    )
    bench = Bench(HOME, config=config).enabled()
    bench.step(bench.chunk(count=40))
    assert at_age(bench, "camera", 300 * MILLISECOND).mode is Mode.ACTIVE
    assert at_age(bench, "camera", 300 * MILLISECOND + 1).mode is Mode.HOLD


@pytest.mark.parametrize("name", ["camera", "picture"])
def test_cameras_do_not_matter_in_idle(bench, name):
    bench.enabled()
    assert at_age(bench, name, 10 * SECOND).mode is Mode.IDLE


def test_one_frozen_camera_is_enough(playing):
    playing.fields["changes"] = {"wrist": playing.now - 201 * MILLISECOND}
    assert playing.step().verdict is Verdict.CAMERA_FROZEN


def test_nobody_at_the_arm_node_disarms_even_in_idle(bench):
    bench.enabled()
    assert at_age(bench, "node", round(D.arm_node * SECOND) + 1).mode is Mode.DISARMED


def test_a_clock_that_stepped_holds_until_stamps_are_believed_again(playing):
    playing.fields["distrusted"] = True
    assert playing.step().verdict is Verdict.CLOCK_STEP
    refused = playing.step(playing.chunk())
    assert (refused.mode, refused.verdict) == (Mode.HOLD, Verdict.CLOCK_STEP)
    assert not playing.run(0.6).twist.any()
    playing.fields.clear()
    assert playing.step().mode is Mode.HOLD
    assert playing.step(playing.chunk()).mode is Mode.ACTIVE


def test_a_camera_that_comes_back_ends_its_hold_with_the_next_chunk(playing):
    playing.cameras = dict.fromkeys(CONFIG.cameras, playing.now - 300 * MILLISECOND)
    assert playing.step().mode is Mode.HOLD
    assert playing.step(playing.chunk()).mode is Mode.HOLD  # still stale: nothing moves
    playing.cameras = None
    assert playing.step().mode is Mode.HOLD
    assert playing.step(playing.chunk()).mode is Mode.ACTIVE


def test_losing_feedback_while_moving_brakes_then_stops(playing):
    speed = np.linalg.norm(playing.commands[-1].twist[:3])
    assert speed > 0.03
    last = playing.arm.state()
    modes = []
    for _ in range(60):
        command = playing.cycle.step(playing.now, replace(playing.inputs(), arm=last))
        modes.append(command.mode)
        assert np.linalg.norm(command.twist[:3]) <= speed + 0.02
        playing.arm.advance(PERIOD)
    assert [modes.index(m) for m in (Mode.HOLD, Mode.STOPPED)] == [6, 16]
    assert not command.twist.any()


def test_no_reading_at_all_is_the_last_reading_growing_old(playing):
    for _ in range(5):
        assert playing.cycle.step(playing.now, replace(playing.inputs(), arm=None)).mode is Mode.ACTIVE
        playing.arm.advance(PERIOD)
    playing.arm.advance(PERIOD)
    assert playing.cycle.step(playing.now, replace(playing.inputs(), arm=None)).mode is Mode.HOLD


def test_readings_with_nan_are_no_readings(playing):
    playing.overrides["joints"] = np.full(7, math.nan)
    modes = [playing.step().mode for _ in range(20)]
    assert modes[0] is Mode.ACTIVE
    assert modes[-1] is Mode.STOPPED
    assert Mode.HOLD in modes
    assert all(np.isfinite(c.twist).all() and np.isfinite(c.gripper) for c in playing.commands)


# --- refusals ----------------------------------------------------------------------------------------------------------


def test_a_refused_chunk_holds_and_the_third_running_stops(playing):
    far = (0.5, 0, 0)
    for count in (1, 2):
        command = playing.step(playing.chunk(count=2, shift=far))
        assert (command.mode, command.verdict) == (Mode.HOLD, Verdict.CHUNK_FAR), count
    command = playing.step(playing.chunk(count=2, shift=far))
    assert (command.mode, command.verdict) == (Mode.STOPPED, Verdict.STOP_CHUNKS)


def test_an_accepted_chunk_forgives_the_refused_ones(playing):
    for _ in range(5):
        playing.step(playing.chunk(count=2, shift=(0.5, 0, 0)))
        playing.step(playing.chunk(count=2, shift=(0.5, 0, 0)))
        assert playing.step(playing.chunk()).mode is Mode.ACTIVE


def test_after_a_refusal_the_time_to_disarm_runs_from_then(playing):
    refused = playing.step(playing.chunk(count=2, shift=(0.5, 0, 0)))
    command = refused
    while command.mode is Mode.HOLD:
        command = playing.step()
    assert command.mode is Mode.DISARMED
    assert command.stamp == refused.stamp + round(D.chunk_disarm * SECOND) + PERIOD


# --- STOPPED -----------------------------------------------------------------------------------------------------------

STOPS = {
    "request": ({}, {"stop": True}, Verdict.STOP_REQUESTED),
    "fault": ({"fault": "joint 3 hot"}, {}, Verdict.STOP_FAULT),
    "force": ({"force": np.array([0, 0, 35.1])}, {}, Verdict.STOP_FORCE),
}


@pytest.mark.parametrize("cause", STOPS)
def test_a_stop_begins_within_one_period_and_reaches_rest(playing, cause):
    overrides, requests, verdict = STOPS[cause]
    before = playing.commands[-1].twist
    playing.overrides |= overrides
    command = playing.step(**requests)
    assert (command.mode, command.verdict) == (Mode.STOPPED, verdict)
    assert np.linalg.norm(command.twist - before) > 1e-3
    for _ in range(35):
        command = playing.step()
    assert not command.twist.any()


@pytest.mark.parametrize("cause", ["fault", "force"])
def test_without_being_armed_nothing_but_a_request_stops(bench, cause):
    bench.overrides |= STOPS[cause][0]
    assert bench.step().mode is Mode.DISARMED
    assert bench.step(stop=True).mode is Mode.STOPPED


@pytest.mark.parametrize("asked", [{}, {"enable": True}, {"disable": True}, {"reset": True, "stop": True}])
def test_a_stop_is_never_left_without_reset(playing, asked):
    playing.step(stop=True)
    for _ in range(100):
        assert playing.step(playing.chunk(), **asked).mode is Mode.STOPPED


def test_reset_waits_for_rest(playing):
    playing.step(stop=True)
    assert playing.cycle.reset_obstacles(playing.now, playing.inputs()) == ["the arm is still braking"]
    assert playing.step(reset=True).mode is Mode.STOPPED
    playing.run(0.5)
    assert playing.step(reset=True).mode is Mode.DISARMED
    playing.run(0.3)
    assert playing.step(enable=True).mode is Mode.IDLE


def test_reset_waits_until_the_cause_is_gone(playing):
    playing.overrides["fault"] = "joint 3 hot"
    playing.step()
    playing.run(0.5)
    assert playing.cycle.reset_obstacles(playing.now, playing.inputs()) == ["fault on the arm: joint 3 hot"]
    assert playing.step(reset=True).mode is Mode.STOPPED
    playing.overrides["fault"] = ""
    playing.overrides["stamp"] = playing.now - SECOND
    assert playing.step(reset=True).mode is Mode.STOPPED
    playing.overrides.clear()
    assert playing.step(reset=True).mode is Mode.DISARMED


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 120), st.tuples(*[st.floats(-0.05, 0.05)] * 3), st.integers(40, 120))
def test_stop_reaches_rest_from_any_moment_of_a_motion(cycles, shift, delay):
    bench = Bench(HOME, delay * MILLISECOND).enabled()
    bench.step(bench.chunk(count=5, shift=shift))
    for _ in range(cycles):
        bench.step()
    bench.step(stop=True)
    bench.run(0.35)
    assert not bench.commands[-1].twist.any()
    bench.run(0.2)
    assert not bench.arm.rates.any()
    assert bench.cycle.mode is Mode.STOPPED


# --- teleop --------------------------------------------------------------------------------------------------------------


def clutch(bench, twist=(0.0, 0.05, 0.0, 0.0, 0.0, 0.0), age=0, **changes):
    """Somebody holds the clutch, and says so now."""
    bench.fields["teleop"] = Teleop(bench.now - age, np.array(twist, float), **changes)


def hold(bench, seconds, twist=(0.0, 0.05, 0.0, 0.0, 0.0, 0.0), chunk=False, **changes):
    """So long; a policy goes on sending chunks if `chunk`."""
    for i in range(round(seconds * SECOND / PERIOD)):
        clutch(bench, twist, **changes)
        command = bench.step(bench.chunk() if chunk and i % 10 == 0 else None)
    return command


def test_the_clutch_moves_the_tool_of_an_enabled_arm_and_only_of_that(bench):
    assert hold(bench, 0.3).mode is Mode.DISARMED
    assert not bench.commands[-1].twist.any()
    bench.fields.clear()
    bench.enabled()
    command = hold(bench, 0.6)
    assert (command.mode, command.verdict) == (Mode.TELEOP, Verdict.TELEOP)
    assert np.allclose(command.twist, [0, 0.05, 0, 0, 0, 0], atol=1e-6)
    assert bench.arm.rates.any()


def test_silence_of_the_device_is_the_clutch_released(bench):
    hold(bench.enabled(), 0.5)
    last = bench.now - PERIOD
    while bench.cycle.mode is Mode.TELEOP:
        command = bench.step()
    assert command.stamp == last + round(D.teleop * SECOND) + PERIOD
    assert (command.mode, command.verdict) == (Mode.IDLE, Verdict.IDLE)
    assert not bench.run(1.0).twist.any()


def test_the_hand_takes_over_from_the_policy_and_gives_back_at_zero_velocity(playing):
    assert playing.commands[-1].twist[0] > 0.02
    seen = [playing.commands[-1]]
    for _ in range(60):
        clutch(playing, (0, -0.08, 0, 0, 0, 0))
        seen.append(playing.step(playing.chunk(shift=(0.1, 0, 0))))
    modes, speeds = [c.mode for c in seen[1:]], [float(np.linalg.norm(c.twist[:3])) for c in seen[1:]]
    assert set(modes) == {Mode.TELEOP}  # chunks are not played while the clutch is held
    rest = speeds.index(0.0)
    assert {c.verdict for c in seen[1 : rest + 1]} == {Verdict.TELEOP_JOINING}
    assert seen[-1].verdict is Verdict.TELEOP
    assert seen[-1].twist[1] < -0.05
    playing.fields.clear()
    back = [playing.step(playing.chunk(shift=(0.1, 0, 0))) for _ in range(80)]
    idle = [i for i, c in enumerate(back) if c.mode is Mode.IDLE]
    first = next(i for i, c in enumerate(back) if c.mode is Mode.ACTIVE)
    assert idle
    assert not back[first - 1].twist.any()
    assert back[-1].twist[0] > 0.02
    changes = [np.linalg.norm(b.twist[:3] - a.twist[:3]) for a, b in zip(seen + back, (seen + back)[1:], strict=False)]
    assert max(changes) <= CONFIG.limits.acceleration * 0.01 * (1 + 1e-9)


def test_stop_wins_over_the_clutch(bench):
    hold(bench.enabled(), 0.5)
    clutch(bench)
    assert bench.step(stop=True).mode is Mode.STOPPED
    assert hold(bench, 0.5).mode is Mode.STOPPED
    assert not bench.commands[-1].twist.any()


def test_the_hand_is_governed_like_a_policy(bench):
    bench.enabled()
    for twist in ((5.0, 0, 0, 0, 0, 0), (0, 0, -5.0, 0, 0, 0), (0, 9.0, 0, 0, 0, 5.0)):
        hold(bench, 4.0, twist)
        tool = bench.arm.state().tool
        assert (tool.position < np.array(CONFIG.workspace.high) + 0.001).all()
        assert kinematics.finger_bottom(tool) > CONFIG.workspace.grasp_clearance - 0.001
    assert max(np.linalg.norm(c.twist[:3]) for c in bench.commands) <= CONFIG.limits.speed * (1 + 1e-9)


def test_twists_in_the_tools_frame_are_turned_into_the_bases(bench):
    hold(bench.enabled(), 0.6, (0, 0, 0.05, 0, 0, 0), in_tool=True)  # the tool looks down
    assert np.allclose(bench.commands[-1].twist[:3], [0, 0, -0.05], atol=2e-3)


def test_the_hand_moves_the_gripper_and_none_leaves_it(bench):
    bench.arm.gripper = 0.3
    bench.enabled()
    assert hold(bench, 0.3).gripper == 0.3
    assert hold(bench, 0.3, gripper=0.8).gripper == 0.8
    assert hold(bench, 0.3).gripper == 0.8
    assert hold(bench, 0.3, gripper=math.nan).gripper == 0.8


def test_the_clutch_works_without_cameras_and_policy_but_not_without_feedback(playing):
    playing.cameras = dict.fromkeys(CONFIG.cameras, 0)
    playing.fields["policy"] = 0
    assert hold(playing, 1.5).mode is Mode.TELEOP
    playing.overrides["stamp"] = playing.now - 60 * MILLISECOND
    clutch(playing)
    command = playing.step()
    assert (command.mode, command.verdict) == (Mode.IDLE, Verdict.FEEDBACK_STALE)


def test_a_twist_with_nan_is_no_twist(bench):
    command = hold(bench.enabled(), 0.3, (math.nan, 0, 0, 0, 0, 0))
    assert command.mode is Mode.IDLE
    hold(bench, 0.5)
    command = hold(bench, 0.5, (0.05, math.inf, 0, 0, 0, 0))
    assert np.isfinite(command.twist).all()
    assert not command.twist.any()


# --- the force at rest is no force ---------------------------------------------------------------------------------------


def test_forces_are_counted_from_what_was_there_when_the_arm_was_enabled(bench):
    bench.overrides["force"] = np.array([0.0, 0.0, -12.0])  # a tool that is not in the arm's configuration
    bench.enabled().step(bench.chunk(count=40, shift=(0, 0, 0.1)))
    bench.run(0.6)
    assert bench.commands[-1].verdict is not Verdict.FORCE
    bench.overrides["force"] = np.array([0.0, 0.0, -12.0 - 21.0])
    bench.step(bench.chunk(count=40, shift=(0, 0, 0.1)))
    assert bench.run(0.3).verdict is Verdict.FORCE
    bench.overrides["force"] = np.array([0.0, 0.0, -12.0 - 35.1])
    assert bench.step().verdict is Verdict.STOP_FORCE


# --- disarming while moving, gaps, the gripper ---------------------------------------------------------------------------


def test_disarming_while_moving_brakes_smoothly(playing):
    before = playing.commands[-1].twist
    command = playing.step(disable=True)
    assert command.mode is Mode.DISARMED
    while command.twist.any():
        change = np.linalg.norm(command.twist[:3] - before[:3])
        assert change <= CONFIG.limits.acceleration * 0.01 * (1 + 1e-9)
        before, command = command.twist, playing.step()
        assert len(playing.commands) < 200
    playing.run(0.3)
    assert playing.step(enable=True).mode is Mode.IDLE


def test_a_loop_that_slept_stops_from_what_the_arm_really_does(playing):
    assert np.linalg.norm(playing.commands[-1].twist) > 0.03
    playing.arm.send(np.zeros(6))  # the watchdog's Stop
    playing.arm.advance(300 * MILLISECOND)
    command = playing.step()
    assert (command.mode, command.verdict) == (Mode.STOPPED, Verdict.STOP_WATCHDOG)
    assert not command.twist.any()  # the arm stands already: it is not moved again in order to be stopped


@pytest.mark.parametrize(("gap", "mode"), [(100 * MILLISECOND, Mode.ACTIVE), (100 * MILLISECOND + 1, Mode.STOPPED)])
def test_own_silence_counts_from_100_ms(playing, gap, mode):
    playing.arm.advance(gap - PERIOD)
    assert playing.step().mode is mode


def test_a_missed_period_breaks_no_cap(playing):
    limits = CONFIG.limits
    for gap in (2, 3, 1, 5, 1, 1, 8, 1):
        before = playing.commands[-1]
        after = playing.step(period=gap * PERIOD)
        seconds = min((after.stamp - before.stamp) / SECOND, 0.02)
        assert np.linalg.norm(after.twist[:3] - before.twist[:3]) <= limits.acceleration * seconds + 1e-9


def test_the_chunks_clock_stays_when_cycles_are_uneven(playing):
    playing.overrides["force"] = np.array([-25.0, 0, -20.0])
    moments = []
    for gap in (3, 1, 2, 1, 1, 4, 1):
        playing.step(period=gap * PERIOD // 2)
        moments.append(playing.cycle._situation.playback.lag)
    assert (np.diff(moments) >= 0).all()
    assert np.diff(moments).max() <= 4 * PERIOD // 2


def test_two_cycles_at_the_same_moment_are_no_crash(playing):
    for _ in range(3):
        command = playing.cycle.step(playing.now, playing.inputs())
        assert np.isfinite(command.twist).all()


def test_the_gripper_changes_at_most_ten_times_a_second(bench):
    bench.enabled()
    rng = np.random.default_rng(0)
    changes = []
    for cycle in range(400):
        chunk = None
        if cycle % 5 == 0:
            chunk = bench.chunk(count=8, shift=(0, 0, 0), step=10 * MILLISECOND, grippers=rng.random(8))
        bench.step(chunk)
        bench.arm.gripper = rng.random()  # what is measured must not leak into the command
        if bench.commands[-1].gripper != bench.commands[-2].gripper:
            changes.append(bench.commands[-1].stamp)
    assert len(changes) > 20
    assert np.diff(changes).min() >= 100 * MILLISECOND
    assert all(0.0 <= c.gripper <= 1.0 for c in bench.commands)


def test_small_changes_of_the_gripper_are_not_sent(bench):
    bench.enabled().step(bench.chunk(grippers=np.full(10, 0.5)))
    for wanted, sent in ((0.5, 0.5), (0.519, 0.5), (0.521, 0.521), (7.0, 1.0)):
        bench.step(bench.chunk(grippers=np.full(10, wanted)))
        assert bench.run(0.4).gripper == sent  # once the motion that was under way is over


def test_enabling_leaves_the_gripper_where_it_is(bench):
    bench.arm.gripper = 0.6
    bench.step()
    bench.step(enable=True)
    bench.arm.gripper = 0.4
    assert bench.step().gripper == 0.6


# --- the whole loop ------------------------------------------------------------------------------------------------------

moves = st.tuples(*[st.floats(-0.06, 0.06)] * 3)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.lists(st.tuples(moves, st.integers(3, 40)), min_size=2, max_size=8), st.integers(40, 120))
def test_the_closed_loop_stays_inside_with_any_chunks(sequence, delay):
    bench = Bench(above((0.47, 0.0, 0.08)), delay * MILLISECOND).enabled()
    low, high = np.array(CONFIG.workspace.low) - 0.001, np.array(CONFIG.workspace.high) + 0.001
    for shift, cycles in sequence:
        bench.step(bench.chunk(count=6, shift=tuple(6 * np.array(shift) * 0.4)))
        for _ in range(cycles):
            bench.step()
            tool = bench.arm.state().tool
            assert (tool.position > low).all()
            assert (tool.position < high).all()
            assert kinematics.finger_bottom(tool) > CONFIG.workspace.grasp_clearance - 0.001
            assert np.linalg.norm(bench.commands[-1].twist[:3]) <= CONFIG.limits.speed * (1 + 1e-9)


@pytest.mark.parametrize("delay", [40, 80, 120])
def test_the_closed_loop_settles_without_swinging(delay):
    bench = Bench(HOME, delay * MILLISECOND).enabled()
    start = bench.arm.state().tool.position
    bench.step(bench.chunk(count=10, shift=(0.1, 0, 0)))
    along = []
    for _ in range(115):
        bench.step()
        along.append(bench.arm.state().tool.position[0] - start[0])
    assert max(along) < 0.110


def test_a_cycle_object_of_its_own_needs_no_bench():
    cycle = ServoCycle(CONFIG)
    assert cycle.step(START, Inputs(None)).mode is Mode.DISARMED
    assert cycle.arming_obstacles(START, Inputs(None)) == ["no fresh feedback from the arm"]
