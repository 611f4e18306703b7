"""The recorder in the whole service: episodes by hand come out as a dataset with its log, whatever is killed and whenever."""

import contextlib
import json
import os
import signal
import time

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped, TwistStamped
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import JointState

from vla_ros.commands.live import enable
from vla_ros.config import load
from vla_ros.episodes import rows
from vla_ros.episodes.reader import DatasetReader
from vla_ros.episodes.scribe import NOTES
from vla_ros.nodes import convert
from vla_ros.nodes.client import Client
from vla_ros.nodes.message_text import definition
from vla_ros.nodes.process import newest
from vla_ros.nodes.service import Service

from .bed import PATIENCE

mcap_reader = pytest.importorskip("mcap.reader")
mcap_ends = pytest.importorskip("mcap.exceptions")

TASKS = ["pick up the red cube", "push the blue cube"]


def config(output, **settings):
    given = {"policy.bundle": "constant:0.46,0.05,0.18", "record.output": output, "record.tasks": json.dumps(TASKS)}
    given |= {"record.rate_tolerance": 0.95, "deadlines.camera_hold": 1.0, "deadlines.camera_disarm": 4.0}
    given |= {"deadlines.feedback_hold": 0.5, "deadlines.feedback_stop": 4.0} | settings
    return load("twin", overrides=[f"{name}={value}" for name, value in given.items()])


class Person:
    """Presses the recorder's buttons and moves the arm."""

    def __init__(self, client):
        self.client, self.report = client, client.hear("/recorder/status", "recorder")
        node = client.node
        self._twist = node.create_publisher(TwistStamped, "/teleop/twist", newest(reliable=False))
        self._grip = node.create_publisher(JointState, "/teleop/gripper", newest(reliable=False))

    @property
    def phase(self):
        return self.report.values.get("phase")

    def until(self, condition, what):
        assert self.client.wait(condition, 2 * PATIENCE), (what, self.report, self.client.arm)

    def press(self, name, sure=True):
        done, text = self.client.trigger(f"/recorder/{name}", PATIENCE)
        assert done or not sure, text
        return done, text

    def move(self, seconds, speed=0.03):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            stamp = self.client.node.get_clock().now().nanoseconds
            self._grip.publish(convert.from_gripper(0.5, stamp))
            self._twist.publish(convert.from_twist(np.array([0, speed, 0, 0, 0, 0]), stamp))
            self.client.spin(0.02)

    def ready(self):
        if self.client.arm.values.get("mode") == "DISARMED":
            enable(self.client, PATIENCE)  # a busy machine may have disarmed it
        self.until(lambda: self.phase == "armed" and self.report.values.get("parking") == "False", "armed")


@pytest.fixture
def recording(monkeypatch, tmp_path):
    """A service with a recorder, and a person at it."""
    monkeypatch.delenv("ROS_DOMAIN_ID")
    with Service(config(tmp_path / "data")) as service, Client(service.check) as client:
        client.bring_up("policy")
        enable(client, PATIENCE)
        yield service, Person(client)


def logged(path):
    """The messages of an MCAP file by topic, as far as it can be read."""
    counts, stamps = {}, []
    with path.open("rb") as file, contextlib.suppress(mcap_ends.EndOfFile):
        for schema, channel, message in mcap_reader.NonSeekingReader(file).iter_messages(log_time_order=False):
            counts[channel.topic] = counts.get(channel.topic, 0) + 1
            stamps.append(message.log_time)
            assert schema.encoding == "ros2msg"
    assert stamps
    return counts, stamps


