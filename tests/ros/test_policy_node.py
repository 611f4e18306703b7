"""The policy node: it thinks when it may, idles when it must, and says why under its own name."""

import time

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.lifecycle import TransitionCallbackReturn
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import String
from trajectory_msgs.msg import MultiDOFJointTrajectory

from vla_ros.clock import MILLISECOND, SECOND
from vla_ros.nodes import convert, thinker
from vla_ros.nodes.policy import PolicyNode
from vla_ros.nodes.process import newest
from vla_ros.policy.constant import ConstantDeltaPolicy
from vla_ros.policy.policy import InstructionError
from vla_ros.values import Intrinsics

from .bed import Statuses, arm_at, small_config

SPEC = "constant:0.45,0.1,0.2"


class Robot:
    """Cameras and an arm that stand still, published from the test, and ears for what the policy says.

    Pictures differ from frame to frame, as a sensor's do, but for the cameras that are `frozen`.
    """

    def __init__(self, ros):
        self._ros, self.node = ros, ros.node("robot")
        config = small_config()
        self._images, self._infos, self._writers, self.intrinsics = {}, {}, {}, {}
        for name, c in config.cameras.items():
            self.intrinsics[name] = Intrinsics(c.width, c.height, c.fx, c.fy, c.cx, c.cy, c.roi, c.binning)
            self._images[name] = self.node.create_publisher(Image, f"{c.topic}/color/image_raw", newest())
            self._infos[name] = self.node.create_publisher(CameraInfo, f"{c.topic}/color/camera_info", newest())
            self._writers[name] = convert.ImageWriter(self.intrinsics[name].image_shape, name)
        self._joints = self.node.create_publisher(JointState, "/joint_states", newest(reliable=False))
        self._tool = self.node.create_publisher(PoseStamped, "/arm/tool_pose", newest(reliable=False))
        self._instruction = self.node.create_publisher(String, "/vla/instruction", newest())
        self.chunks, self.arrivals = [], []
        self.node.create_subscription(MultiDOFJointTrajectory, "/vla/action_chunk", self._hear, 10)
        self.status = Statuses(self.node, "/vla/status", "policy")
        self.broken, self.frozen, self.stamps, self._due = {}, set(), [], 0.0
        self.node.create_timer(0.01, self._publish)

    def _hear(self, chunk):
        self.chunks.append(chunk)
        self.arrivals.append(time.time_ns())

    def _publish(self):
        now = time.time_ns()
        joints, tool = convert.from_arm(arm_at(0), now)
        self._joints.publish(joints)
        self._tool.publish(tool)
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + 1 / 30
        self.stamps.append(now)
        for name, camera in self.intrinsics.items():
            level = 0 if name in self.frozen else len(self.stamps) % 256
            image = self._writers[name].write(np.full((*camera.image_shape, 3), level, np.uint8), now)
            info = convert.from_intrinsics(camera, name)
            info.header.stamp = image.header.stamp
            self._images[name].publish(self.broken.get(name, lambda m: m)(image))
            self._infos[name].publish(self.broken.get(f"{name} info", lambda m: m)(info))

    def say(self, text):
        self._ros.spin_until(lambda: self._instruction.get_subscription_count() > 0, "nobody listens")
        self._instruction.publish(String(data=text))

    def until(self, condition, what=""):
        self._ros.spin_until(condition, f"{what}; last status: {self.status.newest if self.status.got else None}")

    def fresh(self, count=3):
        """Wait for that many new chunks; returns them."""
        seen = len(self.chunks)
        self.until(lambda: len(self.chunks) >= seen + count, "no new chunks")
        return self.chunks[seen:]

    def statuses(self):
        """The newest status of each stamp (ROS time, ns)."""
        return {convert.from_time(stamp): status for stamp, status in self.status.got}

    def ask(self, text):
        """Write the policy's parameter `fault`: whether that was done, and why not."""
        value = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=text)
        request = SetParameters.Request(parameters=[Parameter(name="fault", value=value)])
        result = self._ros.call(self.node, SetParameters, "/policy/set_parameters", request).results[0]
        return result.successful, result.reason


def change(ros, robot, transition):
    request = ChangeState.Request(transition=Transition(id=transition))
    return ros.call(robot.node, ChangeState, "/policy/change_state", request).success


