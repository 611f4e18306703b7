"""Where the calibration that a camera has from the factory is another one than the configured."""

from __future__ import annotations

import numpy as np

from vla_ros.cameras.lens import lens
from vla_ros.values import Intrinsics

TOLERANCE = 0.01
"""Share of the focal length, or of the image's size for the centre, by which a calibration differs enough to be named."""
BENT = 2.0
"""Pixels by which two lenses may put the same ray apart unsaid."""


def pinhole_differences(configured: Intrinsics, factory: Intrinsics) -> list[str]:
    """Focal lengths and centres that differ, in words."""
    scale = {"fx": configured.fx, "fy": configured.fy, "cx": configured.width, "cy": configured.height}
    pairs = {name: (getattr(configured, name), getattr(factory, name)) for name in scale}
    return [
        f"{name} is {ours:.1f}, the camera says {theirs:.1f}"
        for name, (ours, theirs) in pairs.items()
        if abs(ours - theirs) > TOLERANCE * scale[name]
    ]


def differences(configured: Intrinsics, factory: Intrinsics) -> list[str]:
    """The same, and distortion that differs."""
    apart = bent_apart(configured, factory)
    words = [f"its distortion puts points up to {apart:.1f} pixels off the configured one's"] if apart > BENT else []
    return pinhole_differences(configured, factory) + words


def bent_apart(configured: Intrinsics, factory: Intrinsics) -> float:
    """By how many pixels the two distortions put the same ray apart, at most, around the delivered part of the picture."""
    x, y, width, height = configured.roi
    u, v = np.meshgrid(np.linspace(x, x + width - 1, 9), np.linspace(y, y + height - 1, 9))
    truth, ours = lens(factory), lens(configured)
    rays = truth.behind(u, v)
    theirs_x, theirs_y = truth.distorted(*rays)
    ours_x, ours_y = ours.distorted(*rays)
    return float(np.nanmax(np.hypot(truth.fx * (theirs_x - ours_x), truth.fy * (theirs_y - ours_y)), initial=0.0))


def numbers(factory: Intrinsics) -> str:
    """As the configuration writes them."""
    pinhole = ", ".join(f"{name}: {getattr(factory, name):.2f}" for name in ("fx", "fy", "cx", "cy"))
    bends = ", ".join(f"{k:.6g}" for k in factory.distortion)
    return f"{pinhole}, distortion: [{bends}]"
