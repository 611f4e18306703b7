"""Where the tool will go, drawn into a camera's picture: the coming targets of the chunk, through the calibration."""

from __future__ import annotations

import numpy as np

from vla_ros import geometry
from vla_ros.cameras.lens import lens
from vla_ros.config import CameraConfig
from vla_ros.geometry import Array, Pose
from vla_ros.policy.policy import intrinsics
from vla_ros.values import ActionChunk

NEAR = 0.02
"""m before the lens within which nothing is drawn: the projection is no picture there."""

Point = tuple[float, float]


def coming(chunk: ActionChunk, now: int, tool: Pose) -> Array:
    """Tool positions (n, 3) in the base frame: where the tool is, and the targets that are still to come at `now` (ns, monotonic)."""
    due = chunk.stamp + (np.arange(len(chunk), dtype=np.int64) + 1) * chunk.step
    ahead = chunk.positions[due > now]
    return np.vstack([tool.position[None], ahead]) if len(ahead) else np.zeros((0, 3))


def camera_pose(camera: CameraConfig, tool: Pose) -> Pose:
    """The optical frame in the base frame."""
    mounted = Pose(np.array(camera.position), np.array(camera.quaternion))
    return geometry.compose(tool, mounted) if camera.parent == "tool" else mounted


def drawn(points: Array, camera: CameraConfig, tool: Pose) -> list[Point]:
    """Points (n, 3) of the base frame as shares of the picture's width and height; those not before the lens are left out."""
    if not len(points):
        return []
    pose = camera_pose(camera, tool)
    seen = (points - pose.position) @ geometry.matrix(pose.quaternion)
    seen = seen[seen[:, 2] > NEAR]
    u, v = lens(intrinsics(camera)).pixels(seen[:, 0] / seen[:, 2], seen[:, 1] / seen[:, 2])
    left, top, width, height = camera.roi
    # the middle of the sensor's first pixel is 0
    across, down = (u + 0.5 - left) / width, (v + 0.5 - top) / height
    return [(round(float(x), 4), round(float(y), 4)) for x, y in zip(across, down, strict=True)]
