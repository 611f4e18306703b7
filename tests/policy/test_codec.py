"""The action codec: every stage and every row of stages can be undone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError
from scipy.spatial.transform import Rotation

from vla_ros.policy.codec import Bins, Codec, Euler, Gripper, Range, Scale, ZScore, from_frame, robovlms, to_frame

STEPS = arrays(np.float64, (5, 7), elements=st.floats(-1.2, 1.2))
Q01, Q99 = (-0.03, -0.04, -0.02, -0.08, -0.09, -0.2), (0.03, 0.05, 0.04, 0.08, 0.07, 0.2)
SPREAD = (0.01, 0.02, 0.03, 0.1, 0.2, 0.3)


@pytest.mark.parametrize(
    "stage",
    [Euler(), Euler(order="ZYX"), Scale(factors=(50,) * 6), ZScore(mean=Q01, std=SPREAD), Gripper(open=-1, closed=1)],
)
@given(STEPS)
def test_what_does_not_clip_is_undone_exactly(stage, steps):
    np.testing.assert_allclose(stage.inverse(stage.forward(steps)), steps, atol=1e-9)


@given(STEPS)
def test_a_range_gives_back_the_clip(steps):
    stage = Range(low=Q01, high=Q99)
    wanted = steps.copy()
    wanted[:, :6] = np.clip(steps[:, :6], Q01, Q99)
    np.testing.assert_allclose(stage.inverse(stage.forward(steps)), wanted, atol=1e-12)
    assert np.abs(stage.forward(steps)[:, :6]).max() <= 1 + 1e-12


@given(STEPS)
def test_quantiles_and_then_065_as_the_family_has_it(steps):
    """RoboVLMs on OXE: quantiles to -1 … 1, clipped again at ±0.65; back: x 0.65, then the quantiles."""
    codec = robovlms(before=(Range(low=Q01, high=Q99),))
    low, high = np.array(Q01), np.array(Q99)
    scaled = np.clip(2 * (np.clip(steps[:, :6], low, high) - low) / (high - low) - 1, -0.65, 0.65)
    np.testing.assert_allclose(codec.forward(steps)[:, :6], scaled / 0.65, atol=1e-12)
    back = codec.inverse(codec.forward(steps))
    np.testing.assert_allclose(back[:, :6], low + (scaled + 1) * (high - low) / 2, atol=1e-12)
    np.testing.assert_allclose(back[:, 6], steps[:, 6], atol=1e-12)


@given(arrays(np.float64, 40, elements=st.floats(-1.5, 1.5)), st.integers(3, 600))
def test_bins_land_within_half_a_bin(values, count):
    bins = Bins(count=count)
    numbers = bins.forward(values)
    assert numbers.min() >= 1
    assert numbers.max() <= count
    assert np.abs(bins.inverse(numbers) - np.clip(values, -1, 1)).max() <= bins.half + 1e-12


def test_bins_are_those_of_the_reference():
    bins = Bins()
    assert bins.forward([-1.0, 0.0, 1.0]).tolist() == [1, 128, 256]
    assert bins.inverse([1, 256]).tolist() == pytest.approx([-1 + 1 / 255, 1 - 1 / 255])


@given(arrays(np.float64, (4, 7), elements=st.floats(-1, 1)), arrays(np.float64, (4, 3), elements=st.floats(-3, 3)))
def test_frames_are_undone(steps, turns):
    rotations = Rotation.from_rotvec(turns)
    np.testing.assert_allclose(from_frame(to_frame(steps, rotations), rotations), steps, atol=1e-9)


def test_a_step_along_the_tools_axis_when_the_tool_points_down():
    down = Rotation.from_euler("x", [180], degrees=True)
    np.testing.assert_allclose(to_frame([[0, 0, -0.01, 0, 0, 0.1, 1]], down), [[0, 0, 0.01, 0, 0, -0.1, 1]], atol=1e-12)


def test_the_gripper_of_the_data_is_that_of_the_house():
    assert Gripper().inverse([[0] * 6 + [1], [0] * 6 + [0]])[:, 6].tolist() == [0, 1]


def test_quantiles_of_data():
    steps = np.zeros((101, 7)) + np.linspace(0, 1, 101)[:, None]
    assert Range.of(steps).low == pytest.approx((0.01,) * 6)
    assert Range.of(steps).high == pytest.approx((0.99,) * 6)


def test_a_codec_survives_being_written_down():
    codec = Codec(stages=(Euler(), Scale(factors=(50,) * 6), ZScore(mean=Q01, std=SPREAD), *robovlms().stages))
    assert Codec.model_validate_json(codec.model_dump_json()) == codec


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Range(low=Q99, high=Q01), "below"),
        (lambda: Scale(factors=(1, 1, 0, 1, 1, 1)), "cannot be undone"),
        (lambda: ZScore(mean=Q01, std=(0,) * 6, epsilon=0), "cannot be undone"),
        (lambda: Gripper(open=1, closed=1), "the same"),
        (lambda: Bins(low=1, high=1), "below"),
        (lambda: Scale(factors=(1, 2)), "at least 6"),
        (lambda: Range.symmetric(float("nan")), "finite"),
    ],
)
def test_what_cannot_be_undone_is_refused(make, told):
    with pytest.raises(ValidationError, match=told):
        make()
