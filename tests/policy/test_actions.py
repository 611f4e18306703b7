"""Actions and their inverses."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vla_ros import geometry
from vla_ros.geometry import Array, Pose
from vla_ros.policy.actions import compose_chunk, deltas_from_poses, denormalise, normalise

LOW = np.array([-0.01, -0.02, -0.03, -0.1, -0.2, -0.1])
HIGH = np.array([0.02, 0.02, 0.01, 0.1, 0.1, 0.3])
steps = hnp.arrays(np.float64, st.tuples(st.integers(1, 12), st.just(7)), elements=st.floats(-0.5, 0.5))
vectors = hnp.arrays(np.float64, 3, elements=st.floats(-1, 1))


def anchor(position: Array, rotation: Array) -> Pose:
    return Pose(position, geometry.exp(rotation))


@given(steps)
def test_back_from_normalised_is_the_clipped_action(actions: Array) -> None:
    clipped = actions.copy()
    clipped[:, :6] = np.clip(actions[:, :6], LOW, HIGH)
    normalised = normalise(actions, LOW, HIGH)
    assert np.abs(normalised[:, :6]).max() <= 1
    np.testing.assert_allclose(denormalise(normalised, LOW, HIGH), clipped, atol=1e-12)


@given(steps)
def test_without_clip_nothing_is_lost(actions: Array) -> None:
    there = 3 * actions
    back = normalise(denormalise(there, LOW, HIGH, clip=False), LOW * 100, HIGH * 100)
    expected = (denormalise(there, LOW, HIGH, clip=False)[:, :6] / 100 - LOW) * 2 / (HIGH - LOW) - 1
    np.testing.assert_allclose(back[:, :6], np.clip(expected, -1, 1), atol=1e-9)
    np.testing.assert_array_equal(back[:, 6], there[:, 6])


def test_the_ends_of_the_range_are_one() -> None:
    np.testing.assert_allclose(normalise([[*HIGH, 1.0], [*LOW, 0.0]], LOW, HIGH), [[1] * 7, [-1] * 6 + [0]])


@given(steps, vectors, vectors, st.booleans())
def test_composing_inverts_taking_differences(
    actions: Array, position: Array, rotation: Array, sequential: bool
) -> None:
    actions[:, 6] = actions[:, 6] > 0
    start = anchor(position, rotation)
    poses = compose_chunk(start, actions, sequential)
    np.testing.assert_allclose(deltas_from_poses(start, *poses, sequential), actions, atol=1e-9)


def test_sequential_steps_add_up_in_the_base_frame() -> None:
    start = anchor(np.array([1.0, 2.0, 3.0]), np.array([np.pi, 0.0, 0.0]))
    step = np.array([0.01, 0.0, 0.02, 0.0, 0.0, 0.1, 0.7])
    positions, quaternions, grippers = compose_chunk(start, np.tile(step, (3, 1)))
    np.testing.assert_allclose(positions[-1], [1.03, 2.0, 3.06])
    turned = geometry.multiply(geometry.exp(np.array([0.0, 0.0, 0.3])), start.quaternion)
    assert np.linalg.norm(geometry.difference(quaternions[-1], turned)) < 1e-9
    np.testing.assert_array_equal(grippers, 1.0)


@pytest.mark.parametrize(("value", "expected"), [(0.0, 0.0), (0.5, 0.0), (0.51, 1.0), (1.0, 1.0)])
def test_the_gripper_is_open_or_closed(value: float, expected: float) -> None:
    action = np.array([[0, 0, 0, 0, 0, 0, value]], float)
    assert compose_chunk(anchor(np.zeros(3), np.zeros(3)), action)[2][0] == expected


def test_an_empty_chunk_is_empty() -> None:
    positions, quaternions, grippers = compose_chunk(anchor(np.zeros(3), np.zeros(3)), np.zeros((0, 7)))
    assert (len(positions), len(quaternions), len(grippers)) == (0, 0, 0)
