"""The arm node: joins ROS to the servo process. It moves nothing itself and trusts nobody; the servo judges."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping, Sequence
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
from vla_ros.config import CameraConfig, Config
from vla_ros.motion import blocks, grasp
from vla_ros.nodes import convert, parameters
from vla_ros.nodes.arm_report import figures, origin
from vla_ros.nodes.camera_topics import late, quality
from vla_ros.nodes.fault_parameter import declare as declare_fault
from vla_ros.nodes.latency import Stages
from vla_ros.nodes.origins import Arrival, Origins, Word
from vla_ros.nodes.process import Bulletin, guarded, newest, run_node
from vla_ros.nodes.ros_time import SETTLE, TimeMap
from vla_ros.nodes.servo_link import ServoLink, Wish
from vla_ros.nodes.statistics import Periods
from vla_ros.values import Mode, Verdict

STATUS_PERIOD = 100 * MILLISECOND
"""Longest time between two statuses; a change of mode, verdict or gripper target is told at once."""
HEARTBEAT = 0.05
"""s between two signs of life to the servo."""
_AGES = 1e6
"""ms beyond which an age is as good as for ever; its square is the largest number that is believed."""
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
        self._origins = Origins(int(self._config.deadlines.camera_disarm * SECOND))
        self._chunks, self._refused = 0, ""
        self._fingers = grasp.Fingers()
        self._gripper: float | None = None
        self._period = round(SECOND / self._config.servo.rate)
        self.priority = self._config.servo.priority
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
        self._bulletin, self._latencies = Bulletin(self), Bulletin(self)

    def _listen_to(self, config: Config) -> None:
        chunk_qos = newest()
        chunk_qos.lifespan = Duration(nanoseconds=int(config.deadlines.observation * SECOND))
        self.create_subscription(MultiDOFJointTrajectory, "/vla/action_chunk", self._chunk, chunk_qos)
        self.create_subscription(DiagnosticArray, "/vla/status", self._policy_status, newest(depth=10))
        self.create_subscription(TwistStamped, "/teleop/twist", self._teleop_twist, newest(reliable=False))
        self.create_subscription(JointState, "/teleop/gripper", self._teleop_gripper, newest(reliable=False))
        for name, camera in config.cameras.items():
            callback = self._camera_callback(name, camera)
            self.create_subscription(CameraInfo, camera.info_topic, callback, quality(camera))
        for wish in WISHES:
            self.create_service(Trigger, f"/arm/{wish}", self._service(wish))
        declare_fault(self, config, self._fault, ("feedback", "command"))
        self.create_timer(HEARTBEAT, self._beat)

    def _camera_callback(self, name: str, camera: CameraConfig) -> Any:
        latency = late(camera)

        def seen(message: CameraInfo) -> None:
            self._link.seen(name, self._time.to_monotonic(convert.from_time(message.header.stamp)) - latency)

        return seen

    def _beat(self) -> None:
        """In the thread that would hear a Stop: as long as it turns, a Stop is heard."""
        now = self._monotonic.now()
        self._link.beat()
        for arrival in self._origins.expire(now):
            self._take(arrival)
        step = self._time.check()
        if step:
            self.get_logger().warning(f"ROS time stepped by {step / SECOND:.3f} s: holding")
            self._link.distrust(now + SETTLE)

    def _chunk(self, message: MultiDOFJointTrajectory) -> None:
        stamp = convert.from_time(message.header.stamp)
        self._chunks += 1
        try:
            chunk = convert.to_chunk(message, self._time.to_monotonic(stamp), self._chunks)
        except convert.MessageError as error:
            self._refused = f"chunk refused: {error}"
            self._link.refuse(Verdict.CHUNK_MALFORMED)
            return
        self._take(self._origins.arrive(chunk, stamp, self._monotonic.now()))

    def _take(self, arrival: Arrival) -> None:
        if arrival.refusal is not Verdict.OK:
            self._refused = arrival.refusal.value
            self._link.refuse(arrival.refusal)
        elif arrival.chunk is not None:
            self._refused = ""
            self._link.play(arrival.chunk)

    def _policy_status(self, message: DiagnosticArray) -> None:
        for status in convert.named(message, "policy"):
            values = convert.values(status)
            word = _word(convert.from_time(message.header.stamp), status.hardware_id, values, self._config)
            arrival = self._origins.hear(word, self._monotonic.now())
            if arrival.restarted:
                self._link.wish("disable")
                self.get_logger().warning("the policy was started anew: disarmed")
            if self._origins.rightful(word) and values.get("state") == "active":
                self._link.alive(self._monotonic.now())
                self._note_pictures(values)
                if "instruction" in values:  # a chunk that comes late from before it is not played
                    self._link.instructed(word.instruction)
            self._take(arrival)

    def _note_pictures(self, values: Mapping[str, str]) -> None:
        """For how long each camera has shown the same picture, as the policy sees it."""
        for name in self._config.cameras:
            milliseconds = _number(values, f"unchanged_{name}_ms")
            if milliseconds is not None:
                self._link.unchanged(name, int(min(max(milliseconds, 0.0), _AGES) * MILLISECOND))

    def _teleop_twist(self, message: TwistStamped) -> None:
        now, stamp = self._monotonic.now(), convert.from_time(message.header.stamp)
        sent = self._time.to_monotonic(stamp) if stamp else now
        if abs(now - sent) > self._config.deadlines.teleop * SECOND:
            self._refused = f"teleop refused: stamped {(now - sent) / SECOND:.2f} s ago: is its clock right?"
            return
        try:
            self._link.teleop(convert.to_teleop(message, min(sent, now), self._gripper))
            self._refused = ""
        except convert.MessageError as error:
            self._refused = f"teleop refused: {error}"

    def _teleop_gripper(self, message: JointState) -> None:
        try:
            self._gripper = convert.to_gripper(message)
        except convert.MessageError as error:
            self._refused = f"teleop refused: {error}"

    def _fault(self, target: str, kind: str, seconds: float, amount: float) -> None:
        self.get_logger().warning(f"fault asked for: {kind} of arm.{target} for {seconds:g} s")
        self._link.fault(f"arm.{target}", kind, seconds, amount)

    def _service(self, wish: Wish) -> Any:
        def called(_: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            response.success, response.message = self._link.ask(wish)
            return response

        return called

    def _run(self) -> None:
        """Publish what the servo did soon after each of its cycles."""
        periods, told, due, last = Periods(self._period), _Told(), self._monotonic.now(), -1
        stages = Stages(self._config)
        while not self._stopping.is_set():
            self._monotonic.sleep_until(due)
            now, got = self._monotonic.now(), self._link.status()
            fresh = got is not None and got[0] != last
            if got is not None and fresh:
                last, status = got
                periods.add(int(status["beat"]))
                stages.see(status, now)
                self._publish_latency(stages, now)
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
        if status["arm_stamp"]:
            self._fingers = grasp.seen(self._fingers, int(status["beat"]), gripper, float(status["gripper"]))
        held, counts = self._fingers.grasp, (int(status["refused"]), int(status["chunk_sequence"]))
        news = (mode, verdict, gripper, held, self._refused, *counts)
        if not told.due(news, now):
            return
        values = {"mode": mode.name, "verdict": verdict.name, "gripper_command": gripper}
        values |= figures(status, now, held) | periods.values()
        values |= origin(status, list(self._config.cameras), self._time.to_ros)
        self._tell(now, _level(mode, self._refused), self._refused or verdict.value, values)

    def _publish_latency(self, stages: Stages, now: int) -> None:
        if self._latencies.due(now):
            status = convert.diagnostic("latency", DiagnosticStatus.OK, "from light to motion", stages.values())
            self._latencies.post(convert.diagnostics(self._time.to_ros(now), [status]), now)

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


def _word(stamp: int, instance: str, values: Mapping[str, str], config: Config) -> Word:
    """A status of the policy node; what is missing or no number in it is left out."""
    spans = {name: _number(values, f"{name}_ms") for name in ("received", "encoded", "decided")}
    frames = {name: _number(values, f"frame_{name}") for name in config.cameras}
    return Word(
        stamp, instance, values.get("policy", ""), values.get("instruction", "").strip(),
        {name: int(number) for name, number in frames.items() if number is not None},
        {name: int(number * MILLISECOND) for name, number in spans.items() if number is not None},
    )  # fmt: skip


def _number(values: Mapping[str, str], name: str) -> float | None:
    """None where there is none, or one that no block holds."""
    try:
        number = float(values.get(name, "nan"))
    except ValueError:
        return None
    return number if abs(number) <= _AGES * _AGES else None


def _ahead() -> ArmNode:
    """The node in a process that waits for nobody but the servo, and the arm that is played: a Stop passes here."""
    node = ArmNode()
    if node.priority:
        runtime.run_ahead(node.priority - 20)
    return node


def main(argv: Sequence[str] | None = None) -> int:
    """Run the node."""
    return run_node(_ahead, argv)


if __name__ == "__main__":
    sys.exit(main())
