"""The arm node with the real servo and the real twin: what it lets through, and what it answers."""

import time

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseStamped, TwistStamped
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.msg import ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from sensor_msgs.msg import CameraInfo, JointState
from std_srvs.srv import Trigger
from trajectory_msgs.msg import MultiDOFJointTrajectory

from vla_ros import bringup
from vla_ros.nodes import convert
from vla_ros.nodes.arm import ArmNode
from vla_ros.nodes.process import newest
from vla_ros.values import ActionChunk

from .bed import Statuses, small_config


class Others:
    """Cameras and a policy, published from the test, and ears for the arm."""

    def __init__(self, ros):
        self._ros, self.node = ros, ros.node("others")
        topics = [camera.topic for camera in small_config().cameras.values()]
        self._infos = [self.node.create_publisher(CameraInfo, f"{t}/color/camera_info", newest()) for t in topics]
        self._policy = self.node.create_publisher(DiagnosticArray, "/vla/status", newest(depth=10))
        self._chunks = self.node.create_publisher(MultiDOFJointTrajectory, "/vla/action_chunk", newest())
        self.status = Statuses(self.node, "/arm/status", "arm")
        self.joints, self.tools, self.commands = [], [], []
        self.node.create_subscription(JointState, "/joint_states", self.joints.append, newest(reliable=False))
        self.node.create_subscription(PoseStamped, "/arm/tool_pose", self.tools.append, newest(reliable=False))
        self.node.create_subscription(TwistStamped, "/arm/command", self.commands.append, 10)
        self._twists = self.node.create_publisher(TwistStamped, "/teleop/twist", newest(reliable=False))
        self.cameras, self.instance, self.twist, self.said = True, "first", None, {}
        self.node.create_timer(0.03, self._publish)

    def _publish(self):
        now = time.time_ns()
        for info in self._infos if self.cameras else []:
            message = CameraInfo()
            message.header.stamp = convert.to_time(now)
            info.publish(message)
        if self.instance:
            self.speak(now, self.instance)
        if self.twist is not None:
            self._twists.publish(convert.from_twist(np.array(self.twist, float), now))

    def speak(self, stamp, instance, **values):
        """What a policy says of itself at `stamp`."""
        said = {"state": "active", "instruction": "lift"} | self.said | values
        self._policy.publish(convert.diagnostics(stamp, [convert.diagnostic("policy", b"\x00", "", said, instance)]))

    def call(self, wish):
        response = self._ros.call(self.node, Trigger, f"/arm/{wish}", Trigger.Request())
        return response.success, response.message

    def set_fault(self, text):
        """Why the fault was refused; empty: it is played."""
        value = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=text)
        request = SetParameters.Request(parameters=[ParameterMessage(name="fault", value=value)])
        return self._ros.call(self.node, SetParameters, "/arm/set_parameters", request).results[0].reason

    def until(self, condition, what=""):
        self._ros.spin_until(condition, f"{what}; last status: {self.status.newest if self.status.got else None}")

    def mode(self):
        return self.status.values().get("mode")

    def enable(self):
        """Enable; what has not been heard of yet may still be in the way, or a Stop on a busy machine."""

        def enabled():
            if self.mode() == "STOPPED":
                self.call("reset")
            return self.call("enable")[0]

        self.until(enabled, "not enabled")

    def rest(self):
        """Wait until the arm stands."""
        seen = len(self.joints)
        self.until(lambda: len(self.joints) > seen + 3 and max(map(abs, self.joints[-1].velocity)) < 0.002, "moves")

    def position(self):
        p = self.tools[-1].pose.position
        return np.array([p.x, p.y, p.z])

    def play(self, offset, n=10, instance="first", overtaken=False, **said):
        """Send a chunk that leads from here to `offset` further, at 20 mm a step or less, and say that it is `instance`'s."""
        self.heard()
        tool = convert.to_pose(self.tools[-1].pose)
        way = np.linspace(0, 1, n + 1)[1:, None] * np.array(offset)
        chunk = ActionChunk(
            0, 100_000_000, tool.position + way, np.tile(tool.quaternion, (n, 1)), np.zeros(n), n, "", "", 0
        )
        stamp = time.time_ns()
        if instance:
            self.speak(stamp, instance, **said)
        if overtaken:
            self.speak(stamp + 1, instance)
        self.send(convert.from_chunk(chunk, stamp))

    def send(self, trajectory):
        """Publish it, to somebody who listens."""
        self.heard()
        self._chunks.publish(trajectory)

    def heard(self):
        """Wait until somebody listens to chunks: before one is made, since its stamp grows old."""
        self.until(lambda: self._chunks.get_subscription_count() > 0, "nobody listens to chunks")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A runtime folder with the twin and the servo in it."""
    from .bed import Processes

    folder = tmp_path_factory.mktemp("runtime")
    config = bringup.prepare(small_config(), folder)
    wanted = [process for process in bringup.processes(config) if process.name in ("twin", "servo")]
    with Processes() as processes:
        for process in wanted:
            processes.start(*process.command(folder)[2:])
        yield folder


@pytest.fixture
def others(ros, folder):
    """The arm node beside them, disarmed."""
    others = Others(ros)
    ros.add(ArmNode, runtime=str(folder))
    others.until(lambda: others.tools and others.mode() not in (None, "NONE"), "the arm says nothing")
    yield others
    others.call("disable")
    if others.mode() == "STOPPED":
        others.until(lambda: others.call("reset")[0], "not reset")


def test_it_publishes_what_the_servo_says(others):
    others.until(lambda: others.joints and others.commands, "nothing")
    assert list(others.joints[-1].name) == convert.JOINT_NAMES
    assert others.tools[-1].header.frame_id == "base_link"
    assert 0.3 < others.position()[0] < 0.6
    assert abs(convert.from_time(others.joints[-1].header.stamp) - time.time_ns()) < 5e9
    assert {"mode", "verdict", "missed", "period_error_p99_ms", "seam_jump_m_s", "source"} <= set(
        others.status.values()
    )


def test_enable_names_what_is_in_the_way(others):
    others.cameras, others.instance = False, ""

    def missed():
        others.call("disable")  # what was heard before this test may have been enough to be enabled
        return "no sign of life from the policy" in others.call("enable")[1]

    others.until(missed, "the policy is not missed")
    done, text = others.call("enable")
    assert not done
    assert "no fresh frames from camera static" in text
    assert "no fresh frames from camera wrist" in text


def test_an_enabled_arm_plays_a_chunk_and_disable_ends_it(others):
    others.enable()
    assert others.call("enable")[1] == "idle"
    start = others.position()
    others.play([0.0, 0.05, 0.0])
    others.until(lambda: np.linalg.norm(others.position() - start) > 0.02, "did not move")
    assert others.call("disable") == (True, "disarmed")
    others.until(lambda: others.mode() == "DISARMED", "not disarmed")


def test_a_disarmed_arm_does_not_move(others):
    others.rest()
    start = others.position()
    seen = len(others.tools)
    others.play([0.0, 0.05, 0.0])
    others.until(lambda: len(others.tools) > seen + 30)
    assert np.linalg.norm(others.position() - start) < 1e-3


def test_stop_is_latched_until_reset(others):
    others.enable()
    assert others.call("stop") == (True, "stopped")
    done, text = others.call("enable")
    assert not done
    assert "/arm/reset" in text
    others.until(lambda: others.mode() == "STOPPED", "not stopped")
    assert others.status.newest.level == DiagnosticStatus.ERROR
    others.until(lambda: others.call("reset")[0], "not reset")
    others.until(lambda: others.mode() == "DISARMED", "not disarmed")


def test_a_policy_that_was_started_anew_disarms(others):
    others.enable()
    others.instance = "second"
    others.until(lambda: others.mode() == "DISARMED", "still armed")


def test_a_second_policy_moves_nothing_while_the_first_lives(others):
    others.enable()
    others.rest()
    start, refused = others.position(), int(others.status.values()["refused"])
    others.play([0.0, 0.05, 0.0], instance="another")
    others.until(lambda: int(others.status.values()["refused"]) > refused, "not refused")
    assert others.status.values()["refusal"] == "CHUNK_SECOND_POLICY"
    assert others.mode() == "IDLE"
    assert np.linalg.norm(others.position() - start) < 1e-3


def test_a_chunk_of_which_no_policy_speaks_is_refused(others):
    others.enable()
    others.play([0.0, 0.05, 0.0], instance="")
    others.until(lambda: others.status.values()["refusal"] == "CHUNK_UNKNOWN", "not refused")
    assert others.mode() == "IDLE"


def test_a_chunk_that_comes_late_from_another_instruction_is_refused(others):
    others.enable()
    others.play([0.0, 0.05, 0.0])
    others.until(lambda: others.mode() == "ACTIVE", "not active")
    others.play([0.0, 0.05, 0.0], instruction="put it down", overtaken=True)
    others.until(lambda: others.status.values()["refusal"] == "CHUNK_INSTRUCTION", "not refused")


def test_a_policy_that_follows_nothing_any_more_makes_the_arm_idle(others):
    others.enable()
    others.play([0.0, 0.05, 0.0])
    others.until(lambda: others.mode() == "ACTIVE", "not active")
    others.said = {"instruction": ""}
    others.until(lambda: others.mode() == "IDLE", "not idle")


def test_the_command_says_where_it_comes_from(others):
    others.enable()
    others.play([0.0, 0.05, 0.0], frame_static=17, received_ms=3.0, decided_ms=8.0)
    others.until(lambda: others.status.values().get("source") == "policy", "no source")
    values = others.status.values()
    assert (values["instruction"], values["frame_static"]) == ("lift", "17")
    assert (float(values["received_ms"]), float(values["decided_ms"])) == (3.0, 8.0)
    assert float(values["command_ms"]) > 0


def test_the_hand_moves_the_arm_while_the_clutch_is_held(others):
    others.enable()
    others.rest()
    start = others.position()
    others.twist = (0.0, 0.05, 0.0, 0.0, 0.0, 0.0)
    others.until(lambda: others.mode() == "TELEOP", "no teleop")
    others.until(lambda: others.position()[1] - start[1] > 0.02, "did not move")
    others.twist = None
    others.until(lambda: others.mode() == "IDLE", "still held")


def test_pictures_that_do_not_change_hold_the_arm_and_disarm_it(others):
    others.said = {"unchanged_static_ms": 5.0, "unchanged_wrist_ms": 5.0}
    others.enable()
    others.play([0.0, 0.05, 0.0])
    others.until(lambda: others.mode() == "ACTIVE", "not active")
    others.said = {"unchanged_static_ms": 5.0, "unchanged_wrist_ms": 400.0}
    others.until(lambda: others.status.values()["verdict"] == "CAMERA_FROZEN", "not seen")
    others.said["unchanged_wrist_ms"] = 1e9
    others.until(lambda: others.mode() == "DISARMED", "not disarmed")


def test_a_fault_is_asked_for_by_the_parameter_and_a_bad_one_is_refused(others):
    others.enable()
    assert "KIND" in others.set_fault("feedback nonsense")
    assert others.set_fault("feedback disconnect 0.4") == ""
    others.until(lambda: others.mode() == "STOPPED", "not stopped")


def test_latencies_are_on_diagnostics(others):
    got = Statuses(others.node, "/diagnostics", "latency")
    others.until(lambda: got.got, "nothing")
    assert any(name.endswith("_p99_ms") for name in got.values())


def test_ten_thousand_points_are_refused_in_words(others):
    others.enable()
    point = convert.MultiDOFJointTrajectoryPoint()
    others.send(MultiDOFJointTrajectory(joint_names=convert.CHUNK_JOINTS, points=[point] * 10_000))
    others.until(lambda: others.status.says("chunk refused: 10000 points: at most 64 are taken"), "not refused")


@pytest.mark.parametrize("value", ["garbage", "inf", "-1e300", "nan", ""])
def test_numbers_that_are_none_do_not_disturb_the_node(others, value):
    names = ("unchanged_static_ms", "received_ms", "decided_ms", "frame_static")
    others.enable()
    others.play([0.0, 0.05, 0.0], **dict.fromkeys(names, value))
    others.until(lambda: others.mode() == "ACTIVE", "not active")


def test_a_trajectory_of_another_form_is_refused_in_words(others):
    others.enable()
    others.send(MultiDOFJointTrajectory(joint_names=["hand"], points=[convert.MultiDOFJointTrajectoryPoint()]))
    others.until(lambda: others.status.says("chunk refused: joint_names"), "not refused")


def test_cameras_that_fall_silent_disarm_in_mid_task(others):
    others.enable()
    others.play([0.0, -0.05, 0.0])
    others.until(lambda: others.mode() == "ACTIVE", "not active")
    others.cameras = False
    others.until(lambda: others.mode() == "HOLD", "not held")
    others.until(lambda: others.mode() == "DISARMED", "not disarmed")
