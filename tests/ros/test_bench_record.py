"""`vla-ros bench record` for a few seconds: real nodes, and figures that were counted."""

import json

from .bed import PATIENCE


def test_frames_that_were_played_to_the_recorder_are_counted_in_its_videos(processes, tmp_path):
    words = ["bench", "record", "--minutes", "0.05", "--episodes", "2", "--no-bounds", "--json", tmp_path / "out.json"]
    process = processes.start("vla_ros.cli", *words, ROS_DOMAIN_ID=None)
    assert process.ends(5 * PATIENCE) == 0, process.text
    found = json.loads((tmp_path / "out.json").read_text())["summary"]
    assert found["kept_frames"]["value"] > 100
    assert found["recorder_cores"]["value"] > 0.01
    assert found["ready_p50"]["n"] == 3