@pytest.fixture
def robot(ros):
    """A robot with an active policy."""
    robot = Robot(ros)
    robot.policy = ros.add(PolicyNode, **{"policy.bundle": SPEC, "deadlines.skew": 0.3})
    assert change(ros, robot, Transition.TRANSITION_CONFIGURE)
    assert change(ros, robot, Transition.TRANSITION_ACTIVATE)
    return robot


def test_without_an_instruction_empty_chunks_are_the_sign_of_life(robot):
    assert all(not chunk.points for chunk in robot.fresh())
    assert robot.status.newest.message == "idle: no instruction"
    assert robot.status.newest.hardware_id
    assert robot.status.values()["state"] == "active"


def test_an_instruction_makes_chunks_stamped_at_exposure_and_an_empty_one_ends_them(robot):
    robot.say("go there")
    robot.until(lambda: robot.chunks and robot.chunks[-1].points, "no chunk")
    chunk = robot.fresh()[-1]
    stamp = convert.from_time(chunk.header.stamp)
    assert min(abs(stamp - moment) for moment in robot.stamps) < MILLISECOND
    decoded = convert.to_chunk(chunk, 0, 0)
    assert (len(decoded), decoded.execute, decoded.step) == (10, 5, 100 * MILLISECOND)
    assert decoded.positions[-1][1] > decoded.positions[0][1]
    robot.until(lambda: stamp in robot.statuses(), "no status of that stamp")
    assert convert.values(robot.statuses()[stamp])["instruction"] == "go there"
    robot.say("")
    robot.until(lambda: not robot.chunks[-1].points, "still chunks")
    assert all(not chunk.points for chunk in robot.fresh())


def test_the_status_of_a_chunk_says_what_it_was_made_of_and_when(robot):
    robot.say("go there")
    robot.until(lambda: robot.chunks and robot.chunks[-1].points, "no chunk")
    stamp = convert.from_time(robot.fresh()[-1].header.stamp)
    robot.until(lambda: stamp in robot.statuses(), "no status of that stamp")
    values = convert.values(robot.statuses()[stamp])
    assert values["state"] == "active"
    assert values["policy"] == SPEC
    assert int(values["targets"]) == 10
    assert int(values["sequence"]) >= 1
    assert int(values["frame_static"]) >= 1
    assert int(values["frame_wrist"]) >= 1
    moments = [float(values[f"{name}_ms"]) for name in ("received", "encoded", "decided", "published")]
    assert moments == sorted(moments)
    assert moments[0] > 0
    assert float(values["skew_ms"]) >= 0
    assert float(values["unchanged_static_ms"]) == float(values["unchanged_wrist_ms"]) == 0


def test_the_status_of_an_idle_policy_has_the_stamp_of_its_empty_chunk_and_the_pictures(robot):
    robot.until(lambda: "unchanged_wrist_ms" in robot.status.values(), "no picture")
    stamp = convert.from_time(robot.fresh()[-1].header.stamp)
    robot.until(lambda: stamp in robot.statuses(), "no status of that stamp")
    values = convert.values(robot.statuses()[stamp])
    assert (values["targets"], values["instruction"]) == ("0", "")
    assert float(values["unchanged_static_ms"]) == 0


def test_without_pictures_nothing_is_said_of_them(ros):
    status = Statuses(ros.node("probe"), "/vla/status", "policy")
    node = ros.add(PolicyNode, **{"policy.bundle": SPEC})
    node.trigger_configure()
    node.trigger_activate()
    ros.spin_until(lambda: status.values().get("state") == "active", "no status")
    assert "unchanged_static_ms" not in status.values()


def test_a_frozen_picture_is_named_and_not_thought_upon(robot):
    robot.say("go there")
    robot.until(lambda: robot.chunks and robot.chunks[-1].points, "no chunk")
    robot.frozen.add("static")
    robot.until(lambda: robot.status.says("camera static shows the same picture since 0."), "not named")
    seen, begun = len(robot.chunks), len(robot.stamps)
    robot.until(lambda: len(robot.stamps) > begun + 20)
    assert len(robot.chunks) <= seen + 1
    assert float(robot.status.values()["unchanged_static_ms"]) > 200
    robot.frozen.clear()
    robot.fresh()


