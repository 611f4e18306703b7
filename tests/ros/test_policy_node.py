"""The policy node: it thinks when it may, idles when it must, and says why under its own name."""

import time

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import PoseStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import String
from trajectory_msgs.msg import MultiDOFJointTrajectory

from vla_ros.clock import MILLISECOND
from vla_ros.nodes import convert, thinker
from vla_ros.nodes.policy import PolicyNode
from vla_ros.nodes.process import newest
from vla_ros.policy.constant import ConstantDeltaPolicy
from vla_ros.policy.policy import InstructionError
from vla_ros.values import Intrinsics

from .bed import Statuses, arm_at, small_config

SPEC = "constant:0.45,0.1,0.2"


class Robot:
    """Cameras and an arm that stand still, published from the test, and ears for what the policy says."""

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
        self.chunks = []
        self.node.create_subscription(MultiDOFJointTrajectory, "/vla/action_chunk", self.chunks.append, 10)
        self.status = Statuses(self.node, "/vla/status", "policy")
        self.broken, self.stamps, self._due = {}, [], 0.0
        self.node.create_timer(0.01, self._publish)

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
            image = self._writers[name].write(np.zeros((*camera.image_shape, 3), np.uint8), now)
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


def change(ros, robot, transition):
    request = ChangeState.Request(transition=Transition(id=transition))
    return ros.call(robot.node, ChangeState, "/policy/change_state", request).success


@pytest.fixture
def robot(ros):
    """A robot with an active policy."""
    robot = Robot(ros)
    ros.add(PolicyNode, **{"policy.bundle": SPEC, "deadlines.skew": 0.3})
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
    statuses = {convert.from_time(s): status for s, status in robot.status.got}
    robot.until(lambda: stamp in {convert.from_time(s) for s, _ in robot.status.got}, "no status of that stamp")
    statuses = {convert.from_time(s): status for s, status in robot.status.got}
    assert convert.values(statuses[stamp])["instruction"] == "go there"
    robot.say("")
    robot.until(lambda: not robot.chunks[-1].points, "still chunks")
    assert all(not chunk.points for chunk in robot.fresh())


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


def grey(message):
    other = Image(height=message.height, width=message.width, encoding="mono8", step=message.width)
    other.header, other.data = message.header, bytes(message.width * message.height)
    return other


def binned(message):
    message.binning_x = message.binning_y = 2
    return message


@pytest.mark.parametrize(
    ("source", "breaks", "says"),
    [
        ("wrist", resized, "/wrist_camera/color/image_raw: size is 20×10, wanted is 80×60"),
        ("static", grey, "/static_camera/color/image_raw: encoding is 'mono8': publish rgb8 or bgr8"),
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
    assert change(ros, robot, Transition.TRANSITION_DEACTIVATE)
    ros.spin_until(lambda: robot.stamps[-1] > time.time_ns() - 10**9)
    seen = len(robot.chunks)
    begun = len(robot.stamps)
    robot.until(lambda: len(robot.stamps) > begun + 15)
    assert len(robot.chunks) <= seen + 1
    assert change(ros, robot, Transition.TRANSITION_CLEANUP)
