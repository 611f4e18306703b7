"""The arm node: joins ROS to the servo process. It moves nothing itself and trusts nobody; the servo judges."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseStamped, TwistStamped
from rclpy.duration import Duration
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, JointState
from std_srvs.srv import Trigger
from trajectory_msgs.msg import MultiDOFJointTrajectory

from vla_ros import runtime
from vla_ros.clock import MILLISECOND, SECOND, MonotonicClock
from vla_ros.config import Config
from vla_ros.motion import blocks
from vla_ros.nodes import convert, parameters
from vla_ros.nodes.process import Bulletin, guarded, newest, run_node
from vla_ros.nodes.ros_time import TimeMap
from vla_ros.nodes.servo_link import ServoLink, Wish, age
from vla_ros.nodes.statistics import Periods
from vla_ros.values import Mode

STATUS_PERIOD = 100 * MILLISECOND
"""Longest time between two statuses; a change of mode, verdict or gripper target is told at once."""
SHORTLY = 1 * MILLISECOND
RETRY = 2 * MILLISECOND
"""Between looks at a servo whose next cycle is not there yet."""
WISHES: tuple[Wish, ...] = ("enable", "disable", "stop", "reset")


class ArmNode(Node):
    """Callbacks write to the servo's blocks; a thread on the servo's schedule publishes what the servo says."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__("arm", **arguments)
        self.failure = ""
        self._config = parameters.read(self)
        self._monotonic = MonotonicClock()
        self._time = TimeMap(lambda: self.get_clock().now().nanoseconds, self._monotonic.now)
        self._link = ServoLink(self._config, runtime.folder(self._config), self._monotonic.now)
        self._policy: dict[str, str] = {}
        self._chunks, self._refused = 0, ""
        self._period = round(SECOND / self._config.servo.rate)
        self._publish_to()
        self._listen_to(self._config)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=guarded(self, self._run), name="status", daemon=True)
        self._thread.start()

    def _publish_to(self) -> None:
        self._joints = self.create_publisher(JointState, "/joint_states", newest(reliable=False))
        self._tool = self.create_publisher(PoseStamped, "/arm/tool_pose", newest(reliable=False))
        self._command = self.create_publisher(TwistStamped, "/arm/command", newest(depth=10))
        self._status = self.create_publisher(DiagnosticArray, "/arm/status", newest(depth=10))
        self._bulletin = Bulletin(self)

    def _listen_to(self, config: Config) -> None:
        chunk_qos = newest()
        chunk_qos.lifespan = Duration(nanoseconds=int(config.deadlines.observation * SECOND))
        self.create_subscription(MultiDOFJointTrajectory, "/vla/action_chunk", self._chunk, chunk_qos)
        self.create_subscription(DiagnosticArray, "/vla/status", self._policy_status, newest(depth=10))
        for name, camera in config.cameras.items():
            topic = f"{camera.topic}/color/camera_info"
            self.create_subscription(CameraInfo, topic, self._camera_callback(name), newest())
        for wish in WISHES:
            self.create_service(Trigger, f"/arm/{wish}", self._service(wish))
        self.create_timer(1.0, self._check_time)

    def _camera_callback(self, name: str) -> Any:
        def seen(message: CameraInfo) -> None:
            stamp = self._time.to_monotonic(convert.from_time(message.header.stamp))
            self._link.seen(name, stamp if self._time.believed() else self._hold_stamp())

        return seen

    def _hold_stamp(self) -> int:
        """A camera stamp that is old enough to hold and too young to disarm: after a step of a clock."""
        deadlines = self._config.deadlines
        return self._monotonic.now() - int((deadlines.camera_hold + deadlines.camera_disarm) / 2 * SECOND)

    def _check_time(self) -> None:
        step = self._time.check()
        if step:
            self.get_logger().warning(f"ROS time stepped by {step / SECOND:.3f} s: holding")
            for name in self._config.cameras:
                self._link.seen(name, self._hold_stamp())

    def _chunk(self, message: MultiDOFJointTrajectory) -> None:
        stamp = self._time.to_monotonic(convert.from_time(message.header.stamp))
        self._chunks += 1
        policy, instruction = self._policy.get("policy", ""), self._policy.get("instruction", "")
        try:
            chunk = convert.to_chunk(message, stamp, self._chunks, policy, instruction)
        except convert.MessageError as error:
            self._refused = f"chunk refused: {error}"
            return
        self._refused = ""
        if self._time.believed():
            self._link.play(chunk)

    def _policy_status(self, message: DiagnosticArray) -> None:
        for status in convert.named(message, "policy"):
            policy = convert.values(status)
            before = self._policy.get("instance")
            if before is not None and before != status.hardware_id:
                self._link.wish("disable")
                self.get_logger().warning("the policy was started anew: disarmed")
            self._policy = policy | {"instance": status.hardware_id}
            if policy.get("state") == "active":
                self._link.alive(self._monotonic.now())

    def _service(self, wish: Wish) -> Any:
        def called(_: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            response.success, response.message = self._link.ask(wish)
            return response

        return called

    def _run(self) -> None:
        """Publish what the servo did soon after each of its cycles."""
        periods, told, due, last = Periods(self._period), _Told(), self._monotonic.now(), -1
        while not self._stopping.is_set():
            self._monotonic.sleep_until(due)
            now, got = self._monotonic.now(), self._link.status()
            fresh = got is not None and got[0] != last
            if got is not None and fresh:
                last, status = got
                periods.add(int(status["beat"]))
                self._publish_state(status)
                self._publish_status(status, periods, told, now)
            elif told.due(("no servo",), now, silence=2 * STATUS_PERIOD):
                self._publish_silence(now)
            due = now + (self._period - self._behind(got, now) if fresh else RETRY)

    def _behind(self, got: Any, now: int) -> int:
        """How much earlier than a period from now to look again, so that looks come SHORTLY after beats."""
        return min(self._period // 2, max(0, now - int(got[1]["beat"]) - SHORTLY))

    def _publish_state(self, status: Any) -> None:
        arm = blocks.arm_state(status)
        if arm is not None:
            joints, tool = convert.from_arm(arm, self._time.to_ros(arm.stamp))
            self._joints.publish(joints)
            self._tool.publish(tool)
        self._command.publish(convert.from_twist(status["twist"], self._time.to_ros(int(status["beat"]))))

    def _publish_status(self, status: Any, periods: Periods, told: _Told, now: int) -> None:
        mode, verdict = blocks.mode(status), blocks.verdict(status)
        gripper = float(status["gripper_target"])
        if not told.due((mode, verdict, gripper, self._refused), now):
            return
        values = {"mode": mode.name, "verdict": verdict.name, "gripper_command": gripper}
        values |= _figures(status, now) | periods.values()
        self._tell(now, _level(mode, self._refused), self._refused or verdict.value, values)

    def _publish_silence(self, now: int) -> None:
        self._tell(now, DiagnosticStatus.ERROR, "the servo is not running: nothing moves", {"mode": "NONE"})

    def _tell(self, now: int, level: bytes, text: str, values: dict[str, Any]) -> None:
        status = convert.diagnostic("arm", level, text, values)
        message = convert.diagnostics(self._time.to_ros(now), [status])
        self._status.publish(message)
        self._bulletin.post(message, now)

    def close(self) -> None:
        """Stop publishing and take the blocks away: a servo without them disarms for want of chunks and cameras."""
        self._stopping.set()
        self._thread.join(1.0)
        self._link.close()


class _Told:
    """What the last status said, and when."""

    def __init__(self) -> None:
        self._content: tuple[Any, ...] = ()
        self._moment = 0

    def due(self, content: tuple[Any, ...], now: int, silence: int = 0) -> bool:
        """Whether to speak now: at once when the content is new (after `silence` ns if given), else every STATUS_PERIOD."""
        waited = now - self._moment
        if waited < silence or (content == self._content and waited < STATUS_PERIOD):
            return False
        self._content, self._moment = content, now
        return True


def _level(mode: Mode, refused: str) -> bytes:
    if mode is Mode.STOPPED:
        return DiagnosticStatus.ERROR
    return DiagnosticStatus.WARN if mode is Mode.HOLD or refused else DiagnosticStatus.OK


def _figures(status: Any, now: int) -> dict[str, Any]:
    """Ages, the last seam and the cycle counts of a servo status."""
    return {
        "chunk_sequence": int(status["chunk_sequence"]),
        "chunk_age_ms": age(int(status["chunk_stamp"]), now),
        "feedback_age_ms": age(int(status["arm_stamp"]), now),
        "fault": status["fault"].decode(),
        "seam_mm": float(status["seam_position"]) * 1e3,
        "seam_mm_per_s": float(status["seam_velocity"]) * 1e3,
        "seam_rad": float(status["seam_rotation"]),
        "seam_consumed": int(status["seam_consumed"]),
        "cycles": int(status["cycles"]),
        "missed": int(status["missed"]),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the node."""
    return run_node(ArmNode, argv)


if __name__ == "__main__":
    sys.exit(main())
