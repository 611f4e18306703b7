"""Rows, memory and scribe: every frame has its place in time, memory is bounded, and what the disk refuses spoils one take alone."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_ros.clock import MILLISECOND, SECOND
from vla_ros.config import load
from vla_ros.episodes import rows, scribe
from vla_ros.episodes.layout import DatasetError
from vla_ros.episodes.lerobot import DatasetWriter
from vla_ros.episodes.memory import Memory
from vla_ros.episodes.reader import DatasetReader
from vla_ros.episodes.recorder import Begin, Commit, Discard, End, Keep
from vla_ros.episodes.rows import Rows, Sample
from vla_ros.episodes.scribe import NOTES, Desk, Scribe
from vla_ros.geometry import Pose
from vla_ros.kinematics import TOOL_DOWN
from vla_ros.values import Mode, Verdict

from .bars import coded, decoded

CONFIG = load("twin")
FPS = 30
PERIOD = SECOND / FPS


def sample(number, moment=None, mode=Mode.TELEOP, x=0.0):
    moment = round(number * PERIOD) if moment is None else moment
    images = {name: coded(number, (c.roi[3] // c.binning, c.roi[2] // c.binning)) for name, c in CONFIG.cameras.items()}
    stamps = {"static": 10**18 + moment, "wrist": 10**18 + moment - 5 * MILLISECOND}
    pose = Pose(np.array([0.45 + x, 0.0, 0.2]), TOOL_DOWN)
    return Sample(
        moment, images, stamps, np.zeros(8), pose, np.zeros(7), np.full(7, 0.25), mode, Verdict.TELEOP, mode is Mode.TELEOP
    )  # fmt: skip


def made(*samples):
    turned = Rows(FPS)
    got = [row for one in samples for row in turned.put(one)]
    return [*got, *turned.finish()], turned


@pytest.fixture
def desk(tmp_path):
    """A scribe on a new dataset, driven in this thread."""
    writer = DatasetWriter(tmp_path / "data", rows.features(CONFIG), FPS, CONFIG.robot)
    made = Scribe(writer, tmp_path / "data", FPS, Memory(30 * SECOND, 10**8), lambda: {"policy": "hand"})
    yield made
    made.close()


def record(desk, numbers, last=Commit(True)):
    desk.do(Begin("pick up the red cube"))
    for number in numbers:
        desk.put(sample(number))
    desk.do(End())
    desk.do(last)


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.lists(st.floats(-0.3, 0.3), min_size=60, max_size=60))
def test_row_i_is_what_was_seen_at_i_periods_whatever_frames_are_missing(came, jitter):
    numbers = [0, *(k for k, there in enumerate(came, start=1) if there)]
    samples = [sample(k, round((k + jitter[k - 1] * (k > 0)) * PERIOD)) for k in numbers]
    got, turned = made(*samples)
    assert len(got) == numbers[-1] + 1
    shown = [decoded(images[rows.IMAGES + "static"]) for images, _ in got]
    assert shown == [max(n for n in numbers if n <= i) for i in range(len(got))]
    assert turned.repeated == len(got) - len(numbers)
    assert turned.skipped == 0


def test_a_repeated_row_tells_its_age_and_the_exposure_of_what_it_shows():
    got, _ = made(sample(0), sample(3))
    ages = [values[rows.AGE + "static"] for _, values in got]
    assert ages == pytest.approx([0.0, 33.3, 66.7, 0.0], abs=0.1)
    assert got[0][1][rows.AGE + "wrist"] == pytest.approx(5.0)
    assert len({values[rows.STAMP + "static"] for _, values in got[:3]}) == 1


def test_a_camera_faster_than_it_says_does_not_stretch_time():
    got, turned = made(*(sample(k, round(k * PERIOD / 2)) for k in range(21)))
    assert len(got) == 11
    assert turned.skipped == 10


def test_the_action_of_a_row_leads_to_the_next_one():
    got, _ = made(sample(0, x=0.0), sample(1, x=0.01), sample(2, x=0.03))
    ways = [values["action"][0] for _, values in got]
    assert ways == pytest.approx([0.01, 0.02, 0.0])
    assert [values["action"][6] for _, values in got] == [0.25] * 3


def test_a_hole_without_end_does_not_fill_the_memory():
    got, _ = made(sample(0), sample(1, 10**6 * SECOND))
    assert len(got) <= rows.LONGEST_GAP / PERIOD + 2


@settings(max_examples=30)
@given(st.lists(st.integers(0, 3000), max_size=60), st.integers(1000, 40_000))
def test_the_memory_is_bounded_in_time_and_bytes_and_holds_the_newest(gaps, size):
    memory, moment = Memory(5 * SECOND, size), 0
    for gap in gaps:
        moment += gap * MILLISECOND
        memory.put(sample(1, moment))
        held = memory.since(0)
        assert memory.bytes <= size
        assert all(moment - one.moment <= 5 * SECOND for one in held)
        assert memory.bytes == sum(len(p) for one in held for p in one.images.values())
        assert not held or held[-1].moment == moment


def test_what_is_remembered_looks_as_it_did():
    memory = Memory(SECOND, 10**8)
    memory.put(sample(1234))
    back = memory.whole(memory.since(0)[0])
    assert decoded(back.images["static"]) == 1234
    assert back.images["static"].shape == sample(0).images["static"].shape


def test_a_memory_of_nothing_keeps_nothing():
    memory = Memory(0, 10**8)
    memory.put(sample(1))
    assert memory.since(0) == []


def test_episodes_come_back_frame_for_frame_with_what_became_of_them(desk, tmp_path):
    record(desk, range(40))
    record(desk, range(100, 110), Discard())
    record(desk, range(200, 215), Commit(False))
    assert desk.told.episodes == 2
    reader = DatasetReader(tmp_path / "data")
    assert [e.length for e in reader.episodes] == [40, 15]
    for episode, first in ((0, 0), (1, 200)):
        for camera in reader.cameras:
            shown = [decoded(frame) for frame in reader.video(episode, camera)]
            assert shown == list(range(first, first + reader.episodes[episode].length))
    assert reader.column("success")[:, 0].tolist() == [True] * 40 + [False] * 15
    assert np.flatnonzero(reader.column("next.success")).tolist() == [39]
    assert reader.column("intervention").all()
    notes = json.loads((tmp_path / "data" / NOTES.format(0)).read_text())
    assert (notes["success"], notes["policy"], notes["frames"]) == (True, "hand", 40)
    assert notes["verdicts"][int(reader.column("verdict")[0, 0])] == "TELEOP"


def test_the_last_seconds_become_an_episode(desk, tmp_path):
    for number in range(60):
        desk.put(sample(number))
    desk.do(Keep("push the blue cube", round(30 * PERIOD)))
    desk.do(Commit(True))
    reader = DatasetReader(tmp_path / "data")
    assert [decoded(frame) for frame in reader.video(0, rows.IMAGES + "wrist")] == list(range(30, 60))
    assert reader.episodes[0].task == "push the blue cube"


def test_a_full_disk_spoils_one_take_and_the_next_is_good(desk, monkeypatch, tmp_path):
    real = DatasetWriter.add

    def full(self, images, values):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(DatasetWriter, "add", full)
    desk.do(Begin("a"))
    desk.put(sample(0))
    desk.put(sample(1))
    assert "No space left" in desk.told.trouble
    desk.do(End())
    desk.do(Commit(False))
    assert "nothing was saved" in desk.told.text
    monkeypatch.setattr(DatasetWriter, "add", real)
    record(desk, range(5))
    assert desk.told.episodes == 1
    assert desk.told.trouble == ""


def test_a_commit_that_fails_is_said_and_the_dataset_stays_whole(desk, monkeypatch, tmp_path):
    record(desk, range(5))

    def fails(self, columns=None):
        self.discard()
        raise DatasetError("the disk is gone")

    monkeypatch.setattr(DatasetWriter, "commit", fails)
    record(desk, range(5))
    assert "the disk is gone" in desk.told.text
    assert len(DatasetReader(tmp_path / "data").episodes) == 1


def test_a_take_without_frames_is_not_saved(desk):
    record(desk, [])
    assert "no frames" in desk.told.text
    assert desk.told.episodes == 0


def test_a_desk_that_cannot_follow_spoils_the_take_and_says_so(tmp_path, monkeypatch):
    writer = DatasetWriter(tmp_path / "data", rows.features(CONFIG), FPS, CONFIG.robot)
    made = Scribe(writer, tmp_path / "data", FPS, Memory(0, 1))
    monkeypatch.setattr(scribe, "WAITING", 3)
    desk = Desk(made)
    monkeypatch.setattr(made, "put", lambda sample: __import__("time").sleep(0.05))
    desk.do(Begin("a"))
    assert desk.settled(10)
    for number in range(20):
        desk.put(sample(number))
    assert "too slow" in desk.told.trouble
    desk.close()


def test_columns_that_do_not_fit_the_episode_are_refused(tmp_path):
    with DatasetWriter(tmp_path, {"x": ("float32", (1,))}, 10, "robot") as writer:
        writer.begin("a")
        writer.add({}, {"x": 1.0})
        assert writer.frames == 1
        with pytest.raises(DatasetError, match="'x' is given"):
            writer.commit({"x": np.zeros((2, 1))})
        assert writer.episodes == 0
