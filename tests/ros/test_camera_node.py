"""The camera node: stamps without the device's latency, and faults on demand, over DDS."""

import time

import numpy as np
import pytest
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, Image

from vla_ros.clock import MILLISECOND, SECOND
from vla_ros.nodes import convert
from vla_ros.nodes.camera import CameraNode
from vla_ros.nodes.process import newest
from vla_ros.shared import Block
from vla_ros.twin import blocks
from vla_ros.twin.physics import Twin

from .bed import small_config

PERIOD = 4 * MILLISECOND


def fault(text):
    return Parameter("fault", value=text)


class Watched:
    """A camera node on a twin that stands still, and everything that it publishes: arrival, stamp (ROS time, ns), bytes."""

    def __init__(self, ros, folder, **parameters):
        self._ros = ros
        self._twin, self._block = Twin(small_config()), Block.create(folder / "twin_state", blocks.STATE)
        self.images, self.infos = [], []
        probe = ros.node()
        probe.create_timer(PERIOD / SECOND, self._publish)
        self._publish()
        probe.create_subscription(Image, "/wrist_camera/color/image_raw", self._see, newest())
        probe.create_subscription(CameraInfo, "/wrist_camera/color/camera_info", self.infos.append, newest())
        self.node = ros.add(CameraNode, camera="wrist", runtime=str(folder), **parameters)

    def _publish(self):
        twin = self._twin
        state = blocks.pack_state(time.monotonic_ns(), twin.now, 1, twin.data.qpos, twin.episode.look())
        self._block.write(state)

    def _see(self, message):
        self.images.append((time.time_ns(), convert.from_time(message.header.stamp), bytes(message.data)))

    def fresh(self, count):
        seen = len(self.images)
        self._ros.spin_until(lambda: len(self.images) >= seen + count or self.node.failure, "no frames")
        assert not self.node.failure
        return self.images[seen:]


@pytest.fixture
def watched(ros, tmp_path):
    return lambda **parameters: Watched(ros, tmp_path, **parameters)


def test_pictures_of_a_scene_at_rest_all_differ_and_have_their_own_stamps(watched):
    camera = watched()
    images = camera.fresh(5)
    assert len({data for _, _, data in images}) == 5
    stamps = [stamp for _, stamp, _ in images]
    assert stamps == sorted(set(stamps))
    assert {convert.from_time(info.header.stamp) for info in camera.infos} & set(stamps)


def test_the_latency_of_the_device_is_taken_off_its_stamps(watched):
    ages = [arrival - stamp for arrival, stamp, _ in watched(**{"cameras.wrist.latency": 0.4}).fresh(5)]
    assert min(ages) >= 0.4 * SECOND - PERIOD


def test_a_camera_that_stamps_at_delivery_is_put_right_by_its_latency(watched):
    images = watched(**{"cameras.wrist.latency": 0.2, "twin.delays.wrist": 0.2}).fresh(5)
    assert min(arrival - stamp for arrival, stamp, _ in images) >= 0.2 * SECOND - PERIOD


def test_a_freeze_on_demand_repeats_the_picture_under_new_stamps(watched):
    camera = watched()
    camera.fresh(2)
    assert not camera.node.set_parameters([fault("freeze")])[0].successful
    assert camera.node.set_parameters([fault("freeze 60")])[0].successful
    camera.fresh(1)  # one may have been on its way
    frozen = camera.fresh(5)
    assert len({data for _, _, data in frozen}) == 1
    assert len({stamp for _, stamp, _ in frozen}) == 5


def test_a_disconnected_camera_is_silent_for_as_long_as_it_was_asked_to(watched):
    camera = watched()
    camera.fresh(2)
    camera.node.set_parameters([fault("disconnect 0.6")])
    camera.fresh(5)
    gaps = np.diff([stamp for _, stamp, _ in camera.images])
    assert gaps.max() > 0.5 * SECOND


def test_faults_that_are_not_allowed_are_refused(watched):
    camera = watched(faults_allowed=False)
    result = camera.node.set_parameters([fault("freeze 60")])[0]
    assert not result.successful
    assert "faults_allowed" in result.reason
    assert len({data for _, _, data in camera.fresh(4)}) == 4


def test_the_command_breaks_a_camera_of_a_running_service(ros, watched, processes):
    camera = watched()
    camera.fresh(2)
    command = processes.start("vla_ros.cli", "fault", "camera", "freeze", "--seconds", "60")
    ros.spin_until(lambda: command.popen.poll() is not None, "the command did not end")
    assert command.ends() == 0, command.text
    assert "camera: freeze 60" in command.text
    camera.fresh(1)
    assert len({data for _, _, data in camera.fresh(4)}) == 1
