"""The player: what it wants is smooth where chunks meet, goes by what was consumed, and the gripper goes by where the tool is."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_ros import geometry
from vla_ros.clock import MILLISECOND, SECOND
from vla_ros.config import load
from vla_ros.geometry import Pose
from vla_ros.kinematics import TOOL_DOWN
from vla_ros.motion import player, tracker
from vla_ros.motion.path import Path, along
from vla_ros.motion.player import Rules
from vla_ros.values import Setpoint

from .test_path import ORIGIN, START, STEP, chunk_of, chunks_of, sixes

RULES = Rules(130 * MILLISECOND, 60 * MILLISECOND, "blend", 0.01, 0, 0.15, math.radians(30), 0.5, math.radians(90))
PERIOD = 10 * MILLISECOND
HERE = Pose(ORIGIN, TOOL_DOWN)
REST = np.zeros(6)
EVEN = chunk_of([[0.01, 0, 0]] * 10)
PACE = 375 * MILLISECOND
"""In which 0.1 m/s is taken up from rest: 1.5 · 0.1 m/s / (80 % of 0.5 m/s²)."""
settled = settings(max_examples=30, deadline=None, derandomize=True)
scales = st.floats(0, 1)


def aside(x, y=0.0, z=0.0):
    """A position so far from where the chunks come from, m."""
    return ORIGIN + np.array([x, y, z])


def begun(chunk=EVEN, now=START, here=HERE, twist=REST, rate=REST, **rules):
    return player.begin(chunk, now, here, twist, rate, replace(RULES, **rules))


def ran(playback, milliseconds, scale=1.0, period=PERIOD, measured=None):
    """The playback so much later, with a tool that is where it is wanted, or held at `measured`."""
    for _ in range(milliseconds * MILLISECOND // period):
        tool = measured or player.setpoint(playback, playback.now).tool
        playback = player.advanced(playback, playback.now + period, scale, tool)
    return playback


def joined(playback, chunk=EVEN, age=0):
    """The playback with the chunk, stamped `age` ms ago, joined now."""
    return player.join(playback, replace(chunk, stamp=playback.now - age * MILLISECOND), playback.now)


def reference(playback, play):
    """Wanted motion at a play time."""
    return player._leading(playback.pieces, play).motion(play)


def between(playback, former, later):
    """Wanted motions at eleven play times from one to another."""
    return [reference(playback, play) for play in np.linspace(former, later, 11).astype(int).tolist()]


def difference(a, b):
    return np.concatenate([a.position - b.position, geometry.difference(a.quaternion, b.quaternion)])


# --- rules -------------------------------------------------------------------------------------------------------------


def test_rules_of_a_configuration():
    config = load(overrides=["servo.delay=0.08", "servo.merge=ensemble", "servo.gripper_delay=0.05"])
    rules = Rules.of(config)
    assert rules.lead == 80 * MILLISECOND
    assert (rules.blend, rules.merge, rules.decay) == (60 * MILLISECOND, "ensemble", 0.01)
    assert (rules.gripper_delay, rules.speed, rules.acceleration) == (50 * MILLISECOND, 0.15, 0.5)
    assert (rules.turn_speed, rules.turn_acceleration) == pytest.approx((math.radians(30), math.radians(90)))


# --- beginning ---------------------------------------------------------------------------------------------------------


def test_from_rest_the_chunk_is_played_from_its_beginning_however_old_it_is():
    """Its speed is taken up by 3u² - 2u³ within 80 % of the acceleration cap; no target is dropped, none is cut short."""
    playback = begun(now=START + 250 * MILLISECOND)
    assert playback.seam is None
    for play in range(0, 375, 5):
        motion, u = reference(playback, play * MILLISECOND), play / 375
        assert motion.velocity[0] == pytest.approx(0.1 * u * u * (3 - 2 * u), abs=1e-9)
        assert abs(motion.acceleration[0]) <= 0.4 + 1e-9
    for k in range(2, 9):
        moment = PACE // 2 + (k + 1) * STEP
        assert moment > PACE
        assert np.allclose(reference(playback, moment).pose.position, EVEN.positions[k], atol=1e-9)


def test_a_tool_at_rest_is_wanted_there_until_it_feels_what_is_sent():
    playback = begun()
    for _ in range(13):
        playback = ran(playback, 10)
        wanted = player.setpoint(playback, playback.now)
        assert np.abs(difference(wanted.tool, HERE)).max() < 1e-12
    assert wanted.twist[0] > 0.02
    assert player.setpoint(ran(playback, 20), playback.now + 2 * PERIOD).tool.position[0] > ORIGIN[0]


@settled
@given(chunks_of(0.02, 0.09), sixes, sixes, sixes, st.integers(0, 300))
def test_it_begins_with_the_pose_and_the_motion_that_the_tool_has(chunk, place, twist, rate, age):
    here = Pose(ORIGIN + 0.05 * place[:3], geometry.multiply(geometry.exp(0.3 * place[3:]), TOOL_DOWN))
    twist, rate = 0.1 * twist, 0.4 * rate
    playback = begun(chunk, START + age * MILLISECOND, here, twist, rate)
    first = player.setpoint(playback, playback.now)
    assert np.abs(difference(first.tool, here)).max() < 1e-9
    assert np.abs(first.twist - twist).max() < 1e-9
    assert np.abs(reference(playback, 0).acceleration - rate).max() < 1e-8
    before, after = (reference(playback, d) for d in (-1, 0))
    assert np.abs(difference(after.pose, before.pose)).max() < 1e-8


def test_a_braking_tool_goes_on_where_the_chunks_path_is_nearest():
    """20 mm ahead of where it was seen, as far as it will be when the chunk takes over: it is not led back there."""
    here = Pose(aside(0.007, 0, 0), TOOL_DOWN)
    playback = begun(now=START + 300 * MILLISECOND, here=here, twist=np.array([0.1, 0, 0, 0, 0, 0]))
    assert reference(playback, 0).pose.position[0] == pytest.approx(0.47)
    assert playback.pieces[-1].clock(0) - START == pytest.approx(200 * MILLISECOND, abs=MILLISECOND)
    speeds = [reference(playback, t * MILLISECOND).velocity[0] for t in range(700)]
    assert min(speeds) > 0.098


def test_a_moving_tool_consumes_no_more_than_the_chunk_is_old():
    here = Pose(aside(0.08, 0, 0), TOOL_DOWN)
    playback = begun(now=START + 50 * MILLISECOND, here=here, twist=np.array([0.1, 0, 0, 0, 0, 0]))
    assert playback.pieces[-1].clock(0) - START == 50 * MILLISECOND + RULES.lead


# --- seams -------------------------------------------------------------------------------------------------------------

seams = st.lists(st.tuples(st.integers(1, 15), chunks_of(0.015, 0.06), st.integers(0, 300)), min_size=1, max_size=6)


@settled
@given(chunks_of(0.015, 0.06, least=4), seams, scales, st.sampled_from(["blend", "ensemble"]))
def test_a_blended_seam_jumps_by_rounding_only(chunk, meetings, scale, merge):
    """In pose, velocity and acceleration; also where chunks come faster than `lead` and are older than it."""
    playback = begun(chunk, merge=merge)
    for cycles, following, age in meetings:
        playback = ran(playback, 10 * cycles, scale)
        playback = joined(playback, following, age)
        assert max(playback.seam.jump[:2]) < 1e-12
        assert playback.seam.jump[2] < 1e-10
        assert playback.seam.turn_jump[0] < 1e-7  # of what the logarithm of a rotation tells
        assert playback.seam.turn_jump[1] < 1e-12
        assert playback.seam.turn_jump[2] < 1e-10


@settled
@given(chunks_of(0.015, 0.06, least=4), seams, scales)
def test_what_was_sent_already_is_not_changed_by_a_join(chunk, meetings, scale):
    playback = begun(chunk)
    for cycles, following, age in meetings:
        before = ran(playback, 10 * cycles, scale)
        playback = joined(before, following, age)
        for play in np.linspace(before.felt, before.sent, 14)[:-1].astype(int).tolist():
            old, new = (reference(p, play) for p in (before, playback))
            assert np.array_equal(old.pose.position, new.pose.position)
            assert np.array_equal(old.velocity, new.velocity)


@settled
@given(chunks_of(0.015, 0.06, least=4), seams, st.floats(0.3, 1.0))
def test_the_sequence_of_commands_has_only_steps_that_the_acceleration_accounts_for(chunk, meetings, scale):
    playback, last = begun(chunk), player.setpoint(begun(chunk), START)
    for cycles, following, age in meetings:
        for cycle in range(cycles):
            former = playback
            playback = player.advanced(playback, playback.now + PERIOD, scale, last.tool)
            if cycle == cycles - 1:
                playback = joined(playback, following, age)
            wanted = player.setpoint(playback, playback.now)
            acceleration = max(np.abs(m.acceleration).max() for m in between(playback, former.sent, playback.sent))
            speed = max(np.abs(m.velocity).max() for m in between(playback, former.felt, playback.felt))
            # 5 % and a little: the highest of eleven samples is not the peak, and turns are not components
            sent, felt = (playback.sent - former.sent) / SECOND, (playback.felt - former.felt) / SECOND
            assert np.abs(wanted.twist - last.twist).max() <= 1.05 * acceleration * sent + 1e-4
            assert np.abs(difference(wanted.tool, last.tool)).max() <= 1.05 * speed * felt + 1e-5
            last = wanted


def standing(shift=(0.0, 0.0, 0.0), turn=(0.0, 0.0, 0.0), n=8, **fields):
    """A chunk that stands at a place."""
    quaternion = geometry.multiply(geometry.exp(np.array(turn)), TOOL_DOWN)
    chunk = chunk_of(np.zeros((n, 3)), origin=ORIGIN + shift, **fields)
    return replace(chunk, quaternions=np.tile(quaternion, (n, 1)))


def test_the_gap_is_by_what_chunk_and_motion_under_way_disagree():
    playback = ran(begun(standing()), 300)
    assert playback.sent - playback.felt == RULES.lead
    along_x = 0.003 * RULES.lead / STEP  # it takes over 130 ms after its stamp
    moving = chunk_of([[0.003, 0, 0]] * 8, origin=aside(-along_x, 0.003, 0.004))
    seam = joined(playback, replace(moving, quaternions=standing(turn=(0, 0, 0.1)).quaternions)).seam
    assert seam.gap_position == pytest.approx(0.005)
    assert seam.gap_velocity == pytest.approx(0.03)
    assert seam.gap_rotation == pytest.approx(0.1)
    assert max(seam.jump[:3]) < 1e-12


@settled
@given(chunks_of(0.015, 0.06, least=4), st.integers(1, 40), chunks_of(0.015, 0.06), st.integers(0, 300))
def test_a_chunk_that_replaces_jumps_by_the_gap(chunk, cycles, following, age):
    former = ran(begun(chunk, merge="replace"), 10 * cycles)
    playback = joined(former, following, age)
    takeover = playback.pieces[-1].begin
    old, new = reference(former, takeover), reference(playback, takeover)
    assert playback.seam.jump[0] == playback.seam.gap_position
    assert playback.seam.jump[1] == playback.seam.gap_velocity
    assert playback.seam.turn_jump[0] == playback.seam.gap_rotation
    assert playback.seam.jump[0] == pytest.approx(np.linalg.norm(new.pose.position - old.pose.position), abs=1e-12)
    assert playback.seam.jump[3] == pytest.approx(np.linalg.norm((new.jerk - old.jerk)[:3]))


@settled
@given(chunks_of(0.015, 0.06), st.integers(0, 300))
def test_after_the_blend_the_chunk_itself_is_wanted(chunk, age):
    playback = joined(ran(begun(), 300), chunk, age)
    piece = playback.pieces[-1]
    play = piece.begin + piece.blend
    plain = Path.of(chunk).motion(START + piece.clock(play) - piece.path.stamp)
    wanted = reference(playback, play)
    assert np.allclose(wanted.pose.position, plain.pose.position, atol=1e-12)
    assert np.allclose(wanted.velocity, plain.velocity, atol=1e-12)
    before = reference(playback, play - 1)  # and it is come to without a step
    assert np.abs(wanted.velocity - before.velocity).max() < 1e-7
    assert np.abs(wanted.acceleration - before.acceleration).max() < 1e-4


@settled
@given(sixes, st.integers(10, 200))
def test_a_blend_is_as_long_as_half_the_caps_need_up_to_400_ms(apart, blend):
    """Apart by up to 100 mm and 40°; a gap that the blend itself leads away gently enough does not lengthen it."""
    chunk = standing(0.06 * apart[:3], 0.4 * apart[3:], n=20)
    piece = joined(ran(begun(standing(n=20), blend=blend * MILLISECOND), 300), chunk).pieces[-1]
    shares = np.array([along(piece.offset, u, piece.blend / SECOND)[1:3] for u in np.linspace(0, 1, 200)])
    peaks = np.linalg.norm(shares.reshape(200, 2, 2, 3), axis=3).max(axis=0)
    used = peaks / [[RULES.speed, RULES.turn_speed], [RULES.acceleration, RULES.turn_acceleration]]
    assert used.max() <= 0.5 or piece.blend >= 360 * MILLISECOND
    assert piece.blend == blend * MILLISECOND or used.max() > 0.3


def test_a_gap_in_velocity_above_half_the_cap_is_led_away_without_a_higher_peak():
    fast = chunk_of([[0.014, 0, 0]] * 10, origin=aside(-0.02, 0, 0))
    piece = joined(ran(begun(standing(n=20)), 300), fast).pieces[-1]
    rates = [np.linalg.norm(along(piece.offset, u, piece.blend / SECOND)[1, :3]) for u in np.linspace(0, 1, 200)]
    assert rates[0] == pytest.approx(0.14)
    assert max(rates) <= 1.06 * 0.14


# --- consumption -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("age", "consumed"), [(0, 0), (90, 0), (100, 1), (250, 2), (299, 2), (300, 3)])
def test_targets_that_are_past_are_dropped_and_counted(age, consumed):
    playback = joined(ran(begun(), 900), age=age)
    assert playback.seam.consumed == consumed
    piece = playback.pieces[-1]
    assert piece.clock(playback.felt) == piece.path.stamp + age * MILLISECOND


@settled
@given(scales, st.integers(0, 300))
def test_a_slowed_clock_has_consumed_less(scale, age):
    playback = joined(ran(ran(begun(), 500), 500, scale), age=age)
    past = playback.felt - playback.pieces[-1].stamp
    assert past / MILLISECOND == pytest.approx(scale * age, abs=0.01)
    assert playback.seam.consumed == past // STEP


def test_what_was_consumed_is_counted_over_a_changing_scale_and_when_it_is_felt():
    """Seen 150 ms ago: of what was felt since, 50 ms were sent at a fifth of the speed."""
    slowed = ran(ran(begun(), 900), 50, 0.2)
    at_once, later = joined(slowed, age=150), joined(ran(slowed, 130), age=150)
    assert at_once.felt - at_once.pieces[-1].stamp == 150 * MILLISECOND
    assert later.felt - later.pieces[-1].stamp == 110 * MILLISECOND


def test_while_the_tool_still_rests_nothing_is_consumed():
    """What is sent at first is felt 130 ms later: the same chunk, seen before that, is played as the first one is."""
    playback = begun()
    for _ in range(13):
        playback = ran(playback, 10)
        second = joined(playback, age=5)
        assert second.seam.consumed == 0
        assert second.pieces[-1].stamp == playback.pieces[-1].stamp == PACE // 2
    assert joined(ran(begun(), 50), age=300).pieces[-1].stamp == PACE // 2


@pytest.mark.parametrize("milliseconds", [140, 200, 300, 400, 500])
def test_while_the_motion_gathers_pace_as_much_is_consumed_as_the_tool_has_moved(milliseconds):
    """A chunk of the same mind, seen where the tool then was, lies on the path of the first one."""
    playback = ran(begun(), milliseconds)
    second = joined(playback, chunk_of([[0.01, 0, 0]] * 10, origin=reference(playback, playback.felt).pose.position))
    for piece, again in zip(playback.pieces[-1:], second.pieces[-1:], strict=True):
        for play in range(PACE, 2 * PACE, STEP):
            first, same = (p.path.pose(p.clock(play)).position for p in (piece, again))
            assert np.allclose(first, same, atol=1e-8)


def test_a_chunk_that_continues_the_motion_makes_no_gap():
    """Seen 200 ms ago where the tool then was, and of the same mind: both references are the same."""
    playback = ran(begun(), 900)
    seen = reference(playback, playback.felt - 200 * MILLISECOND).pose.position
    seam = joined(playback, chunk_of([[0.01, 0, 0]] * 10, origin=seen), age=200).seam
    assert seam.consumed == 2
    assert max(seam.gap_position, seam.gap_velocity, seam.gap_rotation) < 1e-9


def test_a_chunk_stamped_a_little_in_the_future_is_not_consumed():
    playback = joined(ran(begun(), 900), age=-10)
    assert playback.seam.consumed == 0
    assert playback.pieces[-1].clock(playback.felt) == playback.now


@settled
@given(st.lists(st.tuples(st.integers(0, 200), st.floats(-2, 3) | st.just(float("nan"))), min_size=1, max_size=40))
def test_the_play_time_never_runs_backwards_nor_ahead(cycles):
    playback, lost = begun(), 0
    for period, scale in cycles:
        before = playback
        playback = player.advanced(playback, playback.now + period * MILLISECOND, scale, HERE)
        passed = playback.sent - before.sent
        assert 0 <= passed <= period * MILLISECOND
        assert before.felt <= playback.felt <= playback.sent
        lost += period * MILLISECOND - passed
        assert playback.lag == lost


def test_lag_counts_from_the_last_join():
    playback = ran(begun(), 100, 0.25)
    assert playback.lag == 75 * MILLISECOND
    assert joined(playback).lag == 0
    assert ran(joined(playback), 100, 0.5).lag == 50 * MILLISECOND


def ended(playback):
    """Play time felt when the playback is over for the first time."""
    while not player.over(playback):
        playback = ran(playback, 10)
    return playback.felt


def test_over_counts_only_what_may_be_played():
    """Felt, not sent: and what never gets on is never over."""
    for execute, count in ((3, 3), (10, 11), (99, 11)):  # at rest at the last one of all a step later
        late = ended(begun(replace(EVEN, execute=execute))) - PACE // 2 - count * STEP
        assert 0 <= late < PERIOD
    assert not player.over(ran(ran(begun(replace(EVEN, execute=3)), 300), 2000, 0.0))
    assert player.over(joined(ran(begun(), 900), replace(EVEN, execute=2), age=200))


# --- the gripper -------------------------------------------------------------------------------------------------------

CLOSING = chunk_of([[0.01, 0, 0]] * 10, grippers=[0.0] * 5 + [1.0] * 5)
CLOSES = PACE // 2 + 5 * STEP
"""Play time at which the closing target's interval begins: the tool feels it `lead` after it was sent."""


