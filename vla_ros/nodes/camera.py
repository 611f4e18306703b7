"""The camera node: one device, its frames as Image and CameraInfo, stamped at the middle of exposure.

camera_node --ros-args -p camera:=wrist

Depth, where it is asked for, is an Image 32FC1 in m as the colour camera sees it, on <topic>/aligned_depth_to_color/image_raw. By how
much the device's stamps are late is `cameras.NAME.latency`; it is taken off them. The parameter `fault` breaks the device for a
while (`vla_ros.nodes.fault_parameter`).
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image

from vla_ros import runtime
from vla_ros.cameras.camera import CameraError
from vla_ros.cameras.faulty import FaultyCamera
from vla_ros.cameras.load import load as load_camera
from vla_ros.clock import SECOND, MonotonicClock
from vla_ros.config import Config
from vla_ros.faults import Kind, Order
from vla_ros.nodes import convert, fault_parameter, parameters
from vla_ros.nodes.process import Bulletin, RefusalError, guarded, newest, run_node
from vla_ros.nodes.ros_time import TimeMap
from vla_ros.values import Frame

TIMEOUT = 0.5
"""Seconds after which a read gives up and is tried again."""


class CameraNode(Node):
    """Reads a camera in a thread of its own and publishes what it gives."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__("camera", **arguments)
        self.failure = ""
        config = parameters.read(self, {"camera": "which of the cameras of the configuration this node is"})
        name = str(self.get_parameter("camera").value)
        self._monotonic = MonotonicClock()
        self._camera = choose_camera(config, name, self._monotonic, self.get_logger().warning)
        self._time = TimeMap(lambda: self.get_clock().now().nanoseconds, self._monotonic.now)
        self._prepare(config, name)
        fault_parameter.declare(self, config, self._play)
        self._frames, self._stopping = 0, threading.Event()
        self._thread = threading.Thread(target=guarded(self, self._run), name="camera", daemon=True)
        self._thread.start()

    def _prepare(self, config: Config, name: str) -> None:
        settings, self._frame_id = config.cameras[name], f"{name}_camera_optical_frame"
        self._writer = convert.ImageWriter(self._camera.intrinsics.image_shape, self._frame_id)
        self._info = convert.from_intrinsics(self._camera.intrinsics, self._frame_id)
        self._images = self.create_publisher(Image, settings.image_topic, newest())
        self._infos = self.create_publisher(CameraInfo, settings.info_topic, newest())
        self._depths = self.create_publisher(Image, settings.depth_topic, newest()) if settings.depth else None
        self._bulletin = Bulletin(self)
        self._rate, self._latency = settings.rate, round(settings.latency * SECOND)
        self._beat = self.create_timer(1.0, self._report)

    def _run(self) -> None:
        self._camera.open()  # in this thread: a renderer's context belongs to the thread that made it
        self._info = convert.from_intrinsics(self._camera.intrinsics, self._frame_id)  # now the device's part is known
        try:
            while not self._stopping.is_set():
                frame = self._camera.read(TIMEOUT)
                if frame is not None:
                    self._publish(frame)
        finally:
            self._camera.close()

    def _play(self, _: str, kind: str, seconds: float, amount: float) -> None:
        self.get_logger().warning(f"fault asked for: {kind} for {seconds:g} s")
        self._camera.play(Order(Kind(kind), seconds, amount).at(self._monotonic.now()))

    def _publish(self, frame: Frame) -> None:
        stamp = self._time.to_ros(frame.exposure - self._latency)
        image = self._writer.write(frame.image, stamp)
        self._info.header.stamp = image.header.stamp
        self._images.publish(image)
        self._infos.publish(self._info)
        if self._depths is not None and frame.depth is not None:
            self._depths.publish(convert.from_depth(frame.depth, stamp, self._frame_id))
        self._frames += 1

    def _report(self) -> None:
        step = self._time.check()
        if step:
            self.get_logger().warning(f"ROS time stepped by {step / SECOND:.3f} s")
        frames, self._frames = self._frames, 0
        slow = frames < 0.8 * self._rate
        level = DiagnosticStatus.WARN if slow else DiagnosticStatus.OK
        few = self._camera.problem or f"{frames} frames in the last second of {self._rate:g}"
        text = few if slow else "ok"
        status = convert.diagnostic(self.get_name(), level, text, {"frames_per_second": frames})
        now = self._monotonic.now()
        self._bulletin.post(convert.diagnostics(self._time.to_ros(now), [status]), now)

    def close(self) -> None:
        """Stop reading and close the device."""
        self._stopping.set()
        self._thread.join(2 * TIMEOUT)


def choose_camera(config: Config, name: str, clock: MonotonicClock, say: Callable[[str], None]) -> FaultyCamera:
    """The camera of that name, not yet open. Raises RefusalError for one that the configuration or this version does not have."""
    try:
        return load_camera(config, name, runtime.folder(config), clock, say)
    except CameraError as error:
        raise RefusalError(f"parameter camera: {error}") from None


def main(argv: Sequence[str] | None = None) -> int:
    """Run the node."""
    return run_node(CameraNode, argv)


if __name__ == "__main__":
    sys.exit(main())
