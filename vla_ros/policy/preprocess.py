"""From what cameras and arm deliver to what a policy was trained on: images cut and averaged, never stretched; eight numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture
from PIL.Image import Resampling

from vla_ros import geometry
from vla_ros.kinematics import TOOL_DOWN
from vla_ros.policy.manifest import BundleError, Camera
from vla_ros.values import ArmState, Image, Intrinsics


def preprocess(image: Image, delivered: Intrinsics, wanted: Camera) -> Image:
    """The wanted part of a frame, (H, W, 3) uint8 and contiguous.

    A frame that already is that part passes unchanged. A larger or finer one is cut and area-averaged by a whole factor, half
    rounded up, which is what a camera that bins does; so both ways give the same image. Raises BundleError for anything else.
    """
    if image.shape != (*delivered.image_shape, 3) or image.dtype != np.uint8:
        raise BundleError(
            f"camera {wanted.name}: a frame of shape {image.shape} {image.dtype}, its camera_info says "
            f"{(*delivered.image_shape, 3)} uint8. Make image and camera_info agree."
        )
    if delivered.roi == wanted.roi and delivered.binning == wanted.binning:
        cut = np.ascontiguousarray(image)
    else:
        cut = _average(_crop(image, delivered, wanted), wanted.binning // delivered.binning)
    return cut if wanted.size is None else _stretched(cut, wanted.size)


def _stretched(image: Image, size: tuple[int, int]) -> Image:
    """The image at `size` (width, height), by Pillow's antialiased bicubic: what torchvision's Resize makes of a PIL image."""
    stretched = Picture.fromarray(image).resize(size, Resampling.BICUBIC)
    return np.ascontiguousarray(stretched, np.uint8)


def _crop(image: Image, delivered: Intrinsics, wanted: Camera) -> Image:
    x, y, width, height = wanted.roi
    bin_ = delivered.binning
    left, top = x - delivered.roi[0], y - delivered.roi[1]
    right, bottom = left + width, top + height
    fits = min(left, top) >= 0 and right <= delivered.roi[2] and bottom <= delivered.roi[3]
    even = not any(edge % bin_ for edge in (left, top, width, height)) and wanted.binning % bin_ == 0
    if not (fits and even and wanted.sensor == (delivered.width, delivered.height)):
        raise BundleError(
            f"camera {wanted.name} delivers roi {list(delivered.roi)} of {delivered.width}×{delivered.height} at binning {bin_}; "
            f"the policy wants roi {list(wanted.roi)} of {wanted.sensor[0]}×{wanted.sensor[1]} at binning {wanted.binning}. "
            f"Set cameras.{wanted.name} in the configuration to deliver that."
        )
    return image[top // bin_ : bottom // bin_, left // bin_ : right // bin_]


def _average(image: Image, factor: int) -> Image:
    if factor == 1:
        return np.ascontiguousarray(image)
    height, width = image.shape[0] // factor, image.shape[1] // factor
    blocks = image.reshape(height, factor, width, factor, 3)
    total = blocks.sum((1, 3), dtype=np.uint32)
    mean: Image = ((total + factor * factor // 2) // (factor * factor)).astype(np.uint8)
    return mean


def robot_state(arm: ArmState, gripper_command: float) -> NDArray[np.float32]:
    """The numbers manifest.STATE_NAMES (8,) of `arm`: the same in recordings (`observation.state`) and in service."""
    off = geometry.difference(arm.tool.quaternion, TOOL_DOWN)
    return np.array([*arm.tool.position, *off, arm.gripper, gripper_command], np.float32)