def test_episodes_by_hand_become_a_dataset(recording, tmp_path):
    _, person = recording
    person.ready()
    assert not person.press("success", sure=False)[0]
    person.press("start")
    person.move(1.5)
    person.press("success")
    person.until(lambda: person.report.values.get("episodes") == "1", "one episode")
    person.ready()
    assert person.report.values["instruction"] == TASKS[1]
    person.press("toggle")
    person.move(0.5)
    person.press("toggle")
    person.until(lambda: person.phase == "deciding", "deciding")
    person.press("discard")
    person.ready()
    person.press("save")
    person.press("failure")
    person.until(lambda: person.report.values.get("episodes") == "2", "two episodes")
    reader = DatasetReader(tmp_path / "data")
    assert [e.task for e in reader.episodes] == TASKS
    hand = slice(0, reader.episodes[0].length)
    assert reader.column("success")[:, 0].tolist() == [
        k < reader.episodes[0].length for k in range(reader.info["total_frames"])
    ]
    moved = reader.column("observation.state")[hand, 1]
    assert moved[-1] - moved[0] > 0.01
    np.testing.assert_allclose(reader.column("action")[hand, 1][:-1], np.diff(moved), atol=1e-4)
    assert np.abs(reader.column("commanded")[hand, 1]).max() > 0.01
    modes = reader.column("mode")[hand, 0]
    names = json.loads((tmp_path / "data" / NOTES.format(0)).read_text())["modes"]
    assert "TELEOP" in {names[mode] for mode in modes}
    assert not reader.column("intervention").any()
    stamps = reader.column(rows.STAMP + "static")[hand, 0]
    assert (np.diff(stamps) >= 0).all()
    for camera in reader.cameras:
        assert len(reader.video(0, camera)) == reader.episodes[0].length
    counts, _ = logged(tmp_path / "data" / "mcap" / "episode-000000.mcap")
    assert counts["/joint_states"] > 50
    assert counts["/teleop/twist"] > 10
    assert [p.name for p in (tmp_path / "data" / "mcap").iterdir()] == ["episode-000000.mcap"]


def test_a_recorder_that_is_killed_keeps_every_episode_and_the_log_of_the_last(recording, tmp_path):
    service, person = recording
    person.ready()
    person.press("start")
    person.move(0.7)
    person.press("success")
    person.until(lambda: person.report.values.get("episodes") == "1", "one episode")
    person.ready()
    person.press("start")
    person.move(2.0)
    pid = service.pids()["recorder"]
    killed = time.time_ns()
    os.kill(pid, signal.SIGKILL)
    assert len(DatasetReader(tmp_path / "data").episodes) == 1
    left = [path for path in (tmp_path / "data" / "mcap").iterdir() if path.name.startswith("take-")]
    assert len(left) == 1
    _, stamps = logged(left[0])
    assert killed - max(stamps) < 1.5e9
    assert max(stamps) - min(stamps) > 0.3e9


def test_a_hand_corrects_a_policy_that_is_recorded_and_hands_back_smoothly(recording, tmp_path):
    """DAgger: the policy drives, the clutch is taken, the clutch is let go, the policy drives on; every row says who did."""
    service, person = recording
    person.ready()
    person.client.instruct("go")
    person.until(lambda: person.client.arm.values.get("mode") == "ACTIVE", "the policy drives")
    person.press("start")
    person.client.sleep(0.6)
    person.move(1.5, speed=-0.04)
    person.until(lambda: person.client.arm.values.get("mode") == "ACTIVE", "the policy drives on")
    person.client.sleep(0.6)
    person.press("success")
    person.client.instruct("")
    person.until(lambda: person.report.values.get("episodes") == "1", "one episode")
    reader = DatasetReader(tmp_path / "data")
    intervention, drives = (reader.column(name)[:, 0] for name in ("intervention", "policy_drives"))
    hand = np.flatnonzero(intervention)
    assert len(hand) > 15
    assert not (intervention & drives).any()
    assert drives[: hand[0]].any()
    assert drives[hand[-1] :].any(), "the policy drove on"
    assert reader.column("commanded")[hand, 1].min() < -0.03
    assert json.loads((tmp_path / "data" / NOTES.format(0)).read_text())["policy"].startswith("constant:")
    assert (
        largest_acceleration(tmp_path / "data" / "mcap" / "episode-000000.mcap") <= service.config.limits.acceleration
    )


