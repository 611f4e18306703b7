"""How a node listens to a camera: our own camera nodes, or any other node that publishes Image and CameraInfo (`driver: topic`)."""

from __future__ import annotations

from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image as ImageMessage

from vla_ros.cameras.pixels import deliver, thinned
from vla_ros.clock import SECOND
from vla_ros.config import CameraConfig
from vla_ros.episodes.depth import Depth
from vla_ros.nodes.convert import MessageError, to_depth, to_image
from vla_ros.nodes.process import newest
from vla_ros.values import Image, Intrinsics


def quality(camera: CameraConfig, depth: int = 1) -> QoSProfile:
    """Reliable for our own; best effort for others, which hears publishers of either kind: many are best effort (REP 2003)."""
    return newest(reliable=camera.driver != "topic", depth=depth)


def late(camera: CameraConfig) -> int:
    """By how many ns its stamps are later than the middle of exposure; our own nodes have taken that off."""
    return round(camera.latency * SECOND) if camera.driver == "topic" else 0


def intrinsics(camera: CameraConfig) -> Intrinsics:
    """The configured camera."""
    c = camera
    return Intrinsics(c.width, c.height, c.fx, c.fy, c.cx, c.cy, c.roi, c.binning, c.distortion)


def to_depth_view(message: ImageMessage, camera: Intrinsics) -> Depth:
    """The depth, mm, of `camera.image_shape` in a message that holds just that, or the whole sensor, of which it is cut and thinned.

    Raises MessageError for another size.
    """
    depth, whole = to_depth(message), (camera.height, camera.width)
    if depth.shape == whole != camera.image_shape:
        return thinned(depth, camera.roi, camera.binning)
    if depth.shape != camera.image_shape:
        height, width = camera.image_shape
        raise MessageError(
            f"depth is {depth.shape[1]}×{depth.shape[0]}, wanted is {width}×{height}, as its pictures, or its whole sensor, "
            f"{camera.width}×{camera.height}, as the colour camera sees it"
        )
    return depth


def to_view(message: ImageMessage, camera: Intrinsics) -> Image:
    """The RGB image of `camera.image_shape` in a message that holds just that, or the whole sensor, of which it is cut and binned.

    Raises MessageError for another size. Other drivers than ours publish the whole sensor.
    """
    whole, size = (camera.height, camera.width), (message.height, message.width)
    if size == whole != camera.image_shape:
        return deliver(to_image(message, whole), camera.roi, camera.binning)
    if size not in (whole, camera.image_shape):
        height, width = camera.image_shape
        raise MessageError(
            f"size is {size[1]}×{size[0]}, wanted is {width}×{height}, the roi and binning that the configuration of this camera "
            f"names, or its whole sensor, {camera.width}×{camera.height}"
        )
    return to_image(message, size)
