"""Actions and their inverses."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vla_ros import geometry
from vla_ros.geometry import Array, Pose
from vla_ros.policy.actions import compose_chunk, deltas_from_poses

steps = hnp.arrays(np.float64, st.tuples(st.integers(1, 12), st.just(7)), elements=st.floats(-0.5, 0.5))
vectors = hnp.arrays(np.float64, 3, elements=st.floats(-1, 1))


def anchor(position: Array, rotation: Array) -> Pose:
    return Pose(position, geometry.exp(rotation))


@given(steps, vectors, vectors, st.booleans(), st.booleans())
def test_composing_inverts_taking_differences(
    actions: Array, position: Array, rotation: Array, sequential: bool, in_tool: bool
) -> None:
    actions[:, 6] = actions[:, 6] > 0
    start = anchor(position, rotation)
    poses = compose_chunk(start, actions, sequential, in_tool=in_tool)
    np.testing.assert_allclose(deltas_from_poses(start, *poses, sequential, in_tool), actions, atol=1e-9)


def test_a_step_in_the_tools_frame_goes_where_the_tool_points() -> None:
    down = anchor(np.array([0.4, 0.0, 0.2]), np.array([np.pi, 0.0, 0.0]))
    positions, _, _ = compose_chunk(down, np.array([[0.0, 0.0, 0.03, 0.0, 0.0, 0.0, 0.0]]), in_tool=True)
    np.testing.assert_allclose(positions, [[0.4, 0.0, 0.17]], atol=1e-12)


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
