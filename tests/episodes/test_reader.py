"""The reader: values come back exactly, frames within two levels, and damage is named."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vla_ros.episodes import layout
from vla_ros.episodes.layout import DatasetError
from vla_ros.episodes.reader import DatasetReader, Episode

from .recordings import FEATURES, STATIC, WRIST, opened, table, values


def test_values_come_back_exactly(dataset: Path):
    reader = DatasetReader(dataset)
    assert reader.episodes == [
        Episode(0, 7, "push the red cube 0", 0),
        Episode(1, 5, "push the red cube 1", 7),
    ]
    expected = [values(0, k) for k in range(7)] + [values(1, k) for k in range(5)]
    for name in ("observation.state", "action", "observation.stamp_ns", "expert"):
        dtype, shape = FEATURES[name][:2]
        column = reader.column(name)
        assert (column.dtype, column.shape, column.flags.c_contiguous) == (dtype, (12, *shape), True)
        np.testing.assert_array_equal(column, np.array([row[name] for row in expected], dtype).reshape(12, -1))


def joined(dataset: Path) -> None:
    """Put both episodes' rows into one file, as LeRobot's own writer does."""
    files = sorted(dataset.glob("data/chunk-000/*.parquet"))
    pq.write_table(pa.concat_tables([pq.read_table(file) for file in files]), files[0])
    files[1].unlink()
    row = dataset / layout.EPISODE_PATH.format(chunk_index=0, file_index=1)
    told = pq.read_table(row)
    place = told.schema.get_field_index("data/file_index")
    pq.write_table(told.set_column(place, "data/file_index", pa.array([0], pa.int64())), row)


@pytest.mark.parametrize("one_file", [False, True])
def test_a_part_is_a_column_over_one_episode(dataset: Path, one_file):
    if one_file:
        joined(dataset)
    reader = DatasetReader(dataset)
    for name in ("observation.state", "observation.stamp_ns", "expert", "frame_index", "timestamp"):
        for episode in reader.episodes:
            rows = slice(episode.start, episode.start + episode.length)
            np.testing.assert_array_equal(reader.part(name, episode.index), reader.column(name)[rows])
    with pytest.raises(DatasetError, match="has no column 'nothing'"):
        reader.part("nothing", 0)


def test_index_columns(dataset: Path):
    reader = DatasetReader(dataset)
    np.testing.assert_array_equal(reader.column("index"), np.arange(12))
    np.testing.assert_array_equal(reader.column("frame_index"), [*range(7), *range(5)])
    np.testing.assert_array_equal(reader.column("episode_index"), [0] * 7 + [1] * 5)
    np.testing.assert_allclose(reader.column("timestamp"), reader.column("frame_index") / 10, atol=1e-6)
    assert reader.task_of_frame.tolist() == ["push the red cube 0"] * 7 + ["push the red cube 1"] * 5


@pytest.mark.parametrize("camera", [STATIC, WRIST])
def test_small_cubes_keep_their_colour(dataset: Path, camera: str):
    video = DatasetReader(dataset).video(0, camera)
    images, masks = (np.stack(x) for x in zip(*(table(camera, k) for k in range(7)), strict=True))
    assert video.shape == images.shape
    error = np.abs(video.astype(int) - images)
    assert error[masks].mean() <= 2
    assert error.mean() <= 2


def test_a_new_dataset_is_empty_and_can_be_read(tmp_path: Path):
    opened(tmp_path).close()
    reader = DatasetReader(tmp_path)
    assert reader.episodes == []
    assert reader.column("action").shape == (0, 7)
    assert reader.task_of_frame.shape == (0,)


def test_a_missing_dataset_is_named(tmp_path: Path):
    with pytest.raises(DatasetError, match="is not a dataset"):
        DatasetReader(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("file", "read"),
    [
        (layout.INFO, lambda reader: None),
        (layout.TASKS, lambda reader: None),
        ("meta/episodes/chunk-000/file-001.parquet", lambda reader: None),
        ("data/chunk-000/file-001.parquet", lambda reader: reader.column("action")),
        (f"videos/{WRIST}/chunk-000/file-001.mp4", lambda reader: reader.video(1, WRIST)),
    ],
)
@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:40])])
def test_damage_is_named(dataset: Path, file: str, read, damage):
    damage(dataset / file)
    with pytest.raises(DatasetError, match=r"cannot be read|in order|is not a dataset"):
        read(DatasetReader(dataset))


def test_what_a_dataset_does_not_have_is_named(dataset: Path):
    reader = DatasetReader(dataset)
    with pytest.raises(DatasetError, match="no column 'torque'"):
        reader.column("torque")
    with pytest.raises(DatasetError, match=r"no video 'observation\.images\.left'"):
        reader.video(0, "observation.images.left")
    with pytest.raises(DatasetError, match="no episode 2"):
        reader.video(2, STATIC)


def test_an_episode_in_the_middle_of_an_mp4_has_it_not_to_itself(dataset: Path):
    reader = DatasetReader(dataset)
    assert reader.alone(1, WRIST)
    reader._rows[1][f"videos/{WRIST}/from_timestamp"] = 0.2
    reader._rows[1]["length"] = 3
    assert not reader.alone(1, WRIST)
    whole = DatasetReader(dataset).video(1, WRIST)
    np.testing.assert_array_equal(reader.video(1, WRIST), whole[2:])


def test_the_files_are_laid_out_as_lerobot_expects(dataset: Path):
    info = json.loads((dataset / layout.INFO).read_text())
    assert (info["codebase_version"], info["total_episodes"], info["total_frames"]) == ("v3.0", 2, 12)
    assert info["splits"] == {"train": "0:2"}
    assert info["features"]["observation.state"]["names"] == list("abcdefgh")
    schema = pq.read_schema(dataset / "data/chunk-000/file-000.parquet")
    assert str(schema.field("action").type) == "fixed_size_list<element: float>[7]"
    assert str(schema.field("observation.stamp_ns").type) == "int64"
    assert "observation.images.static" not in schema.names
    row = pq.read_table(dataset / "meta/episodes/chunk-000/file-001.parquet").to_pylist()[0]
    assert (row["dataset_from_index"], row["dataset_to_index"], row["data/file_index"]) == (7, 12, 1)
    assert row[f"videos/{WRIST}/to_timestamp"] == pytest.approx(0.5)
    assert np.shape(row[f"stats/{WRIST}/q99"]) == (3, 1, 1)
