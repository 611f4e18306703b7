"""The arm led from pose to pose over DDS: it arrives, stands for its picture, feels the table, and gives up in words."""

import threading

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseStamped, TwistStamped
from sensor_msgs.msg import Image, JointState

from vla_ros import geometry
from vla_ros.calibration import rigid
from vla_ros.clock import SECOND
from vla_ros.episodes.replay import Track
from vla_ros.geometry import Pose
from vla_ros.kinematics import TOOL_DOWN
from vla_ros.nodes import convert
from vla_ros.nodes.client import Client, ServiceError
from vla_ros.nodes.drive import Driver
from vla_ros.nodes.process import newest
from vla_ros.values import ArmState

from .bed import small_config

STIFFNESS, LOW = 2000.0, 0.15
"""N/m of the table, and the height of the tool that touches it, m."""
BLUE = 137


class Cell:
    """Plays the arm node: the tool moves as it is told; below LOW it is pushed up. A camera shows how fast it was."""

    def __init__(self, node):
        self.node, self.mode, self.wall = node, "TELEOP", np.inf
        self.pose, self.gripper, self.heard = Pose(np.array([0.45, 0.0, 0.25]), TOOL_DOWN), 0.0, []
        self._twist, self._target, self._last = np.zeros(6), 0.0, self._now()
        publish = node.create_publisher
        self._tool = publish(PoseStamped, "/arm/tool_pose", newest(reliable=False))
        self._joints = publish(JointState, "/joint_states", newest(reliable=False))
        self._status = publish(DiagnosticArray, "/arm/status", 10)
        self._images = publish(Image, "/wrist_camera/color/image_raw", 1)
        self._writer = convert.ImageWriter((60, 80), "wrist")
        node.create_subscription(TwistStamped, "/teleop/twist", self._hear, newest(reliable=False))
        node.create_subscription(JointState, "/teleop/gripper", self._grip, newest(reliable=False))
        node.create_timer(0.01, self._cycle)
        node.create_timer(0.05, self._see)

    def _now(self):
        return self.node.get_clock().now().nanoseconds

    def _hear(self, message):
        linear, angular = message.twist.linear, message.twist.angular
        self.heard.append(np.array([linear.x, linear.y, linear.z, angular.x, angular.y, angular.z]))
        self._twist = self.heard[-1] if self.mode == "TELEOP" else np.zeros(6)

    def _grip(self, message):
        self._target = message.position[0]

    def _cycle(self):
        now = self._now()
        dt, self._last = min(0.05, (now - self._last) / SECOND), now
        position = self.pose.position + self._twist[:3] * dt
        position[0] = min(position[0], self.wall)
        turn = geometry.multiply(geometry.exp(self._twist[3:] * dt), self.pose.quaternion)
        self.pose = Pose(position, geometry.normalized(turn))
        self.gripper += float(np.clip(self._target - self.gripper, -2 * dt, 2 * dt))
        speed = float(np.linalg.norm(self._twist))
        arm = ArmState(0, np.zeros(7), np.full(7, speed), np.zeros(7), self.pose, self.gripper, np.zeros(3))
        joints, tool = convert.from_arm(arm, now)
        self._tool.publish(tool)
        self._joints.publish(joints)
        push = 3.0 + STIFFNESS * max(0.0, LOW - position[2])
        values = {"mode": self.mode, "force_x_n": 0.0, "force_y_n": 0.0, "force_z_n": push}
        status = convert.diagnostic("arm", DiagnosticStatus.OK, "held by a wall", values)
        self._status.publish(convert.diagnostics(now, [status]))

    def _see(self):
        moving = float(np.linalg.norm(self._twist)) > 1e-6
        self._images.publish(self._writer.write(np.full((60, 80, 3), 0 if moving else BLUE, np.uint8), self._now()))


@pytest.fixture
def cell(ros):
    """The cell, alive in a thread until the test ends."""
    made, ended = Cell(ros.node("cell")), threading.Event()

    def live():
        while not ended.is_set():
            ros.executor.spin_once(timeout_sec=0.02)

    thread = threading.Thread(target=live)
    thread.start()
    yield made
    ended.set()
    thread.join()


@pytest.fixture
def driver(cell):
    with Client() as client:
        made = Driver(client, small_config(), "wrist")
        yield made
        made.rest()


def test_the_tool_is_led_to_a_pose_and_stands_there_for_its_picture(cell, driver):
    goal = Pose(np.array([0.48, 0.04, 0.22]), geometry.multiply(geometry.exp(np.array([0.1, -0.05, 0.2])), TOOL_DOWN))
    assert driver.go(goal)
    way, turn = rigid.apart(cell.pose, goal)
    assert way < 0.005
    assert turn < 0.02
    assert not cell.heard[-1].any()
    shot = driver.shoot()
    assert (shot.image == BLUE).all()
    assert rigid.apart(shot.tool, cell.pose)[0] < 1e-6
    assert shot.joints.shape == (7,)


def test_what_holds_the_tool_is_noticed(cell, driver, monkeypatch):
    monkeypatch.setattr("vla_ros.nodes.drive.STUCK", 0.5)
    cell.wall = 0.46
    assert not driver.go(Pose(np.array([0.49, 0.0, 0.25]), TOOL_DOWN))
    assert cell.pose.position[0] <= 0.46


def test_an_arm_that_is_stopped_ends_it_with_its_words(cell, driver):
    assert driver.tool.position[0] == pytest.approx(0.45)
    cell.mode = "STOPPED"
    with pytest.raises(ServiceError, match="does not follow the teleop input: stopped: held by a wall"):
        driver.go(Pose(np.array([0.5, 0.0, 0.25]), TOOL_DOWN))


def test_the_table_is_felt_where_it_is_and_the_descent_ends_there(cell, driver):
    driver.go(Pose(np.array([0.45, 0.0, LOW + 0.02]), TOOL_DOWN))
    touched = driver.descend(0.02, 4.0, 4.0)
    assert touched is not None
    assert LOW - 0.012 < touched.position[2] <= LOW
    assert not cell.heard[-1].any()


def test_where_there_is_no_table_nothing_is_touched(cell, driver):
    assert driver.descend(0.01, 1.0, 4.0) is None


def test_the_gripper_closes_or_that_it_does_not_is_said(cell, driver):
    driver.grip(1.0)
    assert cell.gripper > 0.9
    with pytest.raises(ServiceError, match=r"does not move to 0\.00"):
        driver.grip(0.0, seconds=0.1)


def test_pictures_by_hand_leave_the_arm_alone(cell, driver):
    shot = driver.watch()
    assert shot is not None
    assert shot.image.shape == (60, 80, 3)
    assert cell.heard == []


def test_at_the_end_the_arm_rests(cell, driver):
    driver._say(np.array([0.05, 0, 0, 0, 0, 0]), None)
    driver.rest()
    driver.client.sleep(0.2)
    assert not cell.heard[-1].any()


def test_a_recorded_way_is_followed_with_its_gripper(cell, driver):
    here = driver.tool
    seconds = np.linspace(0.0, 1.0, 21, dtype=np.float64)
    positions = here.position + np.outer(seconds, [0.04, 0.02, 0.0])
    way = Track(positions, np.tile(here.quaternion, (21, 1)), (seconds > 0.3).astype(float), 0.05)
    off = driver.follow(way)
    assert np.linalg.norm(cell.pose.position - positions[-1]) < 0.01
    assert off < 0.03
    assert cell.gripper > 0.5