def closed_at(playback, tool):
    """Play time felt when the gripper is first told to close, with the tool at the pose that `tool(playback)` says."""
    while player.setpoint(playback, playback.now).gripper == 0.0:
        playback = player.advanced(playback, playback.now + PERIOD, 1.0, tool(playback))
        assert playback.progress <= playback.felt
    return playback.felt


def late_by(milliseconds):
    """A tool that is where it was wanted so long ago."""
    return lambda playback: reference(playback, max(0, playback.felt + PERIOD - milliseconds * MILLISECOND)).pose


@pytest.mark.parametrize("lateness", [0, 100, 200, 290])
def test_the_gripper_waits_for_a_tool_that_lags(lateness):
    """Within the period and the 1 mm (10 ms) that count as being there; by the clock it would be `lateness` early."""
    found = closed_at(begun(CLOSING), late_by(lateness)) - CLOSES
    assert (lateness - 20) * MILLISECOND <= found <= (lateness + 10) * MILLISECOND


def test_a_tool_that_does_not_come_holds_the_gripper_back_by_no_more_than_the_bound():
    held_back = closed_at(begun(CLOSING), lambda _: HERE) - CLOSES
    assert player.BEHIND <= held_back < player.BEHIND + PERIOD


def test_the_bound_holds_at_any_speed_of_the_clock():
    """A tool that stays where it was is not forgotten in two seconds at a fiftieth of the speed."""
    playback = begun(CLOSING)
    while playback.felt < 600 * MILLISECOND:
        playback = player.advanced(playback, playback.now + PERIOD, 1.0, late_by(100)(playback))
    before, tool = playback, late_by(100)(playback)
    playback = ran(playback, 2000, 0.02, measured=tool)
    assert playback.felt - before.felt > 150 * MILLISECOND
    assert playback.progress - before.progress <= PERIOD


