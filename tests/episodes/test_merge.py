"""Shards become one dataset."""

import json
from pathlib import Path

import numpy as np
import pytest

from vla_ros.episodes import layout
from vla_ros.episodes.layout import DatasetError
from vla_ros.episodes.merge import merge
from vla_ros.episodes.parts import LOG
from vla_ros.episodes.reader import DatasetReader
from vla_ros.episodes.scribe import NOTES

from .recordings import WRIST, opened, record


def test_merge(tmp_path: Path):
    shards = [record(tmp_path / "a", 7, 5), record(tmp_path / "b", 4, task="open the drawer")]
    assert merge(shards, tmp_path / "both") == 3
    reader = DatasetReader(tmp_path / "both")
    assert [(e.index, e.length, e.start) for e in reader.episodes] == [(0, 7, 0), (1, 5, 7), (2, 4, 12)]
    assert reader.tasks == ["push the red cube 0", "push the red cube 1", "open the drawer 0"]
    np.testing.assert_array_equal(reader.column("index"), np.arange(16))
    np.testing.assert_array_equal(reader.column("episode_index"), [0] * 7 + [1] * 5 + [2] * 4)
    parts = [DatasetReader(shard) for shard in shards]
    for name in ("action", "observation.stamp_ns", "expert"):
        np.testing.assert_array_equal(reader.column(name), np.concatenate([p.column(name) for p in parts]))
    assert reader.video_file(2, WRIST).read_bytes() == parts[1].video_file(0, WRIST).read_bytes()
    record(tmp_path / "both", 2)
    assert len(DatasetReader(tmp_path / "both").episodes) == 4


def test_notes_and_logs_go_along_with_their_episodes(tmp_path: Path):
    shards = [record(tmp_path / "a", 3, 4), record(tmp_path / "b", 5)]
    for shard, episode in ((shards[0], 1), (shards[1], 0)):
        for name in (NOTES, LOG):
            path = shard / name.format(episode)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{shard.name} {episode}")
    merge(shards, tmp_path / "both")
    for name in (NOTES, LOG):
        there = {k: (tmp_path / "both" / name.format(k)) for k in range(3)}
        assert not there[0].exists()
        assert (there[1].read_text(), there[2].read_text()) == ("a 1", "b 0")


def test_merged_statistics_are_those_of_one_recording(tmp_path: Path):
    merge([record(tmp_path / "a", 7), record(tmp_path / "b", 5)], tmp_path / "both")
    stats = json.loads((tmp_path / "both" / layout.STATS).read_text())
    column = DatasetReader(tmp_path / "both").column("action").astype(float)
    np.testing.assert_allclose(stats["action"]["mean"], column.mean(0))
    np.testing.assert_allclose(stats["action"]["std"], column.std(0), atol=1e-9)


def test_merge_refuses(tmp_path: Path):
    a = record(tmp_path / "a", 2)
    with opened(tmp_path / "b", fps=30):
        pass
    with pytest.raises(DatasetError, match="fps is 30 there and 10 here"):
        merge([a, tmp_path / "b"], tmp_path / "both")
    with pytest.raises(DatasetError, match="already has 1 episodes"):
        merge([a], record(tmp_path / "c", 2))
    with pytest.raises(DatasetError, match="nothing to merge"):
        merge([], tmp_path / "both")
