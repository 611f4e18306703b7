"""The layout of RoboVLMs' robot benchmark: read as its authors' loader reads it, and back."""

import json
import shutil

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from vla_ros import cli, geometry
from vla_ros.config import load
from vla_ros.episodes import robovlms, rows, video
from vla_ros.episodes.layout import DatasetError
from vla_ros.episodes.lerobot import DatasetWriter
from vla_ros.episodes.reader import DatasetReader
from vla_ros.episodes.robovlms import export, imported
from vla_ros.geometry import Pose
from vla_ros.kinematics import TOOL_DOWN

from .bars import coded, decoded

CONFIG = load("twin")
FPS, SIZE = 30, (80, 120)
LENGTHS = (12, 9, 7, 5)


def poses(length):
    """A tool that goes on and rolls to and fro about pointing down, where its Euler angles jump by 2π."""
    for k in range(length):
        turn = np.array([0.05 * np.sin(k), 0.02 * k, 0.03 * k])
        position = np.array([0.4 + 0.004 * k, -0.002 * k, 0.2 + 0.001 * k * k])
        yield Pose(position, geometry.multiply(geometry.exp(turn), TOOL_DOWN))


@pytest.fixture
def dataset(tmp_path):
    """Four episodes, with the actions that the recorder would have written; picture k of the dataset says k."""
    names = ("static", "wrist")
    features = {f"{rows.IMAGES}{name}": ("video", (*SIZE, 3)) for name in names}
    features |= {"observation.state": rows.features(CONFIG)["observation.state"], "action": ("float32", (7,))}
    number = 0
    with DatasetWriter(tmp_path / "data", features, FPS, CONFIG.robot) as writer:
        for length in LENGTHS:
            writer.begin(f"push it {length} times")
            way = list(poses(length))
            for k, pose in enumerate(way):
                after = way[min(k + 1, length - 1)]
                closed, next_closed = float(k >= length // 2), float(min(k + 1, length - 1) >= length // 2)
                state = [*pose.position, *geometry.difference(pose.quaternion, TOOL_DOWN), 0.3, closed]
                action = rows.achieved(pose, after, next_closed)
                images = {f"{rows.IMAGES}{name}": coded(number, SIZE) for name in names}
                writer.add(images, {"observation.state": state, "action": action})
                number += 1
            writer.commit()
    return DatasetReader(tmp_path / "data")


def annotations(folder):
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("anns/*/*.json"))}


def matrices(euler):
    """R = Rz Ry Rx of (n, 3), as the loader composes them."""
    (ca, cb, cc), (sa, sb, sc) = np.cos(euler.T), np.sin(euler.T)
    one, none = np.ones_like(ca), np.zeros_like(ca)
    x = np.array([[one, none, none], [none, ca, -sa], [none, sa, ca]])
    y = np.array([[cb, none, sb], [none, one, none], [-sb, none, cb]])
    z = np.array([[cc, -sc, none], [sc, cc, none], [none, none, one]])
    return np.einsum("ijn,jkn,kln->nil", z, y, x)


def test_every_episode_is_an_annotation_with_two_videos_of_its_own(dataset, tmp_path):
    assert export(dataset.path, tmp_path / "out", share=0.25) == 4
    found = annotations(tmp_path / "out")
    assert sorted(found) == ["000000", "000001", "000002", "000003"]
    assert len(list((tmp_path / "out/anns/val").iterdir())) == 1
    for index, content in enumerate(found.values()):
        assert content["texts"] == [dataset.episodes[index].task]
        static, hand = content["videos"]
        assert static["video_path"].split("/")[-3:][1:] == [f"{index:06d}", "rgb.mp4"]
        assert hand["video_path"].endswith(f"{index:06d}/hand_rgb.mp4")
        for film in (static, hand):
            assert film["end"] - film["start"] == len(content["state"]) == LENGTHS[index]
            shown = [decoded(image) for image in video.frames(tmp_path / "out" / film["video_path"])]
            assert shown == list(range(sum(LENGTHS[:index]), sum(LENGTHS[: index + 1])))
    assert [path.name for path in tmp_path.glob("*out*")] == ["out"]


def test_the_loader_makes_of_the_states_the_actions_that_were_achieved(dataset, tmp_path):
    export(dataset.path, tmp_path / "out")
    for index, content in enumerate(annotations(tmp_path / "out").values()):
        begin = dataset.episodes[index].start
        action = dataset.column("action")[begin : begin + LENGTHS[index]].astype(np.float64)
        state = np.array(content["state"])
        state = np.concatenate([state, state[-1:]])
        differences = state[1:] - state[:-1]
        np.testing.assert_allclose(differences[:, :3], action[:, :3], atol=1e-6)
        assert np.abs(differences[:, 3:6]).max() < 0.15, "a turn through pi is a short one"
        assert np.array_equal(state[1:, 6], 1.0 - action[:, 6]), "1 is open"
        turned = matrices(state[:, 3:6])
        relative = turned[:-1].transpose(0, 2, 1) @ turned[1:]
        in_base = turned[:-1] @ relative @ turned[:-1].transpose(0, 2, 1)
        np.testing.assert_allclose(Rotation.from_matrix(in_base).as_rotvec(), action[:, 3:6], atol=1e-6)


