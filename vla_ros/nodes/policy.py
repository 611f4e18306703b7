"""The policy node: a lifecycle node. Configuring loads and warms up the engine, activating lets it think.

Callbacks only store; the thread in `thinker` infers. While there is nothing to do, an empty trajectory every stride is the sign of
life. /vla/status says of every chunk what it is, under the same stamp, and goes out before it. The parameter `fault` breaks the
policy for a while (`vla_ros.nodes.fault_parameter`).
"""

from __future__ import annotations

import functools
import sys
import uuid
from collections.abc import Sequence
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseStamped
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import String
from trajectory_msgs.msg import MultiDOFJointTrajectory

from vla_ros.clock import MILLISECOND, SECOND, MonotonicClock
from vla_ros.config import CameraConfig, Config
from vla_ros.faults import Kind, Order, scheduled
from vla_ros.nodes import convert, fault_parameter, parameters
from vla_ros.nodes.camera_topics import intrinsics, late, quality, to_view
from vla_ros.nodes.observer import Observer, differences
from vla_ros.nodes.process import Bulletin, guarded, newest, run_node
from vla_ros.nodes.ros_time import TimeMap
from vla_ros.nodes.thinker import Thinker, Thought, make_outlet
from vla_ros.values import Frame

_SUCCESS, _FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


