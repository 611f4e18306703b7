"""Faults around a policy, on nobody's clock: late, the same again, broken, none."""

from __future__ import annotations

import numpy as np
import pytest

from vla_ros.clock import MILLISECOND, SECOND
from vla_ros.faults import Fault, Kind
from vla_ros.geometry import Pose
from vla_ros.kinematics import TOOL_DOWN
from vla_ros.policy.constant import ConstantDeltaPolicy
from vla_ros.policy.faulty import OFF, FaultyPolicy
from vla_ros.policy.policy import Policy
from vla_ros.values import ActionChunk, ArmState, Observation

STRIDE = 100 * MILLISECOND
START, END = 3 * STRIDE, 6 * STRIDE


def seen(stamp: int) -> Observation:
    """The tool is higher at each stride, so that chunks tell when they were made."""
    pose = Pose(np.array([0.4, 0.0, stamp / SECOND]), TOOL_DOWN)
    return Observation(stamp, {}, ArmState(stamp, *np.zeros((3, 7)), pose, 0.0, np.zeros(3)), 0)


def faulty(kind: Kind, amount: float = 1.0) -> FaultyPolicy:
    policy = FaultyPolicy(ConstantDeltaPolicy(np.array([0.4, 0.1, 0.2])), [Fault(kind, START, END, amount)])
    policy.set_instruction("go")
    return policy


def looks(policy: Policy, count: int = 9) -> list[ActionChunk | None]:
    return [policy.act(seen(k * STRIDE), 0.0) for k in range(count)]


def test_outside_their_time_faults_change_nothing() -> None:
    chunks = [chunk for k, chunk in enumerate(looks(faulty(Kind.DISCONNECT))) if k < 3 or k > 5]
    assert [chunk.stamp for chunk in chunks if chunk] == [0, STRIDE, 2 * STRIDE, 6 * STRIDE, 7 * STRIDE, 8 * STRIDE]


def test_disconnected_there_is_no_chunk() -> None:
    assert looks(faulty(Kind.DISCONNECT))[3:6] == [None] * 3


def test_a_late_chunk_comes_at_its_moment_under_its_old_stamp() -> None:
    policy = faulty(Kind.DELAY, 0.13)
    arrivals = []
    for now in range(0, 9 * STRIDE, 10 * MILLISECOND):
        chunk = policy.act(seen(now), 0.0) if now % STRIDE == 0 else None
        arrived = [chunk] if chunk else policy.chunks(now)
        arrivals += [(now - chunk.stamp) for chunk in arrived if START <= chunk.stamp < END]
    assert arrivals == [130 * MILLISECOND] * 3


def test_who_only_acts_gets_a_late_chunk_at_the_next_look() -> None:
    stamps = [chunk and chunk.stamp for chunk in looks(faulty(Kind.DELAY, 0.13))]
    assert stamps[3:6] == [None, None, 3 * STRIDE]


def test_frozen_the_targets_stay_and_the_stamps_go_on() -> None:
    chunks = [chunk for chunk in looks(faulty(Kind.FREEZE)) if chunk]
    assert [chunk.stamp for chunk in chunks] == [k * STRIDE for k in range(9)]
    assert [chunk.sequence for chunk in chunks] == list(range(1, 10))
    for chunk in chunks[3:6]:
        np.testing.assert_array_equal(chunk.positions, chunks[2].positions)
    assert (chunks[6].positions != chunks[2].positions).any()


def test_corrupt_targets_are_no_numbers_or_far_off() -> None:
    sound = [chunk for chunk in looks(faulty(Kind.CORRUPT, 0.0), 40) if chunk]
    policy = FaultyPolicy(ConstantDeltaPolicy(np.array([0.4, 0.1, 0.2])), [Fault(Kind.CORRUPT, 0, 40 * STRIDE, 1.0)])
    policy.set_instruction("go")
    broken = [chunk for chunk in looks(policy, 40) if chunk]
    off = [np.linalg.norm(b.positions - s.positions, axis=1) for b, s in zip(broken, sound, strict=True)]
    assert all(np.count_nonzero(~(distances < 1e-9)) == 1 for distances in off)
    largest = np.array([distances.max() for distances in off])
    assert 5 < np.isnan(largest).sum() < 35
    np.testing.assert_allclose(largest[np.isfinite(largest)], OFF)


def test_a_chunk_of_no_targets_cannot_break() -> None:
    policy = FaultyPolicy(ConstantDeltaPolicy(np.zeros(3)), [Fault(Kind.CORRUPT, 0, 10, 1.0)])
    nothing = ActionChunk(0, 1, np.zeros((0, 3)), np.zeros((0, 4)), np.zeros(0), 1, "p", "", 0)
    policy.offer(0, nothing)
    assert policy.chunks(0) == [nothing]


def test_what_is_on_its_way_does_not_outlive_a_reset() -> None:
    policy = faulty(Kind.DELAY, 1.0)
    looks(policy, 6)
    policy.reset()
    assert policy.chunks(10 * SECOND) == []


def test_a_fault_can_be_asked_for_while_it_runs() -> None:
    policy = faulty(Kind.DROP, 0.0)
    policy.play(Fault(Kind.DISCONNECT, 0, STRIDE))
    assert [chunk is None for chunk in looks(policy, 2)] == [True, False]


@pytest.mark.parametrize("text", ["", "go"])
def test_it_is_idle_where_the_policy_is(text: str) -> None:
    policy = faulty(Kind.DROP, 0.0)
    policy.set_instruction(text)
    assert (policy.act(seen(0), 0.0) is None) is (text == "")
