"""The dashboard's process: this node hears and asks for it, in the thread that spins; the page is served by threads of its own.

Nothing of the service waits for it, and pictures are subscribed to only while somebody looks.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseStamped, TwistStamped
from rcl_interfaces.msg import Log
from rclpy.node import Node
from rclpy.serialization import deserialize_message as read
from sensor_msgs.msg import Image as ImageMessage
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import MultiDOFJointTrajectory

from vla_ros.clock import MILLISECOND, SECOND, MonotonicClock
from vla_ros.config import CameraConfig, Config
from vla_ros.dashboard.slots import Board, Command, Motion, Picture, Report
from vla_ros.nodes import convert, parameters
from vla_ros.nodes.camera_topics import intrinsics, late, quality, to_view
from vla_ros.nodes.dashboard_calls import Calls
from vla_ros.nodes.process import RefusalError, newest, run_node
from vla_ros.nodes.ros_time import TimeMap
from vla_ros.twin.tasks import COLOURS

LOOK = 0.1
"""s between two looks at whether somebody wants pictures."""
LINGER = 2 * SECOND
"""For so long a camera is still subscribed to after the last viewer: pages are reloaded."""
CALM = 200 * MILLISECOND
"""Changes of the verdict within one mode are noted no more often."""
BETWEEN = 30 * MILLISECOND
"""The arm's state is taken up no more often: it comes at 100 Hz, and the page is told of it at 15."""
STAMP = slice(4, 12)
"""Where the header's stamp is in a message that begins with one, behind four bytes of its representation (OMG DDSI-RTPS 2.5, 10.2)."""
TASKS = tuple(f"pick up the {colour} cube" for colour in COLOURS)
INFO, WARN, ERROR = 20, 30, 40
"""Levels of rcl_interfaces/msg/Log."""


