"""The teleop node: reads a device, publishes what the hand wants, and passes its buttons on to the recorder. It decides nothing."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import TwistStamped
from rclpy.node import Node
from sensor_msgs.msg import JointState, Joy
from std_srvs.srv import Trigger

from vla_ros.clock import SECOND, MonotonicClock
from vla_ros.config import Config
from vla_ros.nodes import convert, parameters
from vla_ros.nodes.process import RefusalError, newest, run_node
from vla_ros.teleop import gamepad, mapping
from vla_ros.teleop.devices import open_device
from vla_ros.teleop.mapping import Wish
from vla_ros.teleop.reading import EVENTS, Device, Reading, TeleopError

PATIENCE = 2 * SECOND
"""For so long a press waits for a recorder that has not been found yet."""


class JoyTopic:
    """The topic /joy as a device."""

    def __init__(self, node: Node, clock: MonotonicClock) -> None:
        self._clock, self._trouble = clock, ""
        self._reading: Reading | None = None
        node.create_subscription(Joy, "/joy", self._hear, newest(reliable=False))

    def _hear(self, message: Joy) -> None:
        try:
            self._reading = gamepad.reading(gamepad.from_joy(message.axes, message.buttons), self._clock.now())
        except TeleopError as error:
            self._trouble = str(error)

    def read(self, now: int) -> Reading | None:
        """The newest message; a driver that repeats none is silent, and the clutch released."""
        if self._trouble:
            raise TeleopError(self._trouble)
        return self._reading

    def close(self) -> None:
        """Nothing to let go of."""


class TeleopNode(Node):
    """One timer: read, map, publish."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__("teleop", **arguments)
        self.failure = ""
        config = parameters.read(self)
        self._settings = settings(config)
        self._monotonic, self._state = MonotonicClock(), mapping.State()
        self._commanded: float | None = None
        self._told = ""
        self._asked: dict[str, int] = {}
        self._recorder_said = ""
        self._twist = self.create_publisher(TwistStamped, "/teleop/twist", newest(reliable=False))
        self._gripper = self.create_publisher(JointState, "/teleop/gripper", newest(reliable=False))
        self.create_subscription(DiagnosticArray, "/arm/status", self._arm_status, newest(depth=10))
        self.create_subscription(JointState, "/joint_states", self._joints, newest(reliable=False))
        self.create_subscription(DiagnosticArray, "/recorder/status", self._recorder_status, newest(depth=10))
        self._recorder = {name: self.create_client(Trigger, f"/recorder/{name}") for name in EVENTS}
        self._measured: float | None = None
        self._device = self._opened(config)
        self.create_timer(1.0 / config.teleop.rate, self._cycle)

    def _opened(self, config: Config) -> Device:
        """Last of all, so that nothing can fail once a terminal is in our hands."""
        try:
            if config.teleop.device == "joy":
                return JoyTopic(self, self._monotonic)
            return open_device(config.teleop.device, config.teleop.path)
        except TeleopError as error:
            raise RefusalError(str(error)) from None

    def _cycle(self) -> None:
        now = self._monotonic.now()
        try:
            reading = self._device.read(now)
        except TeleopError as error:
            self.failure = str(error)
            return
        self._state, wish, pressed = mapping.step(self._state, reading, now, self._settings, self._grip())
        if wish is not None:
            self._publish(wish)
        self._asked |= dict.fromkeys(sorted(pressed & set(EVENTS)), now)
        for name, since in list(self._asked.items()):
            self._ask(name, now - since)
        self._tell()

    def _grip(self) -> float | None:
        return self._commanded if self._commanded is not None else self._measured

    def _publish(self, wish: Wish) -> None:
        stamp = self.get_clock().now().nanoseconds
        if wish.gripper is not None:
            self._gripper.publish(convert.from_gripper(wish.gripper, stamp))
        if wish.twist is not None:
            self._twist.publish(convert.from_twist(wish.twist, stamp, wish.in_tool))

    def _ask(self, name: str, waited: int) -> None:
        """Pass a press on, which came so many ns ago: right after the start the recorder may not have been found yet."""
        client = self._recorder[name]
        if not client.service_is_ready():
            if waited > PATIENCE:
                del self._asked[name]
                self.get_logger().warning(f"{name}: no recorder is running: start vla-ros record")
            return
        del self._asked[name]
        client.call_async(Trigger.Request()).add_done_callback(self._answered)

    def _answered(self, future: Any) -> None:
        """What was refused; what was done, and what the recorder does by itself, is told by its status."""
        response = future.result()
        if not response.success:
            self.get_logger().warning(response.message)

    def _recorder_status(self, message: DiagnosticArray) -> None:
        for status in convert.named(message, "recorder"):
            if status.message != self._recorder_said:
                self._recorder_said = status.message
                self.get_logger().info(status.message)

    def _tell(self) -> None:
        state = self._state
        hold = "clutch held" if state.held else "clutch released"
        text = f"{hold}, speed {state.scale:.0%}, {'tool' if state.in_tool else 'base'} frame"
        if text != self._told:
            self._told = text
            self.get_logger().info(text)

    def _arm_status(self, message: DiagnosticArray) -> None:
        for status in convert.named(message, "arm"):
            number = convert.number(convert.values(status).get("gripper_command", "nan"))
            self._commanded = number if number is not None and number == number else None

    def _joints(self, message: JointState) -> None:
        if convert.GRIPPER in message.name and len(message.position) == len(message.name):
            self._measured = convert.to_gripper(message)

    def close(self) -> None:
        """Give the device, and the terminal, back."""
        self._device.close()


def settings(config: Config) -> mapping.Settings:
    """The mapping's settings of a configuration."""
    teleop = config.teleop
    silence = int(config.deadlines.teleop * SECOND)
    return mapping.Settings(
        teleop.speed, teleop.turn_speed, teleop.gripper_speed, teleop.deadzone, teleop.curve, silence
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the node."""
    return run_node(TeleopNode, argv)


if __name__ == "__main__":
    sys.exit(main())
