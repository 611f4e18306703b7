"""What `vla-ros bench record` makes of what it measured, and one writer of its contest for real."""

import argparse
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from vla_ros.cli import main
from vla_ros.commands import record_writers
from vla_ros.commands.bench_record import SETTLED, Measured, bounds_of, configuration, counted, document, growth, ratios
from vla_ros.episodes.reader import DatasetReader

RUN = {"cpu_s": 2.0, "wall_s": 5.0, "frames": 60, "rss_mb": 100.0, "add_ms": [1.0], "save_ms": [9.0], "late_ms": [0.5]}


def test_frames_are_counted_between_the_first_and_the_last():
    assert counted([7, 8, 9]) == (3, 0)
    assert counted([7, 8, 8, 11]) == (3, 2)


def test_memory_is_judged_behind_the_episodes_in_which_pools_fill():
    filling = [300.0 + k for k in range(SETTLED)]
    assert growth([*filling, *[320.0] * 100]) == pytest.approx(0.0, abs=1e-6)
    assert growth([*filling, *(320.0 + 0.1 * k for k in range(100))]) == pytest.approx(10.0)
    assert math.isnan(growth(filling))


def test_the_document_says_what_was_kept_and_which_bounds_hold():
    found = Measured(
        [0.3, 0.6], [40.0], [300.0], [], 120, 1, 0, 0, 0, {"vla_ros": [RUN], "lerobot": [RUN | {"cpu_s": 8.0}]}
    )
    bounds = {bound.name: bound.met for bound in bounds_of(found, argparse.Namespace())}
    assert bounds == {"recorder_cores": False, "missing_frames": False, "stop_to_ready_ms": True}
    assert ratios(found.writers) == {"lerobot_over_vla_ros": 4.0}
    written = document(found, bounds_of(found, argparse.Namespace()))
    assert written["summary"]["missing_frames"]["value"] == 1
    assert written["summary"]["lerobot_save_p50"]["value"] == 9.0
    assert json.loads(json.dumps(written, allow_nan=False)) == written


def test_the_recorder_is_measured_with_two_whole_cameras_of_640_by_480_at_30_hz(tmp_path):
    config = configuration(tmp_path / "data")
    shapes = [(c.roi, c.binning, c.rate) for c in config.cameras.values()]
    assert shapes == [((0, 0, 640, 480), 1, 30.0)] * 2


def test_our_writer_takes_part_as_lerobots_does(tmp_path):
    words = [sys.executable, record_writers.__file__, "vla_ros", str(tmp_path / "data"), "0.5", "1", "30"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=Path(record_writers.__file__).parents[2])
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["frames"] == len(found["add_ms"]) == 15
    assert found["cpu_s"] > 0
    reader = DatasetReader(tmp_path / "data")
    assert [episode.length for episode in reader.episodes] == [30, 15], "the first is the warm-up"


def test_an_interpreter_that_is_none_is_refused(tmp_path, capsys):
    assert main(["bench", "record", "--lerobot", str(tmp_path / "python")]) == 2
    assert "no interpreter there" in capsys.readouterr().err
    assert main(["bench", "record", "--output", str(tmp_path)]) == 2
    assert "is there already" in capsys.readouterr().err
