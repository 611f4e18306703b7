"""Nothing is recorded on bad ground: the real recorder hears cameras and an arm that are played to it, and something is wrong."""

import json
import time

import numpy as np
import pytest
from std_srvs.srv import Trigger

from vla_ros.clock import SECOND
from vla_ros.config import load
from vla_ros.episodes import barcode, rows
from vla_ros.episodes.lerobot import DatasetWriter
from vla_ros.episodes.reader import DatasetReader
from vla_ros.nodes.recorder import RecorderNode
from vla_ros.nodes.stage import StageNode

from .bed import PATIENCE, Statuses

TASKS = ["pick up the red cube", "push the blue cube"]
SETTINGS = {"record.park": False, "record.rate_tolerance": 0.4, "record.memory": 3.0, "deadlines.camera_hold": 1.0}
SETTINGS |= {"deadlines.camera_disarm": 4.0}
"""A camera at half its rate is beyond the tolerance, and a machine that is busy elsewhere is not."""


class Bench:
    """A recorder, the stage in front of it, and somebody who presses its buttons."""

    def __init__(self, ros, output):
        self.ros, self.path = ros, output
        self.probe = ros.node()
        self.status = Statuses(self.probe, "/recorder/status", "recorder")
        self.stage = ros.add(StageNode)
        self.recorder = ros.add(RecorderNode, **{"record.output": str(output), "record.tasks": TASKS, **SETTINGS})

    @property
    def values(self):
        return self.status.values()

    def until(self, condition, what):
        self.ros.spin_until(condition, what, 2 * PATIENCE)

    def phase(self, name):
        self.until(lambda: self.values.get("phase") == name, f"{name}: {self.values}")

    def live(self, seconds):
        end = time.monotonic() + seconds
        self.until(lambda: time.monotonic() > end, "a while")

    def press(self, name):
        answer = self.ros.call(self.probe, Trigger, f"/recorder/{name}", Trigger.Request())
        return answer.success, answer.message

    def saved(self, count):
        self.until(lambda: self.values.get("episodes") == str(count), f"{count} episodes: {self.values}")
        return DatasetReader(self.path)


@pytest.fixture
def bench(ros, tmp_path):
    made = Bench(ros, tmp_path / "data")
    made.phase("armed")
    return made


def numbers(reader, episode, camera="static"):
    return [barcode.read(image) for image in reader.frames(episode, rows.IMAGES + camera)]


def test_a_camera_at_half_its_rate_is_named_before_anything_starts(bench):
    bench.stage.cameras["wrist"].every = 2
    bench.phase("idle")
    done, text = bench.press("start")
    assert not done
    assert "camera wrist gives 1" in text
    assert "configured are 30" in text
    assert bench.press("save")[0] is False
    bench.stage.cameras["wrist"].every = 1
    bench.phase("armed")
    assert bench.press("start")[0]


def test_an_unplugged_camera_ends_the_take_which_is_no_success_and_the_next_is_good(bench):
    bench.press("start")
    bench.live(1.0)
    bench.stage.cameras["static"].silent = True
    bench.phase("deciding")
    assert "camera static is silent" in bench.values["obstacle"]
    done, text = bench.press("success")
    assert not done
    assert "camera static is silent" in text
    assert bench.press("failure")[0]
    reader = bench.saved(1)
    assert reader.episodes[0].length > 10
    assert not reader.column("success").any()
    assert not bench.press("start")[0], "it is still unplugged"
    bench.stage.cameras["static"].silent = False
    bench.phase("armed")
    bench.press("start")
    bench.live(0.5)
    bench.press("success")
    reader = bench.saved(2)
    assert all(b - a in (0, 1) for a, b in zip(numbers(reader, 1), numbers(reader, 1)[1:], strict=False))


