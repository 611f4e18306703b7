"""Plays cameras and an arm to a recorder: noisy pictures with their number as a bar code, and an arm that goes to and fro.

For `vla-ros bench record` and the tests; nothing in here sees or moves.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseStamped, TwistStamped
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image, JointState

from vla_ros.clock import SECOND
from vla_ros.config import CameraConfig
from vla_ros.episodes import barcode
from vla_ros.geometry import Array, Pose
from vla_ros.kinematics import TOOL_DOWN
from vla_ros.nodes import convert, parameters
from vla_ros.nodes.camera_topics import intrinsics
from vla_ros.nodes.process import newest, run_node
from vla_ros.twin.noise import SensorNoise
from vla_ros.values import ArmState, Mode, Verdict
from vla_ros.values import Image as Picture

NOISE = 4.0
"""Grey levels, standard deviation: what a small sensor shows by indoor light."""
ARM_RATE, STATUS_RATE = 100.0, 40.0
CENTRE, REACH, TURNS = (0.45, 0.0, 0.2), 0.1, 0.25
"""m of the tool's way to either side along y, and how often a second it comes back."""


class Camera:
    """One camera of the stage: what it shows, and how often. `every`: of so many frames one is published, as by a slow camera."""

    def __init__(self, node: Node, name: str, camera: CameraConfig) -> None:
        self.every, self.silent, self.published = 1, False, 0
        self._frame_id = f"{name}_optical_frame"
        height, width = intrinsics(camera).image_shape
        self._scene, self._noise = _scene(height, width), SensorNoise(NOISE, len(name))
        self._info = convert.from_intrinsics(intrinsics(camera), self._frame_id)
        self._images = node.create_publisher(Image, camera.image_topic, newest())
        self._infos = node.create_publisher(CameraInfo, camera.info_topic, newest())
        self._writer = convert.ImageWriter((height, width), self._frame_id)

    def show(self, number: int, stamp: int) -> None:
        """Publish frame `number` (ns, ROS time), unless it is silent, or leaves this one out."""
        if self.silent or number % self.every:
            return
        image = self._noise.add(self._scene)
        barcode.draw(image, number)
        message = self._writer.write(image, stamp)
        self._info.header.stamp = message.header.stamp
        self._images.publish(message)
        self._infos.publish(self._info)
        self.published += 1


class StageNode(Node):
    """All cameras at the reference camera's rate and at its moments; the arm's topics at their own."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__("stage", **arguments)
        self.failure = ""
        config = parameters.read(self)
        self.cameras = {name: Camera(self, name, camera) for name, camera in config.cameras.items()}
        self._number, self._period = 0, round(SECOND / config.cameras[config.reference_camera].rate)
        self._began, self._slot = self._now(), 0
        self._joints = self.create_publisher(JointState, "/joint_states", newest(reliable=False))
        self._tool = self.create_publisher(PoseStamped, "/arm/tool_pose", newest(reliable=False))
        self._command = self.create_publisher(TwistStamped, "/arm/command", newest(depth=10))
        self._status = self.create_publisher(DiagnosticArray, "/arm/status", newest(depth=10))
        self.create_timer(self._period / SECOND, self._look)
        self.create_timer(1.0 / ARM_RATE, self._feel)
        self.create_timer(1.0 / STATUS_RATE, self._obey)

    def _now(self) -> int:
        return self.get_clock().now().nanoseconds

    def _look(self) -> None:
        """Exposed when it was due, as by a sensor's own clock, however late this is called."""
        self._slot = max(self._slot + 1, (self._now() - self._began) // self._period)
        stamp = self._began + self._slot * self._period
        for camera in self.cameras.values():
            camera.show(self._number, stamp)
        self._number += 1

    def _feel(self) -> None:
        stamp = self._now()
        zeros, pose = np.zeros(7), Pose(_place(stamp), TOOL_DOWN)
        joints, tool = convert.from_arm(ArmState(stamp, zeros, zeros, zeros, pose, 0.0, np.zeros(3)), stamp)
        self._joints.publish(joints)
        self._tool.publish(tool)

    def _obey(self) -> None:
        stamp = self._now()
        way = (_place(stamp + SECOND // 100) - _place(stamp)) * 100
        self._command.publish(convert.from_twist(np.array([*way, 0.0, 0.0, 0.0]), stamp))
        values = {"mode": Mode.TELEOP.name, "verdict": Verdict.TELEOP.name, "gripper_command": 0.0}
        status = convert.diagnostic("arm", DiagnosticStatus.OK, "teleop", values)
        self._status.publish(convert.diagnostics(stamp, [status]))

    def close(self) -> None:
        """Nothing to let go of."""


def _scene(height: int, width: int) -> Picture:
    """A table with things on it: colours that run, and edges."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    scene = np.stack([80 + 60 * x / width, 110 + 40 * y / height, 120 - 30 * x / width], axis=2)
    for k, colour in enumerate(((200, 60, 50), (60, 160, 80), (60, 90, 200))):
        top, left = int(height * (0.35 + 0.15 * k)), int(width * (0.2 + 0.22 * k))
        scene[top : top + height // 8, left : left + height // 8] = colour
    return np.ascontiguousarray(scene, np.uint8)


def _place(stamp: int) -> Array:
    angle = 2 * np.pi * TURNS * (stamp % (SECOND * 1000)) / SECOND
    return np.array([CENTRE[0], CENTRE[1] + REACH * np.sin(angle), CENTRE[2]])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the node."""
    return run_node(StageNode, argv)


if __name__ == "__main__":
    sys.exit(main())