def test_a_camera_of_another_driver_has_its_latency_taken_off(ros):
    robot = Robot(ros)
    drivers = {"cameras.static.driver": "topic", "cameras.wrist.driver": "topic"}
    ros.add(
        PolicyNode,
        **{"policy.bundle": SPEC, "deadlines.skew": 0.3, "cameras.static.latency": 0.04, **drivers},
        **{"cameras.wrist.latency": 0.04},
    )
    change(ros, robot, Transition.TRANSITION_CONFIGURE)
    change(ros, robot, Transition.TRANSITION_ACTIVATE)
    robot.say("go there")
    robot.until(lambda: robot.chunks and robot.chunks[-1].points, "no chunk")
    stamp = convert.from_time(robot.fresh()[-1].header.stamp)
    assert min(abs(stamp + 40 * MILLISECOND - moment) for moment in robot.stamps) < MILLISECOND


def test_a_late_policy_says_status_and_chunk_of_one_stamp_late_together(robot):
    robot.say("go there")
    robot.until(lambda: robot.chunks and robot.chunks[-1].points, "no chunk")
    assert robot.ask("delay 60 0.25") == (True, "")
    asked = time.time_ns()
    robot.until(lambda: convert.from_time(robot.chunks[-1].header.stamp) > asked, "no later chunk")
    stamp = convert.from_time(robot.chunks[-1].header.stamp)
    assert robot.arrivals[-1] - stamp > SECOND // 4
    robot.until(lambda: stamp in robot.statuses(), "no status of that stamp")
    assert float(convert.values(robot.statuses()[stamp])["published_ms"]) > 250


def test_a_frozen_policy_gives_its_former_targets_under_new_stamps(robot):
    robot.say("go there")
    robot.until(lambda: robot.chunks and robot.chunks[-1].points, "no chunk")
    assert robot.ask("freeze 60")[0]
    robot.say("")
    robot.until(lambda: robot.status.newest.message == "idle: no instruction", "not idle")
    chunks = robot.fresh(4)[1:]
    assert all(chunk.points == chunks[0].points for chunk in chunks)
    assert len(chunks[0].points) == 10
    assert len({convert.from_time(chunk.header.stamp) for chunk in chunks}) == 3


def test_a_disconnected_policy_falls_silent_and_comes_back(robot):
    robot.fresh()
    assert robot.ask("disconnect 1.0")[0]
    robot.fresh(4)
    gaps = np.diff([convert.from_time(chunk.header.stamp) for chunk in robot.chunks])
    assert gaps.max() > 0.9 * SECOND


def test_what_is_no_fault_is_refused_with_the_reason(robot):
    done, reason = robot.ask("melt 2")
    assert not done
    assert "'melt' is no fault" in reason
    robot.fresh()


def test_an_instruction_that_is_too_long_is_refused_and_ends_the_one_before(robot):
    robot.say("go there")
    robot.until(lambda: robot.chunks and robot.chunks[-1].points, "no chunk")
    robot.say("x" * 10_000)
    robot.until(lambda: robot.status.says("instruction refused"), "not refused")
    assert "10000 characters: at most 512" in robot.status.newest.message
    assert robot.status.newest.level == DiagnosticStatus.ERROR
    assert all(not chunk.points for chunk in robot.fresh())


class Choosy(ConstantDeltaPolicy):
    """Knows one word."""

    def set_instruction(self, text):
        if text not in ("", "go"):
            raise InstructionError(f"the policy does not know {text!r}. It knows: go.")
        super().set_instruction(text)


def test_unknown_words_are_refused_and_the_known_ones_named(ros, monkeypatch):
    monkeypatch.setattr(thinker, "load_policy", lambda spec, config: Choosy(np.array([0.45, 0.1, 0.2])))
    robot = Robot(ros)
    ros.add(PolicyNode, **{"deadlines.skew": 0.3})
    change(ros, robot, Transition.TRANSITION_CONFIGURE)
    change(ros, robot, Transition.TRANSITION_ACTIVATE)
    robot.say("dance")
    robot.until(lambda: robot.status.says("does not know 'dance'. It knows: go."), "not refused")
    assert all(not chunk.points for chunk in robot.fresh())
    robot.say("go")
    robot.until(lambda: robot.chunks[-1].points, "the known one is not followed")