class DashboardNode(Node):
    """Fills the board with what is heard. `server` serves it; without one the node only listens, as tests want it."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__("dashboard", **arguments)
        self.failure = ""
        self._config = parameters.read(self)
        self._monotonic = MonotonicClock()
        self._time = TimeMap(lambda: self.get_clock().now().nanoseconds, self._monotonic.now)
        self.board = Board.of(self._config.cameras)
        self._verdict, self._noted = ("", ""), 0
        self._joints = b""
        self._eyes: dict[str, tuple[Any, int]] = {}
        self.calls = Calls(self, self.board.log)
        self._listen_to()
        self.server = _serve(self.board, self.calls, self._config, self._monotonic)
        self.create_timer(LOOK, self._look)

    def _listen_to(self) -> None:
        subscribe = self.create_subscription
        subscribe(DiagnosticArray, "/arm/status", self._arm, newest(depth=10))
        subscribe(DiagnosticArray, "/vla/status", self._policy, newest(depth=10))
        subscribe(DiagnosticArray, "/recorder/status", self._recorder, newest(depth=10))
        subscribe(DiagnosticArray, "/diagnostics", self._diagnostics, newest(depth=10))
        # raw: most of what comes at the servo's rate is let pass unread
        subscribe(JointState, "/joint_states", self._put_joints, newest(reliable=False), raw=True)
        subscribe(PoseStamped, "/arm/tool_pose", self._put_tool, newest(reliable=False), raw=True)
        subscribe(TwistStamped, "/arm/command", self._put_command, newest(reliable=False), raw=True)
        subscribe(MultiDOFJointTrajectory, "/vla/action_chunk", self._put_chunk, newest())
        subscribe(Log, "/rosout", self._put_log, newest(depth=100))

    def _arm(self, message: DiagnosticArray) -> None:
        for status in convert.named(message, "arm"):
            report = self._report(status)
            self.board.arm.put(report)
            self._note(report, convert.from_time(message.header.stamp))

    def _report(self, status: DiagnosticStatus) -> Report:
        level = int.from_bytes(status.level, "little")
        return Report(level, status.message, convert.values(status), self._monotonic.now())

    def _note(self, report: Report, stamp: int) -> None:
        """Another mode or verdict goes into the journal: another mode at once, the rest not too often."""
        before, verdict = self._verdict, (report.values.get("mode", ""), report.message)
        if verdict == before or (verdict[0] == before[0] and report.moment - self._noted < CALM):
            return
        self._verdict, self._noted = verdict, report.moment
        self.board.verdicts.write(stamp, verdict[0], verdict[1], report.level)

    def _policy(self, message: DiagnosticArray) -> None:
        for status in convert.named(message, "policy"):
            self.board.policy.put(self._report(status))

    def _recorder(self, message: DiagnosticArray) -> None:
        for status in convert.named(message, "recorder"):
            self.calls.meet_recorder()
            self.board.recorder.put(self._report(status))

    def _diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            name = status.name.removesuffix("_camera")
            if status.name == "latency":
                known = {key: convert.number(text) for key, text in convert.values(status).items()}
                self.board.latency.put({key: value for key, value in known.items() if value is not None})
            elif name in self.board.cameras:
                self.board.cameras[name].put(self._report(status))

    def _put_joints(self, message: bytes) -> None:
        self._joints = message

    def _put_tool(self, message: bytes) -> None:
        """Joints and tool pose of one moment come as two messages under the same stamp, the joints first."""
        joints, now, before = self._joints, self._monotonic.now(), self.board.motion.get()
        if message[STAMP] != joints[STAMP] or (before is not None and now - before.moment < BETWEEN):
            return
        try:
            state = convert.to_arm(read(joints, JointState), read(message, PoseStamped), now)
        except convert.MessageError:
            return  # the policy node complains of it
        self.board.motion.put(Motion(state.tool, tuple(state.joints.tolist()), state.gripper, now))

    def _put_command(self, message: bytes) -> None:
        now, before = self._monotonic.now(), self.board.command.get()
        if before is not None and now - before.moment < BETWEEN:
            return
        twist = read(message, TwistStamped).twist
        speed, turning = (math.hypot(v.x, v.y, v.z) for v in (twist.linear, twist.angular))
        self.board.command.put(Command(speed, turning, now))

    def _put_chunk(self, message: MultiDOFJointTrajectory) -> None:
        try:
            stamp = self._time.to_monotonic(convert.from_time(message.header.stamp))
            self.board.chunk.put(convert.to_chunk(message, stamp, 0))
        except convert.MessageError:
            pass  # the arm node refuses it and says why

    def _put_log(self, message: Log) -> None:
        if message.level >= INFO:
            severity = (message.level >= WARN) + (message.level >= ERROR)
            self.board.log.write(convert.from_time(message.stamp), message.name, message.msg, severity)

    def _look(self) -> None:
        """Subscribe to the cameras that somebody looks at, and to no other."""
        now = self._monotonic.now()
        self._time.check()
        for name, camera in self._config.cameras.items():
            eye = self._eyes.get(name)
            if self.board.pictures[name].listened:
                self._eyes[name] = (eye[0] if eye else self._open(name, camera), now)
            elif eye and now - eye[1] > LINGER:
                self.destroy_subscription(self._eyes.pop(name)[0])
        if not self.failure and not self.server.alive:
            self.failure = "the HTTP server has ended: see what it said above"

    def _open(self, name: str, camera: CameraConfig) -> Any:
        wanted, latency, slot = intrinsics(camera), late(camera), self.board.pictures[name]

        def see(message: ImageMessage) -> None:
            try:
                image = to_view(message, wanted)
            except convert.MessageError:
                return  # the policy node complains of it
            exposure = convert.from_time(message.header.stamp) - latency
            slot.put(Picture(image.copy(), exposure, self._monotonic.now()))

        return self.create_subscription(ImageMessage, camera.image_topic, see, quality(camera))

    def close(self) -> None:
        """Serve no more."""
        self.server.stop()


def _serve(board: Board, calls: Calls, config: Config, clock: MonotonicClock) -> Any:
    """The started server. Raises RefusalError where it cannot be had, with the remedy."""
    try:
        from vla_ros.dashboard.access import AccessError, access
        from vla_ros.dashboard.app import create_app
        from vla_ros.dashboard.serve import Server
    except ModuleNotFoundError as error:
        raise RefusalError(f"no dashboard here ({error}): pip install 'vla_ros[dashboard]'") from None
    if not config.dashboard.port:
        raise RefusalError("dashboard.port is 0, which means no dashboard: name a port")
    tasks = TASKS if config.arm.driver == "twin" or config.twin.kortex else ()
    try:
        made = access(config)
        server = Server(create_app(board, calls, config, made, clock, tasks), config)
    except AccessError as error:
        raise RefusalError(str(error)) from None
    server.start()
    sys.stdout.write(f"dashboard: {config.dashboard.address}\n")
    sys.stdout.flush()
    return server


def main(argv: Sequence[str] | None = None) -> int:
    """Run the node."""
    return run_node(DashboardNode, argv)


if __name__ == "__main__":
    sys.exit(main())
