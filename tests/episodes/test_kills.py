"""SIGKILL at every step of a commit and at random: every committed episode reads, frame for frame, and recording goes on."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
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
from vla_ros.episodes.video import VideoEncoder

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


TOUCHES = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree", "shutil.copyfile")
"""Audit events (docs.python.org, "Audit events table") of what changes a file system."""


def dies_at(step, monkeypatch, root):
    """Count what is done to the files below `root`, every frame that is encoded and every end of a video; the process is killed right

    before the one of that number.
    """
    seen = 0

    def count():
        nonlocal seen
        if seen == step:
            os.kill(os.getpid(), signal.SIGKILL)
        seen += 1

    def counted(real):
        def call(*arguments, **named):
            count()
            return real(*arguments, **named)

        return call

    def heard(event, arguments):
        if event in TOUCHES and str(root) in str(arguments[0]):
            count()

    sys.addaudithook(heard)  # for good, which in a child that dies is not for long
    monkeypatch.setattr(os, "fsync", counted(os.fsync))
    monkeypatch.setattr(layout, "move_file", counted(layout.move_file))
    monkeypatch.setattr(edit, "exchange", counted(edit.exchange))
    for name in ("add", "close"):
        monkeypatch.setattr(VideoEncoder, name, counted(getattr(VideoEncoder, name)))


def test_a_kill_at_any_step_of_a_take_and_its_commit_costs_at_most_its_episode(tmp_path, monkeypatch):
    path, episodes, step = tmp_path / "data", 1, 0
    record(path, 1, 0)
    while True:

        def appended(at=step, first=episodes):
            dies_at(at, monkeypatch, path)
            record(path, 1, first)

        if not killed(appended):
            break
        left = assert_whole(path)
        assert left in (episodes, episodes + 1)
        episodes, step = left, step + 1
    assert step > 50, "the frames of a take and the steps of its commit"
    assert assert_whole(path) == episodes + 1
    assert [p.name for p in (path / layout.SCRATCH).iterdir()] == ["lock"]


def test_a_kill_at_any_step_of_a_deletion_leaves_the_old_dataset_or_the_new_one(tmp_path, monkeypatch):
    path, step = tmp_path / "data", 0
    record(path, 3, 0)
    while True:

        def deleted(at=step):
            dies_at(at, monkeypatch, path)
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
@pytest.mark.timeout(600)
def test_a_hundred_kills_at_random_lose_no_committed_episode(tmp_path):
    path, chance, episodes, kills = tmp_path / "data", random.Random(7), 0, 0
    assert not killed(lambda: record(tmp_path / "pace", 1, 0))
    began = time.monotonic()
    assert not killed(lambda: record(tmp_path / "pace", 4, 1))
    pace = (time.monotonic() - began) / 4
    for _ in range(100):
        kills += killed(lambda first=episodes: record(path, 500, first), after=chance.uniform(0.0, 2 * pace))
        if not Path(path / layout.INFO).exists():
            continue
        left = len(DatasetReader(path).episodes)
        assert left >= episodes
        episodes = left
    assert kills == 100
    assert episodes >= 5, "some were committed between the kills"
    assert assert_whole(path) == episodes
    record(path, 1, episodes)
    assert assert_whole(path) == episodes + 1


def may_mount():
    """Whether this machine lets a test have a file system of its own."""
    words = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return bool(shutil.which("unshare")) and subprocess.run(words, capture_output=True).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(not may_mount(), reason="needs a mount namespace (unshare -rm)")
def test_a_disk_that_fills_at_any_stage_costs_one_take_and_recording_goes_on(tmp_path):
    words = ["unshare", "-rm", sys.executable, "-m", "tests.episodes.full_disk", str(tmp_path)]
    done = subprocess.run(words, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) > 15
    for one in found:
        assert one["filled"]
        assert "No space left" in one["said"], one
        assert one["read"] == one["told"]
        assert one["again"], one
        assert one["after"] == one["read"] + 1
    assert len({one["read"] for one in found}) > 3, "it was full after another number of episodes"
