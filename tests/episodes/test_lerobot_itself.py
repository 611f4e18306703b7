"""LeRobot itself and lerobot-doctor, in an environment of their own, on what we write; and we on what LeRobot wrote."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from vla_ros import cli
from vla_ros.episodes import rows
from vla_ros.episodes.edit import select
from vla_ros.episodes.layout import DatasetError
from vla_ros.episodes.lerobot import DatasetWriter
from vla_ros.episodes.memory import Memory
from vla_ros.episodes.merge import merge
from vla_ros.episodes.parts import Part
from vla_ros.episodes.reader import DatasetReader
from vla_ros.episodes.recorder import Begin, Commit, End
from vla_ros.episodes.scribe import Scribe

from . import test_depth
from .bars import LENGTHS, TASKS, coded, decoded
from .recordings import FEATURES, STATIC, WRIST, opened, values
from .test_scribe import CONFIG, FPS, sample

BIN = Path(__file__).parents[2] / ".venv-lerobot/bin"
PROGRAM = Path(__file__).with_name("in_lerobot.py")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (BIN.parent / ".installed").is_file(), reason="no .venv-lerobot: make env-lerobot"),
]


@pytest.fixture
def run(tmp_path):
    """Runs a program of that environment, away from the network and from the user's caches: what it wrote to its output."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment = ours | {
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(tmp_path / "hf"),
        "HF_LEROBOT_HOME": str(tmp_path / "hf"),
    }

    def ran(*words):
        done = subprocess.run(
            [str(word) for word in words], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return ran


@pytest.fixture
def lerobot(run, tmp_path):
    """Lets LeRobot do something with a dataset: the arrays that it gives back."""

    def does(work, root):
        run(BIN / "python", PROGRAM, work, root, tmp_path / "out.npz")
        with np.load(tmp_path / "out.npz") as file:
            return dict(file)

    return does


@pytest.fixture
def examined(run):
    """What lerobot-doctor says of a dataset: check -> severity."""

    def is_examined(root):
        report = json.loads(run(BIN / "lerobot-doctor", "check", root, "--json"))
        return {check["name"]: check["severity"] for check in report["checks"]}

    return is_examined


def write(path, *lengths):
    """Append episodes by the writer; the pictures of both cameras say the index of their frame in the dataset."""
    with opened(path) as writer:
        for length in lengths:
            first = DatasetReader(path).info["total_frames"]
            writer.begin(f"push the red cube {writer.episodes % 2}")
            for k in range(length):
                images = {name: coded(first + k, FEATURES[name][1]) for name in (STATIC, WRIST)}
                writer.add(images, values(writer.episodes, k))
            writer.commit()


def record(path, *lengths, config=CONFIG, seen=sample):
    """Append episodes as the recorder does, frames missing; row k of the dataset shows k, or what was seen last before it."""
    scribe = Scribe(DatasetWriter(path, rows.features(config), FPS, config.robot), path, FPS, Memory(0, 1))
    first = 0
    for length in lengths:
        scribe.do(Begin("pick up the red cube"))
        for k in range(length):
            if k % 5 != 3 or k == length - 1:
                scribe.put(seen(first + k, x=0.001 * k))
        scribe.do(End())
        scribe.do(Commit(length > 8))
        first += length
    scribe.close()


def assert_read_alike(got, reader):
    """Every column is what our reader reads, to the last bit, and every picture has the number that ours has."""
    for name, feature in reader.info["features"].items():
        if feature["dtype"] == "video":
            ours = [decoded(image) for e in reader.episodes for image in reader.video(e.index, name)]
        else:
            ours = reader.column(name)
        assert np.array_equal(got[name].reshape(np.shape(ours)), ours), name
    assert got["task"].tolist() == [e.task for e in reader.episodes for _ in range(e.length)]


@pytest.mark.parametrize("make", [write, record])
def test_lerobot_reads_every_frame_of_ours_and_the_doctor_finds_nothing_broken(lerobot, examined, tmp_path, make):
    make(tmp_path / "data", 12, 5)
    got, reader = lerobot("read", tmp_path / "data"), DatasetReader(tmp_path / "data")
    assert_read_alike(got, reader)
    shown = list(range(17)) if make is write else [k - (k % 5 == 3) for k in range(12)] + [12, 13, 14, 14, 16]
    for camera in reader.cameras:
        assert got[camera].tolist() == shown
    severities = examined(tmp_path / "data")
    assert len(severities) >= 11
    assert "FAIL" not in severities.values(), severities
    for check in ("Metadata & Format Compliance", "Temporal Consistency", "Video Integrity", "Feature Consistency"):
        assert severities[check] == "PASS"


def test_a_trainer_gets_windows_across_no_border_of_episodes(lerobot, tmp_path):
    write(tmp_path / "data", 7, 5)
    got, reader = lerobot("windows", tmp_path / "data"), DatasetReader(tmp_path / "data")
    begins = [e.start for e in reader.episodes for _ in range(e.length)]
    ends = [e.start + e.length - 1 for e in reader.episodes for _ in range(e.length)]
    for camera in (STATIC, WRIST):
        assert got[camera].tolist() == [[max(k - 1, begins[k]), k] for k in range(12)]
        assert got[f"{camera}_is_pad"].tolist() == [[k == begins[k], False] for k in range(12)]
    following = np.minimum(np.arange(12)[:, None] + np.arange(3), np.array(ends)[:, None])
    assert np.array_equal(got["action"], reader.column("action")[following])


def test_lerobot_goes_on_with_our_dataset_and_we_with_that(lerobot, examined, tmp_path):
    write(tmp_path / "data", 7, 5)
    before = {path: path.read_bytes() for path in (tmp_path / "data").glob("*/**/file-*")}
    assert lerobot("append", tmp_path / "data")["first"] == 12
    assert {path: path.read_bytes() for path in before} == before
    write(tmp_path / "data", 6)
    reader = DatasetReader(tmp_path / "data")
    assert [e.length for e in reader.episodes] == [7, 5, *LENGTHS, 6]
    assert [e.task for e in reader.episodes[2:4]] == list(TASKS)
    for camera in (STATIC, WRIST):
        shown = [decoded(image) for e in reader.episodes for image in reader.video(e.index, camera)]
        assert shown == list(range(26))
    assert np.array_equal(reader.column("action")[12:20], np.repeat(np.arange(12, 20), 7).reshape(8, 7))
    assert reader.column("observation.stamp_ns")[:, 0].tolist()[20:] == [
        values(4, k)["observation.stamp_ns"] for k in range(6)
    ]
    assert_read_alike(lerobot("read", tmp_path / "data"), reader)
    assert "FAIL" not in examined(tmp_path / "data").values()


def test_episodes_that_share_an_mp4_are_read_and_cut_apart(lerobot, tmp_path):
    write(tmp_path / "data", 7)
    lerobot("append", tmp_path / "data")
    reader = DatasetReader(tmp_path / "data")
    assert reader.video_file(1, STATIC) == reader.video_file(2, STATIC)
    select(reader.path, tmp_path / "less", [Part(2, 1, 4), Part(0, 0, 7), Part(1, 0, 4)])
    merge([tmp_path / "less", reader.path], tmp_path / "all")
    less, both = DatasetReader(tmp_path / "less"), DatasetReader(tmp_path / "all")
    for camera in (STATIC, WRIST):
        shown = [[decoded(image) for image in less.video(k, camera)] for k in range(3)]
        assert shown == [[12, 13, 14], list(range(7)), [7, 8, 9, 10]]
        assert [decoded(image) for image in both.video(5, camera)] == [11, 12, 13, 14]
    assert_read_alike(lerobot("read", tmp_path / "all"), both)


def test_what_lerobot_recorded_becomes_a_dataset_of_ours(lerobot, tmp_path, capsys):
    lerobot("create", tmp_path / "theirs")
    theirs = DatasetReader(tmp_path / "theirs")
    assert theirs.info["features"]["observation.images.top"]["info"]["video.codec"] == "av1"
    words = ["episodes", "import", str(theirs.path), str(tmp_path / "ours"), "--format", "lerobot"]
    words += ["--camera", "observation.images.top=static", "--camera", "observation.images.hand=wrist"]
    assert cli.main(words) == 2
    assert "'observation.state' holds a, b, c" in capsys.readouterr().err
    words += ["--trust-names", "--robot", "kinova_gen3_2f85"]
    assert cli.main(words) == 0
    assert cli.main(words) == 0
    ours = DatasetReader(tmp_path / "ours")
    assert [(e.length, e.task) for e in ours.episodes] == list(zip(LENGTHS * 2, TASKS * 2, strict=True))
    for camera in (STATIC, WRIST):
        assert [decoded(image) for e in ours.episodes for image in ours.video(e.index, camera)] == [
            *range(8),
            *range(8),
        ]
    for name in ("observation.state", "action", "done"):
        assert np.array_equal(ours.column(name), np.tile(theirs.column(name), (2, 1)))
    assert_read_alike(lerobot("read", ours.path), ours)
    select(theirs.path, tmp_path / "part", [Part(1, 1, 4)])
    part = DatasetReader(tmp_path / "part")
    assert [decoded(image) for image in part.video(0, "observation.images.top")] == [5, 6, 7]


def test_lerobot_neither_sees_nor_hurts_depth(lerobot, examined, tmp_path):
    record(tmp_path / "data", 10, 5, config=test_depth.CONFIG, seen=test_depth.seen)
    assert_read_alike(lerobot("read", tmp_path / "data"), DatasetReader(tmp_path / "data"))
    assert "FAIL" not in examined(tmp_path / "data").values()
    lerobot("append", tmp_path / "data")
    reader = DatasetReader(tmp_path / "data")
    assert len(reader.episodes) == 4
    assert [len(test_depth.shown(reader, k)) for k in (0, 1)] == [10, 5]
    with pytest.raises(DatasetError, match="cannot be read"):
        next(reader.depth(2, test_depth.KEY))
    record(tmp_path / "data", 6, config=test_depth.CONFIG, seen=test_depth.seen)
    assert len(test_depth.shown(DatasetReader(tmp_path / "data"), 4)) == 6
