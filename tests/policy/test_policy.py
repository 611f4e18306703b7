"""The policy of a bundle with faked graphs: memory, strides, instructions, chunks."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from vla_ros.policy.manifest import BundleError
from vla_ros.policy.policy import BundlePolicy, InstructionError, load_policy
from vla_ros.values import ActionChunk

from .fake_bundle import CHUNK, CONFIG, STRIDE, observation


def shown(policy: BundlePolicy, number: int, gripper: float = 0.0) -> ActionChunk | None:
    """The chunk for stride `number`, whose image is of that brightness."""
    return policy.act(observation(number * STRIDE, number), gripper)


def remembered(chunk: ActionChunk | None) -> tuple[int, int]:
    """Number of valid memories and oldest brightness, as the fake graph tells them in its first step."""
    assert chunk is not None
    step = (chunk.positions[0] - observation().arm.tool.position) / 0.01
    return round(step[0] * 100), round(step[1] * 100)


def test_a_chunk_stands_in_absolute_time_and_space(policy: BundlePolicy) -> None:
    chunk = policy.act(observation(5 * STRIDE), 0.7)
    assert chunk is not None
    assert (chunk.stamp, chunk.step, chunk.execute, len(chunk)) == (5 * STRIDE, STRIDE, 3, CHUNK)
    assert (chunk.policy, chunk.instruction, chunk.sequence) == ("fake", "pick up the red cube", 1)
    tool = observation().arm.tool
    np.testing.assert_allclose(chunk.positions[0], tool.position, atol=1e-9)
    np.testing.assert_allclose(chunk.quaternions, np.tile(tool.quaternion, (CHUNK, 1)), atol=1e-9)
    np.testing.assert_array_equal(chunk.grippers, 1.0)


def test_the_memory_slides(policy: BundlePolicy) -> None:
    told = [remembered(shown(policy, number)) for number in range(10, 16)]
    assert told == [(0, 0), (1, 0), (2, 0), (3, 10), (3, 11), (3, 12)]


def test_frames_between_two_strides_are_not_thought_about(policy: BundlePolicy) -> None:
    third = STRIDE // 3
    chunks = [policy.act(observation(k * third, k), 0.0) for k in range(9)]
    assert [chunk is not None for chunk in chunks] == [True, False, False] * 3


def test_a_missed_frame_repeats_a_feature(policy: BundlePolicy) -> None:
    shown(policy, 1)
    shown(policy, 2)
    assert remembered(shown(policy, 4)) == (3, 1)
    assert (policy.missed, policy.timings.missed) == (1, 1)
    assert remembered(shown(policy, 5)) == (3, 2)
    assert remembered(shown(policy, 6)) == (3, 2)


def test_a_long_gap_and_a_reset_forget(policy: BundlePolicy) -> None:
    shown(policy, 1)
    assert remembered(shown(policy, 20)) == (0, 0)
    policy.reset()
    assert remembered(shown(policy, 21)) == (0, 0)


def test_a_new_instruction_forgets_and_the_same_does_not(policy: BundlePolicy) -> None:
    shown(policy, 1)
    policy.set_instruction(" pick up the red cube ")
    assert remembered(shown(policy, 2)) == (1, 0)
    policy.set_instruction("lift the blue block")
    assert remembered(shown(policy, 3)) == (0, 0)


def test_an_empty_instruction_means_idle(policy: BundlePolicy) -> None:
    policy.set_instruction("")
    assert shown(policy, 1) is None
    assert not policy.due(0)


def test_a_refused_instruction_changes_nothing(policy: BundlePolicy) -> None:
    shown(policy, 1)
    with pytest.raises(InstructionError, match="'dance'"):
        policy.set_instruction("dance")
    with pytest.raises(InstructionError, match="at most 512"):
        policy.set_instruction("red " * 200)
    chunk = shown(policy, 2)
    assert chunk is not None
    assert chunk.instruction == "pick up the red cube"
    assert remembered(chunk) == (1, 0)


def test_a_missing_frame_is_named_and_costs_no_memory(policy: BundlePolicy) -> None:
    shown(policy, 1)
    whole = observation(2 * STRIDE)
    with pytest.raises(ValueError, match="without camera 'wrist'"):
        policy.act(dataclasses.replace(whole, frames={"static": whole.frames["static"]}), 0.0)
    assert remembered(shown(policy, 2)) == (1, 0)


def test_constant_policy_goes_straight_to_its_target() -> None:
    policy = load_policy("constant:0.5,0.1,0.3", CONFIG)
    assert policy.act(observation(), 0.4) is None
    policy.set_instruction("go")
    chunk = policy.act(observation(), 0.4)
    assert chunk is not None
    start, target = observation().arm.tool.position, np.array([0.5, 0.1, 0.3])
    lengths = np.linalg.norm(np.diff(np.vstack([start, chunk.positions]), axis=0), axis=1)
    np.testing.assert_allclose(lengths, 0.01, atol=1e-9)
    assert np.linalg.norm(np.cross(chunk.positions[-1] - start, target - start)) < 1e-9
    np.testing.assert_array_equal(chunk.grippers, 0.4)


def test_constant_policy_stops_at_its_target() -> None:
    x, y, z = observation().arm.tool.position
    policy = load_policy(f"constant:{x},{y},{z + 0.015}", CONFIG)
    policy.set_instruction("go")
    chunk = policy.act(observation(), 0.0)
    assert chunk is not None
    np.testing.assert_allclose(chunk.positions[:, 2] - z, [0.01] + [0.015] * 9)


@pytest.mark.parametrize("spec", ["constant:", "constant:1,2", "constant:1,2,x", "constant:1,2,nan"])
def test_a_bad_constant_policy(spec: str) -> None:
    with pytest.raises(BundleError, match="constant:x,y,z"):
        load_policy(spec, CONFIG)


def test_an_unknown_bundle_names_the_places() -> None:
    with pytest.raises(BundleError, match=r"no policy bundle 'nothing'.*models"):
        load_policy("nothing", CONFIG)


def test_a_graph_that_is_none(bundle: Path) -> None:
    with pytest.raises(BundleError, match=r"\.onnx does not load"):
        load_policy(str(bundle), CONFIG)