def test_the_gripper_is_sent_earlier_by_its_own_delay():
    early = closed_at(begun(CLOSING, gripper_delay=80 * MILLISECOND), late_by(0))
    assert closed_at(begun(CLOSING), late_by(0)) - early == 80 * MILLISECOND


def test_where_the_path_stands_time_decides():
    still = standing(n=10, grippers=[0.0] * 5 + [1.0] * 5)
    beside = Pose(aside(0, 0.004, 0), TOOL_DOWN)
    assert closed_at(begun(still), lambda _: beside) == RULES.blend // 2 + 5 * STEP


def test_where_the_path_creeps_time_decides_too():
    """0.8 mm in eight steps, and a tool that stops short of them."""
    creeping = chunk_of([[0.0001, 0, 0]] * 10, grippers=[0.0] * 5 + [1.0] * 5)
    assert closed_at(begun(creeping), lambda _: HERE) == RULES.blend // 2 + 5 * STEP


def test_progress_does_not_go_back_with_the_tool():
    playback = ran(begun(), 700)
    back = ran(playback, 100, measured=reference(playback, playback.felt - 150 * MILLISECOND).pose)
    assert playback.progress == pytest.approx(playback.felt, abs=PERIOD)
    assert back.progress == pytest.approx(playback.progress, abs=PERIOD)
    assert back.progress >= playback.progress


