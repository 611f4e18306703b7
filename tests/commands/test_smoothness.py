"""The bench tells smooth from rough, on the virtual clock."""

import json

import numpy as np
import pytest

from vla_ros.commands import bench, bench_report, smoothness
from vla_ros.commands.measure import Bound, Figures, period_bound
from vla_ros.commands.smoothness import Record, Smoothness
from vla_ros.config import load
from vla_ros.motion.player import Seam

CONFIG = load()


@pytest.fixture(scope="module")
def compared():
    return smoothness.compare(CONFIG, "expert", 1, modes=("blend", "replace"))


def test_blended_seams_do_not_jump_and_replaced_ones_do(compared):
    assert compared["blend"].successes == compared["replace"].successes == 1
    assert len(compared["blend"].jumps) > 10
    assert compared["blend"].jumps.max() <= bench.SEAM_JUMP
    assert compared["replace"].jumps.max() > compared["blend"].jumps.max()


def test_the_speed_is_kept_up_while_an_inference_is_late():
    commanded, measured = smoothness.late_inference(CONFIG)
    assert commanded.min() >= bench.LOWEST_SPEED
    assert measured.min() >= bench.LOWEST_SPEED
    assert commanded.max() * smoothness.CRUISE <= 1 + 1e-9  # the cap


def test_an_inference_too_late_for_its_chunk_is_seen():
    """More than the 0.5 s that may be played of the chunk before."""
    commanded, _ = smoothness.late_inference(CONFIG, late=0.9)
    assert commanded.min() < bench.LOWEST_SPEED


def seam(jump, turn=0.0):
    return Seam(0, 0.0, 0.0, 0.0, (0.0, jump, 0.0, 0.0), (0.0, turn, 0.0, 0.0))


def record(twists, active=True):
    twists = [np.array([x, 0, 0, 0, 0, 0]) for x in twists]
    return Record(0.01, twists, twists, [active] * len(twists))


def test_jumps_are_shares_of_the_caps_and_the_larger_counts():
    one = record([0, 0, 0])
    one.seams = [seam(0.1 * CONFIG.limits.speed), seam(0.0, 0.3 * CONFIG.limits.turn_speed)]
    found = smoothness.smoothness(CONFIG, [one, record([0, 0])], 1)
    np.testing.assert_allclose(found.jumps, [0.1, 0.3])


def test_roughness_is_of_the_cycles_in_which_a_chunk_is_played():
    acceleration, jerk = record([0, 0.01, 0.02, 0.01]).roughness()
    np.testing.assert_allclose(acceleration, [1, 1, 1])
    np.testing.assert_allclose(jerk, [0, 200], atol=1e-9)
    assert all(len(part) == 0 for part in record([0, 0.01, 0.02], active=False).roughness())


def rough(jump):
    return Smoothness(np.array([0.0, jump]), np.ones(3), np.ones(3), 1)


@pytest.mark.parametrize(
    ("jump", "slowest", "met"),
    [(0.01, 0.9, [True, True, True]), (0.03, 0.9, [False, True, True]), (0.01, 0.7, [True, False, True])],
)
def test_bounds_are_met_or_not(jump, slowest, met):
    figures = bench.smoothness_figures({"blend": rough(jump), "replace": rough(0.5)})
    bounds = bench.smoothness_bounds(figures, (np.array([1.0, slowest]), np.array([0.95])))
    assert [bound.met for bound in bounds] == met
    assert [("NOT MET" in bound.line()) for bound in bounds] == [not m for m in met]


def test_the_servos_period_is_bound_to_the_bare_loops():
    def ratio(servo, bare):
        return period_bound([Figures("servo_period_error", "", servo), Figures("bare_period_error", "", bare)])

    assert ratio([0.1] * 100, [0.1] * 100).met
    assert not ratio([0.3] * 100, [0.1] * 100).met
    assert not ratio([], [0.1] * 100).met  # what was not measured is not met


def test_the_document_has_figures_bounds_and_processes():
    figures = bench.smoothness_figures({"blend": rough(0.01)})
    bounds = [Bound("seam_blend", "", 0.01, 0.02, n=2), Bound("speed", "", 0.7, 0.8, at_most=False)]
    document = json.loads(
        json.dumps(bench_report.document(figures, bounds, {"servo": {"cpu_percent": 1.0, "rss_mb": 2.0}}))
    )
    assert set(document) == {"summary", "items", "machine"}
    assert document["summary"]["seam_blend"]["value"] == 0.01
    assert document["summary"]["jerk_blend_rms"]["value"] == 1.0
    assert {"process": "servo", "cpu_percent": 1.0, "rss_mb": 2.0} in document["items"]
    assert {"bound": "speed", "limit": 0.8, "at_most": False, "met": False} in document["items"]
