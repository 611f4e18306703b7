"""The other side of the service: instructs, enables, listens. For the command line, which needs no ROS tools then."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import String
from std_srvs.srv import Trigger

from vla_ros.nodes import convert
from vla_ros.nodes.process import make_executor, newest


class ServiceError(Exception):
    """The service does not answer, or refuses. The text says what and what to do."""


@dataclass
class Report:
    """The newest status of a part of the service: level, message, values, and its stamp (ns, ROS time); `count` is how many came."""

    level: int = 0
    message: str = ""
    values: dict[str, str] = field(default_factory=dict)
    moment: int = 0
    count: int = 0


class Client:
    """A ROS node of this process, in the domain of the environment, for as long as the context lasts.

    `check` is called while waiting, and may raise.
    """

    def __init__(self, check: Callable[[], None] = lambda: None) -> None:
        self._check = check
        self.policy, self.arm = Report(), Report()

    def __enter__(self) -> Client:
        self.context = rclpy.Context()
        rclpy.init(context=self.context, signal_handler_options=SignalHandlerOptions.NO)
        self.node = Node(f"vla_ros_client_{os.getpid()}", context=self.context, enable_rosout=False)
        self._executor = make_executor(self.context)
        self._executor.add_node(self.node)
        self._instruction = self.node.create_publisher(String, "/vla/instruction", newest())
        self.node.create_subscription(DiagnosticArray, "/vla/status", self._policy_status, newest(depth=10))
        self.node.create_subscription(DiagnosticArray, "/arm/status", self._arm_status, newest(depth=10))
        self._clients: dict[str, Any] = {}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown(context=self.context)

    def spin(self, seconds: float = 0.05) -> None:
        """Let what has come in be heard; returns after the first of it, or that long."""
        self._check()
        self._executor.spin_once(timeout_sec=seconds)

    def wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Whether the condition came true within that time."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            self.spin()
        return True

    def sleep(self, seconds: float) -> None:
        """Listen for that long."""
        self.wait(lambda: False, seconds)

    def trigger(self, name: str, seconds: float = 10.0) -> tuple[bool, str]:
        """Call a Trigger service such as /arm/enable: whether it succeeded, and what it said. Raises ServiceError."""
        response = self._call(Trigger, name, Trigger.Request(), seconds)
        return bool(response.success), str(response.message)

    def bring_up(self, node: str, seconds: float = 120.0) -> None:
        """Configure and activate a lifecycle node. Raises ServiceError with its own words where it refuses."""
        for transition, verb in (
            (Transition.TRANSITION_CONFIGURE, "configure"),
            (Transition.TRANSITION_ACTIVATE, "activate"),
        ):
            request = ChangeState.Request(transition=Transition(id=transition))
            if not self._call(ChangeState, f"/{node}/change_state", request, seconds).success:
                self.wait(lambda: bool(self.policy.message), 1.0)
                raise ServiceError(f"{node} did not {verb}: {self.policy.message or 'see what it said'}")

    def instruct(self, text: str, seconds: float = 10.0) -> None:
        """Give an instruction once a policy listens. Raises ServiceError where none does."""
        if not self.wait(self._all_listen, seconds):
            raise ServiceError(_nobody("/vla/instruction"))
        self._instruction.publish(String(data=text))

    def hear(self, topic: str, name: str) -> Report:
        """The newest status of that name on a topic of statuses; it is kept up while this client listens."""
        report = Report()
        self.node.create_subscription(
            DiagnosticArray, topic, lambda message: _hear(report, message, name), newest(depth=10)
        )
        return report

    def _all_listen(self) -> bool:
        """Whether everybody who is known to want instructions would get one now: not a recorder alone."""
        return self._instruction.get_subscription_count() >= max(1, self.node.count_subscribers("/vla/instruction"))

    def publishers_of(self, topic: str) -> int:
        """How many publishers a topic has."""
        return int(self.node.count_publishers(topic))

    def _call(self, kind: Any, name: str, request: Any, seconds: float) -> Any:
        if name not in self._clients:
            self._clients[name] = self.node.create_client(kind, name)
        client = self._clients[name]
        if not self.wait(client.service_is_ready, seconds):
            raise ServiceError(_nobody(name))
        future = client.call_async(request)
        if not self.wait(future.done, seconds):
            raise ServiceError(f"{name} did not answer within {seconds:.0f} s")
        return future.result()

    def _policy_status(self, message: DiagnosticArray) -> None:
        _hear(self.policy, message, "policy")

    def _arm_status(self, message: DiagnosticArray) -> None:
        _hear(self.arm, message, "arm")


def _hear(report: Report, message: DiagnosticArray, name: str) -> None:
    for status in convert.named(message, name):
        report.level = int.from_bytes(status.level, "little")
        report.message, report.values = status.message, convert.values(status)
        report.moment = convert.from_time(message.header.stamp)
        report.count += 1


def _nobody(what: str) -> str:
    domain = os.environ.get("ROS_DOMAIN_ID") or "0"
    return f"nobody offers {what} in ROS domain {domain}: start `vla-ros sim`, and set ROS_DOMAIN_ID to the domain that it names"
