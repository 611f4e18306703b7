"""The trace of chunks and the running estimate of the arm's delay: from records of the servo, on a virtual clock."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_ros import kinematics
from vla_ros.clock import MILLISECOND, SECOND
from vla_ros.motion import blocks
from vla_ros.nodes import latency
from vla_ros.nodes.latency import Stages, tool_velocities
from vla_ros.nodes.statistics import Periods, Ring, quantiles

from .bed import small_config

START = 1_000 * SECOND
PERIOD = 10 * MILLISECOND


def record(beat, **fields):
    """A status of the servo at `beat`."""
    made = np.zeros(1, blocks.STATUS)[0]
    made["beat"], made["arm_stamp"] = beat, beat
    for name, value in fields.items():
        made[name] = value
    return made


def chunk(beat, number, received=8, encoded=11, decided=13, began=20):
    """A status in which chunk `number` is played; moments in ms since exposure, None: not known."""
    exposure = beat - began * MILLISECOND
    moments = {"received": received, "encoded": encoded, "decided": decided, "began": began}
    fields = {f"chunk_{k}": exposure + v * MILLISECOND for k, v in moments.items() if v is not None}
    return record(beat, chunk_sequence=number, chunk_stamp=exposure, **fields)


def seen(records, every=PERIOD):
    stages = Stages(small_config())
    for k, one in enumerate(records):
        stages.see(one, START + k * every)
    return stages


def test_every_stage_is_counted_from_the_exposure_and_every_step_from_the_stage_before():
    values = seen(chunk(START + k * PERIOD, k, received=8 + k % 3) for k in range(1, 100)).values()
    assert values["chunks"] == 99
    assert (values["encoded_p50_ms"], values["decided_p50_ms"], values["command_p50_ms"]) == (11, 13, 20)
    assert (values["step_decide_p50_ms"], values["step_send_p999_ms"]) == (2, 7)
    assert (values["received_p50_ms"], values["received_p99_ms"]) == (9, 10)
    assert values["step_encode_p50_ms"] == 2


def test_a_chunk_counts_once_however_many_cycles_it_is_played_for():
    one = chunk(START, 1)
    records = [one.copy() for _ in range(10)]
    for k, status in enumerate(records):
        status["beat"] = START + k * PERIOD
    assert seen(records).values()["chunks"] == 1


def test_what_is_not_known_is_left_out():
    values = seen([chunk(START, 1, received=None, encoded=None, decided=None)]).values()
    assert "received_p50_ms" not in values
    assert "motion_p50_ms" not in values  # nothing has moved yet
    assert values["command_p50_ms"] == 20


def test_a_servo_that_plays_nothing_has_no_chunks():
    values = seen([record(START + k * PERIOD) for k in range(50)]).values()
    assert (values["chunks"], values["seams"], values["delays"]) == (0, 0, 0)


def test_chunks_are_kept_for_a_minute_and_the_last_thousand_for_longer():
    def after(period, n, age):
        stages = Stages(small_config())
        for k in range(1, n + 1):
            stages.see(chunk(START + k * period, k), START + k * period)
        stages.see(record(START + n * period + age), START + n * period + age)
        return stages.values()["chunks"]

    assert after(SECOND, 1500, 0) == 1000
    assert after(30 * MILLISECOND, 2500, 0) == 2001
    assert after(30 * MILLISECOND, 2500, 120 * SECOND) == 1000
    assert after(2 * MILLISECOND, 8000, 0) == latency.MOST  # never more than that, however fast they come


def test_the_largest_jump_at_a_seam_is_told_as_a_share_of_the_cap():
    config = small_config()
    jumps = [0.0, 0.01, 0.02, 0.003]
    records = [record(START)]
    for k, jump in enumerate(jumps, start=1):
        fields = {"seam_jump": (0, jump * config.limits.speed, 0, 0)}
        fields["seam_turn_jump"] = (0, 0.5 * jump * config.limits.turn_speed, 0, 0)
        records += [record(START + (10 * k + j) * PERIOD, seams=k, **fields) for j in range(10)]
    values = seen(records).values()
    assert values["seams"] == len(jumps)
    assert values["seam_velocity_max_share"] == pytest.approx(0.02)
    assert values["seam_turn_max_share"] == pytest.approx(0.01)
    assert values["seam_velocity_p99_share"] < 0.02


def test_a_servo_that_was_started_anew_counts_its_seams_from_nothing():
    records = [record(START, seams=7), record(START + PERIOD, seams=0), record(START + 2 * PERIOD, seams=1)]
    assert seen(records).values()["seams"] == 1


@settings(deadline=None, derandomize=True, max_examples=30)
@given(
    joints=st.lists(st.floats(-3, 3), min_size=7, max_size=7), rates=st.lists(st.floats(-1, 1), min_size=7, max_size=7)
)
def test_tool_velocities_are_jacobian_times_rates(joints, rates):
    q, r = np.array([joints, kinematics.HOME]), np.array([rates, rates])
    wanted = [(kinematics.kinematics(a).jacobian @ b)[:3] for a, b in zip(q, r, strict=True)]
    np.testing.assert_allclose(tool_velocities(q, r), wanted, atol=1e-12)


def wish(times, seed):
    """Smooth velocities (n, 3) m/s like a pick's: a few slow sines an axis."""
    random = np.random.default_rng(seed)
    waves = [
        sum(random.uniform(0.01, 0.04) * np.sin(2 * np.pi * f * times + random.uniform(0, 7)) for f in (0.3, 0.7, 1.1))
        for _ in range(3)
    ]
    return np.stack(waves, axis=1)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(late=st.floats(0.015, 0.285), seed=st.integers(0, 1000), noise=st.floats(0, 0.004))