def largest_acceleration(path):
    """Of what the tool was told (m/s²), from every command that left: by handing over, too."""
    stamps, ways = [], []
    with path.open("rb") as file:
        for _, channel, message in mcap_reader.NonSeekingReader(file).iter_messages(log_time_order=False):
            if channel.topic == "/arm/command":
                command = deserialize_message(message.data, TwistStamped)
                stamps.append(convert.from_time(command.header.stamp) / 1e9)
                ways.append([command.twist.linear.x, command.twist.linear.y, command.twist.linear.z])
    spans = np.diff(stamps)
    assert len(spans) > 50
    # a command stands for a cycle of the servo, and its stamp is that cycle's to within one
    return (np.linalg.norm(np.diff(ways, axis=0), axis=1) / (spans + 0.01)).max()


def test_what_is_recorded_anew_begins_by_itself_behind_the_parking(recording, tmp_path):
    _, person = recording
    person.ready()
    assert person.report.values["instruction"] == TASKS[0]
    person.press("next")
    person.until(lambda: person.report.values["instruction"] == TASKS[1], "the next instruction")
    person.press("start")
    person.move(1.0)
    away = tool(person)
    person.press("rerecord")
    person.until(lambda: person.report.values["parking"] == "True", "parking")
    assert not person.press("start", sure=False)[0]
    person.until(lambda: person.phase == "recording", "recording again")
    parked = load("twin").record.park_position
    assert np.linalg.norm(tool(person) - parked) < 0.02 < np.linalg.norm(away - parked)
    person.move(0.5)
    person.press("success")
    person.until(lambda: person.report.values.get("episodes") == "1", "one episode")
    reader = DatasetReader(tmp_path / "data")
    assert [episode.task for episode in reader.episodes] == [TASKS[1]]
    begins = reader.column("observation.state")[0, :3]
    assert np.linalg.norm(begins - parked) < 0.02, "nothing of the discarded take is in it"
    person.ready()
    person.move(0.5)
    person.press("park")
    person.ready()
    assert np.linalg.norm(tool(person) - parked) < 0.02


def tool(person):
    """Where the tool is now (3,)."""
    heard = []
    subscription = person.client.node.create_subscription(
        PoseStamped, "/arm/tool_pose", heard.append, newest(reliable=False)
    )
    person.until(lambda: bool(heard), "a tool pose")
    person.client.node.destroy_subscription(subscription)
    return convert.to_pose(heard[-1].pose).position


def test_another_dataset_is_refused_before_anything_starts(processes, tmp_path):
    (tmp_path / "data" / "meta").mkdir(parents=True)
    (tmp_path / "data" / "meta" / "info.json").write_text('{"codebase_version": "v2.1"}')
    words = ["-p", f"record.output:={tmp_path / 'data'}", "-p", "record.tasks:=[a]"]
    process = processes.start("vla_ros.nodes.recorder", "--ros-args", *words)
    assert process.ends() == 2
    assert "v3.0 is needed" in process.text


def test_an_empty_instruction_is_refused(processes, tmp_path):
    process = processes.start("vla_ros.nodes.recorder", "--ros-args", "-p", f"record.output:={tmp_path / 'data'}")
    assert process.ends() == 2
    assert "record.tasks is empty" in process.text
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("kind", [JointState, TwistStamped])
def test_the_definition_of_a_message_is_that_of_its_fields(kind):
    decoder = pytest.importorskip("mcap_ros2._dynamic")
    from rclpy.serialization import serialize_message

    from vla_ros.nodes.message_text import name_of

    message = kind()
    message.header.frame_id = "base_link"
    message.header.stamp.sec = 7
    if kind is JointState:
        message.name, message.position = ["a", "b"], [1.0, 2.0]
    decode = decoder.generate_dynamic(name_of(kind), definition(kind))[name_of(kind)]
    got = decode(serialize_message(message))
    assert got.header.frame_id == "base_link"
    assert got.header.stamp.sec == 7
    if kind is JointState:
        assert list(got.position) == [1.0, 2.0]
        assert list(got.name) == ["a", "b"]
