"""CALVIN's folders: shapes, types and conventions as its README has them, and the way back."""

import numpy as np
import pytest

from vla_ros import cli
from vla_ros.episodes import calvin, rows
from vla_ros.episodes.calvin import IDS, LANGUAGE, STEP, export, imported
from vla_ros.episodes.layout import DatasetError
from vla_ros.episodes.lerobot import DatasetWriter
from vla_ros.episodes.reader import DatasetReader

FPS, LENGTHS = 30, (12, 8)
WAY = np.array([0.004, -0.002, 0.001])


@pytest.fixture
def dataset(tmp_path):
    """Two episodes: the tool goes on by WAY each row and turns by 0.01 rad about z; the gripper closes half way."""
    names = ("static", "wrist")
    features = {f"{rows.IMAGES}{name}": ("video", (80, 120, 3)) for name in names}
    features |= {"observation.state": ("float32", (8,)), "observation.joints": ("float32", (7,))}
    with DatasetWriter(tmp_path / "data", features, FPS, "robot") as writer:
        for length in LENGTHS:
            writer.begin(f"push it {length} times")
            for k in range(length):
                image = np.full((80, 120, 3), 20 + 5 * k, np.uint8)
                closed = float(k >= length // 2)
                state = [*(np.array([0.4, 0.0, 0.2]) + k * WAY), 0.0, 0.0, 0.01 * k, 0.25, closed]
                values = {"observation.state": state, "observation.joints": np.arange(7) / 10}
                writer.add({f"{rows.IMAGES}{name}": image for name in names}, values)
            writer.commit()
    return tmp_path / "data"


def test_a_step_has_the_shapes_and_conventions_of_calvin(dataset, tmp_path):
    assert export(dataset, tmp_path / "calvin") == sum(LENGTHS)
    with np.load(tmp_path / "calvin" / STEP.format(3)) as file:
        step = dict(file)
    assert step["rgb_static"].shape == (200, 200, 3)
    assert step["rgb_gripper"].shape == (84, 84, 3)
    assert step["rgb_static"].dtype == np.uint8
    assert abs(float(step["rgb_static"].mean()) - 35) < 3
    assert [step[name].shape for name in ("actions", "rel_actions", "robot_obs", "scene_obs")] == [
        (7,),
        (7,),
        (15,),
        (24,),
    ]
    np.testing.assert_allclose(step["rel_actions"][:3], 50 * WAY, atol=1e-4)
    np.testing.assert_allclose(np.abs(step["rel_actions"][3:6]), [0, 0, 20 * 0.01], atol=1e-4)
    assert step["rel_actions"][6] == 1.0
    np.testing.assert_allclose(step["actions"][:3] - step["robot_obs"][:3], WAY, atol=1e-6)
    assert step["robot_obs"][6] == pytest.approx(0.06)
    np.testing.assert_allclose(step["robot_obs"][7:14], np.arange(7) / 10, atol=1e-6)
    with np.load(tmp_path / "calvin" / STEP.format(5)) as file:
        assert (file["actions"][6], file["robot_obs"][14]) == (-1.0, 1.0)


def test_language_and_ends_are_beside_the_steps(dataset, tmp_path):
    export(dataset, tmp_path / "calvin")
    assert np.load(tmp_path / "calvin" / IDS).tolist() == [[0, 11], [12, 19]]
    words = np.load(tmp_path / "calvin" / LANGUAGE, allow_pickle=True).item()
    assert words["language"]["ann"] == ["push it 12 times", "push it 8 times"]
    assert words["info"]["indx"] == [(0, 11), (12, 19)]
    assert len(list((tmp_path / "calvin").glob("episode_*.npz"))) == 20


def test_what_goes_out_comes_back(dataset, tmp_path):
    export(dataset, tmp_path / "calvin")
    assert imported(tmp_path / "calvin", tmp_path / "back") == 2
    back, before = DatasetReader(tmp_path / "back"), DatasetReader(dataset)
    assert [(e.length, e.task) for e in back.episodes] == [(e.length, e.task) for e in before.episodes]
    was, now = before.column("observation.state"), back.column("observation.state")
    np.testing.assert_allclose(now, was, atol=1e-5)
    np.testing.assert_allclose(back.column("action")[:11, :3], np.tile(WAY, (11, 1)), atol=1e-5)
    np.testing.assert_allclose(back.column("action")[11, :6], 0.0, atol=1e-9)


def test_a_long_way_is_clipped_and_a_turn_through_pi_is_a_short_one():
    here = calvin._pose(np.array([0, 0, 0, np.pi - 0.01, 0, 0]))
    there = calvin._pose(np.array([0.5, 0, 0, -np.pi + 0.01, 0, 0]))
    got = calvin.relative(here, there, 1.0)
    assert got[0] == 1.0
    assert got[3] == pytest.approx(20 * 0.02, abs=1e-6)


def test_what_is_no_calvin_is_named(tmp_path, dataset):
    with pytest.raises(DatasetError, match="folder of CALVIN"):
        imported(tmp_path, tmp_path / "back")
    export(dataset, tmp_path / "calvin")
    with pytest.raises(DatasetError, match="already"):
        export(dataset, tmp_path / "calvin")
    (tmp_path / "calvin" / STEP.format(5)).unlink()
    with pytest.raises(DatasetError, match="0000005"):
        imported(tmp_path / "calvin", tmp_path / "back")


def test_the_commands(dataset, tmp_path, capsys):
    words = ["episodes", "export", str(dataset), str(tmp_path / "calvin"), "--format", "calvin"]
    assert cli.main(words) == 0
    assert cli.main(["episodes", "import", str(tmp_path / "calvin"), str(tmp_path / "back"), "--format", "calvin"]) == 0
    assert "2 episodes" in capsys.readouterr().out
