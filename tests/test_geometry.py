"""Rotations and poses: every function against its inverse or against scipy."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from vla_ros import geometry
from vla_ros.geometry import Pose

number = st.floats(-1, 1, allow_nan=False)
vectors = st.tuples(number, number, number).map(np.array)


@st.composite
def rotation_vectors(draw, longest=math.pi - 1e-6):
    direction = draw(vectors.filter(lambda v: np.linalg.norm(v) > 1e-3))
    return direction / np.linalg.norm(direction) * draw(st.floats(0, longest))


quaternions = rotation_vectors().map(geometry.exp)
poses = st.builds(Pose, vectors, quaternions)


def same(a, b, tolerance=1e-9):
    return min(np.abs(a - b).max(), np.abs(a + b).max()) < tolerance


@given(rotation_vectors())
def test_log_undoes_exp(vector):
    assert np.allclose(geometry.log(geometry.exp(vector)), vector, atol=1e-9)


@given(rotation_vectors(1e-3))
def test_exp_is_accurate_where_its_series_takes_over(vector):
    assert np.allclose(geometry.exp(vector), Rotation.from_rotvec(vector).as_quat(), atol=1e-15)


@given(quaternions)
def test_log_takes_the_shorter_way_for_either_sign(q):
    assert np.linalg.norm(geometry.log(-q)) <= math.pi + 1e-9
    assert same(geometry.exp(geometry.log(-q)), q)


@given(quaternions)
def test_from_matrix_undoes_matrix(q):
    assert same(geometry.from_matrix(geometry.matrix(q)), q)


@pytest.mark.parametrize(
    "vector", [(math.pi, 0, 0), (0, math.pi, 0), (0, 0, math.pi), (0, 0, 0), (2.22144, 2.22144, 0)]
)
def test_from_matrix_at_half_turns(vector):
    q = geometry.exp(np.array(vector, float))
    assert same(geometry.from_matrix(geometry.matrix(q)), q)


@given(quaternions, quaternions, vectors)
def test_multiply_is_the_second_rotation_first(a, b, v):
    assert np.allclose(geometry.rotate(geometry.multiply(a, b), v), geometry.rotate(a, geometry.rotate(b, v)))
    assert np.allclose(geometry.matrix(a), Rotation.from_quat(a).as_matrix())


@given(quaternions, quaternions)
def test_difference_turns_the_origin_into_the_target(a, b):
    assert same(geometry.multiply(geometry.exp(geometry.difference(a, b)), b), a, 1e-8)


@given(quaternions, quaternions, st.floats(0, 1))
def test_slerp_divides_the_angle(a, b, share):
    whole = np.linalg.norm(geometry.difference(b, a))
    part = np.linalg.norm(geometry.difference(geometry.slerp(a, b, share), a))
    assert part == pytest.approx(share * whole, abs=1e-7)
    assert same(geometry.slerp(a, b, 0.0), a)
    assert same(geometry.slerp(a, b, 1.0), b, 1e-8)


@given(poses, poses)
def test_inverse_undoes_compose(parent, child):
    back = geometry.compose(geometry.inverse(parent), geometry.compose(parent, child))
    assert np.allclose(back.position, child.position, atol=1e-9)
    assert same(back.quaternion, child.quaternion)


@given(poses, poses)
def test_interpolate_ends_at_both_poses(a, b):
    assert np.allclose(geometry.interpolate(a, b, 1.0).position, b.position)
    assert np.allclose(geometry.interpolate(a, b, 0.0).position, a.position)
    assert np.allclose(geometry.interpolate(a, b, 0.5).position, (a.position + b.position) / 2)


def test_a_quaternion_of_length_zero_is_refused():
    with pytest.raises(ValueError, match="length zero"):
        geometry.normalized(np.zeros(4))


@settings(max_examples=20)
@given(st.sampled_from([math.nan, math.inf, -math.inf]), st.integers(0, 6))
def test_a_pose_with_any_bad_number_is_not_finite(bad, index):
    numbers = np.array([0.0, 0, 0, 0, 0, 0, 1])
    assert Pose(numbers[:3], numbers[3:]).is_finite()
    numbers[index] = bad
    assert not Pose(numbers[:3], numbers[3:]).is_finite()


def test_a_pose_with_a_long_quaternion_is_not_finite():
    assert not Pose(np.zeros(3), np.array([0.0, 0, 0, 1.01])).is_finite()