class PolicyNode(LifecycleNode):
    """Stores what arrives, lets the thinker think, publishes what it says."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__("policy", **arguments)
        self.failure = ""
        self._config = parameters.read(self)
        self._instance = uuid.uuid4().hex
        self._monotonic = MonotonicClock()
        self._time = TimeMap(lambda: self.get_clock().now().nanoseconds, self._monotonic.now)
        self._observer = Observer(self._config)
        self._outlet = make_outlet(scheduled(self._config.faults, "policy", self._monotonic.now()))
        self._thinker: Thinker | None = None
        self._joints: JointState | None = None
        self._tool: PoseStamped | None = None
        self._gripper_command = float("nan")
        self._frames: dict[str, int] = {}
        self._publish_to(self._config)
        self._listen_to(self._config)
        fault_parameter.declare(self, self._config, self._play)

    def _play(self, _: str, kind: str, seconds: float, amount: float) -> None:
        self.get_logger().warning(f"fault asked for: {kind} for {seconds:g} s")
        self._outlet.play(Order(Kind(kind), seconds, amount).at(self._monotonic.now()))

    def _publish_to(self, config: Config) -> None:
        qos = newest()
        qos.lifespan = Duration(nanoseconds=int(config.deadlines.observation * SECOND))
        self._chunks = self.create_publisher(MultiDOFJointTrajectory, "/vla/action_chunk", qos)
        self._status = self.create_publisher(DiagnosticArray, "/vla/status", newest(depth=10))
        self._bulletin = Bulletin(self)

    def _listen_to(self, config: Config) -> None:
        self.create_subscription(String, "/vla/instruction", self._hear, newest())
        self.create_subscription(JointState, "/joint_states", self._put_joints, newest(reliable=False))
        self.create_subscription(PoseStamped, "/arm/tool_pose", self._put_tool, newest(reliable=False))
        self.create_subscription(DiagnosticArray, "/arm/status", self._arm_status, newest(depth=10))
        for name, camera in config.cameras.items():
            qos = quality(camera)
            self.create_subscription(Image, camera.image_topic, self._image_callback(name, camera), qos)
            self.create_subscription(CameraInfo, camera.info_topic, self._info_callback(name, camera), qos)
        self.create_timer(1.0, self._check_time)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the policy and warm its engine up. Fails, and says why, where the bundle does not fit."""
        thinker = Thinker(self._config, self._observer, self._monotonic, self._say, self._outlet, self._instance)
        failure = thinker.start(functools.partial(guarded, self))
        if failure:
            self.get_logger().error(failure)
            self._publish_status(self._ros_now(), failure, True, "unconfigured", {})
            return _FAILURE
        self._thinker = thinker
        thinker.gripper_command = self._gripper_command
        self._publish_status(self._ros_now(), "loaded", False, "inactive", {})
        return _SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin to think; idle until an instruction comes."""
        if self._thinker is None:
            return _FAILURE
        self._thinker.active = True
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Think no more, and forget the instruction."""
        if self._thinker is not None:
            self._thinker.instruct("")
            self._thinker.active = False
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let go of the policy."""
        self._end()
        return _SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let go of the policy."""
        self._end()
        return _SUCCESS

    def _hear(self, message: String) -> None:
        if self._thinker is not None:
            self._thinker.instruct(message.data)

    def _put_joints(self, message: JointState) -> None:
        self._joints = message
        self._put_arm()

    def _put_tool(self, message: PoseStamped) -> None:
        self._tool = message
        self._put_arm()

    def _put_arm(self) -> None:
        """Joints and tool pose of one moment come as two messages under the same stamp."""
        joints, tool = self._joints, self._tool
        if joints is None or tool is None or joints.header.stamp != tool.header.stamp:
            return
        try:
            state = convert.to_arm(joints, tool, self._time.to_monotonic(convert.from_time(joints.header.stamp)))
        except convert.MessageError as error:
            self._observer.complain("arm", str(error))
            return
        self._observer.complain("arm", "" if state.is_finite() else "joint_states or tool_pose are not finite")
        self._observer.put_arm(state)

    def _arm_status(self, message: DiagnosticArray) -> None:
        for status in convert.named(message, "arm"):
            command = convert.number(convert.values(status).get("gripper_command", "nan"))
            if command is None:  # from whoever else speaks here: what was said before holds
                continue
            self._gripper_command = command
            if self._thinker is not None:
                self._thinker.gripper_command = self._gripper_command

    def _image_callback(self, name: str, camera: CameraConfig) -> Any:
        wanted, latency = intrinsics(camera), late(camera)

        def put(message: Image) -> None:
            arrival = self._monotonic.now()
            try:
                image = to_view(message, wanted)
            except convert.MessageError as error:
                self._observer.complain(f"{name} image", f"{camera.image_topic}: {error}")
                return
            self._observer.complain(f"{name} image", "")
            self._frames[name] = self._frames.get(name, 0) + 1
            exposure = self._time.to_monotonic(convert.from_time(message.header.stamp)) - latency
            self._observer.put_frame(name, Frame(image, exposure, arrival, self._frames[name]))

        return put

    def _info_callback(self, name: str, camera: CameraConfig) -> Any:
        wanted, topic = intrinsics(camera), camera.info_topic

        def put(message: CameraInfo) -> None:
            try:
                text = differences(convert.to_intrinsics(message), wanted)
            except convert.MessageError as error:
                text = str(error)
            remedy = f"{topic}: {text}: make the driver and cameras.{name} agree"
            self._observer.complain(f"{name} info", remedy if text else "")

        return put

    def _check_time(self) -> None:
        step = self._time.check()
        if step:
            self.get_logger().warning(f"ROS time stepped by {step / SECOND:.3f} s: holding")
            self._observer.forget()
        if self._thinker is not None:
            self._thinker.believed = self._time.believed()

    def _say(self, thought: Thought) -> None:
        """Publish status and chunk under one stamp, the status first; called from the thinker's thread."""
        stamp, chunk = self._time.to_ros(thought.moment), thought.chunk
        message = None if chunk is None else convert.from_chunk(chunk, stamp)
        figures = dict(thought.figures)
        if chunk is not None:
            figures |= {"instruction": chunk.instruction, "sequence": chunk.sequence, "targets": len(chunk)}
            figures["published_ms"] = (self._monotonic.now() - thought.moment) / MILLISECOND
        self._publish_status(stamp, thought.text, thought.error, "active", figures)
        if message is not None:
            self._chunks.publish(message)

    def _ros_now(self) -> int:
        return self._time.to_ros(self._monotonic.now())

    def _publish_status(self, stamp: int, text: str, error: bool, state: str, figures: dict[str, Any]) -> None:
        """Say something at `stamp` (ROS time, ns)."""
        thinker = self._thinker
        values = {
            "state": state,
            "policy": thinker.name if thinker else self._config.policy.bundle,
            "instruction": thinker.instruction if thinker else "",
        }
        level = DiagnosticStatus.ERROR if error else DiagnosticStatus.OK
        status = convert.diagnostic("policy", level, text, values | figures, hardware=self._instance)
        message = convert.diagnostics(stamp, [status])
        self._status.publish(message)
        self._bulletin.post(message, self._monotonic.now())

    def _end(self) -> None:
        thinker, self._thinker = self._thinker, None
        if thinker is not None:
            thinker.stop()

    def close(self) -> None:
        """Stop thinking."""
        self._end()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the node."""
    return run_node(PolicyNode, argv)


if __name__ == "__main__":
    sys.exit(main())
