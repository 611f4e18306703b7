"""What a recorder hears of cameras, arm and policy: callbacks turn messages into what its assembler joins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped, TwistStamped
from rclpy.node import Node
from sensor_msgs.msg import Image, JointState

from vla_ros.clock import MonotonicClock
from vla_ros.config import CameraConfig, Config
from vla_ros.nodes import convert
from vla_ros.nodes.assembly import Assembler, Shot, Told, Twist
from vla_ros.nodes.camera_topics import intrinsics, late, quality, to_depth_view, to_view
from vla_ros.nodes.process import newest
from vla_ros.nodes.ros_time import TimeMap
from vla_ros.values import Mode, Verdict


class Ears:
    """Subscriptions of `node` that feed `assembler`; `policy` is who thinks, `failure` why a message could not be understood."""

    def __init__(self, node: Node, config: Config, assembler: Assembler, time: TimeMap) -> None:
        self.policy, self.failure = "", ""
        self._assembler, self._time, self._monotonic = assembler, time, MonotonicClock()
        self._joints: JointState | None = None
        node.create_subscription(JointState, "/joint_states", self._hear_joints, newest(reliable=False, depth=5))
        node.create_subscription(PoseStamped, "/arm/tool_pose", self._hear_tool, newest(reliable=False, depth=5))
        node.create_subscription(TwistStamped, "/arm/command", self._hear_command, newest(depth=10))
        node.create_subscription(DiagnosticArray, "/arm/status", self._hear_arm, newest(depth=10))
        node.create_subscription(DiagnosticArray, "/vla/status", self._hear_policy, newest(depth=10))
        for name, camera in config.cameras.items():
            heard = self._hear_image(name, camera)
            node.create_subscription(Image, camera.image_topic, heard, quality(camera, depth=8))
        for name in config.depth_cameras:
            camera = config.cameras[name]
            heard = self._hear_image(name, camera, to_depth_view, assembler.put_depth)
            node.create_subscription(Image, camera.depth_topic, heard, quality(camera, depth=8))

    def _hear_image(
        self, name: str, camera: CameraConfig, seen: Callable[..., Any] = to_view, put: Callable[..., Any] | None = None
    ) -> Any:
        view, latency, put = intrinsics(camera), late(camera), put or self._assembler.put_frame

        def heard(message: Image) -> None:
            now, stamp = self._monotonic.now(), convert.from_time(message.header.stamp) - latency
            try:
                image = seen(message, view)
            except convert.MessageError as error:
                self.failure = f"camera {name}: {error}"
                return
            shot = Shot(image, self._time.to_monotonic(stamp), now, 0, stamp=stamp)
            put(name, shot)

        return heard

    def _hear_joints(self, message: JointState) -> None:
        self._joints = message

    def _hear_tool(self, message: PoseStamped) -> None:
        """Joints and tool pose of one moment come as two messages under the same stamp, the joints first."""
        joints = self._joints
        if joints is None or joints.header.stamp != message.header.stamp:
            return
        try:
            state = convert.to_arm(joints, message, self._time.to_monotonic(convert.from_time(message.header.stamp)))
        except convert.MessageError as error:
            self.failure = str(error)
            return
        if state.is_finite():
            self._assembler.put_arm(state)

    def _hear_command(self, message: TwistStamped) -> None:
        stamp = self._time.to_monotonic(convert.from_time(message.header.stamp))
        linear, angular = message.twist.linear, message.twist.angular
        twist = np.array([linear.x, linear.y, linear.z, angular.x, angular.y, angular.z])
        self._assembler.put_twist(Twist(stamp, twist))

    def _hear_arm(self, message: DiagnosticArray) -> None:
        for status in convert.named(message, "arm"):
            values = convert.values(status)
            if values.get("mode") not in Mode.__members__ or values.get("verdict") not in Verdict.__members__:
                continue  # an arm node without its servo
            gripper = convert.number(values.get("gripper_command", "nan"))
            stamp = self._time.to_monotonic(convert.from_time(message.header.stamp))
            mode, verdict = Mode[values["mode"]], Verdict[values["verdict"]]
            self._assembler.put_told(Told(stamp, mode, verdict, np.nan if gripper is None else gripper))

    def _hear_policy(self, message: DiagnosticArray) -> None:
        for status in convert.named(message, "policy"):
            values = convert.values(status)
            self.policy = values.get("policy", "")
            self._assembler.instructed = bool(values.get("instruction", "").strip())