def test_at_the_end_of_the_chunk_the_last_target_holds_back_no_longer():
    playback = begun(replace(CLOSING, execute=6))
    while not player.over(playback):
        assert player.setpoint(playback, playback.now).gripper == 0.0
        playback = ran(playback, 10, measured=HERE)
    assert player.setpoint(playback, playback.now).gripper == 1.0


def test_no_gripper_target_behind_those_that_may_be_played():
    playback = ran(begun(replace(CLOSING, execute=5), gripper_delay=SECOND // 2), 800)
    assert player.setpoint(playback, playback.now).gripper == 0.0


def test_a_new_chunk_rules_the_gripper_from_where_it_takes_over():
    playback = joined(ran(begun(), 600), standing(grippers=[1.0] * 8))
    assert player.setpoint(ran(playback, 120), playback.now + 120 * MILLISECOND).gripper == 0.0
    assert player.setpoint(ran(playback, 140), playback.now + 140 * MILLISECOND).gripper == 1.0


@settled
@given(chunks_of(0.015, 0.06, least=4), st.lists(st.tuples(sixes, scales), min_size=1, max_size=60))
def test_progress_never_goes_back_and_stays_within_its_bounds(chunk, cycles):
    playback = begun(chunk)
    for noise, scale in cycles:
        before, wanted = playback.progress, player.setpoint(playback, playback.now).tool
        tool = Pose(wanted.position + 0.02 * noise[:3], wanted.quaternion)
        playback = player.advanced(playback, playback.now + PERIOD, scale, tool)
        assert max(before, playback.felt - player.BEHIND) <= playback.progress <= playback.felt


# --- ensembles ---------------------------------------------------------------------------------------------------------


def test_an_ensemble_plays_the_mean_of_those_that_overlap():
    """Three chunks that stand at 0, 10 and 30 mm, weighed as ACT does: 1, exp(-m), exp(-2m)."""
    playback = begun(standing(n=20), merge="ensemble", decay=0.5)
    for shift in (0.010, 0.030):
        playback = joined(ran(playback, 200), standing((shift, 0, 0), n=20), age=50)
    piece = playback.pieces[-1]
    weights = np.exp([0.0, -0.5, -1.0])
    mean = float(weights @ [0.0, 0.010, 0.030] / weights.sum())
    settled_at = piece.begin + piece.blend
    assert settled_at < playback.voices[0].stamp + 20 * STEP
    assert reference(playback, settled_at).pose.position[0] - ORIGIN[0] == pytest.approx(mean, abs=1e-9)
    assert playback.chunk.positions[0, 0] == ORIGIN[0] + 0.030


def test_where_older_chunks_have_ended_the_newest_is_alone():
    playback = joined(ran(begun(standing(n=4), merge="ensemble"), 200), standing((0.02, 0, 0), n=20))
    late = playback.voices[0].stamp + 4 * STEP + STEP + SECOND
    assert reference(playback, late).pose.position[0] - ORIGIN[0] == pytest.approx(0.02, abs=1e-9)


def test_grippers_of_an_ensemble_are_averaged_too():
    playback = begun(standing(n=20), merge="ensemble", decay=0.0)
    playback = ran(joined(ran(playback, 200), standing(n=20, grippers=[1.0] * 20)), 300)
    assert player.setpoint(playback, playback.now).gripper == pytest.approx(0.5)


def test_an_ensemble_keeps_eight_chunks_at_most():
    playback = begun(standing(n=64), merge="ensemble")
    for _ in range(12):
        playback = joined(ran(playback, 20), standing(n=64))
    assert len(playback.voices) == player.CHUNKS


# --- always ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("merge", ["blend", "replace", "ensemble"])
@pytest.mark.parametrize("scale", [1.0, 0.3, 0.01, 0.0])
def test_a_chunk_every_cycle_keeps_the_work_bounded(merge, scale):
    playback, most = begun(merge=merge, lead=200 * MILLISECOND), 0
    for _ in range(150):
        playback = joined(ran(playback, 10, scale, measured=HERE), age=100)
        most = max(most, len(playback.pieces))
    assert most <= (player.BEHIND + 200 * MILLISECOND) // player.SPACING + 3
    assert len(playback.history) <= player.MEMORY // PERIOD + 2
    assert len(playback.trail) <= player.BEHIND // player.STRIDE + 3


def test_history_is_bounded_by_number_too():
    playback = ran(begun(), 500, period=MILLISECOND)
    assert len(playback.history) == player.PASSAGES
    assert len(playback.trail) <= player.BEHIND // player.STRIDE + 3


def test_a_chunk_every_cycle_is_still_followed():
    """Each takes over in its turn: the tool gets to where all of them want it, 30 mm away."""
    playback = begun(standing())
    for _ in range(250):
        playback = joined(ran(playback, 10), standing((0.03, 0, 0)), age=50)
    assert reference(playback, playback.felt).pose.position[0] - ORIGIN[0] == pytest.approx(0.03, abs=1e-3)


@settled
@given(
    st.lists(
        st.tuples(chunks_of(0.03, 0.15, most=4), st.integers(-10, 700), st.integers(0, 30), scales, sixes), max_size=8
    ),
    st.sampled_from(["blend", "replace", "ensemble"]),
    st.integers(0, 200),
)
def test_nothing_is_ever_nan(meetings, merge, lead):
    playback = begun(chunk_of([[0.01, 0, 0]]), merge=merge, lead=lead * MILLISECOND)
    for chunk, age, cycles, scale, place in meetings:
        playback = ran(playback, 10 * cycles, scale, measured=Pose(ORIGIN + 0.2 * place[:3], TOOL_DOWN))
        playback = joined(playback, replace(chunk, step=SECOND // 100 * (1 + cycles)), age)
        wanted = player.setpoint(playback, playback.now)
        assert wanted.tool.is_finite()
        assert np.isfinite([*wanted.twist, wanted.gripper]).all()
        assert np.isfinite([*playback.seam.jump, *playback.seam.turn_jump]).all()


def test_a_single_target_is_come_to_and_held():
    playback = ran(begun(chunk_of([[0.01, 0, 0]])), 1000)
    wanted = player.setpoint(playback, playback.now)
    assert np.allclose(wanted.tool.position, aside(0.01, 0, 0))
    assert not wanted.twist.any()


def test_the_velocity_sent_is_that_of_when_it_is_felt():
    playback = ran(begun(chunk_of([[0, 0, 0]] * 3 + [[0.01, 0, 0]] * 5)), 450)
    wanted = player.setpoint(playback, playback.now)
    assert playback.sent - playback.felt == RULES.lead
    assert np.allclose(wanted.tool.position, reference(playback, playback.felt).pose.position, atol=1e-15)
    assert np.array_equal(wanted.twist, reference(playback, playback.sent).velocity)
    assert wanted.twist[0] > 0.05


def test_the_tracker_adds_a_gain_on_the_error_to_the_feed_forward():
    measured = Pose(np.array([0.45, 0, 0.2]), TOOL_DOWN)
    turned = geometry.multiply(geometry.exp(np.array([0, 0, 0.1])), TOOL_DOWN)
    wanted = Setpoint(Pose(np.array([0.46, 0, 0.2]), turned), np.array([0.05, 0, 0, 0, 0, 0.2]), 0.0)
    assert np.allclose(tracker.track(wanted, measured, 4.0), [0.09, 0, 0, 0, 0, 0.6])
