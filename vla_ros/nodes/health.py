"""What is heard in a ROS domain: who publishes the service's topics, and what the service says of itself. For `vla-ros doctor`.

    python -m vla_ros.nodes.health [--seconds 3] [TOPIC …]

prints one line of JSON: `publishers` (topic -> names of the nodes that publish it), `statuses` (the newest of each part of
/diagnostics, of /arm/status and of /vla/status), `rates` (messages per second of each TOPIC that is a CameraInfo), `ages` (ms from
the stamp of the newest of them to its arrival), `rclpy` (where it comes from) and `rmw`. It publishes nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import CameraInfo

from vla_ros.nodes import convert
from vla_ros.nodes.client import Client
from vla_ros.nodes.process import newest

TOPICS = ("/vla/action_chunk", "/vla/status", "/arm/command", "/arm/status", "/teleop/twist", "/teleop/gripper")
"""Those that only one of ours is to publish."""


class Listener:
    """Hears /diagnostics and the given CameraInfo topics."""

    def __init__(self, client: Client, infos: Sequence[str]) -> None:
        self._node = client.node
        self.statuses: dict[str, dict[str, Any]] = {}
        self.ages: dict[str, float] = {}
        self._arrivals: dict[str, list[int]] = {topic: [] for topic in infos}
        self._node.create_subscription(DiagnosticArray, "/diagnostics", self._hear, newest(depth=50))
        for topic in infos:
            quality = newest(reliable=False)  # which a reliable publisher serves too
            self._node.create_subscription(CameraInfo, topic, partial(self._count, topic), quality)

    def _hear(self, message: DiagnosticArray) -> None:
        for status in message.status:
            level = int.from_bytes(status.level, "little")
            self.statuses[status.name] = {"level": level, "message": status.message, "values": convert.values(status)}

    def _count(self, topic: str, message: CameraInfo) -> None:
        now = self._node.get_clock().now().nanoseconds
        self._arrivals[topic].append(now)
        self.ages[topic] = (now - convert.from_time(message.header.stamp)) / 1e6

    @property
    def rates(self) -> dict[str, float]:
        """Messages per second between the first and the last that came: discovery takes its time."""
        return {topic: rate(arrivals) for topic, arrivals in self._arrivals.items()}


def rate(arrivals: Sequence[int]) -> float:
    """Per second, of messages that arrived at these moments (ns); 0 for fewer than two."""
    return (len(arrivals) - 1) * 1e9 / (arrivals[-1] - arrivals[0]) if len(arrivals) > 1 else 0.0


def listen(seconds: float, infos: Sequence[str]) -> dict[str, Any]:
    """What was heard within that time, as the module's text says."""
    with Client() as client:
        listener = Listener(client, infos)
        client.sleep(seconds)
        publishers = {topic: _publishers(client, topic) for topic in (*TOPICS, *infos)}
        for name, report in (("/arm/status", client.arm), ("/vla/status", client.policy)):
            if report.count:
                said = {"level": report.level, "message": report.message, "values": report.values}
                listener.statuses[name] = said | {"rate": report.count / seconds}
        return {
            "publishers": {topic: names for topic, names in publishers.items() if names},
            "statuses": listener.statuses,
            "rates": listener.rates,
            "ages": listener.ages,
            "rclpy": str(rclpy.__file__),
            "rmw": str(rclpy.get_rmw_implementation_identifier()),
        }


def _publishers(client: Client, topic: str) -> list[str]:
    found = client.node.get_publishers_info_by_topic(topic)
    return sorted(f"{info.node_namespace.rstrip('/')}/{info.node_name}" for info in found)


def main(argv: Sequence[str] | None = None) -> int:
    """Listen, and print what was heard."""
    parser = argparse.ArgumentParser(description="what is heard in a ROS domain")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long to listen")
    parser.add_argument(
        "infos", nargs="*", metavar="TOPIC", help="CameraInfo topics whose rate and age are of interest"
    )
    options = parser.parse_args(argv)
    sys.stdout.write(json.dumps(listen(options.seconds, options.infos)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
