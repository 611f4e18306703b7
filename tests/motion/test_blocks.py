"""Records of the shared blocks: what goes in comes out."""

from dataclasses import replace

import numpy as np
import pytest

from vla_ros.kinematics import HOME
from vla_ros.motion import blocks
from vla_ros.motion.admission import LONGEST
from vla_ros.motion.player import Seam
from vla_ros.values import ActionChunk, Command, Mode, Trace, Verdict

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


def test_a_chunk_that_no_block_holds_is_an_error_and_not_cut():
    with pytest.raises(ValueError, match="a chunk of 65 targets: a block holds 64"):
        blocks.pack_chunk(chunk(blocks.TARGETS + 1))
    assert blocks.TARGETS == LONGEST


def test_the_trace_of_a_chunk_comes_back():
    trace = Trace("run 7", {"wrist": 12, "static": 34}, START + 1, START + 2, START + 3)
    record = blocks.pack_chunk(replace(chunk(2), trace=trace), ["static", "wrist"])
    assert blocks.unpack_chunk(record, ["static", "wrist"]).trace == trace
    assert blocks.unpack_chunk(blocks.pack_chunk(chunk(2)), ["static"]).trace == Trace(frames={"static": 0})


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
    status = blocks.pack_status(blocks.Report(command, refusal=verdict))
    assert blocks.mode(status) is mode
    assert blocks.verdict(status) is verdict
    assert blocks.refusal(status) is verdict
    assert blocks.arm_state(status) is None


def test_no_refusal_yet_is_ok():
    assert blocks.refusal(np.zeros(1, blocks.REQUEST)[0]) is Verdict.OK


def test_a_status_holds_what_the_servo_saw():
    arm = arm_state(HOME, START, np.arange(7.0), 0.25)
    command = Command(START + 1, np.arange(6.0), 0.5, Verdict.OK, Mode.ACTIVE)
    report = blocks.Report(
        command, arm, chunk(3), began=12, answered=5, obstacles="no frames", cycles=6, missed=7, late=8, refused=9
    )
    status = blocks.pack_status(report)
    after = blocks.arm_state(status)
    assert after.stamp == START
    for field in ("joints", "velocities", "torques", "force"):
        assert (getattr(after, field) == getattr(arm, field)).all()
    assert (after.tool.position == arm.tool.position).all()
    assert (after.gripper, after.fault) == (0.25, "")
    counts = [int(status[f]) for f in ("beat", "answered", "cycles", "missed", "late", "refused")]
    assert counts == [START + 1, 5, 6, 7, 8, 9]
    assert [int(status[f]) for f in ("chunk_stamp", "chunk_sequence", "chunk_began")] == [START, 9, 12]
    assert status["chunk_instruction"].decode() == "greife den Würfel"
    assert (status["obstacles"], status["source"]) == (b"no frames", b"policy")


def test_a_status_holds_the_seam_and_the_frames_behind_the_command():
    command = Command(START, np.zeros(6), 0.5, Verdict.OK, Mode.ACTIVE)
    seam = Seam(4, 0.1, 0.2, 0.3, (1.0, 2.0, 3.0, 4.0), (5.0, 6.0, 7.0, 8.0))
    trace = Trace(frames={"wrist": 12}, received=1, encoded=2, decided=3)
    report = blocks.Report(command, chunk=replace(chunk(1), trace=trace), seam=seam, seams=11)
    status = blocks.pack_status(report, ["static", "wrist"])
    assert (status["seams"], status["seam_consumed"]) == (11, 4)
    assert status["seam_gap"].tolist() == [0.1, 0.2, 0.3]
    assert status["seam_jump"].tolist() + status["seam_turn_jump"].tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    assert status["chunk_frames"].tolist()[:3] == [0, 12, 0]
    assert [int(status[f"chunk_{name}"]) for name in ("received", "encoded", "decided")] == [1, 2, 3]