def test_what_goes_out_comes_back(dataset, tmp_path):
    export(dataset.path, tmp_path / "out", gripper=(1.0, -1.0), share=0.5, seed=3)
    assert imported(tmp_path / "out", tmp_path / "back", gripper=(1.0, -1.0)) == 4
    back = DatasetReader(tmp_path / "back")
    assert (back.info["fps"], back.info["robot_type"]) == (FPS, CONFIG.robot)
    before = {episode.task: episode for episode in dataset.episodes}
    for episode in back.episodes:
        was = before[episode.task]
        here, there = slice(episode.start, episode.start + episode.length), slice(was.start, was.start + was.length)
        state, old = back.column("observation.state")[here], dataset.column("observation.state")[there]
        np.testing.assert_allclose(state[:, :6], old[:, :6], atol=1e-5)
        assert np.array_equal(state[:, 7], old[:, 7])
        np.testing.assert_allclose(back.column("action")[here], dataset.column("action")[there], atol=1e-5)
        for camera in back.cameras:
            shown = [decoded(image) for image in back.frames(episode.index, camera)]
            assert shown == list(range(was.start, was.start + was.length))


def shared(folder):
    """Both halves of the first episode as subtasks, each with an annotation of its own, of one video."""
    content = json.loads((folder / "anns/train/000000.json").read_text())
    for name, (first, last) in {"000010": (0, 5), "000011": (5, 12)}.items():
        videos = [film | {"start": first, "end": last, "crop": [[0, 0], [60, 110]]} for film in content["videos"]]
        part = {"texts": [f"part {name}"], "videos": videos, "state": content["state"][first:last]}
        (folder / f"anns/train/{name}.json").write_text(json.dumps(part))
    for path in folder.glob("anns/*/00000?.json"):
        path.unlink()


def test_subtasks_share_a_video_and_see_a_part_of_the_picture(dataset, tmp_path):
    export(dataset.path, tmp_path / "out", share=0.0)
    shared(tmp_path / "out")
    assert imported(tmp_path / "out", tmp_path / "back") == 2
    back = DatasetReader(tmp_path / "back")
    assert [e.task for e in back.episodes] == ["part 000010", "part 000011"]
    assert back.video(0, "observation.images.static").shape == (5, 60, 110, 3)
    shown = [[decoded(image) for image in back.frames(k, "observation.images.wrist")] for k in (0, 1)]
    assert shown == [list(range(5)), list(range(5, 12))]


def change(folder, **changes):
    path = folder / "anns/train/000001.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda folder: change(folder, state=[[0.0] * 7] * 8), "000001.json: video static is 0 … 9, and there are 8"),
        (lambda folder: change(folder, state=[[0.0] * 6] * 9), r"state has shape \(9, 6\)"),
        (lambda folder: change(folder, state=[[0.0] * 6 + [-1.0]] * 9), "--gripper OPEN CLOSED"),
        (lambda folder: change(folder, texts=[]), "000001.json cannot be read"),
        (lambda folder: change(folder, videos=[{"video_path": "../../rgb.mp4", "start": 0, "end": 9}] * 2), "leaves"),
        (lambda folder: (folder / "media/train/000001/rgb.mp4").unlink(), "000001.json cannot be read"),
        (lambda folder: shutil.rmtree(folder / "anns"), "folder of the robot benchmark"),
    ],
)
def test_what_is_wrong_is_named_before_anything_is_written(dataset, tmp_path, damage, says):
    export(dataset.path, tmp_path / "out", share=0.0)
    damage(tmp_path / "out")
    with pytest.raises(DatasetError, match=says):
        imported(tmp_path / "out", tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_a_video_that_is_too_short_is_named_and_its_episode_is_not_there(dataset, tmp_path):
    export(dataset.path, tmp_path / "out", share=0.0)
    shutil.copyfile(tmp_path / "out/media/train/000003/rgb.mp4", tmp_path / "out/media/train/000001/rgb.mp4")
    with pytest.raises(DatasetError, match=r"000001/rgb\.mp4 ends at frame 5, and is wanted up to 9"):
        imported(tmp_path / "out", tmp_path / "back")
    assert [e.length for e in DatasetReader(tmp_path / "back").episodes] == [12]


def test_an_export_that_fails_leaves_nothing(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(robovlms, "states", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export(dataset.path, tmp_path / "out")
    assert not list(tmp_path.glob("*out*"))
    monkeypatch.undo()
    export(dataset.path, tmp_path / "out")
    with pytest.raises(DatasetError, match="already"):
        export(dataset.path, tmp_path / "out")


def test_the_commands(dataset, tmp_path, capsys):
    out, back = str(tmp_path / "out"), str(tmp_path / "back")
    words = ["--format", "robovlms", "--gripper", "0", "1"]
    assert cli.main(["episodes", "export", str(dataset.path), out, *words, "--share", "0.5", "--seed", "1"]) == 0
    assert cli.main(["episodes", "import", out, back, *words, "--split", "val"]) == 0
    assert f"{back}: 2 episodes appended" in capsys.readouterr().out
    assert cli.main(["episodes", "export", str(dataset.path), back, "--format", "calvin", "--seed", "1"]) == 2
    assert "--seed is not for --format calvin" in capsys.readouterr().err
    assert cli.main(["episodes", "export", str(dataset.path), back, "--format", "robovlms", "--share", "2"]) == 2
    assert "from 0 to 1" in capsys.readouterr().err
