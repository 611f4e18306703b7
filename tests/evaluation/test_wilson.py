"""Wilson's interval against published and recomputed values, and the form of the reports."""

import json
import platform

import pytest

from vla_ros.evaluation.wilson import Rate, machine, summary_json, wilson


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),  # Newcombe, Statistics in Medicine 17 (1998) 857-872, table I, method 3
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_published_intervals(successes: int, n: int, low: float, high: float):
    assert wilson(successes, n) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize("n", [1, 7, 100])
def test_the_bounds_solve_the_score_equation(n: int):
    for successes in range(n + 1):
        p, z = successes / n, 1.96
        for bound in wilson(successes, n, z):
            assert (p - bound) ** 2 == pytest.approx(z * z * bound * (1 - bound) / n, abs=1e-12)


@pytest.mark.parametrize("n", [1, 3, 200])
def test_it_holds_the_rate_and_is_symmetric(n: int):
    for successes in range(n + 1):
        low, high = wilson(successes, n)
        assert 0 <= low <= successes / n <= high <= 1
        assert wilson(n - successes, n) == pytest.approx((1 - high, 1 - low))


def test_without_trials_anything_is_possible():
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("successes", "n"), [(-1, 3), (4, 3), (0, -1)])
def test_impossible_counts(successes: int, n: int):
    with pytest.raises(ValueError, match="trials"):
        wilson(successes, n)


def test_rate():
    rate = Rate.of(90, 100)
    assert (rate.value, rate.n) == (0.9, 100)
    assert str(rate) == "90.0% (82.6% … 94.5%, n = 100)"


def test_the_form_of_a_report():
    report = json.loads(json.dumps(summary_json({"success": Rate.of(1, 2), "none": Rate.of(0, 0)}, [{"seed": 3}])))
    assert report["summary"]["success"].keys() == {"value", "low", "high", "n"}
    assert report["summary"]["none"]["value"] is None
    assert report["items"] == [{"seed": 3}]
    assert report["machine"] == machine()


def test_the_machine_is_described_but_not_named():
    assert machine().keys() == {"cpu", "cores", "python", "platform"}
    assert platform.node() not in json.dumps(machine()) or not platform.node()
