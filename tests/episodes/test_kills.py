"""SIGKILL at every step of a commit and at random: every committed episode reads, frame for frame, and recording goes on."""

import os
import random
import signal
import time
from pathlib import Path

import pytest

from vla_ros.episodes import edit, layout, rows
from vla_ros.episodes.edit import parts, rewrite
from vla_ros.episodes.lerobot import DatasetWriter
from vla_ros.episodes.memory import Memory
from vla_ros.episodes.reader import DatasetReader
from vla_ros.episodes.recorder import Begin, Commit, End
from vla_ros.episodes.scribe import Scribe

from .bars import decoded
from .test_scribe import CONFIG, FPS, sample

FRAMES, FAILED = 6, 3


def record(path, count, first):
    """Append episodes of FRAMES frames; episode k shows the numbers from FRAMES·k on."""
    scribe = Scribe(DatasetWriter(path, rows.features(CONFIG), FPS, CONFIG.robot), path, FPS, Memory(0, 1))
    for episode in range(first, first + count):
        scribe.do(Begin(f"task {episode % 3}"))
        for number in range(FRAMES):
            scribe.put(sample(number=episode * FRAMES + number))
        scribe.do(End())
        scribe.do(Commit(True))
    scribe.close()


def killed(work, after=None):
    """Do it in a child, which dies by itself or after so many seconds: whether it was killed."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(FAILED)
    if after is not None:
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    assert not os.WIFEXITED(status) or os.WEXITSTATUS(status) == 0, "the child failed by itself"
    return os.WIFSIGNALED(status)


def assert_whole(path):
    """Every episode that counts reads, and shows what it should: their number."""
    reader = DatasetReader(path)
    for episode in reader.episodes:
        for camera in reader.cameras:
            shown = [decoded(image) for image in reader.video(episode.index, camera)]
            assert shown == list(range(episode.index * FRAMES, (episode.index + 1) * FRAMES))
        assert episode.task == f"task {episode.index % 3}"
    assert len(reader.column("success")) == FRAMES * len(reader.episodes)
    return len(reader.episodes)


def dies_at(step, monkeypatch):
    """Count every change that the disk sees; the process is killed right before that one."""
    seen = 0

    def counted(real):
        def call(*arguments, **named):
            nonlocal seen
            if seen == step:
                os.kill(os.getpid(), signal.SIGKILL)
            seen += 1
            return real(*arguments, **named)

        return call

    for name in ("replace", "fsync", "rename"):
        monkeypatch.setattr(os, name, counted(getattr(os, name)))
    monkeypatch.setattr(layout, "move_file", counted(layout.move_file))
    monkeypatch.setattr(edit, "exchange", counted(edit.exchange))


def test_a_kill_at_any_step_of_a_commit_costs_at_most_its_episode(tmp_path, monkeypatch):
    path, episodes, step = tmp_path / "data", 1, 0
    record(path, 1, 0)
    while True:

        def appended(at=step, first=episodes):
            dies_at(at, monkeypatch)
            record(path, 1, first)

        if not killed(appended):
            break
        left = assert_whole(path)
        assert left in (episodes, episodes + 1)
        episodes, step = left, step + 1
    assert step > 15, "the steps of a commit"
    assert assert_whole(path) == episodes + 1
    assert [p.name for p in (path / layout.SCRATCH).iterdir()] == ["lock"]


def test_a_kill_at_any_step_of_a_deletion_leaves_the_old_dataset_or_the_new_one(tmp_path, monkeypatch):
    path, step = tmp_path / "data", 0
    record(path, 3, 0)
    while True:

        def deleted(at=step):
            dies_at(at, monkeypatch)
            rewrite(path, parts(DatasetReader(path), [2]))

        was_killed = killed(deleted)
        left = assert_whole(path)
        assert left in (2, 3)
        if not was_killed:
            break
        if left == 2:
            record(path, 1, 2)
        step += 1
    assert step > 15
    assert left == 2
    assert [p.name for p in tmp_path.iterdir()] == ["data"], "what the killed ones left is gone"


@pytest.mark.slow
def test_a_hundred_kills_at_random_lose_no_committed_episode(tmp_path):
    path, chance, episodes, kills = tmp_path / "data", random.Random(7), 0, 0
    for _ in range(100):
        kills += killed(lambda first=episodes: record(path, 50, first), after=chance.uniform(0.0, 0.15))
        if not Path(path / layout.INFO).exists():
            continue
        left = len(DatasetReader(path).episodes)
        assert left >= episodes
        episodes = left
    assert kills == 100
    assert episodes > 20
    assert assert_whole(path) == episodes
    record(path, 1, episodes)
    assert assert_whole(path) == episodes + 1
