"""The whole demo, its arm met through the wire: the driver, its SDK, the protocol and the controller that plays the Gen3."""

import json

import pytest

from tests.arms import standin

from .bed import PATIENCE

EPISODES = 3


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_cubes_are_lifted_through_the_wire(processes, tmp_path):
    """How often is measured elsewhere: here somebody else's load may cost an episode. With twin.kortex nothing else moves the arm."""
    result = tmp_path / "result.json"
    words = ["--arm", "kortex", "--episodes", EPISODES, "--seed", 1000000, "--json", result, "--verbose"]
    environment = {"PYTHONPATH": standin.environment()["PYTHONPATH"], "ROS_DOMAIN_ID": None}
    process = processes.start("vla_ros.cli", "sim", *words, **environment)
    assert process.ends(10 * PATIENCE) == 0, process.text
    assert "[kortex] tool configuration set" in process.text
    trials = json.loads(result.read_text())["items"]
    assert len(trials) == EPISODES
    assert any(trial["success"] for trial in trials), trials
    assert not any(trial["wrong_object"] for trial in trials), trials
