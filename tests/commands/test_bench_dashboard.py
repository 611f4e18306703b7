"""What `vla-ros bench dashboard` makes of what was measured, its viewers, and when Stop stopped."""

import math
import time

import numpy as np
import pytest

from tests.dashboard.browser import Running
from vla_ros.cli import main
from vla_ros.commands.bench_dashboard import CORES, Change, Run, change, cost_bounds, first_stopped
from vla_ros.commands.errors import BAD_USAGE
from vla_ros.commands.viewers import Viewers
from vla_ros.evaluation.proof import Commands
from vla_ros.values import Mode, Verdict

PATIENCE = 20.0


def test_a_change_is_the_median_of_the_pairs_and_the_noise_what_the_quiet_runs_differ_by():
    found = change([1.0, 1.4, 1.1], [1.1, 1.3, 1.6])
    assert (found.value, found.low, found.high) == pytest.approx((0.1, -0.1, 0.5))
    assert found.noise == pytest.approx(0.4)
    assert found.share == pytest.approx(0.25)


def test_a_change_for_the_better_is_none_and_one_without_noise_is_too_much():
    assert Change(-0.3, -0.5, -0.1, 0.2).share == 0
    assert Change(0.1, 0.1, 0.1, 0.0).share == math.inf
    assert Change(0.0, 0.0, 0.0, 0.0).share == 0


def test_one_pair_knows_no_noise(capsys):
    with pytest.raises(ValueError, match="two pairs"):
        change([1.0], [1.0])
    assert main(["bench", "dashboard", "--pairs", "1"]) == BAD_USAGE
    assert "--pairs: two at least" in capsys.readouterr().err


def runs(cores, errors, step):
    return [Run(c, [e] * 100, [step] * 10) for c, e in zip(cores, errors, strict=True)]


def test_a_run_is_told_with_how_many_looked():
    run = Run(0.14, [0.01] * 99 + [0.5], [4.0, 5.0, 6.0], 240.0)
    assert run.item() == {
        "viewers": 4,
        "cores": 0.14,
        "frames_per_second": 240.0,
        "period": pytest.approx(0.0149),
        "step": 5.0,
    }
    assert Run(0.04, [0.01], [4.0]).item()["viewers"] == 0


def test_the_bounds_name_what_they_compare():
    quiet = runs([0.05, 0.05], [0.05, 0.07], 4.0)
    bounds = {b.name: b for b in cost_bounds(quiet, runs([0.15, 0.13], [0.055, 0.075], 4.0))}
    assert bounds["cores"].value == pytest.approx(0.14)
    assert (bounds["cores"].limit, bounds["cores"].met) == (CORES, True)
    assert bounds["period_change_over_noise"].value == pytest.approx(0.25)
    assert bounds["step_change_over_noise"].met
    bounds = {b.name: b for b in cost_bounds(quiet, runs([0.31, 0.3], [0.15, 0.17], 4.1))}
    assert not any(bound.met for bound in bounds.values())


def test_viewers_see_every_camera_and_stamp_what_they_see():
    with Running() as running, Viewers(f"127.0.0.1:{running.port}", ["static", "wrist"], 2) as crowd:
        deadline = time.monotonic() + PATIENCE
        while crowd.frames < 40:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        ages = crowd.ages()
    assert len(ages) >= 40
    assert min(ages) > 1e6  # the robot that is played exposes in 2023


def test_viewers_who_see_nothing_say_so(monkeypatch):
    monkeypatch.setattr("vla_ros.commands.viewers.PATIENCE", 0.5)
    with pytest.raises(TimeoutError, match="see nothing"), Viewers("127.0.0.1:9", ["static"], 1):
        pass


def test_the_first_cycle_that_is_stopped_counts():
    modes = (Mode.ACTIVE, Mode.ACTIVE, Mode.STOPPED, Mode.STOPPED)
    stamps = np.arange(4) * 10_000_000
    commands = Commands(stamps, np.zeros((4, 6)), np.arange(4), modes, (Verdict.OK,) * 4)
    assert first_stopped(commands) == 20_000_000
    assert first_stopped(commands.since(0, 20_000_000)) is None
