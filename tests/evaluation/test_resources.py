"""What counts as growth and as a leak: on made-up samples, on this process, and on files of this test's own."""

import os
import subprocess
import sys

import numpy as np
import pytest

from vla_ros.evaluation import resources
from vla_ros.evaluation.resources import Holding, growth, holding, leaked
from vla_ros.shared import Block


def samples(memory, files=10, threads=4):
    return [Holding(float(m), files, threads) for m in memory]


def test_what_warms_up_and_then_stays_does_not_grow():
    memory = np.r_[np.linspace(50, 100, 30), np.full(60, 100.0)]
    grown = growth(np.arange(90.0), samples(memory), 30.0)
    assert grown.slope == pytest.approx(0.0, abs=1e-6)
    assert grown.bounded()


def test_a_leak_is_found_with_its_slope():
    times = np.arange(0.0, 600.0)
    grown = growth(times, samples(100 + times / 60), 180.0)
    assert grown.slope == pytest.approx(60.0)
    assert grown.memory == pytest.approx(7 * 0.9, abs=0.1)
    assert not grown.bounded()


def test_open_files_and_threads_count_as_well():
    times, flat = np.arange(0.0, 100.0), np.full(100, 80.0)
    more = [Holding(80.0, 10 + k // 10, 4) for k in range(100)]
    assert growth(times, samples(flat), 0.0).bounded()
    assert not growth(times, more, 0.0).bounded()
    assert not growth(times, [Holding(80.0, 10, 4 + k // 10) for k in range(100)], 0.0).bounded()


def test_a_soak_that_is_too_short_says_so():
    with pytest.raises(ValueError, match="2 samples behind a warm-up of 8 s: measure for longer"):
        growth(np.arange(10.0), samples(np.ones(10)), 8.0)


def test_what_a_process_holds(tmp_path):
    before = holding(os.getpid())
    with (tmp_path / "one").open("w"), (tmp_path / "two").open("w"):
        assert holding(os.getpid()).files == before.files + 2
    assert 10 < before.memory < 10_000
    assert before.threads >= 1


def test_processes_that_are_gone_are_not_alive():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    pids = {"child": child.pid, "self": os.getpid()}
    assert resources.alive(pids) == ["child", "self"]
    child.communicate(b"\n")
    assert resources.alive(pids) == ["self"]
    assert list(resources.holdings(pids)) == ["self"]


def test_a_file_that_nobody_holds_is_leaked_and_one_in_use_is_not(tmp_path):
    block = Block.create(tmp_path / "block", np.dtype([("stamp", "i8")]))
    inner = Block.create(tmp_path / "folder" / "block", np.dtype([("stamp", "i8")]))
    (tmp_path / "orphan").touch()
    me = {"me": os.getpid()}
    assert resources.used(me, tmp_path) == {"block", "folder"}
    assert leaked(["block", "folder", "orphan", "never"], tmp_path) == ["orphan"]
    inner.close()
    block.close(unlink=True)
    assert leaked(["block", "folder", "orphan"], tmp_path) == ["folder", "orphan"]
    assert resources.shared_files(tmp_path) == {"folder", "orphan"}
