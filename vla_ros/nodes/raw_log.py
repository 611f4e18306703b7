"""All topics as they come, in an MCAP file beside each episode: at their own rates, readable up to the last second after a kill."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped, TwistStamped
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import String
from trajectory_msgs.msg import MultiDOFJointTrajectory

from vla_ros.config import Config
from vla_ros.nodes.camera_topics import quality
from vla_ros.nodes.message_text import definition, name_of
from vla_ros.nodes.process import newest

FOLDER = "mcap"
DUE = 0.5
"""s after which what is in memory is written: with the next message, a kill loses less than a second."""
CHUNK = 1 << 20


class RawLog:
    """Hears `topics` (name -> message class, QoS) all the time, and writes them down from `begin` to `end`.

    The file of a running take is mcap/take-….mcap of the dataset; `name` gives it its episode's name, or removes it. One that a kill
    left is kept: it is what there is of its episode.
    """

    def __init__(self, node: Node, root: Path, topics: Mapping[str, tuple[Any, QoSProfile]]) -> None:
        import mcap.writer

        self._mcap = mcap.writer
        self._folder = root / FOLDER
        self._clock = node.get_clock()
        self._topics = topics
        self._writer: Any = None
        self._file: Any = None
        self._path: Path | None = None
        self._channels: dict[str, int] = {}
        self._flushed = 0
        self._ended: list[Path] = []
        self.trouble = ""
        for topic, (kind, qos) in topics.items():
            node.create_subscription(kind, topic, self._callback(topic), qos, raw=True)
        node.create_timer(DUE, self.flush)

    def begin(self) -> None:
        """Open a file for a take."""
        self._guarded(self._begin)

    def end(self) -> None:
        """Finish the take's file; one that the disk has ended before waits for its name like others."""
        if self._path is None:
            return
        self._guarded(self._finish)
        self._ended.append(self._path)
        self._path = None

    def name(self, episode: int | None) -> None:
        """The oldest take that has ended became this episode, or was forgotten: None."""
        if not self._ended:
            return
        path = self._ended.pop(0)
        if episode is None:
            path.unlink(missing_ok=True)
        elif path.exists():
            os.replace(path, self._folder / f"episode-{episode:06d}.mcap")

    def flush(self) -> None:
        """Write what is in memory to the file."""
        if self._writer is not None:
            self._guarded(self._flush)

    def close(self) -> None:
        """Finish; a take that is open stays as it is."""
        self.end()

    def _callback(self, topic: str) -> Any:
        def heard(data: bytes) -> None:
            if self._writer is not None:
                self._guarded(lambda: self._add(topic, data))

        return heard

    def _begin(self) -> None:
        self._path = self._folder / f"take-{uuid.uuid4().hex}.mcap"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("wb")
        self._writer = self._mcap.Writer(self._file, chunk_size=CHUNK, compression=self._mcap.CompressionType.LZ4)
        self._writer.start(profile="ros2", library="vla_ros")
        self._channels = {topic: self._channel(topic, kind) for topic, (kind, _) in self._topics.items()}
        self.trouble = ""

    def _channel(self, topic: str, kind: Any) -> int:
        schema = self._writer.register_schema(name_of(kind), "ros2msg", definition(kind).encode())
        return int(self._writer.register_channel(topic, "cdr", schema, metadata={"offered_qos_profiles": ""}))

    def _add(self, topic: str, data: bytes) -> None:
        stamp = self._clock.now().nanoseconds
        self._writer.add_message(self._channels[topic], log_time=stamp, data=bytes(data), publish_time=stamp)

    def _flush(self) -> None:
        self._writer.flush()
        self._file.flush()

    def _finish(self) -> None:
        writer, self._writer = self._writer, None
        file, self._file = self._file, None
        try:
            if writer is not None:
                writer.finish()
        finally:
            if file is not None:
                file.close()

    def _guarded(self, work: Any) -> None:
        """A disk that is full ends the log, and not the episode: that is another file's affair."""
        try:
            work()
        except OSError as error:
            self.trouble = f"the MCAP file has ended: {error}"
            self._writer = None


def topics_of(config: Config) -> dict[str, Any]:
    """What the log of a configuration hears: name -> (message, QoS)."""
    best, sure = newest(reliable=False, depth=50), newest(depth=50)
    topics: dict[str, Any] = {
        "/joint_states": (JointState, best),
        "/arm/tool_pose": (PoseStamped, best),
        "/arm/command": (TwistStamped, sure),
        "/arm/status": (DiagnosticArray, sure),
        "/vla/status": (DiagnosticArray, sure),
        "/vla/instruction": (String, sure),
        "/vla/action_chunk": (MultiDOFJointTrajectory, sure),
        "/teleop/twist": (TwistStamped, best),
        "/teleop/gripper": (JointState, best),
    }
    for camera in config.cameras.values():
        topics[camera.info_topic] = (CameraInfo, quality(camera, depth=50))
        if config.record.log_images:
            topics[camera.image_topic] = (Image, quality(camera, depth=8))
        if config.record.log_images and camera.depth:
            topics[camera.depth_topic] = (Image, quality(camera, depth=8))
    return topics
