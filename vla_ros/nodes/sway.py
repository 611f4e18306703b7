"""The ROS side of calibration: moves the arm through the teleop input, and notes what every device shows meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped, TwistStamped
from numpy.typing import NDArray
from sensor_msgs.msg import Image as ImageMessage
from sensor_msgs.msg import JointState

from vla_ros.calibration.latency import Track, shrunk
from vla_ros.clock import SECOND
from vla_ros.config import CameraConfig, Config
from vla_ros.geometry import Array
from vla_ros.nodes import convert
from vla_ros.nodes.camera_topics import intrinsics, quality, to_view
from vla_ros.nodes.client import Client, ServiceError
from vla_ros.nodes.process import newest

RATE = 50.0
"""Words of the teleop device a second."""
GRACE = 1.0
"""Seconds in which the clutch must have taken over. One hiccup of a busy machine, after which it takes over again, costs accuracy,

which the fit tells, and not the measurement."""


@dataclass
class Notes:
    """What came in, each with its device's stamp in s since `began` (ns, ROS time)."""

    began: int
    commands: list[tuple[float, Array]] = field(default_factory=list)
    tools: list[tuple[float, Array]] = field(default_factory=list)
    grippers: list[tuple[float, float]] = field(default_factory=list)
    gripper_commands: list[tuple[float, float]] = field(default_factory=list)
    films: dict[str, list[tuple[float, NDArray[np.float32]]]] = field(default_factory=dict)

    def command(self, axis: int) -> Track:
        """Commanded velocity along an axis of the base frame, m/s."""
        return _track((t, twist[axis]) for t, twist in self.commands)

    def tool(self, axis: int) -> Track:
        """Measured position of the tool along it, m."""
        return _track((t, position[axis]) for t, position in self.tools)

    def gripper(self) -> Track:
        """Measured position of the gripper, 0 … 1."""
        return _track(self.grippers)


def _track(samples: Iterable[tuple[float, float]]) -> Track:
    rows = np.array(sorted(samples)).reshape(-1, 2)
    return Track(rows[:, 0], rows[:, 1])


class Rig:
    """Holds the clutch of the service that `client` talks to, and listens to its arm and to `cameras`."""

    def __init__(self, client: Client, config: Config, cameras: Iterable[str]) -> None:
        self.client, self._config = client, config
        self.notes = Notes(self.now())
        self._noting, self._followed = False, 0.0
        node = client.node
        self._twist = node.create_publisher(TwistStamped, "/teleop/twist", newest(reliable=False))
        self._gripper = node.create_publisher(JointState, "/teleop/gripper", newest(reliable=False))
        deep = newest(reliable=False, depth=50)
        node.create_subscription(TwistStamped, "/arm/command", self._command, newest(depth=50))
        node.create_subscription(PoseStamped, "/arm/tool_pose", self._tool, deep)
        node.create_subscription(JointState, "/joint_states", self._joints, deep)
        node.create_subscription(DiagnosticArray, "/arm/status", self._status, newest(depth=50))
        for name in cameras:
            camera = config.cameras[name]
            topic, qos = camera.image_topic, quality(camera, depth=2)
            node.create_subscription(ImageMessage, topic, self._camera(name, camera), qos)

    def now(self) -> int:
        """ROS time, ns."""
        return int(self.client.node.get_clock().now().nanoseconds)

    def tool(self, seconds: float = 5.0) -> Array:
        """Where the tool is (3,) m, base frame. Raises ServiceError where the arm says nothing."""
        self._begin()
        if not self.client.wait(lambda: bool(self.notes.tools), seconds):
            raise ServiceError("nothing comes on /arm/tool_pose: is the arm node running?")
        return self.notes.tools[-1][1]

    def lead(
        self,
        velocity: Callable[[float], Array],
        seconds: float,
        gripper: Callable[[float], float | None] = lambda t: None,
        on_step: Callable[[float], None] = lambda share: None,
    ) -> Notes:
        """Move the tool at `velocity`(t) (3,) m/s, base frame, and the gripper to `gripper`(t), for so long: what was seen meanwhile.

        `on_step` hears the share that is done. Raises ServiceError when the arm does not follow the clutch.
        """
        began, due = time.monotonic(), 0.0
        notes, self._followed = self._begin(), 0.0
        while (t := time.monotonic() - began) < seconds:
            if t >= due:
                due = max(due + 1 / RATE, t)
                self._say(velocity(t), gripper(t))
                self._check(t)
                on_step(t / seconds)
            self.client.spin(max(0.0, min(due, seconds) - t))
        self._say(np.zeros(3), None)
        self._noting = False
        return notes

    def _begin(self) -> Notes:
        self.notes, self._noting = Notes(self.now()), True
        return self.notes

    def _say(self, velocity: Array, gripper: float | None) -> None:
        stamp = self.now()
        self._twist.publish(convert.from_twist(np.concatenate([velocity, np.zeros(3)]), stamp))
        if gripper is not None:
            message = JointState(name=[convert.GRIPPER], position=[gripper])
            message.header.stamp = convert.to_time(stamp)
            self._gripper.publish(message)

    def _check(self, t: float) -> None:
        mode = self.client.arm.values.get("mode", "")
        if mode == "TELEOP":
            self._followed = t
        if t - self._followed > GRACE:
            raise ServiceError(f"the arm does not follow the teleop input: {mode.lower()}: {self.client.arm.message}")

    def _seconds(self, message: Any) -> float:
        return (convert.from_time(message.header.stamp) - self.notes.began) / SECOND

    def _command(self, message: TwistStamped) -> None:
        if self._noting:
            linear = message.twist.linear
            self.notes.commands.append((self._seconds(message), np.array([linear.x, linear.y, linear.z])))

    def _tool(self, message: PoseStamped) -> None:
        if self._noting:
            self.notes.tools.append((self._seconds(message), convert.to_pose(message.pose).position))

    def _joints(self, message: JointState) -> None:
        if self._noting and convert.GRIPPER in message.name:
            position = message.position[list(message.name).index(convert.GRIPPER)]
            self.notes.grippers.append((self._seconds(message), float(position)))

    def _status(self, message: DiagnosticArray) -> None:
        for status in convert.named(message, "arm") if self._noting else ():
            wanted = convert.number(convert.values(status).get("gripper_command", ""))
            if wanted is not None:
                self.notes.gripper_commands.append((self._seconds(message), wanted))

    def _camera(self, name: str, camera: CameraConfig) -> Any:
        wanted = intrinsics(camera)

        def see(message: ImageMessage) -> None:
            if self._noting:
                small = shrunk(to_view(message, wanted))
                self.notes.films.setdefault(name, []).append((self._seconds(message), small))

        return see
