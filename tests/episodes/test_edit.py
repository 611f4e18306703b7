"""Cutting, leaving out and checking: what is kept is what it was, and what is wrong is named."""

import json

import numpy as np
import pytest
from PIL import Image as Picture

from vla_ros import cli
from vla_ros.clock import MILLISECOND, SECOND
from vla_ros.episodes import edit
from vla_ros.episodes.check import check
from vla_ros.episodes.edit import cut, rewrite, select
from vla_ros.episodes.layout import DatasetError
from vla_ros.episodes.lerobot import DatasetWriter
from vla_ros.episodes.parts import LOG, parts
from vla_ros.episodes.reader import DatasetReader
from vla_ros.episodes.scribe import NOTES

from .bars import coded, decoded

FPS, SHAPE, CAMERA = 10, (40, 80, 3), "observation.images.static"
FEATURES = {
    CAMERA: ("video", SHAPE),
    "observation.images.wrist": ("video", SHAPE),
    "observation.state": ("float32", (8,)),
    "action": ("float32", (7,)),
    "success": ("bool", (1,)),
    "observation.stamp_ns.static": ("int64", (1,)),
    "observation.stamp_ns.wrist": ("int64", (1,)),
    "observation.age_ms.static": ("float32", (1,)),
    "observation.age_ms.wrist": ("float32", (1,)),
}
RANDOM = np.random.default_rng(3)


def rows(first, count, **changes):
    """Frames with their number as a bar code, of a tool that moves all the time, with changes by column: frame -> value."""
    for k in range(count):
        values = {
            "observation.state": np.sin(np.arange(8) + (first + k) / 8) * 0.05,
            "action": RANDOM.normal(size=7),
            "success": True,
            "observation.stamp_ns.static": 10**18 + k * SECOND // FPS,
            "observation.stamp_ns.wrist": 10**18 + k * SECOND // FPS - 5 * MILLISECOND,
            "observation.age_ms.static": 0.0,
            "observation.age_ms.wrist": 5.0,
        }
        for name, change in changes.items():
            column = {
                "state": "observation.state",
                "stamp": "observation.stamp_ns.static",
                "age": "observation.age_ms.wrist",
            }[name]
            values[column] = change(k, values[column])
        image = coded(first + k, SHAPE[:2])
        yield {CAMERA: image, "observation.images.wrist": image}, values


def written(path, *episodes):
    with DatasetWriter(path, FEATURES, FPS, "robot") as writer:
        for index, frames in enumerate(episodes):
            writer.begin(f"task {index % 2}")
            for images, values in frames:
                writer.add(images, values)
            writer.commit()
            for name in (NOTES, LOG):
                beside = path / name.format(index)
                beside.parent.mkdir(parents=True, exist_ok=True)
                beside.write_text(f"of {index}")
    return DatasetReader(path)


@pytest.fixture
def three(tmp_path):
    return written(tmp_path / "data", rows(0, 20), rows(100, 30), rows(200, 25))


def numbers(reader, episode, camera=CAMERA):
    return [decoded(image) for image in reader.video(episode, camera)]


def test_what_is_left_out_is_gone_and_the_rest_is_as_it_was(three, tmp_path):
    assert select(three.path, tmp_path / "new", parts(three, [1])) == 2
    new = DatasetReader(tmp_path / "new")
    assert [e.task for e in new.episodes] == ["task 0", "task 0"]
    assert (numbers(new, 0), numbers(new, 1)) == (list(range(20)), list(range(200, 225)))
    kept = np.r_[0:20, 50:75]
    np.testing.assert_array_equal(new.column("action"), three.column("action")[kept])
    assert new.column("index").tolist() == list(range(45))
    assert (tmp_path / "new" / NOTES.format(1)).read_text() == "of 2"
    assert (tmp_path / "new" / LOG.format(1)).read_text() == "of 2"
    assert new.tasks == ["task 0"]


def test_an_episode_is_cut_frame_for_frame_in_place(three):
    actions = three.column("action").copy()
    assert rewrite(three.path, cut(three, 1, 7, 19)) == 3
    new = DatasetReader(three.path)
    assert [e.length for e in new.episodes] == [20, 12, 25]
    assert numbers(new, 1) == list(range(107, 119))
    assert numbers(new, 1, "observation.images.wrist") == list(range(107, 119))
    np.testing.assert_array_equal(new.column("action")[20:32], actions[27:39])
    stats = json.loads((three.path / "meta/stats.json").read_text())
    assert stats["index"]["count"] == [57]
    assert [p.name for p in three.path.parent.iterdir()] == ["data"]