def resized(message):
    other = Image(height=10, width=20, encoding="rgb8", step=60, data=bytes(600))
    other.header = message.header
    return other


def packed(message):
    other = Image(height=message.height, width=message.width, encoding="yuv422_yuy2", step=2 * message.width)
    other.header, other.data = message.header, bytes(2 * message.width * message.height)
    return other


def binned(message):
    message.binning_x = message.binning_y = 2
    return message


@pytest.mark.parametrize(
    ("source", "breaks", "says"),
    [
        ("wrist", resized, "/wrist_camera/color/image_raw: size is 20×10, wanted is 80×60"),
        ("static", packed, "/static_camera/color/image_raw: encoding is 'yuv422_yuy2': publish rgb8, bgr8, rgba8"),
        ("wrist info", binned, "binning is 2, configured is 8"),
    ],
)
def test_a_camera_that_does_not_fit_makes_it_idle_and_is_named(robot, source, breaks, says):
    robot.say("go there")
    robot.until(lambda: robot.chunks and robot.chunks[-1].points, "no chunk")
    robot.broken[source] = breaks
    robot.until(lambda: robot.status.says(says), says)
    assert robot.status.newest.level == DiagnosticStatus.ERROR
    assert all(not chunk.points for chunk in robot.fresh())
    robot.broken.clear()
    robot.until(lambda: robot.chunks[-1].points, "does not go on when the camera is well again")


@pytest.mark.parametrize("garbage", ["closed", "", "1e999"])
def test_a_gripper_command_that_is_no_number_is_passed_over(ros, robot, garbage):
    arm = robot.node.create_publisher(DiagnosticArray, "/arm/status", newest(depth=10))
    ros.spin_until(lambda: arm.get_subscription_count() > 0, "nobody listens")

    def tell(command):
        arm.publish(convert.diagnostics(0, [convert.diagnostic("arm", b"\x00", "", {"gripper_command": command})]))

    tell("0.25")
    robot.until(lambda: robot.policy._gripper_command == 0.25, "not heard")
    tell(garbage)
    tell("0.5")
    robot.until(lambda: robot.policy._gripper_command != 0.25, "not heard again")
    assert robot.policy._gripper_command == 0.5
    assert robot.policy._thinker.gripper_command == 0.5
    robot.fresh()


class Failing(ConstantDeltaPolicy):
    """Fails when it acts."""

    def act(self, observation, gripper_command):
        raise RuntimeError("out of memory")


def test_a_policy_that_fails_makes_it_idle_and_is_named(ros, monkeypatch):
    monkeypatch.setattr(thinker, "load_policy", lambda spec, config: Failing(np.zeros(3)))
    robot = Robot(ros)
    ros.add(PolicyNode, **{"deadlines.skew": 0.3})
    change(ros, robot, Transition.TRANSITION_CONFIGURE)
    change(ros, robot, Transition.TRANSITION_ACTIVATE)
    robot.say("go")
    robot.until(lambda: robot.status.says("RuntimeError: out of memory"), "not told")
    assert all(not chunk.points for chunk in robot.fresh())


def test_a_bundle_that_is_not_there_fails_to_configure_and_says_so(ros):
    robot = Robot(ros)
    ros.add(PolicyNode, **{"policy.bundle": "no_such_bundle"})
    assert not change(ros, robot, Transition.TRANSITION_CONFIGURE)
    robot.until(lambda: robot.status.says("no_such_bundle"), "not told")
    assert robot.status.newest.level == DiagnosticStatus.ERROR


def test_a_deactivated_policy_says_nothing(ros, robot):
    robot.fresh()
    assert robot.policy.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
    ros.spin_until(lambda: robot.stamps[-1] > time.time_ns() - 10**9)
    seen = len(robot.chunks)
    begun = len(robot.stamps)
    robot.until(lambda: len(robot.stamps) > begun + 15)
    assert len(robot.chunks) <= seen + 1
    assert robot.policy.trigger_cleanup() == TransitionCallbackReturn.SUCCESS
