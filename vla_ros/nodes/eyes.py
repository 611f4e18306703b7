"""What the cameras of a running service see, as it reaches whoever subscribes: a picture a second, for contact sheets."""

from __future__ import annotations

from typing import Any

from rclpy.node import Node
from sensor_msgs.msg import Image as ImageMessage

from vla_ros.clock import SECOND
from vla_ros.config import CameraConfig, Config
from vla_ros.nodes import convert
from vla_ros.nodes.camera_topics import intrinsics, quality, to_view
from vla_ros.values import Image

Picture = tuple[float, Image]
"""Seconds since `roll`, by the stamps of exposure, and the image."""


class Eyes:
    """Keeps one picture of each camera every `every` s, from `roll` to `cut`; `takes` holds those of every take."""

    def __init__(self, node: Node, config: Config, every: float = 1.0) -> None:
        self._every = every
        self._rolling = False
        self._began = 0
        self.takes: list[dict[str, list[Picture]]] = []
        for name, camera in config.cameras.items():
            callback = self._callback(name, camera)
            node.create_subscription(ImageMessage, camera.image_topic, callback, quality(camera))

    def roll(self) -> None:
        """Begin a take."""
        self.takes.append({})
        self._began, self._rolling = 0, True

    def cut(self) -> None:
        """End it."""
        self._rolling = False

    def _callback(self, name: str, camera: CameraConfig) -> Any:
        wanted = intrinsics(camera)

        def see(message: ImageMessage) -> None:
            if not self._rolling:
                return
            stamp = convert.from_time(message.header.stamp)
            self._began = self._began or stamp
            seconds = (stamp - self._began) / SECOND
            kept = self.takes[-1].setdefault(name, [])
            if seconds >= len(kept) * self._every:
                kept.append((seconds, to_view(message, wanted).copy()))

        return see
