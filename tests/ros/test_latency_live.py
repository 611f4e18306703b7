"""Calibration and the trace over DDS: an arm, a gripper and cameras of known lateness behind the real topics."""

import json
import threading

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseStamped, TwistStamped
from rich.console import Console
from sensor_msgs.msg import Image, JointState
from std_srvs.srv import Trigger

from vla_ros.clock import SECOND
from vla_ros.commands import calibrate_latency
from vla_ros.nodes import convert
from vla_ros.nodes.client import Client, ServiceError
from vla_ros.nodes.process import newest
from vla_ros.nodes.sway import Rig
from vla_ros.nodes.traces import Traces

from .bed import PATIENCE, arm_at, small_config

LATE = {"command": 0.07, "gripper": 0.05, "static": 0.04, "wrist": -0.03}
"""s; of a camera, by which its stamps are later than its light."""
EXACT = 0.005
SHAPES = {"static": (80, 120), "wrist": (60, 80)}


class Cell:
    """Plays the arm node and the cameras. What it publishes is true at the stamps that it carries, however busy the machine is."""

    def __init__(self, node):
        self.node, self.mode = node, "TELEOP"
        self._twist, self._former, self._grips = np.zeros(3), np.zeros(3), [(0.0, 0.0)]
        self._times, self._shifts = [0.0], [np.zeros(3)]
        self._writers = {name: convert.ImageWriter(shape, name) for name, shape in SHAPES.items()}
        publish = node.create_publisher
        self._command = publish(TwistStamped, "/arm/command", 10)
        self._tool = publish(PoseStamped, "/arm/tool_pose", newest(reliable=False))
        self._joints = publish(JointState, "/joint_states", newest(reliable=False))
        self._status = publish(DiagnosticArray, "/arm/status", 10)
        self._images = {name: publish(Image, f"/{name}_camera/color/image_raw", 1) for name in SHAPES}
        node.create_subscription(TwistStamped, "/teleop/twist", self._hear, newest(reliable=False))
        node.create_subscription(JointState, "/teleop/gripper", self._grip, newest(reliable=False))
        node.create_service(Trigger, "/arm/enable", self._enable)
        node.create_timer(0.01, self._cycle)
        node.create_timer(1 / 30, self._see)
        self._began = self._now() - 1

    def _now(self):
        return self.node.get_clock().now().nanoseconds

    def _seconds(self):
        return (self._now() - self._began) / SECOND

    def _enable(self, _, response):
        response.success = True
        return response

    def _hear(self, message):
        self._twist = np.array([message.twist.linear.x, message.twist.linear.y, message.twist.linear.z])

    def _grip(self, message):
        if message.position[0] != self._grips[-1][1]:
            self._grips.append((self._seconds(), message.position[0]))
            self._say(self._grips[-1][0])

    def _say(self, t):
        values = {"mode": self.mode, "gripper_command": float(self._grips[-1][1])}
        status = convert.diagnostic("arm", DiagnosticStatus.OK, "ok", values)
        self._status.publish(convert.diagnostics(self._stamp(t), [status]))

    def _stamp(self, t):
        return self._began + round(t * SECOND)

    def shift(self, t):
        """Where the tool is (3,) m, from its place, at t: what was commanded until so much earlier."""
        times, shifts = np.array(self._times), np.array(self._shifts)
        return np.array([np.interp(t - LATE["command"], times, shifts[:, axis]) for axis in range(3)])

    def gripper(self, t):
        """Where the fingers are: they follow each command so much later at their speed."""
        place = 0.0
        for (moment, target), (end, _) in zip(self._grips, [*self._grips[1:], (t, 0.0)], strict=True):
            way = max(0.0, min(t, end + LATE["gripper"]) - moment - LATE["gripper"]) / 0.6
            place += np.clip(target - place, -way, way)
        return float(place)

    def _cycle(self):
        t = self._seconds()
        mean, self._former = (self._twist + self._former) / 2, self._twist  # held, it would be half a cycle later
        self._shifts.append(self._shifts[-1] + mean * (t - self._times[-1]))
        self._times.append(t)
        self._command.publish(convert.from_twist(np.concatenate([self._twist, np.zeros(3)]), self._stamp(t)))
        joints, tool = convert.from_arm(
            arm_at(0, np.array([0.45, 0.0, 0.25]) + self.shift(t), self.gripper(t)), self._stamp(t)
        )
        self._tool.publish(tool)
        self._joints.publish(joints)
        self._say(t)

    def _see(self):
        t = self._seconds()
        for name, writer in self._writers.items():
            height, width = SHAPES[name]
            middle = width / 2 + 400 * self.shift(t)[1]
            light = 40 + 150 * np.exp(-((np.arange(width) - middle) ** 2) / 90)
            image = np.broadcast_to(light[None, :, None], (height, width, 3)).astype(np.uint8)
            self._images[name].publish(writer.write(image, self._stamp(t + LATE[name])))


