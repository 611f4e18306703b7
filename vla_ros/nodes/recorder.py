"""The recorder node: cameras, arm and people come in, episodes of a dataset come out. It moves the arm only to park it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseStamped, TwistStamped
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import MultiDOFJointTrajectory

from vla_ros.clock import SECOND, MonotonicClock
from vla_ros.config import CameraConfig, Config
from vla_ros.episodes import recorder, rows
from vla_ros.episodes.layout import DatasetError
from vla_ros.episodes.lerobot import DatasetWriter
from vla_ros.episodes.memory import Memory
from vla_ros.episodes.recorder import Begin, Commit, Discard, End, Event, Keep, Outcome, Park, Phase, State
from vla_ros.episodes.scribe import Desk, Scribe
from vla_ros.geometry import Pose
from vla_ros.kinematics import TOOL_DOWN
from vla_ros.nodes import convert, parameters
from vla_ros.nodes.assembly import Assembler, Shot, Told, Twist
from vla_ros.nodes.camera_topics import intrinsics, late, quality, to_depth_view, to_view
from vla_ros.nodes.parking import Parking
from vla_ros.nodes.process import Bulletin, RefusalError, newest, run_node
from vla_ros.nodes.raw_log import RawLog
from vla_ros.nodes.ros_time import SETTLE, TimeMap
from vla_ros.values import ZERO_TWIST, Mode, Verdict

CYCLE = 0.02
STATUS = 200_000_000
"""ns between two statuses; a change is told at once."""
ROOM = 1 << 30
"""Bytes that the disk must have left: minutes of two cameras."""
FAREWELL = 5
"""Zeros after parking: one of them may be lost."""


class RecorderNode(Node):
    """Callbacks store; a timer looks, and hands samples and effects to the desk, which writes."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__("recorder", **arguments)
        self.failure = ""
        self._config = config = parameters.read(self)
        self._monotonic = MonotonicClock()
        self._time = TimeMap(lambda: self.get_clock().now().nanoseconds, self._monotonic.now)
        self._assembler = Assembler(config)
        self._settings = recorder.Settings(
            round(config.record.longest * SECOND), round(config.record.memory * SECOND), config.record.park
        )
        self._state = State(config.record.tasks)
        self._parking: Parking | None = None
        self._farewell, self._own, self._distrusted = 0, 0, 0
        self._joints: JointState | None = None
        self._policy, self._text = "", ""
        self._told: tuple[Any, ...] = ()
        self._told_at = 0
        self._status = self.create_publisher(DiagnosticArray, "/recorder/status", newest(depth=10))
        self._bulletin = Bulletin(self)
        self._twist = self.create_publisher(TwistStamped, "/teleop/twist", newest(reliable=False))
        self._grip = self.create_publisher(JointState, "/teleop/gripper", newest(reliable=False))
        self._listen_to(config)
        for event in Event:
            self.create_service(Trigger, f"/recorder/{event.value}", self._service(event))
        self._root = Path(config.record.output).expanduser()
        self._log = RawLog(self, self._root, _topics(config)) if config.record.log else None
        self._desk = self._opened(config)
        self.create_timer(CYCLE, self._cycle)

    def _opened(self, config: Config) -> Desk:
        """The dataset, last of all: nothing can fail behind it. Raises RefusalError where it is another one, or somebody else's."""
        if not config.record.output:
            raise RefusalError("record.output is empty: name the folder of the dataset")
        if not any(task.strip() for task in config.record.tasks):
            raise RefusalError("record.tasks is empty: name at least one instruction")
        try:
            fps = rows.rate(config)
            writer = DatasetWriter(self._root, rows.features(config), fps, config.robot)
        except (DatasetError, ValueError, OSError) as error:
            raise RefusalError(f"nothing can be recorded: {error}") from None
        memory = Memory(self._settings.memory, config.record.memory_size << 20)
        return Desk(Scribe(writer, self._root, fps, memory, self._notes, self._finished))

    def _listen_to(self, config: Config) -> None:
        self.create_subscription(JointState, "/joint_states", self._hear_joints, newest(reliable=False, depth=5))
        self.create_subscription(PoseStamped, "/arm/tool_pose", self._hear_tool, newest(reliable=False, depth=5))
        self.create_subscription(TwistStamped, "/arm/command", self._hear_command, newest(depth=10))
        self.create_subscription(DiagnosticArray, "/arm/status", self._hear_arm, newest(depth=10))
        self.create_subscription(DiagnosticArray, "/vla/status", self._hear_policy, newest(depth=10))
        self.create_subscription(TwistStamped, "/teleop/twist", self._hear_hand, newest(reliable=False))
        for name, camera in config.cameras.items():
            self.create_subscription(
                Image, camera.image_topic, self._hear_image(name, camera), quality(camera, depth=8)
            )
        for name in config.depth_cameras:
            camera = config.cameras[name]
            heard = self._hear_image(name, camera, to_depth_view, self._assembler.put_depth)
            self.create_subscription(Image, camera.depth_topic, heard, quality(camera, depth=8))

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
            self._policy = values.get("policy", "")
            self._assembler.instructed = bool(values.get("instruction", "").strip())

    def _hear_hand(self, message: TwistStamped) -> None:
        """A hand that takes the arm ends its parking."""
        parking = self._parking
        if parking is None or not parking.begun(self._monotonic.now()):
            return
        if convert.from_time(message.header.stamp) != self._own:
            self._parking, self._text = None, "a hand has taken the arm: not parked"

    def _service(self, event: Event) -> Any:
        def called(_: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            outcome = recorder.step(self._state, event, self._monotonic.now(), self._settings)
            self._take(outcome)
            response.success, response.message = outcome.taken, outcome.text
            return response

        return called

    def _cycle(self) -> None:
        now = self._monotonic.now()
        if self._time.check():
            self._assembler.forget()
            self._distrusted = now + SETTLE
        samples = self._assembler.take(now)
        for sample in samples:
            self._desk.put(sample)
        self._take(recorder.observe(self._state, self._obstacle(now), self._parked(now), now, self._settings))
        self.failure = self.failure or self._desk.failure
        self._tell(now)

    def _obstacle(self, now: int) -> str:
        if now < self._distrusted:
            return "the clock was set: stamps are not believed for a second"
        if self._desk.told.trouble:
            return self._desk.told.trouble
        found = self._assembler.obstacle(now)
        return found or _full(self._root)

    def _take(self, outcome: Outcome) -> None:
        """Take up an outcome: the log begins and ends with the take, the rest is the desk's."""
        self._state = outcome.state
        self._text = outcome.text or self._text
        for effect in outcome.effects:
            if isinstance(effect, Park):
                self._park()
                continue
            if self._log is not None and isinstance(effect, Begin | End):
                (self._log.begin if isinstance(effect, Begin) else self._log.end)()
            assert isinstance(effect, Begin | End | Commit | Discard | Keep)
            self._desk.do(effect)

    def _park(self) -> None:
        limits, settings = self._config.limits, self._config.record
        goal = Pose(np.array(settings.park_position), TOOL_DOWN)
        speed = min(settings.park_speed, limits.speed)
        self._parking = Parking(goal, speed, limits.turn_speed / 2, self._monotonic.now())

    def _parked(self, now: int) -> bool:
        """Lead the arm one step further: whether it is parked, or as far as it gets."""
        arm, parking = self._assembler.newest(), self._parking
        if parking is None or arm is None:
            if self._farewell:
                self._farewell -= 1
                self._say(ZERO_TWIST)
            return True
        stuck = parking.given_up(now) or self._assembler.mode() in (Mode.DISARMED, Mode.STOPPED)
        if parking.there(arm.tool) or stuck:
            self._parking, self._farewell = None, FAREWELL
            self._text = "the arm could not be parked" if stuck else self._text
            return True
        if parking.begun(now):
            self._say(parking.twist(arm.tool))
        return False

    def _say(self, twist: Any) -> None:
        self._own = self.get_clock().now().nanoseconds
        self._grip.publish(convert.from_gripper(self._assembler.gripper_command(), self._own))
        self._twist.publish(convert.from_twist(twist, self._own))

    def _tell(self, now: int) -> None:
        state, told = self._state, self._desk.told
        news = (state.phase, state.task, state.parking, state.obstacle, told.episodes, told.text, told.trouble)
        if news == self._told and now - self._told_at < STATUS:
            return
        self._told, self._told_at = news, now
        message = convert.diagnostics(self._time.to_ros(now), [self._report(now)])
        self._status.publish(message)
        self._bulletin.post(message, now)

    def _report(self, now: int) -> DiagnosticStatus:
        state, told = self._state, self._desk.told
        running = state.phase is Phase.RECORDING
        values = {
            "phase": state.phase.value,
            "instruction": state.instruction,
            "task": state.task,
            "episodes": told.episodes,
            "frames": told.frames,
            "repeated": told.repeated,
            "skipped": told.skipped,
            "lost": self._assembler.lost,
            "waiting": self._desk.behind,
            "seconds": (now - state.began) / SECOND if running else 0.0,
            "parking": state.parking,
            "obstacle": state.obstacle,
            "saved": told.text,
            "log": self._log.trouble if self._log is not None else "",
        }
        trouble = state.obstacle or (self._log.trouble if self._log is not None else "")
        level = DiagnosticStatus.WARN if trouble else DiagnosticStatus.OK
        return convert.diagnostic("recorder", level, state.obstacle or self._text or state.phase.value, values)

    def _notes(self) -> dict[str, Any]:
        """What is written beside an episode."""
        cameras = {name: camera.model_dump(mode="json") for name, camera in self._config.cameras.items()}
        return {
            "policy": self._policy,
            "robot": self._config.robot,
            "driver": self._config.arm.driver,
            "cameras": cameras,
        }

    def _finished(self, episode: int | None) -> None:
        if self._log is not None:
            self._log.name(episode)

    def close(self) -> None:
        """Forget an open take, and let go of the dataset."""
        if self._log is not None:
            self._log.close()
        self._desk.close()


def _full(root: Path) -> str:
    there = next((path for path in (root, *root.parents) if path.exists()), Path(os.sep))
    free = shutil.disk_usage(there).free
    return "" if free >= ROOM else f"the disk of {root} has only {free >> 20} MB left"


def _topics(config: Config) -> dict[str, Any]:
    """What the log hears: name -> (message, QoS)."""
    best, sure = newest(reliable=False, depth=50), newest(depth=50)
    topics: dict[str, Any] = {
        "/joint_states": (JointState, best),
        "/arm/tool_pose": (PoseStamped, best),
        "/arm/command": (TwistStamped, sure),
        "/arm/status": (DiagnosticArray, sure),
        "/vla/status": (DiagnosticArray, sure),
        "/vla/instruction": (String, sure),
        "/vla/action_chunk": (MultiDOFJointTrajectory, sure),
        "/teleop/twist": (TwistStamped, best),
        "/teleop/gripper": (JointState, best),
    }
    for camera in config.cameras.values():
        topics[camera.info_topic] = (CameraInfo, quality(camera, depth=50))
        if config.record.log_images:
            topics[camera.image_topic] = (Image, quality(camera, depth=8))
        if config.record.log_images and camera.depth:
            topics[camera.depth_topic] = (Image, quality(camera, depth=8))
    return topics


def main(argv: Sequence[str] | None = None) -> int:
    """Run the node."""
    return run_node(RecorderNode, argv)


if __name__ == "__main__":
    sys.exit(main())
