"""Cameras that other nodes publish, under their own names, sizes, encodings and qualities, into our policy and arm nodes."""

import time

import numpy as np
import pytest
from lifecycle_msgs.msg import Transition
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image
from std_srvs.srv import Trigger

from vla_ros import bringup
from vla_ros.cameras.pixels import deliver
from vla_ros.nodes import convert
from vla_ros.nodes.arm import ArmNode
from vla_ros.nodes.policy import PolicyNode
from vla_ros.nodes.process import newest
from vla_ros.values import Intrinsics

from .bed import Processes, small_config
from .test_policy_node import SPEC, Robot, change

REALSENSE = {
    "cameras.wrist.driver": "topic",
    "cameras.wrist.topic": "/camera/camera",
    "cameras.static.driver": "topic",
    "cameras.static.topic": "",
    "cameras.static.image": "rgb/image_raw",
    "cameras.static.info": "rgb/camera_info",
}
"""As docs/cameras.md has it: realsense2_camera at the wrist, azure_kinect_ros_driver above the table."""
RELIABLE, BEST_EFFORT = newest(depth=10), qos_profile_sensor_data


class Driver:
    """A node that publishes whole sensors as realsense2_camera and azure_kinect_ros_driver do."""

    def __init__(self, ros, quality):
        self.node, self.frames, self.broken = ros.node("drivers"), 0, False
        publish = self.node.create_publisher
        self._colour = publish(Image, "/camera/camera/color/image_raw", quality)
        self._colour_info = publish(CameraInfo, "/camera/camera/color/camera_info", quality)
        self._rgb = publish(Image, "/rgb/image_raw", quality)
        self._rgb_info = publish(CameraInfo, "/rgb/camera_info", quality)
        self.pictures = {"wrist": scene(480, 640, 3), "static": scene(720, 1280, 4)}
        self.node.create_timer(1 / 30, self._publish)

    def _publish(self):
        self.frames += 1
        stamp = convert.to_time(time.time_ns())
        for image, info, name, encoding, frame_id in (
            (self._colour, self._colour_info, "wrist", "rgb8", "camera_color_optical_frame"),
            (self._rgb, self._rgb_info, "static", "bgra8", "rgb_camera_link"),
        ):
            pixels = self.pictures[name]
            pixels[:8, :8] = self.frames % 256  # a sensor's noise, for what is delivered of it
            pixels[300:308, 600:608] = self.frames % 256
            image.publish(message(pixels, "mono16" if self.broken else encoding, stamp, frame_id))
            info.publish(whole(pixels, stamp, frame_id))


def scene(height, width, channels):
    return np.random.default_rng(5).integers(0, 256, (height, width, channels), np.uint8)


def message(pixels, encoding, stamp, frame_id):
    height, width, channels = pixels.shape
    made = Image(height=height, width=width, encoding=encoding, step=width * channels)
    made.header.stamp, made.header.frame_id, made.data = stamp, frame_id, pixels.tobytes()
    return made


def whole(pixels, stamp, frame_id):
    """What drivers say of a whole sensor: no roi, no binning, the factory's numbers."""
    height, width = pixels.shape[:2]
    made = CameraInfo(height=height, width=width, distortion_model="rational_polynomial", d=[0.5] * 8)
    made.k = [600.0, 0.0, width / 2, 0.0, 600.0, height / 2, 0.0, 0.0, 1.0]
    made.header.stamp, made.header.frame_id = stamp, frame_id
    return made


@pytest.mark.parametrize("quality", [RELIABLE, BEST_EFFORT], ids=["reliable", "best-effort"])
def test_the_policy_thinks_on_what_other_drivers_publish(ros, monkeypatch, quality):
    seen = {}
    put = PolicyNode._image_callback

    def watched(self, name, camera):
        given = put(self, name, camera)

        def see(received):
            given(received)
            seen[name] = self._observer._frames[name][-1].image if name in self._observer._frames else None

        return see

    monkeypatch.setattr(PolicyNode, "_image_callback", watched)
    driver, robot = Driver(ros, quality), Robot(ros)  # whose own cameras nobody listens to
    ros.add(PolicyNode, **{"policy.bundle": SPEC, "deadlines.skew": 0.3} | REALSENSE)
    assert change(ros, robot, Transition.TRANSITION_CONFIGURE)
    assert change(ros, robot, Transition.TRANSITION_ACTIVATE)
    robot.say("go there")
    robot.until(lambda: robot.chunks and robot.chunks[-1].points, "no chunk")
    cameras = small_config().cameras
    rgb = {"wrist": driver.pictures["wrist"], "static": driver.pictures["static"][:, :, 2::-1]}
    for name, camera in cameras.items():
        wanted = deliver(rgb[name], camera.roi, camera.binning)
        assert seen[name].shape == wanted.shape
        assert (seen[name] == wanted).mean() > 0.98  # all but the corners that go on changing
    driver.broken = True
    robot.until(lambda: robot.status.says("/rgb/image_raw: encoding is 'mono16'"), "not named")
    driver.broken = False
    robot.until(lambda: robot.chunks[-1].points, "does not go on")


def test_a_driver_of_another_size_is_named_with_what_would_fit(ros):
    driver, robot = Driver(ros, RELIABLE), Robot(ros)
    driver.pictures["wrist"] = scene(720, 1280, 3)
    ros.add(PolicyNode, **{"policy.bundle": SPEC, "deadlines.skew": 0.3} | REALSENSE)
    assert change(ros, robot, Transition.TRANSITION_CONFIGURE)
    assert change(ros, robot, Transition.TRANSITION_ACTIVATE)
    robot.say("go there")
    robot.until(lambda: robot.status.says("size is 1280×720, wanted is 80×60"), "not named")
    assert robot.status.says("or its whole sensor, 640×480")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A runtime folder with the twin and the servo in it."""
    folder = tmp_path_factory.mktemp("runtime")
    config = bringup.prepare(small_config(), folder)
    with Processes() as processes:
        for process in bringup.processes(config):
            if process.name in ("twin", "servo"):
                processes.start(*process.command(folder)[2:])
        yield folder


@pytest.mark.parametrize("quality", [RELIABLE, BEST_EFFORT], ids=["reliable", "best-effort"])
def test_the_arm_knows_that_the_cameras_of_other_drivers_live(ros, folder, quality):
    probe = ros.node("probe")
    ros.add(ArmNode, runtime=str(folder), **REALSENSE)

    def in_the_way():
        return ros.call(probe, Trigger, "/arm/enable", Trigger.Request()).message

    ros.spin_until(lambda: "no sign of life from the policy" in in_the_way(), "the arm does not answer")
    ros.spin_until(lambda: "wrist" in in_the_way() and "static" in in_the_way(), "cameras are not missed")
    Driver(ros, quality)
    ros.spin_until(lambda: "camera" not in in_the_way(), "cameras are not seen")
    assert "no sign of life from the policy" in in_the_way()


def test_a_camera_info_with_the_drivers_own_numbers_is_no_complaint():
    pixels = scene(480, 640, 3)
    camera = convert.to_intrinsics(whole(pixels, convert.to_time(0), ""))
    assert camera == Intrinsics(640, 480, 600.0, 600.0, 320.0, 240.0, (0, 0, 640, 480), 1, (0.5,) * 8)
