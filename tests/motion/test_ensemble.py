"""The temporal ensemble: ACT's weights over those that predict, positions, turns and grippers averaged with them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_ros import geometry
from vla_ros.kinematics import TOOL_DOWN
from vla_ros.motion.ensemble import Prediction, ensemble, weights

settled = settings(max_examples=40, deadline=None, derandomize=True)
nan = float("nan")


def prediction(*rows):
    """Rows of x (m), turn about z (rad), gripper."""
    x, turn, gripper = np.array(rows, float).T
    positions = np.stack([x, np.zeros_like(x), np.zeros_like(x)], axis=1)
    quaternions = np.array([geometry.multiply(geometry.exp(np.array([0, 0, t])), TOOL_DOWN) for t in turn])
    return Prediction(positions, quaternions, gripper)


def turn_of(quaternion):
    return geometry.difference(quaternion, TOOL_DOWN)[2]


def acts_mean(predicted, m):
    """Algorithm 2 for one moment: the mean of what was predicted, oldest first, with weights exp(-m·i)."""
    w = [math.exp(-m * i) for i in range(len(predicted))]
    return sum(a * b for a, b in zip(w, predicted, strict=True)) / sum(w)


known_rows = st.integers(1, 6).flatmap(
    lambda n: st.lists(st.lists(st.booleans(), min_size=n, max_size=n), min_size=1, max_size=7)
)


@settled
@given(known_rows, st.floats(0, 5))
def test_the_weights_are_those_of_the_algorithm(rows, decay):
    known = np.array([*rows, [True] * len(rows[0])])
    found = weights(known, decay)
    for moment in range(known.shape[1]):
        ranks = np.flatnonzero(known[:, moment])
        for i, chunk in enumerate(ranks):
            unit = [float(j == i) for j in range(len(ranks))]
            assert found[chunk, moment] == pytest.approx(acts_mean(unit, decay))
    assert not found[~known].any()


@settled
@given(
    st.lists(st.tuples(st.floats(-1, 1), st.floats(-0.5, 0.5), st.floats(0, 1)), min_size=2, max_size=8),
    st.floats(0, 2),
)
def test_the_mean_of_chunks_that_all_predict_is_the_algorithms(rows, decay):
    everyone = [prediction(row) for row in rows]
    mean = ensemble(everyone[-1], everyone[:-1], decay)
    x, turn, gripper = (list(column) for column in zip(*rows, strict=True))
    assert mean.positions[0, 0] == pytest.approx(acts_mean(x, decay))
    assert turn_of(mean.quaternions[0]) == pytest.approx(acts_mean(turn, decay), abs=1e-9)
    assert mean.grippers[0] == pytest.approx(acts_mean(gripper, decay))


def test_a_moment_that_an_older_chunk_does_not_reach_is_left_to_the_others():
    old = prediction((0.1, 0.2, 1.0), (nan, 0.0, nan))
    new = prediction((0.3, 0.0, 0.0), (0.4, 0.1, 0.5))
    mean = ensemble(new, [old], 0.0)
    assert np.allclose(mean.positions[:, 0], [0.2, 0.4])
    assert [turn_of(q) for q in mean.quaternions] == pytest.approx([0.1, 0.1])
    assert mean.grippers.tolist() == [0.5, 0.5]


def test_the_oldest_weighs_most():
    mean = ensemble(prediction((1.0, 0.0, 1.0)), [prediction((0.0, 0.0, 0.0))], 5.0)
    assert mean.grippers[0] == pytest.approx(math.exp(-5) / (1 + math.exp(-5)))


def test_alone_the_newest_is_the_mean():
    newest = prediction((0.1, 0.2, 0.3))
    assert ensemble(newest, [], 0.01) is newest