def test_a_clock_that_steps_ends_the_take_and_nothing_starts_until_stamps_are_believed(bench):
    bench.press("start")
    bench.live(0.5)
    clock, ros = bench.recorder._time, bench.recorder._time._ros
    clock._ros = lambda: ros() + SECOND  # as `date --set` does to every process of the host
    bench.phase("deciding")
    assert "the clock was set" in bench.values["obstacle"]
    assert not bench.press("success")[0]
    assert bench.press("discard")[0]
    done, text = bench.press("start")
    assert not done
    assert "the clock was set" in text or "waiting" in text or "measuring" in text
    clock._ros = ros
    bench.phase("armed")
    bench.press("start")
    bench.live(0.5)
    assert bench.press("success")[0]
    stamps = bench.saved(1).column(rows.STAMP + "static")[:, 0]
    assert (np.diff(stamps) >= 0).all()


def test_the_last_seconds_are_saved_once_and_no_more_of_them_than_are_remembered(bench):
    bench.live(5.0)
    assert bench.press("save")[0]
    assert bench.press("failure")[0]
    first = bench.saved(1)
    assert 2.0 < first.episodes[0].length / 30 < 3.6, "s that are remembered"
    bench.live(0.7)
    assert bench.press("save")[0]
    assert bench.press("success")[0]
    second = bench.saved(2)
    assert max(numbers(second, 0)) < min(numbers(second, 1)), "no frame twice"
    assert second.episodes[1].task == TASKS[1]


def test_every_frame_that_comes_is_in_the_video_of_its_camera_once(bench):
    bench.press("start")
    bench.live(3.0)
    bench.press("success")
    reader = bench.saved(1)
    for camera in ("static", "wrist"):
        shown = numbers(reader, 0, camera)
        missing = set(range(min(shown), max(shown) + 1)) - set(shown)
        assert len(missing) <= int(bench.values["lost"]) + int(bench.values["skipped"]), (camera, missing)


def other(path, robot="kinova_gen3_2f85", fps=30, drop=()):
    """A dataset of another kind, with one episode."""
    config = load("twin")
    features = {k: v for k, v in rows.features(config).items() if not any(name in k for name in drop)}
    with DatasetWriter(path, features, fps, robot) as writer:
        writer.begin("a")
        images = {k: np.zeros(f.shape, np.uint8) for k, f in features.items() if f.is_video}
        writer.add(images, {k: np.zeros(f.shape, f.dtype) for k, f in features.items() if not f.is_video})
        writer.commit()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"robot": "ur5"}, ("ur5", "kinova_gen3_2f85")),
        ({"fps": 15}, ("15", "30")),
        ({"drop": ("wrist",)}, ("observation.images.wrist", "on one side only")),
    ],
)
def test_a_dataset_of_another_robot_rate_or_camera_set_is_refused_and_stays_as_it_is(
    processes, tmp_path, changes, says
):
    other(tmp_path / "data", **changes)
    before = (tmp_path / "data" / "meta" / "info.json").read_bytes()
    process = processes.start("vla_ros.nodes.recorder", "--ros-args", *told(tmp_path / "data"))
    assert process.ends() == 2
    assert all(word in process.text for word in says), process.text
    assert (tmp_path / "data" / "meta" / "info.json").read_bytes() == before


def test_a_second_recorder_on_a_dataset_is_refused(processes, tmp_path):
    writer = DatasetWriter(tmp_path / "data", rows.features(load("twin")), 30, "kinova_gen3_2f85")
    process = processes.start("vla_ros.nodes.recorder", "--ros-args", *told(tmp_path / "data"))
    assert process.ends() == 2
    assert "being written by another writer" in process.text
    writer.close()


@pytest.mark.parametrize(("tasks", "rate", "says"), [(["", " "], 30.0, "record.tasks"), (["a"], 29.97, "whole number")])
def test_an_empty_instruction_and_a_rate_that_lerobot_cannot_hold_are_refused(processes, tmp_path, tasks, rate, says):
    given = [*told(tmp_path / "data", tasks), "-p", f"cameras.static.rate:={rate}"]
    process = processes.start("vla_ros.nodes.recorder", "--ros-args", *given)
    assert process.ends() == 2
    assert says in process.text
    assert not (tmp_path / "data").exists()


def told(output, tasks=("a",)):
    return ["-p", f"record.output:={output}", "-p", f"record.tasks:={json.dumps(list(tasks))}"]
