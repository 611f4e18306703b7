"""Records of the shared blocks: what goes in comes out."""

import numpy as np
import pytest

from vla_ros.kinematics import HOME
from vla_ros.motion import blocks
from vla_ros.motion.player import Seam
from vla_ros.values import ActionChunk, Command, Mode, Verdict

from .simulator import START, arm_state


def chunk(count, text="greife den Würfel"):
    rng = np.random.default_rng(count)
    return ActionChunk(
        START, 100, rng.normal(size=(count, 3)), rng.normal(size=(count, 4)), rng.random(count), 3, "demo", text, 9
    )


@pytest.mark.parametrize("count", [0, 1, blocks.TARGETS])
def test_a_chunk_comes_back(count):
    before, after = chunk(count), blocks.unpack_chunk(blocks.pack_chunk(chunk(count)))
    assert (before.stamp, before.step, before.execute, before.sequence) == (START, 100, 3, after.sequence)
    assert (after.policy, after.instruction) == (before.policy, before.instruction)
    for field in ("positions", "quaternions", "grippers"):
        assert (getattr(before, field) == getattr(after, field)).all()
        assert getattr(before, field).shape == getattr(after, field).shape


def test_a_long_chunk_is_cut():
    assert len(blocks.unpack_chunk(blocks.pack_chunk(chunk(blocks.TARGETS + 5)))) == blocks.TARGETS


def test_a_long_text_is_cut_between_characters():
    after = blocks.unpack_chunk(blocks.pack_chunk(chunk(1, "ü" * 400)))
    assert after.instruction == "ü" * 256


def test_garbage_in_a_record_is_no_crash():
    record = np.zeros(1, blocks.CHUNK)
    record["count"], record["policy"] = -5, b"\xff\xfe"
    assert len(blocks.unpack_chunk(record[0])) == 0
    record["count"] = 10**9
    assert len(blocks.unpack_chunk(record[0])) == blocks.TARGETS


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("verdict", Verdict)
def test_every_mode_and_verdict_fits(mode, verdict):
    command = Command(START, np.arange(6.0), 0.5, verdict, mode)
    status = blocks.pack_status(command, None, None, None, 0, "", 1, 0, 0)
    assert blocks.mode(status) is mode
    assert blocks.verdict(status) is verdict
    assert blocks.arm_state(status) is None


def test_a_status_holds_what_the_servo_saw():
    arm = arm_state(HOME, START, np.arange(7.0), 0.25)
    command = Command(START + 1, np.arange(6.0), 0.5, Verdict.OK, Mode.ACTIVE)
    status = blocks.pack_status(command, arm, chunk(3), Seam(0.1, 0.2, 0.3, 4), 5, "no frames", 6, 7, 8)
    after = blocks.arm_state(status)
    assert after.stamp == START
    for field in ("joints", "velocities", "torques", "force"):
        assert (getattr(after, field) == getattr(arm, field)).all()
    assert (after.tool.position == arm.tool.position).all()
    assert (after.gripper, after.fault) == (0.25, "")
    assert [int(status[f]) for f in ("beat", "answered", "cycles", "missed", "late")] == [START + 1, 5, 6, 7, 8]
    assert [int(status[f]) for f in ("chunk_stamp", "chunk_sequence", "seam_consumed")] == [START, 9, 4]
    assert status["obstacles"] == b"no frames"
