"""Depth that is published, through the recorder node, into the dataset: each row's own, to the millimetre."""

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import Image, JointState
from std_srvs.srv import Trigger

from vla_ros.config import load
from vla_ros.episodes.reader import DatasetReader
from vla_ros.nodes import convert
from vla_ros.nodes.process import newest
from vla_ros.nodes.recorder import RecorderNode

from ..episodes.bars import coded, decoded
from .bed import Statuses, arm_at

CONFIG = load("twin")
KEY = "observation.depth.wrist"
SIZES = {name: (c.roi[3] // c.binning, c.roi[2] // c.binning) for name, c in CONFIG.cameras.items()}
TOPIC = "/wrist_camera/aligned_depth_to_color/image_raw"


def surface(number):
    """Depth in mm that names its number, with a hole."""
    depth = 400 + number + np.arange(SIZES["wrist"][0] * SIZES["wrist"][1]).reshape(SIZES["wrist"])
    depth[10:20, 10:20] = 0
    return depth.astype(np.uint16)


class Robot:
    """Publishes what a service does: two cameras, one of them with depth, and an arm; picture k says k."""

    def __init__(self, ros, encoding):
        self._ros, self._encoding, self._number = ros, encoding, 0
        self.node = node = ros.node()
        self._writers = {name: convert.ImageWriter(size, "optical") for name, size in SIZES.items()}
        topics = {name: camera.image_topic for name, camera in CONFIG.cameras.items()}
        self._images = {name: node.create_publisher(Image, topic, newest()) for name, topic in topics.items()}
        self._depth = node.create_publisher(Image, TOPIC, newest())
        self._joints = node.create_publisher(JointState, "/joint_states", newest(reliable=False))
        self._tool = node.create_publisher(PoseStamped, "/arm/tool_pose", newest(reliable=False))
        self._arm = node.create_publisher(DiagnosticArray, "/arm/status", newest(depth=10))
        self._status = Statuses(node, "/recorder/status", "recorder")
        self.silent, self.sent = False, {}
        node.create_timer(0.01, self._move)
        node.create_timer(1 / 30, self._look)

    def _now(self):
        return self.node.get_clock().now().nanoseconds

    def _move(self):
        joints, tool = convert.from_arm(arm_at(0), self._now())
        self._joints.publish(joints)
        self._tool.publish(tool)
        values = {"mode": "TELEOP", "verdict": "TELEOP", "gripper_command": 0.25}
        status = convert.diagnostic("arm", DiagnosticStatus.OK, "", values)
        self._arm.publish(convert.diagnostics(self._now(), [status]))

    def _look(self):
        stamp, number = self._now(), self._number % 4096
        self._number += 1
        self.sent[stamp] = number
        if not self.silent:
            self._depth.publish(self._message(surface(number), stamp))
        for name, publisher in self._images.items():
            publisher.publish(self._writers[name].write(coded(number, SIZES[name]), stamp))

    def _message(self, depth, stamp):
        if self._encoding == "32FC1":
            return convert.from_depth(np.where(depth > 0, depth / 1000, np.nan).astype(np.float32), stamp, "optical")
        height, width = depth.shape
        message = Image(
            height=height, width=width, encoding="16UC1", step=2 * width, data=depth.astype("<u2").tobytes()
        )
        message.header.stamp = convert.to_time(stamp)
        return message

    def until(self, condition):
        self._ros.spin_until(lambda: condition(self._status.values()), self._status.got[-1:])

    def look_on(self, pictures):
        last = self._number + pictures
        self._ros.spin_until(lambda: self._number >= last)

    def press(self, name):
        answer = self._ros.call(self.node, Trigger, f"/recorder/{name}", Trigger.Request())
        assert answer.success, answer.message


@pytest.fixture
def recorder(ros, tmp_path):
    """Starts the recorder of a dataset with depth."""
    settings = {"record.output": str(tmp_path / "data"), "record.tasks": ["look"], "record.log": False}
    settings |= {"cameras.wrist.depth": True, "record.depth": True, "record.park": False}
    return ros.add(RecorderNode, **settings, **{"record.rate_tolerance": 0.9, "deadlines.camera_hold": 0.5})


@pytest.mark.parametrize("encoding", ["32FC1", "16UC1"])
def test_depth_of_a_topic_is_in_the_rows_of_its_pictures(ros, recorder, tmp_path, encoding):
    robot = Robot(ros, encoding)
    robot.until(lambda values: values.get("phase") == "armed")
    for count, press in ((1, "start"), (2, "save")):
        if press == "save":
            robot.look_on(20)
        robot.press(press)
        if press == "start":
            robot.until(lambda values: int(values["frames"]) >= 20)
        robot.press("success")
        robot.until(lambda values, count=count: values["episodes"] == str(count))
        robot.until(lambda values: values.get("phase") == "armed")
    assert recorder.failure == ""
    reader = DatasetReader(tmp_path / "data")
    assert all(episode.length > 10 for episode in reader.episodes)
    seen, measured = (reader.column(f"observation.stamp_ns.{name}")[:, 0].tolist() for name in ("wrist", "depth.wrist"))
    colours = [decoded(image) for e in reader.episodes for image in reader.frames(e.index, "observation.images.wrist")]
    depths = [depth for e in reader.episodes for depth in reader.depth(e.index, KEY)]
    assert colours == [robot.sent[stamp] for stamp in seen]
    assert all(np.array_equal(depth, surface(robot.sent[stamp])) for depth, stamp in zip(depths, measured, strict=True))
    together = [a == b for a, b in zip(seen, measured, strict=True)]
    assert sum(together) > 0.5 * len(together), "DDS may lose a depth now and then; the others are their picture's own"


def test_depth_that_falls_silent_ends_the_episode_and_is_named(ros, recorder):
    robot = Robot(ros, "32FC1")
    robot.until(lambda values: values.get("phase") == "armed")
    robot.press("start")
    robot.until(lambda values: int(values["frames"]) >= 5)
    robot.silent = True
    robot.until(lambda values: "camera wrist, its depth, is silent" in values["obstacle"])
    robot.until(lambda values: values["phase"] == "deciding")