@pytest.fixture
def cell(ros):
    """The cell, alive in a thread until the test ends."""
    made, ended = Cell(ros.node("cell")), threading.Event()

    def live():
        while not ended.is_set():
            ros.executor.spin_once(timeout_sec=0.05)

    thread = threading.Thread(target=live)
    thread.start()
    yield made
    ended.set()
    thread.join()


def test_injected_delays_are_found_over_the_wire(cell):
    config = small_config()
    with Client() as client:
        found = calibrate_latency.measure(
            Console(quiet=True), client, config, ["static", "wrist", "arm", "gripper"], 4, 3
        )
    assert found.refusals == {}
    lags = {name: lag.value for name, lag in found.lags.items()}
    assert lags["servo.delay"] == pytest.approx(LATE["command"], abs=EXACT)
    assert lags["cameras.static.latency"] == pytest.approx(LATE["static"], abs=EXACT)
    assert lags["cameras.wrist.latency"] == pytest.approx(LATE["wrist"], abs=EXACT)
    assert lags["servo.gripper_delay"] == pytest.approx(LATE["gripper"], abs=EXACT)
    assert len(found.panels) == 5


def test_an_arm_that_does_not_follow_the_clutch_is_said(cell):
    cell.mode = "DISARMED"
    with Client() as client, pytest.raises(ServiceError, match="does not follow the teleop input: disarmed"):
        Rig(client, small_config(), []).lead(lambda t: np.zeros(3), 5.0)


def test_the_sway_of_a_silent_service_is_refused():
    with Client() as client, pytest.raises(ServiceError, match="/arm/tool_pose"):
        Rig(client, small_config(), []).tool(0.2)


def test_every_chunk_is_heard_once(ros):
    """Also where its stamp is taken to ROS time anew in every status, and so differs by a little."""
    teller, heard = ros.node("teller"), []
    status = teller.create_publisher(DiagnosticArray, "/arm/status", 10)
    bulletin = teller.create_publisher(DiagnosticArray, "/diagnostics", 10)
    traces = Traces(ros.node("listener"), heard.append)

    def tell(publisher, name, values):
        said = convert.diagnostic(name, DiagnosticStatus.OK, "", values)
        publisher.publish(convert.diagnostics(1, [said]))

    def both():
        tell(bulletin, "latency", {"command_p50_ms": 20.5})
        return traces.latency.get("command_p50_ms") == 20.5 and status.get_subscription_count() > 0

    ros.spin_until(both, "the figures")
    for number in (1, 1, 2, 2, 3):
        stamp = 10**18 + number * 10**8 + len(heard)
        values = {"chunk_sequence": number, "chunk_stamp_ns": stamp, "instruction": "go", "frame_static": 3 * number}
        tell(status, "arm", values | {"received_ms": 8.0, "command_ms": 20.0})
    tell(status, "arm", {"mode": "IDLE"})
    ros.spin_until(lambda: traces.statuses == 6, "the statuses", PATIENCE)
    assert [trace.sequence for trace in heard] == [1, 2, 3]
    assert json.loads(json.dumps(heard[1].line()))["frames"] == {"static": 6}
