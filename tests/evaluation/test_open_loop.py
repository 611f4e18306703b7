"""Open loop: a policy is offered what was recorded, as its node would, and what it says is held against what came."""

import json

import numpy as np
import pytest

from vla_ros import geometry
from vla_ros.cli import main
from vla_ros.clock import MILLISECOND, SECOND
from vla_ros.config import load
from vla_ros.episodes.layout import DatasetError
from vla_ros.episodes.lerobot import DatasetWriter
from vla_ros.episodes.reader import DatasetReader
from vla_ros.evaluation.open_loop import OpenLoop, document, figures, open_loop, score
from vla_ros.evaluation.recorded import START, RecordedEpisode
from vla_ros.policy.words import InstructionError
from vla_ros.values import ActionChunk

CONFIG = load("twin")
FPS, FRAMES, SPEED, COMMANDED = 30, 60, 0.06, 0.09
HELD = 20
"""The row that shows the frame before it once more."""


def features():
    videos = {
        f"observation.images.{name}": ("video", (c.roi[3] // c.binning, c.roi[2] // c.binning, 3))
        for name, c in CONFIG.cameras.items()
    }
    stamps = {f"observation.stamp_ns.{name}": ("int64", (1,)) for name in CONFIG.cameras}
    return videos | stamps | {"observation.state": ("float32", (8,)), "commanded": ("float32", (7,))}


def record(path, episodes=1, task="push"):
    """The tool goes along y and turns about z; it was told to go faster than it did. Pictures get brighter from row to row."""
    with DatasetWriter(path, features(), FPS, CONFIG.robot) as writer:
        for _ in range(episodes):
            writer.begin(task)
            for k in range(FRAMES):
                row = k - (k == HELD)
                t, closed = row / FPS, float(row >= FRAMES // 2)
                images = {n: np.full(f[1], 4 * row, np.uint8) for n, f in features().items() if f[0] == "video"}
                stamps = {f"observation.stamp_ns.{n}": 10**18 + round(row * SECOND / FPS) for n in CONFIG.cameras}
                state = [0.45, SPEED * t, 0.2, 0.0, 0.0, 0.1 * t, closed, closed]
                command = [0.0, COMMANDED, 0.0, 0.0, 0.0, 0.15, closed]
                writer.add(images, {**stamps, "observation.state": state, "commanded": command})
            writer.commit()
    return path


class Prophet:
    """Says where a tool gets that goes on at `speed`, `off` m beside it; notes what it was offered."""

    def __init__(self, speed=SPEED, turn=0.1, off=0.0):
        self.offered, self.words, self.resets = [], "", 0
        self._speed, self._turn, self._off = speed, turn, off

    def reset(self):
        self.resets += 1

    def set_instruction(self, text):
        if text == "dance":
            raise InstructionError("'dance' is no word that it knows")
        self.words = text

    def act(self, observation, gripper_command):
        self.offered.append((observation, gripper_command))
        times = np.arange(1, 6) * 0.1
        tool = observation.arm.tool
        positions = tool.position + np.stack([times * 0 + self._off, times * self._speed, times * 0], 1)
        turned = [geometry.multiply(geometry.exp(np.array([0, 0, self._turn * t])), tool.quaternion) for t in times]
        closed = (observation.stamp - START) / SECOND + times >= FRAMES / 2 / FPS - 1e-6
        return ActionChunk(
            observation.stamp, 100 * MILLISECOND, positions, np.array(turned), closed * 1.0, 3, "", self.words, 0
        )


@pytest.fixture
def recorded(tmp_path):
    reader = DatasetReader(record(tmp_path / "data"))
    return RecordedEpisode(reader, reader.episodes[0], CONFIG)


def means(policy, recorded, commanded=False):
    return figures([score(policy, recorded, "push", commanded)], "policy", 0, 5)


def test_who_says_what_was_done_is_right(recorded):
    found = means(Prophet(), recorded)
    assert found["way_mm"].value < 0.01
    assert found["turn_mrad"].value < 0.01
    assert found["gripper_wrong"].value == 0.0


def test_who_says_what_was_commanded_is_right_where_that_is_asked_for(recorded):
    assert means(Prophet(COMMANDED, 0.15), recorded, commanded=True)["way_mm"].value < 0.01
    assert means(Prophet(COMMANDED, 0.15), recorded)["y_mm"].value == pytest.approx(9.0, rel=0.1)
    assert means(Prophet(), recorded, commanded=True)["turn_mrad"].value == pytest.approx(15.0, rel=0.1)


def test_an_error_stands_in_its_own_dimension(recorded):
    found = means(Prophet(off=0.005), recorded)
    assert found["x_mm"].value == pytest.approx(5.0, abs=0.01)
    assert found["y_mm"].value < 0.01
    assert found["way_mm"].value == pytest.approx(5.0, abs=0.01)


def test_the_baselines_are_those_of_a_tool_that_stands_and_of_one_that_goes_on(recorded):
    scored = [score(Prophet(), recorded, "push", False)]
    still = figures(scored, "still", 0, 1)
    assert still["y_mm"].value == pytest.approx(100 * SPEED, rel=0.02)
    assert figures(scored, "still", 4, 5)["y_mm"].value == pytest.approx(500 * SPEED, rel=0.02)
    assert figures(scored, "previous", 0, 5)["way_mm"].value < still["way_mm"].value
    assert still["gripper_wrong"].value > 0


def test_it_is_offered_every_frame_once_with_its_arm_and_forgets_at_the_beginning(recorded):
    policy = Prophet()
    scored = score(policy, recorded, "push", False)
    assert policy.resets == 1
    assert policy.words == "push"
    rows = [k for k in range(FRAMES) if k != HELD]
    assert [round((o.stamp - START) * FPS / SECOND) for o, _ in policy.offered] == rows
    for row, (observation, gripper) in zip(rows, policy.offered, strict=True):
        assert abs(float(observation.frames["wrist"].image.mean()) - 4 * row) < 3
        assert observation.arm.tool.position[1] == pytest.approx(SPEED * row / FPS, abs=1e-6)
        assert gripper == float(row >= FRAMES // 2)
    known = np.isfinite(scored.errors["policy"]).all(2)
    assert known[0].all(), "at the beginning there is a recording for every step"
    assert not known[-1].any(), "and behind the end for none"


def test_a_recorded_episode_as_a_policy_is_right_about_itself(tmp_path):
    path = record(tmp_path / "data", 2)
    scored, label = open_loop(OpenLoop(f"replay:{path}#1", path, config=("twin",)))
    assert label == "achieved"
    assert figures(scored, "policy", 0, 5)["way_mm"].value < 1.0
    written = document(scored, label)
    assert written["summary"]["policy_way_mm"]["low"] <= written["summary"]["policy_way_mm"]["value"]
    assert written["summary"]["way_over_still"]["value"] < 0.1
    assert [item["episode"] for item in written["items"] if "episode" in item] == [0, 1]
    assert json.loads(json.dumps(written, allow_nan=False)) == written


def test_words_that_are_refused_leave_an_episode_out(recorded):
    scored = score(Prophet(), recorded, "dance", False)
    assert scored.refused == "'dance' is no word that it knows"
    assert scored.errors == {}


def test_what_cannot_be_compared_is_named(tmp_path, capsys):
    path = record(tmp_path / "data")
    with pytest.raises(DatasetError, match="no episode 4: it has 1"):
        open_loop(OpenLoop(f"replay:{path}#0", path, range(4, 5)))
    with DatasetWriter(tmp_path / "blind", {"observation.state": ("float32", (8,))}, FPS, CONFIG.robot) as writer:
        writer.begin("a")
        writer.add({}, {"observation.state": np.zeros(8)})
        writer.commit()
    with pytest.raises(DatasetError, match=r"no video observation.images.static"):
        open_loop(OpenLoop(f"replay:{path}#0", tmp_path / "blind"))
    assert main(["eval", "--policy", "expert", "--dataset", str(path)]) == 2
    assert "that looks" in capsys.readouterr().err
    assert main(["eval", "--dataset", str(tmp_path / "none")]) == 2
    assert "info.json" in capsys.readouterr().err


def test_the_shipped_policy_knows_its_task_and_the_command_writes_what_it_found(tmp_path, capsys):
    from vla_ros.evaluation.collect import Plan, features
    from vla_ros.evaluation.collect import record as demonstrate
    from vla_ros.evaluation.rollout import Studio
    from vla_ros.twin.tasks import sample

    with DatasetWriter(tmp_path / "demos", features(CONFIG), 10, CONFIG.robot) as writer:
        demonstrate(Studio(CONFIG), writer, sample(5000), Plan(tmp_path, range(1), noise=0.0), None)
    words = ["--policy", "demo", "--dataset", str(tmp_path / "demos"), "--episodes", "0"]
    files = ["--json", str(tmp_path / "out.json"), "--plot", str(tmp_path / "out.png")]
    assert main(["eval", *words, *files]) == 0
    assert "against what was commanded" in capsys.readouterr().out
    found = json.loads((tmp_path / "out.json").read_text())["summary"]
    assert found["way_over_still"]["value"] < 0.3
    assert found["gripper_over_still"]["value"] < 0.5
    assert (tmp_path / "out.png").stat().st_size > 1000
