"""Which chunks may be played: every verdict at its very border."""

import math

import numpy as np
import pytest

from vla_ros import geometry
from vla_ros.clock import MILLISECOND, SECOND
from vla_ros.kinematics import HOME, TOOL_DOWN
from vla_ros.motion.admission import LONGEST, NEAR, NEAR_TURN, judge
from vla_ros.values import ActionChunk, Verdict

from .simulator import CONFIG, START, arm_state

ARM = arm_state(HOME, START)
STEP = 100 * MILLISECOND
NOW = START + 50 * MILLISECOND


def chunk(count=4, **changes):
    fields = {
        "stamp": START,
        "step": STEP,
        "positions": np.tile(ARM.tool.position, (count, 1)),
        "quaternions": np.tile(ARM.tool.quaternion, (count, 1)),
        "grippers": np.zeros(count),
        "execute": count,
        "policy": "test",
        "instruction": "lift",
        "sequence": 1,
    }
    return ActionChunk(**(fields | changes))


def verdict(value, now=NOW):
    return judge(value, ARM, now, CONFIG)


def test_a_good_chunk_is_accepted():
    assert verdict(chunk()) is Verdict.OK
    assert verdict(chunk(1)) is Verdict.OK


def test_an_empty_chunk_is_accepted_however_old():
    assert verdict(chunk(0, stamp=0)) is Verdict.OK


@pytest.mark.parametrize(
    "changes",
    [
        {"positions": np.zeros((4, 2))},
        {"positions": np.zeros((3, 3))},
        {"quaternions": np.zeros((4, 3))},
        {"step": 0},
        {"step": -STEP},
        {"step": 10 * MILLISECOND - 1},
        {"step": SECOND + 1},
        {"execute": 0},
    ],
)
def test_malformed(changes):
    assert verdict(chunk(**changes)) is Verdict.CHUNK_MALFORMED


@pytest.mark.parametrize("scale", [0.0, 0.998, 1.002, 1e160])
def test_quaternions_that_are_not_of_unit_length(scale):
    quaternions = np.tile(TOOL_DOWN, (4, 1))
    quaternions[2] *= scale
    assert verdict(chunk(quaternions=quaternions)) is Verdict.CHUNK_QUATERNION
    quaternions[2] = TOOL_DOWN * 1.0009
    assert verdict(chunk(quaternions=quaternions)) is Verdict.OK


def test_too_many_targets():
    assert verdict(chunk(LONGEST)) is Verdict.OK
    assert verdict(chunk(LONGEST + 1)) is Verdict.CHUNK_LONG
    assert verdict(chunk(10_000)) is Verdict.CHUNK_LONG


def test_one_that_was_overtaken_is_refused_even_when_it_is_empty():
    playing = chunk(stamp=START + 1)
    assert judge(chunk(), ARM, NOW, CONFIG, playing) is Verdict.CHUNK_OVERTAKEN
    assert judge(chunk(0), ARM, NOW, CONFIG, playing) is Verdict.CHUNK_OVERTAKEN
    assert judge(chunk(stamp=START + 1), ARM, NOW, CONFIG, playing) is Verdict.OK


def test_one_of_another_instruction_is_refused_where_the_instruction_is_known():
    assert judge(chunk(), ARM, NOW, CONFIG, None, "lift") is Verdict.OK
    assert judge(chunk(), ARM, NOW, CONFIG, None, "lower") is Verdict.CHUNK_INSTRUCTION
    assert judge(chunk(), ARM, NOW, CONFIG, None, "") is Verdict.CHUNK_INSTRUCTION
    assert judge(chunk(0), ARM, NOW, CONFIG, None, "lower") is Verdict.OK


@pytest.mark.parametrize("field", ["positions", "quaternions", "grippers"])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_not_finite(field, bad):
    value = chunk()
    getattr(value, field).flat[-1] = bad
    assert verdict(value) is Verdict.CHUNK_NOT_FINITE


def test_stale_after_the_observation_deadline_and_not_a_nanosecond_earlier():
    deadline = round(CONFIG.deadlines.observation * SECOND)
    assert verdict(chunk(), START + deadline) is Verdict.OK
    assert verdict(chunk(), START + deadline + 1) is Verdict.CHUNK_STALE


def test_from_the_future_but_for_10_ms():
    assert verdict(chunk(), START - 10 * MILLISECOND) is Verdict.OK
    assert verdict(chunk(), START - 10 * MILLISECOND - 1) is Verdict.CHUNK_FUTURE


def test_far_is_beyond_20_mm_and_what_the_tool_may_move_until_then():
    border = NEAR + CONFIG.limits.speed * (0.05 + 0.1)
    for distance, expected in ((border - 1e-6, Verdict.OK), (border + 1e-6, Verdict.CHUNK_FAR)):
        assert verdict(chunk(positions=np.tile(ARM.tool.position + np.array([0, distance, 0]), (4, 1)))) is expected


def test_a_first_target_may_be_turned_by_8_degrees_and_what_the_tool_may_turn_until_then():
    border = NEAR_TURN + CONFIG.limits.turn_speed * (0.05 + 0.1)
    for angle, expected in ((border - 1e-6, Verdict.OK), (border + 1e-6, Verdict.CHUNK_FAR)):
        turned = geometry.multiply(geometry.exp(np.array([0, angle, 0])), ARM.tool.quaternion)
        assert verdict(chunk(quaternions=np.tile(turned, (4, 1)))) is expected


def test_a_step_is_three_times_the_cap_at_most():
    border = 3 * CONFIG.limits.speed * 0.1
    for length, expected in ((border - 1e-6, Verdict.OK), (border + 1e-6, Verdict.CHUNK_STEP)):
        positions = np.tile(ARM.tool.position, (4, 1))
        positions[3, 0] += length
        assert verdict(chunk(positions=positions)) is expected


def test_a_turn_is_three_times_the_cap_at_most():
    border = 3 * CONFIG.limits.turn_speed * 0.1
    for angle, expected in ((border - 1e-6, Verdict.OK), (border + 1e-6, Verdict.CHUNK_STEP)):
        quaternions = np.tile(ARM.tool.quaternion, (4, 1))
        quaternions[3] = geometry.multiply(geometry.exp(np.array([angle, 0, 0])), ARM.tool.quaternion)
        assert verdict(chunk(quaternions=quaternions)) is expected


def test_the_sign_of_a_quaternion_is_no_turn():
    quaternions = np.tile(ARM.tool.quaternion, (4, 1))
    quaternions[1] *= -1
    assert verdict(chunk(quaternions=quaternions)) is Verdict.OK
