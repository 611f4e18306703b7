"""The writer: what is committed stays, and nothing else does."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vla_ros.episodes import layout
from vla_ros.episodes.layout import DatasetError
from vla_ros.episodes.reader import DatasetReader

from .recordings import FEATURES, STATIC, WRIST, fill, opened, record, table, values


def test_each_video_has_its_own_pixel_format(tmp_path: Path):
    features = {
        STATIC: layout.Feature("video", (80, 120, 3), pix_fmt="yuv420p", crf=20),
        "x": ("float32", (1,)),
    }
    with opened(tmp_path, features=features) as writer:
        writer.begin("look")
        writer.add({STATIC: table(STATIC, 0)[0]}, {"x": 1.0})
        writer.commit()
    reader = DatasetReader(tmp_path)
    assert reader.info["features"][STATIC]["info"]["video.pix_fmt"] == "yuv420p"
    assert reader.video(0, STATIC).shape == (1, 80, 120, 3)


def test_values_are_copied_when_they_are_added(tmp_path: Path):
    with opened(tmp_path, features={"x": ("float32", (2,))}) as writer:
        writer.begin("count")
        buffer = np.zeros(2)
        for k in range(3):
            buffer[:] = k
            writer.add({}, {"x": buffer})
        writer.commit()
    np.testing.assert_array_equal(DatasetReader(tmp_path).column("x"), [[0, 0], [1, 1], [2, 2]])


def test_append(dataset: Path):
    record(dataset, 3)
    reader = DatasetReader(dataset)
    assert [e.length for e in reader.episodes] == [7, 5, 3]
    assert reader.episodes[2].start == 12
    assert len(reader.video(2, WRIST)) == 3
    assert reader.tasks == ["push the red cube 0", "push the red cube 1"]


def test_a_discarded_episode_leaves_nothing(dataset: Path):
    with opened(dataset) as writer:
        writer.begin("never mind")
        fill(writer, 9, 4)
        writer.discard()
        writer.begin("push the red cube 0")
        fill(writer, 2, 2)
        writer.commit()
    reader = DatasetReader(dataset)
    assert [e.length for e in reader.episodes] == [7, 5, 2]
    assert "never mind" not in reader.tasks
    assert [path.name for path in (dataset / ".tmp").iterdir()] == ["lock"]


def test_leaving_the_writer_discards_the_open_episode(dataset: Path):
    with opened(dataset) as writer:
        writer.begin("push the red cube 0")
        fill(writer, 2, 2)
    assert len(DatasetReader(dataset).episodes) == 2


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"fps": 30}, "fps is 10 there and 30 here"),
        ({"robot_type": "ur5"}, "robot_type"),
        ({"features": FEATURES | {"action": ("float32", (8,))}}, "shape of 'action'"),
        ({"features": FEATURES | {"action": ("float64", (7,))}}, "dtype of 'action'"),
        (
            {"features": FEATURES | {WRIST: ("video", (60, 80, 3), None, "yuv420p")}},
            "info of 'observation",
        ),
        ({"features": {k: v for k, v in FEATURES.items() if k != "expert"}}, "expert on one side only"),
    ],
)
def test_a_dataset_that_differs_is_refused(dataset: Path, changes: dict, named: str):
    with pytest.raises(DatasetError, match=named):
        opened(dataset, **changes)
    opened(dataset).close()  # and the refusal holds no lock


def test_two_writers_are_refused(dataset: Path):
    with opened(dataset), pytest.raises(DatasetError, match="another writer"):
        opened(dataset)
    opened(dataset).close()


def test_a_folder_that_is_no_dataset_is_left_alone(tmp_path: Path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(DatasetError, match="neither empty nor a dataset"):
        opened(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_episodes_without_their_info_are_not_thrown_away(dataset: Path):
    (dataset / layout.INFO).unlink()
    with pytest.raises(DatasetError, match=r"has no meta/info\.json"):
        opened(dataset)
    assert (dataset / "data/chunk-000/file-001.parquet").exists()


def test_a_commit_that_did_not_reach_info_is_undone(tmp_path: Path):
    path = record(tmp_path / "dataset", 7)
    before = {name: (path / name).read_bytes() for name in (layout.INFO, layout.STATS)}
    record(path, 5, task="another task")
    (path / layout.INFO).write_bytes(before[layout.INFO])
    (path / "data/chunk-000/.file-002.parquet.tmp").write_bytes(b"half a fi")
    assert [e.length for e in DatasetReader(path).episodes] == [7], "a reader sees what is committed"
    opened(path).close()
    assert {p.stem for p in path.glob("**/file-*")} == {"file-000"}
    assert not list(path.glob("**/.*.tmp"))
    record(path, 3)
    reader = DatasetReader(path)
    assert [e.length for e in reader.episodes] == [7, 3]
    assert "another task 1" not in reader.tasks
    assert json.loads((path / layout.STATS).read_text())["index"]["count"] == [10]


def test_a_failing_commit_discards_the_episode_and_no_other(dataset: Path, monkeypatch):
    with opened(dataset) as writer:
        writer.begin("push the red cube 0")
        fill(writer, 2, 4)
        with monkeypatch.context() as patch:
            patch.setattr(layout, "write_json", _disk_full)
            with pytest.raises(OSError, match="disk full"):
                writer.commit()
        assert writer.episodes == 2
        writer.begin("push the red cube 0")
        fill(writer, 2, 3)
        assert writer.commit() == 2
    assert [e.length for e in DatasetReader(dataset).episodes] == [7, 5, 3]


def _disk_full(*_: object) -> None:
    raise OSError("disk full")


def test_killing_the_writer_costs_only_the_open_episode(tmp_path: Path):
    program = (
        "import sys, time; sys.path[:0] = [sys.argv[2]]\n"
        "from pathlib import Path; from recordings import opened, fill, record\n"
        "path = record(Path(sys.argv[1]), 4, 6)\n"
        "writer = opened(path); writer.begin('unfinished'); fill(writer, 2, 5)\n"
        "print('recording', flush=True); time.sleep(60)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "dataset"), str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "recording\n"
        os.kill(process.pid, signal.SIGKILL)
    assert [e.length for e in DatasetReader(tmp_path / "dataset").episodes] == [4, 6]
    record(tmp_path / "dataset", 3)
    assert [e.length for e in DatasetReader(tmp_path / "dataset").episodes] == [4, 6, 3]
    assert [p.name for p in (tmp_path / "dataset/.tmp").iterdir()] == ["lock"], "the take of the dead is gone"


def test_misuse_is_named(dataset: Path):
    images = {name: table(name, 0)[0] for name in (STATIC, WRIST)}
    with opened(dataset) as writer:
        with pytest.raises(DatasetError, match="call begin first"):
            writer.add(images, values(0, 0))
        writer.begin("x")
        with pytest.raises(DatasetError, match="commit or discard"):
            writer.begin("y")
        with pytest.raises(DatasetError, match="a frame needs"):
            writer.add({STATIC: images[STATIC]}, values(0, 0))
        with pytest.raises(DatasetError, match="should be uint8"):
            writer.add({STATIC: images[WRIST], WRIST: images[WRIST]}, values(0, 0))
        with pytest.raises(DatasetError, match=r"'action' has shape \(3,\)"):
            writer.add(images, values(0, 0) | {"action": np.zeros(3)})
        with pytest.raises(DatasetError, match="no frames"):
            writer.commit()


def test_what_is_not_finite_is_not_committed(dataset: Path):
    with opened(dataset) as writer:
        writer.begin("x")
        fill(writer, 2, 3)
        writer.add(
            {name: table(name, 0)[0] for name in (STATIC, WRIST)},
            values(2, 3) | {"action": np.full(7, np.nan)},
        )
        with pytest.raises(DatasetError, match="'action' is not finite at frame 3"):
            writer.commit()
    assert len(DatasetReader(dataset).episodes) == 2


@pytest.mark.parametrize(
    ("features", "named"),
    [
        ({"index": ("int64", (1,))}, "by the dataset itself"),
        ({"a/b": ("int64", (1,))}, "slash"),
        ({"x": ("float32", (2, 2))}, "not supported"),
        ({"x": ("video", (60, 81, 3), None, "yuv420p")}, "even size"),
    ],
)
def test_features_that_cannot_be_written(tmp_path: Path, features: dict, named: str):
    with pytest.raises(DatasetError, match=named):
        opened(tmp_path, features=features)