def test_the_delay_between_command_and_motion_is_found(late, seed, noise):
    random = np.random.default_rng(seed)
    sent = np.arange(0, 4.3, 0.01) + random.uniform(-0.001, 0.001, 430)
    felt = sent - random.uniform(0, 0.008, len(sent))
    measured = 0.95 * wish(felt - late, seed) + random.normal(0, noise, (len(felt), 3))
    assert latency.delay(sent, wish(sent, seed), felt, measured) == pytest.approx(late, abs=0.004)


def test_no_delay_is_told_where_the_motion_does_not_tell_one():
    times = np.arange(0, 4.3, 0.01)
    noise = np.random.default_rng(0).normal(0, 0.001, (len(times), 3))
    still, moving = np.zeros((len(times), 3)), wish(times, 1)
    steady = np.tile([0.1, 0.0, 0.0], (len(times), 1))
    assert latency.delay(times, still, times, noise) is None
    assert latency.delay(times, steady, times, steady + noise) is None  # at constant speed every lag fits
    assert latency.delay(times, moving, times, still) is None  # blocked
    assert latency.delay(times, moving, times, wish(times, 2)) is None  # moved by something else
    assert latency.delay(times[:100], moving[:100], times[:100], moving[:100]) is None
    assert latency.delay(times, moving, times, wish(times - 0.5, 1)) is None  # later than is looked for
    late, held_up = wish(times - 0.08, 1), times + np.where(times > 3, 0.2, 0.0)
    assert latency.delay(times, moving, times, late) is not None
    assert latency.delay(held_up, moving, held_up, late) is None
    assert latency.delay(times * 1e6, moving, times * 1e6, late) is None


def arm_records(late, seconds):
    """An arm whose tool follows its commands exactly, `late` s behind them; a chunk every tenth cycle."""
    joints = kinematics.HOME.copy()
    for k in range(int(seconds * 100)):
        beat, t = START + k * PERIOD, k / 100
        twist = np.concatenate([wish(np.array([t - late]), 5)[0], np.zeros(3)])
        found = kinematics.kinematics(joints)
        rates = kinematics.joint_rates(found, joints, twist)
        made = chunk(beat - k % 10 * PERIOD, 1 + k // 10)
        made["beat"], made["arm_stamp"] = beat, beat
        made["twist"][:3] = wish(np.array([t]), 5)[0]
        made["joints"], made["velocities"] = joints, rates
        yield made
        joints = joints + rates / 100


def test_motion_is_the_first_command_and_the_arms_delay():
    values = seen(arm_records(0.083, 9)).values()
    assert values["delays"] >= 5
    assert values["delay_p50_ms"] == pytest.approx(83, abs=1)
    assert values["step_move_p50_ms"] == pytest.approx(83, abs=1)
    assert values["motion_p50_ms"] == pytest.approx(20 + 83, abs=1)


def test_values_are_numbers_that_a_status_can_carry():
    values = seen(arm_records(0.05, 6)).values()
    assert all(isinstance(value, float) and np.isfinite(value) for value in values.values())


def test_a_ring_keeps_the_newest_rows_in_order():
    ring = Ring(4, 2)
    assert ring.rows().shape == (0, 2)
    for k in range(7):
        ring.add((k, -k))
    assert ring.rows()[:, 0].tolist() == [3, 4, 5, 6]
    assert ring.added == 7


def test_quantiles_leave_out_what_is_not_known():
    assert quantiles("x", np.array([1.0, np.nan, 3.0]))["x_p50_ms"] == 2.0
    assert quantiles("x", np.array([np.nan])) == {}


def test_periods_tell_how_even_beats_are_and_do_not_count_unseen_ones():
    periods = Periods(PERIOD)
    assert periods.values()["period_error_max_ms"] == 0
    beats = START + PERIOD * np.arange(200)
    beats[100:] += 2 * MILLISECOND
    beats[150:] += 5 * SECOND  # not looked at for a while
    for beat in beats.tolist():
        periods.add(beat)
    assert periods.values()["period_error_max_ms"] == pytest.approx(2)
    assert periods.values()["period_error_p50_ms"] == 0