@pytest.mark.parametrize("span", [(-1, 5), (5, 5), (9, 4), (0, 31)])
def test_frames_that_are_not_there_cannot_be_kept(three, span):
    with pytest.raises(DatasetError, match="not in it"):
        cut(three, 1, *span)


def test_an_unknown_episode_is_named(three):
    with pytest.raises(DatasetError, match="no episode 7"):
        parts(three, [7])


def test_a_place_that_is_taken_is_refused(three, tmp_path):
    (tmp_path / "new").mkdir()
    with pytest.raises(DatasetError, match="already"):
        select(three.path, tmp_path / "new", parts(three))


def test_a_dataset_that_is_being_written_is_not_changed(three):
    with DatasetWriter(three.path, FEATURES, FPS, "robot"), pytest.raises(DatasetError, match="another writer"):
        rewrite(three.path, parts(three, [0]))
    assert len(DatasetReader(three.path).episodes) == 3


def test_whatever_fails_the_old_one_stays(three, monkeypatch):
    def fails(a, b):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(edit, "exchange", fails)
    with pytest.raises(OSError, match="Input"):
        rewrite(three.path, parts(three, [0]))
    assert len(DatasetReader(three.path).episodes) == 3
    assert [p.name for p in three.path.parent.iterdir()] == ["data"]


def texts(reader, bad=None):
    return [f"{f.episode}: {f.text}" for f in check(reader) if bad is None or f.bad == bad]


def test_a_good_recording_has_no_findings(three):
    assert texts(three) == []


def held(k, value):
    return 10**18 + min(k, 5) * SECOND // FPS if k < 12 else value


@pytest.mark.parametrize(
    ("changes", "bad", "says"),
    [
        ({"state": lambda k, v: v + 0.1 * (k == 9)}, True, "the tool jumps"),
        ({"state": lambda k, v: v * 0 + 0.1}, True, "nothing moves"),
        ({"state": lambda k, v: v if k < 25 else np.full(8, 0.02)}, False, "trim it"),
        ({"stamp": held}, True, "camera static: 6 frames did not come, the first at 6"),
        ({"stamp": lambda k, v: v - (k == 9) * SECOND}, True, "stamps go back at frame 9"),
        ({"age": lambda k, v: 300.0 if k == 3 else v}, False, "300 ms apart, in 1 frames"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path, changes, bad, says):
    reader = written(tmp_path / "data", rows(0, 50), rows(100, 50, **changes))
    found = texts(reader, bad)
    assert any(text.startswith("1: ") and says in text for text in found), check(reader)
    assert not any(text.startswith("0: ") for text in found)


def test_a_number_that_never_changes_is_named(tmp_path):
    still = {"state": lambda k, v: np.r_[v[:7], 0.5]}
    assert texts(written(tmp_path / "data", rows(0, 30, **still))) == ["None: observation.state: 7 never change"]


def test_a_video_that_cannot_be_read_is_named(three):
    three.video_file(1, CAMERA).write_bytes(b"no video")
    assert any("cannot be read" in text for text in texts(three, bad=True))


def test_the_commands(three, tmp_path, capsys):
    data = str(three.path)
    assert cli.main(["episodes", "list", data]) == 0
    assert "task 1" in capsys.readouterr().out
    assert cli.main(["episodes", "show", data, "1", "--output", str(tmp_path / "seen")]) == 0
    for path in capsys.readouterr().out.split():
        picture = np.asarray(Picture.open(path))
        assert picture.std() > 5
    assert cli.main(["episodes", "check", data, "--json", str(tmp_path / "found.json")]) == 0
    assert json.loads((tmp_path / "found.json").read_text()) == []
    assert cli.main(["episodes", "trim", data, "1", "--start", "0.5", "--end", "2.5"]) == 0
    assert cli.main(["episodes", "delete", data, "0", "--output", str(tmp_path / "less")]) == 0
    assert [e.length for e in DatasetReader(tmp_path / "less").episodes] == [20, 25]
    assert cli.main(["episodes", "merge", data, str(tmp_path / "less"), "--output", str(tmp_path / "all")]) == 0
    assert len(DatasetReader(tmp_path / "all").episodes) == 5
    assert (tmp_path / "all" / NOTES.format(4)).read_text() == "of 2"
    assert (tmp_path / "all" / LOG.format(4)).read_text() == "of 2"
    three.video_file(1, CAMERA).write_bytes(b"no video")
    assert cli.main(["episodes", "check", data]) == 1
    capsys.readouterr()
    assert cli.main(["episodes", "show", data, "9"]) == 2
    assert "no episode 9" in capsys.readouterr().err
