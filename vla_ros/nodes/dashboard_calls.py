"""What the dashboard asks of the robot, over ROS: called by the server's threads while the node's own thread spins."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from geometry_msgs.msg import TwistStamped
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger

from vla_ros.dashboard.commands import Answer, Wish
from vla_ros.dashboard.slots import Journal
from vla_ros.episodes.recorder import Event
from vla_ros.nodes import convert
from vla_ros.nodes.process import newest

ANSWER = 3.0
"""s that a service may take to answer."""
WISHES: tuple[Wish, ...] = ("enable", "disable", "stop", "reset")


class Calls:
    """`vla_ros.dashboard.commands.Commands` over a node, which must be spun by another thread. What is asked goes into `log`."""

    def __init__(self, node: Node, log: Journal) -> None:
        self._node, self._log = node, log
        # made now: a client that was matched once is ready at once
        self._clients = {name: node.create_client(Trigger, f"/arm/{name}") for name in WISHES}
        self._recorder: dict[Event, Any] = {}
        self._instruction = node.create_publisher(String, "/vla/instruction", newest())
        self._twist = node.create_publisher(TwistStamped, "/teleop/twist", newest(reliable=False))
        self._gripper = node.create_publisher(JointState, "/teleop/gripper", newest(reliable=False))

    def ready(self) -> bool:
        """Whether the arm node is there to be stopped, and somebody to be instructed."""
        return bool(self._clients["stop"].service_is_ready() and self._instruction.get_subscription_count())

    def ask(self, name: Wish) -> Callable[[], Answer]:
        """Call /arm/<name>; what this returns waits for what it says."""
        waiting = self._call(self._clients[name], f"/arm/{name}")

        def answered() -> Answer:
            answer = waiting()
            self._write(f"{name}: {answer.text}", 0 if answer.done else 1)
            return answer

        return answered

    def meet_recorder(self) -> None:
        """A recorder is heard, so it can be asked. To be called by the thread that spins."""
        if not self._recorder:
            self._recorder = {e: self._node.create_client(Trigger, f"/recorder/{e.value}") for e in Event}

    def record(self, event: Event) -> Answer:
        """Call /recorder/<event> and wait for what it says."""
        name = f"/recorder/{event.value}"
        if event not in self._recorder:
            return Answer(False, _nobody(name), reached=False)
        answer = self._call(self._recorder[event], name)()
        self._write(f"recorder {event.value}: {answer.text}", 0 if answer.done else 1)
        return answer

    def _call(self, client: Any, name: str) -> Callable[[], Answer]:
        if not client.service_is_ready():
            return lambda: Answer(False, _nobody(name), reached=False)
        done = threading.Event()
        future = client.call_async(Trigger.Request())
        future.add_done_callback(lambda _: done.set())

        def answered() -> Answer:
            if not done.wait(ANSWER):
                client.remove_pending_request(future)
                return Answer(False, f"{name} did not answer within {ANSWER:g} s", reached=False)
            response = future.result()
            return Answer(bool(response.success), str(response.message))

        return answered

    def instruct(self, text: str) -> Answer:
        """Give the policy an instruction. What it makes of it is in its status."""
        if not self._instruction.get_subscription_count():
            return Answer(False, _nobody("/vla/instruction"), reached=False)
        self._instruction.publish(String(data=text))
        said = f"instruction: {text}" if text else "no instruction: idle"
        self._write(said, 0)
        return Answer(True, said)

    def drive(self, twist: tuple[float, ...], in_tool: bool, gripper: float | None) -> None:
        """Send a twist of the hand, stamped now."""
        stamp = self._now()
        message = convert.from_twist(np.array(twist), stamp)
        if in_tool:
            message.header.frame_id = convert.TOOL_FRAMES[0]
        self._twist.publish(message)
        if gripper is not None:
            wanted = JointState(name=[convert.GRIPPER], position=[float(gripper)])
            wanted.header.stamp = message.header.stamp
            self._gripper.publish(wanted)

    def _now(self) -> int:
        return int(self._node.get_clock().now().nanoseconds)

    def _write(self, text: str, level: int) -> None:
        self._log.write(self._now(), "dashboard", text, level)


def _nobody(what: str) -> str:
    domain = os.environ.get("ROS_DOMAIN_ID") or "0"
    return f"nobody offers {what} in ROS domain {domain}: is the service running?"
