"""The teleop node: from /joy to the arm, its silence, its buttons, and the terminal it gives back."""

import contextlib
import os
import pty
import signal
import subprocess
import sys
import termios
import threading
import time

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import TwistStamped
from sensor_msgs.msg import JointState, Joy
from std_srvs.srv import Trigger

from vla_ros.clock import SECOND
from vla_ros.commands.live import enable
from vla_ros.commands.teleop import arguments
from vla_ros.config import load
from vla_ros.nodes import convert, teleop
from vla_ros.nodes.client import Client
from vla_ros.nodes.process import newest
from vla_ros.nodes.service import Service
from vla_ros.nodes.teleop import TeleopNode
from vla_ros.shared import Block
from vla_ros.teleop import gamepad
from vla_ros.twin import blocks

from .bed import PATIENCE, Ros

FORWARD = (0.0, 1.0)


def joy(left=(0.0, 0.0), down=(gamepad.RB,)):
    return Joy(axes=[*left, 0.0, 0.0, 0.0, 0.0], buttons=[int(i in down) for i in range(21)])


class Hand:
    """Publishes /joy at every look, plays the arm's status, and notes what the teleop node says, in order."""

    def __init__(self, ros, node):
        self.ros, self.said, self.message = ros, [], None
        self._joy = node.create_publisher(Joy, "/joy", 10)
        self._status = node.create_publisher(DiagnosticArray, "/arm/status", 10)
        node.create_subscription(TwistStamped, "/teleop/twist", lambda m: self.said.append(m), newest(reliable=False))
        node.create_subscription(JointState, "/teleop/gripper", lambda m: self.said.append(m), newest(reliable=False))

    def until(self, condition, what):
        def looked():
            status = convert.diagnostic("arm", DiagnosticStatus.OK, "", {"gripper_command": 0.4})
            self._status.publish(convert.diagnostics(1, [status]))
            if self.message is not None:
                self._joy.publish(self.message)
            return condition()

        self.ros.spin_until(looked, what)

    @property
    def twists(self):
        return [m for m in self.said if isinstance(m, TwistStamped)]


@pytest.fixture
def hand(ros):
    made = Hand(ros, ros.node("hand"))
    ros.add(TeleopNode, **{"teleop.device": "joy"})
    return made


def test_the_gripper_is_told_before_the_first_twist_and_silence_ends_it_with_zeros(hand):
    hand.message = joy(FORWARD)
    hand.until(lambda: any(m.twist.linear.x > 0.01 for m in hand.twists), "a twist forward")
    assert isinstance(hand.said[0], JointState)
    assert hand.said[0].position[0] == pytest.approx(0.4)
    assert hand.twists[-1].header.frame_id == "base_link"
    hand.message = None
    hand.until(lambda: hand.twists[-1].twist.linear.x == 0.0, "zeros after silence")
    silent = time.monotonic()
    count = len(hand.said)
    hand.until(lambda: time.monotonic() > silent + 0.5, "half a second")
    settled = len(hand.said)
    hand.until(lambda: time.monotonic() > silent + 1.0, "another half")
    assert len(hand.said) == settled
    assert settled - count < 20


def test_a_press_calls_the_recorder(hand, ros):
    called = []

    def answer(_, response):
        called.append("success")
        response.success = True
        return response

    ros.node("recorder").create_service(Trigger, "/recorder/success", answer)

    def pressed():
        hand.message = joy(down=()) if hand.message and any(hand.message.buttons) else joy(down=(gamepad.Y,))
        return bool(called)

    hand.until(pressed, "the service")
    assert set(called) == {"success"}


def test_a_press_waits_for_a_recorder_that_is_about_to_be_found(hand, ros, monkeypatch):
    monkeypatch.setattr(teleop, "PATIENCE", 60 * SECOND)
    called = []
    hand.message = joy(down=())
    hand.until(lambda: ros.nodes[-1]._device.read(0) is not None, "the pad")
    hand.message = joy(down=(gamepad.Y,))
    hand.until(lambda: "success" in ros.nodes[-1]._asked, "the press")
    hand.message = joy(down=())

    def answer(_, response):
        called.append("success")
        return response

    ros.node("recorder").create_service(Trigger, "/recorder/success", answer)
    hand.until(lambda: bool(called), "the service")
    assert called == ["success"]


def test_the_message_of_another_driver_ends_the_node_with_the_remedy(ros, hand):
    node = ros.nodes[-1]
    hand.message = Joy(axes=[0.0] * 8, buttons=[0] * 11)
    hand.until(lambda: bool(node.failure), "the failure")
    assert "game_controller_node" in node.failure


def test_settings_become_parameters():
    made = arguments("gamepad", "/dev/input/event7", ["teleop.speed=0.05"])
    assert made[0] == "--ros-args"
    assert {"teleop.device:=gamepad", "teleop.path:=/dev/input/event7", "teleop.speed:=0.05"} <= set(made)


def test_a_service_in_the_twin_follows_the_hand_and_lets_go(monkeypatch):
    """The whole way: /joy, teleop node, arm node, servo, governor, twin."""
    monkeypatch.delenv("ROS_DOMAIN_ID")
    config = load("twin", overrides=["policy.bundle=constant:0.46,0.05,0.18"])
    with Service(config) as service, Client(service.check) as client, Ros() as ros:
        pad = ros.node("pad").create_publisher(Joy, "/joy", 10)
        ros.add(TeleopNode, **{"teleop.device": "joy"})
        client.bring_up("policy")
        enable(client, PATIENCE)
        feedback = Block.attach(service.runtime / "arm_feedback", blocks.FEEDBACK)
        start = feedback.read()[1]["position"].copy()

        with spinning(ros):

            def led():
                pad.publish(joy(FORWARD))
                if client.arm.values.get("mode") in ("DISARMED", "STOPPED"):
                    enable(client, PATIENCE)  # a busy machine may have disarmed it
                return feedback.read()[1]["position"][0] > start[0] + 0.02

            assert client.wait(led, PATIENCE), client.arm
            assert client.wait(lambda: client.arm.values.get("mode") != "TELEOP", PATIENCE), client.arm
        assert np.abs(feedback.read()[1]["position"][1:] - start[1:]).max() < 0.01


@contextlib.contextmanager
def spinning(ros):
    """Its nodes live in a thread."""
    ended = threading.Event()

    def live():
        while not ended.is_set():
            ros.executor.spin_once(timeout_sec=0.02)

    thread = threading.Thread(target=live)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


PROGRAM = """
import sys
from vla_ros.nodes import teleop
sys.exit(teleop.main(["--ros-args", "-p", "teleop.device:=keyboard"]))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_node_gives_the_terminal_back_when_it_is_told_to_end(number):
    _, program = pty.openpty()
    before = termios.tcgetattr(program)
    process = subprocess.Popen([sys.executable, "-c", PROGRAM], stdin=program, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + PATIENCE
        while termios.tcgetattr(program) == before:
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(number)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.stderr.close()
    assert termios.tcgetattr(program) == before
    os.close(program)


def test_a_keyboard_without_a_terminal_is_refused_with_the_remedy():
    done = subprocess.run(
        [sys.executable, "-m", "vla_ros.cli", "teleop"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
    )
    assert done.returncode == 2
    assert "needs a terminal" in done.stderr
